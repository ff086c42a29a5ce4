"""Standard streams that are closed, full or broken: what was to be printed is not lost in silence."""

import subprocess
import sys
from pathlib import Path

import pytest

MLP = str(Path(__file__).parent.parent / "models/digits_mlp.onnx")
RUN = f"run {MLP} --input x=random:2x64"
CLOSED, FULL = "error: stdout: it is closed, and nothing can be printed\n", "error: stdout: No space left on device\n"
# a command line, its redirections, its exit status, what stands on stderr
ROWS = [
    *(
        (verb, ">&-", 1, CLOSED)
        for verb in (RUN, f"info {MLP}", f"check {MLP} --json", f"grad {MLP} g.onnx --wrt x", f"export {MLP} -", "--help")
    ),
    *((verb, ">/dev/full", 1, FULL) for verb in (RUN, f"info {MLP} --json", f"check {MLP}", f"export {MLP} -", "--version")),
    (f"export {MLP} - --format txt", ">/dev/full", 1, FULL),
    (f"train {MLP} no.npz t.onnx", ">&-", 1, CLOSED),
    (f"export {MLP} out.gir", ">&-", 0, ""),
    (f"export {MLP} out.gir", ">/dev/full", 0, ""),
    (f"export {MLP} /dev/stdout --format onnx", ">/dev/full", 1, "error: /dev/stdout: No space left on device\n"),
    (f"export {MLP} /dev/stdout --format onnx", ">&-", 1, "error: /dev/stdout: No space left on device\n"),
    ("info -", "<&-", 1, "error: stdin: it is closed, and there is nothing to read\n"),
    ("export - out.gir", "<&- >&-", 1, "error: stdin: it is closed, and there is nothing to read\n"),
    (RUN, "2>&-", 0, ""),
    (f"info {MLP}", "2>/dev/full", 0, ""),
    ("info none.onnx", "2>&-", 1, ""),
    ("info none.onnx", "2>/dev/full", 1, ""),
    (f"info {MLP}", ">&- 2>&-", 1, ""),
    (f"info {MLP}", "<&- >&- 2>/dev/full", 1, ""),
    (f"info {MLP}", "| true", 0, ""),
]


@pytest.mark.parametrize(("words", "redirected", "status", "said"), ROWS, ids=lambda x: x.replace(MLP, "M") if isinstance(x, str) else None)
def test_streams(words: str, redirected: str, status: int, said: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m graphir {words} {redirected}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False, executable="/bin/sh")
    assert (done.returncode, done.stderr) == (status, said)


def test_results_are_saved_though_they_cannot_be_printed(tmp_path: Path) -> None:
    command = f"{sys.executable} -m graphir {RUN} --output r.npz >/dev/full"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, FULL)
    assert (tmp_path / "r.npz").stat().st_size > 100


WRITERS = {
    "export": f"export {MLP} n.onnx",
    "external data": f"export {MLP} n.onnx --external-data",
    "gir": f"export {MLP} n.gir",
    "json": f"export {MLP} n.json",
    "txt": f"export {MLP} n.txt",
    "npz": f"{RUN} --fetch all --output n.npz",
    "grad": f"grad {MLP} n.onnx --wrt x",
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_file(name: str, tmp_path: Path) -> None:
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); from graphir.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *WRITERS[name].split()], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ") and "n." in done.stderr and done.stderr.endswith(": File too large\n")
    assert not list(tmp_path.iterdir())
