"""What models of ai.onnx.ml make of scores: transforms, and labels."""

import math
from typing import Any

from graphir.dtypes import INT64, STRING


def transformed(xp: Any, scores: Any, post_transform: str) -> Any:
    """The scores after one of the transforms, along the last axis."""
    if post_transform == "SOFTMAX":
        powers = xp.exp(scores - scores.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)
    if post_transform == "LOGISTIC":
        return xp.special.expit(scores)
    if post_transform == "SOFTMAX_ZERO":
        most = scores.max(-1, keepdims=True)
        powers = xp.where(abs(scores) <= 1e-7, scores * xp.exp(-most), xp.exp(scores - most))
        total = powers.sum(-1, keepdims=True)
        return xp.where(total == 0, 0.5, powers / xp.where(total == 0, 1, total))
    if post_transform == "PROBIT":
        x = scores * 2 - 1
        log = xp.log((1 - x) * (1 + x))
        v = 2 / (math.pi * 0.147) + log / 2
        return xp.sign(x) * xp.sqrt(xp.sqrt(v * v - log / 0.147) - v) * math.sqrt(2)
    return scores


def label_array(xp: Any, ints: tuple[int, ...] | None, strings: tuple[Any, ...] | None) -> Any:
    """The labels as an array, to be indexed."""
    if not strings:
        return xp.asarray(ints or (0,), dtype=INT64)
    made = xp.empty(len(strings), dtype=STRING)
    made[:] = [s if isinstance(s, str) else s.decode(errors="surrogateescape") for s in strings]
    return made
