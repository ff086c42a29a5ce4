"""Kernels of graphir.ops.stateful."""

from typing import Any

from ..precision import in_single


@in_single
def linear_attention(
    xp: Any, query: Any, key: Any, value: Any, past_state: Any = None, decay: Any = None, beta: Any = None, *, chunk_size: int, kv_num_heads: int,
    q_num_heads: int, scale: float, update_rule: str,
) -> tuple[Any, Any]:  # fmt: skip
    """Time by time, all heads at once; the memory is written in place."""
    heads, group = kv_num_heads, q_num_heads // kv_num_heads
    n, length = query.shape[:2]
    d_k, d_v = query.shape[2] // q_num_heads, value.shape[2] // heads
    q = (query * query.dtype.type(scale or max(d_k, 1) ** -0.5)).reshape(n, length, heads, group, d_k)
    k, v = key.reshape(n, length, heads, 1, d_k), value.reshape(n, length, heads, 1, d_v)
    kept = None if decay is None else xp.exp(decay).reshape(n, length, heads, decay.shape[2] // heads, 1)
    rate = None if beta is None else beta[..., None, None]
    memory = xp.zeros((n, heads, d_k, d_v), q.dtype) if past_state is None else xp.array(past_state)
    y = xp.empty((n, length, heads, group, d_v), q.dtype)
    for t in range(length):
        row, new = k[:, t], v[:, t]
        if kept is not None:
            memory *= kept[:, t]
        if rate is not None:
            new = rate[:, t] * (new - xp.matmul(row, memory))
        memory += row.swapaxes(2, 3) * new
        xp.matmul(q[:, t], memory, out=y[:, t])
    return y.reshape(n, length, q_num_heads * d_v), memory


@in_single
def causal_conv_with_state(
    xp: Any, input: Any, weight: Any, bias: Any = None, past_state: Any = None, *, activation: str
) -> tuple[Any, Any]:
    """A sum over the few numbers of a filter, each times the whole input, moved."""
    n, channels, length = input.shape
    k = weight.shape[2]
    before = xp.zeros((n, channels, k - 1), input.dtype) if past_state is None else past_state
    x = xp.concatenate((before, input), axis=2)
    y = x[:, :, :length] * weight[:, :, 0]
    for i in range(1, k):
        y += x[:, :, i : i + length] * weight[:, :, i]
    if bias is not None:
        y += bias[:, None]
    if activation != "none":
        y /= 1 + xp.exp(-y)
    return y, x[:, :, length:]
