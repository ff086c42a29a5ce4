"""Rows of graphir.ops.nn."""

from typing import Any

import numpy as np

from cases import Case, Make, array, case

# ONNX Runtime where the reference fails or differs from the standard: in most of MaxPool, and in ConvTranspose with groups or output_shape.
ORT: Any = {"referee": "ort"}
HALF: Any = {"tolerance": 2e-2}


def _ties(*shape: int) -> Make:
    """Few different numbers, so that many windows have several largest."""
    return lambda rng: rng.integers(0, 3, shape).astype("float32")


def _norm(p: int) -> Any:
    """The p-norm of everything past the second axis, which no referee computes at the newest opset."""
    return lambda x: (np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p)


def _pools(referee: str) -> list[Case]:
    """What every pool does."""
    how: Any = {"referee": referee}
    return [
        case(array(2, 3, 7, 6), kernel_shape=(2, 3), **how),
        case(array(2, 3, 7, 6), kernel_shape=(3, 2), strides=(2, 3), **how),
        case(array(1, 2, 6, 6), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 0, 1, 2), **how),
        case(array(1, 2, 7, 8), kernel_shape=(3, 2), dilations=(2, 3), **how),
        case(array(1, 2, 6, 7), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), ceil_mode=1, **how),
        case(array(1, 1, 6, 5), kernel_shape=(2, 2), strides=(4, 3), ceil_mode=1, **how),
        case(array(1, 1, 5, 5), kernel_shape=(2, 2), strides=(3, 3), pads=(0, 0, 1, 1), ceil_mode=1, **how),
        *(case(array(1, 2, 7, 6), kernel_shape=(3, 2), strides=(2, 2), auto_pad=a, **how) for a in ("SAME_UPPER", "SAME_LOWER", "VALID")),
        case(array(2, 3, 9), kernel_shape=(4,), strides=(2,), pads=(1, 2), **how),
        case(array(1, 2, 5, 4, 6), kernel_shape=(2, 2, 3), strides=(1, 2, 2), pads=(1, 0, 0, 0, 1, 2), **how),
        case(array(1, 2, 5, 5), kernel_shape=(1, 1), **how),
        case(array(1, 2, 5, 5), kernel_shape=(1, 1), strides=(2, 2), **how),
        case(array(0, 2, 5, 5), kernel_shape=(2, 2), **how),
        case(array(1, 2, 6, 6, dtype="float64"), kernel_shape=(3, 3), dilations=(1, 2)),
        *(case(array(1, 2, 6, 6, dtype=d), kernel_shape=(3, 3), dilations=(1, 2), **HALF) for d in ("float16", "bfloat16")),
    ]


CASES = {
    "Conv": [
        case(array(2, 3, 7, 6), array(4, 3, 3, 2)),
        case(array(2, 3, 7, 6), array(4, 3, 3, 2), array(4)),
        case(array(2, 3, 7, 6), array(4, 3, 3, 2), kernel_shape=(3, 2)),
        case(array(1, 2, 8, 9), array(3, 2, 3, 3), strides=(2, 3), pads=(1, 0, 2, 1)),
        case(array(1, 2, 9, 9), array(3, 2, 3, 2), dilations=(2, 3), pads=(2, 1, 2, 1)),
        case(array(2, 6, 7, 7), array(9, 2, 3, 3), array(9), group=3, pads=(1, 1, 1, 1)),
        case(array(2, 4, 6, 6), array(4, 1, 3, 3), array(4), group=4, pads=(1, 1, 1, 1)),
        case(array(2, 4, 6, 6), array(8, 1, 3, 3), group=4, strides=(2, 2)),
        case(array(2, 5, 4, 3), array(6, 5, 1, 1), array(6)),
        case(array(2, 5, 4, 3), array(6, 5, 1, 1), strides=(2, 2)),
        case(array(2, 5, 4, 3), array(6, 5, 1, 1), pads=(1, 1, 1, 1)),
        *(case(array(1, 2, 7, 6), array(3, 2, 3, 4), strides=(2, 1), auto_pad=a) for a in ("SAME_UPPER", "SAME_LOWER", "VALID")),
        case(array(2, 3, 11), array(4, 3, 5), array(4), strides=(2,), pads=(2, 1)),
        case(array(1, 2, 5, 6, 4), array(3, 2, 2, 3, 2), array(3), strides=(1, 2, 1), pads=(1, 0, 1, 0, 1, 0)),
        case(array(0, 3, 7, 6), array(4, 3, 3, 2)),
        case(
            array(1, 64, 160, 130, low=-1, high=1), array(2, 64, 3, 3, low=-0.1, high=0.1), tolerance=1e-4, referee="ort"
        ),  # more than one block
        case(array(70, 16, 14, 14, low=-1, high=1), array(2, 16, 3, 3, low=-0.1, high=0.1), tolerance=1e-4, referee="ort"),
        case(array(1, 2, 6, 6, dtype="float64"), array(3, 2, 3, 3, dtype="float64"), tolerance=1e-12),
        *(case(array(1, 2, 6, 6, dtype=d), array(3, 2, 3, 3, dtype=d), array(3, dtype=d), tolerance=1e-1) for d in ("float16", "bfloat16")),
    ],
    "ConvTranspose": [
        case(array(2, 3, 4, 5), array(3, 2, 3, 2)),
        case(array(2, 3, 4, 5), array(3, 2, 3, 2), array(2)),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(2, 3), pads=(1, 0, 0, 2)),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(3, 2), output_padding=(2, 1)),
        case(array(1, 2, 4, 3), array(2, 3, 2, 3), dilations=(2, 3), strides=(2, 1)),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(3, 2), output_shape=(11, 7), **ORT),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(3, 2), output_shape=(10, 8), auto_pad="SAME_UPPER", **ORT),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(2, 2), auto_pad="SAME_UPPER"),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(2, 2), auto_pad="SAME_LOWER"),
        case(array(1, 2, 4, 3), array(2, 3, 3, 3), strides=(2, 2), auto_pad="VALID"),
        case(array(2, 6, 4, 3), array(6, 2, 3, 3), array(6), group=3, strides=(2, 2), pads=(1, 1, 1, 1), **ORT),
        case(array(2, 4, 4, 3), array(4, 1, 3, 3), group=4, **ORT),
        case(array(2, 3, 6), array(3, 2, 4), array(2), strides=(3,), pads=(1, 2)),
        case(array(1, 2, 3, 2, 4), array(2, 2, 2, 3, 2), strides=(2, 1, 2)),
        case(array(0, 3, 4, 5), array(3, 2, 3, 2), **ORT),
        case(array(1, 2, 4, 3, dtype="float64"), array(2, 3, 3, 3, dtype="float64"), tolerance=1e-12),
        *(case(array(1, 2, 4, 3, dtype=d), array(2, 3, 3, 3, dtype=d), tolerance=1e-1) for d in ("float16", "bfloat16")),
    ],
    "MaxPool": [
        *_pools("ort"),
        *(case(_ties(2, 2, 6, 5), kernel_shape=(3, 3), storage_order=o, **ORT) for o in (0, 1)),
        case(_ties(1, 2, 4, 5, 3), kernel_shape=(2, 3, 2), storage_order=1, **ORT),
        case(_ties(1, 2, 6, 5), kernel_shape=(3, 3), pads=(1, 1, 1, 1), strides=(2, 2), storage_order=1, **ORT),
        case(array(1, 2, 6, 6, low=-100, high=100, dtype="int8"), kernel_shape=(2, 2), pads=(1, 1, 1, 1), **ORT),
        case(array(1, 2, 6, 6, low=0, high=255, dtype="uint8"), kernel_shape=(2, 2), pads=(1, 1, 1, 1), **ORT),
        case(array(1, 2, 6, 5), kernel_shape=(3, 3), pads=(1, 1, 1, 1), storage_order=1, **ORT),
        case(np.full((1, 1, 3, 3), -np.inf, "float32"), kernel_shape=(2, 2), strides=(1, 2), pads=(1, 1, 1, 1)),
    ],
    "AveragePool": [
        *_pools("reference"),
        case(array(1, 2, 6, 6), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 0, 1, 2), count_include_pad=1),
        case(array(1, 2, 6, 6), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), ceil_mode=1, count_include_pad=1),
        case(array(1, 2, 6, 6), kernel_shape=(3, 3), strides=(2, 2), auto_pad="SAME_UPPER", count_include_pad=1),
        case(array(1, 2, 7, 8), kernel_shape=(3, 2), dilations=(2, 3), pads=(1, 1, 1, 1), count_include_pad=1),
    ],
    "LpPool": [
        *_pools("ort"),
        *(case(array(1, 2, 6, 6), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), p=p, **ORT) for p in (1, 3)),
    ],
    "GlobalAveragePool": [
        case(array(2, 3, 4, 5)),
        case(array(2, 3, 4)),
        case(array(2, 3, 4, 2, 2, dtype="float64"), tolerance=1e-12),
        *(case(array(2, 3, 4, 5, dtype=d), **HALF) for d in ("float16", "bfloat16")),
    ],
    "GlobalMaxPool": [
        case(array(2, 3, 4, 5)),
        case(array(2, 3, 4), **ORT),
        case(array(2, 3, 4, 2, 2), **ORT),
        *(case(array(2, 3, 4, 5, dtype=d)) for d in ("float16", "bfloat16", "float64")),
    ],
    "GlobalLpPool": [
        case(array(2, 3, 4, 5), referee=_norm(2)),
        case(array(2, 3, 4), p=1, referee=_norm(1)),
        case(array(2, 3, 4, 2, 2), p=3, referee=_norm(3)),
    ],
}
