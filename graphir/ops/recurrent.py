"""Recurrent layers: LSTM, GRU, RNN."""

from ..dims import Dim
from ..ir import Value
from ..types import TensorType
from ._op import T1, MayOmit, RuleError, T, op
from ._types import FLOAT, dtypes

LENGTHS = dtypes("int32")


@op("LSTM", since=22, T=FLOAT, T1=LENGTHS)
def lstm(
    x: T, w: T, r: T, b: T | None = None, sequence_lens: T1 | None = None, initial_h: T | None = None, initial_c: T | None = None,
    p: T | None = None, *, activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    input_forget: int = 0, layout: int = 0,
) -> tuple[MayOmit, MayOmit, MayOmit]:  # fmt: skip
    """The hidden state at all times, the last one, and the last cell. Gates stand in the order input, output, forget, cell:

    i = f(x Wi' + h Ri' + pi c + bi); f = f(... + pf c); c = f c + i g(x Wc' + h Rc' + bc); o = f(... + po c); h = o h(c).
    """
    y, last = _states(x, w, r, b, (initial_h, initial_c), 4, direction, hidden_size, layout, activations, 3, p)
    return y, last, last


@op("GRU", since=22, T=FLOAT, T1=LENGTHS)
def gru(
    x: T, w: T, r: T, b: T | None = None, sequence_lens: T1 | None = None, initial_h: T | None = None, *,
    activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None, clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    layout: int = 0, linear_before_reset: int = 0,
) -> tuple[MayOmit, MayOmit]:  # fmt: skip
    """The hidden state at all times, and the last one. Gates stand in the order update z, reset r, hidden:

    z = f(x Wz' + h Rz' + bz); r = f(x Wr' + h Rr' + br); n = g(x Wh' + (r h) Rh' + bh); h = (1 - z) n + z h.
    With linear_before_reset r multiplies h Rh' and its bias instead.
    """
    return _states(x, w, r, b, (initial_h,), 3, direction, hidden_size, layout, activations, 2)


@op("RNN", since=22, T=FLOAT, T1=LENGTHS)
def rnn(
    x: T, w: T, r: T, b: T | None = None, sequence_lens: T1 | None = None, initial_h: T | None = None, *,
    activation_alpha: tuple[float, ...] | None = None, activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] = ("Tanh", "Tanh"), clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    layout: int = 0,
) -> tuple[MayOmit, MayOmit]:  # fmt: skip
    """The hidden state at all times, and the last one: h = f(x W' + h R' + b)."""
    return _states(x, w, r, b, (initial_h,), 1, direction, hidden_size, layout, activations, 1)


def _states(
    x: Value, w: Value, r: Value, b: Value | None, initial: tuple[Value | None, ...], gates: int, direction: str, hidden_size: int | None,
    layout: int, activations: tuple[str, ...] | None, functions: int, p: Value | None = None,
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
