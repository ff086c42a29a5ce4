"""Operators that read a text bit by bit: what they return beside their result they take again with the next bit."""

import graphir.ops as ops

from ..dtypes import FLOAT32
from ..ir import Value
from ..types import TensorType
from ._bodies import body_in, yields
from ._gradient import shaped_as, zeros_like
from ._layout import positions, size_of, vector
from ._op import T1, RuleError, T, op
from ._types import differ, dtypes, expect_shape
from .attention import scaled
from .elementwise import add, cast_to, div, exp, mul, sub

SMALL_FLOAT = dtypes("float16 bfloat16 float32")
RULES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}  # takes decay, takes beta


@op("LinearAttention", since=27, T=SMALL_FLOAT, T1=SMALL_FLOAT)
def linear_attention(
    query: T, key: T, value: T, past_state: T1 | None = None, decay: T | None = None, beta: T | None = None, *, chunk_size: int = 64,
    kv_num_heads: int, q_num_heads: int, scale: float = 0.0, update_rule: str = "gated_delta",
) -> tuple[TensorType, TensorType]:  # fmt: skip
    """A memory S of outer products of keys and values, read at each time by the queries: scale * q' S, (N, length, q_num_heads * d_v); then the last S.

    At each time S, (N, kv_num_heads, d_k, d_v) and zeros without past_state, is multiplied by exp(decay), where the rule is gated, and
    k v' is added, where with delta v stands for beta * (v - S' k). A scale of 0 is d_k ** -0.5.
    query, key and value are (N, length, heads * size); heads of queries share those of keys in equal parts. decay is (N, length, kv_num_heads), or
    times d_k; beta (N, length, kv_num_heads or 1). chunk_size is a hint.
    """
    if update_rule not in RULES:
        raise RuleError(f"update_rule is {update_rule!r}; expected one of {', '.join(RULES)}")
    for name, x, wanted in (("decay", decay, RULES[update_rule][0]), ("beta", beta, RULES[update_rule][1])):
        if (x is not None) != wanted:
            raise RuleError(f"{name} is {'left out' if wanted else 'given'}, and update_rule is {update_rule}; expected the contrary")
    if min(q_num_heads, kv_num_heads) < 1 or q_num_heads % kv_num_heads:
        raise RuleError(f"q_num_heads is {q_num_heads} and kv_num_heads {kv_num_heads}; expected a multiple of it")
    n, length, size = _three(query, "query")
    d_k, d_v = size // q_num_heads, _three(value, "value")[2] // kv_num_heads
    expect_shape(key, (n, length, kv_num_heads * d_k), "key")
    expect_shape(value, (n, length, kv_num_heads * d_v), "value")
    expect_shape(past_state, (n, kv_num_heads, d_k, d_v), "past_state")
    for name, x, sizes in (("decay", decay, (kv_num_heads, kv_num_heads * d_k)), ("beta", beta, (kv_num_heads, 1))):
        if x is not None and all(differ(_three(x, name), (n, length, s)) for s in sizes):
            raise RuleError(f"{name} has shape {list(x.shape)}; expected {[n, length, sizes[0]]} or {[n, length, sizes[1]]}")
    state = TensorType(query.dtype if past_state is None else past_state.dtype, (n, kv_num_heads, d_k, d_v))
    return TensorType(query.dtype, (n, length, q_num_heads * d_v)), state


def _three(x: Value, name: str) -> tuple:
    if x.rank != 3:
        raise RuleError(f"{name} has shape {list(x.shape)}; expected three axes")
    return x.shape


@linear_attention.decompose
def _linear_attention(
    query, key, value, past_state=None, decay=None, beta=None, *, kv_num_heads, q_num_heads, scale, update_rule, chunk_size
):  # fmt: skip
    heads = kv_num_heads
    d_k, d_v = _part(query, q_num_heads), _part(value, heads)
    dtype = max((FLOAT32, *(x.dtype for x in (query, past_state) if x is not None)), key=lambda d: d.itemsize)

    def split(x: Value, *sizes: int | Value) -> Value:
        """x (N, length, numbers) with its last axis in several of these sizes."""
        return cast_to(ops.shape.reshape(x, vector([0, 0, *sizes])), dtype)

    q = scaled(split(query, heads, q_num_heads // heads, d_k), scale or None)
    scanned = {"q": q, "k": split(key, heads, 1, d_k), "v": split(value, heads, 1, d_v)}
    if decay is not None:
        scanned["kept"] = exp(split(decay, heads, _part(decay, heads), 1))
    if beta is not None:
        scanned["rate"] = split(beta, size_of(beta, 2), 1, 1)
    state = zeros_like(q, vector([size_of(query, 0), heads, d_k, d_v])) if past_state is None else cast_to(past_state, dtype)
    body = body_in(q)
    memory = body.input(body.fresh("memory"), TensorType(q.dtype, (q.shape[0], heads, q.shape[4], scanned["v"].shape[4])))
    now = {name: body.input(body.fresh(name), TensorType(x.dtype, (x.shape[0], *x.shape[2:]))) for name, x in scanned.items()}
    with body:
        yields(body, *_remembered(memory, **now))
    last, read = ops.control.scan(
        state, *scanned.values(), body=body, num_scan_inputs=len(scanned), scan_input_axes=(1,) * len(scanned), scan_output_axes=(1,)
    )
    y = ops.shape.reshape(read, vector([0, 0, q_num_heads * d_v if isinstance(d_v, int) else mul(d_v, q_num_heads)]))
    return cast_to(y, query.dtype), cast_to(last, (query if past_state is None else past_state).dtype)


def _remembered(memory: Value, q: Value, k: Value, v: Value, kept: Value | None = None, rate: Value | None = None) -> tuple[Value, Value]:
    """The memory (N, heads, d_k, d_v) after one time, and what the queries (N, heads, queries that share one, d_k) read there. k and v are rows."""
    new = memory if kept is None else mul(memory, kept)
    if rate is not None:
        v = mul(rate, sub(v, ops.math.matmul(k, new)))
    new = shaped_as(add(new, mul(ops.shape.transpose(k, perm=(0, 1, 3, 2)), v)), memory)
    return new, ops.math.matmul(q, new)


def _part(x: Value, count: int) -> int | Value:
    """How many numbers of the last axis of x each of `count` parts has: a number, or an int64 vector of one."""
    size = size_of(x, 2)
    return size // count if isinstance(size, int) else div(size, count)


@op("CausalConvWithState", since=27, T=SMALL_FLOAT)
def causal_conv_with_state(
    input: T, weight: T, bias: T | None = None, past_state: T | None = None, *, activation: str = "none"
) -> tuple[TensorType, TensorType]:
    """Each channel of input (N, C, length) under its own filter of weight (C, 1, k), which ends at the place that it makes; then the last k - 1 numbers.

    past_state (N, C, k - 1) stands before the input, zeros if it is left out. activation: what the sum with bias (C) goes through, none or silu, also called swish.
    """
    if activation not in ("none", "silu", "swish"):
        raise RuleError(f"activation is {activation!r}; expected none, silu or swish")
    n, channels, _ = _three(input, "input")
    expect_shape(weight, (channels, 1, _three(weight, "weight")[2]), "weight")
    state = (n, channels, weight.shape[2] - 1)
    expect_shape(bias, (channels,), "bias")
    expect_shape(past_state, state, "past_state")
    return TensorType(input.dtype, input.shape), TensorType(input.dtype, state)


@causal_conv_with_state.decompose
def _causal_conv_with_state(input, weight, bias=None, past_state=None, *, activation):
    length, k = size_of(input, 2), size_of(weight, 2)
    before = k - 1 if isinstance(k, int) else sub(k, 1)
    if past_state is not None:
        x = ops.shape.concat(past_state, input, axis=2)
    else:
        x = input if before == 0 else ops.arrange.pad(input, vector([0, 0, before, 0, 0, 0]))
    channels = next((v.shape[i] for v, i in ((input, 1), (weight, 0)) if isinstance(v.shape[i], int)), None)
    if channels is not None:
        y = ops.nn.conv(x, weight, bias, group=channels)
    else:  # of how many channels Conv must be told: a product with what each filter sees
        places = add(ops.shape.unsqueeze(positions(input, 2), [1]), positions(weight, 2))
        seen = ops.index.gather(x, places, axis=2)
        y = ops.shape.squeeze(ops.math.matmul(seen, ops.shape.transpose(weight, perm=(0, 2, 1))), [3])
        y = y if bias is None else add(y, ops.shape.unsqueeze(bias, [1]))
    y = shaped_as(y, input)
    state = ops.shape.slice_(x, vector([length]), [2**63 - 1], [2])
    return y if activation == "none" else mul(y, ops.activation.sigmoid(y)), state
