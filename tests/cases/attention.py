"""Rows of graphir.ops.attention."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from cases import Case, Make, array, case
from cases.control import ADD, MUL, body
from graphir import Graph, TensorType
from graphir.ops import OPS

TANH, WHERE = (OPS["", name] for name in ("Tanh", "Where"))

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


def _flex(
    *more: Any, q: int = 4, kv: int = 4, queries: int = 3, dtype: str = "float32", score: Any = None, prob: Any = None, **how: Any
) -> Case:
    """q, k and v; what the bodies capture, one each; what the bodies do, to what they take and capture."""
    shapes = (2, q, queries, 8), (2, kv, 5, 8), (2, kv, 5, 6)
    wide = how.get("softmax_precision", "float64" if dtype == "float64" else "float32")
    for name, build, outer in (("score_mod", score, "x3"), ("prob_mod", prob, "x4")):
        if build is not None:
            how[name] = partial(_modifier, build, outer if more else "", (2, q, queries, 5), wide)
    return case(*(array(*s, dtype=dtype) for s in shapes), *more, **how)


def _modifier(build: Callable[..., Any], outer: str, shape: tuple[int, ...], dtype: str, graph: Graph) -> Graph:
    captured = [v for v in graph.inputs if v.name == outer]
    scores = TensorType(captured[0].dtype if captured else dtype, shape)
    return body([scores], lambda x: (build(x, *captured),))(graph)


def _modified(score: Any = lambda s: s, prob: Any = lambda p: p) -> Callable[..., np.ndarray]:
    """What comes out where the bodies do so; each may take one more array."""

    def expected(q: np.ndarray, k: np.ndarray, v: np.ndarray, *more: np.ndarray) -> np.ndarray:
        scores = score(q @ k.swapaxes(2, 3) / np.sqrt(8), *more[:1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return (prob(weights / weights.sum(-1, keepdims=True), *more[1:]) @ v).astype("float32")

    return expected


SEEN = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]], bool)

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
    "FlexAttention": [
        _flex(),
        _flex(q=6, kv=2, scale=0.3),
        _flex(score=lambda s: MUL(TANH(MUL(s, 0.5)), 2.0), referee=_modified(score=lambda s: 2 * np.tanh(s / 2))),
        _flex(prob=lambda p: MUL(p, p)),
        _flex(score=lambda s: WHERE(SEEN, s, -np.inf), prob=lambda p: p, referee=_modified(score=lambda s: np.where(SEEN, s, -np.inf))),
        _flex(array(3, 5), array(4, 1, 1), score=ADD, prob=MUL, referee=_modified(score=np.add, prob=np.multiply)),
        _flex(q=6, kv=2, score=lambda s: ADD(s, s), softmax_precision="float32"),
        _flex(dtype="float64", scale=0.25, score=lambda s: MUL(s, s), tolerance=1e-12),
        case(array(2, 4, 3, 8), array(2, 4, 0, 8), array(2, 4, 0, 6), referee=lambda *x: np.zeros((2, 4, 3, 6), "float32")),
        _flex(queries=0, referee=lambda *x: np.zeros((2, 4, 0, 6), "float32")),
        *(_flex(dtype=d, prob=lambda p: MUL(p, p), **HALF) for d in ("float16", "bfloat16")),
        _flex(dtype="float16", score=lambda s: ADD(s, s), softmax_precision="float16", **HALF),
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
