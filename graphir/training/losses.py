"""Losses: functions from what a model says, and the name of the input for what is right, to the loss and the metrics, built of ops."""

from collections.abc import Callable, Mapping

from .. import ops
from ..dtypes import INT64
from ..expect import brief, named, near
from ..ir import Value
from ..ops import RuleError
from ..types import TensorType
from .scores import binary_scores, class_scores

Loss = Callable[[Value, str], Mapping[str, Value]]


def cross_entropy(scores: Value, target: str) -> dict[str, Value]:
    """The mean of -log(softmax(scores)[label]) over all labels, and the accuracy: the share of labels that have the highest score.

    scores: (N, C, ...), as they are before a softmax; where a Softmax over the classes makes them, if only cast, bounded or moved behind it, its input is
    read. target: labels from 0 to C - 1, int64[N, ...]. Raises RuleError for scores of one class, and for probabilities of another kind.
    """
    if scores.rank < 2 or scores.shape[1] == 1:
        raise RuleError(
            f"cross entropy needs scores of two classes or more, of shape [N, classes, ...]; {scores.name} is {scores.type}"
            "; for yes or no, take the loss binary_cross_entropy"
        )
    scores = class_scores(scores)
    labels = scores.graph.input(target, TensorType(INT64, (scores.shape[0], *scores.shape[2:])))
    loss, _ = ops.loss.softmax_cross_entropy_loss(scores, labels)
    right = ops.logic.equal(ops.reduce.arg_max(scores, axis=1, keepdims=0), labels)
    return {"loss": loss, "accuracy": ops.reduce.reduce_mean(ops.elementwise.cast(right, to="float32"), keepdims=0)}


def binary_cross_entropy(scores: Value, target: str) -> dict[str, Value]:
    """The mean of -log(sigmoid(score)) where the label is 1 and -log(1 - sigmoid(score)) where it is 0, and the accuracy: of how many the sign is right.

    scores: as they are before a Sigmoid; where one makes them, if only cast, bounded or moved behind it, its input is read. target: of their type and
    shape, from 0 to 1. Raises RuleError for what a Softmax makes.
    """
    scores = binary_scores(scores)
    labels = scores.graph.input(target, TensorType(scores.dtype, scores.shape))
    softplus, mul, neg = ops.activation.softplus, ops.elementwise.mul, ops.elementwise.neg
    no = ops.elementwise.sub(1.0, labels)
    loss = ops.elementwise.add(mul(labels, softplus(neg(scores))), mul(no, softplus(scores)))
    right = ops.logic.equal(ops.logic.greater(scores, 0.0), ops.logic.greater(labels, 0.5))
    accuracy = ops.reduce.reduce_mean(ops.elementwise.cast(right, to="float32"), keepdims=0)
    return {"loss": ops.reduce.reduce_mean(loss, keepdims=0), "accuracy": accuracy}


def mean_squared_error(output: Value, target: str) -> dict[str, Value]:
    """The mean of (output - target)^2. target: what the output should be, of its type."""
    gap = ops.elementwise.sub(output, output.graph.input(target, TensorType(output.dtype, output.shape)))
    return {"loss": ops.reduce.reduce_mean(ops.elementwise.mul(gap, gap), keepdims=0)}


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
    "binary_cross_entropy": binary_cross_entropy,
}
TARGETS: dict[Loss, tuple[float, float]] = {binary_cross_entropy: (0.0, 1.0)}  # the least and the largest of what is right

_ALIASES = {  # what others call them
    "cross_entropy": "ce crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy softmaxcrossentropy softmaxcrossentropyloss",
    "mean_squared_error": "mse mseloss l2 l2loss meansquarederrorloss",
    "binary_cross_entropy": "bce bceloss binarycrossentropyloss bcewithlogits bcewithlogitsloss logloss logistic sigmoidcrossentropy",
}


def loss_of(loss: str | Loss) -> Loss:
    """The loss that is meant: a name, or the function itself. Raises ValueError for a name that is not known."""
    return LOSSES[loss_name(loss)] if isinstance(loss, str) else loss


def loss_name(name: str) -> str:
    """The name of a loss that is given in any case, with or without underscores, or as others call it. Raises ValueError with near misses."""
    found = named(name, {k: k for k in LOSSES}, {alias: k for k, aliases in _ALIASES.items() for alias in aliases.split()})
    if found is None:
        raise ValueError(f"no loss is called {brief(name)}; there are {', '.join(LOSSES)}{near(name, LOSSES)}")
    return found
