"""Rows of graphir.ops.fold."""

from typing import Any

import numpy as np

from cases import Case, array, case


def _columns(shape: tuple[int, ...], image: tuple[int, ...], block: tuple[int, ...], dtype: str = "float32", **how: Any) -> Case:
    return case(array(*shape, dtype=dtype), np.array(image), np.array(block), **how)


def _apart(*shape: int, among: int) -> Any:
    """Indices, none of them twice."""
    return lambda rng: rng.permutation(among)[: np.prod(shape)].reshape(shape)


CASES: dict[str, list[Case]] = {
    "Col2Im": [
        _columns((2, 12, 12), (4, 5), (2, 2)),
        _columns((1, 6, 8), (3, 4), (2, 3), strides=(1, 2), pads=(1, 0, 1, 1)),
        _columns((1, 8, 4), (6, 6), (2, 2), dilations=(4, 2), strides=(1, 2)),
        _columns((1, 4, 4), (5, 5), (2, 2), strides=(2, 2)),
        _columns((2, 6, 4), (6,), (3,)),
        _columns((1, 24, 4), (2, 3, 4), (2, 2, 3)),
        _columns((1, 4, 2), (2, 2), (4, 1), pads=(1, 0, 1, 1), strides=(1, 2)),
        _columns((0, 12, 12), (4, 5), (2, 2), referee=lambda *_: np.zeros((0, 3, 4, 5), "float32")),
        _columns((1, 4, 12), (4, 5), (2, 2), dtype="float64", tolerance=1e-12),
        *(_columns((1, 4, 12), (4, 5), (2, 2), dtype=d, tolerance=5e-2) for d in ("float16", "bfloat16")),
        _columns((1, 4, 12), (4, 5), (2, 2), dtype="int32"),
    ],
    "MaxUnpool": [
        case(array(1, 2, 2, 3), _apart(1, 2, 2, 3, among=48), kernel_shape=(2, 2), strides=(2, 2)),
        case(array(1, 2, 2, 3), _apart(1, 2, 2, 3, among=70), np.array([1, 2, 6, 8]), kernel_shape=(3, 3), strides=(2, 2)),
        case(array(1, 1, 3, 3), _apart(1, 1, 3, 3, among=16), kernel_shape=(2, 2)),
        case(array(1, 1, 3, 3), _apart(1, 1, 3, 3, among=35), kernel_shape=(3, 3), strides=(2, 3), pads=(0, 1, 2, 1)),
        case(array(2, 2, 3), _apart(2, 2, 3, among=24), kernel_shape=(2,), strides=(2,)),
        case(array(1, 1, 2, 2, 2), _apart(1, 1, 2, 2, 2, among=64), kernel_shape=(2, 2, 2), strides=(2, 2, 2)),
        case(array(0, 2, 2, 3), np.zeros((0, 2, 2, 3), "int64"), kernel_shape=(2, 2)),
        *(case(array(1, 1, 2, 2, dtype=d), _apart(1, 1, 2, 2, among=16), kernel_shape=(2, 2), strides=(2, 2))
          for d in ("float64", "float16", "bfloat16")),
    ],
}  # fmt: skip
