"""Version steps of normalizations, pooling, recurrent layers, sampling and quantization."""

import numpy as np

from ...dtypes import NAMES
from ...ir import Node, Value
from ...tensors import Tensor
from .rewriting import (
    CannotSay,
    cast_like,
    dims_of,
    down,
    dtype_of,
    given,
    input_of,
    ints,
    make,
    output_of,
    rank_of,
    scalar,
    set_inputs,
    take,
    up,
)

# ---- BatchNormalization: is_test until 7, spatial until 9; until 14 the outputs told whether it trains -----------------------------------------


@up(7, "BatchNormalization")
def mode_from_is_test(node: Node) -> tuple[Value | None, ...] | None:
    """Without is_test the first versions train."""
    return None if take(node, "is_test", 0) else _training(node)


@up(9, "BatchNormalization")
def statistics_of_channels(node: Node) -> tuple[Value | None, ...] | None:
    """Where spatial was 0, every feature had its own statistics: the input is made a matrix and the result brought back."""
    if take(node, "spatial", 1):
        return None
    if _trains(node):
        node.attributes["spatial"] = 0
        return _training(node)
    x, parameters = _as_matrix(node)
    y = make("BatchNormalization", x, *parameters, **node.attributes)
    return (make("Reshape", y, make("Shape", node.inputs[0])),)


@up(14, "BatchNormalization")
def mode_from_outputs(node: Node) -> tuple[Value | None, ...] | None:
    """A node with more than one output trains."""
    return _training(node) if _trains(node) else None


def _trains(node: Node) -> bool:
    return any(v is not None for v in node.outputs[1:])


def _as_matrix(node: Node) -> tuple[Value, list[Value]]:
    x, *parameters = node.inputs
    assert x is not None
    return make("Flatten", x, axis=1), [make("Reshape", p, ints(x.graph, [-1])) for p in parameters]


def _training(node: Node) -> tuple[Value | None, ...]:
    x, *parameters = node.inputs
    old = x
    spatial = take(node, "spatial", 1)
    if not spatial:
        x, parameters = _as_matrix(node)
    assert x is not None and old is not None
    made = list(make("BatchNormalization", x, *parameters, training_mode=1, outputs=3, **node.attributes))
    if output_of(node, 3) is not None or output_of(node, 4) is not None:
        made += _saved(x)
    if not spatial:
        made = [make("Reshape", v, make("Shape", like)) for v, like in zip(made, (old, *node.inputs[3:5], *node.inputs[3:5]))]
    return tuple(v if output_of(node, i) is not None else None for i, v in enumerate(made))


def _saved(x: Value) -> list[Value]:
    """The mean and variance of the batch, which older versions had as outputs."""
    rank = rank_of(x, "the input")
    axes = ints(x.graph, [i for i in range(rank) if i != 1])
    mean = make("ReduceMean", x, axes, keepdims=1)
    square = make("ReduceMean", make("Mul", d := make("Sub", x, mean), d), axes, keepdims=0)
    return [make("Squeeze", mean, axes), square]


@down(14, "BatchNormalization")
def mode_by_outputs(node: Node) -> None:
    """One that trains has all five outputs."""
    if take(node, "training_mode", 0):
        scale = node.inputs[1]
        for i in range(1, 5):
            node.add_output(i, scale.type if scale is not None else None)


@down(9, "BatchNormalization")
def spatial_is_default(node: Node) -> None:
    """By default the statistics were those of channels, too."""


@down(7, "BatchNormalization")
def say_is_test(node: Node) -> None:
    """One with one output does not train."""
    node.attributes["is_test"] = int(not _trains(node))


@down(6, "BatchNormalization")
def say_consumed_inputs(node: Node) -> None:
    """The attribute was required."""
    node.attributes["consumed_inputs"] = (0, 0, 0, 1, 1) if _trains(node) else (0, 0, 0, 0, 0)


# ---- GroupNormalization: one scale and bias a group until 21 --------------------------------------------------------------------------------


@up(21, "GroupNormalization")
def parameters_of_channels(node: Node) -> None:
    """Each parameter is repeated for the channels of its group."""
    x, *parameters = node.inputs
    groups = given(node, "num_groups", 1)
    assert x is not None
    dims = dims_of(x)
    channels = dims[1] if dims is not None and len(dims) > 1 else None
    if channels != groups:
        if isinstance(channels, int):
            times: Value = ints(x.graph, [1, channels // groups])
        else:
            share = make("Div", make("Shape", x, start=1, end=2), ints(x.graph, [groups]))
            times = make("Concat", ints(x.graph, [1]), share, axis=0)
        for i, p in enumerate(parameters):
            wide = make("Expand", make("Reshape", p, ints(x.graph, [-1, 1])), times)
            parameters[i] = make("Reshape", wide, ints(x.graph, [-1]))
        set_inputs(node, x, *parameters)
    dtype = dtype_of(x)
    if dtype is not None and NAMES[dtype] != "float32":
        node.attributes["stash_type"] = NAMES[dtype]


@down(21, "GroupNormalization")
def instances_of_groups(node: Node) -> tuple[Value, ...]:
    """The older form is deprecated: each group is normalized as an instance, and scale and bias are applied afterwards."""
    x, scale, bias = node.inputs
    assert x is not None and x.graph is not None
    groups, rank = given(node, "num_groups", 1), rank_of(x, "the input")
    single = scalar(x.graph, 1.0)
    narrow = given(node, "stash_type", "float32") == "float32" and dtype_of(x) != single.dtype
    whole = make("Cast", x, to="float32") if narrow else x
    ones, zeros = (cast_like(x.graph.number([float(n)] * groups, single.dtype), whole) for n in (1, 0))
    epsilon = {k: v for k, v in node.attributes.items() if k == "epsilon"}
    y = make("InstanceNormalization", make("Reshape", whole, ints(x.graph, [0, groups, -1])), ones, zeros, **epsilon)
    y = cast_like(make("Reshape", y, make("Shape", x)), x)
    scale, bias = (make("Unsqueeze", p, ints(x.graph, range(1, rank - 1))) if rank > 2 else p for p in (scale, bias))
    return (make("Add", make("Mul", y, scale), bias),)


# ---- pooling, recurrent layers, sampling, quantization ----------------------------------------------------------------------------------------


@up(2, "LpPool", "GlobalLpPool")
def whole_p(node: Node) -> None:
    """p was a float."""
    p = given(node, "p", 2.0)
    if p != int(p):
        raise CannotSay(f"p is {p}; newer versions take whole ones")
    node.attributes["p"] = int(p)


@down(2, "LpPool", "GlobalLpPool")
def float_p(node: Node) -> None:
    """The inverse of `whole_p`."""
    node.attributes["p"] = float(given(node, "p", 2))


@down(7, "LSTM", "GRU", "RNN")
def say_output_sequence(node: Node) -> None:
    """The outputs of all steps had to be asked for."""
    if node.outputs and node.outputs[0] is not None:
        node.attributes["output_sequence"] = 1


@down(14, "LSTM", "GRU", "RNN")
def time_first(node: Node) -> tuple[Value | None, ...] | None:
    """Where the batch is the first axis, it is brought to its old place and back."""
    if not take(node, "layout", 0):
        return None
    swap = (1, 0, 2)
    inputs = [make("Transpose", v, perm=swap) if i in (0, 5, 6) and v is not None else v for i, v in enumerate(node.inputs)]
    made = make(node.op.name, *inputs, outputs=len(node.outputs), **node.attributes)
    made = made if isinstance(made, tuple) else (made,)
    back = [(2, 0, 1, 3), swap, swap]
    return tuple(make("Transpose", v, perm=p) if output_of(node, i) is not None else None for i, (v, p) in enumerate(zip(made, back)))


@up(20, "GridSample")
def modes_of_any_rank(node: Node) -> None:
    """The modes lost the prefix that told the rank."""
    mode = given(node, "mode", None)
    if mode in ("bilinear", "bicubic"):
        node.attributes["mode"] = mode[2:]


@down(20, "GridSample")
def modes_of_images(node: Node) -> None:
    """Only images, of rank 4, could be sampled."""
    if rank_of(node.inputs[0], "the input") != 4:
        raise CannotSay("it samples no image of rank 4, which is new")
    mode = given(node, "mode", "linear")
    node.attributes["mode"] = f"bi{mode}" if mode in ("linear", "cubic") else mode


@down(13, "QuantizeLinear", "DequantizeLinear")
def one_scale(node: Node) -> None:
    """Before 13 there is one scale for the whole tensor."""
    dims = dims_of(input_of(node, 1))
    if dims is None or any(d != 1 for d in dims):
        raise CannotSay("it may have a scale for each slice along an axis, which is new")
    node.attributes.pop("axis", None)


@down(21, "QuantizeLinear")
def dtype_by_zero_point(node: Node) -> None:
    """The dtype of the result is that of the zero point."""
    dtype = take(node, "output_dtype")
    x, scale, zero = (input_of(node, i) for i in range(3))
    if zero is None and dtype not in (None, 0, "uint8"):
        dims = dims_of(scale)
        assert x is not None
        if dims is None or not all(isinstance(d, int) for d in dims):
            raise CannotSay("output_dtype is new, and a zero point that says the same cannot be made: the shape of the scale is unknown")
        zeros = Tensor.of(np.zeros(dims), dtype)
        set_inputs(node, x, scale, x.graph.root.weight(x.graph.fresh("zero_point"), zeros))


@down(23, "QuantizeLinear")
@down(23, "DequantizeLinear")
def dtype_of_scale(node: Node) -> None:
    """The dtype in which a quotient or product is computed is that of the scale."""
    name = "precision" if node.op.name == "QuantizeLinear" else "output_dtype"
    dtype = dtype_of(input_of(node, 1))
    if dtype is not None and given(node, name, None) == NAMES[dtype]:
        del node.attributes[name]
