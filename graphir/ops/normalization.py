"""Normalization: operators that shift and scale numbers by their own statistics, and Dropout."""

from collections.abc import Sequence
from math import inf
from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim, Shape, product
from ..dtypes import BOOL, as_dtype
from ..ir import Value
from ..types import TensorType
from ._elementwise import same_type
from ._gradient import expand_to, shaped_as
from ._layout import reshape_like
from ._op import T1, T2, Bool, DType, Flag, Floats, MayOmit, RuleError, Scalar, T, op
from ._types import FLOAT, FLOAT8, axis_of, expect_float, expect_shape, fits

V = Annotated[Any, "V"]


def _expect_fit(x: Any, shape: Shape, name: str) -> None:
    """Raises RuleError where x surely does not broadcast to a shape."""
    if not fits(x.shape, shape):
        raise RuleError(f"{name} has shape {list(x.shape)}, which does not broadcast to {list(shape)}")


def _channels(x: Any, rank: int = 2) -> Dim:
    """The number of channels of x (N, C, ...), 1 for x (N). Raises RuleError where x has not so many axes."""
    if x.rank < rank:
        raise RuleError(f"x has rank {x.rank}; expected (N, C, ...)")
    return x.shape[1] if x.rank > 1 else 1


# ---- what the gradients share ------------------------------------------------------------------------------------------------------------


def wider(x: Value, stash_type: str = "float32") -> np.dtype:
    """The dtype in which to compute: that of x, or where it is wider stash_type. In float16 the square of 256 is infinite."""
    return max(as_dtype(stash_type), x.dtype, key=lambda dtype: dtype.itemsize)


def _mean(x: Value, axes: Sequence[int]) -> Value:
    return ops.reduce.reduce_mean(x, list(axes)) if axes else x


def _centred(x: Value, axes: Sequence[int]) -> Value:
    return ops.elementwise.sub(x, _mean(x, axes))


def inverse_root(x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """1 / sqrt(mean(x^2) + epsilon)."""
    return ops.elementwise.reciprocal(ops.elementwise.sqrt(ops.elementwise.add(_mean(ops.elementwise.mul(x, x), axes), epsilon)))


def _standardized_gradient(dy: Value, y: Value, inverse: Value, axes: Sequence[int], centred: bool = True) -> Value:
    """The gradient of x where y = (x - mean) * inverse, with inverse = 1 / sqrt(mean((x - mean)^2) + epsilon); if not `centred`, without the means of x."""
    common = ops.elementwise.mul(y, _mean(ops.elementwise.mul(dy, y), axes))
    if centred:
        common = ops.elementwise.add(common, _mean(dy, axes))
    return ops.elementwise.mul(inverse, ops.elementwise.sub(dy, common))


def _statistics_gradient(dmean: Value | None, dvar: Value | None, centred: Value, axes: Sequence[int]) -> list[Value]:
    """The gradients of x that come from its mean and its variance along the axes. That of the mean has size 1 along them."""
    count: Any = product(centred.shape[i] for i in axes)
    if not isinstance(count, int):
        sizes = ops.index.gather(ops.shape.shape(centred), list(axes))
        count = ops.elementwise.cast_to(ops.reduce.reduce_prod(sizes, keepdims=0), centred.dtype)
    found = [] if dmean is None else [dmean]
    if dvar is not None:
        found.append(ops.elementwise.mul(ops.elementwise.mul(centred, 2.0), dvar))
    return [ops.elementwise.div(x, count) for x in found]


def _total(found: Sequence[Value], x: Value) -> Value:
    """The sum of gradients of x, the first of which may have size 1 along an axis of x."""
    return ops.elementwise.sum_(*found) if len(found) > 1 else expand_to(found[0], x)


def _to_channels(v: Value, x: Value) -> Value:
    """v (C), in the dtype of x (N, C, ...) and shaped to meet it."""
    v = ops.elementwise.cast_to(v, x.dtype)
    return ops.shape.unsqueeze(v, list(range(1, x.rank - 1))) if x.rank > 2 else v


def _channel_sums(dy: Value, v: Value) -> Value:
    """The sums of dy (N, C, ...) for each channel, as the gradient of v (C)."""
    sums = ops.reduce.reduce_sum(dy, _all_but_channels(dy), keepdims=int(dy.rank == 1))
    return shaped_as(ops.elementwise.cast_to(sums, v.dtype), v)


def _all_but_channels(x: Value) -> list[int]:
    return [i for i in range(x.rank) if i != 1]


# ---- by channel --------------------------------------------------------------------------------------------------------------------------


@op("BatchNormalization", since=15, T=FLOAT, T1=FLOAT, T2=FLOAT)
def batch_normalization(
    x: T, scale: T1, b: T1, input_mean: T2, input_var: T2, *, epsilon: float = 1e-5, momentum: float = 0.9, training_mode: Flag = 0
) -> tuple[TensorType, TensorType | None, TensorType | None]:
    """(x - mean) / sqrt(var + epsilon) * scale + b for each channel of x (N, C, ...), with the given mean and variance, which come with no more outputs.

    With training_mode, with those of the batch; then the running ones follow: input_mean * momentum + mean * (1 - momentum), and so the variance.
    """
    for v, name in ((scale, "scale"), (b, "b"), (input_mean, "input_mean"), (input_var, "input_var")):
        expect_shape(v, (_channels(x, rank=1),), name)
    return same_type(x), same_type(input_mean) if training_mode else None, same_type(input_var) if training_mode else None


@batch_normalization.gradient
def batch_normalization_gradient(dys, ys, x, scale, b, input_mean, input_var, *, epsilon, momentum, training_mode):
    if training_mode:
        return _trained_gradient(dys, x, scale, b, input_mean, input_var, epsilon, momentum)
    dy = dys[0]
    spread = ops.elementwise.add(input_var, epsilon)
    root = ops.elementwise.sqrt(spread)
    slope = ops.elementwise.div(ops.elementwise.cast_to(scale, root.dtype), root)
    dx = ops.elementwise.mul(dy, _to_channels(slope, x))
    total = _channel_sums(dy, input_mean)
    moved = ops.elementwise.mul(dy, ops.elementwise.sub(x, _to_channels(input_mean, x)))
    by_root = ops.elementwise.div(_channel_sums(moved, input_mean), root)
    dvar = ops.elementwise.mul(ops.elementwise.div(ops.elementwise.mul(by_root, ops.elementwise.cast_to(scale, root.dtype)), spread), -0.5)
    return (
        dx,
        ops.elementwise.cast_to(by_root, scale.dtype),
        ops.elementwise.cast_to(total, b.dtype),
        ops.elementwise.neg(ops.elementwise.mul(total, slope)),
        dvar,
    )


def _trained_gradient(dys, x, scale, b, input_mean, input_var, epsilon, momentum):
    dy, dmean, dvar, *_ = *dys, None, None  # a node may have the first output alone
    axes, wide_x = _all_but_channels(x), ops.elementwise.cast_to(x, wider(x))
    centred = _centred(wide_x, axes)
    dscale = db = None
    parts = [d and _to_channels(ops.elementwise.mul(d, 1 - momentum), wide_x) for d in (dmean, dvar)]
    found = _statistics_gradient(parts[0], parts[1], centred, axes)
    if dy is not None:
        inverse = inverse_root(centred, axes, epsilon)
        y, dy = ops.elementwise.mul(centred, inverse), ops.elementwise.cast_to(dy, wide_x.dtype)
        found.append(_standardized_gradient(ops.elementwise.mul(dy, _to_channels(scale, wide_x)), y, inverse, axes))
        dscale, db = _channel_sums(ops.elementwise.mul(dy, y), scale), _channel_sums(dy, b)
    return (
        ops.elementwise.cast_to(_total(found, wide_x), x.dtype),
        dscale,
        db,
        *(d and ops.elementwise.mul(d, momentum) for d in (dmean, dvar)),
    )


@op("LayerNormalization", since=17, T=FLOAT)
def layer_normalization(
    x: T, scale: T, b: T | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: DType = "float32"
) -> tuple[TensorType, MayOmit, MayOmit]:
    """(x - mean) / sqrt(var + epsilon) * scale + b, with mean and variance over `axis` and those after it; then the mean, and 1 / sqrt(var + epsilon)."""
    expect_float("stash_type", stash_type)
    first = axis_of(axis, x.rank)
    _expect_fit(scale, x.shape, "scale")
    if b is not None:
        _expect_fit(b, x.shape, "b")
    statistic = TensorType(stash_type, (*x.shape[:first], *(1 for _ in x.shape[first:])))
    return same_type(x), statistic, statistic


@layer_normalization.gradient
def layer_normalization_gradient(dys, ys, x, scale, b, *, axis, epsilon, stash_type):
    dy, dmean, dinverse = dys
    wide, axes = wider(x, stash_type), range(axis_of(axis, x.rank), x.rank)
    wide_x, (mean, inverse) = ops.elementwise.cast_to(x, wide), ys[1:]
    if mean.dtype == wide:
        centred = ops.elementwise.sub(wide_x, mean)
    else:  # saved in less precision than x has
        centred = _centred(wide_x, axes)
        inverse = inverse_root(centred, axes, epsilon)
    dvar = dinverse and ops.elementwise.mul(
        ops.elementwise.mul(ops.elementwise.cast_to(dinverse, wide), -0.5),
        ops.elementwise.mul(inverse, ops.elementwise.mul(inverse, inverse)),
    )
    dscale, found = None, _statistics_gradient(dmean and ops.elementwise.cast_to(dmean, wide), dvar, centred, axes)
    if dy is not None:
        y, wide_dy = ops.elementwise.mul(centred, inverse), ops.elementwise.cast_to(dy, wide)
        found.append(_standardized_gradient(ops.elementwise.mul(wide_dy, ops.elementwise.cast_to(scale, wide)), y, inverse, axes))
        dscale = ops.elementwise.cast_to(ops.elementwise.mul(wide_dy, y), scale.dtype)
    return ops.elementwise.cast_to(_total(found, wide_x), x.dtype), dscale, dy


@op("RMSNormalization", since=23, T=FLOAT, V=FLOAT)
def rms_normalization(x: T, scale: V, *, axis: int = -1, epsilon: float = 1e-5, stash_type: DType = "float32") -> TensorType:
    """x / sqrt(mean(x^2) + epsilon) * scale, with the mean over `axis` and those after it. The result has the dtype of scale."""
    expect_float("stash_type", stash_type)
    axis_of(axis, x.rank)
    _expect_fit(scale, x.shape, "scale")
    return TensorType(scale.dtype, x.shape)


@rms_normalization.gradient
def rms_normalization_gradient(dy, y, x, scale, *, axis, epsilon, stash_type):
    wide, axes = wider(x, stash_type), range(axis_of(axis, x.rank), x.rank)
    x_, dy, scale_ = ops.elementwise.cast_to(x, wide), ops.elementwise.cast_to(dy, wide), ops.elementwise.cast_to(scale, wide)
    inverse = inverse_root(x_, axes, epsilon)
    y = ops.elementwise.mul(x_, inverse)
    dx = _standardized_gradient(ops.elementwise.mul(dy, scale_), y, inverse, axes, centred=False)
    return ops.elementwise.cast_to(dx, x.dtype), ops.elementwise.cast_to(ops.elementwise.mul(dy, y), scale.dtype)


@op("InstanceNormalization", since=22, T=FLOAT)
def instance_normalization(input: T, scale: T, b: T, *, epsilon: float = 1e-5) -> TensorType:
    """(x - mean) / sqrt(var + epsilon) * scale + b for each channel of each x in (N, C, ...)."""
    channels = _channels(input)
    expect_shape(scale, (channels,), "scale")
    expect_shape(b, (channels,), "b")
    return same_type(input)


@instance_normalization.gradient
def instance_normalization_gradient(dy, y, input, scale, b, *, epsilon):
    wide, axes = wider(input), range(2, input.rank)
    x, dy = ops.elementwise.cast_to(input, wide), ops.elementwise.cast_to(dy, wide)
    centred = _centred(x, axes)
    inverse = inverse_root(centred, axes, epsilon)
    y = ops.elementwise.mul(centred, inverse)
    dx = _standardized_gradient(ops.elementwise.mul(dy, _to_channels(scale, x)), y, inverse, axes)
    return ops.elementwise.cast_to(dx, input.dtype), _channel_sums(ops.elementwise.mul(dy, y), scale), _channel_sums(dy, b)


@op("GroupNormalization", since=21, T=FLOAT)
def group_normalization(x: T, scale: T, bias: T, *, num_groups: int, epsilon: float = 1e-5, stash_type: DType = "float32") -> TensorType:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, with mean and variance over each of num_groups parts of the channels of x (N, C, ...)."""
    expect_float("stash_type", stash_type)
    channels = _channels(x)
    if num_groups < 1 or (isinstance(channels, int) and channels % num_groups):
        raise RuleError(f"num_groups is {num_groups}; expected a divisor of the {channels} channels of x")
    expect_shape(scale, (channels,), "scale")
    expect_shape(bias, (channels,), "bias")
    return same_type(x)


@group_normalization.gradient
def group_normalization_gradient(dy, y, x, scale, bias, *, num_groups, epsilon, stash_type):
    wide, size = wider(x, stash_type), product(x.shape[1:]) // num_groups
    parts = [0, num_groups, size if isinstance(size, int) else -1]
    wide_x, dy = ops.elementwise.cast_to(x, wide), ops.elementwise.cast_to(dy, wide)
    centred = _centred(ops.shape.reshape(wide_x, parts), [2])
    inverse = inverse_root(centred, [2], epsilon)
    y = ops.elementwise.mul(centred, inverse)
    dparts = ops.shape.reshape(ops.elementwise.mul(dy, _to_channels(scale, wide_x)), parts)
    dx = reshape_like(_standardized_gradient(dparts, y, inverse, [2]), x)
    return ops.elementwise.cast_to(dx, x.dtype), _channel_sums(ops.elementwise.mul(dy, reshape_like(y, x)), scale), _channel_sums(dy, bias)


# ---- by place ----------------------------------------------------------------------------------------------------------------------------


@op("LRN", since=13, T=FLOAT)
def lrn(x: T, *, size: int, alpha: float = 0.0001, beta: float = 0.75, bias: float = 1.0) -> TensorType:
    """x / (bias + alpha / size * s)^beta, where s is the sum of squares over the `size` channels around, in x (N, C, ...)."""
    _channels(x)
    if size < 1:
        raise RuleError(f"size is {size}; expected 1 or more")
    return same_type(x)


@lrn.decompose
def _lrn(x, *, size, alpha, beta, bias):
    dtype, x = x.dtype, ops.elementwise.cast_to(x, wider(x))
    flat = ops.shape.unsqueeze(ops.shape.reshape(ops.elementwise.mul(x, x), [0, 0, -1]), [1])  # the channels as a spatial axis
    before = (size - 1) // 2
    means = ops.nn.average_pool(flat, kernel_shape=(size, 1), pads=(before, 0, size - 1 - before, 0), count_include_pad=1)
    spread = ops.elementwise.add(ops.elementwise.mul(reshape_like(means, x), alpha), bias)
    return ops.elementwise.cast_to(ops.elementwise.div(x, ops.elementwise.pow_(spread, np.array(beta, x.dtype))), dtype)


@op("LpNormalization", since=22, T=FLOAT)
def lp_normalization(input: T, *, axis: int = -1, p: int = 2) -> TensorType:
    """x divided by its p-norm along `axis`, p being 1 or 2; zeros where the norm is zero."""
    axis_of(axis, input.rank)
    if p not in (1, 2):
        raise RuleError(f"p is {p}; expected 1 or 2")
    return same_type(input)


@lp_normalization.gradient
def lp_normalization_gradient(dy, y, input, *, axis, p):
    norm = (ops.reduce.reduce_l1 if p == 1 else ops.reduce.reduce_l2)(input, [axis])
    along_y = ops.reduce.reduce_sum(ops.elementwise.mul(dy, y), [axis])
    across = ops.elementwise.sub(dy, ops.elementwise.mul(ops.elementwise.sign(input) if p == 1 else y, along_y))
    return ops.elementwise.div(across, ops.elementwise.where(ops.logic.equal(norm, 0.0), inf, norm))


@op("MeanVarianceNormalization", since=13, T=FLOAT)
def mean_variance_normalization(x: T, *, axes: tuple[int, ...] = (0, 2, 3)) -> TensorType:
    """(x - mean) / (sqrt(var) + 1e-9), with mean and variance over `axes`."""
    for axis in axes:
        axis_of(axis, x.rank, "an axis")
    return same_type(x)


@mean_variance_normalization.gradient
def mean_variance_normalization_gradient(dy, y, x, *, axes):
    wide, axes = wider(x), [axis_of(a, x.rank) for a in axes]
    centred = _centred(ops.elementwise.cast_to(x, wide), axes)
    var = ops.elementwise.max_(_mean(ops.elementwise.mul(centred, centred), axes), 1e-36)  # the root has no slope at 0
    inverse = ops.elementwise.reciprocal(ops.elementwise.add(ops.elementwise.sqrt(var), 1e-9))
    return ops.elementwise.cast_to(
        _standardized_gradient(ops.elementwise.cast_to(dy, wide), ops.elementwise.cast_to(y, wide), inverse, axes), x.dtype
    )


@op("Dropout", since=22, random=True, T=FLOAT | FLOAT8)
def dropout(
    data: T, ratio: Scalar[Floats] | None = None, training_mode: Scalar[Bool] | None = None, *, seed: int | None = None
) -> tuple[TensorType, MayOmit]:
    """data as it is; in training mode, each number times 1 / (1 - ratio), or zero with the probability `ratio` (0.5). The mask tells which were kept."""
    for v, name in ((ratio, "ratio"), (training_mode, "training_mode")):
        expect_shape(v, (), name)
    return same_type(data), TensorType(BOOL, data.shape)


@dropout.gradient
def dropout_gradient(dys, ys, data, ratio, training_mode, **attributes):
    dy, training = dys[0], training_mode and training_mode.known
    if dy is None or training_mode is None or training == (False,):
        return dy, None, None
    share = (0.5,) if ratio is None else ratio.known
    if share is None:
        factor: Any = ops.elementwise.cast_to(ops.elementwise.reciprocal(ops.elementwise.sub(1.0, ratio)), data.dtype)
    else:
        factor = 1 / (1 - share[0]) if share[0] < 1 else 0.0
    scaled = ops.elementwise.mul(dy, factor)
    if training is None:
        scaled = ops.elementwise.where(training_mode, scaled, dy)
    return ops.elementwise.where(ys[1], scaled, 0.0), None, None
