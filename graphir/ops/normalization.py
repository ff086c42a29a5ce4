"""Normalization: operators that shift and scale numbers by their own statistics, and Dropout."""

from typing import Annotated, Any

from ..dims import Dim, Shape
from ..dtypes import BOOL
from ..types import TensorType
from ._elementwise import same_type
from ._op import T1, T2, Bool, DType, Floats, MayOmit, RuleError, T, op
from ._types import FLOAT, FLOAT8, axis_of, expect_shape, fits

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


@op("BatchNormalization", since=15, T=FLOAT, T1=FLOAT, T2=FLOAT)
def batch_normalization(
    x: T, scale: T1, b: T1, input_mean: T2, input_var: T2, *, epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0
) -> tuple[TensorType, TensorType | None, TensorType | None]:
    """(x - mean) / sqrt(var + epsilon) * scale + b for each channel of x (N, C, ...), with the given mean and variance, which come with no more outputs.

    With training_mode, with those of the batch; then the running ones follow: input_mean * momentum + mean * (1 - momentum), and so the variance.
    """
    for v, name in ((scale, "scale"), (b, "b"), (input_mean, "input_mean"), (input_var, "input_var")):
        expect_shape(v, (_channels(x, rank=1),), name)
    return same_type(x), same_type(input_mean) if training_mode else None, same_type(input_var) if training_mode else None


@op("LayerNormalization", since=17, T=FLOAT)
def layer_normalization(
    x: T, scale: T, b: T | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: DType = "float32"
) -> tuple[TensorType, MayOmit, MayOmit]:
    """(x - mean) / sqrt(var + epsilon) * scale + b, with mean and variance over `axis` and those after it; then the mean, and 1 / sqrt(var + epsilon)."""
    first = axis_of(axis, x.rank)
    _expect_fit(scale, x.shape, "scale")
    if b is not None:
        _expect_fit(b, x.shape, "b")
    statistic = TensorType(stash_type, (*x.shape[:first], *(1 for _ in x.shape[first:])))
    return same_type(x), statistic, statistic


@op("RMSNormalization", since=23, T=FLOAT, V=FLOAT)
def rms_normalization(x: T, scale: V, *, axis: int = -1, epsilon: float = 1e-5, stash_type: DType = "float32") -> TensorType:
    """x / sqrt(mean(x^2) + epsilon) * scale, with the mean over `axis` and those after it. The result has the dtype of scale."""
    axis_of(axis, x.rank)
    _expect_fit(scale, x.shape, "scale")
    return TensorType(scale.dtype, x.shape)


@op("InstanceNormalization", since=22, T=FLOAT)
def instance_normalization(input: T, scale: T, b: T, *, epsilon: float = 1e-5) -> TensorType:
    """(x - mean) / sqrt(var + epsilon) * scale + b for each channel of each x in (N, C, ...)."""
    channels = _channels(input)
    expect_shape(scale, (channels,), "scale")
    expect_shape(b, (channels,), "b")
    return same_type(input)


@op("GroupNormalization", since=21, T=FLOAT)
def group_normalization(x: T, scale: T, bias: T, *, num_groups: int, epsilon: float = 1e-5, stash_type: DType = "float32") -> TensorType:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, with mean and variance over each of num_groups parts of the channels of x (N, C, ...)."""
    channels = _channels(x)
    if num_groups < 1 or (isinstance(channels, int) and channels % num_groups):
        raise RuleError(f"num_groups is {num_groups}; expected a divisor of the {channels} channels of x")
    expect_shape(scale, (channels,), "scale")
    expect_shape(bias, (channels,), "bias")
    return same_type(x)


@op("LRN", since=13, T=FLOAT)
def lrn(x: T, *, size: int, alpha: float = 0.0001, beta: float = 0.75, bias: float = 1.0) -> TensorType:
    """x / (bias + alpha / size * s)^beta, where s is the sum of squares over the `size` channels around, in x (N, C, ...)."""
    _channels(x)
    if size < 1:
        raise RuleError(f"size is {size}; expected 1 or more")
    return same_type(x)


@op("LpNormalization", since=22, T=FLOAT)
def lp_normalization(input: T, *, axis: int = -1, p: int = 2) -> TensorType:
    """x divided by its p-norm along `axis`, p being 1 or 2; zeros where the norm is zero."""
    axis_of(axis, input.rank)
    if p not in (1, 2):
        raise RuleError(f"p is {p}; expected 1 or 2")
    return same_type(input)


@op("MeanVarianceNormalization", since=13, T=FLOAT)
def mean_variance_normalization(x: T, *, axes: tuple[int, ...] = (0, 2, 3)) -> TensorType:
    """(x - mean) / (sqrt(var) + 1e-9), with mean and variance over `axes`."""
    for axis in axes:
        axis_of(axis, x.rank, "an axis")
    return same_type(x)


@op("Dropout", since=22, random=True, T=FLOAT | FLOAT8)
def dropout(
    data: T, ratio: Floats | None = None, training_mode: Bool | None = None, *, seed: int | None = None
) -> tuple[TensorType, MayOmit]:
    """data as it is; in training mode, each number times 1 / (1 - ratio), or zero with the probability `ratio` (0.5). The mask tells which were kept."""
    for v, name in ((ratio, "ratio"), (training_mode, "training_mode")):
        expect_shape(v, (), name)
    return same_type(data), TensorType(BOOL, data.shape)
