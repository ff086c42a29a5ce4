"""Attention and the position embedding that goes with it."""

from typing import Annotated, Any

from ..dims import Dim
from ..types import TensorType
from ._elementwise import same_type
from ._op import T1, T2, DType, Ints, MayOmit, RuleError, T, op
from ._types import BOOLEAN, FLOAT, INTS, differ, dtypes, expect_shape

U = Annotated[Any, "U"]


@op("Attention", since=25, T1=FLOAT, T2=FLOAT, U=FLOAT | INTS | BOOLEAN)
def attention(
    q: T1, k: T1, v: T2, attn_mask: U | None = None, past_key: T1 | None = None, past_value: T2 | None = None,
    nonpad_kv_seqlen: Ints | None = None, *, is_causal: int = 0, kv_num_heads: int | None = None, left_window_size: int = -1,
    q_num_heads: int | None = None, qk_matmul_output_mode: int = 0, right_window_size: int = -1, scale: float | None = None,
    softcap: float = 0.0, softmax_precision: DType | None = None,
) -> tuple[TensorType, MayOmit | None, MayOmit | None, MayOmit]:  # fmt: skip
    """softmax(scale * q @ k' + bias) @ v for each head; then the keys and values with the past ones before them, where those are given, and the scores.

    q, k, v are (N, heads, length, size), or (N, length, heads * size) with the numbers of heads; heads of q share those of k and v in equal parts.
    The bias is attn_mask, with what is_causal, the window sizes and nonpad_kv_seqlen forbid; a place that may see nothing gives zeros.
    qk_matmul_output_mode says which scores: 0 as they are, 1 after softcap, 2 after the bias, 3 after the softmax.
    """
    if not q.rank == k.rank == v.rank or q.rank not in (3, 4):
        raise RuleError(f"q, k and v have ranks {q.rank}, {k.rank} and {v.rank}; expected 3 or 4, the same for all")
    if (past_key is None) != (past_value is None) or (past_key is not None and nonpad_kv_seqlen is not None):
        raise RuleError("expected past_key and past_value together, and then no nonpad_kv_seqlen")
    if q.rank == 3 and not (q_num_heads and kv_num_heads):
        raise RuleError("q has rank 3; expected q_num_heads and kv_num_heads")
    n, heads, queries, size = _with_heads(q, q_num_heads)
    _, shared, keys, key_size = _with_heads(k, kv_num_heads)
    value_size = _with_heads(v, kv_num_heads)[3]
    if differ((size,), (key_size,)):
        raise RuleError(f"the heads of q have {size} numbers and those of k {key_size}; expected as many")
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise RuleError(f"q has {heads} heads and k has {shared}; expected a multiple")
    if min(left_window_size, right_window_size) < -1:
        raise RuleError(f"the window sizes are {left_window_size} and {right_window_size}; expected -1 or more")
    y = TensorType(q.dtype, (n, heads, queries, value_size) if q.rank == 4 else (n, queries, heads * value_size))
    total = keys if past_key is None else keys + past_key.shape[2]
    scores = TensorType(q.dtype, (n, heads, queries, total))
    if past_key is None:
        return y, None, None, scores
    expect_shape(past_key, (n, shared, past_key.shape[2], key_size), "past_key")
    expect_shape(past_value, (n, shared, past_key.shape[2], value_size), "past_value")
    return y, TensorType(k.dtype, (n, shared, total, key_size)), TensorType(v.dtype, (n, shared, total, value_size)), scores


def _with_heads(x: Any, heads: int | None) -> tuple[Dim, ...]:
    """The shape (N, heads, length, size) of x, whose heads may stand side by side."""
    if x.rank == 4:
        return x.shape
    assert heads is not None
    return x.shape[0], heads, x.shape[1], x.shape[2] // heads


@op("RotaryEmbedding", since=23, T=dtypes("float16 bfloat16 float32"))
def rotary_embedding(
    x: T, cos_cache: T, sin_cache: T, position_ids: Ints | None = None, *, interleaved: int = 0, num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> TensorType:  # fmt: skip
    """Turns pairs of numbers of each head by the angle of the position: (a, b) to (a cos - b sin, a sin + b cos).

    x is (N, heads, length, size), or (N, length, heads * size) with num_heads. A pair is a number of the first half and its like in the second, or with
    interleaved two neighbours; only the first rotary_embedding_dim numbers turn, if that is given. The caches are (N, length, pairs), or with
    position_ids (positions, pairs).
    """
    if x.rank not in (3, 4) or (x.rank == 3 and not num_heads):
        raise RuleError(f"x has rank {x.rank} and num_heads is {num_heads}; expected rank 4, or rank 3 with num_heads")
    if cos_cache.rank != (3 if position_ids is None else 2) or sin_cache.rank != cos_cache.rank:
        raise RuleError(
            f"the caches have shapes {list(cos_cache.shape)} and {list(sin_cache.shape)}; expected (N, length, pairs), or (positions, pairs) with position_ids"
        )
    return same_type(x)
