"""Kernels of graphir.ops.attention."""

from typing import Any

from graphir.dtypes import BOOL, DTYPES, FLOAT64
from graphir.ops.attention import precise

from ..kernel import Bound, Site, prepared
from ..precision import in_single, widened


@in_single
@prepared
def attention(site: Site) -> Bound:
    """One batched product for all heads, a softmax in place, one more product. The scores are kept only where they are read."""
    xp, a = site.xp, site.attributes
    presents = [len(site.outputs) > i and site.outputs[i] is not None for i in (1, 2)]
    shown_mode = a["qk_matmul_output_mode"] if len(site.outputs) > 3 and site.outputs[3] is not None else None

    def run(
        q: Any, k: Any, v: Any, attn_mask: Any = None, past_key: Any = None, past_value: Any = None, nonpad_kv_seqlen: Any = None
    ) -> tuple[Any, Any, Any, Any]:
        flat, past = q.ndim == 3, 0 if past_key is None else past_key.shape[2]
        if flat:
            q, k, v = _heads(q, a["q_num_heads"]), _heads(k, a["kv_num_heads"]), _heads(v, a["kv_num_heads"])
        if past_key is not None:
            k, v = xp.concatenate((past_key, k), axis=2), xp.concatenate((past_value, v), axis=2)
        scores = _scores(xp, q, k, q.shape[3] ** -0.5 if a["scale"] is None else a["scale"])
        shown = {0: scores.copy()} if shown_mode == 0 else {}
        if a["softcap"] > 0:
            scores /= a["softcap"]
            xp.tanh(scores, out=scores)
            scores *= a["softcap"]
        if shown_mode == 1:
            shown[1] = scores.copy()
        bias = _bias(xp, scores, attn_mask, _allowed(xp, scores.shape, a, past, nonpad_kv_seqlen))
        if bias is not None:
            scores += bias
        if shown_mode == 2:
            shown[2] = scores.copy()
        weights = _softmax(xp, scores, bias, a["softmax_precision"])
        shown[3] = weights
        y = _weighted(xp, weights, v, flat).astype(q.dtype, copy=False)
        if past_key is None:  # what is handed out must not be an input
            k, v = (x.copy() if wanted else None for x, wanted in zip((k, v), presents))
        return y, k, v, None if shown_mode is None else shown[shown_mode].astype(q.dtype, copy=False)

    return Bound(run)


def _heads(x: Any, count: int) -> Any:
    """(N, length, heads * size) as (N, heads, length, size)."""
    return x.reshape(*x.shape[:2], count, x.shape[2] // count).swapaxes(1, 2)


def _scores(xp: Any, q: Any, k: Any, scale: float) -> Any:
    """scale * q @ k': (N, heads, queries, keys). The heads of q that share one of k stand side by side."""
    parts = (q * q.dtype.type(scale)).reshape(q.shape[0], k.shape[1], q.shape[1] // k.shape[1], *q.shape[2:])
    return xp.matmul(parts, k[:, :, None].swapaxes(-1, -2)).reshape(*q.shape[:3], k.shape[2])


def _weighted(xp: Any, weights: Any, v: Any, flat: bool) -> Any:
    """weights @ v: (N, heads, queries, size), or where `flat` (N, queries, heads * size)."""
    n, heads, queries, keys = weights.shape
    shared, size = v.shape[1], v.shape[3]
    shape = (n, queries, heads, size) if flat else (n, heads, queries, size)
    y = xp.empty(shape, xp.result_type(weights.dtype, v.dtype))
    target = y.swapaxes(1, 2) if flat else y
    parts = (n, shared, heads // shared, queries)
    xp.matmul(weights.reshape(*parts, keys), v[:, :, None], out=target.reshape(*parts, size))
    return y.reshape(n, queries, heads * size) if flat else y


def _allowed(xp: Any, shape: tuple[int, ...], a: dict[str, Any], past: int, valid: Any) -> Any:
    """Which keys a query may see, from causality, windows and the number of valid keys: True where it may, or None where it may see all.

    valid: for each of the batch how many keys count; the queries are the last of these.
    """
    queries, keys = shape[2:]
    at = xp.arange(queries)[:, None] + (past if valid is None else (valid.reshape(-1, 1, 1, 1) - queries))
    keys = xp.arange(keys)
    found = []
    if a["is_causal"]:
        found.append(keys <= at)
    if a["left_window_size"] >= 0:
        found.append(keys >= at - a["left_window_size"])
    if a["right_window_size"] >= 0:
        found.append(keys <= at + a["right_window_size"])
    if valid is not None:
        found.append(keys < valid.reshape(-1, 1, 1, 1))
    allowed = None
    for one in found:
        allowed = one if allowed is None else allowed & one
    return allowed


def _bias(xp: Any, scores: Any, mask: Any, allowed: Any) -> Any:
    """What is added to the scores, or None. Keys past the end of the mask are not seen."""
    bias = None
    if mask is not None:
        bias = (
            xp.where(mask, scores.dtype.type(0), scores.dtype.type(-xp.inf))
            if mask.dtype == BOOL
            else mask.astype(scores.dtype, copy=False)
        )
        missing = scores.shape[-1] - bias.shape[-1]
        if missing > 0:
            bias = xp.concatenate((bias, xp.full((*bias.shape[:-1], missing), -xp.inf, bias.dtype)), axis=-1)
    if allowed is not None:
        bias = xp.where(allowed, scores.dtype.type(0) if bias is None else bias, scores.dtype.type(-xp.inf))
    return bias


def _softmax(xp: Any, scores: Any, bias: Any, precision: str | None) -> Any:
    """Over the last axis, written to scores; a row that sees nothing becomes zeros. In double precision where that is asked for."""
    weights = scores.astype(FLOAT64) if precision is not None and DTYPES[precision] == FLOAT64 else scores
    weights -= xp.max(weights, axis=-1, keepdims=True)
    xp.exp(weights, out=weights)
    weights /= xp.sum(weights, axis=-1, keepdims=True)
    if bias is not None:
        blind = xp.isneginf(xp.max(bias, axis=-1, keepdims=True))
        if xp.worth_it(blind):
            weights = xp.where(blind, weights.dtype.type(0), weights)
    return weights.astype(scores.dtype, copy=False)


def flex_attention(
    xp: Any, q: Any, k: Any, v: Any, *, prob_mod: Any, scale: float | None, score_mod: Any, softmax_precision: str | None
) -> Any:  # fmt: skip
    """As attention; what the bodies take and make is of the softmax's precision."""
    wide = precise(softmax_precision, q.dtype)
    scores = _scores(xp, widened(q), widened(k), max(q.shape[3], 1) ** -0.5 if scale is None else scale).astype(wide, copy=False)
    scores = widened(scores if score_mod is None else score_mod(scores)[0])
    weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True)) if scores.size else scores
    weights = weights / xp.sum(weights, axis=-1, keepdims=True)
    if prob_mod is not None:
        weights = widened(prob_mod(weights.astype(wide, copy=False))[0])
    return _weighted(xp, weights, widened(v), False).astype(q.dtype, copy=False)


@in_single
def rotary_embedding(
    xp: Any, x: Any, cos_cache: Any, sin_cache: Any, position_ids: Any = None, *, interleaved: int, num_heads: int | None,
    rotary_embedding_dim: int,
) -> Any:  # fmt: skip
    """The two numbers of all pairs, each a strided view, turned at once."""
    y = xp.empty(x.shape, x.dtype)
    old, new = (z.swapaxes(1, 2) if x.ndim == 4 else z.reshape(*x.shape[:2], num_heads, x.shape[2] // num_heads) for z in (x, y))
    size = rotary_embedding_dim or old.shape[3]
    cos, sin = ((c if position_ids is None else c[position_ids])[:, :, None] for c in (cos_cache, sin_cache))
    first, second = (slice(0, size, 2), slice(1, size, 2)) if interleaved else (slice(size // 2), slice(size // 2, size))
    a, b = old[..., first], old[..., second]
    new[..., first] = a * cos - b * sin
    new[..., second] = a * sin + b * cos
    new[..., size:] = old[..., size:]
    return y
