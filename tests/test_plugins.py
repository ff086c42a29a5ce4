"""The doors: formats and runtimes found by entry points, errors that list what there is, and files that are written whole or not at all."""

import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import FormatError, plugins
from graphir.file import load as load_gir
from samples import small

LETTERS = """
from graphir import FormatError
suffixes = (".abc", ".xyz")

def load(path, *, verify=False):
    return path.read_text(), verify

def loads(data):
    return data.decode()

def recognizes(data):
    return data.startswith(b"abc")

def save(model, path, *, shout=False):
    path.write_text(dumps(model, shout=shout).decode())

def dumps(model, *, shout=False):
    return (model.graph.name.upper() if shout else model.graph.name).encode()
"""
RUNTIMES = """
class Far:
    name = "far"
    def unavailable(self):
        return "there is no moon"

class Near:
    name = "near"
    def unavailable(self):
        return None
    def compile(self, model, **options):
        return model, options

far, near = Far(), Near()
"""
ENTRY_POINTS = """
[graphir.formats]
letters = letters_format
broken = no_such_module
readonly = letters_format:ReadOnly

[graphir.runtimes]
far = letters_runtimes:far
near = letters_runtimes:near
lost = no_such_module:runtime
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Another package, installed: a format, two runtimes, and two that cannot be imported."""
    site = tmp_path / "site"
    info = site / "letters-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "letters_format.py").write_text(LETTERS + "\nclass ReadOnly:\n    suffixes = ('.ro',)\n")
    (site / "letters_runtimes.py").write_text(RUNTIMES)
    monkeypatch.syspath_prepend(site)
    plugins.installed.cache_clear()
    yield info
    plugins.installed.cache_clear()
    for name in ("letters_format", "letters_runtimes"):
        sys.modules.pop(name, None)


# ---- formats ------------------------------------------------------------------------------------------------------------------------


def test_our_formats_come_through_the_same_door():
    assert {"gir", "json", "onnx", "txt"} <= plugins.installed("graphir.formats").keys()
    assert "numpy" in plugins.installed("graphir.runtimes")


def test_the_suffix_names_the_format(tmp_path):
    for name in ("m.gir", "M.GIR"):
        graphir.save(small(), tmp_path / name)
        assert list(graphir.load(str(tmp_path / name)).weights) == ["w", "v"]
    graphir.save(small(), tmp_path / "odd.bin", format="gir")
    assert graphir.load(tmp_path / "odd.bin", format="gir").graph.name == "small"
    assert graphir.loads(graphir.dumps(small(), "gir")).graph.name == "small"


def test_formats_of_other_packages(package, tmp_path):
    for suffix in (".abc", ".xyz"):
        path = tmp_path / f"m{suffix}"
        graphir.save(small(), path, shout=True)
        assert graphir.load(path) == ("SMALL", False)
        assert graphir.load(path, verify=True) == ("SMALL", True)
    assert graphir.dumps(small(), format="letters") == b"small"
    assert graphir.loads(b"abcdef") == "abcdef"
    assert graphir.loads(b"xyz", format="letters") == "xyz"


@pytest.mark.parametrize(
    ("call", "error", "parts"),
    [
        (
            lambda p: graphir.load(p / "m.foo"),
            FormatError,
            ["m.foo: no format has the suffix '.foo'", "gir (.gir)", "letters (.abc .xyz)"],
        ),
        (lambda p: graphir.load(p / "model"), FormatError, ["no format has the suffix ''"]),
        (lambda p: graphir.save(small(), p / "m.foo"), FormatError, ["no format has the suffix '.foo'"]),
        (lambda p: graphir.load(p / "m.gir", format="foo"), FormatError, ["no format is called 'foo'", "gir, json", "letters", "txt"]),
        (lambda p: graphir.dumps(small(), format="foo"), FormatError, ["no format is called 'foo'"]),
        (lambda p: graphir.loads(b"", format="readonly"), FormatError, ["format readonly cannot be read"]),
        (lambda p: graphir.save(small(), p / "m.ro"), FormatError, ["format readonly cannot be written"]),
        (
            lambda p: graphir.loads(b"", format="broken"),
            ImportError,
            ["format broken (no_such_module) cannot be imported", "no_such_module"],
        ),
        (lambda p: graphir.save(small(), p / "m.gir", loud=1), TypeError, ["format gir takes no option 'loud'", "it takes none"]),
        (lambda p: graphir.save(small(), p / "m.abc", loud=1), TypeError, ["format letters takes no option 'loud'", "it takes shout"]),
        (lambda p: graphir.dumps(small(), format="letters", loud=1), TypeError, ["takes no option 'loud'"]),
        (lambda p: graphir.compile(small(), "cupi"), ValueError, ["no runtime is called 'cupi'", "far, lost, near, numpy"]),
        (lambda p: graphir.compile(small(), "far"), RuntimeError, ["runtime far cannot run here: there is no moon"]),
        (lambda p: graphir.compile(small(), "lost"), ImportError, ["runtime lost (no_such_module:runtime) cannot be imported"]),
    ],
)
def test_errors_say_what_there_is(package, tmp_path, call, error, parts):
    with pytest.raises(error) as e:
        call(tmp_path)
    assert all(part in str(e.value) for part in parts), str(e.value)
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


def test_two_packages_with_one_name(package):
    other = package.parent / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[graphir.formats]\nletters = letters_format\n")
    assert "letters" in plugins.installed("graphir.formats"), "the same thing twice is no conflict"
    (other / "entry_points.txt").write_text("[graphir.formats]\nletters = other_format\n")
    plugins.installed.cache_clear()
    with pytest.raises(ValueError, match=r"two installed packages give graphir\.formats the name 'letters': .*; remove one"):
        graphir.loads(b"", format="gir")


def test_runtimes(package):
    model: Any = small()
    assert graphir.compile(model, "near", seed=3) == (model, {"seed": 3})
    found = plugins.runtimes()
    reasons = {name: r.unavailable() for name, r in found.items()}
    assert reasons["near"] is None
    assert reasons["far"] == "there is no moon"
    assert "cannot be imported" in (reasons["lost"] or "")
    with pytest.raises(RuntimeError, match="cannot be imported"):
        graphir.compile(small(), found["lost"])
    assert graphir.compile(model, found["near"]) == (model, {})


def test_the_default_runtime_runs():
    x = np.ones((2, 3), np.float32)
    made = graphir.compile(small()).run({"x": x})["y"]
    np.testing.assert_array_equal(made, x + 2 * np.array([1.5, -2.0, 0.25], np.float32))


def test_nothing_is_looked_up_before_it_is_needed():
    code = (
        "import sys, graphir; from graphir import load, save, compile, Model; "
        "print([m for m in sys.modules if m in ('importlib.metadata', 'graphir.file', 'graphir_onnx', 'graphir_numpy', 'onnx')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_one_format_does_not_load_another(tmp_path):
    code = (
        "import sys, graphir; graphir.save(graphir.Model(graphir.Graph()), sys.argv[1]); graphir.load(sys.argv[1]); "
        "graphir.loads(graphir.dumps(graphir.load(sys.argv[1]), 'gir')); print('onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.gir")], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- write_atomically ---------------------------------------------------------------------------------------------------------------


def text(words: str):
    return lambda file: file.write(words.encode())


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_new_and_old_files(tmp_path):
    path = tmp_path / "f"
    plugins.write_atomically(path, text("one"))
    assert path.read_text() == "one"
    plugins.write_atomically(str(path), text("two"))
    assert path.read_text() == "two"
    assert names(tmp_path) == ["f"]


def test_permissions(tmp_path):
    """Those of the file that was there; of a new one, what the process gives to new files."""
    path = tmp_path / "f"
    plugins.write_atomically(path, text("one"))
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    for mode in (0o600, 0o755, 0o444):
        path.chmod(mode)
        plugins.write_atomically(path, text("two"))
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("exists", [True, False])
def test_a_writer_that_fails_leaves_all_as_it_was(tmp_path, error, exists):
    path = tmp_path / "f"
    if exists:
        path.write_text("old")

    def write(file):
        file.write(b"new" * 100_000)
        assert len(names(tmp_path)) == 1 + exists
        raise error

    with pytest.raises(error):
        plugins.write_atomically(path, write)
    assert names(tmp_path) == ["f"] * exists
    if exists:
        assert path.read_text() == "old"


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    """What was opened before stays whole, and at no time is there no file."""
    path = tmp_path / "f"
    plugins.write_atomically(path, text("0" * 10_000))
    stop, seen = threading.Event(), set()

    def watch():
        while not stop.is_set():
            seen.add(path.read_text())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with path.open() as before:
        for i in range(1, 50):
            plugins.write_atomically(path, text(str(i % 10) * 10_000))
        stop.set()
        watcher.join()
        assert before.read() == "0" * 10_000
    assert len(seen) > 1
    assert all(len(s) == 10_000 and len(set(s)) == 1 for s in seen)


def test_the_data_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("name"), replace(self, target)))
    plugins.write_atomically(tmp_path / "f", text("x"))
    assert done == ["file", "name", "folder"]


def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real/f", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    plugins.write_atomically(link, text("new"))
    assert link.is_symlink() and target.read_text() == "new"
    assert names(tmp_path) == ["link", "real"]


def test_devices_and_pipes_are_written_to(tmp_path):
    controller, terminal = os.openpty()  # a device that a mistake here cannot break for anybody else
    plugins.write_atomically(os.ttyname(terminal), text("shown"))
    assert stat.S_ISCHR(Path(os.ttyname(terminal)).stat().st_mode) and os.read(controller, 5) == b"shown"
    os.close(controller)
    os.close(terminal)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = io.StringIO()
    reader = threading.Thread(target=lambda: found.write(pipe.read_text()))
    reader.start()
    plugins.write_atomically(pipe, text("through"))
    reader.join()
    assert found.getvalue() == "through"


def test_places_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*nowhere"):
        plugins.write_atomically(tmp_path / "nowhere/f", text("x"))
    with pytest.raises(IsADirectoryError):
        plugins.write_atomically(tmp_path, text("x"))
    (tmp_path / "f").write_text("x")
    with pytest.raises((NotADirectoryError, FileNotFoundError)):
        plugins.write_atomically(tmp_path / "f/g", text("x"))
    assert names(tmp_path) == ["f"]


def test_long_names(tmp_path):
    path = tmp_path / ("n" * 250 + ".gir")
    graphir.save(small(), path)
    assert load_gir(path).graph.name == "small"
