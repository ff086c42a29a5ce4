"""Rows of graphir.ops.attention."""

from typing import Any

import numpy as np

from cases import Case, Make, array, case

HALF: Any = {"tolerance": 3e-2}
MASK = np.array([[1, 1, 0, 1, 1, 0], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], bool)  # the third query sees nothing


def _heads(
    *more: Any, q: int = 4, kv: int = 4, queries: int = 4, keys: int = 6, size: int = 8, value: int = 5, dtype: str = "float32", **how: Any
) -> Case:
    """q, k and v with an axis of heads; then what else there is."""
    shapes = (2, q, queries, size), (2, kv, keys, size), (2, kv, keys, value)
    return case(*(array(*s, dtype=dtype) for s in shapes), *more, **how)


def _flat(*more: Any, q: int = 4, kv: int = 4, **how: Any) -> Case:
    """q, k and v with their heads side by side."""
    shapes = (2, 4, q * 8), (2, 6, kv * 8), (2, 6, kv * 5)
    return case(*(array(*s) for s in shapes), *more, q_num_heads=q, kv_num_heads=kv, **how)


def _past(kv: int = 4) -> tuple[Make, Make]:
    """Two past keys and values."""
    return array(2, kv, 2, 8), array(2, kv, 2, 5)


CASES = {
    "Attention": [
        _heads(),
        _heads(q=6, kv=2),
        _heads(scale=0.1),
        _heads(softcap=0.5, qk_matmul_output_mode=1),
        _heads(MASK, qk_matmul_output_mode=2),
        _heads(MASK, qk_matmul_output_mode=3),
        _heads(array(4, 6)),
        _heads(array(4, 4, 6), softcap=2.0, qk_matmul_output_mode=2),
        _heads(array(2, 1, 4, 6), q=6, kv=2),
        _heads(array(6)),
        _heads(array(4, 5)),
        _heads(MASK[:, :5]),
        _heads(is_causal=1),
        _heads(MASK, is_causal=1),
        _heads(None, *_past(), is_causal=1),
        _heads(array(4, 8), *_past()),
        _heads(array(4, 8), *_past(kv=2), q=6, kv=2),
        _heads(None, None, None, np.array([6, 3])),
        _heads(None, None, None, np.array([6, 3]), is_causal=1),
        _heads(array(4, 6), None, None, np.array([5, 1]), is_causal=1, left_window_size=1),
        _heads(left_window_size=2),
        _heads(right_window_size=1, left_window_size=1),
        _heads(None, *_past(), is_causal=1, left_window_size=2),
        _flat(),
        _flat(q=6, kv=2, is_causal=1),
        _flat(MASK, q=4, kv=1),
        _flat(None, *_past(kv=2), q=4, kv=2),
        _heads(queries=0),
        _heads(softmax_precision="float64", qk_matmul_output_mode=3),
        _heads(dtype="float64", tolerance=1e-12),
        *(_heads(MASK, dtype=d, **HALF) for d in ("float16", "bfloat16")),
    ],
    "RotaryEmbedding": [
        case(array(2, 3, 4, 8), array(2, 4, 4), array(2, 4, 4)),
        case(array(2, 3, 4, 8), array(2, 4, 4), array(2, 4, 4), interleaved=1),
        case(array(2, 3, 4, 8), array(2, 4, 2), array(2, 4, 2), rotary_embedding_dim=4),
        case(array(2, 3, 4, 8), array(2, 4, 3), array(2, 4, 3), rotary_embedding_dim=6, interleaved=1),
        case(array(2, 3, 4, 8), array(9, 4), array(9, 4), array(2, 4, low=0, high=8, dtype="int64")),
        case(array(2, 4, 24), array(2, 4, 4), array(2, 4, 4), num_heads=3),
        case(array(2, 4, 24), array(9, 4), array(9, 4), array(2, 4, low=0, high=8, dtype="int64"), num_heads=3, interleaved=1),
        *(case(array(2, 3, 4, 8, dtype=d), array(2, 4, 4, dtype=d), array(2, 4, 4, dtype=d), **HALF) for d in ("float16", "bfloat16")),
    ],
}
