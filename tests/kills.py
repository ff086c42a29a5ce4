"""Kill a save at any line of what writes, and look at what is there then: `python tests/kills.py` tries them all, `python tests/kills.py COUNT NAME ...` some.

Each kill has a process of its own, which ends without a word at the n-th line that it runs in the files that write. Between two lines there is at
most one call of the system that changes what is on the disk.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import onnx

import graphir
from graphir import Graph, Model, Tensor
from graphir.cli.checkpoint import Training, keep
from graphir.ops.elementwise import identity
from graphir.results import save_arrays
from graphir.training import Result

WRITE = (
    "graphir/atomic.py",
    "graphir/results.py",
    "file/container.py",
    "graphir_onnx/pair.py",
    "graphir_onnx/external.py",
    "zipfile",
    "pathlib",
)


def model(seed: int, size: int = 700) -> Model:
    graph = Graph("m")
    for name in ("a", "b"):
        graph.output(identity(graph.weight(name, np.random.default_rng((seed, ord(name))).random(size, np.float32))), f"out_{name}")
    return Model(graph)


def onnx_file(seed: int, **options: Any) -> Callable[[Path], None]:
    return lambda folder: graphir.save(model(seed, 700 + seed), folder / "m.onnx", **options)


def file(seed: int, name: str) -> Callable[[Path], None]:
    return lambda folder: graphir.save(model(seed), folder / name)


def onto_itself(folder: Path) -> None:
    """Load a pair, change a weight, and save it where it came from."""
    loaded = graphir.load(folder / "m.onnx")
    loaded.graph.weights["b"].tensor = Tensor.of(np.full(900, 3, np.float32))
    graphir.save(loaded, folder / "m.onnx", external_data=True)


def arrays(seed: int) -> Callable[[Path], None]:
    return lambda folder: save_arrays(folder / "r.npz", {"x": np.full(5000, seed), "y": [np.zeros(3), np.ones(2)]})


def checkpoint(epochs: int) -> Callable[[Path], object]:
    history = [{"epoch": i, "loss": 0.5} for i in range(1, epochs + 1)]
    result, training = Result(model(0), history, {"a": np.full(700, epochs, np.float32)}), Training(model(0), {}, None, {"epochs": 3})
    return lambda folder: keep(folder / "m.checkpoint.gir", result, training)


def contents(folder: Path) -> Any:
    """What is at the destinations, as users read it."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix == ".onnx":
            loaded = graphir.load(path)
            found[path.name] = {name: w.tensor.array.tobytes() for name, w in loaded.graph.weights.items() if isinstance(w.tensor, Tensor)}
            assert found[path.name] == {t.name: onnx.numpy_helper.to_array(t).tobytes() for t in onnx.load(path).graph.initializer}
        elif path.suffix == ".npz":
            with np.load(path) as archive:
                found[path.name] = {name: archive[name].tobytes() for name in archive.files}
        elif path.suffix in (".gir", ".json", ".txt"):
            found[path.name] = path.read_bytes()
    return found


class Save(NamedTuple):
    """What is there before, what is saved then, and the names that are there in the end."""

    before: Callable[[Path], object] | None
    save: Callable[[Path], object]
    names: set[str]


PAIR, ALONE = {"m.onnx", "m.onnx.data"}, {"m.onnx"}
SAVES = {
    "a first pair": Save(None, onnx_file(1, external_data=True), PAIR),
    "a pair over a pair": Save(onnx_file(1, external_data=True), onnx_file(2, external_data=True), PAIR),
    "a pair over one file": Save(onnx_file(1), onnx_file(2, external_data=True), PAIR),
    "one file over a pair": Save(onnx_file(1, external_data=True), onnx_file(2, external_data=False), PAIR),
    "a pair onto itself": Save(onnx_file(1, external_data=True), onto_itself, PAIR),
    "onnx": Save(onnx_file(1), onnx_file(2), ALONE),
    "gir": Save(file(1, "m.gir"), file(2, "m.gir"), {"m.gir"}),
    "json": Save(file(1, "m.json"), file(2, "m.json"), {"m.json"}),
    "txt": Save(file(1, "m.txt"), file(2, "m.txt"), {"m.txt"}),
    "npz": Save(arrays(1), arrays(2), {"r.npz"}),
    "checkpoint": Save(checkpoint(1), checkpoint(2), {"m.checkpoint.gir"}),
}


def killed(save: Callable[[Path], object], folder: Path, at: int) -> int:
    """Save in a process of its own, which ends at the line of number `at`. Returns how many lines there were, where it did not."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        count = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal count
            count += event == "line"
            if count == at:
                os._exit(9)
            return line

        sys.settrace(lambda frame, event, argument: line if any(name in frame.f_code.co_filename for name in WRITE) else None)
        save(folder)
        sys.settrace(None)
        os.write(writing, str(count).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:  # noqa: PTH123  # Path.open takes no descriptor
        said = pipe.read()
    os.waitpid(child, 0)
    return int(said or 0)


@contextlib.contextmanager
def prepared(before: Callable[[Path], object] | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        if before is not None:
            before(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def trial(kind: Save, at: int, old: Any, new: Any, total: int) -> str:
    """One kill: which of the two is there then. Raises AssertionError where it is neither, or where the next save leaves more than it should."""
    with prepared(kind.before) as folder:
        killed(kind.save, folder, at)
        found = contents(folder)
        assert found in (old, new), f"killed at line {at} of {total}: {sorted(p.name for p in folder.iterdir())}"
        kind.save(folder)
        assert contents(folder) == new and {p.name for p in folder.iterdir()} == kind.names, sorted(p.name for p in folder.iterdir())
        return "old" if found == old else "new"


def spread(name: str, kills: int | None) -> dict[str, int]:
    """So many kills of one kind of save, from the first line to the last, or one at each line: how many there were, and what was there then."""
    kind = SAVES[name]
    with prepared(kind.before) as folder:
        old = contents(folder)
        total = killed(kind.save, folder, -1)
        new = contents(folder)
        assert old != new and {p.name for p in folder.iterdir()} == kind.names
    lines = range(1, total + 1) if kills is None else [1 + i * (total - 1) // (kills - 1) for i in range(kills)]
    found = [trial(kind, at, old, new, total) for at in lines]
    return {"lines": total, "kills": len(found), "old": found.count("old"), "new": found.count("new")}


if __name__ == "__main__":
    print(json.dumps({name: spread(name, int(sys.argv[1]) if len(sys.argv) > 1 else None) for name in sys.argv[2:] or SAVES}))
