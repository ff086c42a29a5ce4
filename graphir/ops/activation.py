"""Activations: what stands between the layers of a network."""

import math
from functools import partial

from ..types import TensorType
from ._elementwise import same_type, unary
from ._op import RuleError, T, op
from ._types import FLOAT, IEEE, INTS, SIGNED_INTS, WIDE_INTS, axis_of, fits
from .elementwise import abs_, add, clip, div, erf, mul, tanh

_unary = partial(unary, __name__)

# ---- rectifiers ------------------------------------------------------------------------------------------------------------------------

relu = _unary("Relu", 14, FLOAT | SIGNED_INTS, "max(x, 0).")


@op("LeakyRelu", since=16, T=FLOAT)
def leaky_relu(x: T, *, alpha: float = 0.01) -> TensorType:
    """x where it is positive, alpha * x elsewhere."""
    return same_type(x)


@op("PRelu", since=16, T=FLOAT | WIDE_INTS)
def prelu(x: T, slope: T) -> TensorType:
    """x where it is positive, slope * x elsewhere; slope broadcasts to the shape of x."""
    if not fits(slope.shape, x.shape):
        raise RuleError(f"slope has shape {list(slope.shape)}, which does not broadcast to {list(x.shape)}, the shape of x")
    return same_type(x)


@op("Elu", since=22, T=FLOAT)
def elu(x: T, *, alpha: float = 1.0) -> TensorType:
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    return same_type(x)


@op("Selu", since=22, T=FLOAT)
def selu(x: T, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> TensorType:
    """gamma * x where it is positive, gamma * alpha * (exp(x) - 1) elsewhere."""
    return same_type(x)


@selu.decompose
def _selu(x, *, alpha, gamma):
    return mul(elu(x, alpha=alpha), gamma)


@op("Celu", since=28, T=FLOAT)
def celu(x: T, *, alpha: float = 1.0) -> TensorType:
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere."""
    return same_type(x)


@celu.decompose
def _celu(x, *, alpha):
    return mul(elu(div(x, alpha)), alpha)


@op("ThresholdedRelu", since=22, T=FLOAT)
def thresholded_relu(x: T, *, alpha: float = 1.0) -> TensorType:
    """x where it is more than alpha, 0 elsewhere."""
    return same_type(x)


@op("Shrink", since=9, T=IEEE | INTS)
def shrink(input: T, *, bias: float = 0.0, lambd: float = 0.5) -> TensorType:
    """input + bias where it is less than -lambd, input - bias where it is more than lambd, 0 between."""
    return same_type(input)


# ---- sigmoids --------------------------------------------------------------------------------------------------------------------------

sigmoid = _unary("Sigmoid", 13, FLOAT, "1 / (1 + exp(-x)).")
softplus = _unary("Softplus", 22, FLOAT, "log(1 + exp(x)).")
softsign = _unary("Softsign", 22, FLOAT, "x / (1 + abs(x)).", input="input")
hard_swish = _unary("HardSwish", 22, FLOAT, "x times HardSigmoid of x, with alpha 1/6.")
mish = _unary("Mish", 22, FLOAT, "x * tanh(softplus(x)).")


@softsign.decompose
def _softsign(input):
    return div(input, add(abs_(input), 1.0))


@op("HardSigmoid", since=22, T=FLOAT)
def hard_sigmoid(x: T, *, alpha: float = 0.2, beta: float = 0.5) -> TensorType:
    """alpha * x + beta, between 0 and 1."""
    return same_type(x)


@hard_sigmoid.decompose
def _hard_sigmoid(x, *, alpha, beta):
    return clip(add(mul(x, alpha), beta), 0.0, 1.0)


@hard_swish.decompose
def _hard_swish(x):
    return mul(x, clip(add(div(x, 6.0), 0.5), 0.0, 1.0))


@mish.decompose
def _mish(x):
    return mul(x, tanh(softplus(x)))


@op("Swish", since=24, T=FLOAT)
def swish(x: T, *, alpha: float = 1.0) -> TensorType:
    """x * sigmoid(alpha * x)."""
    return same_type(x)


@swish.decompose
def _swish(x, *, alpha):
    return mul(x, sigmoid(x if alpha == 1 else mul(x, alpha)))


@op("Gelu", since=20, T=FLOAT)
def gelu(x: T, *, approximate: str = "none") -> TensorType:
    """x times the probability that a normal variable is less than x: exactly (none), or by a tanh that comes close (tanh)."""
    if approximate not in ("none", "tanh"):
        raise RuleError(f"approximate is {approximate!r}; expected none or tanh")
    return same_type(x)


@gelu.decompose
def _gelu(x, *, approximate):
    if approximate == "none":
        bell = erf(mul(x, math.sqrt(0.5)))
    else:
        bell = tanh(mul(add(x, mul(mul(mul(x, x), x), 0.044715)), math.sqrt(2 / math.pi)))
    return mul(mul(x, 0.5), add(bell, 1.0))


# ---- along an axis ---------------------------------------------------------------------------------------------------------------------


@op("Softmax", since=13, T=FLOAT)
def softmax(input: T, *, axis: int = -1) -> TensorType:
    """exp(input), divided by its sum along the axis."""
    axis_of(axis, input.rank)
    return same_type(input)


@op("LogSoftmax", since=13, T=FLOAT)
def log_softmax(input: T, *, axis: int = -1) -> TensorType:
    """The logarithm of Softmax."""
    axis_of(axis, input.rank)
    return same_type(input)


@op("Hardmax", since=13, T=FLOAT)
def hardmax(input: T, *, axis: int = -1) -> TensorType:
    """1 where the axis has its first largest element, 0 elsewhere."""
    axis_of(axis, input.rank)
    return same_type(input)
