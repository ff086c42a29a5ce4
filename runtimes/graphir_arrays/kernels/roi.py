"""Kernels of graphir.ops.roi. Regions that are read at as many places go together, so many at a time that what is read stays small."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from ..precision import in_single
from .sample import rows

BLOCK = 1 << 18  # elements that are read at a time: few enough to stay in cache
MOST = 1 << 31  # numbers that one region may ask for: beyond, a run would not end


@in_single
def roi_align(
    xp: Any, x: Any, rois: Any, batch_indices: Any, *, coordinate_transformation_mode: str, mode: str, output_height: int,
    output_width: int, sampling_ratio: int, spatial_scale: float,
) -> Any:  # fmt: skip
    _check(xp, rois, batch_indices, x.shape[0])
    half = coordinate_transformation_mode == "half_pixel"
    at = rois * rois.dtype.type(spatial_scale) - rois.dtype.type(0.5 if half else 0)
    begin, end = at[:, 1::-1], at[:, :1:-1]  # along y, then x
    extent = end - begin if half else xp.maximum(end - begin, 1)
    shape = (output_height, output_width)
    bins = extent / xp.asarray(shape, dtype=at.dtype)
    counts = xp.full(bins.shape, sampling_ratio, at.dtype) if sampling_ratio else xp.maximum(xp.ceil(bins), 0)
    y = xp.zeros((rois.shape[0], x.shape[1], *shape), x.dtype)
    if not y.size:
        return y
    table = rows(xp, x).reshape(-1, x.shape[1])
    combine = xp.add if mode == "avg" else xp.maximum
    starts = batch_indices * math.prod(x.shape[2:])
    for places, some in _alike(xp, counts, math.prod(shape) * x.shape[1]):
        down, across = (_corners(xp, d, begin[some, i], bins[some, i], shape[i], places[i]) for i, d in enumerate(x.shape[2:]))
        down = [(low * x.shape[3] + starts[some][:, None, None], weights) for low, weights in down]
        step = max(1, BLOCK // max(1, some.size * places[1] * math.prod(shape) * x.shape[1]))
        parts = [_read(xp, table, _part(down, k, k + step), across, combine) for k in range(0, places[0], step)]
        found = functools.reduce(combine, parts)
        y[some] = xp.moveaxis(found / math.prod(places) if mode == "avg" else found, -1, 1)
    return y


def _check(xp: Any, rois: Any, images: Any, count: int) -> None:
    """Raise ValueError unless regions are numbers, and of images that there are."""
    if not xp.isfinite(rois).all():
        raise ValueError("rois holds NaN or an infinity; expected the corners of regions")
    if images.size and not (int(images.min()) >= 0 and int(images.max()) < count):
        wrong = int(images.min()) if int(images.min()) < 0 else int(images.max())
        raise ValueError(f"a region is of image {wrong}; x has {count} images, counted from 0")


def _alike(xp: Any, counts: Any, size: int) -> Iterator[tuple[list[int], Any]]:
    """Numbers of places (down, across) in a bin, each with regions that have them, no more than a block at a time. Where there are none, nothing is read."""
    kinds, which = xp.unique(counts, axis=0, return_inverse=True)
    for i, kind in enumerate(kinds.tolist()):
        places = [int(n) for n in kind]
        if math.prod(places) * size > MOST:
            raise ValueError(
                f"a region is to be read at {places[0]} x {places[1]} places in each bin; give sampling_ratio, or smaller rois"
            )
        if all(places):
            regions = xp.nonzero(which.reshape(-1) == i)[0]
            step = max(1, BLOCK // max(1, math.prod(places) * size))
            yield from ((places, regions[k : k + step]) for k in range(0, regions.size, step))


def _corners(xp: Any, size: int, begin: Any, bins: Any, out: int, places: int) -> list[tuple[Any, Any]]:
    """The element before each place along an axis, and the one after it: positions and weights (R, out, places)."""
    at = xp.arange(out, dtype=begin.dtype)[:, None] + (xp.arange(places, dtype=begin.dtype) + 0.5) / places
    at = begin[:, None, None] + bins[:, None, None] * at.astype(begin.dtype)
    seen = (at >= -1) & (at <= size)
    at = xp.clip(at, 0, size - 1)
    low = xp.floor(at)
    fraction = at - low
    low = low.astype(xp.int64)
    return [(low, xp.where(seen, 1 - fraction, 0)), (xp.minimum(low + 1, size - 1), xp.where(seen, fraction, 0))]


def _part(corners: list[tuple[Any, Any]], first: int, last: int) -> list[tuple[Any, Any]]:
    return [(low[..., first:last], weights[..., first:last]) for low, weights in corners]


def _read(xp: Any, table: Any, down: list[tuple[Any, Any]], across: list[tuple[Any, Any]], combine: Callable[..., Any]) -> Any:
    """What the elements around all places give, combined in each bin: (R, H, W, C)."""
    made: Any = None
    for (i, v), (j, w) in itertools.product(down, across):
        index = i[:, :, None, :, None] + j[:, None, :, None, :]
        part = xp.take(table, index, axis=0)
        part *= (v[:, :, None, :, None] * w[:, None, :, None, :])[..., None].astype(part.dtype, copy=False)
        made = part if made is None else combine(made, part, out=made)
    return combine.reduce(made, axis=(3, 4))  # pyright: ignore[reportFunctionMemberAccess]


@in_single
def max_roi_pool(xp: Any, x: Any, rois: Any, *, pooled_shape: tuple[int, int], spatial_scale: float) -> Any:
    images = rois[:, 0].astype(xp.int64)
    _check(xp, rois, images, x.shape[0])
    at = rois[:, 1:] * rois.dtype.type(spatial_scale)
    at = xp.sign(at) * xp.floor(xp.abs(at) + rois.dtype.type(0.5))
    begin, end = at[:, 1::-1], at[:, :1:-1]  # along y, then x
    bins = xp.maximum(end - begin + 1, 1) / xp.asarray(pooled_shape, dtype=at.dtype)
    table = rows(xp, x).reshape(-1, x.shape[1])
    y = xp.empty((rois.shape[0], *pooled_shape, x.shape[1]), x.dtype)
    if not y.size:
        return xp.zeros((rois.shape[0], x.shape[1], *pooled_shape), x.dtype)
    spans = [_elements(xp, d, begin[:, i], bins[:, i], pooled_shape[i]) for i, d in enumerate(x.shape[2:])]
    most = math.prod(_most(first, last) for first, last in spans)
    step = max(1, BLOCK // max(1, most * math.prod(pooled_shape) * x.shape[1]))
    for k in range(0, rois.shape[0], step):
        some = slice(k, k + step)
        down, across = (_repeated(xp, first[some], last[some]) for first, last in spans)
        down = down * x.shape[3] + (images[some] * math.prod(x.shape[2:]))[:, None, None]
        index = down[:, :, None, :, None] + across[:, None, :, None, :]
        y[some] = xp.take(table, index, axis=0).max(axis=(3, 4))
    (top, bottom), (left, right) = spans
    there = (bottom > top)[:, :, None] & (right > left)[:, None, :]
    return xp.ascontiguousarray(xp.moveaxis(xp.where(there[..., None], y, 0), -1, 1)).astype(x.dtype, copy=False)


def _elements(xp: Any, size: int, begin: Any, bins: Any, out: int) -> tuple[Any, Any]:
    """The first element of each bin along an axis, and the one after its last: (R, out)."""
    number = xp.arange(out, dtype=begin.dtype)
    first = xp.floor(number * bins[:, None]) + begin[:, None]
    last = xp.ceil((number + 1) * bins[:, None]) + begin[:, None]
    return tuple(xp.clip(v, 0, size).astype(xp.int64) for v in (first, last))  # pyright: ignore[reportReturnType]


def _repeated(xp: Any, first: Any, last: Any) -> Any:
    """The elements of bins, the last one repeated where others have more: (R, out, most)."""
    return xp.minimum(first[..., None] + xp.arange(_most(first, last)), xp.maximum(last - 1, 0)[..., None])


def _most(first: Any, last: Any) -> int:
    """How many elements the longest bin has, and no less than 1."""
    return max(1, int((last - first).max())) if first.size else 1
