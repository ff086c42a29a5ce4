"""Activations: what stands between the layers of a network."""

import math
from functools import partial

from ..types import TensorType
from ._elementwise import same_type, unary
from ._gradient import declare_none, non_default
from ._op import RuleError, T, op
from ._types import FLOAT, IEEE, INTS, SIGNED_INTS, WIDE_INTS, axis_of, differ, fits
from .elementwise import abs_, add, clip, div, erf, exp, is_nan, mul, sub, tanh, where
from .logic import and_, greater, less
from .reduce import reduce_sum

_unary = partial(unary, __name__)

# ---- rectifiers ------------------------------------------------------------------------------------------------------------------------

relu = _unary("Relu", 14, FLOAT | SIGNED_INTS, "max(x, 0).", gradient=lambda dy, y, x: where(greater(y, 0.0), dy, 0.0))


@op("LeakyRelu", since=16, T=FLOAT)
def leaky_relu(x: T, *, alpha: float = 0.01) -> TensorType:
    """x where it is positive, alpha * x elsewhere."""
    return same_type(x)


@leaky_relu.gradient
def leaky_relu_gradient(dy, y, x, *, alpha):
    return where(greater(x, 0.0), dy, mul(dy, alpha))


@op("PRelu", since=16, T=FLOAT | WIDE_INTS)
def prelu(x: T, slope: T) -> TensorType:
    """x where it is positive, slope * x elsewhere; slope broadcasts to the shape of x."""
    if not fits(slope.shape, x.shape):
        raise RuleError(f"slope has shape {list(slope.shape)}, which does not broadcast to {list(x.shape)}, the shape of x")
    return same_type(x)


@prelu.gradient
def prelu_gradient(dy, y, x, slope):
    positive = greater(x, 0.0)
    return where(positive, dy, mul(dy, slope)), where(positive, 0.0, mul(dy, x))


@op("Elu", since=22, T=FLOAT)
def elu(x: T, *, alpha: float = 1.0) -> TensorType:
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    return same_type(x)


@elu.gradient
def elu_gradient(dy, y, x, *, alpha):
    return mul(dy, where(greater(x, 0.0), 1.0, add(y, alpha)))


@op("Selu", since=22, T=FLOAT)
def selu(x: T, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> TensorType:
    """gamma * x where it is positive, gamma * alpha * (exp(x) - 1) elsewhere."""
    return same_type(x)


@selu.gradient
def selu_gradient(dy, y, x, *, alpha, gamma):
    return mul(dy, where(greater(x, 0.0), gamma, add(y, gamma * alpha)))


@selu.decompose
def _selu(x, *, alpha, gamma):
    return mul(elu(x, alpha=alpha), gamma)


@op("Celu", since=28, T=FLOAT)
def celu(x: T, *, alpha: float = 1.0) -> TensorType:
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere."""
    return same_type(x)


@celu.gradient
def celu_gradient(dy, y, x, *, alpha):
    return mul(dy, where(greater(x, 0.0), 1.0, add(div(y, alpha), 1.0)))


@celu.decompose
def _celu(x, *, alpha):
    return mul(elu(div(x, alpha)), alpha)


@op("ThresholdedRelu", since=22, T=FLOAT)
def thresholded_relu(x: T, *, alpha: float = 1.0) -> TensorType:
    """x where it is more than alpha, 0 elsewhere."""
    return same_type(x)


@thresholded_relu.gradient
def thresholded_relu_gradient(dy, y, x, *, alpha):
    return where(greater(x, alpha), dy, 0.0)


@op("Shrink", since=9, T=IEEE | INTS)
def shrink(input: T, *, bias: float = 0.0, lambd: float = 0.5) -> TensorType:
    """input + bias where it is less than -lambd, input - bias where it is more than lambd, 0 between."""
    return same_type(input)


@shrink.gradient
def shrink_gradient(dy, y, input, *, lambd, **attributes):
    return where(greater(abs_(input), lambd), dy, 0.0)


# ---- sigmoids --------------------------------------------------------------------------------------------------------------------------

sigmoid = _unary("Sigmoid", 13, FLOAT, "1 / (1 + exp(-x)).", gradient=lambda dy, y, x: mul(dy, mul(y, sub(1.0, y))))
softplus = _unary("Softplus", 22, FLOAT, "log(1 + exp(x)).", gradient=lambda dy, y, x: mul(dy, sigmoid(x)))
softsign = _unary("Softsign", 22, FLOAT, "x / (1 + abs(x)).", input="input")
hard_swish = _unary("HardSwish", 22, FLOAT, "x times HardSigmoid of x, with alpha 1/6.")
mish = _unary("Mish", 22, FLOAT, "x * tanh(softplus(x)).")


@softsign.gradient
def softsign_gradient(dy, y, x):
    divisor = add(abs_(x), 1.0)
    return div(div(dy, divisor), divisor)


@softsign.decompose
def _softsign(input):
    return div(input, add(abs_(input), 1.0))


@op("HardSigmoid", since=22, T=FLOAT)
def hard_sigmoid(x: T, *, alpha: float = 0.2, beta: float = 0.5) -> TensorType:
    """alpha * x + beta, between 0 and 1."""
    return same_type(x)


@hard_sigmoid.gradient
def hard_sigmoid_gradient(dy, y, x, *, alpha, beta):
    return where(and_(greater(y, 0.0), less(y, 1.0)), mul(dy, alpha), 0.0)


@hard_sigmoid.decompose
def _hard_sigmoid(x, *, alpha, beta):
    return clip(add(mul(x, alpha), beta), 0.0, 1.0)


@hard_swish.gradient
def hard_swish_gradient(dy, y, x):
    slope = where(less(x, 3.0), add(div(x, 3.0), 0.5), 1.0)
    return mul(dy, where(greater(x, -3.0), slope, 0.0))


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


@swish.gradient
def swish_gradient(dy, y, x, *, alpha):
    scaled = y if alpha == 1 else mul(y, alpha)
    s = sigmoid(x if alpha == 1 else mul(x, alpha))
    return mul(dy, add(s, mul(scaled, sub(1.0, s))))


@swish.decompose
def _swish(x, *, alpha):
    return mul(x, sigmoid(x if alpha == 1 else mul(x, alpha)))


@op("SwiGLU", since=28, T=FLOAT)
def swi_glu(a: T, b: T, *, alpha: float = 1.0) -> TensorType:
    """Swish of a, times b, which has the shape of a."""
    if differ(a.shape, b.shape):
        raise RuleError(f"a has shape {list(a.shape)} and b {list(b.shape)}; expected one shape, for nothing is broadcast")
    return same_type(a)


@swi_glu.gradient
def swi_glu_gradient(dy, y, a, b, *, alpha):
    s = sigmoid(a if alpha == 1 else mul(a, alpha))
    gate = mul(a, s)
    slope = add(s, mul(gate if alpha == 1 else mul(gate, alpha), sub(1.0, s)))
    return mul(dy, mul(b, slope)), mul(dy, gate)


@swi_glu.decompose
def _swi_glu(a, b, *, alpha):
    return mul(swish(a, **non_default(swish, alpha=alpha)), b)


@op("Gelu", since=20, T=FLOAT)
def gelu(x: T, *, approximate: str = "none") -> TensorType:
    """x times the probability that a normal variable is less than x: exactly (none), or by a tanh that comes close (tanh)."""
    if approximate not in ("none", "tanh"):
        raise RuleError(f"approximate is {approximate!r}; expected none or tanh")
    return same_type(x)


@gelu.gradient
def gelu_gradient(dy, y, x, *, approximate):
    if approximate == "tanh":
        x = clip(x, -16.0, 16.0)  # beyond, the slope is 0 or 1, and the cube overflows
    square = mul(x, x)
    if approximate == "none":
        below = add(mul(erf(mul(x, math.sqrt(0.5))), 0.5), 0.5)
        return mul(dy, add(below, mul(x, mul(exp(mul(square, -0.5)), math.sqrt(0.5 / math.pi)))))
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    bell = tanh(mul(x, add(mul(square, scale * cubic), scale)))
    slope = add(mul(square, 3 * scale * cubic), scale)
    return mul(dy, mul(add(mul(bell, 0.5), 0.5), add(mul(mul(x, sub(1.0, bell)), slope), 1.0)))


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


@softmax.gradient
def softmax_gradient(dy, y, input, *, axis):
    y = where(is_nan(y), 0.0, y)  # a row of nothing but -inf has no softmax, and must not spoil the gradients of others
    return mul(y, sub(dy, reduce_sum(mul(dy, y), [axis], keepdims=1)))


@op("LogSoftmax", since=13, T=FLOAT)
def log_softmax(input: T, *, axis: int = -1) -> TensorType:
    """The logarithm of Softmax."""
    axis_of(axis, input.rank)
    return same_type(input)


@log_softmax.gradient
def log_softmax_gradient(dy, y, input, *, axis):
    y = where(is_nan(y), -math.inf, y)  # as in Softmax
    return sub(dy, mul(exp(y), reduce_sum(dy, [axis], keepdims=1)))


@op("Hardmax", since=13, T=FLOAT)
def hardmax(input: T, *, axis: int = -1) -> TensorType:
    """1 where the axis has its first largest element, 0 elsewhere."""
    axis_of(axis, input.rank)
    return same_type(input)


declare_none(hardmax)
