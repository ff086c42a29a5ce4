"""Version steps of normalizations and Dropout."""

import numpy as np

from ...dtypes import NAMES
from ...ir import Node, Value
from .._constants import STORED
from .rewriting import (
    CannotSay,
    cast_like,
    contents,
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
    scalar_like,
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
    if groups > STORED:
        raise CannotSay(f"it has {groups} groups")
    single = scalar(x.graph, 1.0)
    narrow = given(node, "stash_type", "float32") == "float32" and dtype_of(x) != single.dtype
    whole = make("Cast", x, to="float32") if narrow else x
    ones, zeros = (cast_like(x.graph.number([float(n)] * groups, single.dtype), whole) for n in (1, 0))
    epsilon = {k: v for k, v in node.attributes.items() if k == "epsilon"}
    y = make("InstanceNormalization", make("Reshape", whole, ints(x.graph, [0, groups, -1])), ones, zeros, **epsilon)
    y = cast_like(make("Reshape", y, make("Shape", x)), x)
    scale, bias = (make("Unsqueeze", p, ints(x.graph, range(1, rank - 1))) if rank > 2 else p for p in (scale, bias))
    return (make("Add", make("Mul", y, scale), bias),)


# ---- Dropout: is_test until 7, a mask of the input's type until 10, ratio as an attribute until 12 ----------------------------------------


@up(7, "Dropout")
def drops_unless_is_test(node: Node) -> tuple[Value, ...] | None:
    """Without is_test a Dropout of the first versions drops; newer ones do so where they are told to."""
    if take(node, "is_test", 0):
        return None
    return _dropout(node, training=True)


@up(10, "Dropout")
def mask_of_bools(node: Node) -> tuple[Value, ...] | None:
    """The mask had the input's type."""
    return _dropout(node) if output_of(node, 1) is not None else None


def _dropout(node: Node, training: bool = False) -> tuple[Value, ...]:
    x = node.inputs[0]
    assert x is not None
    ratio = scalar(x.graph, float(take(node, "ratio", 0.5)))
    y, mask = make("Dropout", x, ratio, scalar(x.graph, True) if training else None, outputs=2)
    return (y, cast_like(mask, x)) if output_of(node, 1) is not None else (y,)


@up(12, "Dropout")
def ratio_as_input(node: Node) -> None:
    """The attribute ratio became an input."""
    x, ratio = node.inputs[0], take(node, "ratio")
    assert x is not None
    set_inputs(node, x, None if ratio is None else scalar(x.graph, float(ratio)))


@down(12, "Dropout")
def ratio_as_attribute(node: Node) -> None:
    """It is not told to drop. The ratio then means nothing, and is kept where it is constant."""
    if output_of(node, 1) is not None:
        raise CannotSay("its mask is read, and what it holds where nothing is dropped is told only since opset 12")
    training = input_of(node, 2)
    if training is not None and (contents(training) is None or bool(contents(training))):
        raise CannotSay("it drops when it is told so (training_mode), which is new")
    ratio = contents(input_of(node, 1))
    if ratio is not None:
        node.attributes["ratio"] = float(np.asarray(ratio, np.float32))
    node.attributes.pop("seed", None)
    set_inputs(node, node.inputs[0])


@down(10, "Dropout")
def no_mask(node: Node) -> None:
    """Without its mask a Dropout is the same."""


@down(7, "Dropout")
def is_test(node: Node) -> None:
    """Since 7 a Dropout does not drop."""
    node.attributes["is_test"] = 1


# ---- LayerNormalization and RMSNormalization: new in 17 and in 23 -----------------------------------------------------------------------------


@down(17, "LayerNormalization")
def layer_in_parts(node: Node) -> tuple[Value | None, ...]:
    """It is said in its parts."""
    x, scale, bias = (input_of(node, i) for i in range(3))
    wide, axes = _to_normalize(node)
    mean = make("ReduceMean", wide, axes)
    centred = make("Sub", wide, mean)
    factor = _one_by_root(node, centred, axes)
    assert x is not None
    y = make("Mul", cast_like(make("Mul", centred, factor), x), scale)
    made = (y if bias is None else make("Add", y, bias), mean, factor)
    return tuple(v if i == 0 or output_of(node, i) is not None else None for i, v in enumerate(made))


@down(23, "RMSNormalization")
def rms_in_parts(node: Node) -> tuple[Value, ...]:
    """It is said in its parts."""
    x, scale = node.inputs
    wide, axes = _to_normalize(node)
    assert x is not None
    return (make("Mul", cast_like(make("Mul", wide, _one_by_root(node, wide, axes)), x), scale),)


def _to_normalize(node: Node) -> tuple[Value, Value]:
    """The input in the dtype in which statistics are made, and the axes over which."""
    x, axis = node.inputs[0], given(node, "axis", -1)
    assert x is not None
    stash = given(node, "stash_type", "float32")
    dtype = dtype_of(x)
    wide = x if dtype is not None and NAMES[dtype] == stash else make("Cast", x, to=stash)
    return wide, ints(x.graph, range(axis, 0) if axis < 0 else range(axis, rank_of(x, "the input")))


def _one_by_root(node: Node, x: Value, axes: Value) -> Value:
    """1 / sqrt(mean(x * x) + epsilon)."""
    small = scalar_like(x, x.graph, given(node, "epsilon", 1e-5))
    return make("Reciprocal", make("Sqrt", make("Add", make("ReduceMean", make("Mul", x, x), axes), small)))
