"""Bringing elements back to where they came from: what the gradient rules of operators that only move elements share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import graphir.ops as ops

from ..dims import Dim
from ..dtypes import BFLOAT16, FLOAT16, FLOAT32, INT64
from ..ir import Value
from ._gradient import shaped_as, zeros_like

Margins = tuple[int | None, int | None]  # how many elements lie before a part of an axis and after it; None, once at most: what is left


def size_of(x: Value, axis: int) -> int | Value:
    """The size of x along an axis, counted from the front: a number, or an int64 vector of one."""
    size = x.shape[axis]
    return size if isinstance(size, int) else ops.shape.shape(x, start=axis, end=axis + 1)


def sizes_of(x: Value, first: int = 2, last: int | None = None) -> list[int | Value]:
    """The sizes of x from one axis up to another, as parts of a `vector`; the spatial ones of an image by default."""
    sizes = x.shape[first:last]
    return list(sizes) if all(isinstance(d, int) for d in sizes) else [ops.shape.shape(x, start=first, end=last)]  # pyright: ignore[reportReturnType]


def vector(parts: Sequence[int | Value]) -> list[int] | Value:
    """Numbers and int64 vectors one after another, as an operand: a list where all are numbers."""
    joined: list[list[int] | Value] = [] if parts else [[]]
    for p in parts:
        if isinstance(p, Value):
            joined.append(p)
        elif joined and isinstance(joined[-1], list):
            joined[-1].append(p)
        else:
            joined.append([p])
    return joined[0] if len(joined) == 1 else ops.shape.concat(*joined, axis=0)  # pyright: ignore[reportArgumentType]


def reshape_like(v: Value, x: Value) -> Value:
    """v, which has as many elements as x, in the shape of x."""
    if v.type.shape is not None and v.type.shape == x.type.shape:
        return v
    wanted = None if v.type.shape is None or x.type.shape is None else reshaping(v.shape, x.shape)
    return ops.shape.reshape(v, ops.shape.shape(x), allowzero=1) if wanted is None else ops.shape.reshape(v, wanted)


def reshaping(dims: Sequence[Dim], wanted: Sequence[Dim]) -> list[int] | None:
    """What to ask of Reshape, so that `dims` become `wanted`: a -1, or zeros, stand for sizes that only the run tells. None where they cannot."""
    copied = [not isinstance(d, int) and i < len(dims) and dims[i] == d for i, d in enumerate(wanted)]
    asked = [d if isinstance(d, int) else 0 if same else -1 for d, same in zip(wanted, copied)]
    # Beside a copied axis that turns out to be empty, -1 could be any size.
    exact = 0 not in wanted and asked.count(-1) <= (0 if any(copied) else 1)
    return asked if exact and ops.shape.reshaped(dims, asked, 0) == tuple(wanted) else None


def among_zeros(v: Value, x: Value, margins: Mapping[int, Margins]) -> Value:
    """v as the part of a tensor of zeros in the shape of x that leaves these margins, by axis. A negative one crops."""
    before: list[int | Value] = [0] * x.rank
    after: list[int | Value] = [0] * x.rank
    for axis, (low, high) in margins.items():
        before[axis] = _rest(v, x, axis, high or 0) if low is None else low
        after[axis] = _rest(v, x, axis, low or 0) if high is None else high
    pads = vector([*before, *after])
    return v if isinstance(pads, list) and not any(pads) else shaped_as(ops.arrange.pad(v, pads), x)


def _rest(v: Value, x: Value, axis: int, other: int) -> int | Value:
    """By how much x is longer than v along an axis, less the margin at the other end."""
    n, m = x.shape[axis], v.shape[axis]
    rest = n - m - other
    if isinstance(rest, int):
        return rest
    if isinstance(m, int):
        return ops.elementwise.sub(size_of(x, axis), m + other)
    longer = ops.elementwise.sub(size_of(x, axis), size_of(v, axis))
    return ops.elementwise.sub(longer, other) if other else longer


def positions(x: Value, axis: int) -> Value:
    """0, 1, 2, ... as far as x reaches along an axis, counted from the front."""
    size = size_of(x, axis)
    return ops.create.range_(0, x.graph.number(size, INT64) if isinstance(size, int) else ops.shape.squeeze(size, [0]), 1)


def middle_axis(x: Value, axis: Value) -> Value:
    """x as (before, size, after), for an axis that only the run tells: the one in the middle."""
    dims, places = ops.shape.shape(x), x.graph.number(list(range(x.rank)), INT64)
    at = ops.elementwise.mod(ops.shape.reshape(ops.elementwise.cast(axis, to="int64"), [1]), x.rank)
    before = ops.reduce.reduce_prod(ops.elementwise.where(ops.logic.less(places, at), dims, 1))
    after = ops.reduce.reduce_prod(ops.elementwise.where(ops.logic.greater(places, at), dims, 1))
    return ops.shape.reshape(x, ops.shape.concat(before, ops.index.gather(dims, at), after, axis=0), allowzero=1)


def added_up(updates: Value, x: Value, places: Value, axis: int | None = None, dims: Any = None) -> Value:
    """Zeros like x, or of these dims, to which updates are added: at tuples of places, as ScatterND has them, or at places along an axis.

    Numbers of 16 bits are added up as float32: fewer digits are lost, and ONNX Runtime adds no others.
    """
    wide = FLOAT32 if x.dtype in (FLOAT16, BFLOAT16) else x.dtype
    zeros, updates = zeros_like(x, dims, dtype=wide), ops.elementwise.cast_to(updates, wide)
    if axis is None:
        added = ops.index.scatter_nd(zeros, places, updates, reduction="add")
    else:
        added = ops.index.scatter_elements(zeros, places, updates, axis=axis, reduction="add")
    return ops.elementwise.cast_to(added, x.dtype)


def scatter_back(dy: Value, x: Value, move: Callable[[Value], Value]) -> Value:
    """The gradient of x where y = move(x) only picks elements: the positions are moved as the elements were, and dy is added there to zeros.

    It is right for operands that only the run tells and for elements that are picked more than once; it takes about ten nodes.
    """
    count = ops.shape.size(x)
    positions = move(reshape_like(ops.create.range_(0, count, 1), x))
    flat = added_up(ops.shape.reshape(dy, [-1]), x, ops.shape.reshape(positions, [-1]), axis=0, dims=ops.shape.reshape(count, [1]))
    return reshape_like(flat, x)
