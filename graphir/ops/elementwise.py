"""Operators that work number by number: arithmetic, rounding, exponentials, trigonometry, minimum and maximum, casts."""

import math
import operator
from functools import partial

import numpy as np

import graphir.ops as ops

from ..dtypes import BITS, BOOL, DTYPES, FLOATS, NAMES, SMALL_FLOATS
from ..ir import Value
from ..types import TensorType
from . import _elementwise as numbers
from ._elementwise import binary, met, unary, variadic
from ._gradient import CONVERTING, declare_none, is_float
from ._op import T1, T2, DType, Flag, RuleError, Scalar, T, op
from ._straight import where_within
from ._types import ANY, ANY_25, BOOLEAN, CLASSIC, COMPLEX, FLOAT, FLOAT8, NUMERIC, SIGNED_INTS, STRINGS, broadcast, computed, dtypes

_unary = partial(unary, __name__)
_binary = partial(binary, __name__)
_variadic = partial(variadic, __name__)

# ---- arithmetic ------------------------------------------------------------------------------------------------------------------------

add = _binary("Add", 14, NUMERIC, "a + b.", operator.add, gradient=lambda dy, y, a, b: (dy, dy))
sub = _binary("Sub", 14, NUMERIC, "a - b.", operator.sub, gradient=lambda dy, y, a, b: (dy, neg(dy)))
mul = _binary("Mul", 14, NUMERIC, "a * b.", operator.mul, gradient=lambda dy, y, a, b: (mul(dy, b), mul(dy, a)))


@op("Div", since=14, T=NUMERIC)
def div(a: T, b: T) -> TensorType:
    """a / b, rounded towards zero for integers."""
    return met(a, b, numbers.exact_quotient if a.dtype in FLOAT else numbers.truncated)


@div.gradient
def div_gradient(dy, y, a, b):
    da = div(dy, b)
    return da, neg(mul(da, y))


@op("Mod", since=28, T=NUMERIC)
def mod(a: T, b: T, *, fmod: Flag = 0) -> TensorType:
    """What is left of a after division by b: with the sign of b, or with that of a if fmod is set."""
    return met(a, b, numbers.truncated_remainder if fmod else numbers.remainder)


@mod.gradient
def mod_gradient(dy, y, a, b, **attributes):
    quotient = round_(div(sub(a, y), b))  # whole but for rounding, whichever the mode
    return dy, neg(mul(dy, quotient))


@op("Pow", since=15, T=FLOAT | dtypes("int32 int64"), T1=NUMERIC)
def pow_(x: T, y: T1) -> TensorType:
    """x to the y, in the dtype of x."""
    return met(x, y)


@pow_.gradient
def pow_gradient(dy, power, x, y):
    exponent = cast_to(y, x.dtype)
    if not is_float(y):
        return _pow_gradient_x(dy, x, exponent), None
    at_zero = ops.logic.and_(ops.logic.equal(x, 0.0), ops.logic.greater_or_equal(exponent, 0.0))
    slope = mul(power, log(where(at_zero, 1.0, x)))  # 0 where 0^y does not change with y
    return _pow_gradient_x(dy, x, exponent), cast_gradient(mul(dy, slope), power, y)


def _pow_gradient_x(dy: Value, x: Value, y: Value) -> Value | None:
    """dy * y * x^(y - 1), and 0 where y is 0."""
    n = y.known[0] if y.known is not None and len(y.known) == 1 else None
    if n == 0:
        return None
    if n == 1:
        return dy
    if n == 2:
        return mul(dy, mul(x, 2.0))
    if isinstance(n, int | float):
        return mul(dy, mul(pow_(x, x.graph.number(n - 1, x.dtype)), n))
    both = ops.logic.and_(ops.logic.equal(x, 0.0), ops.logic.equal(y, 0.0))  # 0 * 0^-1 is no number
    return mul(dy, mul(y, pow_(where(both, 1.0, x), sub(y, 1.0))))


neg = _unary("Neg", 13, FLOAT | SIGNED_INTS, "-x.", operator.neg, gradient=lambda dy, y, x: neg(dy))
abs_ = _unary("Abs", 13, NUMERIC, "x without its sign.", numbers.magnitude, gradient=lambda dy, y, x: mul(dy, sign(x)))
sign = _unary("Sign", 13, NUMERIC, "-1 where x is negative, 1 where it is positive, 0 where it is 0.", numbers.sign_of, "input")
reciprocal = _unary("Reciprocal", 13, FLOAT, "1 / x.", gradient=lambda dy, y, x: neg(mul(dy, mul(y, y))))
sqrt = _unary("Sqrt", 13, FLOAT, "The square root of x.", gradient=lambda dy, y, x: div(dy, mul(y, 2.0)))
exp = _unary("Exp", 13, FLOAT, "e to the x.", input="input", gradient=lambda dy, y, x: mul(dy, y))
log = _unary("Log", 13, FLOAT, "The natural logarithm of x.", input="input", gradient=lambda dy, y, x: div(dy, x))
erf = _unary("Erf", 13, FLOAT, "The error function of x.", input="input", gradient=lambda dy, y, x: mul(dy, mul(exp(neg(mul(x, x))), 2 / math.sqrt(math.pi))))  # fmt: skip

# ---- rounding --------------------------------------------------------------------------------------------------------------------------

floor = _unary("Floor", 13, FLOAT, "x rounded down.", numbers.whole(math.floor))
ceil = _unary("Ceil", 13, FLOAT, "x rounded up.", numbers.whole(math.ceil))
round_ = _unary("Round", 22, FLOAT, "x rounded to the nearest whole number, halves to the even one.", numbers.whole(round))

# ---- trigonometry ----------------------------------------------------------------------------------------------------------------------

sin = _unary("Sin", 22, FLOAT, "The sine of x.", input="input", gradient=lambda dy, y, x: mul(dy, cos(x)))
cos = _unary("Cos", 22, FLOAT, "The cosine of x.", input="input", gradient=lambda dy, y, x: neg(mul(dy, sin(x))))
tan = _unary("Tan", 22, FLOAT, "The tangent of x.", input="input", gradient=lambda dy, y, x: mul(dy, add(mul(y, y), 1.0)))
asin = _unary("Asin", 22, FLOAT, "The arcsine of x.", input="input", gradient=lambda dy, y, x: div(dy, sqrt(sub(1.0, mul(x, x)))))
acos = _unary("Acos", 22, FLOAT, "The arccosine of x.", input="input", gradient=lambda dy, y, x: neg(div(dy, sqrt(sub(1.0, mul(x, x))))))
atan = _unary("Atan", 22, FLOAT, "The arctangent of x.", input="input", gradient=lambda dy, y, x: div(dy, add(mul(x, x), 1.0)))
sinh = _unary("Sinh", 22, FLOAT, "The hyperbolic sine of x.", input="input", gradient=lambda dy, y, x: mul(dy, cosh(x)))
cosh = _unary("Cosh", 22, FLOAT, "The hyperbolic cosine of x.", input="input", gradient=lambda dy, y, x: mul(dy, sinh(x)))
tanh = _unary("Tanh", 13, FLOAT, "The hyperbolic tangent of x.", input="input", gradient=lambda dy, y, x: mul(dy, sub(1.0, mul(y, y))))
asinh = _unary("Asinh", 22, FLOAT, "The inverse hyperbolic sine of x.", input="input", gradient=lambda dy, y, x: div(dy, _root_of_square(x, 1.0)))  # fmt: skip
acosh = _unary("Acosh", 22, FLOAT, "The inverse hyperbolic cosine of x.", input="input", gradient=lambda dy, y, x: div(dy, _root_of_square(x, -1.0)))  # fmt: skip
atanh = _unary("Atanh", 22, FLOAT, "The inverse hyperbolic tangent of x.", input="input", gradient=lambda dy, y, x: div(dy, sub(1.0, mul(x, x))))  # fmt: skip


def _root_of_square(x: Value, more: float) -> Value:
    """sqrt(x * x + more), by way of float32 where in 16 bits the square would overflow."""
    if x.dtype.itemsize < 4:
        return cast(_root_of_square(cast(x, to="float32"), more), to=NAMES[x.dtype])
    return sqrt(add(mul(x, x), more))


# ---- several inputs --------------------------------------------------------------------------------------------------------------------


def _extreme_gradient(dy, y, *data):
    """The inputs that are y share dy."""
    if len(data) == 1:
        return dy
    found = [ops.logic.equal(x, y) for x in data]
    share = div(dy, sum_(*(cast(x, to=NAMES[dy.dtype]) for x in found)))
    return [where(x, share, 0.0) for x in found]


min_ = _variadic("Min", 13, NUMERIC, "The smallest of the inputs; NaN where one is NaN.", numbers.smaller, gradient=_extreme_gradient)
max_ = _variadic("Max", 13, NUMERIC, "The largest of the inputs; NaN where one is NaN.", numbers.larger, gradient=_extreme_gradient)
sum_ = _variadic("Sum", 13, FLOAT, "The sum of the inputs.", gradient=lambda dy, y, *data: [dy] * len(data))
mean = _variadic("Mean", 13, FLOAT, "The mean of the inputs.", gradient=lambda dy, y, *data: [div(dy, len(data))] * len(data))


@op("Where", since=16, T1=BOOLEAN, T=CLASSIC | FLOAT)
def where(condition: T1, x: T, y: T) -> TensorType:
    """x where the condition holds, y elsewhere."""
    shape = broadcast(condition.shape, x.shape, y.shape)
    return TensorType(x.dtype, shape, computed(shape, (condition, x, y), lambda c, a, b: a if c else b))


@where.gradient
def where_gradient(dy, y, condition, x, other):
    return None, where(condition, dy, 0.0), where(condition, 0.0, dy)


@op("Clip", since=13, T=NUMERIC)
def clip(input: T, min: Scalar[T] | None = None, max: Scalar[T] | None = None) -> TensorType:
    """input, at least the scalar `min` and at most the scalar `max`; `max` where min > max."""
    if input.known is None:
        return input.type
    known = input.known
    if min is not None:
        known = computed(input.shape, (input, min), numbers.larger)
    if max is not None and known is not None:
        known = computed(input.shape, (Value("", TensorType(input.dtype, input.shape, known)), max), numbers.smaller)
    return TensorType(input.dtype, input.shape, known)


@clip.gradient
def clip_gradient(dy, y, input, min, max):
    kept, raised, lowered = ops.logic.equal(input, y), ops.logic.less(input, y), ops.logic.greater(input, y)
    crossed = None if min is None or max is None else ops.logic.greater(min, max)
    if crossed is not None and crossed.known != (False,):  # where min > max, y is max everywhere
        kept, raised, lowered = *(ops.logic.and_(v, ops.logic.not_(crossed)) for v in (kept, raised)), ops.logic.or_(lowered, crossed)
    return where(kept, dy, 0.0), min and where(raised, dy, 0.0), max and where(lowered, dy, 0.0)


# ---- types -----------------------------------------------------------------------------------------------------------------------------


@op("Identity", since=25)
def identity(input: Value) -> TensorType:
    """input: a tensor, a sequence or an optional."""
    return input.type


@identity.gradient
def identity_gradient(dy, y, input):
    return dy


CASTABLE = ANY - COMPLEX
CASTABLE_25 = ANY_25 - COMPLEX


@op("Cast", since=28, T1=CASTABLE, T2=CASTABLE)
def cast(input: T1, *, to: DType, saturate: Flag = 1, round_mode: str = "up") -> TensorType:
    """input in the dtype `to`. Too large for a float8 becomes the largest it has, or with saturate=0 an infinity or NaN.

    round_mode: how numbers become float8_e8m0fnu: up, down or nearest.
    """
    if DTYPES[to] not in CASTABLE:
        raise RuleError(f"to is {to}; expected a real dtype or string")
    return _cast(input, DTYPES[to], round_mode)


def cast_to(x: Value, dtype: np.dtype) -> Value:
    """x in a dtype: itself, where that is its own."""
    return x if x.dtype == dtype else cast(x, to=NAMES[dtype])


@cast.gradient
def cast_gradient(dy, y, input, saturate=1, **attributes):
    if input.dtype in SMALL_FLOATS or input.dtype not in FLOATS:
        return dy
    dx = cast_to(dy, input.dtype)
    return where_within(dx, input, y.dtype) if y.dtype in SMALL_FLOATS and saturate else dx


@op("CastLike", since=25, T1=CASTABLE_25, T2=CASTABLE_25)
def cast_like(input: T1, target_type: T2, *, saturate: Flag = 1, round_mode: str = "up") -> TensorType:
    """input in the dtype of target_type, as Cast makes it."""
    return _cast(input, target_type.dtype, round_mode)


@cast_like.gradient
def cast_like_gradient(dy, y, input, target_type, **attributes):
    return cast_gradient(dy, y, input, **attributes), None


BITWISE = ANY_25 - STRINGS


@op("BitCast", since=26, T1=BITWISE)
def bit_cast(input: T1, *, to: DType) -> TensorType:
    """The bits of each number, read as a number of the dtype `to`, which is as wide."""
    dtype = DTYPES[to]
    if dtype not in BITWISE or BITS[dtype] != BITS[input.dtype]:
        raise RuleError(f"to is {to}; expected a dtype of {BITS[input.dtype]} bits, as input has, and no string")
    return input.type if dtype == input.dtype else TensorType(dtype, input.type.shape)


def _cast(input: Value, to: np.dtype, round_mode: str) -> TensorType:
    if round_mode not in ("up", "down", "nearest"):
        raise RuleError(f"round_mode is {round_mode!r}; expected up, down or nearest")
    if input.dtype == to:
        return input.type
    shape = input.type.shape
    return TensorType(to, shape, None if shape is None else computed(shape, (input,), numbers.cast_to(to), to))


@op("IsNaN", since=20, T1=FLOAT | FLOAT8)
def is_nan(x: T1) -> TensorType:
    """Whether x is not a number."""
    return TensorType(BOOL, x.type.shape)


@op("IsInf", since=20, T1=FLOAT | FLOAT8)
def is_inf(x: T1, *, detect_negative: Flag = 1, detect_positive: Flag = 1) -> TensorType:
    """Whether x is infinite, of the signs that are asked for."""
    return TensorType(BOOL, x.type.shape)


CONVERTING.update((cast, cast_like))
declare_none(sign, floor, ceil, round_, bit_cast, is_nan, is_inf)
