"""Recurrent layers: LSTM, GRU, RNN."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import graphir.ops as ops

from ..dims import Dim
from ..ir import Value
from ..types import TensorType
from ._bodies import body_in, yields
from ._gradient import zeros_like
from ._layout import size_of, vector
from ._op import T1, Flag, MayOmit, RuleError, T, op
from ._types import FLOAT, dtypes

LENGTHS = dtypes("int32")


@op("LSTM", since=22, T=FLOAT, T1=LENGTHS)
def lstm(
    x: T, w: T, r: T, b: T | None = None, sequence_lens: T1 | None = None, initial_h: T | None = None, initial_c: T | None = None,
    p: T | None = None, *, activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    input_forget: Flag = 0, layout: Flag = 0,
) -> tuple[MayOmit, MayOmit, MayOmit]:  # fmt: skip
    """The hidden state at all times, the last one, and the last cell. Gates stand in the order input, output, forget, cell:

    i = f(x Wi' + h Ri' + pi c + bi); f = f(... + pf c); c = f c + i g(x Wc' + h Rc' + bc); o = f(... + po c); h = o h(c).
    """
    y, last = _states(x, w, r, b, (initial_h, initial_c), 4, direction, hidden_size, layout, activations, 3, p, lengths=sequence_lens)
    return y, last, last


@op("GRU", since=22, T=FLOAT, T1=LENGTHS)
def gru(
    x: T, w: T, r: T, b: T | None = None, sequence_lens: T1 | None = None, initial_h: T | None = None, *,
    activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    layout: Flag = 0, linear_before_reset: Flag = 0,
) -> tuple[MayOmit, MayOmit]:  # fmt: skip
    """The hidden state at all times, and the last one. Gates stand in the order update z, reset r, hidden:

    z = f(x Wz' + h Rz' + bz); r = f(x Wr' + h Rr' + br); n = g(x Wh' + (r h) Rh' + bh); h = (1 - z) n + z h.
    With linear_before_reset r multiplies h Rh' and its bias instead.
    """
    return _states(x, w, r, b, (initial_h,), 3, direction, hidden_size, layout, activations, 2, lengths=sequence_lens)


@op("RNN", since=22, T=FLOAT, T1=LENGTHS)
def rnn(
    x: T, w: T, r: T, b: T | None = None, sequence_lens: T1 | None = None, initial_h: T | None = None, *,
    activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] = ("Tanh", "Tanh"), clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    layout: Flag = 0,
) -> tuple[MayOmit, MayOmit]:  # fmt: skip
    """The hidden state at all times, and the last one: h = f(x W' + h R' + b)."""
    return _states(x, w, r, b, (initial_h,), 1, direction, hidden_size, layout, activations, 1, lengths=sequence_lens)


def _states(
    x: Value, w: Value, r: Value, b: Value | None, initial: tuple[Value | None, ...], gates: int, direction: str, hidden_size: int | None,
    layout: int, activations: tuple[str, ...] | None, functions: int, p: Value | None = None,
    lengths: Value | None = None,
) -> tuple[TensorType, TensorType]:  # fmt: skip
    """The types of all hidden states and of the last one."""
    if direction not in ("forward", "reverse", "bidirectional"):
        raise RuleError(f"direction is {direction!r}; expected forward, reverse or bidirectional")
    if x.rank != 3 or w.rank != 3 or r.rank != 3:
        raise RuleError("x, w and r must have three axes")
    directions = 2 if direction == "bidirectional" else 1
    if activations is not None and len(activations) < functions * directions:
        raise RuleError(f"{len(activations)} activations were given; expected {functions * directions}, for direction {direction}")
    time, batch = x.shape[:2] if not layout else x.shape[1::-1]
    hidden: Dim = r.shape[2] if hidden_size is None else hidden_size
    _check("w", w, (directions, gates * hidden, x.shape[2]))
    _check("r", r, (directions, gates * hidden, hidden))
    _check("b", b, (directions, 2 * gates * hidden))
    _check("p", p, (directions, 3 * hidden))
    _check("sequence_lens", lengths, (batch,))
    last = (directions, batch, hidden) if not layout else (batch, directions, hidden)
    for name, state in zip(("initial_h", "initial_c"), initial):
        _check(name, state, last)
    y = (time, directions, batch, hidden) if not layout else (batch, time, directions, hidden)
    return TensorType(x.dtype, y), TensorType(x.dtype, last)


def _check(name: str, x: Value | None, expected: tuple[Dim, ...]) -> None:
    """Raise RuleError where the shape surely is another."""
    if x is None or x.type.shape is None:
        return
    alike = x.rank == len(expected)
    if not alike or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(x.shape, expected)):
        raise RuleError(f"{name} has shape {list(x.shape)}; expected {list(expected)}")


# ---- as Scans ---------------------------------------------------------------------------------------------------------------------------

Activation = Callable[[Value], Value]

# The functions of a layer by how many it has, and those that take numbers: name -> alpha and beta where none is given, None where it takes none.
DEFAULTS = {1: ("Tanh",), 2: ("Sigmoid", "Tanh"), 3: ("Sigmoid", "Tanh", "Tanh")}
COEFFICIENTS: dict[str, tuple[float | None, float | None]] = {
    "relu": (None, None),
    "tanh": (None, None),
    "sigmoid": (None, None),
    "affine": (1.0, 0.0),
    "leakyrelu": (0.01, None),
    "thresholdedrelu": (1.0, None),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, None),
    "softsign": (None, None),
    "softplus": (None, None),
}


def activations_of(
    names: Sequence[str], alphas: Sequence[float] | None, betas: Sequence[float] | None
) -> Iterator[tuple[str, float | None, float | None]]:
    """The activations in order: the name in lower case, alpha, beta. Those that have an alpha or beta take the next one given, else their default."""
    alpha_values, beta_values = iter(alphas or ()), iter(betas or ())
    for name in names:
        if name.lower() not in COEFFICIENTS:
            raise ValueError(f"activation {name!r}; expected one of {', '.join(COEFFICIENTS)}, in any case")
        alpha, beta = COEFFICIENTS[name.lower()]
        yield name.lower(), alpha if alpha is None else next(alpha_values, alpha), beta if beta is None else next(beta_values, beta)


class Weights(NamedTuple):
    """One direction's. r is (gates * H, H); the biases (gates * H,) and the peepholes (H,) may be missing."""

    r: Value
    wb: Value | None
    rb: Value | None
    p: Sequence[Value]


@lstm.decompose
def _lstm_by_scan(x, w, r, b=None, sequence_lens=None, initial_h=None, initial_c=None, p=None, *, input_forget, **attributes):
    cell = partial(_lstm_cell, coupled=input_forget)
    return _layer(cell, 4, 3, x, w, r, b, p, sequence_lens, [initial_h, initial_c], **attributes)


@gru.decompose
def _gru_by_scan(x, w, r, b=None, sequence_lens=None, initial_h=None, *, linear_before_reset, **attributes):
    cell = partial(_gru_cell, linear=linear_before_reset)
    return _layer(cell, 3, 2, x, w, r, b, None, sequence_lens, [initial_h], **attributes)


@rnn.decompose
def _rnn_by_scan(x, w, r, b=None, sequence_lens=None, initial_h=None, **attributes):
    return _layer(_rnn_cell, 1, 1, x, w, r, b, None, sequence_lens, [initial_h], **attributes)


def _layer(
    make, gates, functions, x, w, r, b, p, lengths, initial, *, activations, activation_alpha, activation_beta, clip, direction, hidden_size,
    layout,
):  # fmt: skip
    """Y, then the last of each state: a Scan for each direction, over the inputs of all times projected at once."""
    count = 2 if direction == "bidirectional" else 1
    hidden = r.shape[2] if hidden_size is None else hidden_size
    chosen = activations_of(activations or DEFAULTS[functions] * count, activation_alpha, activation_beta)
    ws, rs, bs, ps = (_directions(v, count) for v in (w, r, b, p))
    starts = [_directions(v, count, layout) for v in initial]
    inside = None if lengths is None else _inside(x, lengths, layout)
    ends: list[Sequence[Value]] = []
    for d in range(count):
        wb, rb = (None, None) if b is None else (_typed(v, gates * hidden) for v in ops.shape.split(bs[d], num_outputs=2))
        peepholes = () if p is None else [_typed(v, hidden) for v in ops.shape.split(ps[d], num_outputs=3)]
        weights = Weights(_typed(rs[d], gates * hidden, hidden), wb, rb, peepholes)
        # An LSTM's third function takes the cell itself, which ONNX Runtime does not clip.
        cell, bias = make(weights, *(partial(_activation, *next(chosen), None if k == 2 else clip) for k in range(functions)))
        projected = ops.math.matmul(x, ops.shape.transpose(ws[d]))
        projected = _typed(projected if bias is None else ops.elementwise.add(projected, bias), *x.shape[:2], gates * hidden)
        states = [_typed(v[d] if v else _zeros(x, r, layout), x.shape[1 - layout], hidden) for v in starts]
        ends.append(_walk(cell, projected, states, inside, layout, d == 1 or direction == "reverse"))
    *last, y = zip(*ends)
    return tuple(_joined(vs, axis) for vs, axis in [(y, 1 + layout), *((vs, layout) for vs in last)])


def _walk(cell, projected, states, inside, layout, backwards) -> Sequence[Value]:
    """The last states, then the hidden state at each time. A sequence that has ended, or walked backwards not begun, keeps its states and gives zeros."""
    body = body_in(projected)
    scanned = [projected] if inside is None else [projected, inside]
    taken = [body.input(body.fresh("state"), v.type) for v in states]
    z, *now = [body.input(body.fresh("now"), TensorType(v.dtype, (v.shape[1 - layout], v.shape[2]))) for v in scanned]
    with body:
        new = cell(z, *taken)
        y = new[0]
        if now:
            y = ops.elementwise.where(now[0], y, 0.0)
            new = [ops.elementwise.where(now[0], a, b) for a, b in zip(new, taken)]
        yields(body, *new, y)
    axes, directions = (layout,) * len(scanned), (int(backwards),) * len(scanned)
    return ops.control.scan(
        *states, *scanned, body=body, num_scan_inputs=len(scanned), scan_input_axes=axes, scan_input_directions=directions,
        scan_output_axes=axes[:1], scan_output_directions=directions[:1],
    )  # fmt: skip


def _directions(v: Value | None, count: int, axis: int = 0) -> list[Value]:
    """What each direction has of a value, along an axis; nothing where there is none."""
    if v is None:
        return []
    return [ops.shape.squeeze(part, [axis]) for part in (ops.shape.split(v, axis=axis, num_outputs=2) if count == 2 else [v])]


def _joined(parts: Sequence[Value], axis: int) -> Value:
    """The opposite: the directions along a new axis."""
    wide = [ops.shape.unsqueeze(v, [axis]) for v in parts]
    return ops.shape.concat(*wide, axis=axis) if len(wide) > 1 else wide[0]


def _inside(x: Value, lengths: Value, layout: int) -> Value:
    """Whether a time lies in a sequence, beside x: (time, batch, 1)."""
    times = ops.create.range_(0, ops.index.gather(ops.shape.shape(x), layout), 1)
    shapes = (times, ops.shape.unsqueeze(lengths, [1])) if layout else (ops.shape.unsqueeze(times, [1]), lengths)
    inside = ops.logic.less(*(ops.elementwise.cast(v, to="int64") for v in shapes))
    return _typed(ops.shape.unsqueeze(inside, [2]), *x.shape[:2], 1)


def _zeros(x: Value, r: Value, layout: int) -> Value:
    """The state that a layer begins with where none is given."""
    return zeros_like(x, vector([size_of(x, 1 - layout), size_of(r, 2)]))


def _typed(v: Value, *shape: Dim) -> Value:
    """v with the shape that it must have: where the dims of operands are symbols, rules cannot know that they fit."""
    v.type = TensorType(v.dtype, shape)
    return v


# ---- cells: from the weights and activations of a direction to the cell, which makes new states of a projection and the states, and its bias ----


def _lstm_cell(weights: Weights, f: Activation, g: Activation, h: Activation, *, coupled: int):
    add, mul = ops.elementwise.add, ops.elementwise.mul
    pi, po, pf = weights.p or (None, None, None)

    def seen(gate: Value, peephole: Value | None, c: Value) -> Value:
        return gate if peephole is None else add(gate, mul(peephole, c))

    def cell(z: Value, hidden: Value, c: Value) -> list[Value]:
        i, o, forget, new = ops.shape.split(ops.math.gemm(hidden, weights.r, z, transB=1), axis=1, num_outputs=4)
        i = f(seen(i, pi, c))
        forget = ops.elementwise.sub(1.0, i) if coupled else f(seen(forget, pf, c))
        c = add(mul(forget, c), mul(i, g(new)))
        return [mul(f(seen(o, po, c)), h(c)), c]

    return cell, _sum(weights.wb, weights.rb)


def _gru_cell(weights: Weights, f: Activation, g: Activation, *, linear: int):
    add, mul, split = ops.elementwise.add, ops.elementwise.mul, ops.shape.split
    *both, last = (weights.r, weights.r) if linear else split(weights.r, num_outputs=3)
    first = both[0] if linear else ops.shape.concat(*both, axis=0)

    def cell(z: Value, hidden: Value) -> list[Value]:
        update, reset, new = split(z, axis=1, num_outputs=3)
        parts = split(ops.math.gemm(hidden, first, weights.rb if linear else None, transB=1), axis=1, num_outputs=3 if linear else 2)
        update, reset = f(add(update, parts[0])), f(add(reset, parts[1]))
        new = g(add(new, mul(reset, parts[2])) if linear else ops.math.gemm(mul(reset, hidden), last, new, transB=1))
        return [add(new, mul(update, ops.elementwise.sub(hidden, new)))]

    return cell, weights.wb if linear else _sum(weights.wb, weights.rb)


def _rnn_cell(weights: Weights, f: Activation):
    def cell(z: Value, hidden: Value) -> list[Value]:
        return [f(ops.math.gemm(hidden, weights.r, z, transB=1))]

    return cell, _sum(weights.wb, weights.rb)


def _sum(a: Value | None, b: Value | None) -> Value | None:
    return None if a is None or b is None else ops.elementwise.add(a, b)


def _activation(name: str, alpha: float | None, beta: float | None, clip: float | None, x: Value) -> Value:
    """An activation of x, which is clipped first where the layer says so."""
    act, mul = ops.activation, ops.elementwise.mul
    x = x if clip is None else ops.elementwise.clip(x, -clip, clip)
    match name:
        case "affine":
            return ops.elementwise.add(mul(x, alpha), beta)
        case "scaledtanh":
            return mul(ops.elementwise.tanh(mul(x, beta)), alpha)
        case "hardsigmoid":
            return act.hard_sigmoid(x, alpha=alpha, beta=beta)  # pyright: ignore[reportArgumentType]
        case "elu":
            return act.elu(x, alpha=alpha)  # pyright: ignore[reportArgumentType]
        case "leakyrelu":
            return act.leaky_relu(x, alpha=alpha)  # pyright: ignore[reportArgumentType]
        case "thresholdedrelu":
            return ops.elementwise.where(ops.logic.less(x, alpha), 0.0, x)  # alpha itself stays, other than in ThresholdedRelu
    return {"tanh": ops.elementwise.tanh, "relu": act.relu, "sigmoid": act.sigmoid, "softsign": act.softsign, "softplus": act.softplus}[
        name
    ](x)
