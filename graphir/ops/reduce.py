"""Operators that make one number of many along axes: sums, means, extremes, norms, and where the extremes lie."""

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

from ..dims import Shape, unknown
from ..dtypes import INT64
from ..ir import Value
from ..types import Known, TensorType
from ._elementwise import declared, larger, same_type, smaller
from ._op import Ints, Op, T, op
from ._types import BOOLEAN, FLOAT, NUMERIC, WIDE_INTS, axis_of, computed, dtypes, known_ints, length_of, unknowns
from .elementwise import abs_, cast, cast_like, log, mul, sqrt


def _reduction(name: str, since: int, types: frozenset, doc: str, on_numbers: Callable[[Any, Any], Any] | None = None) -> Op[..., Value]:
    """A reduction over axes, all of them where none are given. on_numbers: what it does to the contents of a vector, two at a time."""

    def rule(data: T, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> TensorType:
        places = reduced_axes(data, axes, noop_with_empty_axes)
        if places is None:
            return TensorType(data.dtype, _open_shape(data, axes, keepdims))
        if not places:
            return same_type(data)
        if keepdims:
            shape = tuple([1 if i in places else d for i, d in enumerate(data.shape)])
        else:
            shape = tuple([d for i, d in enumerate(data.shape) if i not in places])
        return TensorType(data.dtype, shape, None if data.known is None or on_numbers is None else _contents(data, shape, on_numbers))

    return declared(rule, __name__, name, since, types, doc)


def reduced_axes(data: Value, axes: Value | None, noop: int) -> set[int] | None:
    """The axes to reduce over, counted from the front; None where they are not known."""
    if axes is None or length_of(axes) == 0:
        return set() if noop else set(range(data.rank))
    known = known_ints(axes)
    return None if known is None else {axis_of(a, data.rank, "an axis") for a in known}


def _open_shape(data: Value, axes: Value | None, keepdims: int) -> Shape | None:
    """What is sure of the shape where the axes are not known: an axis stays or becomes 1."""
    count = None if axes is None else length_of(axes)
    if keepdims:
        return tuple(1 if d == 1 or count == data.rank else unknown() for d in data.shape)
    return None if count is None else unknowns(max(data.rank - count, 0))


def _contents(data: Value, shape: Shape, on_numbers: Callable[[Any, Any], Any]) -> Known | None:
    """The one number that known contents are reduced to."""
    if not data.known or data.rank > 1:
        return None
    numbers = [Value("", TensorType(data.dtype, (), (k,))) for k in data.known]
    return computed(shape, numbers, lambda *row: reduce(on_numbers, row))


reduce_sum = _reduction("ReduceSum", 13, FLOAT | WIDE_INTS, "The sum.", operator.add)
reduce_mean = _reduction("ReduceMean", 18, FLOAT | WIDE_INTS, "The mean, rounded towards zero for integers.")
reduce_prod = _reduction("ReduceProd", 18, FLOAT | WIDE_INTS, "The product.", operator.mul)
EXTREMES = FLOAT | WIDE_INTS | BOOLEAN | dtypes("int8 uint8")
reduce_max = _reduction("ReduceMax", 20, EXTREMES, "The largest; of none, the least that the dtype has.", larger)
reduce_min = _reduction("ReduceMin", 20, EXTREMES, "The smallest; of none, the most that the dtype has.", smaller)
reduce_l1 = _reduction("ReduceL1", 18, FLOAT | WIDE_INTS, "The sum of the magnitudes.")
reduce_l2 = _reduction("ReduceL2", 18, FLOAT | WIDE_INTS, "The square root of the sum of the squares.")
reduce_sum_square = _reduction("ReduceSumSquare", 18, FLOAT | WIDE_INTS, "The sum of the squares.")
reduce_log_sum = _reduction("ReduceLogSum", 28, FLOAT, "The logarithm of the sum.")
reduce_log_sum_exp = _reduction("ReduceLogSumExp", 28, FLOAT, "The logarithm of the sum of the exponentials.")


@reduce_l1.decompose
def _l1(data, axes=None, **attributes):
    return reduce_sum(abs_(data), axes, **attributes)


@reduce_sum_square.decompose
def _sum_square(data, axes=None, **attributes):
    return reduce_sum(mul(data, data), axes, **attributes)


@reduce_l2.decompose
def _l2(data, axes=None, **attributes):
    squares = reduce_sum_square(data, axes, **attributes)
    if data.dtype in FLOAT:
        return sqrt(squares)
    return cast_like(sqrt(cast(squares, to="float64")), data)


@reduce_log_sum.decompose
def _log_sum(data, axes=None, **attributes):
    return log(reduce_sum(data, axes, **attributes))


# ---- where the extremes lie ------------------------------------------------------------------------------------------------------------


@op("ArgMax", since=13, T=NUMERIC)
def arg_max(data: T, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> TensorType:
    """Where along the axis the largest element is: the first of several, or the last if select_last_index is set."""
    return _position(data, axis, keepdims)


@op("ArgMin", since=13, T=NUMERIC)
def arg_min(data: T, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> TensorType:
    """Where along the axis the smallest element is: the first of several, or the last if select_last_index is set."""
    return _position(data, axis, keepdims)


def _position(data: Value, axis: int, keepdims: int) -> TensorType:
    axis = axis_of(axis, data.rank)
    return TensorType(INT64, data.shape[:axis] + ((1,) if keepdims else ()) + data.shape[axis + 1 :])
