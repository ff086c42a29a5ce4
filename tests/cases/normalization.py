"""Rows of graphir.ops.normalization."""

from typing import Any

import numpy as np

from cases import Case, array, case

ORT: Any = {"referee": "ort"}
HALF: Any = {"tolerance": 2e-2}
HALVES = ("float16", "bfloat16")


def _batch_norm(*shape: int, dtype: str = "float32", **how: Any) -> Case:
    """x, scale, b, mean and variance."""
    channels = shape[1] if len(shape) > 1 else 1
    parts = [array(channels, dtype=dtype) for _ in range(3)]
    return case(array(*shape, dtype=dtype), *parts, array(channels, low=0.5, high=3, dtype=dtype), **how)


def _scaled(shape: tuple[int, ...], *parts: tuple[int, ...], dtype: str = "float32", **how: Any) -> Case:
    """x, and scale and bias of these shapes."""
    return case(array(*shape, dtype=dtype), *(array(*p, dtype=dtype) for p in parts), **how)


def _lrn(size: int, alpha: float, beta: float, bias: float) -> Any:
    """What ONNX Runtime refuses but for 4 axes, and the reference but for as many channels as images."""

    def expected(x: np.ndarray) -> np.ndarray:
        channels = x.shape[1]
        places = [range(max(0, c - (size - 1) // 2), min(channels, c + size // 2 + 1)) for c in range(channels)]
        squares = np.stack([(x[:, list(p)] ** 2).sum(axis=1) for p in places], axis=1)
        return x / (bias + alpha / size * squares) ** beta

    return expected


def _layer_norm(x: np.ndarray, scale: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    x, scale, b = (z.astype("float64") for z in (x, scale, b))
    mean = x.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    return (x - mean) * inverse * scale + b, mean, inverse


def _mean_variance(*axes: int) -> Any:
    """What the reference computes for float32 only."""

    def expected(x: np.ndarray) -> np.ndarray:
        x = x.astype("float64")
        return (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)

    return expected


def _dropped(x: np.ndarray, *_: Any) -> tuple[np.ndarray, ...]:
    """Half of the numbers, with the seed 7."""
    kept = np.random.RandomState(7).uniform(0, 1, x.shape) >= 0.5
    return x * kept * 2, kept


CASES = {
    "BatchNormalization": [
        _batch_norm(2, 3, 4, 5, **ORT),
        _batch_norm(2, 3, 4, 5, epsilon=0.1, **ORT),
        _batch_norm(2, 3, **ORT),
        _batch_norm(2, 3, 4, **ORT),
        _batch_norm(2, 3, 2, 2, 3, **ORT),
        _batch_norm(0, 3, 4, 5),
        _batch_norm(2, 3, 4, 5, dtype="float64", tolerance=1e-12, **ORT),
        *(_batch_norm(2, 3, 4, 5, dtype=d, **HALF) for d in HALVES),
        case(array(2, 3, 4, dtype="float16"), *(array(3) for _ in range(3)), array(3, low=0.5), **HALF),
        _batch_norm(4, 3, 4, 5, training_mode=1),
        _batch_norm(4, 3, training_mode=1, momentum=0.5, epsilon=0.01),
        _batch_norm(4, 3, 4, 5, dtype="float16", training_mode=1, **HALF),
    ],
    "LayerNormalization": [
        _scaled((2, 3, 8), (8,), (8,), **ORT),
        _scaled((2, 3, 8), (8,), **ORT),
        _scaled((2, 3, 4, 5), (4, 5), (4, 5), axis=2, **ORT),
        _scaled((2, 3, 4, 5), (4, 5), (4, 5), axis=-2, epsilon=0.1, **ORT),
        _scaled((2, 3, 4), (2, 3, 4), (2, 3, 4), axis=0, **ORT),
        _scaled((2, 3, 4), (4,), (1,), axis=1),
        _scaled((2, 3, 4), (2, 3, 1), (4,), axis=-1),
        _scaled((8,), (8,), (8,)),
        _scaled((2, 3, 8), (8,), (8,), stash_type="float32"),
        _scaled((0, 3, 4), (4,), (4,)),
        case(lambda rng: rng.normal(1000, 1, (4, 64)).astype("float32"), array(64), array(64), tolerance=1e-3),
        _scaled((2, 3, 8), (8,), (8,), dtype="float16", **HALF, **ORT),
        _scaled((2, 3, 8), (8,), (8,), dtype="bfloat16", referee=_layer_norm, **HALF),
    ],
    "RMSNormalization": [
        _scaled((2, 3, 8), (8,)),
        _scaled((2, 3, 4, 5), (4, 5), axis=2),
        _scaled((2, 3, 4, 5), (3, 4, 5), axis=-3, epsilon=0.1),
        _scaled((2, 3, 4), (1,), axis=0),
        _scaled((0, 3, 4), (4,)),
        _scaled((2, 3, 8), (8,), dtype="float64", tolerance=1e-6),
        *(_scaled((2, 3, 8), (8,), dtype=d, **HALF) for d in HALVES),
    ],
    "InstanceNormalization": [
        _scaled((2, 3, 4, 5), (3,), (3,)),
        _scaled((2, 3, 7), (3,), (3,), epsilon=0.1),
        _scaled((2, 3, 2, 3, 4), (3,), (3,)),
        _scaled((2, 3, 4, 5), (3,), (3,), dtype="float64", tolerance=1e-12),
        *(_scaled((2, 3, 4, 5), (3,), (3,), dtype=d, tolerance=5e-2) for d in HALVES),
    ],
    "GroupNormalization": [
        _scaled((2, 6, 4, 5), (6,), (6,), num_groups=3),
        _scaled((2, 6, 4, 5), (6,), (6,), num_groups=1, epsilon=0.1),
        _scaled((2, 6, 7), (6,), (6,), num_groups=6),
        _scaled((2, 6), (6,), (6,), num_groups=2),
        *(_scaled((2, 6, 4, 5), (6,), (6,), num_groups=2, dtype=d, tolerance=5e-2) for d in HALVES),
    ],
    "LRN": [
        case(array(4, 4, 3, 2), size=3),
        case(array(2, 5, 3, 2), size=3, alpha=0.5, beta=0.5, bias=2.0, referee=_lrn(3, 0.5, 0.5, 2)),
        case(array(2, 5, 3, 2), size=4, alpha=0.5, referee=_lrn(4, 0.5, 0.75, 1)),
        case(array(2, 5, 3), size=5, alpha=0.5, referee=_lrn(5, 0.5, 0.75, 1)),
        case(array(2, 3, 4, 2), size=9, alpha=0.5, referee=_lrn(9, 0.5, 0.75, 1)),
        case(array(2, 5, 3, dtype="float16"), size=1, alpha=0.5, referee=_lrn(1, 0.5, 0.75, 1), **HALF),
    ],
    "LpNormalization": [
        case(array(3, 4)),
        case(array(3, 4, 2), axis=1, p=1, **ORT),
        case(array(3, 4, 2), axis=0, p=2),
        case(np.array([[0, 0], [3, 4]], "float32")),
        case(np.array([[0, 0], [3, 4]], "float32"), p=1),
        case(array(3, 4, dtype="float64"), axis=-2, tolerance=1e-12),
        *(case(array(3, 4, dtype=d), **HALF) for d in HALVES),
    ],
    "MeanVarianceNormalization": [
        case(array(2, 3, 4, 5)),
        case(array(2, 3, 4), axes=(0, 2)),
        case(array(2, 3, 4, 5), axes=(-1,)),
        case(array(2, 3, 4, 5, dtype="float64"), axes=(1, 2, 3), tolerance=1e-8, referee=_mean_variance(1, 2, 3)),
        case(array(2, 3, 4, 5, dtype="float16"), referee=_mean_variance(0, 2, 3), **HALF),
    ],
    "Dropout": [
        case(array(3, 4)),
        case(array(3, 4), np.array(0.3, "float32")),
        case(array(3, 4), np.array(0.3, "float32"), np.array(False)),
        case(array(3, 4), np.array(0.0, "float32"), np.array(True), seed=1),
        case(array(30, 40), np.array(0.3, "float32"), np.array(True), seed=1),
        case(array(30, 40), None, np.array(True), seed=7, referee=_dropped),
        case(array(3, 4, dtype="float64"), np.array(0.75, "float64"), np.array(True), seed=0),
        case(array(30, 4, dtype="bfloat16"), np.array(0.5, "float32"), np.array(True), seed=3),
        case(array(3, 4, dtype="float8_e5m2"), np.array(0.5, "float32")),
        case(array(0, 4), np.array(0.5, "float32"), np.array(True), seed=3),
    ],
}
