"""Version steps of elementwise operators, and of Clip, Cast, Erf and Mod."""

from ...dims import Dim
from ...dtypes import DTYPES, FLOATS, INTEGERS, NAMES
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
    rank_of,
    replace_operator,
    required,
    scalar_like,
    set_inputs,
    take,
    up,
)

# ---- broadcasting: since 7 as in NumPy; before, the second input to the first, where that is asked for ---------------------------------

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
LOGIC = ("And", "Or", "Xor", "Equal", "Greater", "Less")
COMMUTATIVE = ("Add", "Mul", "And", "Or", "Xor", "Equal")


@up(7, *ARITHMETIC, *LOGIC)
def numpy_broadcasting(node: Node) -> None:
    """`axis` told where in the first shape the second one begins: trailing dims of 1 say the same."""
    axis, broadcast = take(node, "axis"), take(node, "broadcast", 0)
    a, b = node.inputs
    if broadcast and axis is not None:
        rank = rank_of(b, "the second input")
        missing = rank_of(a, "the first input") - axis - rank if axis >= 0 else -axis - rank
        if rank and missing > 0:
            assert b is not None
            set_inputs(node, a, make("Unsqueeze", b, ints(b.graph, range(rank, rank + missing))))


@down(7, *ARITHMETIC, *LOGIC)
def limited_broadcasting(node: Node) -> None:
    """The second input is one number, or its shape stands within the first's."""
    a, b = node.inputs
    x, y = dims_of(a), dims_of(b)
    if x is None or y is None:
        raise CannotSay("the shapes are unknown, and the older form asks for the kind of broadcasting")
    if x == y:
        return
    if _place(x, y) is None and _place(y, x) is not None and node.op.name in COMMUTATIVE:
        a, b, x, y = b, a, y, x
    place = _place(x, y)
    if place is None:
        raise CannotSay(f"shapes {list(x)} and {list(y)} are broadcast, and the older form broadcasts only the second to the first")
    axis, ones = place
    assert b is not None and y is not None
    set_inputs(node, a, make("Squeeze", b, ints(b.graph, ones)) if ones else b)
    node.attributes["broadcast"] = 1
    if axis + len(y) - len(ones) != len(x):
        node.attributes["axis"] = axis


@down(12, "GreaterOrEqual", "LessOrEqual")
def or_equal(node: Node) -> tuple[Value, ...]:
    """The operators are new in 12: one of two holds."""
    a, b = node.inputs
    return (make("Or", make(node.op.name.removesuffix("OrEqual"), a, b), make("Equal", a, b)),)


def _place(x: tuple[Dim, ...], y: tuple[Dim, ...]) -> tuple[int, list[int]] | None:
    """Where the dims of y, less its outer ones, stand within x, and the axes of those ones. None where they do not, or might not."""
    if len(y) > len(x):
        return None
    if all(d == 1 for d in y):
        return len(x) - len(y), []
    start = next(i for i, d in enumerate(y) if d != 1)
    stop = len(y) - next(i for i, d in enumerate(reversed(y)) if d != 1)
    axis = len(x) - len(y) + start
    ones = [*range(start), *range(stop, len(y))]
    return (axis, ones) if x[axis : axis + stop - start] == y[start:stop] else None


@down(8, "Max", "Min", "Mean", "Sum")
def one_shape(node: Node) -> None:
    """All inputs have one shape."""
    shapes = [dims_of(v) for v in node.inputs]
    if len(shapes) > 1 and (shapes[0] is None or any(s != shapes[0] for s in shapes)):
        raise CannotSay("its inputs may differ in shape, and the older form does not broadcast")


# ---- Clip, Cast, Erf, Mod ---------------------------------------------------------------------------------------------------------------


@up(11, "Clip")
def bounds_as_inputs(node: Node) -> None:
    """The attributes min and max became inputs."""
    x = node.inputs[0]
    assert x is not None
    bounds = [required(node, name, float) if name in node.attributes else None for name in ("min", "max")]
    set_inputs(node, x, *(None if b is None else scalar_like(x, x.graph, b) for b in bounds))


@down(11, "Clip")
def bounds_as_attributes(node: Node) -> None:
    """Both bounds must be constant."""
    for index, name in ((1, "min"), (2, "max")):
        bound = constant(node, index, name)
        if bound is not None:
            node.attributes[name] = float(bound)
    set_inputs(node, node.inputs[0])


# The names that Cast had for types before they were numbers.
_OLD_NAMES = {"float32": "FLOAT", "float64": "DOUBLE", **{n: n.upper() for n in DTYPES if n not in ("float32", "float64")}}


@up(6, "Cast")
def type_by_number(node: Node) -> None:
    """`to` was the name of a member of TensorProto.DataType."""
    to = given(node, "to", None)
    names = {old: name for name, old in _OLD_NAMES.items()}
    if to not in DTYPES:
        if str(to).upper() not in names:
            raise CannotSay(f"to is {to!r}, which is no element type")
        node.attributes["to"] = names[str(to).upper()]


@down(6, "Cast")
def type_by_name(node: Node) -> None:
    """The inverse of `type_by_number`."""
    node.attributes["to"] = _OLD_NAMES[given(node, "to", None)]


@down(15, "CastLike")
def cast(node: Node) -> None:
    """It is a Cast, where the dtype is known."""
    dtype = dtype_of(input_of(node, 1))
    if dtype is None:
        raise CannotSay("the operator is new in opset 15, and the type to cast to is unknown")
    node.attributes["to"] = NAMES[dtype]
    set_inputs(node, node.inputs[0])
    replace_operator(node, "Cast")


@up(13, "Erf")
def erf_of_integers(node: Node) -> tuple[Value, ...] | None:
    """Since 13 there is none."""
    x = node.inputs[0]
    assert x is not None
    return (cast_like(make("Erf", make("Cast", x, to="float32")), x),) if dtype_of(x) in INTEGERS else None


@down(13, "Erf")
def erf(node: Node) -> None:
    """What 13 says, 9 says too."""


@down(28, "Mod")
def one_mod_for_each_kind(node: Node) -> None:
    """fmod=0 is for whole numbers alone."""
    dtype = dtype_of(node.inputs[0])
    if not given(node, "fmod", 0) and (dtype is None or dtype in FLOATS):
        raise CannotSay("a remainder of floats that takes the divisor's sign (fmod=0) is new")
