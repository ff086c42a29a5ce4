"""Rows of graphir.ops.loss."""

from typing import Any

import numpy as np

from cases import Make, array, case

HALF: Any = {"tolerance": 2e-2}


def _labels(*shape: int, ignored: int | None = None, dtype: str = "int64") -> Make:
    """Classes of 5; some of them `ignored`."""

    def make(rng: np.random.Generator) -> np.ndarray:
        classes = rng.integers(0, 5, shape)
        return (classes if ignored is None else np.where(rng.random(shape) < 0.4, ignored, classes)).astype(dtype)

    return make


def _rows(low: float, high: float) -> list[Any]:
    """Scores, or logarithms of probabilities, of 5 classes."""
    weights = array(5, low=0.5, high=2)
    return [
        *(case(array(6, 5, low=low, high=high), _labels(6), reduction=r) for r in ("none", "sum", "mean")),
        case(array(6, 5, low=low, high=high), _labels(6)),
        *(case(array(2, 5, 3, low=low, high=high), _labels(2, 3), weights, reduction=r) for r in ("none", "sum", "mean")),
        *(
            case(array(2, 5, 3, 2, low=low, high=high), _labels(2, 3, 2, ignored=0), ignore_index=0, reduction=r)
            for r in ("none", "sum", "mean")
        ),
        *(
            case(array(2, 5, 3, low=low, high=high), _labels(2, 3, ignored=9), weights, ignore_index=9, reduction=r)
            for r in ("none", "mean")
        ),
        case(array(8, 5, low=low, high=high), _labels(8, ignored=-100), ignore_index=-100),
        case(array(6, 5, low=low, high=high), _labels(6, dtype="int32")),
        case(array(2, 5, 2, 2, 2, low=low, high=high), _labels(2, 2, 2, 2)),
        case(array(6, 5, low=low, high=high, dtype="float64"), _labels(6), tolerance=1e-12),
        *(case(array(6, 5, low=low, high=high, dtype=d), _labels(6), **HALF) for d in ("float16", "bfloat16")),
    ]


CASES = {
    "NegativeLogLikelihoodLoss": _rows(-5, 0),
    "SoftmaxCrossEntropyLoss": [*_rows(-3, 3), case(array(3, 5, low=-200, high=200), _labels(3), referee="ort", tolerance=1e-4)],
}
