"""Kernels of graphir.ops.sample. A place between elements is a weighted sum of the elements around it: one pass for each of these."""

import functools
import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any

from graphir.dtypes import FLOAT64
from graphir.ops._corners import NEIGHBOURS
from graphir.ops._windows import windows

from ..precision import in_single

BLOCK = 1 << 18  # elements that are read at a time: few enough to stay in cache
COLUMNS = 1 << 22  # elements of columns that are made at a time


@in_single
def grid_sample(xp: Any, x: Any, grid: Any, *, align_corners: int, mode: str, padding_mode: str) -> Any:
    rank = x.ndim - 2
    sizes = xp.asarray(x.shape[2:], dtype=grid.dtype)
    at = grid.reshape(grid.shape[0], math.prod(grid.shape[1:-1]), rank)[..., ::-1] + 1
    at = at * (sizes - 1) / 2 if align_corners else (at * sizes - 1) / 2
    return sampled(xp, x, at, mode, padding_mode, align_corners).reshape(x.shape[:2] + grid.shape[1:-1])


def sampled(xp: Any, x: Any, at: Any, mode: str = "linear", padding: str = "zeros", align_corners: int = 0) -> Any:
    """The images x (N, C, ...) at the places `at` (N, L, r), which are counted in elements from the first one: (N, C, L)."""
    n, channels, places = x.shape[0], x.shape[1], at.shape[1]
    if not (n and channels and places):
        return xp.zeros((n, channels, places), x.dtype)
    margin = 1 if padding == "zeros" else 0
    table = rows(xp, x, margin)
    sizes = table.shape[1:-1]
    table = table.reshape(-1, channels)
    flat = at.reshape(n * places, -1)
    step = max(1, BLOCK // channels)
    y = xp.empty((n * places, channels), x.dtype)
    for first in range(0, n * places, step):
        some = slice(first, first + step)
        image = xp.arange(first, min(first + step, n * places)) // places * math.prod(sizes)
        y[some] = _weighed(
            xp, table, _neighbours(xp, image, xp.ascontiguousarray(flat[some].T), sizes, mode, padding, align_corners, margin)
        )
    return xp.ascontiguousarray(y.reshape(n, places, channels).swapaxes(1, 2))


def _weighed(xp: Any, table: Any, neighbours: Iterator[tuple[Any, Any]]) -> Any:
    """The sum of the rows of the table that are neighbours, times their weights."""
    total: Any = None
    for index, weight in neighbours:
        part = xp.take(table, index, axis=0)
        if weight is not None:
            part = part.astype(FLOAT64) if part.dtype.kind in "iub" else part
            part *= weight[:, None].astype(xp.real(part).dtype, copy=False)
        total = part if total is None else xp.add(total, part, out=total)
    return total


def _neighbours(
    xp: Any, start: Any, at: Any, sizes: tuple[int, ...], mode: str, padding: str, align_corners: int, margin: int
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """For each neighbour of places (r, L): where it stands, in an image of these sizes that begins at `start`, and its weight, None if it is the only one."""
    offsets, powers = NEIGHBOURS[mode]
    if mode == "linear" and not margin:
        at, padding = inside(xp, at, sizes, padding, align_corners), "border"
    before = xp.rint(at) if mode == "nearest" else xp.floor(at)
    corners = [inside(xp, before + (k + margin), sizes, padding, align_corners).astype(xp.int64) for k in offsets]
    weights = [_polynomial([row[k] for row in powers], at - before) for k in range(len(offsets))] if mode != "nearest" else []
    for choice in itertools.product(range(len(offsets)), repeat=len(sizes)):
        index: Any = 0
        for axis, (size, k) in enumerate(zip(sizes, choice)):
            index = index * size + corners[k][axis]
        yield index + start, functools.reduce(operator.mul, (weights[k][axis] for axis, k in enumerate(choice))) if weights else None


def _polynomial(coefficients: list[float], x: Any) -> Any:
    """The polynomial with these coefficients, the highest power first."""
    made: Any = coefficients[0]
    for c in coefficients[1:]:
        made = made * x + c
    return made


def rows(xp: Any, x: Any, margin: int = 0) -> Any:
    """Images (N, C, ...) with their channels last, and a margin of zeros."""
    if not margin:
        return xp.ascontiguousarray(xp.moveaxis(x, 1, -1))
    made = xp.full((x.shape[0], *(d + 2 * margin for d in x.shape[2:]), x.shape[1]), "" if x.dtype.kind == "O" else 0, x.dtype)
    made[(slice(None), *(slice(margin, margin + d) for d in x.shape[2:]))] = xp.moveaxis(x, 1, -1)
    return made


def inside(xp: Any, corners: Any, sizes: tuple[int, ...], padding: str, align_corners: int) -> Any:
    """Places or elements (r, L), with those outside of axes of these sizes brought to the border, or mirrored; what is no number becomes 0."""
    last = xp.asarray(sizes, dtype=corners.dtype)[:, None] - 1
    if padding == "reflection":
        edge = 0 if align_corners else 0.5
        span = last + 2 * edge
        way = xp.fmod(xp.abs(corners + edge), xp.maximum(2 * span, 1))
        corners = span - edge - xp.abs(way - span)
    corners = xp.where(corners > 0, corners, 0)
    return xp.where(corners < last, corners, last)


@in_single
def affine_grid(xp: Any, theta: Any, size: Any, *, align_corners: int) -> Any:
    n, rank = theta.shape[:2]
    sizes = [int(d) for d in size.tolist()[2:]]
    made = xp.zeros((n, *sizes, rank), theta.dtype)
    if not made.size:
        return made
    made += theta[:, :, -1].reshape(n, *(1 for _ in sizes), rank)
    for axis, d in enumerate(sizes):
        at = (xp.arange(d) * (2 / max(d - 1, 1)) if align_corners else (xp.arange(d) + 0.5) * (2 / max(d, 1))) - 1
        column = theta[:, :, rank - 1 - axis].reshape(n, *(1 for _ in sizes), rank)
        made += at.astype(theta.dtype).reshape(-1, *(1 for _ in sizes[axis + 1 :]), 1) * column
    return made


@in_single
def deform_conv(
    xp: Any, x: Any, w: Any, offset: Any, b: Any = None, mask: Any = None, *, dilations: Any, group: int, kernel_shape: Any,
    offset_group: int, pads: Any, strides: Any,
) -> Any:  # fmt: skip
    """What the taps read are columns, which meet the filters in one matrix product; so many images at a time that the columns stay few."""
    kernel, places = w.shape[2:], offset.shape[2:]
    taps, count, depth = math.prod(kernel), math.prod(places), math.prod(w.shape[1:])
    found = windows(x.shape[2:], kernel, strides, dilations, pads, "NOTSET")
    regular = _positions(xp, kernel, x.dtype)[:, None] * xp.asarray([s.dilation for s in found], dtype=x.dtype)
    regular = regular + _positions(xp, places, x.dtype) * xp.asarray([s.stride for s in found], dtype=x.dtype)
    regular -= xp.asarray([s.begin for s in found], dtype=x.dtype)
    y = xp.empty((x.shape[0], w.shape[0], *places), x.dtype)
    by = w.reshape(group, w.shape[0] // group, depth)
    step = max(1, COLUMNS // max(1, x.shape[1] * taps * count))
    for first in range(0, x.shape[0], step):
        some = slice(first, first + step)
        n = x[some].shape[0]
        moved = offset[some].reshape(n * offset_group, taps, len(kernel), count).swapaxes(2, 3)
        at = (moved + regular).reshape(n * offset_group, taps * count, len(kernel))
        columns = sampled(xp, x[some].reshape(n * offset_group, x.shape[1] // offset_group, *x.shape[2:]), at)
        if mask is not None:
            columns *= mask[some].reshape(n * offset_group, 1, taps * count)
        y[some] = xp.matmul(by, columns.reshape(n, group, depth, count)).reshape(y[some].shape)
    return y if b is None else y + b.reshape(-1, *(1 for _ in places))


def _positions(xp: Any, sizes: tuple[int, ...], dtype: Any) -> Any:
    """The positions of all elements of an array of these sizes, row by row: (L, r)."""
    return xp.indices(sizes, dtype=dtype).reshape(len(sizes), math.prod(sizes)).T
