"""Operators that work number by number: arithmetic, rounding, exponentials, trigonometry, minimum and maximum, casts."""

import math
import operator
from functools import partial

import numpy as np

from ..dtypes import BOOL, DTYPES
from ..ir import Value
from ..types import TensorType
from . import _elementwise as numbers
from ._elementwise import binary, met, unary, variadic
from ._op import T1, T2, DType, RuleError, T, op
from ._types import ANY, ANY_25, BOOLEAN, CLASSIC, COMPLEX, FLOAT, FLOAT8, NUMERIC, SIGNED_INTS, broadcast, computed, dtypes

_unary = partial(unary, __name__)
_binary = partial(binary, __name__)
_variadic = partial(variadic, __name__)

# ---- arithmetic ------------------------------------------------------------------------------------------------------------------------

add = _binary("Add", 14, NUMERIC, "a + b.", operator.add)
sub = _binary("Sub", 14, NUMERIC, "a - b.", operator.sub)
mul = _binary("Mul", 14, NUMERIC, "a * b.", operator.mul)


@op("Div", since=14, T=NUMERIC)
def div(a: T, b: T) -> TensorType:
    """a / b, rounded towards zero for integers."""
    return met(a, b, numbers.exact_quotient if a.dtype in FLOAT else numbers.truncated)


@op("Mod", since=28, T=NUMERIC)
def mod(a: T, b: T, *, fmod: int = 0) -> TensorType:
    """What is left of a after division by b: with the sign of b, or with that of a if fmod is set."""
    return met(a, b, numbers.truncated_remainder if fmod else numbers.remainder)


@op("Pow", since=15, T=FLOAT | dtypes("int32 int64"), T1=NUMERIC)
def pow_(x: T, y: T1) -> TensorType:
    """x to the y, in the dtype of x."""
    return met(x, y)


neg = _unary("Neg", 13, FLOAT | SIGNED_INTS, "-x.", operator.neg)
abs_ = _unary("Abs", 13, NUMERIC, "x without its sign.", numbers.magnitude)
sign = _unary("Sign", 13, NUMERIC, "-1 where x is negative, 1 where it is positive, 0 where it is 0.", numbers.sign_of, "input")
reciprocal = _unary("Reciprocal", 13, FLOAT, "1 / x.")
sqrt = _unary("Sqrt", 13, FLOAT, "The square root of x.")
exp = _unary("Exp", 13, FLOAT, "e to the x.", input="input")
log = _unary("Log", 13, FLOAT, "The natural logarithm of x.", input="input")
erf = _unary("Erf", 13, FLOAT, "The error function of x.", input="input")

# ---- rounding --------------------------------------------------------------------------------------------------------------------------

floor = _unary("Floor", 13, FLOAT, "x rounded down.", numbers.whole(math.floor))
ceil = _unary("Ceil", 13, FLOAT, "x rounded up.", numbers.whole(math.ceil))
round_ = _unary("Round", 22, FLOAT, "x rounded to the nearest whole number, halves to the even one.", numbers.whole(round))

# ---- trigonometry ----------------------------------------------------------------------------------------------------------------------

sin = _unary("Sin", 22, FLOAT, "The sine of x.", input="input")
cos = _unary("Cos", 22, FLOAT, "The cosine of x.", input="input")
tan = _unary("Tan", 22, FLOAT, "The tangent of x.", input="input")
asin = _unary("Asin", 22, FLOAT, "The arcsine of x.", input="input")
acos = _unary("Acos", 22, FLOAT, "The arccosine of x.", input="input")
atan = _unary("Atan", 22, FLOAT, "The arctangent of x.", input="input")
sinh = _unary("Sinh", 22, FLOAT, "The hyperbolic sine of x.", input="input")
cosh = _unary("Cosh", 22, FLOAT, "The hyperbolic cosine of x.", input="input")
tanh = _unary("Tanh", 13, FLOAT, "The hyperbolic tangent of x.", input="input")
asinh = _unary("Asinh", 22, FLOAT, "The inverse hyperbolic sine of x.", input="input")
acosh = _unary("Acosh", 22, FLOAT, "The inverse hyperbolic cosine of x.", input="input")
atanh = _unary("Atanh", 22, FLOAT, "The inverse hyperbolic tangent of x.", input="input")

# ---- several inputs --------------------------------------------------------------------------------------------------------------------

min_ = _variadic("Min", 13, NUMERIC, "The smallest of the inputs; NaN where one is NaN.", numbers.smaller)
max_ = _variadic("Max", 13, NUMERIC, "The largest of the inputs; NaN where one is NaN.", numbers.larger)
sum_ = _variadic("Sum", 13, FLOAT, "The sum of the inputs.")
mean = _variadic("Mean", 13, FLOAT, "The mean of the inputs.")


@op("Where", since=16, T1=BOOLEAN, T=CLASSIC | FLOAT)
def where(condition: T1, x: T, y: T) -> TensorType:
    """x where the condition holds, y elsewhere."""
    shape = broadcast(condition.shape, x.shape, y.shape)
    return TensorType(x.dtype, shape, computed(shape, (condition, x, y), lambda c, a, b: a if c else b))


@op("Clip", since=13, T=NUMERIC)
def clip(input: T, min: T | None = None, max: T | None = None) -> TensorType:
    """input, at least the scalar `min` and at most the scalar `max`; `max` where min > max."""
    if input.known is None:
        return input.type
    known = input.known
    if min is not None:
        known = computed(input.shape, (input, min), numbers.larger)
    if max is not None and known is not None:
        known = computed(input.shape, (Value("", TensorType(input.dtype, input.shape, known)), max), numbers.smaller)
    return TensorType(input.dtype, input.shape, known)


# ---- types -----------------------------------------------------------------------------------------------------------------------------


@op("Identity", since=25)
def identity(input: Value) -> TensorType:
    """input: a tensor, a sequence or an optional."""
    return input.type


CASTABLE = ANY - COMPLEX
CASTABLE_25 = ANY_25 - COMPLEX


@op("Cast", since=28, T1=CASTABLE, T2=CASTABLE)
def cast(input: T1, *, to: DType, saturate: int = 1, round_mode: str = "up") -> TensorType:
    """input in the dtype `to`. Too large for a float8 becomes the largest it has, or with saturate=0 an infinity or NaN.

    round_mode: how numbers become float8_e8m0fnu: up, down or nearest.
    """
    if DTYPES[to] not in CASTABLE:
        raise RuleError(f"to is {to}; expected a real dtype or string")
    return _cast(input, DTYPES[to], round_mode)


@op("CastLike", since=25, T1=CASTABLE_25, T2=CASTABLE_25)
def cast_like(input: T1, target_type: T2, *, saturate: int = 1, round_mode: str = "up") -> TensorType:
    """input in the dtype of target_type, as Cast makes it."""
    return _cast(input, target_type.dtype, round_mode)


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
def is_inf(x: T1, *, detect_negative: int = 1, detect_positive: int = 1) -> TensorType:
    """Whether x is infinite, of the signs that are asked for."""
    return TensorType(BOOL, x.type.shape)
