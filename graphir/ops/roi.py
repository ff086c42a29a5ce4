"""Operators that pool regions of interest of images into maps of one size."""

from typing import Any

import numpy as np

import graphir.ops as ops

from ..ir import Value
from ..types import TensorType
from ._constants import counting
from ._corners import count, images, in_batch, inside, last_of, reshaped, rows, times, widened
from ._layout import added_up, size_of
from ._op import T1, Ints, RuleError, T, op
from ._types import FLOAT, differ, known_ints

MODES = ("avg", "max")
COORDINATES = ("half_pixel", "output_half_pixel")


def _check(x: Value, rois: Value, numbers: int, height: int, width: int) -> None:
    """Raise RuleError unless x holds images and rois so many numbers for each region."""
    if x.rank != 4:
        raise RuleError(f"x has rank {x.rank}; expected 4, for (N, C, H, W)")
    if rois.rank != 2 or differ(rois.shape[1:], (numbers,)):
        raise RuleError(f"rois has shape {list(rois.shape)}; expected (R, {numbers})")
    if height < 1 or width < 1:
        raise RuleError(f"the regions are to become {height} x {width}; expected positive numbers")
    if 0 in x.shape[2:]:
        raise RuleError(f"x has shape {list(x.shape)}; expected elements to pool")


@op("RoiAlign", since=22, T1=FLOAT)
def roi_align(
    x: T1, rois: T1, batch_indices: Ints, *, coordinate_transformation_mode: str = "half_pixel", mode: str = "avg", output_height: int = 1,
    output_width: int = 1, sampling_ratio: int = 0, spatial_scale: float = 1.0,
) -> TensorType:  # fmt: skip
    """The regions rois (R, 4), as x1, y1, x2, y2, of the images that batch_indices (R) name in x (N, C, H, W): (R, C, output_height, output_width).

    Each region, times spatial_scale, is cut into bins. In each, sampling_ratio^2 places (0: one for each element of x, or so) are read between the
    elements by linear weights. mode: "avg" of what is read, or "max" of what the four elements around a place give to it.
    coordinate_transformation_mode: in "half_pixel" an element's middle is at 0.5, in "output_half_pixel" at 0, and a region is no smaller than an element.
    The gradient is that of x; the regions have none.
    """
    _check(x, rois, 4, output_height, output_width)
    if differ(batch_indices.shape, rois.shape[:1]):
        raise RuleError(f"batch_indices has shape {list(batch_indices.shape)}; expected {[rois.shape[0]]}, one for each of the rois")
    if mode not in MODES or coordinate_transformation_mode not in COORDINATES:
        found = f"mode is {mode!r} and coordinate_transformation_mode {coordinate_transformation_mode!r}"
        raise RuleError(f"{found}; expected one of {', '.join(MODES)} and of {', '.join(COORDINATES)}")
    if sampling_ratio < 0:
        raise RuleError(f"sampling_ratio is {sampling_ratio}; expected 0 or more")
    n, outside = x.shape[0], known_ints(batch_indices) or ()
    outside = [i for i in outside if i < 0 or (isinstance(n, int) and i >= n)]
    if outside:
        raise RuleError(f"batch_indices holds {outside[0]}; x has {n} images, counted from 0")
    return TensorType(x.dtype, (rois.shape[0], x.shape[1], output_height, output_width))


@roi_align.gradient
def roi_align_gradient(
    dy, y, x, rois, batch_indices, *, coordinate_transformation_mode, mode, output_height, output_width, sampling_ratio, spatial_scale
):  # fmt: skip
    at = ops.elementwise.mul(widened(rois), spatial_scale)
    if coordinate_transformation_mode == "half_pixel":
        at = ops.elementwise.sub(at, 0.5)
    begin, end = ops.index.gather(at, [1, 0], axis=1), ops.index.gather(at, [3, 2], axis=1)  # along y, then x
    extent = ops.elementwise.sub(end, begin)
    if coordinate_transformation_mode == "output_half_pixel":
        extent = ops.elementwise.max_(extent, 1.0)
    bins = ops.elementwise.div(extent, np.array([output_height, output_width], at.dtype))
    found = []
    for i, out in enumerate((output_height, output_width)):
        first, size = ops.index.gather(begin, [i], axis=1), ops.index.gather(bins, [i], axis=1)
        found.append(_corners(x, i + 2, *_places(first, size, out, sampling_ratio, mode == "avg")))
    index = in_batch(_meshed(ops.elementwise.mul(found[0][0], size_of(x, 3)), found[1][0], ops.elementwise.add), x, batch_indices)
    weights = _meshed(found[0][1], found[1][1], ops.elementwise.mul)
    weights = ops.elementwise.cast_to(weights, dy.dtype)
    dy = _by_bin(dy)
    if mode == "avg":
        return _add_to(x, ops.elementwise.mul(ops.shape.unsqueeze(weights, [3]), ops.shape.unsqueeze(dy, [2])), index), None, None
    values = ops.elementwise.mul(ops.index.gather(rows(x), index), ops.shape.unsqueeze(weights, [3]))
    which = ops.reduce.arg_max(values, axis=2, keepdims=0)
    share = ops.elementwise.mul(dy, ops.index.gather_elements(weights, which, axis=2))
    return _add_to(x, share, ops.index.gather_elements(index, which, axis=2)), None, None


def _places(begin: Value, size: Value, out: int, sampling_ratio: int, averaged: bool) -> tuple[Value, Any]:
    """Where regions are read along an axis: (R, out, places), for bins that begin there and have this size (R, 1). And what each place counts.

    Where the regions have not as many places, the last one is repeated: that does not change a maximum, and in an average it counts nothing.
    """
    bins = ops.shape.unsqueeze(counting(begin, out, begin.dtype), [1])
    if sampling_ratio:
        inner = ops.elementwise.add(counting(begin, sampling_ratio, begin.dtype), 0.5)
        within = ops.elementwise.add(bins, ops.elementwise.div(inner, float(sampling_ratio)))
        share: Any = 1 / sampling_ratio if averaged and sampling_ratio > 1 else None
    else:
        asked = ops.elementwise.ceil(size)
        counts = ops.elementwise.max_(asked, 1.0)
        one = ops.shape.unsqueeze(begin.graph.number(1.0, begin.dtype), [0, 1])
        step = ops.create.range_(0.0, ops.reduce.reduce_max(ops.shape.concat(counts, one, axis=0), keepdims=0), 1.0)
        held = ops.elementwise.min_(step, ops.elementwise.sub(counts, 1.0))
        within = ops.elementwise.div(ops.elementwise.add(held, 0.5), counts)
        within = ops.elementwise.add(ops.shape.unsqueeze(within, [1]), bins)
        there = ops.logic.less(step if averaged else 0.0, asked)
        each = ops.elementwise.reciprocal(counts) if averaged else begin.graph.number(1.0, begin.dtype)
        share = ops.shape.unsqueeze(ops.elementwise.where(there, each, 0.0), [1])
    return ops.elementwise.add(ops.elementwise.mul(ops.shape.unsqueeze(size, [1]), within), ops.shape.unsqueeze(begin, [1])), share


def _corners(x: Value, axis: int, at: Value, share: Any) -> tuple[Value, Value]:
    """The two elements around each place along an axis of x, as positions, and their weights times what the place counts: (R, out, 2 * places)."""
    last, size = last_of(x, at, axis), size_of(x, axis)
    beyond = last + 1 if isinstance(size, int) else ops.elementwise.add(last, 1.0)
    seen = ops.logic.and_(ops.logic.greater_or_equal(at, -1.0), ops.logic.less_or_equal(at, beyond))
    at = inside(at, last, "border", 0)
    low = ops.elementwise.floor(at)
    pairs = ops.elementwise.min_(ops.elementwise.add(ops.shape.unsqueeze(low, [3]), np.array([0, 1], at.dtype)), last)
    fraction = ops.shape.unsqueeze(ops.elementwise.sub(at, low), [3])
    weights = ops.elementwise.add(ops.elementwise.mul(fraction, np.array([-1, 1], at.dtype)), np.array([1, 0], at.dtype))
    weights = ops.elementwise.where(ops.shape.unsqueeze(seen, [3]), weights, 0.0)
    if share is not None:
        weights = ops.elementwise.mul(weights, ops.shape.unsqueeze(share, [3]) if isinstance(share, Value) else share)
    steps = times(count(at, 2), 2)
    return ops.elementwise.cast(reshaped(pairs, None, None, steps), to="int64"), reshaped(weights, None, None, steps)


@op("MaxRoiPool", since=22, T=FLOAT)
def max_roi_pool(x: T, rois: T, *, pooled_shape: tuple[int, ...], spatial_scale: float = 1.0) -> TensorType:
    """The regions rois (R, 5), as image, x1, y1, x2, y2, of x (N, C, H, W), cut into bins of whole elements, the largest of each: (R, C, *pooled_shape).

    The corners of a region, times spatial_scale, are rounded to elements, which belong to it. A bin outside of the image is 0. The regions have no gradient.
    """
    if len(pooled_shape) != 2:
        raise RuleError(f"pooled_shape is {list(pooled_shape)}; expected 2 numbers")
    _check(x, rois, 5, *pooled_shape)
    return TensorType(x.dtype, (rois.shape[0], x.shape[1], *pooled_shape))


@max_roi_pool.gradient
def max_roi_pool_gradient(dy, y, x, rois, *, pooled_shape, spatial_scale):
    at = ops.elementwise.mul(widened(rois), spatial_scale)
    at = ops.elementwise.mul(ops.elementwise.sign(at), ops.elementwise.floor(ops.elementwise.add(ops.elementwise.abs_(at), 0.5)))
    begin, end = ops.index.gather(at, [2, 1], axis=1), ops.index.gather(at, [4, 3], axis=1)  # along y, then x
    extent = ops.elementwise.max_(ops.elementwise.add(ops.elementwise.sub(end, begin), 1.0), 1.0)
    bins = ops.elementwise.div(extent, np.array(pooled_shape, at.dtype))
    found = []
    for i, out in enumerate(pooled_shape):
        found.append(_elements(x, i + 2, ops.index.gather(begin, [i], axis=1), ops.index.gather(bins, [i], axis=1), out))
    index = _meshed(ops.elementwise.mul(found[0][0], size_of(x, 3)), found[1][0], ops.elementwise.add)
    index = in_batch(index, x, ops.elementwise.cast(ops.index.gather(rois, 0, axis=1), to="int64"))
    which = ops.reduce.arg_max(ops.index.gather(rows(x), index), axis=2, keepdims=0)
    there = _meshed(found[0][1], found[1][1], ops.logic.and_)
    share = ops.elementwise.where(there, _by_bin(dy), 0.0)
    return _add_to(x, share, ops.index.gather_elements(index, which, axis=2)), None


def _elements(x: Value, axis: int, begin: Value, size: Value, out: int) -> tuple[Value, Value]:
    """The elements in each bin along an axis of x, the last one repeated where others have more: (R, out, most). And whether there are any."""
    number = counting(begin, out, begin.dtype)
    last = last_of(x, begin, axis)
    end = last + 1 if isinstance(last, np.ndarray) else ops.elementwise.add(last, 1.0)
    first = ops.elementwise.add(ops.elementwise.floor(ops.elementwise.mul(size, number)), begin)
    after = ops.elementwise.add(ops.elementwise.ceil(ops.elementwise.mul(size, ops.elementwise.add(number, 1.0))), begin)
    first, after = (ops.elementwise.min_(ops.elementwise.max_(v, 0.0), end) for v in (first, after))
    lengths = ops.shape.reshape(ops.elementwise.sub(after, first), [-1])
    one = ops.shape.unsqueeze(begin.graph.number(1.0, begin.dtype), [0])
    steps = ops.create.range_(0.0, ops.reduce.reduce_max(ops.shape.concat(lengths, one, axis=0), keepdims=0), 1.0)
    index = ops.elementwise.add(ops.shape.unsqueeze(first, [2]), steps)
    index = ops.elementwise.min_(index, ops.elementwise.max_(ops.shape.unsqueeze(ops.elementwise.sub(after, 1.0), [2]), 0.0))
    return ops.elementwise.cast(index, to="int64"), ops.shape.unsqueeze(ops.logic.greater(after, first), [2])


def _meshed(y: Value, x: Value, combine: Any) -> Value:
    """What (R, H, A) says of rows and (R, W, B) of columns, combined: (R, H * W, A * B)."""
    bins = times(count(y, 1, 2), count(x, 1, 2))
    made = combine(ops.shape.unsqueeze(y, [2, 4]), ops.shape.unsqueeze(x, [1, 3]))
    return reshaped(made, size_of(y, 0), bins, times(count(y, 2), count(x, 2)))


def _by_bin(dy: Value) -> Value:
    """dy (R, C, H, W) as (R, H * W, C)."""
    return ops.shape.transpose(reshaped(dy, None, None, count(dy, 2)), perm=(0, 2, 1))


def _add_to(x: Value, dy: Value, index: Value) -> Value:
    """Zeros in the shape of x, to which dy is added: rows (..., C) at row numbers (...), or single numbers, each in its own column, at as many."""
    there = rows(x)
    if index.rank != dy.rank:
        return images(added_up(dy, there, ops.shape.unsqueeze(index, [-1])), x)
    index, dy = (reshaped(v, times(size_of(dy, 0), count(dy, 1, 2)), size_of(dy, 2)) for v in (index, dy))
    return images(added_up(dy, there, index, axis=0), x)
