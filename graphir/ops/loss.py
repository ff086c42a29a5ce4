"""Losses of classification."""

from typing import Any

from ..types import TensorType
from ._elementwise import same_type
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


@op("SoftmaxCrossEntropyLoss", since=13, T=FLOAT, Tind=INDEX)
def softmax_cross_entropy_loss(
    scores: T, labels: Index, weights: T | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> tuple[TensorType, MayOmit]:
    """The negative log-likelihood loss of log(softmax(scores)) over the classes, which are axis 1; and these logarithms."""
    return _loss(scores, labels, weights, reduction), same_type(scores)
