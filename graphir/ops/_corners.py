"""Reading images between their elements, in standard operators: which elements lie around a place, what each counts there, and their weighted sum.

Images become rows, one for each element, of all its channels. The corners around a place are numbers of rows, and weights. One Gather reads them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import graphir.ops as ops

from ..dtypes import FLOAT32, FLOATS, INT64, NAMES
from ..ir import Value
from ..types import TensorType
from ._gradient import zeros_like
from ._layout import size_of, sizes_of, vector
from ._types import IEEE

A = -0.75  # of the cubic weights, as PyTorch has them


class Neighbours(NamedTuple):
    """Which elements count at a place: how far they lie from the one before it, and as which polynomials of the fraction, a row for each power."""

    offsets: tuple[int, ...]
    powers: tuple[tuple[float, ...], ...]  # the highest first


NEIGHBOURS = {
    "nearest": Neighbours((0,), ((1,),)),
    "linear": Neighbours((0, 1), ((-1, 1), (1, 0))),
    "cubic": Neighbours((-1, 0, 1, 2), ((A, A + 2, -A - 2, -A), (-2 * A, -A - 3, 2 * A + 3, A), (A, 0, -A, 0), (0, 1, 0, 0))),
}


def sampled(x: Value, at: Value, mode: str = "linear", padding: str = "zeros", align_corners: int = 0) -> Value:
    """The images x (N, C, ...) at the places `at` (N, L, r), which are counted in elements from the first one: (N, C, L).

    mode: a key of NEIGHBOURS. padding: what lies outside: "zeros", the "border" element, or the "reflection" at the border.
    """
    if mode == "linear" and padding != "zeros":
        at = inside(at, last_of(x, at), padding, align_corners)  # so that it is flat outside
        padding = "border"
    offsets = np.array(NEIGHBOURS[mode].offsets)
    before = ops.elementwise.round_(at) if mode == "nearest" else ops.elementwise.floor(at)
    weights = None if mode == "nearest" else meshed(_weights(ops.elementwise.sub(at, before), mode), ops.elementwise.mul)
    if padding == "zeros":  # they are put around the images, and places outside end there
        rest = range(2, x.rank)
        x = ops.arrange.pad(x, [1 for _ in rest] * 2, None, list(rest))
        offsets, padding = offsets + 1, "border"
    corners = ops.shape.unsqueeze(before, [-1])
    if offsets.any():
        corners = ops.elementwise.add(corners, offsets.astype(at.dtype))
    last = last_of(x, at)
    last = last[:, None] if isinstance(last, np.ndarray) else ops.shape.unsqueeze(last, [1])
    corners = ops.elementwise.cast(inside(corners, last, padding, align_corners), to="int64")
    strides = vector([count(x, axis + 1) for axis in range(2, x.rank)])
    strides = np.array(strides)[:, None] if isinstance(strides, list) else ops.shape.unsqueeze(strides, [1])
    index = meshed(ops.elementwise.mul(corners, strides), ops.elementwise.add)
    return weighed(rows(x), in_batch(index, x), weights)


def last_of(x: Value, like: Value, axis: int | None = None) -> Any:
    """The position of the last element of x along an axis, or each spatial one, in the dtype of `like`: an array where that is known, else a value."""
    sizes = vector(sizes_of(x, 2) if axis is None else [size_of(x, axis)])
    if isinstance(sizes, list):
        return np.array(sizes, like.dtype) - 1
    return ops.elementwise.cast(ops.elementwise.sub(sizes, 1), to=NAMES[like.dtype])


def inside(at: Value, last: Any, padding: str, align_corners: int) -> Value:
    """Places, or elements, with those outside brought to the border or mirrored. What is not inside has no slope, and what is no number goes to 0."""
    if padding == "reflection":
        known = isinstance(last, np.ndarray)
        span: Any = last if align_corners else last + 1 if known else ops.elementwise.add(last, 1.0)
        period = np.maximum(2 * span, 1) if known else ops.elementwise.max_(ops.elementwise.mul(span, 2.0), 1.0)
        way = ops.elementwise.abs_(at if align_corners else ops.elementwise.add(at, 0.5))
        way = ops.elementwise.abs_(ops.elementwise.sub(ops.elementwise.mod(way, period, fmod=1), span))
        at = ops.elementwise.sub(span if align_corners else span - 0.5 if known else ops.elementwise.sub(span, 0.5), way)
    at = ops.elementwise.where(ops.logic.greater(at, 0.0), at, 0.0)
    return ops.elementwise.where(ops.logic.less(at, last), at, last)


def _weights(fraction: Value, mode: str) -> Value:
    """What each neighbour counts, along a new last axis."""
    highest, *others = (np.array(row, fraction.dtype) for row in NEIGHBOURS[mode].powers)
    fraction, made = ops.shape.unsqueeze(fraction, [-1]), highest
    for row in others:
        made = ops.elementwise.mul(fraction, made)
        made = ops.elementwise.add(made, row) if row.any() else made
    return made  # pyright: ignore[reportReturnType]


def meshed(parts: Value, combine: Callable[..., Value]) -> Value:
    """What (N, L, r, t) says of t elements on each of r axes, combined for every choice of one on each: (N, L, t^r)."""
    r, t = parts.shape[2:]
    assert isinstance(r, int) and isinstance(t, int)
    if r == 1:
        return ops.shape.squeeze(parts, [2])
    made: Any = None
    for axis, part in enumerate(ops.shape.split(parts, axis=2, num_outputs=r)):
        shape = [t if i == axis else 1 for i in range(r)]
        part = part if shape == [1, t] else reshaped(part, None, None, *shape)
        made = part if made is None else combine(made, part)
    return reshaped(made, None, None, t**r)


# ---- rows -------------------------------------------------------------------------------------------------------------------------------


def rows(x: Value) -> Value:
    """Images (N, C, ...) as rows, one for each element: (N * P, C)."""
    n, c, size = size_of(x, 0), size_of(x, 1), count(x, 2)
    flat = reshaped(x, None, None, size) if x.rank != 3 else x
    return reshaped(ops.shape.transpose(flat, perm=(0, 2, 1)), times(n, size), c)


def images(found: Value, x: Value) -> Value:
    """Rows (N * P, C) as the images x (N, C, ...) that they were."""
    flat = ops.shape.transpose(reshaped(found, size_of(x, 0), count(x, 2), size_of(x, 1)), perm=(0, 2, 1))
    return reshaped(flat, None, None, *sizes_of(x, 2)) if x.rank != 3 else flat


def in_batch(index: Value, x: Value, image: Value | None = None) -> Value:
    """Positions (B, L, K) in an image of x as numbers of its `rows`. image: which image each of B reads; each its own if none is given."""
    if image is None:
        n = x.shape[0]
        if n == 1:
            return index
        image = ops.create.range_(0, x.graph.number(n, INT64) if isinstance(n, int) else ops.shape.squeeze(size_of(x, 0), [0]), 1)
    return ops.elementwise.add(index, ops.shape.unsqueeze(ops.elementwise.mul(image, count(x, 2)), [1, 2]))


def weighed(table: Value, index: Value, weights: Value | None) -> Value:
    """The rows at index (B, L, K), times their weights, summed over K: (B, C, L). Without weights K is 1."""
    found = ops.index.gather(table, index)
    if weights is None:
        return ops.shape.transpose(ops.shape.squeeze(found, [2]), perm=(0, 2, 1))
    if found.dtype in FLOATS:
        weights = ops.elementwise.cast_to(weights, found.dtype)
    else:
        found = ops.elementwise.cast(found, to=NAMES[weights.dtype])
    made = ops.math.matmul(ops.shape.unsqueeze(weights, [2]), found)
    made = ops.shape.transpose(ops.shape.squeeze(made, [2]), perm=(0, 2, 1))
    return ops.elementwise.cast_to(made, table.dtype)


# ---- sizes ------------------------------------------------------------------------------------------------------------------------------


def count(x: Value, first: int, last: int | None = None) -> Any:
    """How many elements the axes of x hold from one up to another: a number, or an int64 vector of one."""
    sizes = x.shape[first:last]
    if all(isinstance(d, int) for d in sizes):
        return math.prod(sizes)  # pyright: ignore[reportArgumentType]
    there = ops.shape.shape(x, start=first, end=last)
    return there if len(sizes) == 1 else ops.reduce.reduce_prod(there)


def reshaped(v: Value, *sizes: int | Value | None) -> Value:
    """v in the shape of these sizes, or vectors of several; None stands for the size that it has there."""
    if all(s is None or (isinstance(s, int) and s != 0) for s in sizes):
        return ops.shape.reshape(v, [s or 0 for s in sizes])  # pyright: ignore[reportOperatorIssue]
    return ops.shape.reshape(v, vector([size_of(v, i) if s is None else s for i, s in enumerate(sizes)]), allowzero=1)


def times(a: Any, b: Any) -> Any:
    """The product of two sizes: a number where both are, else an int64 vector of one."""
    return a * b if isinstance(a, int) and isinstance(b, int) else ops.elementwise.mul(a, b)


def divided(a: Any, b: int) -> Any:
    """A size, divided."""
    return a // b if isinstance(a, int) else ops.elementwise.div(a, b)


def positions_in(sizes: Sequence[int | Value], like: Value) -> Value:
    """The positions of all elements of a tensor of these sizes, row by row, in the dtype of `like`, a float one: (L, r)."""
    there = ops.index.non_zero(zeros_like(like, vector(sizes), fill=1))
    if all(isinstance(d, int) for d in sizes):
        there.type = TensorType(INT64, (len(sizes), math.prod(sizes)))  # pyright: ignore[reportCallIssue, reportArgumentType]
    return ops.elementwise.cast(ops.shape.transpose(there, perm=(1, 0)), to=NAMES[like.dtype])


def widened(x: Value) -> Value:
    """x in a dtype that can tell places: half precision as float32."""
    return x if x.dtype in IEEE and x.dtype.itemsize > 2 else ops.elementwise.cast(x, to=NAMES[FLOAT32])
