"""Rows of graphir.ops.stateful."""

from typing import Any

from cases import Case, Make, array, case

HALF: Any = {"tolerance": 3e-2}
LOG: Any = {"low": -1, "high": 0}
RATE: Any = {"low": 0, "high": 1}


def _text(rule: str, *, q: int = 4, kv: int = 2, length: int = 5, per_key: bool = True, rates: int = 2, past: bool = False, dtype: str = "float32",
          state: str = "", **how: Any) -> Case:  # fmt: skip
    """Queries, keys and values of size 3 and 5, and what the rule asks for."""
    last: Make | None = array(2, kv, 3, 5, dtype=state or dtype) if past else None
    decay = array(2, length, kv * (3 if per_key else 1), dtype=dtype, **LOG) if "gated" in rule else None
    beta = array(2, length, rates, dtype=dtype, **RATE) if "delta" in rule else None
    inputs = [*(array(2, length, n, dtype=dtype, low=-1, high=1) for n in (q * 3, kv * 3, kv * 5)), last, decay, beta]
    while inputs[-1] is None:
        inputs.pop()
    return case(*inputs, q_num_heads=q, kv_num_heads=kv, update_rule=rule, **how)


def _channels(*more: Any, k: int = 3, length: int = 6, dtype: str = "float32", **how: Any) -> Case:
    return case(array(2, 4, length, dtype=dtype), array(4, 1, k, dtype=dtype), *more, **how)


CASES = {
    "LinearAttention": [
        *(_text(rule) for rule in ("linear", "gated", "delta", "gated_delta")),
        *(_text(rule, past=True, per_key=False, rates=1) for rule in ("linear", "gated", "delta", "gated_delta")),
        _text("gated_delta", q=2, kv=2, scale=0.7),
        _text("gated_delta", q=3, kv=1, rates=1, length=1, past=True),
        _text("delta", chunk_size=2),
        _text("gated_delta", length=0, past=True),
        _text("gated_delta", past=True, dtype="float16", state="float32", **HALF),
        *(_text("gated_delta", dtype=d, **HALF) for d in ("float16", "bfloat16")),
    ],
    "CausalConvWithState": [
        _channels(),
        _channels(array(4)),
        _channels(None, array(2, 4, 2)),
        _channels(array(4), array(2, 4, 2), activation="silu"),
        _channels(array(4), activation="swish"),
        _channels(k=1),
        _channels(array(4), k=5, length=2),
        _channels(None, array(2, 4, 4), k=5, length=2),
        _channels(None, array(2, 4, 2), length=1),
        *(_channels(array(4, dtype=d), array(2, 4, 2, dtype=d), dtype=d, activation="silu", **HALF) for d in ("float16", "bfloat16")),
    ],
}
