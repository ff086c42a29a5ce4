"""Kernels of graphir.ops.quantize. Sums of products of bytes are exact in floating point, where matrix products are fast."""

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes

from graphir.dtypes import FLOAT32, FLOAT64, FLOATS, as_dtype
from graphir.types import TensorType

from ..kernel import Site, prepared
from ..precision import widened
from ._cast import caster
from .nn import convolution

E8M0, INT32 = as_dtype("float8_e8m0fnu"), as_dtype("int32")


def _spread(xp: Any, scale: Any, shape: tuple[int, ...], axis: int, block_size: int) -> Any:
    """A scale or a zero point, laid out to meet a tensor of `shape`."""
    if scale.size == 1 and not block_size:
        return scale.reshape(())
    if not block_size:
        return scale.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
    return xp.repeat(scale, block_size, axis=axis)[tuple(map(slice, shape))]


def _stored(xp: Any, x: Any, dtype: Any, saturate: int = 1) -> Any:
    """Floats as `dtype`: cut to what it holds, and for integers rounded."""
    if dtype not in FLOATS:
        limits = ml_dtypes.iinfo(dtype)
        return xp.clip(xp.rint(x), int(limits.min), int(limits.max)).astype(dtype)
    site = Site(xp, {"saturate": saturate, "round_mode": "up"}, [TensorType(x.dtype, x.shape)], [None], [None])
    return caster(site, dtype).run(x)


@prepared
def quantize_linear(site: Site) -> Callable[..., Any]:
    """The quotient in the dtype that the standard names, all else in float32 or more."""
    xp, a = site.xp, site.attributes
    axis, block_size = a["axis"], a["block_size"]
    scale: Any = site.inputs[1]
    divide_as = as_dtype(a["precision"]) if a["precision"] else {INT32: FLOAT64, E8M0: FLOAT32}.get(scale.dtype, scale.dtype)

    def run(x: Any, y_scale: Any, y_zero_point: Any = None) -> Any:
        dtype = as_dtype(a["output_dtype"] or "uint8") if y_zero_point is None else y_zero_point.dtype
        y = widened(x.astype(divide_as) / _spread(xp, y_scale.astype(divide_as), x.shape, axis, block_size))
        if y_zero_point is not None:
            y = (y if dtype in FLOATS else xp.rint(y)) + _spread(xp, y_zero_point.astype(y.dtype), x.shape, axis, block_size)
        return _stored(xp, y, dtype, a["saturate"])

    return run


def dequantize_linear(
    xp: Any, x: Any, x_scale: Any, x_zero_point: Any = None, *, axis: int, block_size: int, output_dtype: str | None
) -> Any:
    """In float32, rounded once."""
    dtype = as_dtype(output_dtype) if output_dtype else x_scale.dtype
    y = x.astype(FLOAT32)
    if x_zero_point is not None:
        y -= _spread(xp, x_zero_point.astype(FLOAT32), x.shape, axis, block_size)
    y *= _spread(xp, x_scale.astype(FLOAT32), x.shape, axis, block_size)
    return y.astype(dtype, copy=False)


def dynamic_quantize_linear(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    high, low = xp.max(x, initial=0), xp.min(x, initial=0)
    scale = xp.where(high == low, FLOAT32.type(1), high - low) / FLOAT32.type(255)
    zero_point = xp.rint(xp.clip(-low / scale, 0, 255))
    y = xp.clip(xp.rint(x / scale) + zero_point, 0, 255)
    return y.astype(xp.uint8), scale.astype(FLOAT32), zero_point.astype(xp.uint8)


# ---- products -------------------------------------------------------------------------------------------------------------------------


def _rows(x: Any) -> Any:
    """One number for each row of a matrix, to meet it; a single one as it is."""
    return x.astype(FLOAT64)[..., None] if x.ndim == 1 and x.size > 1 else x.astype(FLOAT64)


def qlinear_matmul(
    xp: Any, a: Any, a_scale: Any, a_zero_point: Any, b: Any, b_scale: Any, b_zero_point: Any, y_scale: Any, y_zero_point: Any
) -> Any:
    y = xp.matmul(a.astype(FLOAT64) - _rows(a_zero_point), b.astype(FLOAT64) - b_zero_point.astype(FLOAT64))
    y = y * (_rows(a_scale) * b_scale.astype(FLOAT64) / _rows(y_scale)) + _rows(y_zero_point)
    return _stored(xp, y, y_zero_point.dtype)


def _convolution(site: Site, x_at: int, w_at: int, w_zero_at: int) -> Callable[..., Any]:
    """The function `(x, its zero point, w, its zero points)` that convolves bytes exactly, as floats; constant filters are turned to such once."""
    x: Any = site.inputs[x_at]
    w: Any = site.inputs[w_at]
    dtype = FLOAT32 if math.prod(w.shape[1:]) * 255 * 255 < 1 << 24 else FLOAT64

    def centered(w: Any, zero_point: Any) -> Any:
        w = w.astype(dtype)
        return w if zero_point is None else w - zero_point.astype(dtype).reshape(-1, *(1 for _ in w.shape[1:]))

    absent = w_zero_at >= len(site.inputs) or site.inputs[w_zero_at] is None
    zero_point = None if absent else site.constants[w_zero_at]
    filters = site.constants[w_at]
    known = None if filters is None or not (absent or zero_point is not None) else centered(filters, zero_point)
    convolve = convolution(site.xp, TensorType(dtype, x.shape), w, site.attributes, known)

    def run(x: Any, zero: Any, w: Any, w_zero: Any) -> Any:
        x = x.astype(dtype) if zero is None else x.astype(dtype) - zero.astype(dtype)
        return convolve(x, centered(w, w_zero) if known is None else None)

    return run


@prepared
def conv_integer(site: Site) -> Callable[..., Any]:
    """The kernel of Conv, in a floating dtype that holds every sum."""
    convolve = _convolution(site, 0, 1, 3)
    return lambda x, w, x_zero_point=None, w_zero_point=None: convolve(x, x_zero_point, w, w_zero_point).astype(INT32)


@prepared
def qlinear_conv(site: Site) -> Callable[..., Any]:
    """The kernel of Conv, in a floating dtype that holds every sum, then scaled in double precision."""
    xp = site.xp
    convolve = _convolution(site, 0, 3, 5)

    def run(
        x: Any, x_scale: Any, x_zero_point: Any, w: Any, w_scale: Any, w_zero_point: Any, y_scale: Any, y_zero_point: Any, b: Any = None
    ) -> Any:
        across = (-1, *(1 for _ in w.shape[2:]))
        y = convolve(x, x_zero_point, w, w_zero_point).astype(FLOAT64)
        if b is not None:
            y += b.astype(FLOAT64).reshape(across)
        y *= (x_scale.astype(FLOAT64) * w_scale.astype(FLOAT64) / y_scale.astype(FLOAT64)).reshape(across)
        y += y_zero_point.astype(FLOAT64)
        return _stored(xp, y, y_zero_point.dtype)

    return run
