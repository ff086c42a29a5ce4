"""Version steps of softmaxes, reductions, Gemm, TopK and DFT."""

from ...dtypes import INTEGERS
from ...ir import Node, Value
from .rewriting import (
    CannotSay,
    cast_like,
    constant,
    dims_of,
    down,
    dtype_of,
    given,
    input_of,
    ints,
    make,
    operand,
    required,
    scalar,
    scalar_like,
    set_inputs,
    take,
    up,
)

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
    """The axis must be the last, but for axes of length 1; else it is brought there and back."""
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


# ---- reductions: axes as an attribute until 18, for ReduceSum until 13 -----------------------------------------------------------------------

REDUCTIONS = tuple(f"Reduce{n}" for n in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"))


@up(13, "ReduceSum")
@up(18, *REDUCTIONS)
def axes_as_input(node: Node) -> None:
    """The attribute axes became an input."""
    set_inputs(node, node.inputs[0], operand(node, "axes"))


@down(13, "ReduceSum")
@down(18, *REDUCTIONS)
def axes_as_attribute(node: Node) -> None:
    """The axes must be constant."""
    axes = constant(node, 1, "axes")
    if take(node, "noop_with_empty_axes", 0) and (axes is None or not len(axes)):
        raise CannotSay("it reduces over no axis (noop_with_empty_axes), which is new")
    if axes is not None and len(axes):
        node.attributes["axes"] = tuple(map(int, axes))
    set_inputs(node, node.inputs[0])


@up(28, "ReduceLogSum", "ReduceLogSumExp")
def logarithm_of_integers(node: Node) -> tuple[Value, ...] | None:
    """Since 28 there is none."""
    x = node.inputs[0]
    if dtype_of(x) not in INTEGERS:
        return None
    assert x is not None
    y = make(node.op.name, make("Cast", x, to="float64"), input_of(node, 1), **node.attributes)
    return (cast_like(y, x),)


@down(28, "ReduceLogSum", "ReduceLogSumExp")
def logarithm(node: Node) -> None:
    """What 28 says, 18 says too."""


# ---- products ---------------------------------------------------------------------------------------------------------------------------


@up(7, "Gemm")
def broadcast_c(node: Node) -> None:
    """`broadcast` said that c is broadcast, which it now always may be."""
    node.attributes.pop("broadcast", None)


@down(7, "Gemm")
def say_broadcast_c(node: Node) -> None:
    """c must be the whole matrix, one row, or one number."""
    c, y = input_of(node, 2), node.outputs[0]
    dims, whole = dims_of(c), dims_of(y)
    if dims is None or whole is None or len(whole) != 2:
        raise CannotSay("the shape of c is unknown, and the older form asks whether to broadcast it")
    if dims == whole:
        return
    if not (all(d == 1 for d in dims) or dims in (whole[1:], (1, *whole[1:]))):
        raise CannotSay(f"c of shape {list(dims)} is broadcast to {list(whole)}; the older form takes a matrix, a row or a number")
    if dims == (1, *whole[1:]) and dims != (1, 1):
        set_inputs(node, *node.inputs[:2], make("Squeeze", c, ints(node.graph, [0])))  # pyright: ignore[reportArgumentType]
    node.attributes["broadcast"] = 1


@down(11, "Gemm")
def zero_c(node: Node) -> None:
    """Before 11 there is always a c."""
    a, b, c = (input_of(node, i) for i in range(3))
    assert a is not None
    set_inputs(node, a, b, c if c is not None else scalar_like(a, a.graph, 0))


# ---- TopK, DFT, Range -------------------------------------------------------------------------------------------------------------------


@up(10, "TopK")
def k_as_input(node: Node) -> None:
    """The attribute k became an input."""
    x, k = node.inputs[0], required(node, "k")
    assert x is not None
    set_inputs(node, x, ints(x.graph, [k]))


@down(10, "TopK")
def k_as_attribute(node: Node) -> None:
    """k must be constant."""
    k = constant(node, 1, "k")
    assert k is not None
    node.attributes["k"] = int(k.reshape(-1)[0])
    set_inputs(node, node.inputs[0])


@up(20, "DFT")
def axis_as_input(node: Node) -> None:
    """The attribute axis, by default 1, became an input, by default -2."""
    x, axis = node.inputs[0], take(node, "axis", 1)
    assert x is not None
    set_inputs(node, x, input_of(node, 1), scalar(x.graph, int(axis)))


@down(20, "DFT")
def axis_as_attribute(node: Node) -> None:
    """The axis must be constant."""
    axis = constant(node, 2, "axis")
    node.attributes["axis"] = -2 if axis is None else int(axis.reshape(-1)[0])
    set_inputs(node, node.inputs[0], input_of(node, 1))
