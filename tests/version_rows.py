"""The rows that tests/test_versions.py drives: nodes in old forms, and new nodes to be lowered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cases import array


@dataclass
class Row:
    """A node: its operator and attributes, and its inputs as arrays, makers of arrays, or None where they are left out."""

    name: str
    opset: int
    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    constant: tuple[int, ...] = ()

    def proto(self, opset: int | None = None) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
        """A model of the node alone, and what to feed it; the inputs whose positions are in `constant` are initializers."""
        rng = np.random.default_rng(0)
        arrays = [None if x is None else np.asarray(x(rng) if callable(x) else x) for x in self.inputs]
        names = ["" if x is None else f"x{i}" for i, x in enumerate(arrays)]
        outputs = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.name, names, outputs, name="the_node", **self.attributes)
        held = {f"x{i}": x for i, x in enumerate(arrays) if x is not None and i in self.constant}
        feeds = {f"x{i}": x for i, x in enumerate(arrays) if x is not None and i not in self.constant}
        infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in feeds.items()]
        graph = helper.make_graph(
            [node], "row", infos, [onnx.ValueInfoProto(name=n) for n in outputs], [numpy_helper.from_array(x, n) for n, x in held.items()]
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset or self.opset)], ir_version=10)
        return proto, feeds


@dataclass
class Old(Row):
    """A node in the form of `opset`. expected: what it makes, for what no referee runs; one_way: why it cannot be lowered again.

    alone: one node takes its place, of its operator or of the one named in `becomes`; anew: lowered again, it is said in other words.
    """

    expected: Callable[..., list[Any]] | None = None
    one_way: str = ""
    tolerance: float = 1e-5
    alone: bool = True
    becomes: str = ""
    anew: bool = False


@dataclass
class Lowered(Row):
    """A node in the newest form, to be lowered to `opset`."""


def old(name: str, opset: int, *inputs: Any, outputs: int = 1, constant: tuple[int, ...] = (), expected: Any = None, one_way: str = "",
        tolerance: float = 1e-5, alone: bool = True, becomes: str = "", anew: bool = False, **attributes: Any) -> Old:  # fmt: skip
    """A row of OLD; attributes by name."""
    made = (lambda *x: [np.asarray(expected(*x))]) if expected and outputs == 1 else expected
    return Old(name, opset, inputs, attributes, outputs, constant, made, one_way, tolerance, alone, becomes, anew)


def new(name: str, opset: int, *inputs: Any, outputs: int = 1, constant: tuple[int, ...] = (), **attributes: Any) -> Lowered:
    """A row of LOWERED; attributes by name."""
    return Lowered(name, opset, inputs, attributes, outputs, constant)


def positive(*shape: int) -> Any:
    return array(*shape, low=0.5, high=2.0)


def ints(*x: int) -> np.ndarray:
    return np.array(x, np.int64)


def floats(*x: float) -> np.ndarray:
    return np.array(x, np.float32)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    flat = x.reshape(int(np.prod(x.shape[:axis])), -1).astype(np.float64)
    e = np.exp(flat - flat.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).reshape(x.shape).astype(x.dtype)


def batch_norm(x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> np.ndarray:
    """Of parameters shaped as the axes of x from 1 on, or as their first."""
    a, b, m, v = (p.reshape(p.shape + (1,) * (x.ndim - 1 - p.ndim)) for p in (scale, bias, mean, var))
    return a * (x - m) / np.sqrt(v + np.float32(1e-5)) + b


def batch_norm_training(x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> list[np.ndarray]:
    axes = tuple(i for i in range(x.ndim) if i != 1)
    m, v = x.mean(axes), x.var(axes)
    return [
        batch_norm(x, scale, bias, m, v),
        mean * np.float32(0.9) + m * np.float32(0.1),
        var * np.float32(0.9) + v * np.float32(0.1),
        m,
        v,
    ]


def trunc_log_sum(x: np.ndarray) -> np.ndarray:
    return np.trunc(np.log(x.sum(1, keepdims=True))).astype(x.dtype)


PARAMETERS = (array(3), array(3), array(3), positive(3))
WIDE_PARAMETERS = (array(3, 4), array(3, 4), array(3, 4), positive(3, 4))
IMAGE = array(1, 2, 4, 4)
BOOLS, OTHER_BOOLS = array(2, 3, dtype="bool"), array(2, dtype="bool")
INTS, OTHER_INTS = array(2, 3, dtype="int32"), array(2, dtype="int32")
REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
EMPTY = floats()

OLD: list[Old] = [
    # broadcasting
    old("Add", 6, array(2, 3, 4, 5), array(3, 4), broadcast=1, axis=1, expected=lambda a, b: a + b[:, :, None], alone=False),
    old("Add", 6, array(2, 3, 4, 5), array(5), broadcast=1, expected=lambda a, b: a + b),
    old("Sub", 1, array(2, 3), array(2, 3), consumed_inputs=[0, 0], expected=lambda a, b: a - b),
    old("Mul", 6, array(2, 3), array(1, 1), broadcast=1, expected=lambda a, b: a * b),
    old("Mul", 6, array(2, 3), array(), broadcast=1, axis=0, expected=lambda a, b: a * b, anew=True),
    old("Div", 6, array(2, 3, 4), positive(2, 3), broadcast=1, axis=-3, expected=lambda a, b: a / b[..., None], alone=False, anew=True),
    old("Pow", 1, positive(2, 3), array(2), broadcast=1, axis=0, expected=lambda a, b: a ** b[:, None], alone=False),
    old("Greater", 1, array(2, 3), array(2), broadcast=1, axis=0, expected=lambda a, b: a > b[:, None], alone=False),
    old("Less", 1, array(2, 3), array(3), broadcast=1, axis=1, expected=lambda a, b: a < b, anew=True),
    old("And", 1, BOOLS, OTHER_BOOLS, broadcast=1, axis=0, expected=lambda a, b: a & b[:, None], alone=False),
    old("Or", 1, BOOLS, OTHER_BOOLS, broadcast=1, axis=0, expected=lambda a, b: a | b[:, None], alone=False),
    old("Sub", 6, array(2, 3), array(2), broadcast=1, axis=0, expected=lambda a, b: a - b[:, None], alone=False),
    old("Xor", 1, BOOLS, OTHER_BOOLS, broadcast=1, axis=0, expected=lambda a, b: a ^ b[:, None], alone=False),
    old("Equal", 1, INTS, OTHER_INTS, broadcast=1, axis=0, expected=lambda a, b: a == b[:, None], alone=False),
    old("Max", 6, array(2, 3), array(2, 3), array(2, 3), expected=lambda a, b, c: np.maximum(np.maximum(a, b), c)),
    old("Min", 1, array(2, 3), array(2, 3), consumed_inputs=[1, 0], expected=np.minimum),
    old("Sum", 6, array(2, 3), expected=lambda a: a),
    old("Mean", 1, array(2, 3), array(2, 3), expected=lambda a, b: (a + b) / 2),
    old("PRelu", 6, array(2, 3, 4, 4), array(3), expected=lambda x, s: np.where(x < 0, x * s[:, None, None], x), alone=False),
    old("PRelu", 1, array(2, 3, 3), array(1), consumed_inputs=[0, 0], expected=lambda x, s: np.where(x < 0, x * s, x)),
    old("PRelu", 6, array(2, 3), array(3), expected=lambda x, s: np.where(x < 0, x * s, x)),
    # one input
    old("Relu", 1, array(2, 3), consumed_inputs=[1], expected=lambda x: np.maximum(x, 0)),
    old("Tanh", 1, array(2, 3), expected=np.tanh),
    old("LeakyRelu", 1, array(2, 3), alpha=0.5, consumed_inputs=[0], expected=lambda x: np.where(x < 0, x / 2, x)),
    old("Selu", 1, array(2, 3), expected=lambda x: np.float32(1.0507) * np.where(x > 0, x, np.float32(1.6732) * np.expm1(x)), tolerance=1e-6),
    old("Selu", 1, array(2, 3), alpha=1.0, gamma=2.0, expected=lambda x: 2 * np.where(x > 0, x, np.expm1(x))),
    old("Clip", 1, array(2, 3), min=-0.5, expected=lambda x: np.maximum(x, -0.5)),
    old("Clip", 6, array(2, 3), min=-0.5, max=0.25, expected=lambda x: np.clip(x, np.float32(-0.5), np.float32(0.25))),
    old("Clip", 6, array(2, 3, dtype="float16"), max=0.25, expected=lambda x: np.minimum(x, np.float16(0.25))),
    old("Clip", 6, array(2, 3), expected=lambda x: x),
    old("Cast", 1, array(2, 3), to="INT32", expected=lambda x: x.astype(np.int32)),
    old("Cast", 1, INTS, to="FLOAT", expected=lambda x: x.astype(np.float32)),
    old("Cast", 6, INTS, to=TensorProto.DOUBLE, expected=lambda x: x.astype(np.float64)),
    old("Cast", 13, array(2, 3), to=TensorProto.FLOAT16),
    old("Erf", 9, array(2, 3)),
    old("Erf", 9, INTS, expected=lambda x: (np.abs(x) > 3).astype(x.dtype) * np.sign(x), alone=False),
    old("Sign", 9, array(2, 3)),
    old("Mod", 10, array(2, 3, dtype="int64", low=-5, high=5), np.full((2, 3), 3, np.int64)),
    old("Mod", 13, array(2, 3), np.full((2, 3), 1.5, np.float32), fmod=1),
    old("Dropout", 1, array(2, 3), is_test=1, ratio=0.3, expected=lambda x: x),
    old("Dropout", 6, array(2, 3), is_test=1, expected=lambda x: x),
    old("Dropout", 7, array(2, 3), ratio=0.25),
    old("Dropout", 7, array(2, 3), outputs=2, expected=lambda x: [x, np.ones_like(x)], one_way="its mask is read", alone=False),
    old("Dropout", 10, array(2, 3), ratio=0.25),
    # matrices and reductions
    old("Softmax", 1, array(2, 3, 4), expected=lambda x: softmax(x, 1), alone=False),
    old("Softmax", 11, array(2, 3, 4), axis=0, alone=False, anew=True),
    old("Softmax", 1, array(2, 3, 4), axis=2, expected=lambda x: softmax(x, 2)),
    old("Softmax", 1, array(2, 3, 1, 1), expected=lambda x: softmax(x, 1)),
    old("Softmax", 12, array(2, 3)),
    old("LogSoftmax", 11, array(2, 3, 4), axis=-2, alone=False, anew=True),
    old("Hardmax", 11, array(2, 3, 4), axis=1, alone=False),
    old("Gemm", 6, array(2, 3), array(3, 4), array(4), broadcast=1, expected=lambda a, b, c: a @ b + c),
    old("Gemm", 1, array(2, 3), array(4, 3), array(2, 4), transB=1, beta=0.5, expected=lambda a, b, c: a @ b.T + c / 2),
    old("Gemm", 6, array(2, 3), array(3, 4), array(1), broadcast=1, alpha=2.0, expected=lambda a, b, c: 2 * (a @ b) + c),
    old("Gemm", 7, array(2, 3), array(3, 4), array(2, 1)),
    *(old(name, 1, positive(2, 3, 4), axes=[1], keepdims=0) for name in REDUCTIONS),
    *(old(name, 11, positive(2, 3, 4), axes=[-1, 0]) for name in REDUCTIONS),
    *(old(name, 12, positive(2, 3, 4), keepdims=0) for name in REDUCTIONS),
    old("ReduceLogSum", 18, array(2, 3, low=1, high=50, dtype="int64"), ints(1), constant=(1,), expected=trunc_log_sum, alone=False),
    old("ArgMax", 1, array(2, 3), axis=1, keepdims=0),
    old("ArgMin", 12, np.zeros((2, 3), np.float32), axis=1, select_last_index=1),
    old("TopK", 1, array(3, 5), k=2, axis=1, outputs=2),
    old("TopK", 10, array(3, 5), ints(2), constant=(1,), outputs=2),
    old("DFT", 17, array(1, 8, 3, 1), tolerance=1e-4),
    old("DFT", 17, array(1, 8, 3, 1), axis=2, onesided=1, tolerance=1e-4),
    old("DFT", 17, array(8, 3, 2), np.array(6), axis=0, inverse=1, tolerance=1e-4),
    old("ReduceLogSumExp", 18, array(2, 3, low=1, high=9, dtype="int64"), ints(1), constant=(1,), alone=False,
        expected=lambda x: np.log(np.exp(x.astype(float)).sum(1, keepdims=True)).astype(x.dtype)),
    # shapes
    old("Squeeze", 1, array(1, 3, 1), axes=[0]),
    old("Squeeze", 11, array(1, 3, 1), axes=[-1]),
    old("Squeeze", 11, array(1, 3, 1)),
    old("Unsqueeze", 1, array(3, 4), axes=[0, 3]),
    old("Unsqueeze", 12, array(3, 4), axes=[-1]),
    old("Reshape", 1, array(2, 3, 4), shape=[0, -1], consumed_inputs=[0], expected=lambda x: x.reshape(2, 12)),
    old("Reshape", 5, array(2, 3, 4), ints(4, -1), constant=(1,)),
    old("Reshape", 5, array(2, 3, 4), ints(4, -1)),
    old("Flatten", 1, array(2, 3, 4)),
    old("Flatten", 9, array(2, 3, 4), axis=2),
    old("Transpose", 1, array(2, 3, 4), perm=[2, 0, 1]),
    old("Concat", 1, array(2, 3), array(2, 1), expected=lambda a, b: np.concatenate([a, b], 1), anew=True),
    old("Concat", 4, array(2, 3), array(1, 3), axis=0),
    old("Split", 1, array(4, 3), split=[1, 3], outputs=2, expected=lambda x: [x[:1], x[1:]], anew=True),
    old("Split", 1, array(2, 4), floats(1, 3), axis=1, constant=(1,), outputs=2, expected=lambda x: [x[:, :1], x[:, 1:]], anew=True),
    old("Split", 1, array(4, 3), floats(1, 3), outputs=2, expected=lambda x, s: [x[:1], x[1:]], one_way="split is computed", alone=False),
    old("Split", 2, array(4, 6), axis=1, outputs=3),
    old("Split", 11, array(4, 6), axis=-1, split=[1, 5], outputs=2),
    old("Split", 13, array(4, 6), ints(1, 5), axis=1, outputs=2),
    old("Split", 13, array(4, 6), axis=-1, outputs=2),
    old("Slice", 1, array(4, 6), starts=[1], ends=[-1], axes=[1]),
    old("Slice", 1, array(4, 6), starts=[1, 0], ends=[1000, 3]),
    old("Slice", 10, array(4, 6), ints(0), ints(6), ints(1), ints(2)),
    old("Pad", 1, array(2, 3), paddings=[0, 2, 1, 0], mode="constant", value=1.5, expected=lambda x: np.pad(x, ((0, 1), (2, 0)), constant_values=1.5)),
    old("Pad", 2, array(2, 3), pads=[0, 2, 1, 0]),
    old("Pad", 2, array(2, 3), pads=[0, 2, 1, 0], mode="reflect"),
    old("Pad", 2, array(2, 3), pads=[0, -1, 0, 0], value=2.0),
    old("Pad", 11, array(2, 3), ints(0, 2, 1, 0), floats(1.5)[0]),
    old("Tile", 1, array(2, 3), np.float32(2), np.float32(1), constant=(1, 2), expected=lambda x: np.tile(x, (1, 2))),
    old("Tile", 1, array(2, 3), np.float32(2), np.float32(1), expected=lambda x, n, i: np.tile(x, (1, 2)), one_way="new in opset 9", alone=False),
    old("Tile", 6, array(2, 3), ints(1, 2)),
    old("Gather", 1, array(4, 3), ints(0, 2), axis=0),
    old("OneHot", 9, ints(0, 2, 1), np.int64(3), floats(0, 1)),
    old("Scatter", 9, array(3, 3), np.array([[1, 0, 2]]), array(1, 3), axis=0, becomes="ScatterElements"),
    old("Constant", 1, value=numpy_helper.from_array(floats(1, 2))),
    old("Constant", 11, sparse_value=helper.make_sparse_tensor(numpy_helper.from_array(floats(3), "v"), numpy_helper.from_array(ints(1), "i"), [4]),
        expected=lambda: floats(0, 3, 0, 0)),
    old("Shape", 1, array(2, 3)),
    old("Range", 11, np.float32(0), np.float32(3), np.float32(0.5)),
    # layers
    old("BatchNormalization", 1, array(2, 3, 4, 4), *PARAMETERS, is_test=1, consumed_inputs=[0, 0, 0, 1, 1], expected=batch_norm),
    old("BatchNormalization", 6, array(2, 3, 4), *WIDE_PARAMETERS, is_test=1, spatial=0, expected=batch_norm, alone=False, anew=True),
    old("BatchNormalization", 7, array(2, 3, 4), *WIDE_PARAMETERS, spatial=0, expected=batch_norm, alone=False, anew=True),
    old("BatchNormalization", 9, array(2, 3, 4), *PARAMETERS),
    old("BatchNormalization", 6, array(2, 3, 4), *PARAMETERS, expected=lambda *x: batch_norm_training(*x)[0]),
    old("BatchNormalization", 9, array(2, 3, 4), *PARAMETERS, outputs=5, expected=batch_norm_training, one_way="", alone=False),
    old("GroupNormalization", 18, array(2, 4, 3), array(2), array(2), num_groups=2, alone=False, anew=True),
    old("InstanceNormalization", 1, array(2, 3, 4, 4), array(3), array(3), consumed_inputs=[0, 0, 0],
        expected=lambda x, s, b: (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5) * s[:, None, None] + b[:, None, None]),
    old("LpPool", 1, IMAGE, kernel_shape=[2, 2], p=2.0, expected=lambda x: np.sqrt(sum(x[:, :, i : 3 + i, j : 3 + j] ** 2 for i in (0, 1) for j in (0, 1)))),
    old("GlobalLpPool", 1, IMAGE, p=1.0, expected=lambda x: np.abs(x).sum((2, 3), keepdims=True)),
    old("MaxPool", 1, IMAGE, kernel_shape=[2, 2]),
    old("MaxPool", 8, IMAGE, kernel_shape=[2, 2], outputs=2),
    old("AveragePool", 7, IMAGE, kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
    old("LRN", 1, IMAGE, size=3),
    old("Conv", 1, IMAGE, array(3, 2, 2, 2), pads=[1, 0, 0, 1]),
    old("LSTM", 7, array(3, 2, 4), array(1, 20, 4), array(1, 20, 5), outputs=3, hidden_size=5),
    old("GRU", 7, array(3, 2, 4), array(1, 15, 4), array(1, 15, 5), outputs=2, hidden_size=5, linear_before_reset=1),
    old("RNN", 1, array(3, 2, 4), array(1, 5, 4), array(1, 5, 5), hidden_size=5, output_sequence=1,
        expected=lambda x, w, r: _rnn(x, w[0], r[0])),
    old("GridSample", 16, IMAGE, array(1, 3, 3, 2, low=-1, high=1)),
    old("GridSample", 16, IMAGE, array(1, 3, 3, 2, low=-1, high=1), mode="bicubic", padding_mode="border"),
    old("RoiAlign", 10, IMAGE, np.array([[0, 0, 3, 3]], np.float32), ints(0), output_height=2, output_width=2),
    old("QuantizeLinear", 10, array(2, 3), np.float32(0.1), np.uint8(128)),
    old("DequantizeLinear", 10, np.array([[0, 128, 255]], np.uint8), np.float32(0.1), np.uint8(128)),
    old("QuantizeLinear", 13, array(2, 3), floats(0.1, 0.2), np.zeros(2, np.int8), axis=0),
    # images made larger and smaller
    old("Upsample", 1, IMAGE, height_scale=2.0, width_scale=3.0, mode="nearest", expected=lambda x: x.repeat(2, 2).repeat(3, 3), becomes="Resize"),
    old("Upsample", 7, IMAGE, scales=[1.0, 1.0, 2.0, 1.5], becomes="Resize"),
    old("Upsample", 7, IMAGE, scales=[1.0, 1.0, 2.0, 2.0], mode="linear", becomes="Resize"),
    old("Upsample", 9, IMAGE, floats(1, 1, 2, 2), constant=(1,), becomes="Resize"),
    old("Upsample", 9, IMAGE, floats(1, 1, 2, 2), one_way="scales is computed", becomes="Resize"),
    old("Resize", 10, IMAGE, floats(1, 1, 1.5, 2), constant=(1,)),
    old("Resize", 10, IMAGE, floats(1, 1, 0.6, 0.6), constant=(1,)),
    old("Resize", 10, IMAGE, floats(1, 1, 0.6, 2), constant=(1,), alone=False, anew=True),
    old("Resize", 10, IMAGE, floats(1, 1, 0.6, 2), one_way="scales is computed", alone=False),
    old("Resize", 10, IMAGE, floats(1, 1, 2, 2), constant=(1,), mode="linear"),
    old("Resize", 11, IMAGE, EMPTY, floats(1, 1, 2, 0.6), constant=(1, 2), mode="linear"),
    old("Resize", 11, IMAGE, EMPTY, EMPTY, ints(1, 2, 3, 6), constant=(1, 2, 3), mode="cubic"),
    old("Resize", 13, IMAGE, None, floats(1, 1, 2, 2), constant=(2,), nearest_mode="ceil"),
]  # fmt: skip


def _rnn(x: np.ndarray, w: np.ndarray, r: np.ndarray) -> np.ndarray:
    h, made = np.zeros((x.shape[1], w.shape[0]), np.float32), []
    for step in x:
        h = np.tanh(step @ w.T + h @ r.T)
        made.append(h)
    return np.stack(made)[:, None]


LOWERED: list[Lowered] = [
    new("Add", 6, array(2, 3, 4), array(1, 3, 1)),
    new("Add", 6, array(4), array(2, 3, 4)),
    new("Mul", 6, array(3, 1), array(2, 3, 4)),
    new("Greater", 6, array(2, 3, 4), array(3, 1)),
    new("PRelu", 6, array(2, 3, 4, 4), array(3, 1, 1)),
    new("Softmax", 11, array(2, 3, 4), axis=1),
    new("LogSoftmax", 8, array(2, 3, 4), axis=-3),
    new("Hardmax", 11, array(2, 3, 4), axis=1),
    new("Hardmax", 11, array(2, 3, 4), axis=-1),
    new("Gemm", 9, array(2, 3), array(3, 4)),
    new("Gemm", 6, array(2, 3), array(3, 4), array(1, 4)),
    new("ReduceSum", 9, array(2, 3, 4), ints(-1), constant=(1,)),
    new("ReduceMax", 9, array(2, 3, 4), ints(-1, 0), constant=(1,), keepdims=0),
    new("ArgMax", 9, array(2, 3), axis=-1),
    new("Concat", 9, array(2, 3), array(2, 1), axis=-1),
    new("Squeeze", 9, array(2, 3, 1), ints(-1), constant=(1,)),
    new("Unsqueeze", 9, array(2, 3), ints(-1), constant=(1,)),
    new("Shape", 13, array(2, 3, 4), start=1, end=-1),
    new("Shape", 9, array(2, 3, 4), start=-2),
    new("Slice", 10, array(4, 6), ints(1), ints(6), ints(-1), ints(2), constant=(3,)),
    new("Split", 13, array(7, 2), num_outputs=3, outputs=3),
    new("Split", 9, array(6, 2), num_outputs=3, outputs=3),
    new("Pad", 13, array(2, 3), ints(1, 2), None, ints(-1), constant=(1, 3)),
    new("Pad", 9, array(2, 3), ints(1, 2), floats(1.5)[0], ints(1), constant=(1, 2, 3)),
    new("Constant", 9, value_floats=[1.0, 2.0]),
    new("Constant", 9, value_int=3),
    new("Constant", 1, value_floats=[3.0, 4.0]),
    new("ScatterElements", 9, array(3, 3), np.array([[1, 0, 2]]), array(1, 3), axis=0),
    new("LSTM", 13, array(2, 3, 4), array(1, 20, 4), array(1, 20, 5), None, None, array(2, 1, 5), outputs=3, hidden_size=5, layout=1),
    new("GRU", 13, array(2, 3, 4), array(1, 15, 4), array(1, 15, 5), outputs=2, hidden_size=5, layout=1),
    new("RNN", 9, array(2, 3, 4), array(1, 5, 4), array(1, 5, 5), outputs=2, hidden_size=5, layout=1),
    new("GroupNormalization", 18, array(2, 4, 3), array(4), array(4), num_groups=2),
    new("GroupNormalization", 13, array(2, 4, 3, 2), array(4), array(4), num_groups=2, epsilon=0.1),
    new("QuantizeLinear", 19, array(2, 3), np.float32(0.1), output_dtype=TensorProto.INT8),
    new("QuantizeLinear", 19, array(2, 3), np.float32(0.1), output_dtype=TensorProto.UINT8),
    new("QuantizeLinear", 22, array(2, 3), np.float32(0.1), precision=TensorProto.FLOAT),
    new("DequantizeLinear", 22, array(2, 3, dtype="int8"), np.float32(0.1), output_dtype=TensorProto.FLOAT),
    new("Reshape", 13, array(2, 3), ints(3, -1), constant=(1,), allowzero=1),
    new("Slice", 9, array(4, 6), ints(1), ints(6), ints(-1), constant=(1, 2, 3)),
    new("MaxPool", 8, IMAGE, kernel_shape=[2, 2], dilations=[1, 1], ceil_mode=0),
    new("Resize", 13, IMAGE, None, floats(2, 0.5), axes=[2, 3], mode="linear", constant=(2,)),
    new("Resize", 13, IMAGE, None, None, ints(6, 3), axes=[2, 3], mode="linear", constant=(3,)),
    new("Resize", 11, IMAGE, None, floats(1, 1, 2, 2), constant=(2,)),
    new("Resize", 10, IMAGE, None, floats(1, 1, 2, 2), coordinate_transformation_mode="asymmetric", nearest_mode="floor", constant=(2,)),
    new("Resize", 7, IMAGE, None, floats(1, 1, 2, 2), coordinate_transformation_mode="asymmetric", mode="linear", constant=(2,)),
    new("Gelu", 13, array(2, 3)),
    new("HardSwish", 11, array(2, 3)),
    new("Mish", 13, array(2, 3)),
    new("CastLike", 9, array(2, 3), INTS),
    new("Dropout", 9, array(2, 3), np.float32(0.3), constant=(1,)),
    new("BatchNormalization", 7, array(2, 3, 4), *PARAMETERS),
    new("LayerNormalization", 13, array(2, 3, 4), array(4), array(4), outputs=3, epsilon=0.1),
    new("LayerNormalization", 9, array(2, 3, 4), array(3, 4), axis=1),
    new("LayerNormalization", 16, array(2, 3, dtype="float64"), array(3, dtype="float64")),
    new("RMSNormalization", 9, array(2, 3, 4), array(3, 4), axis=1, epsilon=0.1),
    new("GreaterOrEqual", 11, array(2, 3), array(3)),
    new("LessOrEqual", 11, floats(np.nan, 1, 2), floats(1, 1, 1)),
    new("LessOrEqual", 9, array(2, 3, dtype="int64"), array(2, 3, dtype="int64")),
    new("MaxPool", 18, array(1, 1, 4, 4), kernel_shape=[1, 2], strides=[2, 3], pads=[0, 0, 1, 1], ceil_mode=1),
    new("MaxPool", 10, IMAGE, kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1),
]  # fmt: skip


def refusals() -> list[tuple[Lowered, str]]:
    """New nodes that an older opset cannot say, and what the error says."""
    return [
        (new("Add", 6, array(2, 1), array(1, 3)), "broadcasts only the second"),
        *((new(name, 7, array(2, 3), array(3)), "may differ in shape") for name in ("Sum", "Max", "Min", "Mean")),
        *((new(name, 6, array(3), array(2, 3)), "broadcasts only the second") for name in ("Sub", "Div", "Pow", "Greater", "Less")),
        *((new(name, 6, array(2, 1, dtype="bool"), array(1, 3, dtype="bool")), "broadcasts only the second") for name in ("And", "Or", "Xor", "Equal")),
        (new("PRelu", 6, array(2, 3, 4), array(3, 4)), "one number, or one a channel"),
        (new("Gemm", 6, array(2, 3), array(3, 4), array(2, 1)), "a matrix, a row or a number"),
        (new("QuantizeLinear", 12, array(2, 3), floats(1, 2), np.zeros(2, np.uint8), axis=0), "a scale for each slice"),
        (new("DequantizeLinear", 12, array(2, 3, dtype="uint8"), floats(1, 2), axis=0), "a scale for each slice"),
        (new("ScatterElements", 16, array(3), ints(1), array(1), reduction="min"), "the reduction min is new"),
        (new("Mod", 13, array(2, 3), array(2, 3)), "fmod=0"),
        (new("Dropout", 11, array(2, 3), np.float32(0.5), np.bool_(True), constant=(1, 2)), "training_mode"),
        (new("Clip", 9, array(2, 3), np.float32(0)), "min is computed in the graph"),
        (new("ReduceSum", 11, array(2, 3), noop_with_empty_axes=1), "noop_with_empty_axes"),
        (new("ArgMax", 11, array(2, 3), select_last_index=1), "select_last_index is 1, which is new"),
        (new("TopK", 10, array(3, 5), ints(2), largest=0, outputs=2), "largest is 0"),
        (new("Reshape", 13, array(0, 3), ints(3, 0), constant=(1,), allowzero=1), "allowzero"),
        (new("Slice", 9, array(4, 6), ints(0), ints(6), ints(1), ints(2), constant=(1, 2, 3, 4)), "its steps are"),
        (new("Pad", 18, array(2, 3), ints(0, 2, 1, 0), mode="wrap"), "the mode wrap is new"),
        (new("ScatterND", 16, array(3), np.array([[1]]), array(1), reduction="max"), "the reduction max is new"),
        (new("ScatterND", 10, array(3), np.array([[1]]), array(1)), "new in opset 11"),
        (new("MaxPool", 7, IMAGE, kernel_shape=[2, 2], outputs=2), "its output 1 is read"),
        (new("MaxPool", 8, IMAGE, kernel_shape=[2, 2], dilations=[2, 1]), "dilations"),
        (new("RoiAlign", 15, IMAGE, np.array([[0, 0, 3, 3]], np.float32), ints(0)), "coordinate_transformation_mode is"),
        (new("Resize", 18, IMAGE, None, floats(1, 1, 2, 2), coordinate_transformation_mode="half_pixel_symmetric"), "half_pixel_symmetric"),
        (new("Resize", 10, IMAGE, None, floats(1, 1, 2, 2), constant=(2,)), "half_pixel"),
        (new("Unique", 10, array(4)), "new in opset 11"),
        (new("AveragePool", 21, array(1, 1, 2, 4), kernel_shape=[1, 2], strides=[2, 3], pads=[0, 0, 1, 0], ceil_mode=1, count_include_pad=1),
         "leaves out a window that would start in the padding"),
        (new("GridSample", 16, array(1, 1, 3), array(1, 3, 1)), "rank 4"),
    ]  # fmt: skip
