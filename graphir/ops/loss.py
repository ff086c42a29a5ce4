"""Losses of classification."""

from typing import Any

import numpy as np

import graphir.ops as ops

from ..dims import product
from ..dtypes import FLOAT32, INT64
from ..ir import Value
from ..types import TensorType
from ._elementwise import same_type
from ._gradient import shaped_as
from ._op import Index, MayOmit, RuleError, T, op
from ._types import FLOAT, INDEX, expect_shape


def _loss(x: Any, target: Any, weight: Any, reduction: str) -> TensorType:
    """The type of a loss. Raises RuleError where the target or the weights do not fit x (N, C, ...)."""
    if x.rank < 2:
        raise RuleError(f"the scores have rank {x.rank}; expected (N, C, ...)")
    expect_shape(target, (x.shape[0], *x.shape[2:]), "the target")
    expect_shape(weight, x.shape[1:2], "the weight")
    if reduction not in ("none", "sum", "mean"):
        raise RuleError(f"reduction is {reduction!r}; expected none, sum or mean")
    return TensorType(x.dtype, target.shape if reduction == "none" else ())


@op("NegativeLogLikelihoodLoss", since=22, T=FLOAT, Tind=INDEX)
def negative_log_likelihood_loss(
    input: T, target: Index, weight: T | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> TensorType:
    """-weight[c] * input[n, c, ...] where c = target[n, ...], and 0 where c is ignore_index; each, their sum, or that over the sum of the weights taken."""
    return _loss(input, target, weight, reduction)


@negative_log_likelihood_loss.gradient
def negative_log_likelihood_loss_gradient(dy, y, input, target, weight, **how):
    share, share_of_weight = _shares(dy, input, target, weight, **how)
    dx = ops.elementwise.mul(_one_hot(target, input, -1.0), share)
    return shaped_as(dx, input), None, weight and _weight_gradient(share_of_weight, y, input, target, weight, **how)


@op("SoftmaxCrossEntropyLoss", since=13, T=FLOAT, Tind=INDEX)
def softmax_cross_entropy_loss(
    scores: T, labels: Index, weights: T | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> tuple[TensorType, MayOmit]:
    """The negative log-likelihood loss of log(softmax(scores)) over the classes, which are axis 1; and these logarithms."""
    return _loss(scores, labels, weights, reduction), same_type(scores)


@softmax_cross_entropy_loss.gradient
def softmax_cross_entropy_loss_gradient(dys, ys, scores, labels, weights, **how):
    (dy, dlogs), (y, logs) = dys, ys
    found, dweights = [], None
    if dy is not None:
        share, share_of_weight = _shares(dy, logs, labels, weights, **how)
        probabilities = ops.elementwise.exp(_unless_ignored(logs, labels, how["ignore_index"]))
        found.append(_times(ops.elementwise.sub(probabilities, _one_hot(labels, logs, 1.0)), share))
        dweights = weights and _weight_gradient(share_of_weight, y, logs, labels, weights, **how)
    if dlogs is not None:
        found.append(ops.activation.log_softmax_gradient(dlogs, logs, scores, axis=1))
    dx = found[0] if len(found) == 1 else ops.elementwise.add(*found)
    return shaped_as(dx, scores), None, dweights


def _times(x: Value, share: Value) -> Value:
    """x * share; where the share is 1 / total, x / total, which is a node less."""
    one, total = share.node.inputs if share.node is not None and share.node.op is ops.elementwise.div else (None, None)
    if one is not None and total is not None and one.known == (1.0,):
        return ops.elementwise.div(x, total)
    return ops.elementwise.mul(x, share)


def _shares(
    dy: Value, x: Value, target: Value, weight: Value | None, *, ignore_index: int | None, reduction: str
) -> tuple[Value, Value]:  # fmt: skip
    """What the gradient of the loss is of -x at each target, in a form that meets x; then the same without the weights."""
    counted = None if ignore_index is None else ops.logic.not_(ops.logic.equal(target, ignore_index))
    taken = None if weight is None else ops.index.gather(weight, _classes(target, ignore_index))
    if reduction == "mean":
        wide = _wide(x)  # float16 ends at 65504
        dy = ops.elementwise.cast_to(ops.elementwise.div(ops.elementwise.cast_to(dy, wide), _total(x, target, taken, counted)), x.dtype)
    found = []
    for share in (dy if taken is None else ops.elementwise.mul(taken, dy), dy):
        if counted is not None:
            share = ops.elementwise.where(counted, share, 0.0)
        found.append(ops.shape.unsqueeze(share, [1]) if share.rank else share)
    return found[0], found[1]


def _classes(target: Value, ignore_index: int | None) -> Value:
    """The targets; the first class where they are ignored, for ignore_index need not be a class."""
    return target if ignore_index is None else ops.elementwise.where(ops.logic.equal(target, ignore_index), 0, target)


def _total(x: Value, target: Value, taken: Value | None, counted: Value | None) -> Any:
    """What a mean is divided by: the weights that were taken, or how many targets count; if it is a value, of the dtype `_wide(x)`."""
    if taken is not None:
        taken = taken if counted is None else ops.elementwise.where(counted, taken, 0.0)
        return ops.reduce.reduce_sum(ops.elementwise.cast_to(taken, _wide(x)), keepdims=0)
    if counted is not None:
        return ops.reduce.reduce_sum(ops.elementwise.cast_to(counted, _wide(x)), keepdims=0)
    counts = product(target.shape), product((x.shape[0], *x.shape[2:]))
    number = next((n for n in counts if isinstance(n, int)), None)
    return ops.elementwise.cast_to(ops.shape.size(target), _wide(x)) if number is None else number


def _wide(x: Value) -> np.dtype:
    """The dtype in which to count: that of x, at least float32."""
    return max(FLOAT32, x.dtype, key=lambda dtype: dtype.itemsize)


def _unless_ignored(x: Value, target: Value, ignore_index: int | None) -> Value:
    """x (N, 1 or C, ...), and 0 where the target is ignored, for what stands there may be no number."""
    if ignore_index is None:
        return x
    return ops.elementwise.where(ops.shape.unsqueeze(ops.logic.equal(target, ignore_index), [1]), 0.0, x)


def _one_hot(target: Value, x: Value, on: float) -> Value:
    """`on` at each target, 0 at the other classes of x, which are axis 1."""
    classes = x.shape[1]
    depth = classes if isinstance(classes, int) else ops.shape.shape(x, start=1, end=2)
    indices = ops.elementwise.cast_to(target, INT64)
    return ops.create.one_hot(indices, depth, np.array([0, on], x.dtype), axis=1)


def _weight_gradient(
    share: Value, y: Value, x: Value, target: Value, weight: Value, *, ignore_index: int | None, reduction: str
) -> Value:  # fmt: skip
    """Each weight gets what its targets lose; with the mean less what the mean is, for its divisor grows, too."""
    places = ops.shape.unsqueeze(_classes(target, ignore_index), [1])
    picked = ops.index.gather_elements(x, places, axis=1)
    lost = ops.elementwise.add(picked, y) if reduction == "mean" else picked
    lost = _unless_ignored(lost, target, ignore_index)
    each = ops.elementwise.mul(_one_hot(target, x, -1.0), ops.elementwise.mul(share, lost))
    return shaped_as(ops.reduce.reduce_sum(each, [i for i in range(x.rank) if i != 1], keepdims=0), weight)
