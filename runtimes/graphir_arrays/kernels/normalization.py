"""Kernels of graphir.ops.normalization. Doubles stay doubles, whatever stash_type says."""

import math
from collections.abc import Callable
from typing import Any

from graphir.dtypes import BOOL, DTYPES, FLOAT32, FLOAT64
from graphir.ops.nn import windows

from ..kernel import Bound, Site, prepared
from ..precision import in_single
from .nn import average, slide, spans


@in_single
@prepared
def batch_normalization(site: Site) -> Bound:
    """x * factor + shift for each channel; these two are told once where all that they hang on is constant."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    aside = tuple(i for i in range(len(x.shape)) if i != 1)
    across = tuple(1 if i in aside else -1 for i in range(len(x.shape)))

    def affine(scale: Any, b: Any, mean: Any, var: Any) -> tuple[Any, Any]:
        """In double precision, for shift is a small difference where the mean is far from zero."""
        factor = scale.astype(FLOAT64) / xp.sqrt(var.astype(FLOAT64) + a["epsilon"])
        shift = b.astype(FLOAT64) - mean.astype(FLOAT64) * factor
        return factor.astype(x.dtype).reshape(across), shift.astype(x.dtype).reshape(across)

    def apply(x: Any, factor: Any, shift: Any, out: Any) -> Any:
        y = xp.multiply(x, factor, out=out)
        y += shift
        return y

    def run(x: Any, scale: Any, b: Any, mean: Any, var: Any, out: Any = None) -> tuple[Any, None, None]:
        return apply(x, *affine(scale, b, mean, var), out), None, None

    def run_folded(x: Any, *_: Any, out: Any = None) -> tuple[Any, None, None]:
        return apply(x, *folded, out), None, None

    def train(x: Any, scale: Any, b: Any, mean: Any, var: Any, out: Any = None) -> tuple[Any, Any, Any]:
        now = average(xp, x, aside)
        spread = average(xp, xp.square(x - now), aside).reshape(-1)
        now = now.reshape(-1)
        momentum = a["momentum"]
        moved = [(old * momentum + new * (1 - momentum)).astype(old.dtype, copy=False) for old, new in ((mean, now), (var, spread))]
        return apply(x, *affine(scale, b, now, spread), out), moved[0], moved[1]

    if a["training_mode"]:
        return Bound(train, out=True)
    if any(c is None for c in site.constants[1:]):
        return Bound(run, out=True)
    folded = affine(*site.constants[1:])
    return Bound(run_folded, out=True)


def _standardized(xp: Any, x: Any, epsilon: float, out: Any = None) -> tuple[Any, Any, Any]:
    """Each row of a matrix less its mean, over its standard deviation; then the means, and what was multiplied by."""
    size = x.shape[1]
    mean = xp.matmul(x, xp.full((size, 1), 1 / max(size, 1), x.dtype))
    y = xp.subtract(x, mean, out=out)
    inverse = _inverse_root(xp, y, epsilon)
    y *= inverse
    return y, mean, inverse


def _inverse_root(xp: Any, x: Any, epsilon: float) -> Any:
    """1 / sqrt(mean(x^2) + epsilon) of each row of a matrix, as a column."""
    squares = xp.einsum("ij,ij->i", x, x)
    squares /= max(x.shape[1], 1)
    squares += epsilon
    return xp.reciprocal(xp.sqrt(squares, out=squares), out=squares)[:, None]


def _rows(x: Any, first: int) -> Any:
    """x as a matrix: the axes before `first`, and the others. None for None."""
    return None if x is None else x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:]))


@in_single
@prepared
def layer_normalization(site: Site) -> Bound:
    """Rows of a matrix, standardized in place, scaled and shifted."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    first, stash = a["axis"] % len(x.shape), DTYPES[a["stash_type"]]
    reduced = (*x.shape[:first], *(1 for _ in x.shape[first:]))

    def run(x: Any, scale: Any, b: Any = None, out: Any = None) -> tuple[Any, Any, Any]:
        y, *statistics = _standardized(xp, _rows(x, first), a["epsilon"], _rows(out, first))
        y = y.reshape(x.shape)
        y *= scale
        if b is not None:
            y += b
        mean, inverse = (s.astype(stash, copy=False).reshape(reduced) for s in statistics)
        return y if out is None else out, mean, inverse

    return Bound(run, out=True)


@in_single
def rms_normalization(xp: Any, x: Any, scale: Any, *, axis: int, epsilon: float, stash_type: str) -> Any:
    rows = _rows(x, axis % x.ndim)
    y = (rows * _inverse_root(xp, rows, epsilon)).reshape(x.shape)
    y *= scale
    return y.astype(scale.dtype, copy=False)


def _by_groups(xp: Any, x: Any, scale: Any, bias: Any, groups: int, epsilon: float, out: Any) -> Any:
    """Standardizes each group of channels of (N, C, ...), then scales and shifts each channel."""
    shape = (x.shape[0] * groups, math.prod(x.shape[1:]) // groups)
    y, _, _ = _standardized(xp, x.reshape(shape), epsilon, None if out is None else out.reshape(shape))
    y = y.reshape(x.shape)
    across = (-1, *(1 for _ in x.shape[2:]))
    y *= scale.reshape(across)
    y += bias.reshape(across)
    return y if out is None else out


@in_single
def instance_normalization(xp: Any, input: Any, scale: Any, b: Any, *, epsilon: float, out: Any = None) -> Any:
    return _by_groups(xp, input, scale, b, input.shape[1], epsilon, out)


@in_single
def group_normalization(
    xp: Any, x: Any, scale: Any, bias: Any, *, num_groups: int, epsilon: float, stash_type: str, out: Any = None
) -> Any:  # fmt: skip
    return _by_groups(xp, x, scale, bias, num_groups, epsilon, out)


@in_single
@prepared
def lrn(site: Site) -> Callable[..., Any]:
    """Squares summed along the channels, one pass a tap."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    size, before = a["size"], (a["size"] - 1) // 2
    (window,) = windows(x.shape[1:2], (size,), None, None, (before, size - 1 - before), "NOTSET")
    taps = spans(window, window.out, window.size)

    def run(x: Any) -> Any:
        squares = slide(xp, x * x, 1, window, taps, xp.add, 0) * (a["alpha"] / size) + a["bias"]
        return x / squares ** a["beta"]

    return run


@in_single
def lp_normalization(xp: Any, input: Any, *, axis: int, p: int) -> Any:
    x = input
    norm = xp.sum(xp.abs(x), axis=axis, keepdims=True) if p == 1 else xp.sqrt(xp.sum(x * x, axis=axis, keepdims=True))
    return x / xp.where(norm == 0, x.dtype.type(1), norm)


@in_single
def mean_variance_normalization(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    y = x - average(xp, x, axes)
    y /= xp.sqrt(average(xp, y * y, axes)) + 1e-9
    return y


@prepared
def dropout(site: Site) -> Bound:
    """The identity, unless training_mode is set; with a seed, numbers are drawn as NumPy's RandomState(seed) draws them."""
    xp, seed, draw = site.xp, site.attributes["seed"], site.draw
    masked = len(site.outputs) > 1 and site.outputs[1] is not None

    def run(data: Any, ratio: Any = None, training_mode: Any = None) -> tuple[Any, Any]:
        probability = 0.5 if ratio is None else float(ratio)
        if training_mode is None or not training_mode or probability == 0:
            return data, xp.ones(data.shape, BOOL) if masked else None
        numbers = (
            xp.host.random.RandomState(seed).uniform(0, 1, data.shape) if draw is None or seed is not None else draw().random(data.shape)
        )
        kept = xp.asarray(numbers >= probability)
        wide = data if data.dtype.itemsize >= 4 else data.astype(FLOAT32)
        factor = 1 / (1 - probability) if probability < 1 else 0
        return (wide * kept * wide.dtype.type(factor)).astype(data.dtype, copy=False), kept

    return Bound(run, view=True)
