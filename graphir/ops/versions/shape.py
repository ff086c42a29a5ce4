"""Version steps of operators that move, cut, join and repeat elements, and of Constant."""

import math

import numpy as np

from ...dims import Dim, Expr
from ...ir import Node, Ref, Value
from ...nodes import Attribute
from ...tensors import SparseTensor, Tensor
from .rewriting import (
    CannotSay,
    constant,
    constant_tensor,
    contents,
    dims_of,
    down,
    given,
    input_of,
    ints,
    make,
    operand,
    rank_of,
    replace_operator,
    scalar_like,
    set_inputs,
    take,
    up,
)

# ---- Squeeze, Unsqueeze, Reshape: an attribute became an input ---------------------------------------------------------------------------


@up(13, "Squeeze", "Unsqueeze")
def axes_as_input(node: Node) -> None:
    """The attribute axes became an input."""
    set_inputs(node, node.inputs[0], operand(node, "axes"))


@down(13, "Squeeze", "Unsqueeze")
def axes_as_attribute(node: Node) -> None:
    """The axes must be constant."""
    _to_attribute(node, 1, "axes")
    set_inputs(node, node.inputs[0])


@up(5, "Reshape")
def shape_as_input(node: Node) -> None:
    """The attribute shape became an input."""
    node.attributes.pop("consumed_inputs", None)
    node.attributes.setdefault("shape", ())
    set_inputs(node, node.inputs[0], operand(node, "shape"))


@down(5, "Reshape")
def shape_as_attribute(node: Node) -> None:
    """The shape must be constant."""
    _to_attribute(node, 1, "shape")
    set_inputs(node, node.inputs[0])


def _to_attribute(node: Node, index: int, name: str) -> None:
    found = constant(node, index, name)
    if found is not None:
        node.attributes[name] = tuple(int(i) for i in found.reshape(-1))


@down(14, "Reshape")
def zero_copies(node: Node) -> None:
    """allowzero matters only where the shape holds a zero."""
    if given(node, "allowzero", 0):
        shape = constant(node, 1, "shape")
        if shape is None or 0 in shape:
            raise CannotSay("its shape holds a 0 that means no elements (allowzero), which is new")
        del node.attributes["allowzero"]


@down(15, "Shape")
def whole_shape(node: Node) -> tuple[Value, ...] | None:
    """A part of the shape is a Slice of it."""
    start, end = take(node, "start", 0), take(node, "end")
    x = node.inputs[0]
    assert x is not None
    if not start and end is None:
        return None
    last = np.iinfo(np.int64).max if end is None else end
    return (make("Slice", make("Shape", x), ints(x.graph, [start]), ints(x.graph, [last])),)


# ---- Slice, Pad, Tile -----------------------------------------------------------------------------------------------------------------------


@up(10, "Slice")
def bounds_as_inputs(node: Node) -> None:
    """The attributes starts, ends and axes became inputs."""
    if not {"starts", "ends"} <= node.attributes.keys():
        raise CannotSay("its attributes starts and ends are missing")
    set_inputs(node, node.inputs[0], operand(node, "starts"), operand(node, "ends"), operand(node, "axes"))


@down(11, "Slice")
def count_axes_from_the_front(node: Node) -> None:
    """Before 11 no axis was negative. Axes that are computed are taken not to be."""
    x, starts, ends, axes, steps = (input_of(node, i) for i in range(5))
    found = contents(axes)
    if found is not None and (found < 0).any():
        rank = rank_of(x, "the input")
        set_inputs(node, x, starts, ends, ints(node.graph, [i + rank if i < 0 else i for i in found]), steps)  # pyright: ignore[reportArgumentType]


@down(10, "Slice")
def bounds_as_attributes(node: Node) -> None:
    """Everything must be constant, and no step other than 1."""
    steps = constant(node, 4, "steps")
    if steps is not None and (steps != 1).any():
        raise CannotSay(f"its steps are {steps.tolist()}; the older form takes every element")
    for index, name in ((1, "starts"), (2, "ends"), (3, "axes")):
        _to_attribute(node, index, name)
    set_inputs(node, node.inputs[0])


@up(2, "Pad")
def paddings_to_pads(node: Node) -> None:
    """The attribute had another name."""
    if "paddings" in node.attributes:
        node.attributes["pads"] = node.attributes.pop("paddings")


@down(2, "Pad")
def pads_to_paddings(node: Node) -> None:
    """The inverse of `paddings_to_pads`."""
    node.attributes["paddings"] = node.attributes.pop("pads")


@up(11, "Pad")
def pads_as_input(node: Node) -> None:
    """The attributes pads and value became inputs."""
    x, value = node.inputs[0], take(node, "value")
    assert x is not None
    set_inputs(node, x, operand(node, "pads"), scalar_like(x, x.graph, value) if value else None)


@down(11, "Pad")
def pads_as_attribute(node: Node) -> None:
    """The pads and the value must be constant."""
    value = constant(node, 2, "the value")
    _to_attribute(node, 1, "pads")
    if value is not None and value.reshape(-1)[0] != 0:
        node.attributes["value"] = float(value.reshape(-1)[0])
    set_inputs(node, node.inputs[0])


@down(18, "Pad")
def pads_of_all_axes(node: Node) -> None:
    """Where the axes are told, the pads of the others are zero."""
    axes = constant(node, 3, "axes")
    if axes is None:
        return
    x, _, value = (input_of(node, i) for i in range(3))
    pads, rank = constant(node, 1, "pads"), rank_of(x, "the input")
    assert pads is not None and x is not None
    whole = np.zeros((2, rank), np.int64)
    whole[:, axes] = pads.reshape(2, -1)
    set_inputs(node, x, ints(x.graph, whole.reshape(-1)), value)


@down(19, "Pad")
def no_wrap(node: Node) -> None:
    """The mode wrap is new."""
    if given(node, "mode", "constant") == "wrap":
        raise CannotSay("the mode wrap is new")


@up(6, "Tile")
def repeats_of_all_axes(node: Node) -> None:
    """Two numbers, how often and along which axis, became a list of repeats."""
    x, tiles, axis = node.inputs
    assert x is not None
    known, along, dims = contents(tiles), contents(axis), dims_of(x)
    if known is not None and along is not None and dims is not None:
        repeats = [1] * len(dims)
        repeats[int(along.reshape(-1)[0])] = int(known.reshape(-1)[0])
        set_inputs(node, x, ints(x.graph, repeats))
        return
    one = Tensor.of(np.ones(1, np.int64))
    ones = make("ConstantOfShape", make("Shape", make("Shape", x)), value=one)
    tiles, axis = (make("Cast", make("Reshape", v, ints(x.graph, [1])), to="int64") for v in (tiles, axis))
    set_inputs(node, x, make("ScatterElements", ones, axis, tiles))


@down(6, "Tile")
def repeats_of_one_axis(node: Node) -> None:
    """Only one axis may be repeated."""
    x, repeats = node.inputs[0], constant(node, 1, "repeats")
    assert x is not None and repeats is not None
    longer = [i for i, n in enumerate(repeats) if n != 1] or [0]
    if len(longer) > 1:
        raise CannotSay(f"it repeats {len(longer)} axes, the older form one")
    set_inputs(node, x, scalar_like(x, x.graph, int(repeats[longer[0]])), scalar_like(x, x.graph, longer[0]))


# ---- Split -------------------------------------------------------------------------------------------------------------------------------------


@up(2, "Split")
def split_by_attribute(node: Node) -> tuple[Value, ...] | None:
    """Until 2 the lengths could be an input too, in the dtype of what is split."""
    x, split = node.inputs[0], input_of(node, 1)
    node.attributes.setdefault("axis", 0)
    if split is None:
        return None
    lengths = contents(split)
    if lengths is not None:
        node.attributes["split"] = tuple(int(n) for n in lengths)
        set_inputs(node, x)
        return None
    made = make("Split", x, make("Cast", split, to="int64"), axis=node.attributes["axis"], outputs=len(node.outputs))
    return made if isinstance(made, tuple) else (made,)


@down(2, "Split")
def same_split(node: Node) -> None:
    """Without an axis it is not clear which one 1 means."""
    node.attributes.setdefault("axis", 0)


@up(13, "Split")
def split_as_input(node: Node) -> None:
    """The attribute split became an input."""
    set_inputs(node, node.inputs[0], operand(node, "split"))


@down(13, "Split")
def split_as_attribute(node: Node) -> None:
    """The lengths must be constant."""
    _to_attribute(node, 1, "split")
    set_inputs(node, node.inputs[0])


@up(18, "Split")
def say_number_of_outputs(node: Node) -> None:
    """Since 18, how many parts are made is told by the lengths, or by num_outputs."""
    if input_of(node, 1) is None:
        node.attributes["num_outputs"] = len(node.outputs)


@down(18, "Split")
def equal_parts(node: Node) -> None:
    """Until 18 parts that are not told are equal; where they are not, the lengths are told."""
    parts = take(node, "num_outputs")
    if input_of(node, 1) is not None or parts is None:
        return
    x = node.inputs[0]
    dims = dims_of(x)
    size: Dim | None = None if dims is None else dims[given(node, "axis", 0)]
    if isinstance(size, Expr) and (size // parts) * parts == size:
        return
    if not isinstance(size, int):
        raise CannotSay(f"its length is {size or 'unknown'}, which may not divide into {parts} equal parts; the older form makes no others")
    if size % parts:
        part = math.ceil(size / parts)
        assert x is not None
        set_inputs(node, x, ints(x.graph, [max(0, min(part, size - i * part)) for i in range(parts)]))


# ---- Scatter, Constant ---------------------------------------------------------------------------------------------------------------------


@up(11, "Scatter")
def scatter_elements(node: Node) -> None:
    """It goes on as ScatterElements."""
    replace_operator(node, "ScatterElements")


@down(11, "ScatterElements")
def scatter(node: Node) -> None:
    """The inverse of `scatter_elements`."""
    replace_operator(node, "Scatter")


@down(18, "ScatterElements", "ScatterND")
def older_reductions(node: Node) -> None:
    """The reductions max and min are new."""
    reduction = given(node, "reduction", "none")
    if reduction in ("max", "min"):
        raise CannotSay(f"the reduction {reduction} is new")


@down(12, "Constant")
def one_tensor(node: Node) -> None:
    """Numbers and strings are tensors, too."""
    values: dict[str, Attribute] = node.attributes
    if any(isinstance(x, Ref) for x in values.values()):
        raise CannotSay("its value is an attribute of the enclosing function")
    if not values.keys() & {"value", "sparse_value"}:
        found = constant_tensor(node)
        assert found is not None
        values.clear()
        values["value"] = Tensor.of(found)


@down(11, "Constant")
def dense_tensor(node: Node) -> None:
    """A sparse tensor is written out."""
    sparse = node.attributes.pop("sparse_value", None)
    if isinstance(sparse, SparseTensor):
        node.attributes["value"] = Tensor.of(sparse.dense())
