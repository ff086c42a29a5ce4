"""Kernels of graphir.ops.loss."""

from typing import Any

from ..precision import in_single


def _picked(xp: Any, input: Any, target: Any, weight: Any = None, *, ignore_index: int | None, reduction: str) -> Any:
    """The loss, given logarithms of probabilities."""
    counted = None if ignore_index is None else target != ignore_index
    classes = target if counted is None else xp.where(counted, target, 0)
    loss = -xp.take_along_axis(input, classes[:, None], axis=1)[:, 0]
    taken = None if weight is None else weight[classes]
    if taken is not None:
        loss = loss * taken
    if counted is not None:
        loss = xp.where(counted, loss, input.dtype.type(0))
        taken = counted.astype(input.dtype) if taken is None else xp.where(counted, taken, input.dtype.type(0))
    if reduction == "none":
        return loss
    total = xp.sum(loss)
    if reduction == "sum":
        return total
    return total / (loss.dtype.type(loss.size) if taken is None else xp.sum(taken))


negative_log_likelihood_loss = in_single(_picked)


@in_single
def softmax_cross_entropy_loss(
    xp: Any, scores: Any, labels: Any, weights: Any = None, *, ignore_index: int | None, reduction: str
) -> tuple[Any, Any]:  # fmt: skip
    logs = scores - xp.max(scores, axis=1, keepdims=True)
    logs -= xp.log(xp.sum(xp.exp(logs), axis=1, keepdims=True))
    return _picked(xp, logs, labels, weights, ignore_index=ignore_index, reduction=reduction), logs
