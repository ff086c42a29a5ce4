"""Operators that read images between their elements, at places that are numbers: grids, affine grids, and convolution whose windows are deformed."""

from typing import Any

import numpy as np

import graphir.ops as ops

from ..dims import product
from ..dtypes import NAMES, STRING
from ..ir import Value
from ..types import TensorType
from ._corners import NEIGHBOURS, count, divided, positions_in, reshaped, sampled, times, widened
from ._layout import size_of, sizes_of, vector
from ._op import T1, T2, Flag, Ints, RuleError, T, Vector, op
from ._types import CLASSIC, FLOAT, differ, expect_shape, known_dims, known_ints, length_of, unknowns
from ._windows import windows
from .nn import filters

PADDINGS = ("zeros", "border", "reflection")


@op("GridSample", since=22, T1=CLASSIC | FLOAT, T2=FLOAT)
def grid_sample(x: T1, grid: T2, *, align_corners: Flag = 0, mode: str = "linear", padding_mode: str = "zeros") -> TensorType:
    """x (N, C, D1, ..., Dr) at the places in grid (N, E1, ..., Er, r), innermost axis first, from -1 to 1 along each: (N, C, E1, ..., Er).

    mode: "nearest" element, of two the even one; "linear" or "cubic" weights of 2 or 4 on each axis. padding_mode: what lies outside is "zeros",
    the "border" element, or the "reflection" at the border. -1 and 1 are the middles of the outermost elements if align_corners is set, else their outer edges.
    """
    if x.rank < 3 or grid.rank != x.rank:
        raise RuleError(f"x has rank {x.rank} and grid {grid.rank}; expected one rank, 3 or more")
    if mode not in NEIGHBOURS or padding_mode not in PADDINGS:
        raise RuleError(
            f"mode is {mode!r} and padding_mode {padding_mode!r}; expected one of {', '.join(NEIGHBOURS)} and of {', '.join(PADDINGS)}"
        )
    if x.dtype == STRING and mode != "nearest":
        raise RuleError(f"x holds strings, which have no {mode} weights; expected mode nearest")
    if differ((x.shape[0], x.rank - 2), (grid.shape[0], grid.shape[-1])):
        raise RuleError(f"x has shape {list(x.shape)} and grid {list(grid.shape)}; expected grid to be ({x.shape[0]}, ..., {x.rank - 2})")
    if 0 in x.shape[2:] and 0 not in grid.shape[1:-1]:
        raise RuleError(f"x has shape {list(x.shape)}; expected elements on each axis after the second, since places are asked for")
    return TensorType(x.dtype, x.shape[:2] + grid.shape[1:-1])


@grid_sample.decompose
def _grid_sample(x, grid, *, align_corners, mode, padding_mode):
    rank = x.rank - 2
    places = grid if rank == 1 == grid.shape[-1] else reshaped(grid, None, count(grid, 1, -1), rank)
    if rank > 1:
        places = ops.index.gather(places, list(range(rank))[::-1], axis=2)
    y = sampled(x, _in_elements(x, widened(places), align_corners), mode, padding_mode, align_corners)
    return reshaped(y, None, None, *sizes_of(grid, 1, -1)) if rank > 1 else y


def _in_elements(x: Value, at: Value, align_corners: int) -> Value:
    """Places from -1 to 1, counted in elements of x."""
    sizes: Any = vector(sizes_of(x, 2))
    if isinstance(sizes, list):
        half = (np.array(sizes) - (1 if align_corners else 0)).astype(at.dtype) / 2
    else:
        half = ops.elementwise.cast_like(ops.elementwise.sub(sizes, 1) if align_corners else sizes, at)
        half = ops.elementwise.mul(half, 0.5)
    at = ops.elementwise.mul(ops.elementwise.add(at, 1.0), half)
    return at if align_corners else ops.elementwise.sub(at, 0.5)


@op("AffineGrid", since=20, T1=FLOAT)
def affine_grid(theta: T1, size: Vector[Ints], *, align_corners: Flag = 0) -> TensorType:
    """For each place of an image of `size` (N, C, D1, ..., Dr) where theta (N, r, r + 1) sends it: (N, D1, ..., Dr, r), for GridSample.

    Places lie between -1 and 1, their coordinates innermost axis first. align_corners as in GridSample; then the only place of an axis of one is at -1.
    """
    if theta.rank != 3:
        raise RuleError(f"theta has rank {theta.rank}; expected 3, for (N, 2, 3) or (N, 3, 4)")
    rank, sizes = _spatial_rank(theta, size), known_dims(size)
    if rank not in (2, 3, None) or (rank is not None and differ(theta.shape[1:], (rank, rank + 1))):
        raise RuleError(
            f"theta has shape {list(theta.shape)} and size {list(size.shape)}; expected (N, 2, 3) and 4 numbers, or (N, 3, 4) and 5"
        )
    if rank is None:
        return TensorType(theta.dtype)
    n = theta.shape[0]
    if sizes is not None and any(isinstance(d, int) and d < 0 for d in sizes):
        raise RuleError(f"size is {list(sizes)}; expected no negative number")
    if sizes is not None and differ((n,), sizes[:1]):
        raise RuleError(f"size begins with {sizes[0]}; theta has {n} matrices")
    return TensorType(theta.dtype, (n, *(unknowns(rank) if sizes is None else sizes[2:]), rank))


def _spatial_rank(theta: Value, size: Value) -> int | None:
    """How many spatial axes there are, by whichever of the two tells; None where neither does."""
    length = length_of(size)
    told = [length - 2 if length is not None else None, theta.shape[1], theta.shape[2] - 1]
    return next((n for n in told if isinstance(n, int)), None)


@affine_grid.decompose
def _affine_grid(theta, size, *, align_corners):
    wide, rank = widened(theta), _spatial_rank(theta, size)
    if rank is None:
        raise RuleError("neither the shape of theta nor the length of size tells whether images or volumes are meant")
    known = known_ints(size)
    sizes = list(known[2:]) if known is not None else [ops.shape.slice_(size, [2], [rank + 2], [0])]
    at = positions_in(sizes, wide)
    less = 1 if align_corners else 0
    if known is not None:
        scale = 2 / np.maximum(np.array(sizes, wide.dtype) - less, 1)
    else:
        span = ops.elementwise.max_(ops.elementwise.sub(sizes[0], less) if less else sizes[0], 1)
        scale = ops.elementwise.div(2.0, ops.elementwise.cast(span, to=NAMES[wide.dtype]))
    at = ops.elementwise.sub(ops.elementwise.mul(at if align_corners else ops.elementwise.add(at, 0.5), scale), 1.0)
    at = ops.index.gather(at, list(range(rank))[::-1], axis=1)
    at = ops.arrange.pad(at, [0, 0, 0, 1], 1.0)
    made = ops.math.matmul(at, ops.shape.transpose(wide, perm=(0, 2, 1)))
    made = reshaped(made, None, *sizes, rank)
    return made if wide is theta else ops.elementwise.cast(made, to=NAMES[theta.dtype])


@op("DeformConv", since=22, T=FLOAT)
def deform_conv(
    x: T, w: T, offset: T, b: T | None = None, mask: T | None = None, *, dilations: tuple[int, ...] | None = None, group: int = 1,
    kernel_shape: tuple[int, ...] | None = None, offset_group: int = 1, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """A convolution of x (N, C, ...) with w (M, C/group, ...) and b (M), each of whose taps reads x elsewhere, and counts as much as the mask says.

    offset (N, offset_group * taps * r, ...) moves the taps, axis by axis, and mask (N, offset_group * taps, ...) weighs them, for each place of the result.
    x is read between its elements by linear weights, and is zero outside. The result is (N, M, ...).
    """
    m, kernel = filters(x, w, b, kernel_shape, group)
    if offset_group < 1 or (isinstance(x.shape[1], int) and x.shape[1] % offset_group):
        raise RuleError(f"offset_group is {offset_group}; expected a divisor of the channels of x, {x.shape[1]}")
    places = tuple(s.out for s in windows(x.shape[2:], kernel, strides, dilations, pads, "NOTSET"))
    taps = product(kernel) * offset_group
    expect_shape(offset, (x.shape[0], taps * len(kernel), *places), "offset")
    expect_shape(mask, (x.shape[0], taps, *places), "mask")
    return TensorType(x.dtype, (x.shape[0], m, *places))


@deform_conv.decompose
def _deform_conv(x, w, offset, b=None, mask=None, *, dilations, group, kernel_shape, offset_group, pads, strides):
    rank = x.rank - 2
    kernel: Any = list(kernel_shape) if kernel_shape else sizes_of(w, 2)
    taps: Any = product(kernel_shape) if kernel_shape else count(w, 2)
    places, n = count(offset, 2), size_of(x, 0)
    batch = times(n, offset_group)
    moved = reshaped(widened(offset), batch, taps, rank, places)
    at = _regular(moved, kernel, sizes_of(offset, 2), strides or (1,) * rank, dilations or (1,) * rank, (pads or (0,) * rank)[:rank])
    at = ops.elementwise.add(ops.shape.transpose(moved, perm=(0, 1, 3, 2)), at)
    at = reshaped(at, None, times(taps, places), rank)
    parts = x if offset_group == 1 else reshaped(x, batch, divided(size_of(x, 1), offset_group), *sizes_of(x, 2))
    columns = sampled(parts, at)
    if mask is not None:
        columns = ops.elementwise.mul(columns, reshaped(mask, batch, 1, times(taps, places)))
    depth = times(size_of(w, 1), taps)
    columns = reshaped(columns, n, group, depth, places)
    y = ops.math.matmul(reshaped(w, group, divided(size_of(w, 0), group), depth), columns)
    y = reshaped(y, None, size_of(w, 0), *sizes_of(offset, 2))
    return y if b is None else ops.elementwise.add(y, ops.shape.unsqueeze(b, list(range(1, rank + 1))))


def _regular(like: Value, kernel: Any, places: Any, strides: Any, dilations: Any, begins: Any) -> Value:
    """Where the taps of a kernel read when they are not moved: (taps, places, r), in the dtype of `like`."""
    strides, dilations, begins = (np.array(x, like.dtype) for x in (strides, dilations, begins))
    taps = ops.elementwise.mul(positions_in(kernel, like), dilations)
    starts = ops.elementwise.sub(ops.elementwise.mul(positions_in(places, like), strides), begins)
    return ops.elementwise.add(ops.shape.unsqueeze(taps, [1]), starts)
