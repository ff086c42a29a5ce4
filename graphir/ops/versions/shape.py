"""Version steps of operators that change shapes, cut and split."""

import math

import numpy as np

from ...dims import Dim, Expr
from ...ir import Node, Value
from .rewriting import (
    CannotSay,
    constant,
    contents,
    dims_of,
    down,
    given,
    input_of,
    ints,
    make,
    operand,
    rank_of,
    set_inputs,
    take,
    to_attribute,
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
    to_attribute(node, 1, "axes")
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
    to_attribute(node, 1, "shape")
    set_inputs(node, node.inputs[0])


@down(14, "Reshape")
def zero_copies(node: Node) -> None:
    """Not allowzero with a zero in the shape."""
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


# ---- Slice ----------------------------------------------------------------------------------------------------------------------------------


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
        to_attribute(node, index, name)
    set_inputs(node, node.inputs[0])


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
    to_attribute(node, 1, "split")
    set_inputs(node, node.inputs[0])


@up(18, "Split")
def say_number_of_outputs(node: Node) -> None:
    """Since 18, how many parts are made is told by the lengths, or by num_outputs."""
    if input_of(node, 1) is None:
        node.attributes["num_outputs"] = len(node.outputs)


@down(18, "Split")
def equal_parts(node: Node) -> None:
    """Parts that are not told are equal; where they are not, the length of the axis must be known."""
    parts = take(node, "num_outputs")
    if input_of(node, 1) is not None or parts is None:
        return
    if parts != len(node.outputs):
        raise CannotSay(f"num_outputs is {parts}, and there are {len(node.outputs)} outputs")
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
