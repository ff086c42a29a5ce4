"""Rows of graphir.ops.training."""

from typing import Any

import numpy as np

from cases import array, case

RATE, COUNT = np.float32(0.1), np.int64(3)
FIRST = np.int64(0)


def positive(*shape: int, dtype: str = "float32") -> Any:
    return array(*shape, low=0.5, high=2, dtype=dtype)


ADAGRAD = (array(2, 3), array(2, 3), positive(2, 3))
ADAM = (array(2, 3), array(2, 3), array(2, 3), positive(2, 3))
MOMENTUM = (array(2, 3), array(2, 3), array(2, 3))
HOW: Any = {"alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.0}


def _doubles(*shape: int) -> Any:
    return array(*shape, dtype="float64")


CASES = {
    "Adagrad": [
        case(RATE, COUNT, *ADAGRAD),
        case(RATE, COUNT, *ADAGRAD, decay_factor=0.1, epsilon=1e-3, norm_coefficient=0.01),
        case(RATE, FIRST, *ADAGRAD, decay_factor=0.1),
        case(RATE, COUNT, array(4), array(2, 2), array(4), array(2, 2), positive(4), positive(2, 2), norm_coefficient=0.1),
        case(np.float64(0.1), COUNT, _doubles(3), _doubles(3), positive(3, dtype="float64")),
    ],
    "Adam": [
        case(RATE, COUNT, *ADAM),
        case(RATE, COUNT, *ADAM, alpha=0.5, beta=0.75, epsilon=1e-3, norm_coefficient=0.01, norm_coefficient_post=0.1),
        case(RATE, FIRST, *ADAM),
        case(RATE, COUNT, array(4), array(2, 2), array(4), array(2, 2), array(4), array(2, 2), positive(4), positive(2, 2)),
        case(np.float64(0.1), COUNT, _doubles(3), _doubles(3), _doubles(3), positive(3, dtype="float64")),
    ],
    "Momentum": [
        *(case(RATE, t, *MOMENTUM, mode=mode, **HOW) for mode in ("standard", "nesterov") for t in (FIRST, COUNT)),
        case(RATE, COUNT, *MOMENTUM, mode="nesterov", alpha=0.9, beta=0.5, norm_coefficient=0.01),
        case(RATE, COUNT, array(4), array(2, 2), array(4), array(2, 2), array(4), array(2, 2), mode="standard", **HOW),
        case(np.float64(0.1), COUNT, _doubles(3), _doubles(3), _doubles(3), mode="standard", **HOW),
    ],
    "Gradient": [],  # it says something of the graph that it stands in: tests/test_gradient_nodes.py
}
