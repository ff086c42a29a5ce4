"""CuPy's runtime: what it says where it cannot run, what goes in and out, what is put off, and what differs from NumPy, each with its reason."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphir
import graphir_cupy
import strict
from graphir import Graph, Model, TensorType, ops
from graphir.ops import OPS
from graphir_arrays import place
from graphir_cupy import namespace
from graphir_cupy.kernels import OVERRIDES
from strict.library import Ufunc

CUPY, CUPYX = strict.libraries()
STAND_IN: Any = graphir_cupy.CupyRuntime(lambda: (CUPY, CUPYX))
XP = STAND_IN.xp
X = np.arange(6, dtype="float32").reshape(2, 3)
FLOATS = TensorType("float32", ("N", 3))


def model(build: Any, *inputs: tuple[str, TensorType]) -> Model:
    """A model whose outputs `build` makes of its inputs, named y0, y1, ..."""
    graph = Graph("m")
    made = build(*(graph.input(name, t) for name, t in inputs))
    for i, v in enumerate(made if isinstance(made, tuple) else (made,)):
        graph.output(v, f"y{i}")
    return Model(graph)


def gathering() -> Model:
    """A matrix and numbers of rows -> the rows."""
    return model(lambda x, i: ops.index.gather(x, i), ("x", FLOATS), ("i", TensorType("int64", ("M",))))


# ---- where it cannot run ------------------------------------------------------------------------------------------------------------


def _no_cupy() -> Any:
    raise ModuleNotFoundError("No module named 'cupy'", name="cupy")


def _broken() -> Any:
    raise ImportError("libcudart.so.12: cannot open shared object file")


def _without_driver() -> int:
    raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")


def _counting(count: Any) -> Any:
    """What gives modules of which one counts devices so."""
    cupy = SimpleNamespace(__version__="14.2.0", cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count)))
    return lambda: (cupy, None)


@pytest.mark.parametrize(
    ("libraries", "parts"),
    [
        (_no_cupy, ["CuPy is not installed", "pip install cupy-cuda12x", "cupy-cuda13x"]),
        (_broken, ["cannot be imported: libcudart.so.12", "pip install"]),
        (
            _counting(_without_driver),
            ["CuPy 14.2.0 finds no GPU (cudaErrorInsufficientDriver", "NVIDIA GPU with its driver", "--runtime numpy"],
        ),
        (_counting(lambda: 0), ["CuPy 14.2.0 finds no GPU; it takes an NVIDIA GPU", "--runtime numpy"]),
    ],
)
def test_it_says_why_it_cannot_run(libraries, parts):
    runtime: Any = graphir_cupy.CupyRuntime(libraries)
    reason = runtime.unavailable()
    assert reason is not None
    assert all(part in reason for part in parts), reason
    with pytest.raises(RuntimeError, match="runtime cupy cannot run here: CuPy"):
        graphir.compile(gathering(), runtime)


def test_one_line_on_the_command_line(capsys):
    from graphir.cli import main

    reason = graphir_cupy.runtime.unavailable()
    if reason is None:
        pytest.skip("there is a GPU")
    root = Path(__file__).parent.parent
    assert main(["run", str(root / "models/digits_mlp.onnx"), "--input", "x=zeros:1,64", "--runtime", "cupy"]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: runtime cupy cannot run here: {reason}"]
    assert main(["runtimes", "--json"]) == 0
    assert '"name": "cupy"' in capsys.readouterr().out


def test_nobody_else_imports_cupy():
    code = (
        "import sys, numpy as np, graphir, graphir_cupy; from graphir import Graph, Model, TensorType, ops; g = Graph('g'); "
        "g.output(ops.elementwise.exp(g.input('x', TensorType('float32', (2,)))), 'y'); "
        "graphir.compile(Model(g)).run({'x': np.zeros(2, 'float32')}); print([m for m in sys.modules if m.split('.')[0] in ('cupy', 'cupyx')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# ---- in and out ---------------------------------------------------------------------------------------------------------------------


class OfAnotherLibrary:
    """An array that speaks DLPack, and whose dtype is not NumPy's."""

    def __init__(self, x: Any):
        self.x, self.dtype, self.shape = x, "another.float32", x.shape

    def __dlpack__(self, **how: Any) -> Any:
        return self.x.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.x.__dlpack_device__()


@pytest.mark.parametrize(
    "make", [np.asarray, XP.asarray, np.ndarray.tolist, lambda x: OfAnotherLibrary(x), lambda x: OfAnotherLibrary(XP.asarray(x))]
)
def test_feeds(make):
    m = model(ops.elementwise.neg, ("x", FLOATS))
    np.testing.assert_array_equal(graphir.compile(m, STAND_IN).run({"x": make(X)})["y0"], -X)


def test_numpy_takes_dlpack_too():
    m = model(ops.elementwise.neg, ("x", FLOATS))
    np.testing.assert_array_equal(graphir.compile(m).run({"x": OfAnotherLibrary(X)})["y0"], -X)


def test_outputs_come_to_the_host_or_stay():
    m = model(lambda x: (ops.elementwise.neg(x), ops.shape.shape(x), ops.elementwise.cast(x, to="string")), ("x", FLOATS))
    host, device = graphir.compile(m, STAND_IN).run({"x": X}), graphir.compile(m, STAND_IN, outputs="device").run({"x": X})
    assert [type(y) for y in host.values()] == [np.ndarray] * 3
    assert [type(y) for y in device.values()] == [strict.Array, strict.Array, np.ndarray]
    with pytest.raises(ValueError, match="outputs is 'gpu'; expected 'host' or 'device'"):
        graphir.compile(m, STAND_IN, outputs="gpu")


def test_state():
    graph = Graph("counting")
    w = graph.weight("w", np.zeros(3, "float32"), "state")
    y = ops.elementwise.add(w, graph.input("x", TensorType("float32", (3,))))
    graph.output(y, "y")
    counting = Model(graph)
    counting.updates[w] = y
    program = graphir.compile(counting, STAND_IN)
    for _ in range(2):
        program.run({"x": np.ones(3, "float32")})
    other = program.clone()
    other.state["w"] = XP.asarray(np.full(3, 7, "float32"))
    assert program.state["w"].tolist() == [2, 2, 2]
    assert other.state["w"].tolist() == [7, 7, 7]
    assert isinstance(graphir.compile(counting, STAND_IN, outputs="device").state["w"], strict.Array)


def test_weights_are_brought_to_the_device_once(monkeypatch):
    m = model(lambda x: ops.math.matmul(x, x.graph.weight("w", np.ones((3, 4), "float32"))), ("x", FLOATS))
    program = graphir.compile(m, STAND_IN)
    brought = []
    monkeypatch.setattr(XP, "asarray", lambda x, *a, f=XP.asarray, **k: (brought.append(np.shape(x)), f(x, *a, **k))[1])
    for n in (2, 3, 2):
        program.run({"x": np.ones((n, 3), "float32")})
    assert brought.count((3, 4)) == 1
    assert brought.count((2, 3)) >= 2


# ---- where values live ---------------------------------------------------------------------------------------------------------------


def test_shapes_are_reckoned_on_the_host():
    """Shape, the arithmetic on it and the Reshape that reads it: nothing is waited for, and no transfer is there."""

    def build(x, n):
        half = ops.elementwise.div(ops.index.gather(ops.shape.shape(x), 0), 2)
        return ops.shape.reshape(x, ops.shape.concat(ops.shape.unsqueeze(ops.elementwise.mul(half, n), [0]), [-1], axis=0))

    m = model(build, ("x", FLOATS), ("n", TensorType("int64", ())))
    program = graphir.compile(m, STAND_IN, outputs="device")
    with strict.counted() as waits:
        assert program.run({"x": X, "n": np.int64(3)})["y0"].shape == (3, 2)
    assert not waits
    assert program.stages[-1].name == "place"
    assert "ToHost" not in str(program.stages[-1])


@pytest.mark.parametrize(
    ("build", "inputs", "transfers"),
    [
        (lambda x: ops.shape.reshape(x, ops.elementwise.cast(ops.reduce.reduce_sum(x, [1], keepdims=0), to="int64")), 1, ["ToHost"]),
        (lambda x: ops.elementwise.cast(ops.elementwise.neg(x), to="float8_e5m2"), 1, ["ToHost"]),
        (lambda x: ops.elementwise.neg(ops.elementwise.cast(ops.elementwise.cast(x, to="int4"), to="float32")), 1, ["ToHost", "ToDevice"]),
        (lambda x: ops.elementwise.neg(x), 1, []),
    ],
)
def test_transfers_are_nodes(build, inputs, transfers):
    shown = str(graphir.compile(model(build, ("x", FLOATS)), STAND_IN).stages[-1])
    assert [t for t in ("ToHost", "ToDevice") for _ in range(shown.count(t))] == transfers


def test_a_loop_counts_on_the_host():
    """The trip's number and a condition that follows from it need no transfer; one from the device's numbers needs one a trip."""
    graph = Graph("loop")
    x = graph.input("x", TensorType("float32", (3,)))
    body = Graph("body", graph)
    i, _, s = body.input("i", TensorType("int64", ())), body.input("go", TensorType("bool", ())), body.input("s", x.type)
    body.outputs = [ops.logic.less(i, 3), ops.elementwise.add(s, x)]
    m = graph.weight("m", np.int64(10))
    made = ops.control.loop(m, graph.weight("c", np.bool_(True)), x, body=body)
    graph.outputs = [made[0]]
    program = graphir.compile(Model(graph), STAND_IN, outputs="device")
    with strict.counted() as waits:
        (y,) = program.run({"x": np.ones(3, "float32")}).values()
    assert not waits
    assert y.get().tolist() == [5, 5, 5]


def test_what_lives_on_the_host_is_a_table_with_reasons():
    names = {op.name for op in OPS.values()}
    assert {k if isinstance(k, str) else k[0] for k in place.ON_HOST} <= names
    assert all(place.ON_HOST.values())
    for table in (place.READ, place.UNREAD):
        for name, inputs in table.items():
            op = next(op for op in OPS.values() if op.name == name)
            assert set(inputs) <= {i.name for i in op.inputs}, name


# ---- checks that are put off ---------------------------------------------------------------------------------------------------------


def test_a_place_out_of_range_is_told_in_the_end():
    program = graphir.compile(gathering(), STAND_IN)
    with pytest.raises(ValueError, match=r"node 'y0' \(Gather\): index 9 is out of range for axis 0 of size 2"):
        program.run({"x": X, "i": np.array([0, 9])})
    assert program.run({"x": X, "i": np.array([1])})["y0"].tolist() == [[3, 4, 5]]  # nothing is left over


def test_a_check_that_an_error_overtakes_is_forgotten():
    with pytest.raises(KeyError, match="first"), XP.quiet():
        XP.require(XP.asarray(False), lambda: ValueError("second"))
        raise KeyError("first")
    with XP.quiet():
        pass


def test_many_checks_do_not_pile_up():
    with pytest.raises(ValueError, match="the first"), XP.quiet():
        XP.require(XP.asarray(False), lambda: ValueError("the first"))
        for _ in range(namespace.MANY):
            XP.require(XP.asarray(True), lambda: ValueError("another"))
        raise AssertionError("not reached")


# ---- what differs from NumPy ----------------------------------------------------------------------------------------------------------


def test_overrides_are_listed_with_reasons():
    folder = Path(graphir_cupy.__file__).parent / "kernels"
    there = {
        node.name
        for path in folder.glob("[!_]*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    functions = {op.function: op.name for op in OPS.values() if not op.domain}
    assert {functions[f] for f in there} == OVERRIDES.keys()
    assert all(OVERRIDES.values())


def test_differences_are_listed_with_reasons():
    assert namespace.differences(CUPY).keys() == namespace.DIFFERENCES.keys()
    assert all(namespace.DIFFERENCES.values())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "uint64", "bool"])
@pytest.mark.parametrize("name", ["add", "maximum", "minimum"])
def test_scattering_in_every_dtype(name, dtype):
    """Atomic operations exist for some dtypes only; the others go by way of these."""
    if name == "add" and dtype == "bool":
        pytest.skip("there is no sum of truths")
    rng = np.random.default_rng(0)
    target, updates = (rng.integers(0 if dtype[0] in "ub" else -9, 10, n).astype(graphir.dtypes.DTYPES[dtype]) for n in (4, 20))
    places = rng.integers(0, 4, 20)
    expected = target.copy()
    getattr(np, name).at(expected, places, updates)
    made = XP.asarray(target)
    scatter = XP.scatter_add if name == "add" else getattr(XP, name).at
    scatter(made, (XP.asarray(places),), XP.asarray(updates))
    assert made.get().tolist() == expected.tolist()


def test_reductions():
    x = XP.asarray(X)
    assert XP.maximum.reduce(x, axis=()).get().tolist() == X.tolist()
    assert XP.maximum.reduce(x[:0], axis=0, initial=-np.inf).get().tolist() == [-np.inf] * 3
    assert XP.max(x, initial=9).get() == 9
    assert XP.min(x[:0], initial=4).get() == 4
    assert XP.add.reduce(x, axis=(0, 1), keepdims=True).shape == (1, 1)


def test_negative_floats_become_unsigned_as_on_numpy():
    m = model(lambda x: tuple(ops.elementwise.cast(x, to=t) for t in ("uint8", "uint32", "uint64")), ("x", FLOATS))
    x = np.array([[-1, 200, 3.7]], "float32")
    here, there = graphir.compile(m).run({"x": x}), graphir.compile(m, STAND_IN).run({"x": x})
    assert [y.tolist() for y in there.values()] == [y.tolist() for y in here.values()]
    assert XP.asarray(x).astype("uint8").get()[0, 0] == 0  # what CUDA would make of it


# ---- the stand-in refuses -----------------------------------------------------------------------------------------------------------


ARRAY = XP.asarray(X)


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda: ARRAY + X, TypeError),
        (lambda: X + ARRAY, TypeError),
        (lambda: CUPY.exp(X), TypeError),
        (lambda: CUPY.concatenate((ARRAY, X)), TypeError),
        (lambda: np.asarray(ARRAY), TypeError),
        (lambda: np.exp(ARRAY), TypeError),
        (lambda: np.concatenate((ARRAY, ARRAY)), TypeError),
        (lambda: CUPY.asarray(np.array(["a"], object)), TypeError),
        (lambda: CUPY.asarray(np.array(["a"])), TypeError),
        (lambda: ARRAY.astype("float8_e5m2"), TypeError),
        (lambda: ARRAY.__setitem__(CUPY.asarray([0, 0]), 1.0), strict.DuplicateIndex),
        (lambda: CUPY.sum(ARRAY, initial=0), TypeError),
        (lambda: ARRAY.sum(where=True), TypeError),
        (lambda: CUPY.add(ARRAY, 1, where=ARRAY > 0), TypeError),
        (lambda: CUPY.maximum.reduce(ARRAY), NotImplementedError),
        (lambda: CUPY.multiply.at(ARRAY, 0, 1), NotImplementedError),
        (lambda: CUPY.add.at(CUPY.zeros(2, "int8"), CUPY.asarray([0]), 1), TypeError),
        (lambda: CUPY.einsum_path, AttributeError),
        (lambda: ARRAY.newbyteorder, AttributeError),
        (lambda: CUPY.bitwise_and(ARRAY, ARRAY), TypeError),
        (lambda: CUPY.argsort(ARRAY, kind="quicksort"), ValueError),
    ],
)
def test_the_stand_in_refuses_what_cupy_refuses(attempt, error):
    with pytest.raises(error):
        attempt()


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (lambda x: x.item(), "item"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.get(), "get"),
    ],
)
def test_the_stand_in_counts_waits(ask, what):
    with strict.counted() as waits:
        ask(ARRAY[0, 1])
    assert dict(waits) == {what: 1}


def test_the_stand_in_is_what_the_table_says():
    """Every name that it offers is CuPy's, and a ufunc has CuPy's loops."""
    for path, module in (
        ("cupy", CUPY),
        ("cupyx.scipy.special", CUPYX.scipy.special),
        ("cupy.linalg", CUPY.linalg),
        ("cupy.fft", CUPY.fft),
    ):
        own = {"lib", "fft", "linalg", "random", "cuda"}
        assert {n for n in vars(module) if not n.startswith("_")} - own <= strict.TABLE[path].keys()
    assert isinstance(CUPY.add, Ufunc)
    assert CUPY.sqrt(CUPY.asarray(np.array([4], "int8"))).dtype == "float16"
    assert strict.TABLE["cupy"]["take"] == "(a, indices, axis=None, out=None)"
