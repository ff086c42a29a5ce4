"""Casts between all element types."""

from collections.abc import Callable
from typing import Any

import ml_dtypes

from graphir.dtypes import BOOL, FLOAT32, FLOAT64, INT64, INTEGERS, NAMES, STRING, as_dtype

from ..kernel import Bound, Site

E8M0, INT8, UINT64 = (as_dtype(n) for n in ("float8_e8m0fnu", "int8", "uint64"))
NATIVE = frozenset(d for d in NAMES if d.isbuiltin == 1 and d != STRING)  # those that NumPy has itself
FLOAT8 = frozenset(as_dtype(n) for n in ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"))

Change = Callable[[Any], Any]


def caster(site: Site, to: Any) -> Bound:
    """What turns arrays of the first input's dtype into the dtype `to`, as the attributes saturate and round_mode say."""
    x: Any = site.inputs[0]
    xp, source, target = site.xp, x.dtype, as_dtype(to)
    if source == target:
        return Bound(lambda x: x, view=True)
    if source in NATIVE and target in NATIVE:
        return Bound(lambda x, out=None: _copied(xp, x, target, out), out=True)
    return Bound(_change(xp, source, target, site.attributes["saturate"], site.attributes["round_mode"]))


def _copied(xp: Any, x: Any, target: Any, out: Any) -> Any:
    if out is None:
        return x.astype(target)
    xp.copyto(out, x, casting="unsafe")
    return out


def _change(xp: Any, source: Any, target: Any, saturate: int, round_mode: str) -> Change:
    """From one dtype to another that is not the same; by way of a third where there is no direct way."""
    if source == STRING:
        between = FLOAT64 if target not in INTEGERS else UINT64 if target == UINT64 else INT64
        parse = _whole if target in INTEGERS else float
        return _then(lambda x: _parsed(xp, x, parse, between), between, target, xp, saturate, round_mode)
    if source not in NATIVE and target not in NATIVE and target != E8M0:
        between = INT8 if source in INTEGERS and (target in INTEGERS or target == STRING) else FLOAT32
        return _then(lambda x: x.astype(between), between, target, xp, saturate, round_mode)
    if target == STRING:
        return lambda x: xp.asarray(x).astype(str).astype(object)
    if target == E8M0:
        return lambda x: _powers_of_two(xp, x if x.dtype == FLOAT64 else x.astype(FLOAT32), saturate, round_mode)
    if target in FLOAT8 and saturate and source != BOOL:
        most = float(ml_dtypes.finfo(target).max)
        return lambda x: (x if x.dtype.kind == "f" else x.astype(FLOAT32)).clip(-most, most).astype(target)
    return lambda x: x.astype(target)


def _then(first: Change, between: Any, target: Any, xp: Any, saturate: int, round_mode: str) -> Change:
    """`first`, which makes the dtype `between`, and the rest of the way."""
    if between == target:
        return first
    rest = _change(xp, between, target, saturate, round_mode)
    return lambda x: rest(first(x))


def _parsed(xp: Any, x: Any, parse: Callable[[str], Any], dtype: Any) -> Any:
    try:
        return xp.asarray([parse(text) for text in x.reshape(-1).tolist()], dtype).reshape(x.shape)
    except OverflowError:
        raise ValueError(f"a text is a number that {NAMES[dtype]} does not hold") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def _powers_of_two(xp: Any, x: Any, saturate: int, round_mode: str) -> Any:
    """float8_e8m0fnu holds powers of two from 2**-127 to 2**127, and NaN as the code 255; signs are lost."""
    mantissa, exponent = xp.frexp(xp.absolute(x))  # mantissa in [0.5, 1)
    up = {"up": mantissa > 0.5, "down": False, "nearest": mantissa >= 0.75}[round_mode]
    code = exponent - 1 + up + 127
    if saturate:
        code = xp.where(x == 0, 0, xp.where(xp.isinf(x), 254, xp.clip(code, 0, 254)))
    else:
        code = xp.where((x == 0) | xp.isinf(x) | (code < 0) | (code > 254), 255, code)
    return xp.asarray(xp.where(xp.isnan(x), 255, code)).astype(xp.uint8).view(E8M0)
