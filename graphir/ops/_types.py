"""Sets of dtypes that operators allow, and the parts that type rules share: broadcasting, axes, contents."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dims import Dim, Expr, Shape, broadcast_dim, product, unknown
from ..dtypes import DTYPES, INT64, NAMES
from ..ir import Value
from ..types import KNOWN_LIMIT, Known, OptionalType, SequenceType, TensorType, Type, expect_rank
from ._op import RuleError


def dtypes(names: str) -> frozenset:
    """The dtypes with these names."""
    return frozenset(DTYPES[n] for n in names.split())


IEEE = dtypes("float16 float32 float64")
FLOAT = IEEE | dtypes("bfloat16")
SIGNED_INTS = dtypes("int8 int16 int32 int64")
UNSIGNED_INTS = dtypes("uint8 uint16 uint32 uint64")
INTS = SIGNED_INTS | UNSIGNED_INTS
WIDE_INTS = dtypes("int32 int64 uint32 uint64")
NUMERIC = FLOAT | INTS
INDEX = dtypes("int32 int64")
BOOLEAN = dtypes("bool")
STRINGS = dtypes("string")
COMPLEX = dtypes("complex64 complex128")
CLASSIC = IEEE | INTS | BOOLEAN | STRINGS | COMPLEX  # the types of the first opsets
FLOAT8 = dtypes("float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz")
ANY = frozenset(DTYPES.values())
ANY_25 = ANY - dtypes("float6_e2m3fn float6_e3m2fn")  # those that opset 25 knows

_broadcast_memo: dict[tuple[Shape, Shape], Shape] = {}


def broadcast(*shapes: Shape) -> Shape:
    """The shape in which these meet by NumPy's broadcasting. Raises RuleError where they cannot."""
    result = shapes[0]
    for shape in shapes[1:]:
        if result is not shape and result[len(result) - len(shape) :] != shape:  # mostly the one is the end of the other
            found = _broadcast_memo.get((result, shape))
            result = found if found is not None else _broadcast_two(result, shape)
    return result


def _broadcast_two(a: Shape, b: Shape) -> Shape:
    short, long = sorted((a, b), key=len)
    lead = len(long) - len(short)
    try:
        result = long[:lead] + tuple(broadcast_dim(x, y) for x, y in zip(long[lead:], short))
    except ValueError as e:
        raise RuleError(f"shapes {list(a)} and {list(b)} do not broadcast: {e}") from None
    if len(_broadcast_memo) > 4096:
        _broadcast_memo.clear()
    _broadcast_memo[a, b] = result
    return result


def fits(shape: Shape, onto: Shape) -> bool:
    """Whether `shape` may broadcast to `onto`, that one staying as it is. False only where it surely does not."""
    if shape == onto[len(onto) - len(shape) :]:  # first, since it is what mostly happens, and quick
        return True
    if len(shape) > len(onto):
        return False
    for a, b in zip(shape[::-1], onto[::-1]):
        if a.__class__ is int and a != 1 and b.__class__ is int and a != b:
            return False
    return True


def differ(a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    """Whether two shapes are surely not the same."""
    return a != b and (len(a) != len(b) or any(x != y and x.__class__ is int and y.__class__ is int for x, y in zip(a, b)))


def expect_shape(x: Value | None, shape: Shape, name: str) -> None:
    """Raises RuleError where the input called `name` surely has another shape; nothing where it is left out."""
    if x is not None and differ(x.shape, shape):
        raise RuleError(f"{name} has shape {list(x.shape)}; expected {list(shape)}")


def axis_of(axis: int, rank: int, name: str = "axis", beyond: int = 0) -> int:
    """The axis counted from the front. `beyond`: how far past the last one it may lie. Raises RuleError where there is no such axis."""
    if not -rank - beyond <= axis < rank + beyond:
        raise RuleError(f"{name} is {axis}; expected {-rank - beyond} to {rank + beyond - 1}, for rank {rank}")
    return axis + rank + beyond if axis < 0 else axis


def known_ints(x: Value | None) -> tuple[int, ...] | None:
    """The contents of `x` where all are known numbers."""
    known = None if x is None else x.known
    return None if known is None or any(isinstance(k, Expr) for k in known) else tuple(int(k) for k in known)  # pyright: ignore[reportArgumentType]


def known_dims(x: Value | None) -> tuple[Dim, ...] | None:
    """The contents of `x`, numbers or dims."""
    return None if x is None or x.known is None else tuple(k if isinstance(k, Expr) else int(k) for k in x.known)


def unknowns(count: int) -> Shape:
    """A shape of `count` dims that nobody else has. Raises ShapeError for a number of axes that no tensor has."""
    expect_rank(count)
    return tuple(unknown() for _ in range(count))


def length_of(x: Value) -> int | None:
    """The length of a 1-D value, where it is a known number."""
    if x.type.shape is None:
        return None
    if len(x.shape) != 1:
        raise RuleError(f"{x.name} has shape {list(x.shape)}; expected one axis")
    return x.shape[0] if isinstance(x.shape[0], int) else None


def expect_vectors(**inputs: Value | None) -> None:
    """Raises RuleError where one of these, given by name, surely has not one axis."""
    for name, x in inputs.items():
        if x is not None and x.type.shape is not None and len(x.type.shape) != 1:
            raise RuleError(f"{name} has shape {list(x.type.shape)}; expected one axis")


def expect_count(name: str, x: Value | None, count: int, why: str = "") -> None:
    """Raises RuleError where a 1-D input surely holds another number of elements, be they known or not.

    why: what follows the number, such as ", one for each axis".
    """
    if x is not None and x.type.shape is not None and len(x.type.shape) == 1 and differ(x.type.shape, (count,)):
        found = x.type.shape[0]
        raise RuleError(f"{name} has {found} number{'' if found == 1 else 's'}; expected {count}{why}")


def expect_axes(axes: Value, rank: int) -> None:
    """Raises RuleError where there surely are more axes than data of this rank has."""
    count = length_of(axes)
    if count is not None and count > rank:
        raise RuleError(f"axes has {count} numbers; data has rank {rank}")


def expect_float(name: str, dtype: str | None) -> None:
    """Raises RuleError where an attribute, the name of the dtype in which to compute, names none of floats."""
    if dtype is not None and DTYPES[dtype] not in FLOAT:
        raise RuleError(f"{name} is {dtype}; expected one of {', '.join(sorted(NAMES[d] for d in FLOAT))}")


def computed(shape: Shape, inputs: Sequence[Value], function: Callable[..., Any], dtype: np.dtype | None = None) -> Known | None:
    """The contents of an elementwise result on known contents, of `dtype` (the last input's by default).

    None where they are not followed: too many, a number that `function` cannot tell (it raises), or one that the dtype cannot hold.
    """
    for x in inputs:  # first, since it is what mostly happens, and quick
        if x.type.known is None:
            return None
    contents = [x.type.known for x in inputs]
    if None in contents or len(shape) > 1:
        return None
    size = product(shape)
    if not isinstance(size, int) or size > KNOWN_LIMIT:
        return None
    columns = [k * size if len(k) == 1 else k for k in contents if k is not None]
    if any(len(k) != size for k in columns):
        return None
    dtype = inputs[-1].type.dtype if dtype is None else dtype
    try:
        with np.errstate(all="ignore"):
            return tuple([_held(function(*_alike(row)), dtype) for row in zip(*columns)])
    except (ZeroDivisionError, TypeError, ValueError, OverflowError):
        return None


def _alike(row: Sequence[Any]) -> Sequence[Any]:
    """Numbers that meet dims as whole numbers: dims know no fractions. Raises TypeError for one that is not whole."""
    if not any(isinstance(k, Expr) for k in row):
        return row
    if any(isinstance(k, float) and not k.is_integer() for k in row):
        raise TypeError
    return [int(k) if isinstance(k, float) else k for k in row]


def _held(x: Any, dtype: np.dtype) -> int | float | bool | Dim:
    """A number as `dtype` holds it. Raises TypeError where it cannot; dims need 32 bits."""
    if isinstance(x, Expr) and dtype in NUMERIC and dtype.itemsize >= 4:
        return x
    if isinstance(x, int) and dtype in INTS and np.iinfo(dtype).min <= x <= np.iinfo(dtype).max:
        return int(x)
    if isinstance(x, int | float) and dtype in IEEE | BOOLEAN:
        return dtype.type(x).item()
    raise TypeError


def kept(shape: Sequence[Dim], known: Known | None) -> Known | None:
    """`known` as the contents of a tensor of this shape; in one of rank 0 or 1, of few elements, repeated to fill it."""
    if known is None:
        return None
    size = product(shape)
    if not isinstance(size, int) or size > KNOWN_LIMIT or (len(shape) > 1 and size != len(known)):
        return None
    return known * (size // len(known)) if known else known


def moved(x: Value, move: Callable[[np.ndarray], np.ndarray]) -> Known | None:
    """The contents of `x` in another order, or some of them. move: does that to an array of the shape of `x`."""
    if x.known is None or static_product(x.shape) != len(x.known):
        return None
    contents = np.fromiter(x.known, object, len(x.known)).reshape(x.shape)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return tuple(move(contents).reshape(-1).tolist())


def int_vector(count: Dim, known: Known | None = None) -> TensorType:
    """The type of an int64 vector."""
    return TensorType(INT64, (count,), known)


def static_product(shape: Shape) -> int | None:
    """The number of elements, where every dim is a number."""
    return math.prod(shape) if all(isinstance(d, int) for d in shape) else None  # pyright: ignore[reportArgumentType, reportReturnType]


def join(a: Type | None, b: Type | None, dim: Callable[[Dim, Dim], Dim]) -> Type | None:
    """The type of what is of type `a` or of type `b`; `dim` says what two dims become. Raises RuleError where no type holds both."""
    if a is None or b is None:
        return None
    if isinstance(a, TensorType) and isinstance(b, TensorType) and a.dtype == b.dtype:
        if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
            return TensorType(a.dtype)
        alike = a.known is not None and a.known == b.known and all(not isinstance(k, Expr) or dim(k, k) == k for k in a.known)
        return TensorType(a.dtype, [dim(x, y) for x, y in zip(a.shape, b.shape)], a.known if alike else None)
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):  # what is there is as good as what may be
        return OptionalType(join(a.element if isinstance(a, OptionalType) else a, b.element if isinstance(b, OptionalType) else b, dim))
    if isinstance(a, SequenceType) and isinstance(b, SequenceType):
        element = join(a.element, b.element, dim)  # raises where not even the dtypes are the same
        if a.empty != b.empty:
            element = a.element if b.empty else b.element
            element = join(element, element, dim)
        return SequenceType(element, a.empty and b.empty)
    if a == b:
        return a
    raise RuleError(f"{a} and {b} meet in one value; expected one type of value and one dtype")
