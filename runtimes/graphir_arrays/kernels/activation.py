"""Kernels of graphir.ops.activation. Those on the way of every network write onto their result from the second pass on."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ..kernel import Bound, Prepared, Site, prepared
from ..precision import in_single

LARGE = 4096  # elements from which on `clip` beats `maximum` with a scalar, which NumPy does not vectorize


def _inplace(function: Callable[..., Any]) -> Prepared:
    """The kernel `function`, which reads its input before it writes there: its result may take the input's place."""
    return in_single(Prepared(lambda site: Bound(partial(function, site.xp, **site.attributes), out=True, inplace=True)))


# ---- rectifiers ------------------------------------------------------------------------------------------------------------------------


@prepared
def relu(site: Site) -> Bound:
    x: Any = site.inputs[0]
    if x.dtype.kind == "f" and math.prod(x.shape) >= LARGE:
        return Bound(lambda x, out=None: x.clip(0.0, math.inf, out), out=True, inplace=True)
    return Bound(partial(site.xp.maximum, site.xp.zeros((), x.dtype)), out=True, inplace=True)


@in_single
@prepared
def leaky_relu(site: Site) -> Bound:
    """With alpha between 0 and 1, x or alpha * x is right, whichever is larger."""
    xp, alpha = site.xp, site.attributes["alpha"]
    if 0 < alpha <= 1:
        return Bound(lambda x, out=None: xp.maximum(x, xp.multiply(x, alpha, out=out), out=out), out=True)
    return Bound(lambda x: xp.where(x > 0, x, x * alpha))


@in_single
def prelu(xp, x, slope):
    return xp.where(x > 0, x, x * slope)


@in_single
def elu(xp, x, *, alpha):
    below = alpha * _expm1(xp, xp.minimum(x, 0))
    return xp.maximum(x, 0) + below if math.isfinite(alpha) else xp.where(x >= 0, x, below)


@in_single
def selu(xp, x, *, alpha, gamma):
    return gamma * (xp.maximum(x, 0) + alpha * _expm1(xp, xp.minimum(x, 0)))


@in_single
def celu(xp, x, *, alpha):
    return xp.maximum(x, 0) + xp.minimum(0, alpha * _expm1(xp, x / alpha))


def _expm1(xp: Any, x: Any) -> Any:
    """exp(x) - 1 as tanh(x/2) * (exp(x) + 1): exact near 0, too, and of functions that NumPy vectorizes, as it does not expm1."""
    return xp.tanh(x * 0.5) * (xp.exp(x) + 1)


@in_single
def thresholded_relu(xp, x, *, alpha):
    return xp.where(x > alpha, x, xp.zeros((), x.dtype))


@in_single
def shrink(xp, input, *, bias, lambd):
    moved = xp.where(input < -lambd, input + bias, xp.where(input > lambd, input - bias, 0))
    return moved.astype(input.dtype)


# ---- sigmoids --------------------------------------------------------------------------------------------------------------------------


@_inplace
def sigmoid(xp, x, out=None):
    """exp(-x) may overflow to infinity, of which the reciprocal is 0, as it should be."""
    y = xp.negative(x, out=xp.empty_like(x) if out is None else out)
    xp.exp(y, out=y)
    xp.add(y, 1, out=y)
    return xp.reciprocal(y, out=y)


@in_single
def softplus(xp, x):
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.absolute(x)))


@in_single
def softsign(xp, input, *, out=None):
    y = xp.absolute(input, out=xp.empty_like(input) if out is None else out)
    xp.add(y, 1, out=y)
    return xp.divide(input, y, out=y)


@_inplace
def hard_sigmoid(xp, x, *, alpha, beta, out=None):
    y = xp.multiply(x, alpha, out=xp.empty_like(x) if out is None else out)
    xp.add(y, beta, out=y)
    return y.clip(0.0, 1.0, y)


@in_single
def hard_swish(xp, x, *, out=None):
    y = xp.divide(x, 6, out=xp.empty_like(x) if out is None else out)
    xp.add(y, 0.5, out=y)
    y.clip(0.0, 1.0, y)
    return xp.multiply(x, y, out=y)


@in_single
def mish(xp, x):
    """tanh(log(1 + e)) is n / (n + 2) with n = e * (e + 2), where e = exp(x); beyond 20 it is 1 in float32, beyond 40 in float64."""
    e = xp.exp(xp.minimum(x, 40))
    n = e * (e + 2)
    return x * (n / (n + 2))


@in_single
def swish(xp, x, *, alpha, out=None):
    y = xp.multiply(x, -alpha, out=xp.empty_like(x) if out is None else out)
    xp.exp(y, out=y)
    xp.add(y, 1, out=y)
    return xp.divide(x, y, out=y)


@in_single
def swi_glu(xp, a, b, *, alpha, out=None):
    y = xp.multiply(a, -alpha, out=xp.empty_like(a) if out is None else out)
    xp.exp(y, out=y)
    xp.add(y, 1, out=y)
    xp.divide(a, y, out=y)
    return xp.multiply(y, b, out=y)


@in_single
def gelu(xp, x, *, approximate, out=None):
    y = xp.empty_like(x) if out is None else out
    if approximate == "tanh":
        xp.square(x, out=y)
        xp.multiply(y, 0.044715 * math.sqrt(2 / math.pi), out=y)
        xp.add(y, math.sqrt(2 / math.pi), out=y)
        xp.multiply(y, x, out=y)
        xp.tanh(y, out=y)
    else:
        xp.multiply(x, math.sqrt(0.5), out=y)
        xp.special.erf(y, out=y)
    xp.add(y, 1, out=y)
    xp.multiply(y, 0.5, out=y)
    return xp.multiply(x, y, out=y)


# ---- along an axis ---------------------------------------------------------------------------------------------------------------------


@_inplace
def softmax(xp, input, *, axis, out=None):
    y = _below_largest(xp, input, axis, out)
    xp.exp(y, out=y)
    return xp.divide(y, xp.add.reduce(y, axis=axis, keepdims=True), out=y)


@_inplace
def log_softmax(xp, input, *, axis, out=None):
    y = _below_largest(xp, input, axis, out)
    return xp.subtract(y, xp.log(xp.add.reduce(xp.exp(y), axis=axis, keepdims=True)), out=y)


def _below_largest(xp: Any, x: Any, axis: int, out: Any) -> Any:
    """x less its largest element along the axis, so that no exponential overflows."""
    largest = xp.maximum.reduce(x, axis=axis, keepdims=True, initial=-math.inf)
    return xp.subtract(x, largest, out=xp.empty_like(x) if out is None else out)


def hardmax(xp, input, *, axis):
    if not input.size:
        return xp.zeros_like(input)
    places = xp.arange(input.shape[axis]).reshape([-1] + [1] * (input.ndim - 1 - axis % input.ndim))
    return (places == xp.argmax(input, axis=axis, keepdims=True)).astype(input.dtype)
