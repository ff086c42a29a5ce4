"""Version steps of softmaxes and PRelu."""

from ...ir import Node, Value
from .rewriting import CannotSay, dims_of, down, given, ints, make, rank_of, set_inputs, up

# ---- softmaxes: until 13 over all axes from `axis` on, by default 1 -------------------------------------------------------------------------

SOFTMAXES = ("Hardmax", "LogSoftmax", "Softmax")


@up(13, *SOFTMAXES)
def one_axis(node: Node) -> tuple[Value, ...] | None:
    """Where only one of the axes from `axis` on is longer than 1, it is the one; else the input is made a matrix and the result brought back."""
    x, axis = node.inputs[0], node.attributes.get("axis", 1)
    dims = dims_of(x)
    if dims is not None and isinstance(axis, int):
        start = axis + len(dims) if axis < 0 else axis
        long = [i for i in range(start, len(dims)) if dims[i] != 1] or [len(dims) - 1]
        if len(long) == 1 and 0 <= start < len(dims):
            node.attributes["axis"] = -1 if long[0] == len(dims) - 1 else long[0]
            return None
    assert x is not None
    flat = make("Flatten", x, axis=axis)
    return (make("Reshape", make(node.op.name, flat, axis=-1), make("Shape", x)),)


@down(13, *SOFTMAXES)
def all_axes_from(node: Node) -> tuple[Value, ...] | None:
    """An axis that is not the last is brought there and back, where the rank is known."""
    x, axis = node.inputs[0], given(node, "axis", -1)
    dims = dims_of(x)
    if dims is None:
        if axis != -1:
            raise CannotSay(f"its axis is {axis} and the rank is unknown; the older form takes all axes from there on")
        node.attributes["axis"] = -1
        return None
    axis = axis + len(dims) if axis < 0 else axis
    if all(d == 1 for d in dims[axis + 1 :]):
        node.attributes["axis"] = axis
        return None
    order = [*(i for i in range(len(dims)) if i not in (axis, len(dims) - 1)), len(dims) - 1, axis]
    back = [order.index(i) for i in range(len(dims))]
    y = make(node.op.name, make("Transpose", x, perm=tuple(order)), axis=-1)
    return (make("Transpose", y, perm=tuple(back)),)


# ---- PRelu ----------------------------------------------------------------------------------------------------------------------------------


@up(7, "PRelu")
def slope_to_channels(node: Node) -> None:
    """A vector of slopes went along axis 1: trailing dims of 1 say the same."""
    x, slope = node.inputs
    rank = rank_of(slope, "the slope")
    if rank == 1 and dims_of(slope) != (1,) and rank_of(x, "the input") > 2:
        assert slope is not None
        set_inputs(node, x, make("Unsqueeze", slope, ints(slope.graph, range(1, rank_of(x, "the input") - 1))))


@down(7, "PRelu")
def slope_of_channels(node: Node) -> None:
    """The slope is one number, or one a channel."""
    x, slope = node.inputs
    rank, dims = rank_of(x, "the input"), dims_of(slope)
    if dims is None:
        raise CannotSay("the shape of the slope is unknown")
    if all(d == 1 for d in dims):
        return
    assert slope is not None and x is not None
    wide = (1,) * (rank - len(dims)) + dims
    if rank < 2 or any(d != 1 for i, d in enumerate(wide) if i != 1):
        raise CannotSay(f"its slope is {list(dims)}; the older form takes one number, or one a channel")
    if len(dims) > 1:
        set_inputs(node, x, make("Reshape", slope, ints(slope.graph, [-1])))
