"""Operators that make one number of many along axes: sums, means, extremes, norms, and where the extremes lie."""

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import graphir.ops as ops

from ..dims import Shape, unknown
from ..dtypes import INT64, NAMES
from ..ir import Value
from ..types import Known, TensorType
from ._elementwise import declared, larger, same_type, smaller
from ._gradient import declare_none, expand_to, non_default, shaped_as
from ._op import Flag, Ints, Op, RuleError, T, Vector, op
from ._types import (
    BOOLEAN,
    FLOAT,
    NUMERIC,
    WIDE_INTS,
    axis_of,
    computed,
    dtypes,
    expect_axes,
    known_ints,
    length_of,
    static_product,
    unknowns,
)
from .elementwise import abs_, cast, cast_like, div, exp, is_inf, log, max_, mul, reciprocal, sign, sqrt, sub, where
from .logic import equal


def _reduction(name: str, since: int, types: frozenset, doc: str, on_numbers: Callable[[Any, Any], Any] | None = None) -> Op[..., Value]:
    """A reduction over axes, all of them where none are given. on_numbers: what it does to the contents of a vector, two at a time."""

    def rule(data: T, axes: Vector[Ints] | None = None, *, keepdims: Flag = 1, noop_with_empty_axes: Flag = 0) -> TensorType:
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
    """The axes to reduce over, counted from the front; None where they, or the rank, are not known."""
    if data.type.shape is None:
        return None
    if axes is None or length_of(axes) == 0:
        return set() if noop else set(range(data.rank))
    expect_axes(axes, data.rank)
    known = known_ints(axes)
    found = None if known is None else {axis_of(a, data.rank, "an axis") for a in known}
    if found is not None and known is not None and len(found) < len(known):
        raise RuleError(f"axes are {list(known)}; expected each once")
    return found


def _open_shape(data: Value, axes: Value | None, keepdims: int) -> Shape | None:
    """What is sure of the shape where the axes are not known: an axis stays or becomes 1."""
    count = None if axes is None else length_of(axes)
    if keepdims:
        return tuple(1 if d == 1 or count == data.rank else unknown() for d in data.shape)
    return None if count is None else unknowns(data.rank - count)


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


def _kept(v: Value, data: Value, axes: Value | None, keepdims: int, noop_with_empty_axes: int) -> Value:
    """v, which has the shape of a reduction of data, in a form that broadcasts to data."""
    if keepdims:
        return v
    places = reduced_axes(data, axes, noop_with_empty_axes)
    if places is None:
        kept = reduce_sum(data, axes, **non_default(reduce_sum, noop_with_empty_axes=noop_with_empty_axes))
        return ops.shape.reshape(v, ops.shape.shape(kept), allowzero=1)
    if places == set(range(len(places))):  # in front, where broadcasting puts them back
        return v
    return ops.shape.unsqueeze(v, sorted(places))


@reduce_sum.gradient
def reduce_sum_gradient(dy, y, data, axes, **attributes):
    return expand_to(_kept(dy, data, axes, **attributes), data), None


@reduce_mean.gradient
def reduce_mean_gradient(dy, y, data, axes, **attributes):
    return expand_to(mul(_kept(dy, data, axes, **attributes), _part(data, y, axes, **attributes)), data), None


def _part(data: Value, y: Value, axes: Value | None, keepdims: int, noop_with_empty_axes: int) -> Value | float:
    """One over the number of elements of data that make one of y, in the dtype of data."""
    places = reduced_axes(data, axes, noop_with_empty_axes)
    count = None if places is None else static_product(tuple(data.shape[i] for i in places))
    if count is not None:
        return 1 / max(count, 1)
    everything = places is not None and len(places) == data.rank
    made = ops.shape.size(data) if everything else div(ops.shape.size(data), max_(ops.shape.size(y), 1))
    if data.dtype.itemsize >= 4:
        return reciprocal(cast(made, to=NAMES[data.dtype]))
    return cast(reciprocal(cast(made, to="float32")), to=NAMES[data.dtype])  # float16 ends at 65504


def _extreme_gradient(dy, y, data, axes, *, keepdims, noop_with_empty_axes):
    """The elements that are as large (or small) as the largest share dy."""
    y, dy = (_kept(v, data, axes, keepdims, noop_with_empty_axes) for v in (y, dy))
    found = equal(data, y)
    wide = data.dtype.itemsize >= 4  # float16 ends at 65504
    count = reduce_sum(
        cast(found, to=NAMES[data.dtype] if wide else "float32"), axes, **non_default(reduce_sum, noop_with_empty_axes=noop_with_empty_axes)
    )
    share = div(dy, count) if wide else cast(div(cast(dy, to="float32"), count), to=NAMES[data.dtype])
    return shaped_as(where(found, share, 0.0), data), None


reduce_max.gradient(_extreme_gradient)
reduce_min.gradient(_extreme_gradient)


@reduce_prod.gradient
def reduce_prod_gradient(dy, y, data, axes, *, keepdims, noop_with_empty_axes):
    # Where an element is not 0 the product of the others is y / element. That of an only 0 is the product of the rest. Of two, it is
    # the rest times the other one: 0, but not its derivative. Of more it is 0, and so are its first two derivatives. (CumProd from both ends
    # would be right to any order. It came with opset 26, and its own gradient is a Scan.)
    over = non_default(reduce_sum, noop_with_empty_axes=noop_with_empty_axes)
    y, dy = (_kept(v, data, axes, keepdims, noop_with_empty_axes) for v in (y, dy))
    zero = equal(data, 0.0)
    rest = where(zero, 1.0, data)
    zeros = reduce_sum(cast(zero, to=NAMES[data.dtype]), axes, **over)
    other = sub(reduce_sum(where(zero, data, 0.0), axes, **over), data)
    others = where(equal(zeros, 1.0), 1.0, where(equal(zeros, 2.0), other, 0.0))
    product = where(zero, mul(reduce_prod(rest, axes, **over), others), div(y, rest))
    return shaped_as(mul(dy, product), data), None


@reduce_l1.gradient
def reduce_l1_gradient(dy, y, data, axes, **attributes):
    return shaped_as(mul(sign(data), _kept(dy, data, axes, **attributes)), data), None


@reduce_l1.decompose
def _l1(data, axes=None, **attributes):
    return reduce_sum(abs_(data), axes, **attributes)


@reduce_sum_square.gradient
def reduce_sum_square_gradient(dy, y, data, axes, **attributes):
    return shaped_as(mul(data, mul(_kept(dy, data, axes, **attributes), 2.0)), data), None


@reduce_sum_square.decompose
def _sum_square(data, axes=None, **attributes):
    return reduce_sum(mul(data, data), axes, **attributes)


@reduce_l2.gradient
def reduce_l2_gradient(dy, y, data, axes, **attributes):
    share = div(dy, where(equal(y, 0.0), 1.0, y))  # no number is divided by the norm of zeros
    return shaped_as(mul(data, _kept(share, data, axes, **attributes)), data), None


@reduce_l2.decompose
def _l2(data, axes=None, **attributes):
    squares = reduce_sum_square(data, axes, **attributes)
    if data.dtype in FLOAT:
        return sqrt(squares)
    return cast_like(sqrt(cast(squares, to="float64")), data)


@reduce_log_sum.gradient
def reduce_log_sum_gradient(dy, y, data, axes, **attributes):
    return expand_to(_kept(div(dy, reduce_sum(data, axes, **non_default(reduce_sum, **attributes))), data, axes, **attributes), data), None


@reduce_log_sum.decompose
def _log_sum(data, axes=None, **attributes):
    return log(reduce_sum(data, axes, **attributes))


@reduce_log_sum_exp.gradient
def reduce_log_sum_exp_gradient(dy, y, data, axes, **attributes):
    largest = where(is_inf(y, detect_positive=0), 0.0, y)  # data of nothing but -inf
    share = exp(sub(data, _kept(largest, data, axes, **attributes)))
    return shaped_as(mul(share, _kept(dy, data, axes, **attributes)), data), None


# ---- where the extremes lie ------------------------------------------------------------------------------------------------------------


@op("ArgMax", since=13, T=NUMERIC)
def arg_max(data: T, *, axis: int = 0, keepdims: Flag = 1, select_last_index: Flag = 0) -> TensorType:
    """Where along the axis the largest element is: the first of several, or the last if select_last_index is set."""
    return _position(data, axis, keepdims)


@op("ArgMin", since=13, T=NUMERIC)
def arg_min(data: T, *, axis: int = 0, keepdims: Flag = 1, select_last_index: Flag = 0) -> TensorType:
    """Where along the axis the smallest element is: the first of several, or the last if select_last_index is set."""
    return _position(data, axis, keepdims)


def _position(data: Value, axis: int, keepdims: int) -> TensorType:
    axis = axis_of(axis, data.rank)
    return TensorType(INT64, data.shape[:axis] + ((1,) if keepdims else ()) + data.shape[axis + 1 :])


declare_none(arg_max, arg_min)
