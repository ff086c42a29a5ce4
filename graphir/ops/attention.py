"""Attention and the position embedding that goes with it."""

from functools import reduce
from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim
from ..dtypes import BOOL, FLOAT32, FLOAT64, as_dtype
from ..ir import Graph, Value, captures, home
from ..types import TensorType
from ._bodies import Told, paste
from ._elementwise import same_type
from ._gradient import GradientError, gradients
from ._layout import positions, size_of, vector
from ._op import T1, T2, DType, Flag, Ints, MayOmit, RuleError, T, op
from ._types import BOOLEAN, FLOAT, INTS, differ, dtypes, expect_float, expect_shape

U = Annotated[Any, "U"]

# ---- attention -------------------------------------------------------------------------------------------------------------------------


@op("Attention", since=25, T1=FLOAT, T2=FLOAT, U=FLOAT | INTS | BOOLEAN)
def attention(
    q: T1, k: T1, v: T2, attn_mask: U | None = None, past_key: T1 | None = None, past_value: T2 | None = None,
    nonpad_kv_seqlen: Ints | None = None, *, is_causal: Flag = 0, kv_num_heads: int | None = None, left_window_size: int = -1,
    q_num_heads: int | None = None, qk_matmul_output_mode: int = 0, right_window_size: int = -1, scale: float | None = None,
    softcap: float = 0.0, softmax_precision: DType | None = None,
) -> tuple[TensorType, MayOmit, MayOmit, MayOmit]:  # fmt: skip
    """softmax(scale * q @ k' + bias) @ v for each head; then the keys and values, behind the past ones where those are given, and the scores.

    q, k, v are (N, heads, length, size), or (N, length, heads * size) with the numbers of heads; heads of q share those of k and v in equal parts.
    The bias is attn_mask, with what is_causal, the window sizes and nonpad_kv_seqlen forbid; a place that may see nothing gives zeros.
    qk_matmul_output_mode says which scores: 0 as they are, 1 after softcap, 2 after the bias, 3 after the softmax.
    """
    expect_float("softmax_precision", softmax_precision)
    if not q.rank == k.rank == v.rank or q.rank not in (3, 4):
        raise RuleError(f"q, k and v have ranks {q.rank}, {k.rank} and {v.rank}; expected 3 or 4, the same for all")
    if (past_key is None) != (past_value is None) or (past_key is not None and nonpad_kv_seqlen is not None):
        raise RuleError("expected past_key and past_value together, and then no nonpad_kv_seqlen")
    if q.rank == 3 and not (q_num_heads and kv_num_heads):
        raise RuleError("q has rank 3; expected q_num_heads and kv_num_heads")
    n, heads, queries, size = _with_heads(q, q_num_heads)
    _, shared, keys, key_size = _with_heads(k, kv_num_heads)
    *places, value_size = _with_heads(v, kv_num_heads)
    if differ(places, (n, shared, keys)):
        raise RuleError(
            f"v has {places[1]} heads at {places[2]} places, for {places[0]} of the batch; expected {shared} at {keys}, for {n}"
        )
    if differ((size,), (key_size,)):
        raise RuleError(f"the heads of q have {size} numbers and those of k {key_size}; expected as many")
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise RuleError(f"q has {heads} heads and k has {shared}; expected a multiple")
    if not 0 <= qk_matmul_output_mode <= 3:
        raise RuleError(f"qk_matmul_output_mode is {qk_matmul_output_mode}; expected 0 to 3")
    if attn_mask is not None and not 1 <= attn_mask.rank <= 4:
        raise RuleError(f"attn_mask has shape {list(attn_mask.shape)}; expected 1 to 4 axes, of which the last are queries and keys")
    if min(left_window_size, right_window_size) < -1:
        raise RuleError(f"the window sizes are {left_window_size} and {right_window_size}; expected -1 or more")
    y = TensorType(q.dtype, (n, heads, queries, value_size) if q.rank == 4 else (n, queries, heads * value_size))
    total = keys if past_key is None else keys + past_key.shape[2]
    scores = TensorType(q.dtype, (n, heads, queries, total))
    if past_key is not None:
        expect_shape(past_key, (n, shared, past_key.shape[2], key_size), "past_key")
        expect_shape(past_value, (n, shared, past_key.shape[2], value_size), "past_value")
    return y, TensorType(k.dtype, (n, shared, total, key_size)), TensorType(v.dtype, (n, shared, total, value_size)), scores


def _with_heads(x: Any, heads: int | None) -> tuple[Dim, ...]:
    """The shape (N, heads, length, size) of x, whose heads may stand side by side."""
    if x.rank == 4:
        return x.shape
    width = x.shape[2]
    if heads is None or heads < 1 or (isinstance(width, int) and width % heads):
        raise RuleError(f"{heads} heads stand side by side in {width} numbers; expected a divisor")
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
    scores = _of_heads(ops.math.matmul(_shared(scaled(q, scale), k), ops.shape.transpose(k, perm=(0, 1, 3, 2))), q, k)
    shown = [scores]
    if softcap > 0:
        scores = ops.elementwise.mul(ops.activation.tanh(ops.elementwise.div(scores, softcap)), softcap)
    shown.append(scores)
    if attn_mask is not None and attn_mask.dtype != BOOL:
        scores = ops.elementwise.add(scores, _lengthened(ops.elementwise.cast_to(attn_mask, dtype), scores, -np.inf))
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
    y = _of_heads(ops.math.matmul(_shared(weights, v), ops.elementwise.cast_to(v, dtype)), q, v)
    if flat:
        y = _side_by_side(y)
    if not flat and past_key is None:
        k, v = ops.elementwise.identity(k), ops.elementwise.identity(v)
    return y, k, v, shown[qk_matmul_output_mode]


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


def scaled(q: Value, scale: float | None) -> Value:
    """q times scale; without one, divided by the root of the size of its last axis."""
    if scale is not None:
        return ops.elementwise.mul(q, scale)
    size = q.shape[-1]
    if isinstance(size, int):
        return ops.elementwise.mul(q, max(size, 1) ** -0.5)
    return ops.elementwise.div(q, ops.elementwise.sqrt(ops.elementwise.cast_to(ops.shape.shape(q, start=-1), q.dtype)))


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
    return ops.elementwise.cast_to(ops.activation.softmax(ops.elementwise.cast_to(scores, wide)), scores.dtype)


# ---- attention with bodies -------------------------------------------------------------------------------------------------------------


@op("FlexAttention", since=1, domain="ai.onnx.preview", T1=FLOAT)
def flex_attention(
    q: T1, k: T1, v: T1, *, prob_mod: Graph | None = None, scale: float | None = None, score_mod: Graph | None = None,
    softmax_precision: DType | None = None,
) -> TensorType:  # fmt: skip
    """prob_mod(softmax(score_mod(scale * q @ k'))) @ v for each head, of q, k and v (N, heads, length, size); a body that is left out changes nothing.

    The bodies take and make all scores (N, heads, queries, keys) in softmax_precision, by default float64 for float64 and else float32. Without scale it is
    one over the root of size. Heads of q share those of k and v in equal parts.
    """
    expect_float("softmax_precision", softmax_precision)
    if not q.rank == k.rank == v.rank == 4:
        raise RuleError(f"q, k and v have ranks {q.rank}, {k.rank} and {v.rank}; expected 4: batch, heads, length, size")
    n, heads, queries, size = q.shape
    shared, keys = k.shape[1:3]
    expect_shape(k, (n, shared, keys, size), "k")
    expect_shape(v, (n, shared, keys, v.shape[3]), "v")
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise RuleError(f"q has {heads} heads and k has {shared}; expected a multiple")
    scores = scores_type(q, k, softmax_precision)
    for name, body in (("score_mod", score_mod), ("prob_mod", prob_mod)):
        if body is None:
            continue
        if len(body.inputs) != 1 or len(body.outputs) != 1:
            raise RuleError(f"{name} takes {len(body.inputs)} inputs and makes {len(body.outputs)} outputs; expected one of each")
        made = body.outputs[0].type
        if made is not None and (made.dtype != scores.dtype or (made.shape is not None and differ(made.shape, scores.shape or ()))):
            raise RuleError(f"{name} makes {made}; expected {scores}, as it takes")
    return TensorType(q.dtype, (n, heads, queries, v.shape[3]))


def precise(precision: str | None, dtype: np.dtype) -> np.dtype:
    """The dtype of scores: the one that is asked for, else float32 at least."""
    return as_dtype(precision) if precision is not None else FLOAT64 if dtype == FLOAT64 else FLOAT32


def scores_type(q: Value, k: Value, precision: str | None) -> TensorType:
    """The type of what the bodies of FlexAttention take and make."""
    shapes = q.type.shape, k.type.shape
    known = shapes[0] is not None and shapes[1] is not None and len(shapes[0]) == len(shapes[1]) == 4
    return TensorType(precise(precision, q.dtype), (*q.shape[:3], k.shape[2]) if known else None)


@flex_attention.gradient
def flex_attention_gradient(dy, y, q, k, v, *, needed, **attributes):
    # What the decomposition gives, of bodies that draw no numbers: they would draw others.
    node, inputs = y.node, [q, k, v, *captures(*y.node.bodies.values())]
    before = len(node.graph.nodes)
    try:
        with node.graph:
            made = _flex_attention(q, k, v, **attributes, told=_refused)
    except ValueError as e:
        raise GradientError(
            f"{e}, which cannot be drawn again for the gradient of {node.op} {node.label!r}; let graphir.passes.expand put its decomposition in its place"
        ) from None
    wrt = [x for x in dict.fromkeys(inputs) if x in needed]
    found = dict(zip(wrt, gradients({made: dy}, wrt, nodes=node.graph.nodes[before:], named=False)))
    return [found.pop(x, None) for x in inputs]  # the whole for the first place of a value that has several


def _refused(drawn: Value) -> Value:
    assert drawn.node is not None
    raise ValueError(f"{drawn.node.op} of node {drawn.node.label!r} draws numbers in a body")


@flex_attention.decompose
def _flex_attention(q, k, v, *, prob_mod, scale, score_mod, softmax_precision, told: Told | None = None):
    wide = precise(softmax_precision, q.dtype)
    scores = _of_heads(ops.math.matmul(_shared(scaled(q, scale), k), ops.shape.transpose(k, perm=(0, 1, 3, 2))), q, k)
    weights = ops.activation.softmax(_modified(ops.elementwise.cast_to(scores, wide), score_mod, told))
    weights = _modified(weights, prob_mod, told)
    return ops.elementwise.cast_to(_of_heads(ops.math.matmul(_shared(weights, v), ops.elementwise.cast_to(v, wide)), q, v), q.dtype)


def _modified(x: Value, body: Graph | None, told: Told | None) -> Value:
    """What a body makes of x."""
    if body is None:
        return x
    graph = home([x])
    assert graph is not None
    return paste(body, graph, {body.inputs[0]: x}, told)[0]


# ---- positions -------------------------------------------------------------------------------------------------------------------------


@op("RotaryEmbedding", since=23, T=dtypes("float16 bfloat16 float32"))
def rotary_embedding(
    x: T, cos_cache: T, sin_cache: T, position_ids: Ints | None = None, *, interleaved: Flag = 0, num_heads: int | None = None,
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
