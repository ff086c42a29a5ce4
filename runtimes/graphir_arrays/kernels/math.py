"""Kernels of graphir.ops.math."""

import math
from functools import partial
from typing import Any

from ..kernel import Bound, Site, prepared
from ..precision import in_single

BETWEEN = 1 << 24  # elements that a step of an einsum may always make: without such steps, sums over many axes take ages

# ---- products --------------------------------------------------------------------------------------------------------------------------


@in_single
@prepared
def matmul(site: Site) -> Bound:
    a: Any = site.inputs[0]
    b: Any = site.inputs[1]
    if len(a.shape) > 2 and len(b.shape) == 2:
        return Bound(partial(_rows_times, site.xp, a.shape[:-1], b.shape), out=True)
    return Bound(site.xp.matmul, out=True)


def _rows_times(xp: Any, lead: tuple[int, ...], shape: tuple[int, int], a: Any, b: Any, out: Any = None) -> Any:
    """Many matrices times one: one product of all their rows, not one for each matrix."""
    (k, n), rows = shape, math.prod(lead)
    y = xp.matmul(a.reshape(rows, k), b, out=None if out is None else out.reshape(rows, n))
    return y.reshape(*lead, n) if out is None else out


def matmul_integer(xp, a, b, a_zero_point=None, b_zero_point=None):
    """Sums of products of bytes are exact in float64, where matrix products are fast."""
    rows, columns = a.astype(xp.float64), b.astype(xp.float64)
    if a_zero_point is not None:
        rows -= a_zero_point[:, None] if a_zero_point.ndim == 1 and a_zero_point.size > 1 else a_zero_point
    if b_zero_point is not None:
        columns -= b_zero_point
    return xp.matmul(rows, columns).astype(xp.int32)


@in_single
@prepared
def gemm(site: Site) -> Bound:
    """The whole product; what alpha, beta and the lack of c leave out is not done."""
    xp, alpha, beta = site.xp, site.attributes["alpha"], site.attributes["beta"]
    a_turned, b_turned = site.attributes["transA"], site.attributes["transB"]
    a: Any = site.inputs[0]
    if a.dtype.kind in "iu" and (alpha != 1 or beta != 1):
        return Bound(partial(_fractional_gemm, xp, **site.attributes))

    def run(a: Any, b: Any, c: Any = None, out: Any = None) -> Any:
        y = xp.matmul(a.T if a_turned else a, b.T if b_turned else b, out=out)
        if alpha != 1:
            xp.multiply(y, alpha, out=y)
        if c is not None and beta != 0:
            xp.add(y, c if beta == 1 else c * beta, out=y)
        return y

    return Bound(run, out=True)


def _fractional_gemm(xp: Any, a: Any, b: Any, c: Any = None, *, alpha: float, beta: float, transA: int, transB: int) -> Any:
    y = xp.matmul(a.T if transA else a, b.T if transB else b) * alpha
    return (y if c is None else y + c * beta).astype(a.dtype)


@in_single
@prepared
def einsum(site: Site) -> Bound:
    """The order in which to multiply is found once, from the shapes alone."""
    xp, equation = site.xp, site.attributes["equation"].replace(" ", "")
    types: list[Any] = site.inputs
    shapes = [xp.host.broadcast_to(xp.host.zeros((), t.dtype), t.shape) for t in types]
    between = max(BETWEEN, *(math.prod(t.shape) for t in types))
    path = xp.host.einsum_path(equation, *shapes, optimize=("greedy", between))[0]
    return Bound(lambda *inputs: xp.asarray(xp.einsum(equation, *inputs, optimize=path)), view=len(types) == 1)


@in_single
def det(xp, x):
    return xp.linalg.det(x)


# ---- along an axis ---------------------------------------------------------------------------------------------------------------------


@in_single
def cum_sum(xp, x, axis, *, exclusive, reverse):
    return _accumulated(xp, xp.cumsum, 0, x, axis, exclusive, reverse)


@in_single
def cum_prod(xp, x, axis, *, exclusive, reverse):
    return _accumulated(xp, xp.cumprod, 1, x, axis, exclusive, reverse)


def _accumulated(xp: Any, function: Any, first: int, x: Any, axis: Any, exclusive: int, reverse: int) -> Any:
    """What `function` makes of the elements up to each one; `first` is what it makes of none."""
    axis = int(axis.reshape(()))
    if reverse:
        x = xp.flip(x, axis)
    total = function(x, axis=axis, dtype=x.dtype)
    if exclusive:
        total = xp.roll(total, 1, axis)
        total[(slice(None),) * (axis % x.ndim) + (slice(0, 1),)] = first
    return xp.flip(total, axis) if reverse else total


@in_single
def top_k(xp, x, k, *, axis, largest, sorted):
    x, count = xp.moveaxis(x, axis, -1), int(k.reshape(()))
    if 0 < 4 * count <= x.shape[-1] and not (x.dtype.kind == "f" and xp.worth_it(xp.isnan(x))):
        places = _selected(xp, x, count, largest)
        places = xp.take_along_axis(places, _order(xp, xp.take_along_axis(x, places, axis=-1), largest), axis=-1)
    else:
        places = _order(xp, x, largest)[..., :count]
    values = xp.take_along_axis(x, places, axis=-1)
    return xp.moveaxis(values, -1, axis), xp.moveaxis(places.astype(xp.int64, copy=False), -1, axis)


def _order(xp: Any, x: Any, largest: int) -> Any:
    """How the last axis is sorted, the first of equal elements first. From the largest on: a stable sort of the turned axis, turned back."""
    if not largest:
        return xp.argsort(x, axis=-1, kind="stable")
    return x.shape[-1] - 1 - xp.flip(xp.argsort(xp.flip(x, -1), axis=-1, kind="stable"), -1)


def _selected(xp: Any, x: Any, count: int, largest: int) -> Any:
    """Where the `count` first by size are, by place: all beyond the last of them, and of those equal to it the first."""
    at = x.shape[-1] - count if largest else count - 1
    last = xp.partition(x, at, axis=-1)[..., at : at + 1]
    beyond, level = x > last if largest else x < last, x == last
    missing = count - xp.add.reduce(beyond, axis=-1, keepdims=True, dtype=xp.int64)
    chosen = beyond | (level & (xp.cumsum(level, axis=-1) <= missing))
    return xp.nonzero(chosen)[-1].reshape(*x.shape[:-1], count)
