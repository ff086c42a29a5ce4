"""ONNX Runtime as a runtime: the same answers as NumPy, on values, gradients and training; weights by reference; what it refuses is said with the node."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import graphir
from graphir import Graph, Model, SequenceType, TensorType, Value, ops, training
from graphir.ops._op import T, op
from graphir.ops._types import FLOAT
from graphir.plugins import LimitError, Limits
from graphir_onnxruntime import runtime
from graphir_onnxruntime.values import CODES, from_ort, to_ort
from samples import small

F32 = TensorType("float32", ("N", 4))
NUMBERS = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")


def f32(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def perceptron() -> Model:
    rng = np.random.default_rng(1)
    graph = Graph("perceptron")
    x = graph.input("x", F32)
    h = x
    for i, (n, m) in enumerate([(4, 96), (96, 3)]):
        w = graph.weight(f"w{i}", rng.standard_normal((n, m)).astype("float32") / n**0.5)
        h = ops.math.gemm(h, w, graph.weight(f"b{i}", np.zeros(m, np.float32))).named(f"h{i}")
        h = ops.elementwise.tanh(h) if i == 0 else h
    graph.output(h)
    return Model(graph)


def both(model: Model, feeds: dict, fetch: list[str] | None = None) -> tuple[dict, dict]:
    return graphir.compile(model).run(feeds, fetch), graphir.compile(model, "onnxruntime").run(feeds, fetch)


def agree(expected: dict, found: dict, tolerance: float = 1e-5) -> None:
    assert list(expected) == list(found)
    for name, x in expected.items():
        assert np.asarray(found[name]).dtype == np.asarray(x).dtype
        np.testing.assert_allclose(np.asarray(found[name], np.float64), np.asarray(x, np.float64), rtol=tolerance, atol=tolerance)


# ---- the same answers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fetch", [None, ["h0"], ["tanh", "h1"], ["x"], ["w0"], ["h1", "x", "b1"], []], ids=lambda f: "-".join(f or []) or str(f)
)
def test_values_by_address(fetch):
    agree(*both(perceptron(), {"x": NUMBERS}, fetch))


def test_gradients_of_gradients():
    first = graphir.gradient(perceptron(), of="h1")
    second = graphir.gradient(first, of="d_x", wrt=["x", "w0"])
    seeds = {v.name: np.ones((3, int(str(v.shape[1]))), np.float32) for v in second.inputs if v.name != "x"}
    expected, found = both(second, {"x": NUMBERS, **seeds})
    assert {"d_w0", "d2_x", "d2_w0"} <= found.keys()
    agree(expected, found)


def test_training_moves_the_state():
    step = training.step(perceptron(), optimizer=training.adam(0.01))
    batch = {"x": NUMBERS, "y": np.array([0, 1, 2])}
    programs = [graphir.compile(step, name) for name in ("numpy", "onnxruntime")]
    for _ in range(5):
        losses = [p.run(batch) for p in programs]
        agree(losses[0], losses[1])
    agree(dict(programs[0].state), dict(programs[1].state))
    one, other = programs[1], programs[1].clone()
    before = dict(one.state)
    one.run(batch, ["loss"])
    agree(before, dict(one.state), 0)
    other.run(batch)
    agree(before, dict(one.state), 0)
    assert not np.array_equal(other.state["w0"], before["w0"])
    one.state["learning_rate"] = 0.0
    one.state["adam_m_w0"] = np.zeros((4, 96), np.float32)
    frozen = one.state["w0"]
    one.run(batch)
    np.testing.assert_array_equal(one.state["w0"], frozen)
    with pytest.raises(TypeError):
        del one.state["w0"]


def test_state_is_the_programs_own():
    program = graphir.compile(training.step(perceptron()), "onnxruntime")
    mine = np.zeros((4, 96), np.float32)
    program.state["w0"] = mine
    mine[:] = 7
    program.state["w0"][:] = 7
    assert not program.state["w0"].any()
    handed = program.run({"x": NUMBERS, "y": [0, 1, 2]}, ["w0"])["w0"]
    handed[:] = 7
    assert not program.state["w0"].any()


def counter() -> Model:
    """Two states that swap."""
    graph = Graph("counter")
    a, b = graph.weight("a", f32(1), "state"), graph.weight("b", f32(2), "state")
    x = graph.input("x", TensorType("float32", (1,)))
    graph.output(ops.elementwise.add(ops.elementwise.add(a, x), 0.0), "y")
    graph.output(b)
    model = Model(graph)
    model.update(a, b)
    model.update(b, a)
    return model


def test_updates_that_no_node_makes():
    for name in ("numpy", "onnxruntime"):
        program = graphir.compile(counter(), name)
        found = [program.run({"x": f32(0)}) for _ in range(3)]
        assert [f["y"].item() for f in found] == [1, 2, 1], name
        assert [f["b"].item() for f in found] == [2, 1, 2], name
        assert (program.state["a"].item(), program.state["b"].item()) == (2, 1)


def test_a_state_in_a_body():
    graph = Graph("branch")
    x, take = graph.input("x", TensorType("float32", (2,))), graph.input("take", TensorType("bool", ()))
    yes, no = Graph("yes", graph), Graph("no", graph)
    w = yes.weight("w", f32(3, 4), "state")
    yes.output(ops.elementwise.mul(x, w))
    with no:
        no.output(ops.elementwise.neg(x))
    graph.output(ops.control.if_(take, then_branch=yes, else_branch=no)[0], "y")
    program = graphir.compile(Model(graph), "onnxruntime")
    (address,) = program.state
    feeds = {"x": f32(1, 1), "take": np.array(True)}
    assert program.run(feeds)["y"].tolist() == [3, 4]
    program.state[address] = [5, 6]
    assert program.run(feeds)["y"].tolist() == [5, 6]
    assert program.run(feeds, [address])[address].tolist() == [5, 6]


# ---- kinds of values ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", list(CODES), ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (3, 3), (0, 2)], ids=str)
def test_types_that_numpy_lacks_go_there_and_back(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    back = from_ort(to_ort(array))
    assert back.dtype == dtype and back.shape == shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
def test_narrow_feeds_and_results(dtype):
    graph = Graph("narrow")
    x = graph.input("x", TensorType(dtype, ("N",)))
    wide = graph.output(ops.elementwise.cast(x, to="float32"), "wide")
    graph.output(ops.elementwise.cast(ops.elementwise.mul(wide, 2.0), to=dtype), "narrow")
    array = np.array([0, 1, 2, 3, 1]).astype(getattr(ml_dtypes, dtype))
    expected, found = both(Model(graph), {"x": array})
    assert found["narrow"].dtype == array.dtype
    agree(expected, found, 0)


def test_strings_sequences_and_defaults():
    graph = Graph("mixed")
    words = graph.input("words", TensorType("string", ("N",)))
    parts = graph.input("parts", SequenceType(TensorType("float32", None)))
    shift = graph.default(graph.input("shift", TensorType("float32", ())), np.float32(1))
    graph.output(ops.elementwise.identity(words), "same")
    graph.output(ops.elementwise.add(ops.sequence.sequence_at(parts, 0), shift), "first")
    graph.output(ops.sequence.sequence_insert(parts, shift), "longer")
    model = Model(graph)
    feeds = {"words": np.array(["a", "é"], object), "parts": [f32(1, 2), f32(3)]}
    for more in ({}, {"shift": np.float32(5)}):
        expected, found = both(model, {**feeds, **more})
        assert found["same"].tolist() == expected["same"].tolist()
        np.testing.assert_array_equal(found["first"], expected["first"])
        assert [x.tolist() for x in found["longer"]] == [x.tolist() for x in expected["longer"]]


def test_results_are_the_callers_own():
    program = graphir.compile(perceptron(), "onnxruntime")
    x = NUMBERS.copy()
    first = program.run({"x": x}, ["x", "w0", "h1"])
    for array in first.values():
        assert not np.shares_memory(array, x)
        array[:] = 9
    second = program.run({"x": x}, ["x", "w0", "h1"])
    assert not any((array == 9).all() for array in second.values())


# ---- weights by reference -----------------------------------------------------------------------------------------------------------


def test_weights_are_not_copied():
    """The process does not grow by the size of a weight when a program is made: in a process of its own, where nothing else grows."""
    code = """
import numpy as np, graphir
from graphir import Graph, Model, TensorType, ops

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def program(n):
    graph = Graph()
    w = graph.weight("w", np.frombuffer(np.ones(n, np.float32).tobytes(), np.float32))
    graph.output(ops.index.gather(w, graph.input("at", TensorType("int64", ("N",)))), "y")
    model = Model(graph)
    before = resident()
    found = graphir.compile(model, "onnxruntime")
    assert found.run({"at": np.array([3])})["y"].tolist() == [1]
    assert found.run({"at": np.array([3])}, ["y", "at"])["y"].tolist() == [1]
    return found, resident() - before

program(1000)
print(program(50_000_000)[1])
"""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 50e6, "a weight of 200 MB was copied"


def test_weights_are_the_arrays_themselves():
    data = np.ones(1000, np.float32)
    data.flags.writeable = False
    graph = Graph("reference")
    graph.output(ops.index.gather(graph.weight("w", data), graph.input("x", TensorType("int64", ("N",)))), "y")
    program = runtime.compile(Model(graph))
    data.flags.writeable = True
    data[0] = 5  # nobody should: it shows whose memory is read
    assert program.run({"x": np.array([0, 1])})["y"].tolist() == [5, 1]


def test_bytes_without_weights():
    """What the runtime asks of the format: bytes that leave out the data of weights that are handed over by themselves."""
    model = perceptron()
    whole, bare = graphir.dumps(model, "onnx"), graphir.dumps(model, "onnx", without=["w0"])
    assert 0 < len(whole) - len(bare) < 4 * 96 * 4
    weights = graphir.loads(bare, "onnx").weights
    assert weights["w1"].tensor == model.weights["w1"].tensor
    assert isinstance(left_out := weights["w0"].tensor, graphir.Tensor) and left_out.storage == "external" and left_out.shape == (4, 96)


# ---- what it cannot do --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "feeds",
    [{}, {"x": NUMBERS, "z": NUMBERS}, {"x": NUMBERS.astype("float64")}, {"x": NUMBERS[:, :2]}, {"x": ["a"]}],
    ids=["missing", "unknown", "dtype", "shape", "strings"],
)
def test_feeds_that_do_not_fit_are_told_as_numpy_tells_them(feeds):
    messages = []
    for name in ("numpy", "onnxruntime"):
        with pytest.raises(ValueError) as e:
            graphir.compile(perceptron(), name).run(feeds)
        messages.append(str(e.value))
    assert messages[0] == messages[1]


def branch() -> Model:
    graph = Graph("branch")
    x = graph.input("x", TensorType("float32", (2,)))
    yes, no = Graph("yes", graph), Graph("no", graph)
    with yes:
        yes.output(ops.elementwise.mul(x, 2.0), "twice")
    with no:
        no.output(ops.elementwise.neg(x))
    (y,) = ops.control.if_(graph.input("take", TensorType("bool", ())), then_branch=yes, else_branch=no)
    graph.output(y, "y")
    return Model(graph)


def test_addresses_that_cannot_be_fetched():
    program = graphir.compile(branch(), "onnxruntime")
    feeds = {"x": f32(1, 2), "take": np.array(True)}
    (address,) = (a for a, v in branch().addresses().items() if v.name == "twice")
    with pytest.raises(ValueError, match=r"twice is made in a body, .*runtime numpy"):
        program.run(feeds, [address])
    with pytest.raises(KeyError, match="no value 'yy' in the model; did you mean y"):
        program.run(feeds, ["yy"])
    with pytest.raises(KeyError, match=r"no state 'w0'.* it is constant: set its `kind`"):
        graphir.compile(perceptron(), "onnxruntime").state["w0"] = 1
    with pytest.raises(ValueError, match=r"the state 'w0' is float32\[4, 96\]; it was given float32\[2\]"):
        graphir.compile(training.step(perceptron()), "onnxruntime").state["w0"] = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="threads is 0; expected at least 1"):
        graphir.compile(perceptron(), "onnxruntime", threads=0)


def single(operator, *types: TensorType, **attributes) -> Model:
    graph = Graph("single")
    graph.output(operator(*(graph.input(f"x{i}", t) for i, t in enumerate(types)), **attributes), "y")
    graph.nodes[-1].name = "the_node"
    return Model(graph)


def test_a_refusal_names_the_node():
    with pytest.raises(
        TypeError, match=r"ONNX Runtime 1\S+ refuses the model: node 'the_node' \(Erf\): Could not find an implementation for Erf"
    ):
        graphir.compile(single(ops.elementwise.erf, TensorType("float64", (2,))), "onnxruntime")
    foreign = graphir.loads(graphir.dumps(small(), "onnx"), "onnx")
    foreign.graph.nodes[0].op = graphir.ir.Operator("no.such.domain", "Thing")
    foreign.graph.nodes[0].name = "odd"
    with pytest.raises(TypeError, match=r"node 'odd' \(no\.such\.domain\.Thing\)"):
        graphir.compile(foreign, "onnxruntime")


def test_an_error_while_it_runs_names_the_node():
    program = graphir.compile(single(ops.shape.reshape, TensorType("float32", ("N",)), TensorType("int64", (1,))), "onnxruntime")
    with pytest.raises(ValueError, match=r"^node 'the_node' \(Reshape\): "):
        program.run({"x0": np.ones(3, np.float32), "x1": np.array([2])})


def test_what_it_lacks_is_decomposed():
    """An operator of another package, and one of the standard's that has no kernel for the type."""

    @op("Twice", since=1, domain="test.onnxruntime", T=FLOAT)
    def twice(x: T) -> Value:
        """x + x."""
        return ops.elementwise.add(x, x)

    agree(*both(single(twice, F32), {"x0": NUMBERS}))
    for lacking in (ops.activation.hard_sigmoid, ops.activation.hard_swish):  # the second is made of the first, by ONNX Runtime itself
        agree(*both(single(lacking, TensorType("float64", ("N", 4))), {"x0": NUMBERS.astype("float64")}))


def test_wall_time_is_bounded():
    graph = Graph("long")
    body = Graph("body", graph)
    body.input("i", TensorType("int64", ()))
    go, x = body.input("go", TensorType("bool", ())), body.input("x", TensorType("float32", ()))
    with body:
        body.outputs = [ops.elementwise.identity(go), ops.elementwise.add(x, 1.0)]
    (y,) = ops.control.loop(
        graph.weight("trips", np.array(2**40)), graph.weight("on", np.array(True)), graph.input("x0", x.type), body=body
    )
    graph.output(y, "y")
    program = graphir.compile(Model(graph), "onnxruntime", limits=Limits(seconds=0.3))
    with pytest.raises(LimitError, match=r"the work took more than 0\.3 s"):
        program.run({"x0": np.float32(0)})


# ---- looking inside -----------------------------------------------------------------------------------------------------------------


def test_random_numbers_follow_the_seed():
    model = single(ops.create.random_normal_like, F32)

    def draw(seed: int) -> np.ndarray:
        return graphir.compile(model, "onnxruntime", seed=seed).run({"x0": NUMBERS})["y"]

    assert np.array_equal(draw(3), draw(3)) and not np.array_equal(draw(3), draw(4))
    program = graphir.compile(model, "onnxruntime", seed=3)
    assert np.array_equal(program.run({"x0": NUMBERS})["y"], program.clone().run({"x0": NUMBERS})["y"])


def test_stages_source_and_threads():
    program = graphir.compile(perceptron(), "onnxruntime", threads=1)
    assert program.source == ""
    program.run({"x": NUMBERS})
    assert "Gemm" in program.source and "h0" in program.source
    assert [s.split("---")[1].strip() for s in program.stages] == ["as given", "for ONNX Runtime", "optimized by ONNX Runtime"]


def test_later_edits_do_not_reach_a_program():
    model = perceptron()
    program = graphir.compile(model, "onnxruntime")
    expected = program.run({"x": NUMBERS})["h1"]
    model.graph.weights["w0"].tensor = graphir.Tensor.of(np.zeros((4, 96), np.float32))
    model.graph.outputs = ()
    np.testing.assert_array_equal(program.clone().run({"x": NUMBERS})["h1"], expected)


def test_without_the_package_it_says_how_to_get_it():
    code = (
        "import sys; sys.modules['onnxruntime'] = None; import graphir; from graphir.plugins import runtimes; "
        "print(runtimes()['onnxruntime'].unavailable()); graphir.compile(graphir.Model(graphir.Graph()), 'onnxruntime')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "onnxruntime is not installed; pip install onnxruntime" in done.stdout
    assert "RuntimeError: runtime onnxruntime cannot run here: " in done.stderr


@pytest.mark.parametrize(
    "code", ["import graphir_numpy", "import graphir_onnxruntime", "import graphir; graphir.compile(graphir.Model(graphir.Graph()))"]
)
def test_onnxruntime_is_imported_when_it_is_used(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('onnxruntime' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr
