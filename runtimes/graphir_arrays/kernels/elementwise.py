"""Kernels of graphir.ops.elementwise."""

import math
from functools import partial
from typing import Any

from graphir.dtypes import BFLOAT16, BOOL, DTYPES, FLOATS, INTEGERS

from ..kernel import Bound, Prepared, Site, prepared, ufunc, view
from ..precision import in_single
from ._cast import caster

# ---- arithmetic ------------------------------------------------------------------------------------------------------------------------

add = ufunc("add")
sub = ufunc("subtract")
mul = ufunc("multiply")
neg = ufunc("negative")
abs_ = ufunc("absolute")
sign = ufunc("sign")
reciprocal = ufunc("reciprocal")
sqrt = ufunc("sqrt")
exp = ufunc("exp")
log = ufunc("log")
erf = in_single(ufunc("special.erf"))


@prepared
def div(site: Site) -> Bound:
    a: Any = site.inputs[0]
    if a.dtype.kind == "u":
        return Bound(site.xp.floor_divide, out=True, inplace=True)
    if a.dtype.kind == "i":
        return Bound(partial(_truncated, site.xp), out=True)
    return Bound(site.xp.divide, out=True, inplace=True)


def _truncated(xp: Any, a: Any, b: Any, out: Any = None) -> Any:
    """a // b rounds down: where the signs differ and something is left over, one more is nearer to zero."""
    quotient = xp.floor_divide(a, b, out=out)
    left_over = (quotient * b != a) & ((a < 0) != (b < 0))
    return xp.add(quotient, left_over, out=out)


@prepared
def mod(site: Site) -> Bound:
    return Bound(site.xp.fmod if site.attributes["fmod"] else site.xp.remainder, out=True, inplace=True)


@prepared
def pow_(site: Site) -> Bound:
    """A constant exponent of 2, 3 or 0.5 is multiplication or a square root: many times faster than a general power."""
    xp, exponent = site.xp, site.constants[1]
    x: Any = site.inputs[0]
    y: Any = site.inputs[1]
    if x.dtype in INTEGERS:
        return Bound(partial(_integer_power if y.dtype.kind in "iu" else _rounded_power, xp))
    if exponent is not None and exponent.size == 1 and exponent.ndim <= len(x.shape):
        exponent = float(xp.to_numpy(exponent).reshape(()))
        if exponent == 2:
            return Bound(lambda x, y, out=None: xp.square(x, out=out), out=True, inplace=True)
        if exponent == 3:
            return Bound(lambda x, y, out=None: xp.multiply(xp.square(x, out=out), x, out=out), out=True)
        if exponent == 0.5:
            return Bound(lambda x, y, out=None: xp.sqrt(x, out=out), out=True, inplace=True)
    if x.dtype == y.dtype:
        return Bound(xp.power, out=True, inplace=True)
    if y.dtype in INTEGERS:
        return Bound(lambda x, y, out=None: xp.power(x, y.astype(x.dtype), out=out), out=True)
    return Bound(partial(_rounded_power, xp))


def _integer_power(xp: Any, x: Any, y: Any) -> Any:
    """Powers of whole numbers; those with a negative exponent are fractions, of which 1 and -1 alone are whole."""
    exponent = y.astype(x.dtype)
    power = xp.power(x, xp.absolute(exponent))
    return xp.where((exponent < 0) & (xp.absolute(x) != 1), xp.zeros((), x.dtype), power)


def _rounded_power(xp: Any, x: Any, y: Any) -> Any:
    return xp.power(x.astype(xp.float64), y.astype(xp.float64)).astype(x.dtype)


# ---- rounding --------------------------------------------------------------------------------------------------------------------------

floor = ufunc("floor")
ceil = ufunc("ceil")
round_ = ufunc("rint")

# ---- trigonometry ----------------------------------------------------------------------------------------------------------------------

sin = ufunc("sin")
cos = ufunc("cos")
tan = ufunc("tan")
asin = ufunc("arcsin")
acos = ufunc("arccos")
atan = ufunc("arctan")
sinh = ufunc("sinh")
cosh = ufunc("cosh")
tanh = ufunc("tanh")
asinh = ufunc("arcsinh")
acosh = ufunc("arccosh")
atanh = ufunc("arctanh")

# ---- several inputs --------------------------------------------------------------------------------------------------------------------


def _folded(name: str) -> Prepared:
    """The ufunc of that name over any number of inputs."""

    def prepare(site: Site) -> Bound:
        function = getattr(site.xp, name)
        if len(site.inputs) == 1:
            return Bound(lambda x: x, view=True)
        if len(site.inputs) == 2:
            return Bound(function, out=True, inplace=True)

        def run(a: Any, b: Any, *rest: Any, out: Any = None) -> Any:
            total = function(a, b, out=out)
            for x in rest:
                total = function(total, x, out=out)
            return total

        return Bound(run, out=True)

    return Prepared(prepare)


min_ = _folded("minimum")
max_ = _folded("maximum")
sum_ = in_single(_folded("add"))


@in_single
def mean(xp, *data_0):
    return sum(data_0[1:], data_0[0]) / xp.asarray(len(data_0), data_0[0].dtype)


MANY = 4096  # elements from which on `where` by bits beats NumPy's own, which waits for branches that nobody can foretell


@prepared
def where(site: Site) -> Bound:
    """Many floats are chosen by their bits: x & mask where y is zero, else y ^ ((x ^ y) & mask), the mask being all ones where the condition holds."""
    xp = site.xp
    types: list[Any] = site.inputs
    shapes, t = [x.shape for x in types], types[1]
    if t.dtype not in FLOATS or max(map(math.prod, shapes)) < MANY:
        return Bound(xp.where)
    bits = f"i{t.dtype.itemsize}"

    def masked(condition: Any, x: Any, y: Any, out: Any = None) -> Any:
        mask = condition.astype(bits)
        xp.negative(mask, out=mask)
        chosen = xp.bitwise_and(x.view(bits), mask, out=None if out is None else out.view(bits))
        return chosen.view(t.dtype) if out is None else out

    def blended(condition: Any, x: Any, y: Any, out: Any = None) -> Any:
        mask = condition.astype(bits)
        xp.negative(mask, out=mask)
        chosen = xp.bitwise_and(x.view(bits) ^ y.view(bits), mask, out=None if out is None else out.view(bits))
        chosen ^= y.view(bits)
        return chosen.view(t.dtype) if out is None else out

    y = site.constants[2]
    if y is not None and y.size == 1 and y.ndim <= max(map(len, shapes[:2])) and not any(xp.to_numpy(y).tobytes()):
        return Bound(masked, out=True, inplace=True)
    return Bound(blended, out=True)


@prepared
def clip(site: Site) -> Bound:
    xp = site.xp
    x: Any = site.inputs[0]
    _, low, high = [*site.inputs, None, None][:3]
    if low is None and high is None:
        return Bound(lambda input, *_: input, view=True)
    if high is None:
        return Bound(lambda input, min, max=None, out=None: xp.maximum(input, min, out=out), out=True, inplace=True)
    if low is None:
        return Bound(lambda input, min, max, out=None: xp.minimum(input, max, out=out), out=True, inplace=True)
    if x.dtype == BFLOAT16:
        return Bound(lambda input, min, max, out=None: xp.minimum(xp.maximum(input, min, out=out), max, out=out), out=True, inplace=True)
    return Bound(lambda input, min, max, out=None: input.clip(min, max, out), out=True, inplace=True)


# ---- types -----------------------------------------------------------------------------------------------------------------------------


@view
def identity(xp, input):
    return input


@prepared
def cast(site: Site) -> Bound:
    return caster(site, site.attributes["to"])


@prepared
def cast_like(site: Site) -> Bound:
    target: Any = site.inputs[1]
    made = caster(site, target.dtype)
    return made._replace(run=lambda input, target_type, **out: made.run(input, **out))


@view
def bit_cast(xp, input, *, to):
    return input != 0 if to == "bool" and input.dtype != BOOL else input.view(DTYPES[to])


def is_nan(xp, x, *, out=None):
    return xp.isnan(x, out=out)


def is_inf(xp, x, *, detect_negative, detect_positive):
    found = xp.isinf(x)
    if not detect_negative:
        found = found & (x > xp.zeros((), x.dtype))
    if not detect_positive:
        found = found & (x < xp.zeros((), x.dtype))
    return found
