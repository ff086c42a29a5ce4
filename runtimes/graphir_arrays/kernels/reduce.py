"""Kernels of graphir.ops.reduce."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from graphir.dtypes import BOOL, FLOATS
from graphir.types import TensorType

from ..kernel import Bound, Prepared, Site
from ..precision import in_single

Reduce = Callable[..., Any]  # (x, axis=tuple, keepdims=bool, out=None)


def _reduction(choose: Callable[[Any, Any], Reduce]) -> Prepared:
    """The kernel of a reduction. choose: from the namespace and the dtype to the function that reduces over a tuple of axes, which may be empty."""

    def prepare(site: Site) -> Bound:
        data, axes = site.inputs[0], site.inputs[1] if len(site.inputs) > 1 else None
        assert isinstance(data, TensorType) and data.shape is not None
        every = () if site.attributes["noop_with_empty_axes"] else tuple(range(len(data.shape)))
        function = partial(choose(site.xp, data.dtype), keepdims=bool(site.attributes["keepdims"]))
        if axes is not None and site.constants[1] is None:
            return Bound(lambda data, axes, out=None: function(data, axis=_places(axes) or every, out=out), out=True)
        fixed = partial(function, axis=every if axes is None else _places(site.constants[1]) or every)
        return Bound(lambda data, axes=None, out=None: fixed(data, out=out), out=True)

    return Prepared(prepare)


def _places(axes: Any) -> tuple[int, ...]:
    return tuple(axes.reshape(-1).tolist())


def _sum(xp: Any, dtype: Any) -> Reduce:
    return partial(xp.add.reduce, dtype=dtype)


def _prod(xp: Any, dtype: Any) -> Reduce:
    return partial(xp.multiply.reduce, dtype=dtype)


def _mean(xp: Any, dtype: Any) -> Reduce:
    def mean(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
        count = math.prod(x.shape[a] for a in axis)
        total = xp.add.reduce(x, axis=axis, keepdims=keepdims, dtype=dtype, out=out)
        if dtype in FLOATS:
            return xp.divide(total, count, out=out)
        return xp.multiply(xp.sign(total), xp.absolute(total) // count, out=out)

    return mean


def _max(xp: Any, dtype: Any) -> Reduce:
    return partial(xp.maximum.reduce, initial=-math.inf if dtype in FLOATS else False if dtype == BOOL else xp.iinfo(dtype).min)


def _min(xp: Any, dtype: Any) -> Reduce:
    return partial(xp.minimum.reduce, initial=math.inf if dtype in FLOATS else True if dtype == BOOL else xp.iinfo(dtype).max)


def _l1(xp: Any, dtype: Any) -> Reduce:
    return lambda x, **how: xp.add.reduce(xp.absolute(x), dtype=dtype, **how)


def _sum_square(xp: Any, dtype: Any) -> Reduce:
    return lambda x, **how: xp.add.reduce(xp.square(x), dtype=dtype, **how)


def _l2(xp: Any, dtype: Any) -> Reduce:
    def l2(x: Any, out: Any = None, **how: Any) -> Any:
        total = xp.add.reduce(xp.square(x), dtype=dtype, out=out, **how)
        return xp.sqrt(total, out=out) if dtype in FLOATS else xp.positive(xp.sqrt(total), out=out, dtype=dtype, casting="unsafe")

    return l2


def _log_sum(xp: Any, dtype: Any) -> Reduce:
    def log_sum(x: Any, out: Any = None, **how: Any) -> Any:
        return xp.log(xp.add.reduce(x, dtype=dtype, out=out, **how), out=out)

    return log_sum


def _log_sum_exp(xp: Any, dtype: Any) -> Reduce:
    """The largest element is taken out before and put back after, unless it is infinite."""

    def log_sum_exp(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
        largest = xp.maximum.reduce(x, axis=axis, keepdims=True, initial=-math.inf)
        largest = xp.where(xp.isfinite(largest), largest, xp.zeros((), dtype))
        total = xp.log(xp.add.reduce(xp.exp(x - largest), axis=axis, keepdims=True)) + largest
        result = total if keepdims else xp.squeeze(total, axis)
        return xp.positive(result, out=out)

    return log_sum_exp


reduce_sum = in_single(_reduction(_sum))
reduce_mean = in_single(_reduction(_mean))
reduce_prod = in_single(_reduction(_prod))
reduce_max = _reduction(_max)
reduce_min = _reduction(_min)
reduce_l1 = in_single(_reduction(_l1))
reduce_l2 = in_single(_reduction(_l2))
reduce_sum_square = in_single(_reduction(_sum_square))
reduce_log_sum = in_single(_reduction(_log_sum))
reduce_log_sum_exp = in_single(_reduction(_log_sum_exp))


# ---- where the extremes lie ------------------------------------------------------------------------------------------------------------


def _position(xp: Any, name: str, data: Any, axis: int, keepdims: int, last: int) -> Any:
    find = getattr(xp, name)
    if not last:
        return find(data, axis=axis, keepdims=bool(keepdims))
    return data.shape[axis] - 1 - find(xp.flip(data, axis), axis=axis, keepdims=bool(keepdims))


def arg_max(xp, data, *, axis, keepdims, select_last_index):
    return _position(xp, "argmax", data, axis, keepdims, select_last_index)


def arg_min(xp, data, *, axis, keepdims, select_last_index):
    return _position(xp, "argmin", data, axis, keepdims, select_last_index)
