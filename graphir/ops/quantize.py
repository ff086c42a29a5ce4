"""Quantization: numbers as small integers times a scale, and products of such."""

from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dtypes import FLOAT32, FLOAT64, FLOATS, NAMES, as_dtype
from ..ir import Value
from ..types import TensorType
from ._constants import STORED
from ._gradient import CARRYING, CONVERTING, GradientError, gradients
from ._layout import positions
from ._op import T1, T2, T3, DType, Flag, RuleError, op
from ._straight import where_within
from ._types import FLOAT8, axis_of, dtypes, expect_float
from .math import matmul, matmul_integer
from .nn import conv

BYTES = dtypes("int8 uint8")
HIGH = dtypes("float32 float16 bfloat16")
LOW = FLOAT8 | BYTES | dtypes("int16 uint16 int4 uint4 int2 uint2 float4_e2m1fn float6_e2m3fn float6_e3m2fn")
SCALES = dtypes("float8_e8m0fnu")
TS = Annotated[Any, "TS"]
T4 = Annotated[Any, "T4"]


def _check_scale(x: Any, scale: Any, axis: int, block_size: int) -> None:
    """Raises RuleError where a scale or zero point surely does not fit: one for all, one for each place on an axis, or one for each block along it."""
    if scale is None:
        return
    if block_size < 0 or scale.rank not in ((x.rank,) if block_size else (0, 1)):
        raise RuleError(
            f"{scale.name} has rank {scale.rank} and block_size is {block_size}; expected rank 0 or 1, or that of x with a block_size"
        )
    given = scale.shape[0] if scale.rank == 1 and not block_size else 1
    if isinstance(given, int) and given != 1:
        places = x.shape[axis_of(axis, x.rank)]
        if isinstance(places, int) and places != given:
            raise RuleError(f"{scale.name} has {given} numbers; expected one, or {places}, one for each place on axis {axis}")


@op("QuantizeLinear", since=28, T1=HIGH | dtypes("int32"), T2=HIGH | SCALES | dtypes("int32"), T3=LOW)
def quantize_linear(
    x: T1, y_scale: T2, y_zero_point: T3 | None = None, *, axis: int = 1, block_size: int = 0, output_dtype: DType | None = None,
    precision: DType | None = None, saturate: Flag = 1,
) -> TensorType:  # fmt: skip
    """round(x / y_scale) + y_zero_point, halves to even, cut to what the dtype holds: that of y_zero_point, else output_dtype, else uint8.

    The scale is one number, one for each place on `axis`, or with block_size one for each block of so many along it. `precision` is the dtype in which to
    divide, that of the scale by default; saturate=0 lets float8 overflow.
    """
    expect_float("precision", precision)
    _check_scale(x, y_scale, axis, block_size)
    _check_scale(x, y_zero_point, axis, block_size)
    dtype = as_dtype(output_dtype or "uint8") if y_zero_point is None else y_zero_point.dtype
    if output_dtype is not None and dtype != as_dtype(output_dtype):
        raise RuleError(f"y_zero_point is {NAMES[dtype]} and output_dtype is {output_dtype}; expected one dtype")
    return TensorType(dtype, x.shape)


@op("DequantizeLinear", since=28, T1=LOW | dtypes("int32"), T2=HIGH | SCALES)
def dequantize_linear(
    x: T1, x_scale: T2, x_zero_point: T1 | None = None, *, axis: int = 1, block_size: int = 0, output_dtype: DType | None = None
) -> TensorType:
    """(x - x_zero_point) * x_scale, as output_dtype, else the dtype of x_scale. The scale is laid out as for QuantizeLinear."""
    _check_scale(x, x_scale, axis, block_size)
    _check_scale(x, x_zero_point, axis, block_size)
    return TensorType(output_dtype or x_scale.dtype, x.shape)


@dequantize_linear.decompose
def _dequantize_linear(x, x_scale, x_zero_point=None, *, axis, block_size, output_dtype):
    wide = FLOAT64 if x_scale.dtype == FLOAT64 else FLOAT32
    y = ops.elementwise.cast_to(x, wide)
    if x_zero_point is not None:
        y = ops.elementwise.sub(y, _spread(ops.elementwise.cast_to(x_zero_point, wide), x, axis, block_size))
    y = ops.elementwise.mul(y, _spread(ops.elementwise.cast_to(x_scale, wide), x, axis, block_size))
    return ops.elementwise.cast_to(y, as_dtype(output_dtype) if output_dtype else x_scale.dtype)


def _spread(scale: Value, x: Value, axis: int, block_size: int) -> Value:
    """A scale or a zero point, laid out to meet x."""
    if scale.rank == 0 or (scale.shape == (1,) and not block_size):
        return scale
    axis = axis_of(axis, x.rank)
    if not block_size:
        return ops.shape.unsqueeze(scale, list(range(1, x.rank - axis))) if axis < x.rank - 1 else scale
    size = x.shape[axis]
    if isinstance(size, int) and size <= STORED:
        blocks: Any = np.arange(size) // block_size
    else:
        blocks = ops.elementwise.div(positions(x, axis), block_size)
    return ops.index.gather(scale, blocks, axis=axis)


@op("DynamicQuantizeLinear", since=11, T1=dtypes("float32"))
def dynamic_quantize_linear(x: T1) -> tuple[TensorType, TensorType, TensorType]:
    """x as uint8, with the scale and the zero point that map its range, zero included, onto 0 to 255; and these two."""
    return TensorType("uint8", x.shape), TensorType("float32", ()), TensorType("uint8", ())


@op("ConvInteger", since=10, T1=BYTES, T2=BYTES)
def conv_integer(
    x: T1, w: T2, x_zero_point: T1 | None = None, w_zero_point: T2 | None = None, *, auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None, group: int = 1, kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The convolution of x - x_zero_point with w - w_zero_point in int32; the latter is one number, or one for each filter."""
    how = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "kernel_shape": kernel_shape, "pads": pads, "strides": strides}
    return TensorType("int32", conv.rule(x, w, **how).shape)


@op("QLinearMatMul", since=21, TS=HIGH, T1=FLOAT8 | BYTES, T2=FLOAT8 | BYTES, T3=FLOAT8 | BYTES)
def qlinear_matmul(
    a: T1, a_scale: TS, a_zero_point: T1, b: T2, b_scale: TS, b_zero_point: T2, y_scale: TS, y_zero_point: T3
) -> TensorType:  # fmt: skip
    """a @ b, all three quantized. The scales and zero points are one number, or one for each row of a and of the result, and each column of b."""
    return TensorType(y_zero_point.dtype, matmul.rule(a, b).shape)


@op("QLinearConv", since=10, TS=dtypes("float32"), T1=BYTES, T2=BYTES, T3=BYTES, T4=dtypes("int32"))
def qlinear_conv(
    x: T1, x_scale: TS, x_zero_point: T1, w: T2, w_scale: TS, w_zero_point: T2, y_scale: TS, y_zero_point: T3, b: T4 | None = None, *,
    auto_pad: str = "NOTSET", dilations: tuple[int, ...] | None = None, group: int = 1, kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The convolution of x with w, all three quantized; the scale and zero point of w are one number, or one for each filter. b counts in units of x_scale * w_scale."""
    how = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "kernel_shape": kernel_shape, "pads": pads, "strides": strides}
    return TensorType(y_zero_point.dtype, conv.rule(x, w, b, **how).shape)


# ---- gradients --------------------------------------------------------------------------------------------------------------------------


@quantize_linear.gradient
def quantize_linear_gradient(dy, y, x, y_scale, y_zero_point, *, axis, block_size, output_dtype, precision, saturate):
    # Rounding is passed as if it were not there: y = x / scale + zero point where that is in range, else a constant. With the exact rule of
    # DequantizeLinear the scale has the gradient of Esser et al., "Learned step size quantization", 2020.
    before = len(dy.graph.nodes)
    wide = FLOAT64 if FLOAT64 in (x.dtype, y_scale.dtype) else FLOAT32
    exact = ops.elementwise.div(ops.elementwise.cast_to(x, wide), _spread(ops.elementwise.cast_to(y_scale, wide), x, axis, block_size))
    passed = dy.graph.nodes[before:]
    dy = ops.elementwise.cast_to(dy, wide)
    if y.dtype not in FLOATS:
        placed = ops.elementwise.round_(exact)
        if y_zero_point is not None:
            placed = ops.elementwise.add(placed, _spread(ops.elementwise.cast_to(y_zero_point, wide), x, axis, block_size))
        dy = where_within(dy, placed, y.dtype)
    elif saturate:
        dy = where_within(dy, exact, y.dtype)
    return *gradients({exact: dy}, [x, y_scale], passed, named=False), None


@dynamic_quantize_linear.gradient
def dynamic_quantize_linear_gradient(dys, ys, x):
    return (
        None if dys[0] is None else ops.elementwise.div(ops.elementwise.cast_to(dys[0], x.dtype), ys[1])
    )  # the scale and the zero point count as constants


def _refuse(dy, y, *inputs, **attributes):
    node = y.node
    raise GradientError(
        f"{node.op} of node {node.label!r} computes with quantized numbers, which has no gradient; dequantize first: DequantizeLinear, then the operator on floats"
    )


for _op in (conv_integer, matmul_integer, qlinear_matmul, qlinear_conv):
    _op.gradient(_refuse)
CARRYING.update((quantize_linear, dynamic_quantize_linear, conv_integer, matmul_integer, qlinear_matmul, qlinear_conv))
CONVERTING.update((quantize_linear, dynamic_quantize_linear))
