"""Losses: functions from what a model says, and the name of the input for what is right, to the loss and the metrics, built of ops."""

from collections.abc import Callable, Mapping

from .. import ops
from ..dtypes import INT64
from ..ir import Value
from ..ops import RuleError
from ..types import TensorType

Loss = Callable[[Value, str], Mapping[str, Value]]


def cross_entropy(scores: Value, target: str) -> dict[str, Value]:
    """The mean of -log(softmax(scores)[label]) over all labels, and the accuracy: the share of labels that have the highest score.

    scores: (N, C, ...), as they are before a softmax; where a Softmax over the classes makes them, its input is read. target: labels from 0 to C - 1, int64[N, ...].
    """
    if scores.rank < 2:
        raise RuleError(f"cross entropy needs scores of shape [N, classes, ...]; {scores.name} is {scores.type}")
    node = scores.node
    if node is not None and node.op is ops.activation.softmax and node.attributes.get("axis", -1) in (1, 1 - scores.rank):
        scores = node.inputs[0] or scores
    labels = scores.graph.input(target, TensorType(INT64, (scores.shape[0], *scores.shape[2:])))
    loss, _ = ops.loss.softmax_cross_entropy_loss(scores, labels)
    right = ops.logic.equal(ops.reduce.arg_max(scores, axis=1, keepdims=0), labels)
    return {"loss": loss, "accuracy": ops.reduce.reduce_mean(ops.elementwise.cast(right, to="float32"), keepdims=0)}


def mean_squared_error(output: Value, target: str) -> dict[str, Value]:
    """The mean of (output - target)^2. target: what the output should be, of its type."""
    gap = ops.elementwise.sub(output, output.graph.input(target, TensorType(output.dtype, output.shape)))
    return {"loss": ops.reduce.reduce_mean(ops.elementwise.mul(gap, gap), keepdims=0)}


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mean_squared_error": mean_squared_error}
