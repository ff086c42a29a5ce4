"""Kernel of graphir.ops.resize: axis by axis, a weighted sum of the neighbours of each place, one pass for each neighbour."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from graphir.dtypes import FLOAT64
from graphir.ops.resize import kept_aspect, scaled

from ..precision import in_single


class _Axis(NamedTuple):
    """One axis: from `size` places to `out`, with the region of interest as fractions of the axis."""

    axis: int
    size: int
    out: int
    scale: float
    start: float
    end: float


@in_single
def resize(xp: Any, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None, **how: Any) -> Any:
    y, axes = x, _axes(x, roi, scales, sizes, how)
    if any(a.out == 0 for a in axes):
        outs = {a.axis: a.out for a in axes}
        return xp.zeros([outs.get(i, n) for i, n in enumerate(x.shape)], x.dtype)
    for a in axes:
        if a.out == a.size and a.scale == 1 and how["coordinate_transformation_mode"] != "tf_crop_and_resize":
            continue
        at = _coordinates(xp, a, how["coordinate_transformation_mode"])
        if how["mode"] == "nearest":
            index = xp.clip(_ROUND[how["nearest_mode"]](xp, at), 0, a.size - 1).astype(xp.int64)
            y = xp.take(y, index, axis=a.axis)
        else:
            y = _weighed(xp, y if y.dtype.kind == "f" else y.astype(FLOAT64), at, a, how)
        if how["coordinate_transformation_mode"] == "tf_crop_and_resize":
            outside = ((at < 0) | (at > a.size - 1)).reshape(-1, *(1 for _ in y.shape[a.axis + 1 :]))
            y = xp.where(outside, y.dtype.type(how["extrapolation_value"]), y)
    if y.dtype == x.dtype:
        return x.copy() if y is x else y
    limits = xp.iinfo(x.dtype)
    return xp.clip(xp.rint(y), limits.min, limits.max).astype(x.dtype)


def _axes(x: Any, roi: Any, scales: Any, sizes: Any, how: dict[str, Any]) -> list[_Axis]:
    """The axes to resize."""
    places = list(range(x.ndim)) if how["axes"] is None else [a % x.ndim for a in how["axes"]]
    olds = [x.shape[a] for a in places]
    if sizes is None:
        factors = [float(s) for s in scales.tolist()]
        outs = [scaled(n, s) for n, s in zip(olds, factors)]
    else:
        outs, factors = kept_aspect([max(n, 1) for n in olds], sizes.tolist(), how["keep_aspect_ratio_policy"])
    region = [0.0] * len(places) + [1.0] * len(places) if roi is None or roi.size == 0 else [float(r) for r in roi.tolist()]
    return [_Axis(*row) for row in zip(places, olds, outs, factors, region, region[len(places) :])]  # pyright: ignore[reportArgumentType]


def _coordinates(xp: Any, a: _Axis, mode: str) -> Any:
    """Where each place of the result lies on the axis."""
    i = xp.arange(a.out, dtype=FLOAT64)
    length = a.size * a.scale  # of the result, with its fraction
    if mode == "asymmetric":
        return i / a.scale
    if mode == "align_corners":
        return i * 0 if length == 1 else i * ((a.size - 1) / (length - 1))
    if mode == "tf_crop_and_resize":
        first, span = a.start * (a.size - 1), (a.end - a.start) * (a.size - 1)
        return i * 0 + first + span / 2 if length == 1 else first + i * (span / (length - 1))
    if mode == "pytorch_half_pixel" and a.out == 1:
        return i * 0
    offset = a.size / 2 * (1 - a.out / length) if mode == "half_pixel_symmetric" else 0
    return offset + (i + 0.5) / a.scale - 0.5


_ROUND: dict[str, Callable[[Any, Any], Any]] = {
    "round_prefer_floor": lambda xp, at: xp.ceil(at - 0.5),
    "round_prefer_ceil": lambda xp, at: xp.floor(at + 0.5),
    "floor": lambda xp, at: xp.floor(at),
    "ceil": lambda xp, at: xp.ceil(at),
}


def _weighed(xp: Any, x: Any, at: Any, a: _Axis, how: dict[str, Any]) -> Any:
    """The weighted sum of the neighbours, those outside taken from the edge or left out. Antialiasing widens the neighbourhood when the axis shrinks."""
    support = 1 if how["mode"] == "linear" else 2
    shrink = min(a.scale, 1.0) if how["antialias"] else 1.0
    before = xp.ceil(at) - 1  # so that a place that lies on a number has it as its right neighbour
    first = math.floor(-support / shrink) + 1
    neighbours = [before + n for n in range(first, 2 - first)]
    weights = [_weight(xp, xp.abs(n - at) * shrink, how) for n in neighbours]
    if how["exclude_outside"]:
        weights = [xp.where((n < 0) | (n > a.size - 1), 0, w) for n, w in zip(neighbours, weights)]
    if how["exclude_outside"] or how["antialias"]:
        total = sum(weights)
        weights = [w / xp.where(total == 0, 1, total) for w in weights]
    shape = (-1, *(1 for _ in x.shape[a.axis + 1 :]))
    y = None
    for n, w in zip(neighbours, weights):
        part = xp.take(x, xp.clip(n, 0, a.size - 1).astype(xp.int64), axis=a.axis)
        part *= w.astype(x.dtype).reshape(shape)
        y = part if y is None else xp.add(y, part, out=y)
    return y


def _weight(xp: Any, distance: Any, how: dict[str, Any]) -> Any:
    """What a neighbour at this distance counts."""
    d = distance
    if how["mode"] == "linear":
        return xp.maximum(1 - d, 0)
    c = how["cubic_coeff_a"]
    near = ((c + 2) * d - (c + 3)) * d * d + 1
    far = ((c * d - 5 * c) * d + 8 * c) * d - 4 * c
    return xp.where(d <= 1, near, xp.where(d < 2, far, 0))
