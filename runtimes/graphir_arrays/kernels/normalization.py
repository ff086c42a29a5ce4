"""Kernels of graphir.ops.normalization. Halves are computed in float32; doubles stay doubles, whatever stash_type says."""

import math
from collections.abc import Callable
from typing import Any

from graphir.dtypes import BOOL, DTYPES, FLOAT64
from graphir.ops.nn import windows

from ..kernel import Bound, Site, prepared
from ..precision import computing, widened, written
from .nn import slide, spans


@prepared
def batch_normalization(site: Site) -> Bound:
    """x * a + c for each channel. Where all that a and c hang on is constant, they are told once."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    dtype = computing(x.dtype)
    aside = tuple(i for i in range(len(x.shape)) if i != 1)
    across = tuple(1 if i in aside else -1 for i in range(len(x.shape)))

    def affine(scale: Any, b: Any, mean: Any, var: Any) -> tuple[Any, Any]:
        """In double precision, for c is a small difference where the mean is far from zero."""
        factor = scale.astype(FLOAT64) / xp.sqrt(var.astype(FLOAT64) + a["epsilon"])
        shift = b.astype(FLOAT64) - mean.astype(FLOAT64) * factor
        return factor.astype(dtype).reshape(across), shift.astype(dtype).reshape(across)

    def apply(x: Any, factor: Any, shift: Any, out: Any) -> Any:
        y = xp.multiply(x, factor, out=out if out is not None and out.dtype == dtype else None, dtype=dtype)
        y += shift
        return written(y, x.dtype, out)

    def run(x: Any, scale: Any, b: Any, mean: Any, var: Any, out: Any = None) -> tuple[Any, None, None]:
        return apply(x, *affine(scale, b, mean, var), out), None, None

    def run_folded(x: Any, *_: Any, out: Any = None) -> tuple[Any, None, None]:
        return apply(x, *folded, out), None, None

    def train(x: Any, scale: Any, b: Any, mean: Any, var: Any, out: Any = None) -> tuple[Any, Any, Any]:
        wide = widened(x)
        now = xp.mean(wide, axis=aside, keepdims=True)
        spread = xp.mean(xp.square(wide - now), axis=aside)
        now = now.reshape(-1)
        y = apply(x, *affine(scale, b, now, spread), out)
        kept, fresh = a["momentum"], 1 - a["momentum"]
        moved = [(widened(old) * kept + new * fresh).astype(old.dtype, copy=False) for old, new in ((mean, now), (var, spread))]
        return y, moved[0], moved[1]

    if a["training_mode"]:
        return Bound(train, out=True)
    if any(c is None for c in site.constants[1:]):
        return Bound(run, out=True)
    folded = affine(*site.constants[1:])
    return Bound(run_folded, out=True)


def _standardized(xp: Any, x: Any, epsilon: float, out: Any = None) -> tuple[Any, Any, Any]:
    """Each row of a matrix less its mean, over its standard deviation; then the means, and what was multiplied by. `out` may take the first."""
    size = x.shape[-1]
    mean = xp.matmul(x, xp.full((size, 1), 1 / max(size, 1), x.dtype))
    y = xp.subtract(x, mean, out=out)
    inverse = _inverse_root(xp, y, epsilon)
    y *= inverse
    return y, mean, inverse


def _inverse_root(xp: Any, x: Any, epsilon: float) -> Any:
    """1 / sqrt(mean(x^2) + epsilon) of each row of a matrix, as a column."""
    squares = xp.einsum("ij,ij->i", x, x)
    squares /= max(x.shape[-1], 1)
    squares += epsilon
    return xp.reciprocal(xp.sqrt(squares, out=squares), out=squares)[:, None]


def _rows(x: Any, first: int) -> Any:
    """x as a matrix: the axes before `first`, and the others."""
    return x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:]))


def _room(out: Any, dtype: Any, first: int) -> Any:
    """`out` as a matrix, where results of `dtype` can be computed in it."""
    return None if out is None or out.dtype != dtype else _rows(out, first)


@prepared
def layer_normalization(site: Site) -> Bound:
    """Rows of a matrix, standardized in place, scaled and shifted."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    first = a["axis"] % len(x.shape)
    dtype, stash = computing(x.dtype), DTYPES[a["stash_type"]]
    reduced = (*x.shape[:first], *(1 for _ in x.shape[first:]))

    def run(x: Any, scale: Any, b: Any = None, out: Any = None) -> tuple[Any, Any, Any]:
        y, mean, inverse = _standardized(xp, _rows(widened(x), first), a["epsilon"], _room(out, dtype, first))
        y = y.reshape(x.shape)
        y *= widened(scale)
        if b is not None:
            y += widened(b)
        statistics = [s.astype(stash, copy=False).reshape(reduced) for s in (mean, inverse)]
        return written(y, x.dtype, out), statistics[0], statistics[1]

    return Bound(run, out=True)


@prepared
def rms_normalization(site: Site) -> Bound:
    """Rows of a matrix over their root mean square, scaled."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    first, dtype = a["axis"] % len(x.shape), computing(x.dtype)

    def run(x: Any, scale: Any, out: Any = None) -> Any:
        rows = _rows(widened(x), first)
        y = xp.multiply(rows, _inverse_root(xp, rows, a["epsilon"]), out=_room(out, dtype, first)).reshape(x.shape)
        return written(y * widened(scale) if scale.dtype == FLOAT64 != y.dtype else xp.multiply(y, widened(scale), out=y), scale.dtype, out)

    return Bound(run, out=True)


def _normalize_groups(xp: Any, x: Any, scale: Any, bias: Any, groups: int, epsilon: float, out: Any) -> Any:
    """Standardizes each group of channels of (N, C, ...), then scales and shifts each channel."""
    wide = widened(x)
    room = out.reshape(x.shape[0] * groups, -1) if out is not None and out.dtype == wide.dtype and out.size else None
    y, _, _ = _standardized(xp, wide.reshape(x.shape[0] * groups, math.prod(x.shape[1:]) // groups), epsilon, room)
    y = y.reshape(x.shape)
    across = (-1, *(1 for _ in x.shape[2:]))
    y *= widened(scale).reshape(across)
    y += widened(bias).reshape(across)
    return written(y, x.dtype, out)


def instance_normalization(xp: Any, input: Any, scale: Any, b: Any, *, epsilon: float, out: Any = None) -> Any:
    """As many groups as channels."""
    return _normalize_groups(xp, input, scale, b, input.shape[1], epsilon, out)


def group_normalization(
    xp: Any, x: Any, scale: Any, bias: Any, *, num_groups: int, epsilon: float, stash_type: str, out: Any = None
) -> Any:
    return _normalize_groups(xp, x, scale, bias, num_groups, epsilon, out)


@prepared
def lrn(site: Site) -> Callable[..., Any]:
    """Squares summed along the channels, one pass a tap."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    size, before = a["size"], (a["size"] - 1) // 2
    (window,) = windows(x.shape[1:2], (size,), None, None, (before, size - 1 - before), "NOTSET")
    taps = spans(window, window.out, window.size)

    def run(x: Any) -> Any:
        wide = widened(x)
        squares = slide(xp, wide * wide, 1, window, taps, xp.add, 0) * (a["alpha"] / size) + a["bias"]
        return (wide / squares ** a["beta"]).astype(x.dtype, copy=False)

    return run


def lp_normalization(xp: Any, input: Any, *, axis: int, p: int) -> Any:
    x = widened(input)
    norm = xp.sum(xp.abs(x), axis=axis, keepdims=True) if p == 1 else xp.sqrt(xp.sum(x * x, axis=axis, keepdims=True))
    return (x / xp.where(norm == 0, 1, norm)).astype(input.dtype, copy=False)


def mean_variance_normalization(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    y = widened(x)
    y = y - xp.mean(y, axis=axes, keepdims=True)
    y /= xp.sqrt(xp.mean(y * y, axis=axes, keepdims=True)) + 1e-9
    return y.astype(x.dtype, copy=False)


@prepared
def dropout(site: Site) -> Bound:
    """The identity, unless training_mode is set; numbers are drawn as NumPy's RandomState(seed) draws them."""
    xp, seed = site.xp, site.attributes["seed"]
    masked = len(site.outputs) > 1 and site.outputs[1] is not None
    trains = len(site.inputs) > 2 and site.inputs[2] is not None

    def run(data: Any, ratio: Any = None, training_mode: Any = None) -> tuple[Any, Any]:
        probability = 0.5 if ratio is None else float(ratio)
        if training_mode is None or not training_mode or probability == 0:
            return data, xp.ones(data.shape, BOOL) if masked else None
        kept = xp.asarray(xp.random.RandomState(seed).uniform(0, 1, data.shape) >= probability)
        wide = widened(data)
        factor = 1 / (1 - probability) if probability < 1 else 0
        return (wide * kept * wide.dtype.type(factor)).astype(data.dtype, copy=False), kept

    return Bound(run, view=True)
