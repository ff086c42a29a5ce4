"""Saves that are killed leave the old file or the new one, whole, the data of a model included; the next save removes what they left."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import graphir
from graphir import Tensor
from graphir.atomic import alone_in, expect_writable, remove_left, write_atomically
from kills import SAVES, contents, model

KILLS = 10  # of each kind, spread over the save; `python tests/kills.py` tries every line


def test_a_killed_save_leaves_the_old_or_the_new() -> None:
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run([sys.executable, str(script), str(KILLS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == SAVES.keys()
    for name, kind in found.items():
        assert kind["kills"] == KILLS and kind["old"] and kind["new"], f"{name}: kills before the new file is there, and after: {kind}"


def test_data_has_its_name_again_after_the_next_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off behind the first rename the new model stands beside its data, which has another name."""
    path = tmp_path / "m.onnx"
    graphir.save(model(1), path, external_data=True)
    with monkeypatch.context() as patch:
        patch.setattr("graphir_onnx.external.Layout.write", lambda self, path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            graphir.save(model(2), path, external_data=True)
    names = {p.name for p in tmp_path.iterdir()}
    (spare,) = names - {"m.onnx", "m.onnx.data"}
    assert spare.startswith("m.onnx.data-") and weights(path) == weights(model(2))
    loaded = graphir.load(path)
    graphir.save(loaded, path)  # stays where it is
    assert {p.name for p in tmp_path.iterdir()} == names
    graphir.save(loaded, path, external_data=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"] and weights(path) == weights(model(2))


def test_data_that_cannot_have_its_name_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the new model is in place the save is done, whatever becomes of the name."""
    graphir.save(model(1), tmp_path / "m.onnx", external_data=True)
    notes: list[str] = []
    monkeypatch.setattr(
        "graphir_onnx.external.Layout.write", lambda self, path: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    graphir.save(model(2), tmp_path / "m.onnx", external_data=True, note=notes.append)
    (note,) = notes
    assert "its data is in m.onnx.data-" in note and "m.onnx.data could not be written (No space left on device)" in note
    assert weights(tmp_path / "m.onnx") == weights(model(2))


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    for seed in (1, 2, 2):
        graphir.save(model(seed), tmp_path / "m.onnx", external_data=True)
        graphir.save(model(seed), tmp_path / "n.onnx", external_data=True)
    before = (tmp_path / "m.onnx.data").stat().st_ino
    graphir.save(graphir.load(tmp_path / "m.onnx"), tmp_path / "m.onnx", external_data=True)
    assert (tmp_path / "m.onnx.data").stat().st_ino == before
    assert contents(tmp_path) == {name: weights(model(2)) for name in ("m.onnx", "n.onnx")}


def test_two_savers_of_one_pair(tmp_path: Path) -> None:
    """One after the other: at no moment is there a model beside the data of another."""
    path = tmp_path / "m.onnx"
    graphir.save(model(0), path, external_data=True)
    seen: list[object] = []
    savers = [threading.Thread(target=lambda i=i: [graphir.save(model(i), path, external_data=True) for _ in range(6)]) for i in (1, 2)]
    for t in savers:
        t.start()
    while any(t.is_alive() for t in savers):
        with alone_in(tmp_path):
            seen.append(weights(path))
    assert all(x in [weights(model(i)) for i in (0, 1, 2)] for x in seen)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


def test_only_what_is_left_is_removed(tmp_path: Path) -> None:
    """Temporary files of writers that live, of other destinations, and files that only look alike stay."""
    path, other = tmp_path / "f", tmp_path / "g"
    cut_off = "import os, sys; from graphir.atomic import write_atomically; write_atomically(sys.argv[1], lambda file: os._exit(9))"
    for target in (path, other):
        subprocess.run([sys.executable, "-c", cut_off, str(target)], check=False)
    left = {p.name for p in tmp_path.iterdir()}
    assert len(left) == 2
    foreign = tmp_path / ".graphir-notes.tmp"
    foreign.write_text("mine")

    def write(file) -> None:
        file.write(b"first")
        living = {p.name for p in tmp_path.iterdir()} - left - {foreign.name}
        write_atomically(path, lambda inner: inner.write(b"second"))
        remove_left(path)
        assert living <= {p.name for p in tmp_path.iterdir()}, "a writer at work lost its file"

    write_atomically(path, write)
    assert path.read_bytes() == b"first"
    assert len({p.name for p in tmp_path.iterdir()} - {"f", foreign.name}) == 1, "that of the other destination"
    write_atomically(other, lambda file: file.write(b"x"))
    assert {p.name for p in tmp_path.iterdir()} == {"f", "g", foreign.name}


CANNOT = [("/proc/graphir.gir", "/proc/graphir.gir"), ("no/such/f.gir", "no such folder"), (".", "it is a folder"), ("x" * 300, "x" * 300)]


@pytest.mark.parametrize(("name", "said"), CANNOT, ids=lambda x: x[:20])
def test_a_destination_that_cannot_be_written_is_named(name: str, said: str, tmp_path: Path) -> None:
    for ask in (expect_writable, lambda path: write_atomically(path, lambda file: file.write(b"x"))):
        with pytest.raises(OSError) as e:
            ask(tmp_path / name)
        assert said in str(e.value) or isinstance(e.value, IsADirectoryError)
        assert ".tmp" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    def full(file) -> None:
        raise OSError(28, "No space left on device")

    for path in (tmp_path / "f", Path("/dev/full")):
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
            write_atomically(path, full if path.parent == tmp_path else lambda file: file.write(b"x"))
    assert not list(tmp_path.iterdir())


def test_a_private_file_stays_private_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(0o600)
    path.chmod(0o640)
    write_atomically(path, lambda file: file.write(b"%o" % (os.fstat(file.fileno()).st_mode & 0o777)))
    assert path.read_text() == "600" and path.stat().st_mode & 0o777 == 0o640


def weights(x: graphir.Model | Path) -> dict[str, bytes]:
    loaded = graphir.load(x) if isinstance(x, Path) else x
    return {name: np.asarray(w.tensor.array).tobytes() for name, w in loaded.graph.weights.items() if isinstance(w.tensor, Tensor)}
