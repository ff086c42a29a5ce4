"""What a value may be: a tensor, a sequence, an optional, a map, a sparse tensor."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .dim_text import as_dim
from .dims import Dim, Expr, Shape, Symbol, substitute
from .dtypes import NAMES, as_dtype

Known = tuple[int | float | bool | Dim, ...]
KNOWN_LIMIT = 64  # contents longer than this are not followed: shapes, axes and pads are shorter
RANK_LIMIT = 64  # axes of a tensor; NumPy has no more
SIZE_LIMIT = 2**63 - 1  # of an axis, and of the bytes of a tensor


class ShapeError(ValueError):
    """Raised for a shape that no tensor has: too many axes, or a size below zero or beyond 64 bits."""


def expect_rank(count: int) -> None:
    """Raises ShapeError for a number of axes that no tensor has. Whoever makes a shape of a size that a file says asks before it is made."""
    if not 0 <= count <= RANK_LIMIT:
        raise ShapeError(f"a shape of {count:,} axes; expected at most {RANK_LIMIT}")


def expect_size(shape: Sequence[int], itemsize: int) -> None:
    """Raises ShapeError for sizes of a tensor that no memory can be addressed for. As for NumPy, axes of size 0 do not count."""
    expect_rank(len(shape))
    if math.prod(shape) * itemsize > SIZE_LIMIT or (0 in shape and math.prod(d or 1 for d in shape) * itemsize > SIZE_LIMIT):
        raise ShapeError(f"the sizes {list(shape)} multiply to more than 2^63 bytes")


class Type:
    """The base of all types. Types are immutable, and equal when their parts are."""

    __slots__ = ()

    def _parts(self) -> tuple:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and isinstance(other, Type) and self._parts() == other._parts())

    def __hash__(self) -> int:
        return hash((type(self), self._parts()))

    def __repr__(self) -> str:
        return str(self)


class TensorType(Type):
    """A dense tensor. `shape` is None where the rank is unknown; `known` holds the contents, flat, where they are few and known, and is no part of equality."""

    __slots__ = ("dtype", "known", "shape")

    def __init__(self, dtype: np.dtype | str | type, shape: Iterable[Dim | str | None] | None = None, known: Known | None = None):
        self.dtype: np.dtype = dtype if dtype.__class__ in _DTYPE_CLASSES else as_dtype(dtype)  # pyright: ignore[reportAttributeAccessIssue]
        dims: Any = shape if shape is None or shape.__class__ is tuple else _dims(shape)
        if dims is not None:
            if len(dims) > RANK_LIMIT:
                expect_rank(len(dims))
            for d in dims:
                if d.__class__ is not Expr and (d.__class__ is not int or d < 0 or d > SIZE_LIMIT):
                    dims = _dims(dims)
                    break
        self.shape: Shape | None = dims
        self.known = known

    def _parts(self) -> tuple:
        return self.dtype, self.shape

    def __str__(self) -> str:
        return f"{NAMES[self.dtype]}{shape_text(self.shape)}"


class SparseTensorType(Type):
    """A sparse tensor."""

    __slots__ = ("dtype", "shape")

    def __init__(self, dtype: np.dtype | str, shape: Iterable[Dim | str | None] | None = None):
        self.dtype = as_dtype(dtype)
        self.shape: Shape | None = None if shape is None else _dims(shape)

    def __str__(self) -> str:
        return f"sparse({NAMES[self.dtype]}{shape_text(self.shape)})"


class SequenceType(Type):
    """A sequence of values of one type; `element` is None where the file does not say which.

    empty: whether it surely has no elements, so that `element` tells a dtype alone, and elements of any shape may follow.
    """

    __slots__ = ("element", "empty")

    def __init__(self, element: Type | None, empty: bool = False):
        self.element = element
        self.empty = empty

    def __str__(self) -> str:
        return f"sequence({self.element or '?'})"


class OptionalType(Type):
    """A value, or none; `element` is None where the file does not say which."""

    __slots__ = ("element",)

    def __init__(self, element: Type | None):
        self.element = element

    def __str__(self) -> str:
        return f"optional({self.element or '?'})"


class MapType(Type):
    """A map from integers or strings to values; `value` is None where the file does not say which."""

    __slots__ = ("key", "value")

    def __init__(self, key: np.dtype | str, value: Type | None):
        self.key = as_dtype(key)
        self.value = value

    def __str__(self) -> str:
        return f"map({NAMES[self.key]}, {self.value or '?'})"


class OpaqueType(Type):
    """A type that only its own domain knows; carried, never computed with."""

    __slots__ = ("domain", "name")

    def __init__(self, domain: str, name: str):
        self.domain = domain
        self.name = name

    def __str__(self) -> str:
        return f"opaque({Symbol(self.domain)}:{Symbol(self.name)})"  # odd names are quoted


def shape_text(shape: Shape | None) -> str:
    """A shape as text: `[N, 64]`, `[]` for a scalar, `[...]` for an unknown rank."""
    return "[...]" if shape is None else f"[{', '.join(map(str, shape))}]"


def _dims(shape: Iterable[Dim | str | None]) -> Shape:
    """Dims as types have them. Raises TypeError for what is no dim, ShapeError for a size or a number of axes that no tensor has."""
    if isinstance(shape, str) or not hasattr(shape, "__iter__"):
        raise TypeError(f"the shape is {shape!r}; expected dims, such as ('N', 3), or None where their number is unknown")
    shape = tuple(shape)
    expect_rank(len(shape))
    dims: list[Dim] = []
    for d in shape:
        if d is not None and not isinstance(d, str | Expr) and not hasattr(d, "__index__"):
            raise TypeError(f"a dim is {d!r}; expected a whole number, a name, or None where it is unknown")
        dim = as_dim(d)
        if isinstance(dim, int) and not 0 <= dim <= SIZE_LIMIT:
            found = repr(d) if dim < 0 else "more than 2^63 - 1"
            raise ShapeError(f"a dim is {found}; expected 0 or more, a name, or None where it is unknown")
        dims.append(dim)
    return tuple(dims)


def map_dims(type_: Type | None, change) -> Type | None:
    """`type_` with `change(dim)` in place of each dim, inside sequences, optionals and maps too, and inside known contents."""
    if isinstance(type_, TensorType):
        if type_.shape is None and type_.known is None:
            return type_
        shape = type_.shape and tuple(change(d) for d in type_.shape)
        known = type_.known and tuple(k if isinstance(k, int | float) else change(k) for k in type_.known)
        return type_ if shape == type_.shape and known == type_.known else TensorType(type_.dtype, shape, known)
    if isinstance(type_, SequenceType):
        return SequenceType(map_dims(type_.element, change), type_.empty)
    if isinstance(type_, OptionalType):
        return OptionalType(map_dims(type_.element, change))
    if isinstance(type_, MapType):
        return MapType(type_.key, map_dims(type_.value, change))
    if isinstance(type_, SparseTensorType):
        return SparseTensorType(type_.dtype, type_.shape and tuple(change(d) for d in type_.shape))
    return type_


def bind(type_: Type | None, sizes: Mapping[str, Dim]) -> Type | None:
    """`type_` with the symbols named in `sizes` replaced."""
    return map_dims(type_, lambda d: substitute(d, sizes))


_DTYPE_CLASSES = frozenset(type(d) for d in NAMES)
