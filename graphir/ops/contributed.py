"""Operators that files put into the default domain, and ONNX Runtime runs, though the standard does not have them, or no longer. All are made of others."""

from functools import partial

import graphir.ops as ops

from ..dtypes import as_dtype
from ..ir import Value
from ..types import TensorType
from ._op import DType, Index, MayOmit, RuleError, T, op
from ._types import CLASSIC, FLOAT, IEEE, axis_of
from .normalization import V, inverse_root, rms_normalization, wider

# ---- normalization ----------------------------------------------------------------------------------------------------------------------


@op("SimplifiedLayerNormalization", since=1, T=FLOAT, V=FLOAT)
def simplified_layer_normalization(
    x: T, scale: V, *, axis: int = -1, epsilon: float = 1e-5, stash_type: DType = "float32"
) -> tuple[TensorType, MayOmit]:
    """RMSNormalization: x / sqrt(mean(x^2) + epsilon) * scale, with the mean over `axis` and those after it; then 1 / sqrt(mean(x^2) + epsilon)."""
    y = rms_normalization.rule(x, scale, axis=axis, epsilon=epsilon, stash_type=stash_type)
    first = axis_of(axis, x.rank)
    return y, TensorType(stash_type, (*x.shape[:first], *(1 for _ in x.shape[first:])))


@simplified_layer_normalization.decompose
def _root_mean_square(x: Value, scale: Value, *, axis: int, epsilon: float, stash_type: str) -> tuple[Value, Value]:
    y = rms_normalization(x, scale, axis=axis, epsilon=epsilon, stash_type=stash_type)
    wide = ops.elementwise.cast_to(x, wider(x, stash_type))
    return y, ops.elementwise.cast_to(inverse_root(wide, range(axis_of(axis, x.rank), x.rank), epsilon), as_dtype(stash_type))


# Files have it in the domain of ONNX Runtime's own operators, too.
microsofts = op("SimplifiedLayerNormalization", since=1, domain="com.microsoft", T=FLOAT, V=FLOAT)(simplified_layer_normalization.rule)
microsofts.decompose(_root_mean_square)

# ---- experiments of the standard, which gave them up in opset 10 ----------------------------------------------------------------------------

_retired = partial(op, since=1, T=IEEE)


@_retired("Affine")
def affine(x: T, *, alpha: float = 1.0, beta: float = 0.0) -> Value:
    """alpha * x + beta."""
    return ops.elementwise.add(ops.elementwise.mul(x, alpha), beta)


@_retired("Scale")
def scale(input: T, *, scale: float = 1.0) -> Value:
    """scale * input."""
    return ops.elementwise.mul(input, scale)


@_retired("ScaledTanh")
def scaled_tanh(input: T, *, alpha: float, beta: float) -> Value:
    """alpha * tanh(beta * input)."""
    return ops.elementwise.mul(ops.elementwise.tanh(ops.elementwise.mul(input, beta)), alpha)


@_retired("ParametricSoftplus")
def parametric_softplus(x: T, *, alpha: float, beta: float) -> Value:
    """alpha * log(1 + exp(beta * x))."""
    return ops.elementwise.mul(ops.activation.softplus(ops.elementwise.mul(x, beta)), alpha)


def _expect_image(x: Value, channels: int | None = None) -> None:
    """Raises RuleError for what is surely not (N, C, H, W) of so many channels."""
    shape = x.type.shape
    if shape is None or (len(shape) == 4 and not (channels and isinstance(shape[1], int) and shape[1] != channels)):
        return
    raise RuleError(f"the input has the shape {list(shape)}; expected (N, {channels or 'C'}, H, W)")


@_retired("ImageScaler")
def image_scaler(input: T, *, bias: tuple[float, ...], scale: float = 1.0) -> Value:
    """scale * input + bias, where the input is (N, C, H, W) and bias has a number for each channel."""
    _expect_image(input, len(bias))
    shifts = ops.create.constant(input.graph, value_floats=bias)
    shifts = ops.shape.reshape(ops.elementwise.cast_to(shifts, input.dtype), [1, len(bias), 1, 1])
    return ops.elementwise.add(ops.elementwise.mul(input, scale), shifts)


@_retired("Crop")
def crop(input: T, *, border: tuple[int, ...], scale: tuple[int, ...] | None = None) -> Value:
    """The input (N, C, H, W) without so many numbers at the left, top, right and bottom, or with `scale` so high and wide from the left and top on."""
    _expect_image(input)
    if len(border) != 4 or (scale is not None and len(scale) != 2) or min(*border, *(scale or ())) < 0:
        size = "" if scale is None else f", scale {list(scale)}"
        raise RuleError(f"border is {list(border)}{size}; expected left, top, right, bottom, and height and width, none below zero")
    left, top, right, bottom = border
    beyond = 2**31 - 1  # what is not cut off
    ends = [top + scale[0], left + scale[1]] if scale is not None else [-bottom or beyond, -right or beyond]
    return ops.shape.slice_(input, [top, left], ends, [2, 3])


@op("DynamicSlice", since=1, T=CLASSIC)
def dynamic_slice(data: T, starts: Index, ends: Index, axes: Index | None = None) -> Value:
    """Slice, of which opset 10 made what this was: from `starts` up to `ends` along the axes, which are the first ones by default."""
    return ops.shape.slice_(data, starts, ends, axes)


RETIRED = frozenset((affine, scale, scaled_tanh, parametric_softplus, image_scaler, crop, dynamic_slice))
