"""Operands of one element in another rank than the standard says, as exporters write them: models run, and their gradients are valid and run everywhere."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir

F32: Any = np.float32
I64: Any = np.int64
FEEDS: dict[str, Any] = {
    "x": np.random.default_rng(0).normal(size=(2, 3)).astype("f4"),
    "line": np.random.default_rng(1).normal(size=5).astype("f4"),
    "one": F32([0.4]),
    "low": F32([-0.3]),
    "at": I64(1),
    "flag": np.array([True]),
    "pair": F32([0.5, 1.5]),
    "signal": np.random.default_rng(2).normal(size=(1, 8, 1)).astype("f4"),
}


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> Any:
    """A node on names; `-` stands for an input that is left out."""
    return helper.make_node(op, [n if n != "-" else "" for n in inputs.split()], outputs.split(), **attributes)


def body(name: str, nodes: list[Any], inputs: dict[str, tuple[int, list[int]]], outputs: dict[str, tuple[int, list[int] | None]]) -> Any:
    info = helper.make_tensor_value_info
    return helper.make_graph(nodes, name, [info(n, *t) for n, t in inputs.items()], [info(n, *t) for n, t in outputs.items()])


FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
LOOP = [node("Sin", "a", "b"), node("Identity", "c", "d")]
# What is tried: the shape of y, the nodes, and constants by name. What is none of these is an input of FEEDS.
ROWS: dict[str, tuple[list[int], list[Any], dict[str, Any]]] = {
    "Unsqueeze": ([2, 1, 3], [node("Unsqueeze", "x a")], {"a": I64(1)}),
    "Unsqueeze, axes that are computed": (
        [2, 1, 3],
        [node("Shape", "x", "s"), node("Gather", "s z", "g"), node("Sub", "g o", "a"), node("Unsqueeze", "x a")],
        {"z": I64(0), "o": I64(1)},
    ),
    "Squeeze": ([2, 3], [node("Unsqueeze", "x v", "u"), node("Squeeze", "u a")], {"v": I64([1]), "a": I64(1)}),
    "Squeeze by an input": ([2, 3], [node("Unsqueeze", "x v", "u"), node("Mul", "at o", "a"), node("Squeeze", "u a")], {"v": I64([1]), "o": I64(1)}),
    "ReduceSum": ([2, 1], [node("ReduceSum", "x a")], {"a": I64(1)}),
    "ReduceMean": ([2], [node("ReduceMean", "x a", keepdims=0)], {"a": I64(-1)}),
    "ReduceMax": ([2], [node("ReduceMax", "x a", keepdims=0)], {"a": I64(1)}),
    "ReduceLogSumExp": ([3], [node("ReduceLogSumExp", "x a", keepdims=0)], {"a": I64(0)}),
    "Reshape": ([6], [node("Reshape", "x s")], {"s": I64(6)}),
    "Reshape to a size": ([6], [node("Size", "x", "s"), node("Reshape", "x s")], {}),
    "Expand": ([4], [node("Expand", "one s")], {"s": I64(4)}),
    "Tile": ([10], [node("Tile", "line n")], {"n": I64(2)}),
    "Slice": ([3], [node("Slice", "line s e")], {"s": I64(1), "e": I64(4)}),
    "Slice along an axis": ([2, 1], [node("Slice", "x s e a t")], {"s": I64(1), "e": I64(3), "a": I64(1), "t": I64(2)}),
    "Pad": ([2, 5], [node("Pad", "x p v")], {"p": I64([0, 1, 0, 1]), "v": F32([2])}),
    "Pad by an input": ([2, 5], [node("Pad", "x p one")], {"p": I64([0, 1, 0, 1])}),
    "Pad along an axis": ([2, 5], [node("Pad", "x p v a")], {"p": I64([1, 1]), "v": F32(2), "a": I64(1)}),
    "Clip": ([2, 3], [node("Clip", "x low one")], {}),
    "Clip above": ([2, 3], [node("Clip", "x - h")], {"h": F32([[0.5]])}),
    "TopK": ([2, 2], [node("TopK", "x k", "y i")], {"k": I64(2)}),
    "CumSum": ([2, 3], [node("CumSum", "x a")], {"a": I64([1])}),
    "Split": ([5], [node("Split", "line n")], {"n": I64(5)}),
    "Trilu": ([2, 3], [node("Trilu", "x k")], {"k": I64([1])}),
    "Dropout": ([2, 3], [node("Dropout", "x r t")], {"r": F32([0]), "t": np.array([True])}),
    "CenterCropPad": ([3], [node("CenterCropPad", "line s")], {"s": I64(3)}),
    "ConstantOfShape": ([5], [node("ConstantOfShape", "n", "z"), node("Add", "line z")], {"n": I64(5)}),
    "Range": ([4], [node("Range", "low l one")], {"l": F32([1.2])}),
    "Range of a size": (
        [5],
        [node("Shape", "line", "l", start=0, end=1), node("Range", "z l o", "r"), node("Cast", "r", "q", to=1), node("Mul", "line q")],
        {"z": I64(0), "o": I64(1)},
    ),
    "OneHot": ([3, 4], [node("OneHot", "i d pair")], {"i": I64([0, 2, 1]), "d": I64([4])}),
    "SequenceAt": ([2, 3], [node("SequenceConstruct", "x x", "q"), node("SequenceAt", "q p")], {"p": I64([1])}),
    "QuantizeLinear": ([2, 3], [node("QuantizeLinear", "x one", "q"), node("DequantizeLinear", "q one")], {}),
    "DFT": ([1, 8, 2], [node("DFT", "signal n a")], {"n": I64([8]), "a": I64([1])}),
    "PRelu": ([2, 3], [node("PRelu", "x s")], {"s": F32(0.2)}),
    "Loop": (
        [2, 3],
        [node("Loop", "n k x", body=body("b", LOOP, {"i": (INT64, []), "c": (BOOL, [1]), "a": (FLOAT, [2, 3])}, {"d": (BOOL, [1]), "b": (FLOAT, [2, 3])}))],
        {"n": I64([2]), "k": np.array([True])},
    ),
    "If": (
        [2, 1, 3],
        [node("If", "flag", then_branch=body("t", [node("Unsqueeze", "x a", "u")], {}, {"u": (FLOAT, [2, 1, 3])}),
                         else_branch=body("e", [node("Reshape", "x s", "v")], {}, {"v": (FLOAT, [2, 1, 3])}))],
        {"a": I64(1), "s": I64([2, 1, 3])},
    ),
}  # fmt: skip


def model_of(name: str) -> Any:
    shape, nodes, weights = ROWS[name]
    read = {n for x in nodes for n in (*x.input, *(m for a in x.attribute if a.HasField("g") for y in a.g.node for m in y.input))}
    given = [
        helper.make_tensor_value_info(n, {"f": FLOAT, "i": INT64, "b": BOOL}[v.dtype.kind], v.shape) for n, v in FEEDS.items() if n in read
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        given,
        [helper.make_tensor_value_info("y", FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize("name", ROWS)
def test_it_runs_and_has_gradients(name: str) -> None:
    proto = model_of(name)
    model = graphir.loads(proto.SerializeToString(), format="onnx")
    feeds = {v.name: FEEDS[v.name] for v in model.inputs}
    y = graphir.compile(model).run(feeds)["y"]
    assert list(y.shape) == ROWS[name][0]
    np.testing.assert_allclose(graphir.compile(model, "onnxruntime").run(feeds)["y"], y, rtol=1e-4, atol=1e-5)
    made = graphir.gradient(model, of="y")
    written = graphir.dumps(made, format="onnx")
    onnx.checker.check_model(onnx.load_from_string(written), full_check=True)
    feeds |= {v.name: np.random.default_rng(3).normal(size=y.shape).astype("f4") for v in made.inputs if v.name.startswith("seed_")}
    found = graphir.compile(made).run(feeds)
    session: Any = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    given = {n: np.asarray(x) for n, x in feeds.items()}
    for v, expected in zip(made.outputs, session.run([v.name for v in made.outputs], given)):
        assert np.shape(found[v.name]) == np.shape(expected)
        np.testing.assert_allclose(found[v.name], expected, rtol=1e-4, atol=1e-5)
    for (_, wrt), output in made.gradients.items():
        assert np.shape(found[output]) == model.find(wrt).shape
    if name != "QuantizeLinear":
        assert graphir.check_gradient(model, of="y", feeds={v.name: FEEDS[v.name] for v in model.inputs}).ok


def test_what_runs_on_onnxruntime_is_the_same() -> None:
    """Where ONNX Runtime reads the model as it is, too, both make the same of it."""
    same = 0
    for name in ROWS:
        proto = model_of(name)
        model = graphir.loads(proto.SerializeToString(), format="onnx")
        feeds = {v.name: FEEDS[v.name] for v in model.inputs}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session: Any = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
            (expected,) = session.run(["y"], {n: np.asarray(x) for n, x in feeds.items()})
        except Exception:  # it refuses that rank
            continue
        np.testing.assert_allclose(graphir.compile(model).run(feeds)["y"], expected, rtol=1e-4, atol=1e-5)
        same += 1
    assert same >= 15


def test_more_than_one_element_is_no_number() -> None:
    """Nothing is brought to a rank that does not hold it."""
    for nodes, weights in (
        (node("Pad", "x p v"), {"p": I64([0, 0, 0, 0]), "v": F32([0.5, 1])}),
        (node("Unsqueeze", "x a"), {"a": I64([[1, 2]])}),
    ):
        ROWS["wrong"] = ([1, 1, 2, 3], [nodes], weights)
        model = graphir.loads(model_of("wrong").SerializeToString(), format="onnx")
        del ROWS["wrong"]
        with pytest.raises(ValueError, match="node 'y'"):
            graphir.compile(model).run({"x": FEEDS["x"]})
