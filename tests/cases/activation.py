"""Rows of graphir.ops.activation."""

from typing import Any

import numpy as np

from cases import Case, array, case

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 90.0, -90.0], "float32")
FINITE = SPECIAL[5:]
HALF: dict[str, Any] = {"tolerance": 2e-2}


def shapes(special: bool = True, **attributes: Any) -> list[Case]:
    """A matrix, a scalar, nothing, large enough for another algorithm, other floats, special and extreme numbers."""
    rows = [case(array(*s, low=-4, high=4), **attributes) for s in ((3, 4), (), (0, 3), (65, 65))]
    rows.append(case(array(5, low=-4, high=4, dtype="float64"), tolerance=1e-7, **attributes))
    rows += [case(array(2, 3, low=-4, high=4, dtype=d), **HALF, **attributes) for d in ("float16", "bfloat16")]
    return [*rows, *([case(SPECIAL, **attributes)] if special else [case(FINITE, **attributes), case(np.array([0.0, -0.0]), **attributes)])]


def along_axis() -> list[Case]:
    """Every axis, one element, nothing, large numbers."""
    rows = [case(array(2, 3, 4), axis=a) for a in (0, 1, 2, -1, -3)]
    rows += [case(array(3)), case(array(2, 1)), case(array(0, 3)), case(array(2, 3, dtype="float64"))]
    rows += [case(array(2, 5, dtype=d), **HALF) for d in ("float16", "bfloat16")]
    return [
        *rows,
        case(np.array([[1000.0, 1001.0, -1000.0], [0.0, 0.0, 0.0]], "float32"), referee="ort"),
        case(np.array([[1.0, -np.inf, 2.0]], "float32")),
    ]


CASES = {
    "Relu": [*shapes(), *(case(np.array([-5, 0, 5], d)) for d in ("int8", "int16", "int32", "int64"))],
    "LeakyRelu": [
        *shapes(special=False),
        *shapes(special=False, alpha=0.5)[:2],
        case(FINITE, alpha=-0.5),
        case(SPECIAL, alpha=2.0),
        case(array(5, dtype="float64"), tolerance=1e-12),
    ],
    "PRelu": [
        case(array(2, 3, 4), array(4)),
        case(array(2, 3, 4), array(3, 1)),
        case(array(2, 3), array()),
        case(array(2, 3, dtype="float16"), array(3, dtype="float16"), **HALF),
        case(array(2, 3, dtype="bfloat16"), array(3, dtype="bfloat16"), **HALF),
        case(np.array([-5, 0, 5]), np.array([2, 3, 4])),
        case(np.array([5, 0], "uint32"), np.array([2, 3], "uint32")),
    ],
    "Elu": [
        *shapes(special=False),
        *shapes(special=False, alpha=2.0)[:2],
        case(np.array([-1e-6, -1e-3, -np.inf], "float32"), tolerance=1e-7),
    ],
    "Selu": [*shapes(special=False), *shapes(special=False, alpha=2.0, gamma=3.0)[:2]],
    "Celu": [*shapes(special=False), *shapes(special=False, alpha=2.0)[:2], case(array(3), alpha=0.3)],
    "ThresholdedRelu": [*shapes(), *shapes(alpha=0.3)[:2]],
    "Shrink": [
        *(case(array(3, 4), lambd=b, bias=a) for a, b in ((0.0, 1.0), (1.5, 1.5))),
        case(array()),
        case(array(4, dtype="float16"), bias=0.5, **HALF),
        *(case(np.array([-5, 0, 5], d), bias=1.5, lambd=2.0) for d in ("int8", "int64")),
        case(np.array([1, 0, 5], "uint8"), bias=1.0, lambd=2.0),
    ],
    "Sigmoid": shapes(),
    "Softplus": shapes(),
    "Softsign": [row for i, row in enumerate(shapes(special=False)) if i != 1] + [case(array(), referee="ort")],
    "HardSigmoid": [*shapes(), *shapes(alpha=0.5, beta=0.6)[:2]],
    "HardSwish": shapes(special=False),
    "Mish": shapes(special=False),
    "Swish": [*shapes(special=False), *shapes(special=False, alpha=1.5)[:2], case(array(3), alpha=-1.0)],
    "SwiGLU": [
        *(case(array(*s, low=-4, high=4), array(*s)) for s in ((3, 4), (), (0, 3))),
        case(array(2, 3, low=-4, high=4), array(2, 3), alpha=1.5),
        case(array(3), array(3), alpha=-1.0),
        case(FINITE, FINITE[::-1]),
        case(array(5, dtype="float64"), array(5, dtype="float64"), tolerance=1e-7),
        *(case(array(2, 3, dtype=d), array(2, 3, dtype=d), **HALF) for d in ("float16", "bfloat16")),
    ],
    "Gelu": [*shapes(special=False), *shapes(special=False, approximate="tanh")],
    "Softmax": along_axis(),
    "LogSoftmax": along_axis(),
    "Hardmax": [*along_axis(), case(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]], "float32"), axis=1)],
}
