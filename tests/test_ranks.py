"""Ranks that a file leaves open: readers tell them; where they stay open, gradients work in any rank, or the error says what to do."""

import time
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir
from graphir import Graph, Model, TensorType, ops

RNG = np.random.default_rng(0)


def f(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype("f4")


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> Any:
    """A node on names; `-` stands for an input that is left out."""
    return helper.make_node(op, [n if n != "-" else "" for n in inputs.split()], outputs.split(), **attributes)


def branch(op: str, *inputs: str) -> Any:
    made = f"{op}_made"
    return helper.make_graph([helper.make_node(op, inputs, [made])], op, [], [helper.make_empty_tensor_value_info(made)])


SQUEEZE = [node("Squeeze", "x", "s")]
# x.squeeze(1), as PyTorch exports it where the size is not known
IF_SQUEEZE = [
    node("Shape", "x", "sh"), node("Gather", "sh k1", "d1", axis=0), node("Equal", "d1 k1", "is1"),
    node("If", "is1", "s", then_branch=branch("Squeeze", "x", "ax"), else_branch=branch("Identity", "x")),
]  # fmt: skip
K: Any = {"k1": np.array(1), "ax": np.array([1])}
Row = tuple[list[Any], list[Any] | None, dict[str, Any], list[Any] | None, tuple[int, ...], str | None, int]


def row(
    nodes: list[Any],
    x: list[Any] | None,
    given: tuple[int, ...],
    s: str | None,
    y: list[Any] | None = None,
    opset: int = 17,
    **weights: Any,
) -> Row:
    """nodes behind x, the declared type of x and of y, a shape to run, and the type of s that is expected: None where it stays open."""
    return nodes, x, weights, y, given, s, opset


ROWS: dict[str, Row] = {
    "MatMul and a declared output": row(
        [*SQUEEZE, node("MatMul", "s v", "m"), node("Add", "m b")], ["N", 16, 1, 1], (5, 16, 1, 1), "[N, 16]", ["N", 3], v=f(16, 3), b=f(3)
    ),
    "Conv": row([*SQUEEZE, node("Conv", "s k", pads=[1, 1])], ["N", "C", 1, "T"], (3, 2, 1, 5), "[N, C, T]", k=f(4, 2, 3)),
    "ConvTranspose": row([*SQUEEZE, node("ConvTranspose", "s k")], ["N", "C", 1, "T"], (3, 2, 1, 5), "[N, C, T]", k=f(2, 4, 3)),
    "Gemm": row([*SQUEEZE, node("Gemm", "s v b")], ["N", 16, 1, 1], (5, 16, 1, 1), "[N, 16]", v=f(16, 3), b=f(3)),
    "LSTM": row([*SQUEEZE, node("LSTM", "s w r", hidden_size=3)], ["T", "N", 1, 4], (3, 2, 1, 4), "[T, N, 4]", w=f(1, 12, 4), r=f(1, 12, 3)),
    "MaxPool": row([*SQUEEZE, node("MaxPool", "s", kernel_shape=[2, 2])], ["N", "C", 1, "H", "W"], (2, 3, 1, 5, 4), "[N, C, H, W]"),
    "AveragePool behind Mul": row(
        [*SQUEEZE, node("Mul", "s v", "m"), node("AveragePool", "m", kernel_shape=[2])], ["N", "C", 1, "W"], (2, 3, 1, 5), "[N, C, W]", v=f(3, 1)
    ),
    "InstanceNormalization before Conv": row(
        [*SQUEEZE, node("InstanceNormalization", "s a b", "n"), node("Conv", "n k")], ["N", 2, 1, "T"], (3, 2, 1, 5), "[N, 2, T]",
        a=f(2), b=f(2), k=f(4, 2, 3),
    ),
    "BatchNormalization and a declared output": row(
        [*SQUEEZE, node("BatchNormalization", "s a b m v")], ["N", 2, 1, "T"], (3, 2, 1, 5), "[N, 2, T]", ["N", 2, "T"],
        a=f(2), b=f(2), m=f(2), v=abs(f(2)),
    ),
    "LayerNormalization and a declared output": row(
        [*SQUEEZE, node("LayerNormalization", "s a")], ["N", 1, 4], (3, 1, 4), "[N, 4]", ["N", 4], a=f(4)
    ),
    "Concat": row([*SQUEEZE, node("Concat", "s v", axis=0)], ["N", 1, 4], (3, 1, 4), "[N, 4]", v=f(2, 4)),
    "Where and a declared output": row(
        [*SQUEEZE, node("Where", "c s v")], ["N", 1, 4], (3, 1, 4), "[N, 4]", ["N", 4], v=f(4), c=np.array([True, False, True, False])
    ),
    "Transpose": row([*SQUEEZE, node("Transpose", "s", "t", perm=[1, 0]), node("Mul", "t t")], ["N", 1, 4], (3, 1, 4), "[N, 4]"),
    "Einsum": row([*SQUEEZE, node("Einsum", "s v", equation="ij,jk->ik")], ["N", 1, 4], (3, 1, 4), "[N, 4]", v=f(4, 2)),
    "Pad": row([*SQUEEZE, node("Pad", "s p")], ["N", 1, 4], (3, 1, 4), "[N, 4]", p=np.array([0, 1, 0, 1])),
    "Attention": row(
        [*SQUEEZE, node("Attention", "s s s")], ["N", 2, 1, "T", 4], (3, 2, 1, 5, 4), "[N, 2, T, 4]", ["N", 2, "T", 4], opset=23
    ),
    "If and Conv": row([*IF_SQUEEZE, node("Conv", "s k")], ["N", "D", "C", "T"], (3, 1, 2, 5), "[N, C, T]", k=f(4, 2, 3), **K),
    "If that keeps and Conv": row([*IF_SQUEEZE, node("Conv", "s k")], ["N", "D", "C", "T"], (3, 2, 2, 5), "[N, D, C, T]", k=f(4, 2, 1, 3), **K),
    "If and Gemm": row([*IF_SQUEEZE, node("Gemm", "s v")], ["N", "D", 16], (3, 1, 16), "[N, 16]", v=f(16, 3), **K),
    "If, and readers of readers": row(
        [*IF_SQUEEZE, node("Relu", "s", "r"), node("Transpose", "r", "t", perm=[0, 2, 1]), node("MatMul", "t v")], ["N", "D", 16, "T"],
        (3, 1, 16, 4), "[N, 16, T]", ["N", "T", 3], v=f(16, 3), **K,
    ),
    "an input without a shape": row([node("Conv", "x k", pads=[1, 1])], None, (3, 2, 5), None, k=f(4, 2, 3)),
    "an old Conv": row([*SQUEEZE, node("Conv", "s k", pads=[1, 1])], ["N", "C", 1, "T"], (3, 2, 1, 5), "[N, C, T]", opset=9, k=f(4, 2, 3)),
    "open: Mul": row([*SQUEEZE, node("Mul", "s v")], ["N", 1, 4], (3, 1, 4), "[...]", v=f(4)),
    "open: Mul of a matrix": row([*SQUEEZE, node("Add", "s v", "a"), node("Sigmoid", "a")], ["N", 1, 4], (3, 1, 4), "[...]", v=f(1, 4)),
    "open: Mul of a number": row([*SQUEEZE, node("Mul", "s v")], ["N", 1, 4], (1, 1, 4), "[...]", v=f()),
    "open: MatMul": row([*SQUEEZE, node("MatMul", "s v")], ["N", 1, 4], (3, 1, 4), "[...]", v=f(4, 2)),
    "open: MatMul of one row": row([*SQUEEZE, node("MatMul", "s v")], ["N", 1, 4], (1, 1, 4), "[...]", v=f(4, 2)),
    "open: Softmax": row([*SQUEEZE, node("Softmax", "s", axis=-1)], ["N", 1, 4], (3, 1, 4), "[...]"),
    "open: ReduceMean": row([*SQUEEZE, node("Mul", "s v", "m"), node("ReduceMean", "m", keepdims=0)], ["N", 1, 4], (3, 1, 4), "[...]", v=f(4)),
    "open: PRelu": row([*SQUEEZE, node("PRelu", "s v")], ["N", 1, 4], (3, 1, 4), "[...]", v=f(4)),
    "open: Max and Where": row(
        [*SQUEEZE, node("Max", "s v", "g"), node("Where", "c g v")], ["N", 1, 4], (3, 1, 4), "[...]",
        v=f(4), c=np.array([True, False, True, True]),
    ),
}  # fmt: skip


def model_of(name: str) -> Any:
    nodes, x, weights, y, _, _, opset = ROWS[name]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, y) if y else helper.make_empty_tensor_value_info("y")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()


@pytest.mark.parametrize("name", ROWS)
def test_gradients(name: str) -> None:
    """On NumPy as on ONNX Runtime and as differences; of all weights; and files come back as they were."""
    *_, given, expected, _ = ROWS[name]
    model = graphir.loads(model_of(name), format="onnx")
    assert graphir.dumps(model, format="onnx") == model_of(name)
    if expected is not None:
        assert str(model.find("s").type) == f"float32{expected}"
    x = f(*given)
    y = graphir.compile(model).run({"x": x})["y"]
    made = graphir.gradient(model, of="y")
    feeds = {"x": x, **{v.name: f(*y.shape) for v in made.inputs if v.name.startswith("seed_")}}
    found = graphir.compile(made).run(feeds)
    session: Any = onnxruntime.InferenceSession(graphir.dumps(made, format="onnx"), providers=["CPUExecutionProvider"])
    for v, there in zip(made.outputs, session.run(None, feeds)):
        assert np.shape(found[v.name]) == np.shape(there)
        np.testing.assert_allclose(found[v.name], there, rtol=1e-3, atol=1e-4)
    for (_, wrt), output in made.gradients.items():
        assert np.shape(found[output]) == (x.shape if wrt == "x" else model.weights[wrt].shape)
    assert graphir.check_gradient(model, of="y", feeds={"x": x}).ok


def test_a_reader_in_a_branch_tells_nothing() -> None:
    """It may never run."""
    then = helper.make_graph(
        [node("Conv", "s k", "c"), node("ReduceSum", "c", "t", keepdims=0)], "t", [], [helper.make_empty_tensor_value_info("t")]
    )
    other = helper.make_graph([node("ReduceSum", "s", "e", keepdims=0)], "e", [], [helper.make_empty_tensor_value_info("e")])
    ROWS["branch"] = row(
        [*SQUEEZE, node("If", "q", then_branch=then, else_branch=other)], ["N", 1, 4], (), None, k=f(4, 2, 3), q=np.array(False)
    )
    model = graphir.loads(model_of("branch"), format="onnx")
    del ROWS["branch"]
    assert str(model.find("s").type) == "float32[...]"
    assert graphir.compile(model).run({"x": np.ones((3, 1, 4), "f4")})["y"] == 12


def test_what_stays_open_says_what_to_do() -> None:
    ROWS["norm"] = row([*SQUEEZE, node("LayerNormalization", "s a")], ["N", 1, 4], (), None, a=f(4))
    model = graphir.loads(model_of("norm"), format="onnx")
    del ROWS["norm"]
    with pytest.raises(graphir.GradientError, match=r"rank of s is unknown.* LayerNormalization .*--dim.* or declare its type in the file"):
        graphir.gradient(model, of="y")


def test_many_open_ranks_take_no_long() -> None:
    """Each node that reads two of them could take any two ranks."""
    graph = Graph("many")
    x, z = (graph.input(name, TensorType("float32")) for name in "xz")
    for _ in range(3000):
        x, z = ops.elementwise.add(x, z), ops.elementwise.mul(x, z)
    graph.output(x, "y")
    data = graphir.dumps(Model(graph), format="onnx")
    start = time.monotonic()
    graphir.loads(data, format="onnx")
    assert time.monotonic() - start < 5


def test_what_all_ranks_have_in_common_is_no_more_than_that() -> None:
    """The size of something without a known rank is not that of a number; dims that were tried are nobody's."""
    graph = Graph("open")
    x, z = (graph.input(name, TensorType("float32")) for name in "xz")
    assert ops.shape.size(x).known is None
    a, b = (ops.nn.conv(v, graph.weight(f"w_{v.name}", f(4, 2, 3))) for v in (x, z))
    assert len({*a.shape, *b.shape}) == 5 and a.shape[1] == b.shape[1] == 4
    flat = [ops.shape.flatten(v) for v in (x, z)]
    assert len({d for v in flat for d in v.shape}) == 4
