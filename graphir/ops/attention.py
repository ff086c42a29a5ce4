"""Attention and the position embedding that goes with it."""

from functools import reduce
from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim
from ..dtypes import BOOL, NAMES, as_dtype
from ..ir import Value
from ..types import TensorType
from ._elementwise import same_type
from ._layout import positions, size_of, vector
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


@attention.decompose
def _attention(
    q, k, v, attn_mask=None, past_key=None, past_value=None, nonpad_kv_seqlen=None, *, is_causal, kv_num_heads, left_window_size,
    q_num_heads, qk_matmul_output_mode, right_window_size, scale, softcap, softmax_precision,
):  # fmt: skip
    flat, dtype = q.rank == 3, q.dtype
    if flat:
        q, k, v = _by_heads(q, q_num_heads), _by_heads(k, kv_num_heads), _by_heads(v, kv_num_heads)
    if past_key is not None:
        k, v = ops.shape.concat(past_key, k, axis=2), ops.shape.concat(past_value, v, axis=2)
    scores = _of_heads(ops.math.matmul(_shared(_scaled(q, scale), k), ops.shape.transpose(k, perm=(0, 1, 3, 2))), q, k)
    shown = [scores]
    if softcap > 0:
        scores = ops.elementwise.mul(ops.activation.tanh(ops.elementwise.div(scores, softcap)), softcap)
    shown.append(scores)
    if attn_mask is not None and attn_mask.dtype != BOOL:
        scores = ops.elementwise.add(scores, _lengthened(_cast(attn_mask, dtype), scores, -np.inf))
    seen = _seen(q, k, past_key, nonpad_kv_seqlen, is_causal, left_window_size, right_window_size)
    if attn_mask is not None and attn_mask.dtype == BOOL:
        seen.append(_lengthened(attn_mask, scores, False))
    if seen:
        scores = ops.elementwise.where(reduce(ops.logic.and_, seen), scores, -np.inf)
    shown.append(scores)
    if attn_mask is None and nonpad_kv_seqlen is None and left_window_size < 0:  # each query sees something
        weights = _softmax(scores, softmax_precision)
    else:  # one that sees nothing must not become NaN, which would get into the gradient
        blind = ops.logic.equal(ops.reduce.reduce_max(scores, [-1]), -np.inf)
        weights = _softmax(ops.elementwise.where(blind, 0.0, scores), softmax_precision)
        weights = ops.elementwise.where(blind, 0.0, weights)
    shown.append(weights)
    y = _of_heads(ops.math.matmul(_shared(weights, v), _cast(v, dtype)), q, v)
    if flat:
        y = _side_by_side(y)
    present = (None, None) if past_key is None else (k, v)
    return y, *present, shown[qk_matmul_output_mode]


def _cast(x: Value, dtype: np.dtype) -> Value:
    return x if x.dtype == dtype else ops.elementwise.cast(x, to=NAMES[dtype])


def _by_heads(x: Value, count: int) -> Value:
    """(N, length, heads * size) as (N, heads, length, size)."""
    return ops.shape.transpose(ops.shape.reshape(x, [0, 0, count, -1]), perm=(0, 2, 1, 3))


def _side_by_side(x: Value) -> Value:
    """(N, heads, length, size) as (N, length, heads * size)."""
    return ops.shape.reshape(ops.shape.transpose(x, perm=(0, 2, 1, 3)), [0, 0, -1])


def _shared(x: Value, k: Value) -> Value:
    """x (N, heads, queries, ...) with the heads that share one of k, which stand side by side, as one: (N, heads of k, share * queries, ...)."""
    return x if x.shape[1] == k.shape[1] else ops.shape.reshape(x, vector([0, size_of(k, 1), -1, 0]))


def _of_heads(x: Value, q: Value, k: Value) -> Value:
    """The inverse of `_shared`, for what has been made with k."""
    return x if q.shape[1] == k.shape[1] else ops.shape.reshape(x, vector([0, size_of(q, 1), -1, 0]))


def _scaled(q: Value, scale: float | None) -> Value:
    if scale is not None:
        return ops.elementwise.mul(q, scale)
    size = q.shape[3]
    if isinstance(size, int):
        return ops.elementwise.mul(q, size**-0.5)
    return ops.elementwise.div(q, ops.elementwise.sqrt(_cast(ops.shape.shape(q, start=3), q.dtype)))


def _seen(
    q: Value, k: Value, past: Value | None, valid: Value | None, is_causal: int, left: int, right: int
) -> list[Value]:  # fmt: skip
    """Which keys a query may see, from causality, windows and the number of valid keys: all of these must hold.

    valid: for each of the batch how many keys count; the queries are the last of these.
    """
    if not is_causal and left < 0 and right < 0 and valid is None:
        return []
    keys, at = positions(k, 2), ops.shape.unsqueeze(positions(q, 2), [1])
    if valid is not None:
        valid = ops.shape.reshape(valid, [-1, 1, 1, 1])
        at = ops.elementwise.add(at, ops.elementwise.sub(valid, _length(q)))
    elif past is not None:
        at = ops.elementwise.add(at, _length(past))
    found = []
    if is_causal:
        found.append(ops.logic.less_or_equal(keys, at))
    if left >= 0:
        found.append(ops.logic.greater_or_equal(keys, ops.elementwise.sub(at, left)))
    if right >= 0:
        found.append(ops.logic.less_or_equal(keys, ops.elementwise.add(at, right)))
    if valid is not None:
        found.append(ops.logic.less(keys, valid))
    return found


def _length(x: Value) -> Value:
    """The length of x (N, heads, length, size), as a vector of one."""
    return ops.shape.shape(x, start=2, end=3)


def _lengthened(mask: Value, scores: Value, filling: Any) -> Value:
    """A mask as long as the scores: keys past its end are not seen."""
    if mask.shape[-1] == scores.shape[-1]:
        return mask
    missing = ops.elementwise.sub(ops.shape.shape(scores, start=3), ops.shape.shape(mask, start=-1))
    return ops.arrange.pad(mask, ops.shape.concat([0], missing, axis=0), filling, [-1])


def _softmax(scores: Value, precision: str | None) -> Value:
    wide = scores.dtype if precision is None else as_dtype(precision)
    return _cast(ops.activation.softmax(_cast(scores, wide)), scores.dtype)


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


@rotary_embedding.decompose
def _rotary_embedding(x, cos_cache, sin_cache, position_ids=None, *, interleaved, num_heads, rotary_embedding_dim):
    heads = x if x.rank == 4 else ops.shape.reshape(x, [0, 0, num_heads, -1])
    if position_ids is not None:
        cos_cache, sin_cache = ops.index.gather(cos_cache, position_ids), ops.index.gather(sin_cache, position_ids)
    cos, sin = (ops.shape.unsqueeze(c, [1 if x.rank == 4 else 2]) for c in (cos_cache, sin_cache))
    turning, rest = heads, []
    if rotary_embedding_dim and heads.shape[3] != rotary_embedding_dim:
        turning = ops.shape.slice_(heads, [0], [rotary_embedding_dim], [3])
        rest = [ops.shape.slice_(heads, [rotary_embedding_dim], [2**63 - 1], [3])]
    if interleaved:
        turning = ops.shape.reshape(turning, [0, 0, 0, -1, 2])
        a, b = (ops.shape.squeeze(part, [4]) for part in ops.shape.split(turning, axis=4, num_outputs=2))
    else:
        a, b = ops.shape.split(turning, axis=3, num_outputs=2)
    mul = ops.elementwise.mul
    turned = [ops.elementwise.sub(mul(a, cos), mul(b, sin)), ops.elementwise.add(mul(a, sin), mul(b, cos))]
    if interleaved:
        pairs = ops.shape.concat(*(ops.shape.unsqueeze(part, [4]) for part in turned), axis=4)
        turned = [ops.shape.reshape(pairs, [0, 0, 0, -1])]
    y = ops.shape.concat(*turned, *rest, axis=3) if len(turned) + len(rest) > 1 else turned[0]
    return y if x.rank == 4 else ops.shape.reshape(y, [0, 0, -1])
