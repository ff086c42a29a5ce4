"""Kernels of graphir.ops.attention."""

from typing import Any

from graphir.dtypes import BOOL, DTYPES, FLOAT64

from ..kernel import Bound, Site, prepared
from ..precision import widened


@prepared
def attention(site: Site) -> Bound:
    """One batched product for all heads, a softmax in place, one more product."""
    xp, a = site.xp, site.attributes
    wanted = len(site.outputs) > 3 and site.outputs[3] is not None
    mode, precision = a["qk_matmul_output_mode"], a["softmax_precision"]

    def run(
        q: Any, k: Any, v: Any, attn_mask: Any = None, past_key: Any = None, past_value: Any = None, nonpad_kv_seqlen: Any = None
    ) -> tuple[Any, Any, Any, Any]:
        dtype, flat = q.dtype, q.ndim == 3
        q, k, v = _heads(q, a["q_num_heads"]), _heads(k, a["kv_num_heads"]), _heads(v, a["kv_num_heads"])
        past = 0 if past_key is None else past_key.shape[2]
        if past_key is not None:
            k, v = xp.concatenate((past_key, k), axis=2), xp.concatenate((past_value, v), axis=2)
        parts = (q.shape[0], k.shape[1], q.shape[1] // k.shape[1])  # heads of q that share one of k stand side by side
        scale = q.shape[3] ** -0.5 if a["scale"] is None else a["scale"]
        wide = widened(q)
        wide = (wide * wide.dtype.type(scale)).reshape(*parts, *q.shape[2:])
        scores = xp.matmul(wide, widened(k)[:, :, None].swapaxes(-1, -2)).reshape(*q.shape[:3], k.shape[2])
        shown = scores.copy() if wanted and mode == 0 else None
        if a["softcap"] > 0:
            scores /= a["softcap"]
            xp.tanh(scores, out=scores)
            scores *= a["softcap"]
        shown = scores.copy() if wanted and mode == 1 else shown
        bias = _bias(xp, a, attn_mask, past, nonpad_kv_seqlen, scores)
        if bias is not None:
            scores += bias
        shown = scores.copy() if wanted and mode == 2 else shown
        weights = _softmax(xp, scores.astype(FLOAT64) if precision is not None and DTYPES[precision] == FLOAT64 else scores)
        if bias is not None:
            blind = xp.isneginf(xp.max(bias, axis=-1, keepdims=True))
            weights = xp.where(blind, 0, weights) if blind.any() else weights
        shown = weights if wanted and mode == 3 else shown
        weights = weights.astype(scores.dtype, copy=False)
        y = xp.empty((*_places(q.shape, flat), v.shape[3]), scores.dtype)
        target = (y.swapaxes(1, 2) if flat else y).reshape(*parts, q.shape[2], v.shape[3])
        made = xp.matmul(weights.reshape(*parts, *scores.shape[2:]), widened(v)[:, :, None], out=target)
        del made
        y = (y.reshape(*y.shape[:2], -1) if flat else y).astype(dtype, copy=False)
        present = (k, v) if past_key is not None else (None, None)
        return y, *present, None if shown is None else shown.astype(dtype, copy=False)

    return Bound(run)
