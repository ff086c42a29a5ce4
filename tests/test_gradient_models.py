"""Gradients of whole models: exported ones and hand-made ones, held against ONNX Runtime, PyTorch and differences; names, patterns, errors."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import graphir
import graphir_onnx
from data.torch_gradients import REFERENCE, digest, model_input, seed
from graphir import GradientError, Graph, Model, TensorType, Value, Weight, ops
from graphir.ops import Op
from graphir.ops._op import T, op
from graphir.passes.upgrade import upgrade

TESTS = Path(__file__).parent
TORCH = sorted((TESTS / "data/torch").glob("*.onnx"))
DIGITS = sorted((TESTS.parent / "models").glob("digits_*.onnx"))
EVERY_FILE = pytest.mark.parametrize("path", [*TORCH, *DIGITS], ids=lambda p: p.stem)
EVERY_TORCH_FILE = pytest.mark.parametrize("path", TORCH, ids=lambda p: p.stem)


def feeds_of(model: Model, path: Path) -> dict[str, Any]:
    """What goes into a model and its seeds."""
    x = model.inputs[0]
    given = model_input(path.stem.split("_")[0]) if path in TORCH else np.random.default_rng(0).standard_normal((2, *x.shape[1:]))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return {x.name: given.astype(x.dtype)}


def with_seeds(model: Model, feeds: dict[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    made = graphir.compile(model).run(feeds)
    return feeds | {f"seed_{name}": seed(i, made[name].shape) for i, name in enumerate(outputs)}


def with_loss(model: Model) -> Model:
    """The model with the mean of the squares of its first output as one more output."""
    model = upgrade(model.copy())
    y = model.outputs[0]
    model.graph.output(ops.reduce.reduce_mean(ops.elementwise.mul(y, y), keepdims=0), "loss")
    return model


def agrees_with_onnxruntime(model: Model, feeds: dict[str, Any]) -> onnx.ModelProto:
    """The model as ONNX, which the checker finds valid, and of which ONNX Runtime makes what graphir does."""
    proto = graphir_onnx.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    made = graphir.compile(model).run(feeds)
    expected: dict[str, Any] = dict(zip([v.name for v in session.get_outputs()], session.run(None, feeds)))
    assert list(made) == list(expected)
    for name, want in expected.items():
        assert made[name].dtype == want.dtype
        np.testing.assert_allclose(made[name], want, rtol=1e-4, atol=1e-4 * max(np.abs(want).max(initial=0), 1e-3), err_msg=name)
    return proto


# ---- exported models ----------------------------------------------------------------------------------------------------------------


@EVERY_FILE
def test_with_seeds_as_in_onnxruntime(path: Path) -> None:
    model = graphir.load(path)
    outputs = [v.name for v in model.outputs]
    found = graphir.gradient(model, of=outputs)
    assert len(found.gradients) >= 6
    proto = agrees_with_onnxruntime(found, with_seeds(model, feeds_of(model, path), outputs))
    assert proto.opset_import[0].version == model.opsets[""]
    assert not proto.functions and {node.domain for node in proto.graph.node} == {""}


OPSETS = {"digits_mlp": (13, 15, 21), "mlp_script_fixed": (13, 17, 18, 19, 21, 23), "transformer_dynamo_symbolic": (17, 18, 22)}


@pytest.mark.parametrize(("stem", "opset"), [(stem, opset) for stem, opsets in OPSETS.items() for opset in opsets])
def test_the_opset_stays(stem: str, opset: int) -> None:
    path = next(p for p in (*TORCH, *DIGITS) if p.stem == stem)
    model = graphir.loads(graphir.dumps(graphir.load(path), "onnx", opset=opset), "onnx")
    assert model.opsets[""] == opset
    outputs = [v.name for v in model.outputs]
    proto = agrees_with_onnxruntime(graphir.gradient(model, of=outputs), with_seeds(model, feeds_of(model, path), outputs))
    assert proto.opset_import[0].version == opset


def test_the_opset_rises_where_it_must() -> None:
    """The gradient of MaxPool adds up in ScatterElements, which does so since opset 16."""
    graph = Graph("pool")
    x = graph.input("x", TensorType("float32", ("N", 2, 7)))
    graph.output(ops.nn.max_pool(x, kernel_shape=(3,), strides=(2,))[0], "y")
    model = Model(graph)
    assert graphir_onnx.to_proto(model).opset_import[0].version == 13
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 2, 7)).astype(np.float32)}
    assert agrees_with_onnxruntime(graphir.gradient(model), with_seeds(model, feeds, ["y"])).opset_import[0].version == 16


@EVERY_FILE
def test_of_a_loss_as_in_onnxruntime(path: Path) -> None:
    model = graphir.load(path)
    found = graphir.gradient(with_loss(model), of="loss")
    assert [v.name for v in found.inputs] == [v.name for v in model.inputs]
    proto = agrees_with_onnxruntime(found, feeds_of(model, path))
    assert proto.opset_import[0].version <= max(model.opsets[""], 18)  # from which version on the axes of ReduceMean are an input


@EVERY_FILE
def test_agrees_with_differences(path: Path) -> None:
    model = graphir.load(path)
    report = graphir.check_gradient(model, of=[v.name for v in model.outputs], feeds=feeds_of(model, path))
    assert report.ok, f"\n{report}"


@EVERY_TORCH_FILE
def test_parameters_have_the_gradients_of_pytorch(path: Path) -> None:
    """tests/data/torch_gradients.py made the reference."""
    reference: dict[str, list[float]] = json.loads(REFERENCE.read_text())[path.stem]
    model = graphir.load(path)
    outputs = [v.name for v in model.outputs]
    found = graphir.gradient(model, of=outputs, wrt=list(reference))
    made = graphir.compile(found).run(with_seeds(model, feeds_of(model, path), outputs))
    for name, (norm, along) in reference.items():
        assert np.allclose(digest(made[f"d_{name}"]), (norm, along), rtol=0, atol=1e-4 * norm), name


def test_every_exported_model_has_a_reference() -> None:
    assert {p.stem for p in TORCH} == json.loads(REFERENCE.read_text()).keys()


# ---- the shape of what comes out ----------------------------------------------------------------------------------------------------


def perceptron(batch: Any = 64) -> Model:
    """64 rows of 784 numbers through three layers to a cross entropy."""
    rng = np.random.default_rng(0)
    graph = Graph("mlp")
    h = graph.input("x", TensorType("float32", (batch, 784)))
    sizes = [784, 256, 128, 10]
    for i, (n, m) in enumerate(pairwise(sizes), 1):
        w = graph.weight(f"w{i}", (rng.standard_normal((n, m)) / n**0.5).astype(np.float32))
        h = ops.math.gemm(h, w, graph.weight(f"b{i}", np.zeros(m, np.float32))).named(f"z{i}")
        h = ops.activation.relu(h).named(f"h{i}") if i < 3 else h
    loss, _ = ops.loss.softmax_cross_entropy_loss(h, graph.input("y", TensorType("int64", (batch,))))
    graph.output(loss, "loss")
    return Model(graph)


@pytest.mark.parametrize("batch", (64, "N"))
def test_the_gradients_of_a_perceptron_take_few_nodes(batch: Any) -> None:
    found = graphir.gradient(perceptron(batch), wrt=["w*", "b*"])
    assert len(found.gradients) == 6
    nodes = [node.op.name for node in found.graph.nodes if node.op.name != "Constant"]
    assert len(nodes) <= 24, nodes
    rng = np.random.default_rng(1)
    feeds = {"x": rng.standard_normal((64, 784)).astype(np.float32), "y": rng.integers(0, 10, 64)}
    assert agrees_with_onnxruntime(found, feeds).opset_import[0].version <= 18


def test_values_and_gradients_have_names_that_read() -> None:
    text = str(graphir.gradient(perceptron()))
    assert text == str(graphir.gradient(perceptron()))
    for name in ("d_z1", "d_h1", "d_z3", "d_w1", "d_b3", "d_x"):
        assert f"\n  {name}: " in text


def chain() -> Model:
    """loss = sum(tanh(x * w + b) ** 2), with a hidden value that nobody reads."""
    graph = Graph("chain")
    x = graph.input("x", TensorType("float32", ("N", 3)))
    w, b = graph.weight("w", np.array([1, 2, 3], np.float32)), graph.weight("b", np.array([0.1, 0.2, 0.3], np.float32))
    h = ops.elementwise.tanh(ops.elementwise.add(ops.elementwise.mul(x, w).named("product"), b).named("z")).named("h")
    ops.elementwise.mul(x, w).named("unread")
    graph.output(ops.reduce.reduce_sum(ops.elementwise.mul(h, h), keepdims=0), "loss")
    return Model(graph)


X = np.array([[0.5, -0.2, 0.1], [1.0, 0.3, -0.4]], np.float32)


def test_what_was_there_stays() -> None:
    model = chain()
    before = str(model)
    found = graphir.gradient(model)
    assert str(model) == before
    assert [v.name for v in found.outputs] == ["loss", "d_x", "d_w", "d_b"]
    assert found.gradients == {("loss", "x"): "d_x", ("loss", "w"): "d_w", ("loss", "b"): "d_b"}
    kept = [v.name for v in model.graph.values()]
    assert [v.name for v in found.graph.values() if v.name in kept] == kept
    run = graphir.compile(found).run({"x": X}, fetch=["unread", "product", "h"])
    np.testing.assert_array_equal(run["unread"], run["product"])


def test_gradients_are_right_and_of_the_shape_of_what_they_are_for() -> None:
    made = graphir.compile(graphir.gradient(chain())).run({"x": X})
    w, b = np.array([1, 2, 3], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    h = np.tanh(X * w + b)
    dz = 2 * h * (1 - h * h)
    for name, want in {"d_x": dz * w, "d_w": (dz * X).sum(axis=0), "d_b": dz.sum(axis=0)}.items():
        np.testing.assert_allclose(made[name], want, rtol=1e-5)


def test_second_derivatives() -> None:
    first = graphir.gradient(chain(), of="loss", wrt="x")
    second = graphir.gradient(first, of="d_x", wrt="x")
    assert second.gradients == {("loss", "x"): "d_x", ("d_x", "x"): "d2_x"}
    assert [v.name for v in second.inputs] == ["x", "seed_d_x"]
    made = graphir.compile(second).run({"x": X, "seed_d_x": np.ones_like(X)})
    w, b = np.array([1, 2, 3], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    h = np.tanh(X * w + b)
    np.testing.assert_allclose(made["d2_x"], w * w * (1 - h * h) * (2 - 6 * h * h), rtol=1e-4)
    agrees_with_onnxruntime(second, {"x": X, "seed_d_x": np.ones_like(X)})
    assert graphir.check_gradient(first, of="d_x").ok


def test_a_gradient_that_is_there_already_gets_a_name_of_its_own() -> None:
    """The gradients of a + b are one and the same, and that of a product is the other factor."""
    graph = Graph("sums")
    a, b, c = (graph.input(n, TensorType("float32", ())) for n in "abc")
    graph.output(ops.elementwise.mul(ops.elementwise.add(a, b).named("s"), c), "y")
    graph.output(graph.outputs[0].node.inputs[0], None)  # pyright: ignore[reportOptionalMemberAccess, reportArgumentType]
    found = graphir.gradient(Model(graph), of="y")
    made = graphir.compile(found).run({n: np.float32(i) for i, n in enumerate("abc", 2)})
    assert {n: float(x) for n, x in made.items()} == {"y": 20, "s": 5, "d_a": 4, "d_b": 4, "d_c": 5}
    assert {n: float(x) for n, x in graphir.compile(found).run({"a": 1, "b": 2, "c": 3}, fetch=["s", "d_c"]).items()} == {"s": 3, "d_c": 3}


def test_the_sum_of_several_values_is_differentiated() -> None:
    found = graphir.gradient(chain(), of=["loss", "h"], wrt="b")
    assert found.gradients == {("loss+h", "b"): "d_b"}
    made = graphir.compile(found).run({"x": X, "seed_h": np.full_like(X, 2)})
    h = np.tanh(X * [1, 2, 3] + [0.1, 0.2, 0.3])
    np.testing.assert_allclose(made["d_b"], ((2 * h + 2) * (1 - h * h)).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "gir"])
def test_gradients_are_known_after_a_file(format: str) -> None:
    found = graphir.gradient(chain(), wrt=["w", "b"])
    read = graphir.loads(graphir.dumps(found, format), format)
    assert read.gradients == found.gradients
    assert read.metadata == {}
    assert graphir.dumps(read, format) == graphir.dumps(found, format)


def test_metadata_that_only_looks_like_gradients_stays() -> None:
    for text in ("", "[", "{}", '[["a", "b"]]', '[["a", "b", 1]]', '[["a","b","c"]]', '{"abc": 1}', "[[[],[],[]]]"):
        proto = graphir_onnx.to_proto(chain())
        proto.metadata_props.add(key="graphir.gradients", value=text)
        model = graphir_onnx.from_proto(proto)
        assert (model.gradients, model.metadata) == ({}, {"graphir.gradients": text})
        assert graphir_onnx.to_proto(model) == proto


# ---- what gradients are with respect to ---------------------------------------------------------------------------------------------


def branching() -> Model:
    """A weight in a branch, one in a Constant node, one that nothing hangs on, and whole numbers."""
    graph = Graph("branching")
    x = graph.input("x", TensorType("float32", (3,)))
    graph.input("ids", TensorType("int64", (2,)))
    scale = ops.create.constant(graph, value=graphir.Tensor.of(np.array([2.0, 3.0, 4.0], np.float32))).named("scale")
    then, other = ops.control.body_in(graph, "then"), ops.control.body_in(graph, "else")
    w = then.weight("w", np.array([1.0, -1.0, 2.0], np.float32))
    with then:
        ops.control.yields(then, ops.elementwise.mul(x, w))
    with other:
        ops.control.yields(other, ops.elementwise.mul(x, ops.create.constant(other, value_floats=(5.0, 6.0, 7.0)).named("k")))
    (y,) = ops.control.if_(graph.input("c", TensorType("bool", ())), then_branch=then, else_branch=other)
    node = y.node
    assert node is not None
    node.name = "if"
    graph.weight("aside", np.ones(3, np.float32))
    graph.output(ops.reduce.reduce_sum(ops.elementwise.mul(y, scale), keepdims=0), "loss")
    return Model(graph)


PATTERNS: list[tuple[Any, list[str]]] = [
    (None, ["x", "scale", "if/then_branch/w", "if/else_branch/k"]),
    ("x", ["x"]),
    ("*", ["x", "scale", "if/then_branch/w", "if/else_branch/k"]),
    ("if/*", ["if/then_branch/w", "if/else_branch/k"]),
    (["scale", "x"], ["scale", "x"]),
    (["if/*", "x", "if/then_branch/w"], ["if/then_branch/w", "if/else_branch/k", "x"]),
    (["?", "if/w"], ["x", "if/then_branch/w"]),
]


@pytest.mark.parametrize(("wrt", "names"), PATTERNS)
def test_wrt(wrt: Any, names: list[str]) -> None:
    found = graphir.gradient(branching(), wrt=wrt)
    assert [name for _, name in found.gradients] == names
    x = np.array([1.0, 2.0, 3.0], np.float32)
    w, k, scale = np.array([1.0, -1.0, 2.0]), np.array([5.0, 6.0, 7.0]), np.array([2.0, 3.0, 4.0])
    for c in (True, False):
        want = {
            "x": scale * (w if c else k), "scale": x * (w if c else k),
            "if/then_branch/w": x * scale * c, "if/else_branch/k": x * scale * (not c),
        }  # fmt: skip
        made = graphir.compile(found).run({"x": x, "ids": np.zeros(2, np.int64), "c": np.array(c)})
        for name in names:
            np.testing.assert_array_equal(made[f"d_{name}"], want[name])


def test_weights_of_bodies_keep_their_addresses() -> None:
    found = graphir.gradient(branching(), wrt="*")
    for name in ("if/then_branch/w", "if/else_branch/k", "scale"):
        weight = found.find(name)
        assert isinstance(weight, Weight) and weight.graph is found.graph
        np.testing.assert_array_equal(graphir.compile(found).run({"x": X[0], "c": np.array(True)}, fetch=[name])[name], weight.tensor.array)  # pyright: ignore[reportAttributeAccessIssue]
    onnx.checker.check_model(graphir_onnx.to_proto(found), full_check=True)
    assert graphir.check_gradient(branching(), wrt="*", feeds={"c": np.array(True)}).ok


CALLING = """<ir_version: 9, opset_import: ["": 18, "local": 1]> calling (float[N, 3] x) => (float[N, 3] y) { y = local.leak <alpha = 0.5> (x) }
<domain: "local", opset_import: ["": 18]> leak <alpha> (a) => (b)
{ w = Constant <value_floats = [2.0, 3.0, 4.0]> () t = LeakyRelu <alpha: float = @alpha> (a) b = Mul (t, w) }"""


def test_functions_are_inlined() -> None:
    model = graphir_onnx.from_proto(onnx.parser.parse_model(CALLING))
    found = graphir.gradient(model, wrt="*")
    assert found.gradients == {("y", "x"): "d_x", ("y", "y/w"): "d_y/w"}
    proto = agrees_with_onnxruntime(found, {"x": X, "seed_y": np.ones_like(X)})
    assert not proto.functions
    assert [(x.domain, x.version) for x in proto.opset_import] == [("", 18)]


# ---- what is refused ----------------------------------------------------------------------------------------------------------------


def with_foreign(on_the_path: bool) -> Model:
    """y = f(x) + x, and g(x) beside it; f, or g alone, is an operator that nobody declared."""
    graph = Graph("foreign")
    x = graph.input("x", TensorType("float32", (3,)))
    foreign = graphir.ir.Operator("com.example", "Strange")
    strange = graph.append(foreign, (x,), {}, [None], "odd", ["strange"]).outputs[0]
    h = strange if on_the_path else ops.elementwise.exp(x)
    y = graph.append(ops.elementwise.add, (h, x), {}, [TensorType("float32", (3,))], "", ["y"]).outputs[0]
    assert y is not None
    y.declared = y.type
    graph.output(y)
    return Model(graph)


def test_a_foreign_node_beside_the_path_is_carried() -> None:
    found = graphir.gradient(with_foreign(on_the_path=False))
    assert "com.example.Strange" in {str(node.op) for node in found.graph.nodes}
    assert list(found.gradients.values()) == ["d_x"]


@op("Undifferentiated", since=1, domain="com.example", T=frozenset([np.dtype("float32"), np.dtype("float64")]))
def undifferentiated(x: T) -> TensorType:
    """An operator without a gradient rule."""
    return x.type


def with_op(declared: Op) -> Model:
    graph = Graph("model")
    x = graph.input("x", TensorType("float32", (3,)))
    y = declared(ops.elementwise.exp(x).named("h"))
    assert isinstance(y, Value) and y.node is not None
    y.node.name = "n"
    graph.output(y.named("y"))
    return Model(graph)


REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (branching, {"wrt": "ids"}, GradientError, r"ids is int64\[2\]; gradients are with respect to tensors of floats"),
    (branching, {"wrt": "scales"}, KeyError, "no value 'scales' in the model; did you mean scale"),
    (branching, {"wrt": "nothing*"}, KeyError, r"no value 'nothing\*' in the model"),
    (branching, {"wrt": "aside"}, GradientError, "no path leads from aside to loss"),
    (branching, {"wrt": ["x", "asi*"]}, GradientError, "no path leads from aside to loss"),
    (branching, {"wrt": "loss"}, GradientError, "loss is made by ReduceSum; gradients are with respect to inputs and weights"),
    (branching, {"of": "los"}, KeyError, "no value 'los' in the model; did you mean loss"),
    (branching, {"of": "ids"}, GradientError, r"ids is int64\[2\]; only a tensor of floats can be differentiated"),
    (branching, {"of": "if/then_branch/w"}, GradientError, "only values of the main graph"),
    (branching, {"of": []}, GradientError, "`of` is empty"),
    (branching, {"of": "aside", "wrt": "x"}, GradientError, "no path leads from x to aside"),
    (lambda: graphir.gradient(chain()), {}, GradientError, r"4 float outputs \(loss, d_x, d_w, d_b\); say with `of` which is meant"),
    (lambda: with_foreign(True), {}, GradientError, "com.example.Strange of node 'odd' is not declared .*it lies on the path x -> odd"),
    (lambda: with_op(undifferentiated), {}, GradientError, "no gradient rule for com.example.Undifferentiated, which node 'n' applies; .* x -> h -> n"),
    (lambda: with_op(ops.elementwise.floor), {"wrt": "x"}, GradientError, "no path leads from x to y"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "arguments", "error", "message"), REFUSED)
def test_refused(make: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = make()
    with pytest.raises(error, match=message):
        graphir.gradient(model, **arguments)
