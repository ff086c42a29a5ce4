"""Kernels of graphir.ops.loss."""

from typing import Any

from ..precision import in_single


def _picked(xp: Any, input: Any, target: Any, weight: Any = None, *, ignore_index: int | None, reduction: str) -> Any:
    """The loss, given logarithms of probabilities. Raises IndexError for a label that is no class."""
    counted = None if ignore_index is None else target != ignore_index
    classes = target if counted is None else xp.where(counted, target, 0)
    _check_labels(xp, classes, input.shape[1])
    if input.ndim == 2:
        loss = xp.negative(input[xp.arange(len(classes)), classes])
    else:
        loss = xp.negative(xp.take_along_axis(input, classes[:, None], axis=1)[:, 0])
    taken = None if weight is None else weight[classes]
    if taken is not None:
        loss = loss * taken
    if counted is not None:
        loss = xp.where(counted, loss, input.dtype.type(0))
        taken = counted.astype(input.dtype) if taken is None else xp.where(counted, taken, input.dtype.type(0))
    if reduction == "none":
        return loss
    total = xp.add.reduce(loss, axis=None)
    if reduction == "sum":
        return total
    return total / (loss.dtype.type(loss.size) if taken is None else xp.sum(taken))


def _check_labels(xp: Any, classes: Any, count: int) -> None:
    """One pass: seen without their sign, negative labels are the largest of all."""

    def error() -> IndexError:
        wrong = classes[(classes < 0) | (classes >= count)]
        return IndexError(f"the label {int(wrong[0])} is no class; the scores have {count} classes, 0 to {count - 1}")

    if classes.size:
        xp.require(xp.maximum.reduce(classes.view(f"u{classes.dtype.itemsize}"), axis=None) < count, error)


negative_log_likelihood_loss = in_single(_picked)


@in_single
def softmax_cross_entropy_loss(
    xp: Any, scores: Any, labels: Any, weights: Any = None, *, ignore_index: int | None, reduction: str
) -> tuple[Any, Any]:  # fmt: skip
    logs = scores - xp.maximum.reduce(scores, axis=1, keepdims=True)
    total = xp.add.reduce(xp.exp(logs), axis=1, keepdims=True)
    logs -= xp.log(total, out=total)
    return _picked(xp, logs, labels, weights, ignore_index=ignore_index, reduction=reduction), logs
