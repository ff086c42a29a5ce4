"""Attention and the position embedding that goes with it."""

from typing import Annotated, Any

from ..types import TensorType
from ._elementwise import same_type
from ._op import T1, T2, DType, Ints, RuleError, T, op
from ._types import BOOLEAN, FLOAT, INTS, dtypes

U = Annotated[Any, "U"]


# fmt: off
@op("Attention", since=25, T1=FLOAT, T2=FLOAT, U=FLOAT | INTS | BOOLEAN)
def attention(
    q: T1, k: T1, v: T2, attn_mask: U | None = None, past_key: T1 | None = None, past_value: T2 | None = None,
    nonpad_kv_seqlen: Ints | None = None, *, is_causal: int = 0, kv_num_heads: int | None = None, left_window_size: int = -1,
    q_num_heads: int | None = None, qk_matmul_output_mode: int = 0, right_window_size: int = -1, scale: float | None = None,
    softcap: float = 0.0, softmax_precision: DType | None = None,
) -> tuple[TensorType, TensorType | None, TensorType | None, TensorType]:
    # fmt: on
    """softmax(scale * q @ k' + bias) @ v for each head; then the keys and values with the past ones before them, where those are given, and the scores.

    q, k, v are (N, heads, length, size), or (N, length, heads * size) with the numbers of heads; heads of q share those of k and v in equal parts.
    The bias is attn_mask, with what is_causal, the window sizes and nonpad_kv_seqlen forbid; a place that may see nothing gives zeros.
    qk_matmul_output_mode says which scores: 0 as they are, 1 after softcap, 2 after the bias, 3 after the softmax.
    """
    if not q.rank == k.rank == v.rank or q.rank not in (3, 4):
        raise RuleError(f"q, k and v have ranks {q.rank}, {k.rank} and {v.rank}; expected 3 or 4, the same for all")
    if (past_key is None) != (past_value is None) or (past_key is not None and nonpad_kv_seqlen is not None):
        raise RuleError("expected past_key and past_value together, and then no nonpad_kv_seqlen")
    if q.rank == 3:
        if not q_num_heads or not kv_num_heads:
            raise RuleError("q has rank 3; expected q_num_heads and kv_num_heads")
        queries, keys, of_q, of_kv = q.shape[1], k.shape[1], q_num_heads, kv_num_heads
        size, value_size = k.shape[2] // of_kv, v.shape[2] // of_kv
        y = (q.shape[0], queries, of_q * value_size)
    else:
        of_q, queries, of_kv, keys = q.shape[1], q.shape[2], k.shape[1], k.shape[2]
        size, value_size = k.shape[3], v.shape[3]
        y = (q.shape[0], of_q, queries, value_size)
    if isinstance(of_q, int) and isinstance(of_kv, int) and (of_kv == 0 or of_q % of_kv):
        raise RuleError(f"q has {of_q} heads and k has {of_kv}; expected a multiple")
    if min(left_window_size, right_window_size) < -1:
        raise RuleError(f"the window sizes are {left_window_size} and {right_window_size}; expected -1 or more")
    scores = TensorType(q.dtype, (q.shape[0], of_q, queries, keys if past_key is None else keys + past_key.shape[2]))
    if past_key is None:
        return TensorType(q.dtype, y), None, None, scores
    total = scores.shape[3]  # pyright: ignore[reportOptionalSubscript]
    present = [TensorType(x.dtype, (q.shape[0], of_kv, total, n)) for x, n in ((k, size), (v, value_size))]
    return TensorType(q.dtype, y), present[0], present[1], scores


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
