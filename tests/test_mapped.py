"""Files that change under a loaded model: noticed, and refused; what takes the place of a file, and copies, change nothing."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, Tensor, TensorType, ops
from graphir.mapped import SMALL, FileChangedError, mapped_file
from graphir.passes.fold import fold

SIZE = 600  # so that each weight takes 1.4 MB
FEEDS = {"x": np.linspace(-1, 1, SIZE, dtype="float32").reshape(1, SIZE)}
FILES = {"m.gir": "m.gir", "m.onnx": "m.onnx", "e.onnx": "e.onnx.data"}  # what is loaded -> where the data lies


def heavy() -> Model:
    """Weights that are used as they lie in the file, through a view of them, as numbers made of them; and the default of an input."""
    rng = np.random.default_rng(0)
    graph = Graph("heavy")
    v = x = graph.input("x", TensorType("float32", ("N", SIZE)))
    default = graph.default(
        graph.input("default", TensorType("float32", (SIZE, SIZE))), rng.standard_normal((SIZE, SIZE)).astype("float32")
    )
    v = ops.math.matmul(v, graph.weight("a", rng.standard_normal((SIZE, SIZE)).astype("float32") / SIZE))
    v = ops.math.matmul(v, ops.shape.transpose(graph.weight("b", rng.standard_normal((SIZE, SIZE)).astype("float32"))))
    flags = graph.weight("flags", rng.integers(0, 2, (SIZE, SIZE)).astype(bool))
    v = ops.math.matmul(v, ops.elementwise.add(ops.elementwise.cast(flags, to="float32"), default))
    graph.output(ops.elementwise.add(v, x), "y")
    return Model(graph)


def write(model: Model, path: Path) -> None:
    if path.name == "e.onnx":
        graphir.save(model, path, external_data=True)
    else:
        graphir.save(model, path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    for name in FILES:
        write(heavy(), folder / name)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "m"))


def write_over(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "cut short": lambda p: os.truncate(p, 1000),
    "cut to nothing": lambda p: os.truncate(p, 0),
    "one byte less": lambda p: os.truncate(p, p.stat().st_size - 1),
    "written over": write_over,
    "written anew": lambda p: p.write_bytes(bytes(p.stat().st_size)),
    "longer": lambda p: os.truncate(p, p.stat().st_size + 1),
    "touched": lambda p: p.touch(),
}
USES: dict[str, Callable[[Model], Any]] = {
    "read": lambda m: [w.tensor.array.sum() for w in m.weights.values()],  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    "run": lambda m: graphir.compile(m).run(FEEDS),
    "run on ONNX Runtime": lambda m: graphir.compile(m, "onnxruntime").run(FEEDS),
    "gradient": lambda m: graphir.compile(graphir.gradient(m, wrt="a", of="y")).run({**FEEDS, "seed_y": FEEDS["x"]}),
    "write .gir": lambda m: graphir.dumps(m, "gir"),
    "write .onnx": lambda m: graphir.dumps(m, "onnx", external_data=False),
    "fold": lambda m: fold(m, lambda node, arrays: [x.copy() for x in arrays]),
}
REFUSED = r"the file was changed after the model was loaded from it.*load\(path, copy=True\)"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", FILES)
def test_a_change_before_the_first_look(name: str, change: str, folder: Path) -> None:
    model = graphir.load(folder / name)
    CHANGES[change](folder / FILES[name])
    with pytest.raises(FileChangedError, match=rf"{FILES[name]}: {REFUSED}"):
        graphir.compile(model).run(FEEDS)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", FILES)
def test_whatever_looks(name: str, use: str, folder: Path) -> None:
    model = graphir.load(folder / name)
    if use != "fold":
        USES[use](graphir.load(folder / name))
    os.truncate(folder / FILES[name], 1000)
    with pytest.raises((FileChangedError, ValueError), match=REFUSED):
        USES[use](model)


@pytest.mark.parametrize("change", ["cut short", "written over"])
@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
@pytest.mark.parametrize("name", FILES)
def test_a_change_between_two_runs(name: str, runtime: str, change: str, folder: Path) -> None:
    """A program looks before each run, the clone of one, too; and states are the program's own."""
    program = graphir.compile(graphir.load(folder / name), runtime)
    expected = program.run(FEEDS)["y"]
    CHANGES[change](folder / FILES[name])
    for p in (program, program.clone()):
        with pytest.raises(FileChangedError, match=REFUSED):
            p.run(FEEDS)
    assert np.isfinite(expected).all()


def test_a_change_while_a_run_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a run that may have seen other weights is not handed out."""
    from graphir_numpy.namespace import xp

    program = graphir.compile(graphir.load(folder / "m.gir"))
    program.run(FEEDS)
    quiet = xp.quiet
    monkeypatch.setattr(xp, "quiet", lambda: (write_over(folder / "m.gir"), quiet())[1])
    with pytest.raises(FileChangedError, match=REFUSED):
        program.run(FEEDS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_just_written_is_told_from_the_next_one(name: str, tmp_path: Path) -> None:
    """The clock of a file system ticks in milliseconds, and a change within one tick must show."""
    for _ in range(3):
        write(heavy(), tmp_path / name)
        model = graphir.load(tmp_path / name)
        write_over(tmp_path / FILES[name])
        with pytest.raises(FileChangedError):
            USES["read"](model)


# ---- what changes nothing -----------------------------------------------------------------------------------------------------------


def in_its_place(path: Path) -> None:
    (path.parent / "other").write_bytes(b"another file")
    (path.parent / "other").replace(path)


KEPT: dict[str, Callable[[Path], Any]] = {
    "another in its place": in_its_place,
    "removed": lambda p: p.unlink(),
    "renamed": lambda p: p.rename(p.parent / "elsewhere"),
    "its mode": lambda p: p.chmod(0o600),
    "read": lambda p: p.read_bytes(),
    "linked": lambda p: os.link(p, p.parent / "link"),
}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", FILES)
def test_what_leaves_the_data_as_it_is(name: str, kept: str, folder: Path) -> None:
    model, other = graphir.load(folder / name), graphir.load(folder / name)
    program = graphir.compile(other)
    expected = program.run(FEEDS)["y"]
    KEPT[kept](folder / FILES[name])
    assert np.array_equal(graphir.compile(model).run(FEEDS)["y"], expected)
    assert np.array_equal(program.run(FEEDS)["y"], expected)


@pytest.mark.parametrize("name", FILES)
def test_a_model_is_saved_onto_its_own_file(name: str, folder: Path) -> None:
    program = graphir.compile(graphir.load(folder / name))
    expected = program.run(FEEDS)["y"]
    for _ in range(2):
        model = graphir.load(folder / name)
        write(model, folder / name)
        assert np.array_equal(graphir.compile(model).run(FEEDS)["y"], expected)
        assert np.array_equal(graphir.compile(graphir.load(folder / name)).run(FEEDS)["y"], expected)
    assert np.array_equal(program.run(FEEDS)["y"], expected)


@pytest.mark.parametrize("options", [{"copy": True}, {"verify": True}])
@pytest.mark.parametrize("name", FILES)
def test_copies_are_beyond_reach(name: str, options: dict[str, bool], folder: Path) -> None:
    """Of a change that sets the time of the file back, too: what was verified is what is used."""
    expected = graphir.compile(graphir.load(folder / name)).run(FEEDS)["y"]
    path = folder / FILES[name]
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    model = graphir.load(folder / name, **options)  # pyright: ignore[reportArgumentType]
    write_over(path)
    os.utime(path, ns=times)
    assert np.array_equal(graphir.compile(model).run(FEEDS)["y"], expected)
    path.unlink()
    assert np.array_equal(graphir.compile(model).run(FEEDS)["y"], expected)


def test_verified_and_mapped(folder: Path) -> None:
    model = graphir.load(folder / "m.gir", verify=True, copy=False)
    tensor = model.weights["a"].tensor
    assert isinstance(tensor, Tensor) and mapped_file(tensor.array) is tensor.file is not None
    write_over(folder / "m.gir")
    with pytest.raises(FileChangedError):
        _ = tensor.array


@pytest.mark.parametrize(("elements", "is_mapped"), [(10, False), (SMALL // 4, True)])
def test_small_files_and_small_tensors_are_read(elements: int, is_mapped: bool, tmp_path: Path) -> None:
    """They cost no descriptor, and no look at the file in each run."""
    graph = Graph()
    for name, n in (("small", 3), ("other", elements)):
        graph.output(ops.elementwise.neg(graph.weight(name, np.ones(n, np.float32))), f"minus_{name}")
    graphir.save(Model(graph), tmp_path / "m.gir")
    tensors = {name: w.tensor for name, w in graphir.load(tmp_path / "m.gir").weights.items()}
    files = {name: mapped_file(t.array) for name, t in tensors.items() if isinstance(t, Tensor)}
    assert files["small"] is None and (files["other"] is not None) is is_mapped


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux for the descriptors of the process")
def test_descriptors_are_given_back(folder: Path) -> None:
    gc.collect()
    before = descriptors()
    for name in FILES:
        model = graphir.load(folder / name)
        USES["read"](model)
        program = graphir.compile(model)
        program.run(FEEDS)
        assert descriptors() > before
        del model, program
        gc.collect()
        assert descriptors() == before
