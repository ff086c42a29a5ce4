"""Kernels of graphir.ops.recurrent: one walk over time, and a cell for each kind of layer.

A direction projects the inputs of all times at once. A cell then takes that projection at one time, which it may overwrite,
and the states (h, ...); it writes the new h to `y`, and returns the new states.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from graphir.ops.recurrent import DEFAULTS, activations_of

Activation = Callable[[Any], Any]
Cell = Callable[[Any, list[Any], Any], list[Any]]


def lstm(xp, x, w, r, b=None, sequence_lens=None, initial_h=None, initial_c=None, p=None, *, input_forget, **attributes):
    make = partial(_lstm_cell, coupled=input_forget)
    return _unroll(xp, x, w, r, b, p, sequence_lens, [initial_h, initial_c], make, 3, **attributes)


def gru(xp, x, w, r, b=None, sequence_lens=None, initial_h=None, *, linear_before_reset, **attributes):
    make = partial(_gru_cell, linear=linear_before_reset)
    return _unroll(xp, x, w, r, b, None, sequence_lens, [initial_h], make, 2, **attributes)


def rnn(xp, x, w, r, b=None, sequence_lens=None, initial_h=None, **attributes):
    return _unroll(xp, x, w, r, b, None, sequence_lens, [initial_h], _rnn_cell, 1, **attributes)


class Weights(NamedTuple):
    """One direction's. r is (gates * H, H); rb its bias (gates * H,); p the peepholes (3 * H,) or None."""

    r: Any
    rb: Any
    p: Any


def _unroll(
    xp, x, w, r, b, p, sequence_lens, initial, make, functions, *, activations, activation_alpha, activation_beta, clip, direction,
    hidden_size, layout,
):  # fmt: skip
    """Y, then the last of each state."""
    dtype, wide = x.dtype, "float32" if x.dtype.itemsize < 4 else x.dtype
    if layout:
        x, initial = xp.swapaxes(x, 0, 1), [s if s is None else xp.swapaxes(s, 0, 1) for s in initial]
    directions, hidden = r.shape[0], r.shape[2]
    time, batch, _ = x.shape
    if sequence_lens is not None and sequence_lens.size and not 0 <= int(sequence_lens.min()) <= int(sequence_lens.max()) <= time:
        raise ValueError(f"sequence_lens goes from {sequence_lens.min()} to {sequence_lens.max()}; expected 0 to {time}")
    y = (batch, time, directions, hidden) if layout else (time, directions, batch, hidden)
    last = (batch, directions, hidden) if layout else (directions, batch, hidden)
    made = [xp.empty(shape, wide) for shape in (y, *[last] * len(initial))]
    ys, *ends = [xp.moveaxis(a, 0, a.ndim - 2) for a in made] if layout else made
    x = x.astype(wide, copy=False).reshape(time * batch, x.shape[2])
    named = activations_of(activations or DEFAULTS[functions] * directions, activation_alpha, activation_beta)
    chosen = (_activation(xp, *one) for one in named)
    for d in range(directions):
        wb, rb = xp.zeros((2, r.shape[1]), wide) if b is None else b[d].astype(wide).reshape(2, -1)
        weights = Weights(r[d].astype(wide, copy=False), rb, None if p is None else p[d].astype(wide))
        cell, bias = make(xp, weights, batch, *_clipped(xp, itertools.islice(chosen, functions), clip))
        projected = (x @ w[d].astype(wide, copy=False).T).reshape(time, batch, r.shape[1])
        projected += wb + bias
        states = [xp.zeros((batch, hidden), wide) if s is None else s[d].astype(wide, copy=False) for s in initial]
        backwards = d == 1 or direction == "reverse"
        for end, state in zip(ends, _walk(xp, cell, projected, states, ys[:, d], sequence_lens, backwards)):
            end[d] = state
    return tuple(a.astype(dtype, copy=False) for a in made)


def _walk(xp, cell: Cell, projected, states: list[Any], y, lengths, backwards: bool) -> list[Any]:
    """Write the hidden state at each time to `y`. A sequence that has ended, or walked backwards not begun, keeps its states and writes zeros."""
    shortest = len(y) if lengths is None or not len(lengths) else int(lengths.min())
    for t in range(len(y) - 1, -1, -1) if backwards else range(len(y)):
        new = cell(projected[t], states, y[t])
        if t >= shortest:
            inside = xp.asarray(lengths > t)[:, None]  # pyright: ignore[reportOptionalOperand]
            new = [xp.where(inside, a, b) for a, b in zip(new, states)]
            xp.copyto(y[t], 0, where=~inside)
        states = new
    return states


# ---- cells: (weights, batch, activations) to the cell, and what it wants added to the projection ------------------------------------------


def _lstm_cell(xp, weights: Weights, batch: int, f, g, h, *, coupled) -> tuple[Cell, Any]:
    r, rb, p = weights
    n, transposed, product = r.shape[1], r.T, xp.empty((batch, r.shape[0]), r.dtype)
    pi, po, pf = (None, None, None) if p is None else p.reshape(3, n)

    def cell(z, states, y):
        hidden, c = states
        z += xp.matmul(hidden, transposed, out=product)
        i, o, forget, new = (z[:, k * n : (k + 1) * n] for k in range(4))
        if p is None and not coupled:
            f(z[:, : 3 * n])
        else:
            if p is not None:
                i += pi * c
                forget += pf * c
            f(i)
            if coupled:
                xp.subtract(1, i, out=forget)
            else:
                f(forget)
        c = forget * c
        c += xp.multiply(i, g(new), out=new)
        if p is not None:
            o += po * c
        if p is not None or coupled:
            f(o)
        xp.copyto(y, c)
        xp.multiply(h(y), o, out=y)
        return [y, c]

    return cell, rb


def _gru_cell(xp, weights: Weights, batch: int, f, g, *, linear) -> tuple[Cell, Any]:
    r, rb, _ = weights
    n, transposed = r.shape[1], r.T
    product, gates, last = (xp.empty((batch, k * n), r.dtype) for k in (3, 2, 1))
    inner_bias = rb[2 * n :].copy()
    outer_bias = rb.copy()
    outer_bias[2 * n :] = 0

    def cell(z, states, y):
        (hidden,) = states
        update, reset, new = (z[:, k * n : (k + 1) * n] for k in range(3))
        if linear:
            xp.matmul(hidden, transposed, out=product)
            z[:, : 2 * n] += product[:, : 2 * n]
            f(z[:, : 2 * n])
            new += xp.multiply(xp.add(product[:, 2 * n :], inner_bias, out=y), reset, out=y)
        else:
            z[:, : 2 * n] += xp.matmul(hidden, transposed[:, : 2 * n], out=gates)
            f(z[:, : 2 * n])
            new += xp.matmul(xp.multiply(reset, hidden, out=y), transposed[:, 2 * n :], out=last)
        g(new)
        xp.subtract(hidden, new, out=y)
        xp.multiply(y, update, out=y)
        xp.add(y, new, out=y)
        return [y]

    return cell, outer_bias if linear else rb


def _rnn_cell(xp, weights: Weights, batch: int, f) -> tuple[Cell, Any]:
    transposed = weights.r.T

    def cell(z, states, y):
        xp.matmul(states[0], transposed, out=y)
        y += z
        f(y)
        return [y]

    return cell, weights.rb


# ---- activations: each writes onto its operand, and returns it ----------------------------------------------------------------------------


def _affine(xp, x, alpha, beta):
    x *= alpha
    x += beta


def _scaled_tanh(xp, x, alpha, beta):
    x *= beta
    xp.tanh(x, out=x)
    x *= alpha


_ACTIVATIONS: dict[str, Callable[..., Any]] = {  # on (xp, x, alpha, beta)
    "relu": lambda xp, x, a, b: xp.maximum(x, 0, out=x),
    "tanh": lambda xp, x, a, b: xp.tanh(x, out=x),
    "sigmoid": lambda xp, x, a, b: xp.special.expit(x, out=x),
    "affine": _affine,
    "leakyrelu": lambda xp, x, a, b: xp.copyto(x, xp.where(x >= 0, x, a * x)),
    "thresholdedrelu": lambda xp, x, a, b: xp.copyto(x, 0, where=x < a),
    "scaledtanh": _scaled_tanh,
    "hardsigmoid": lambda xp, x, a, b: xp.clip(a * x + b, 0, 1, out=x),
    "elu": lambda xp, x, a, b: xp.copyto(x, xp.where(x >= 0, x, a * xp.expm1(xp.minimum(x, 0)))),
    "softsign": lambda xp, x, a, b: xp.divide(x, 1 + xp.abs(x), out=x),
    "softplus": lambda xp, x, a, b: xp.logaddexp(x, 0, out=x),
}


def _activation(xp, name, alpha, beta) -> Activation:
    function = _ACTIVATIONS[name]

    def apply(x):
        function(xp, x, alpha, beta)
        return x

    return apply


def _clipped(xp, functions: Iterable[Activation], clip: float | None) -> list[Activation]:
    """The functions of one cell, on clipped operands; but an LSTM's third takes the cell itself, which ONNX Runtime does not clip."""
    if clip is None:
        return list(functions)
    low, high = -clip, clip

    def clipped(f: Activation) -> Activation:
        return lambda x: f(xp.clip(x, low, high, out=x))

    return [f if k == 2 else clipped(f) for k, f in enumerate(functions)]
