"""Convolution and pooling: operators that slide a window over the spatial axes of (N, C, D1, ...)."""

from functools import reduce
from math import prod
from typing import Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim, Shape
from ..ir import Value
from ..types import TensorType
from . import _ties
from ._constants import STORED
from ._gradient import shaped_as, zeros_like
from ._layout import added_up, reshape_like, sizes_of, vector
from ._op import Flag, MayOmit, Op, RuleError, T, op
from ._types import FLOAT, differ, dtypes, expect_shape
from ._windows import (
    Ints,
    convolved,
    counted,
    counts_all,
    cropped,
    filters_gradient,
    sums_gradient,
    transposed,
    transposed_windows,
    windows,
    with_static_pads,
)  # fmt: skip


def filters(x: Any, w: Any, b: Any, kernel_shape: Ints, group: int, transposed: bool = False) -> tuple[Dim, Shape]:
    """The number of channels that a convolution makes, and its kernel's sizes. Raises RuleError where its inputs do not fit each other."""
    if x.rank < 3 or w.rank != x.rank:
        raise RuleError(f"x has rank {x.rank} and w {w.rank}; expected one rank, 3 or more")
    taken, made = (w.shape[0], w.shape[1] * group) if transposed else (w.shape[1] * group, w.shape[0])
    if differ(x.shape[1:2], (taken,)):
        raise RuleError(f"x has {x.shape[1]} channels; w takes {taken}")
    parted = taken if transposed else made
    if group < 1 or (isinstance(parted, int) and parted % group):
        raise RuleError(f"group is {group}; expected a divisor of {parted}")
    expect_shape(b, (made,), "b")
    kernel = w.shape[2:]
    if kernel_shape and differ(kernel_shape, kernel):
        raise RuleError(f"kernel_shape is {list(kernel_shape)}; that of w is {list(kernel)}")
    return made, kernel_shape or kernel


@op("Conv", since=22, T=FLOAT)
def conv(
    x: T, w: T, b: T | None = None, *, auto_pad: str = "NOTSET", dilations: tuple[int, ...] | None = None, group: int = 1,
    kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """Slides the filters w (M, C/group, ...) over x (N, C, ...), a dot product at each place, and adds b (M): (N, M, ...)."""
    m, kernel = filters(x, w, b, kernel_shape, group)
    found = windows(x.shape[2:], kernel, strides, dilations, pads, auto_pad)
    return TensorType(x.dtype, (x.shape[0], m, *(w.out for w in found)))


@conv.gradient
def conv_gradient(dy, y, x, w, b, *, auto_pad, dilations, group, kernel_shape, pads, strides):
    found = windows(x.shape[2:], kernel_shape or w.shape[2:], strides, dilations, pads, auto_pad)
    wide, found, around = with_static_pads(x, dy, w, found, auto_pad)
    dx = cropped(transposed(dy, w, wide, found, group), around)
    return shaped_as(dx, x), filters_gradient(wide, dy, w, found, group), b and _sum_of_channels(dy, b)


def _sum_of_channels(dy: Value, b: Value) -> Value:
    """dy summed to the shape of b (C)."""
    return shaped_as(ops.reduce.reduce_sum(dy, [i for i in range(dy.rank) if i != 1], keepdims=0), b)


@op("ConvTranspose", since=22, T=FLOAT)
def conv_transpose(
    x: T, w: T, b: T | None = None, *, auto_pad: str = "NOTSET", dilations: tuple[int, ...] | None = None, group: int = 1,
    kernel_shape: tuple[int, ...] | None = None, output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """Adds up the filters w (C, M/group, ...), at each place of x (N, C, ...) times what stands there, and b (M): the transpose of Conv."""
    m, kernel = filters(x, w, b, kernel_shape, group, transposed=True)
    found = transposed_windows(x.shape[2:], kernel, strides, dilations, pads, auto_pad, output_padding, output_shape)
    return TensorType(x.dtype, (x.shape[0], m, *(w.out for w in found)))


@conv_transpose.gradient
def conv_transpose_gradient(
    dy, y, x, w, b, *, auto_pad, dilations, group, kernel_shape, output_padding, output_shape, pads, strides
):  # fmt: skip
    kernel = kernel_shape or w.shape[2:]
    found = transposed_windows(x.shape[2:], kernel, strides, dilations, pads, auto_pad, output_padding, output_shape)
    found = [s._replace(size=s.out, out=s.size) for s in found]  # those that slide over dy
    wide, found, _ = with_static_pads(dy, x, w, found, auto_pad, output_padding)
    return convolved(wide, w, found, group, x), filters_gradient(wide, x, w, found, group), b and _sum_of_channels(dy, b)


def _pooled(x: Any, kernel_shape: tuple[int, ...], *how: Any) -> Shape:
    """The shape of x after a pool. how: what `windows` takes after the kernel."""
    if x.rank < 3 or len(kernel_shape) != x.rank - 2 or min(kernel_shape) < 1:
        raise RuleError(f"kernel_shape is {list(kernel_shape)}; expected a positive number for each axis of x after (N, C)")
    return (*x.shape[:2], *(w.out for w in windows(x.shape[2:], kernel_shape, *how)))


@op("MaxPool", since=22, T=FLOAT | dtypes("int8 uint8"))
def max_pool(
    x: T, *, kernel_shape: tuple[int, ...], auto_pad: str = "NOTSET", ceil_mode: Flag = 0, dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, storage_order: Flag = 0, strides: tuple[int, ...] | None = None,
) -> tuple[TensorType, MayOmit]:  # fmt: skip
    """The largest number under each window, padding left out, and where it stands in the flat x (with the spatial axes reversed if storage_order is 1)."""
    shape = _pooled(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return TensorType(x.dtype, shape), TensorType("int64", shape)


@max_pool.gradient
def max_pool_gradient(dys, ys, x, *, storage_order, **how):
    if _ties.are_even():
        return _ties.shared_gradient(dys[0], ys[0], x, **how)
    indices = ys[1] if storage_order == 0 else max_pool(x, **how)[1]
    found = windows(x.shape[2:], *(how[k] for k in ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "ceil_mode")))
    apart = all(s.stride >= s.reach and s.begin == s.end == 0 for s in found)  # no element is picked twice
    count = prod(x.shape) if all(isinstance(d, int) for d in x.shape) else None
    dims = ops.shape.reshape(ops.shape.size(x), [1]) if count is None else [count]
    places, dy = (ops.shape.reshape(v, [-1]) for v in (indices, dys[0]))
    return reshape_like(ops.index.scatter_elements(zeros_like(x, dims), places, dy) if apart else added_up(dy, x, places, 0, dims), x)


@op("AveragePool", since=22, T=FLOAT)
def average_pool(
    x: T, *, kernel_shape: tuple[int, ...], auto_pad: str = "NOTSET", ceil_mode: Flag = 0, count_include_pad: Flag = 0,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The mean under each window, of what is not padding, or with count_include_pad of zeros there too."""
    shape = _pooled(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return TensorType(x.dtype, shape)


@average_pool.gradient
def average_pool_gradient(dy, y, x, *, kernel_shape, count_include_pad, **how):
    found = windows(x.shape[2:], kernel_shape, *(how[k] for k in ("strides", "dilations", "pads", "auto_pad", "ceil_mode")))
    if all(counts_all(s, count_include_pad, how["ceil_mode"]) for s in found):
        return sums_gradient(dy, x, found, how["auto_pad"], 1 / prod(kernel_shape))
    if all(isinstance(n, int) for s in found for n in s) and prod(s.out for s in found) <= STORED:
        counts: Any = reduce(np.multiply.outer, [counted(s, count_include_pad) for s in found])[None, None].astype(x.dtype)
    else:
        ones = zeros_like(x, vector([1, 1, *sizes_of(x)]), fill=1)
        counts = lp_pool(ones, kernel_shape=kernel_shape, p=1, **how)
        if count_include_pad:
            counts = ops.elementwise.div(counts, average_pool(ones, kernel_shape=kernel_shape, count_include_pad=1, **how))
    return sums_gradient(ops.elementwise.div(dy, counts), x, found, how["auto_pad"])


@op("LpPool", since=22, T=FLOAT)
def lp_pool(
    x: T, *, kernel_shape: tuple[int, ...], auto_pad: str = "NOTSET", ceil_mode: Flag = 0, dilations: tuple[int, ...] | None = None,
    p: int = 2, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The p-norm under each window: the p-th root of the sum of |x|^p."""
    _check_norm(p)
    shape = _pooled(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return TensorType(x.dtype, shape)


def _check_norm(p: int) -> None:
    if p < 1:
        raise RuleError(f"p is {p}; expected 1 or more")


@lp_pool.gradient
def lp_pool_gradient(dy, y, x, *, kernel_shape, p, ceil_mode, auto_pad, strides, dilations, pads):
    found = windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return _norm_gradient(x, sums_gradient(_by_norm(dy, y, p), x, found, auto_pad), p)


def _by_norm(dy: Value, y: Value, p: int) -> Value:
    """dy / y^(p - 1), finite where the norm y is 0."""
    if p == 1:
        return dy
    y = ops.elementwise.where(ops.logic.equal(y, 0.0), 1.0, y)
    return ops.elementwise.div(dy, y if p == 2 else ops.elementwise.pow_(y, np.array(p - 1, y.dtype)))


def _norm_gradient(x: Value, share: Value, p: int) -> Value:
    """share * |x|^(p - 1), with the sign of x."""
    if p == 2:
        return ops.elementwise.mul(x, share)
    sign = ops.elementwise.sign(x)
    slope = sign if p == 1 else ops.elementwise.mul(sign, ops.elementwise.pow_(ops.elementwise.abs_(x), np.array(p - 1, x.dtype)))
    return ops.elementwise.mul(slope, share)


def _global(x: Any) -> TensorType:
    if x.rank < 2:
        raise RuleError(f"x has rank {x.rank}; expected (N, C, ...)")
    return TensorType(x.dtype, (*x.shape[:2], *(1 for _ in x.shape[2:])))


def _global_pool(name: str, function: str, doc: str) -> Op:
    def rule(x: T) -> TensorType:
        return _global(x)

    rule.__name__, rule.__doc__ = function, doc
    return op(name, since=22, T=FLOAT)(rule)


global_average_pool = _global_pool("GlobalAveragePool", "global_average_pool", "The mean over all spatial axes, which stay with size 1.")
global_max_pool = _global_pool("GlobalMaxPool", "global_max_pool", "The largest number over all spatial axes, which stay with size 1.")


@op("GlobalLpPool", since=22, T=FLOAT)
def global_lp_pool(x: T, *, p: int = 2) -> TensorType:
    """The p-norm over all spatial axes, which stay with size 1."""
    _check_norm(p)
    return _global(x)


@global_average_pool.decompose
def _global_average_pool(x):
    return ops.reduce.reduce_mean(x, list(range(2, x.rank))) if x.rank > 2 else ops.elementwise.identity(x)


@global_max_pool.decompose
def _global_max_pool(x):
    if _ties.are_even():
        return ops.reduce.reduce_max(x, list(range(2, x.rank))) if x.rank > 2 else ops.elementwise.identity(x)
    flat = ops.shape.reshape(x, [0, 0, -1])
    first = ops.reduce.arg_max(flat, axis=2)  # of equals the first one gets the gradient
    most = ops.index.gather_elements(flat, first, axis=2)
    return ops.shape.reshape(most, [0, 0, *(1 for _ in x.shape[2:])])


@global_lp_pool.gradient
def global_lp_pool_gradient(dy, y, x, *, p):
    return _norm_gradient(x, _by_norm(dy, y, p), p)
