"""Gradients of If, Loop and Scan: each order against differences of the one below."""

import numpy as np
import pytest

from bodies import COUNT, EITHER, FLAG, Row, body, branches, check_derivatives, tensor, total, turns
from graphir import Tensor, Value, ops
from graphir.ops.control import body_in, if_, loop, scan, yields
from graphir.ops.elementwise import add, cast, exp, identity, mul, sin, sub, tanh
from graphir.ops.index import gather
from graphir.ops.logic import greater, less
from graphir.ops.math import matmul
from graphir.ops.reduce import reduce_sum
from graphir.ops.shape import concat, shape, squeeze

# ---- the rows: (x: float64[N], w: float64[N, N], m: int64[], flag: bool[]) to values whose sum is differentiated ---------------------------


def chosen(x, w, m, flag):
    """Both branches capture x, one of them w; of two outputs one is not read."""
    y, _ = if_(flag, **branches(x, lambda: (tanh(matmul(w, x)), exp(x)), lambda: (mul(mul(x, x), x), x)))
    return y, mul(x, 0.5)


def chosen_twice(x, w, m, flag):
    """An If in an If, and a branch on which nothing hangs."""
    far = reduce_sum(x, keepdims=0)

    def inner() -> Value:
        (z,) = if_(greater(far, 0.0), **branches(x, lambda: sin(mul(x, far)), lambda: exp(matmul(w, x))))
        return mul(z, x)

    (y,) = if_(flag, **branches(x, inner, lambda: identity(mul(shape_as(x), 2.0))))
    return (y,)


def shape_as(x: Value) -> Value:
    """Numbers of the shape of x that do not hang on x."""
    return cast(ops.elementwise.add(ops.create.constant_of_shape(shape(x), value=Tensor.of(np.ones(1, "int64"))), 1), to="float64")


def power(x, w, m, flag):
    """A captured matrix, a scan output, and a state from outside that is a constant."""
    state, other, every = turns(
        m, None, x, mul(shape_as(x), 0.1), build=lambda i, s, c: (tanh(matmul(w, add(s, c))), mul(c, 1.5), mul(s, s))
    )
    return state, mul(other, x), every


def until(x, w, m, flag):
    """As often as the numbers say."""
    (s,) = turns(None, less(total(mul(x, x)), 40.0), x, build=lambda i, s: (less(total(mul(s, s)), 10.0), add(mul(s, 1.3), mul(x, x))))
    return (s,)


def counted(x, w, m, flag):
    """A counter, and the number of the trip, pick rows."""
    start = ops.elementwise.mul(m, 0)
    s, _, picked = turns(m, None, x, start, build=lambda i, s, n: (mul(s, gather(w, n)), add(n, 1), mul(gather(s, i), sin(s))))
    return s, picked


def crossed(x, w, m, flag):
    """Two states that change places; only one is read in the end, and a third one that nobody reads."""
    a, *_ = turns(m, None, x, exp(x), mul(x, 3.0), build=lambda i, a, b, c: (mul(b, 0.5), add(tanh(a), b), mul(c, a)))
    return (a,)


def stacked_only(x, w, m, flag):
    """No state at all."""
    (every,) = turns(m, None, build=lambda i: mul(x, sin(mul(x, cast(i, to="float64")))))
    return (every,)


def in_turn(x, w, m, flag):
    """A Loop in a Loop, whose trips hang on the outer one, and an If in it."""

    def inner(j: Value, t: Value) -> Value:
        (y,) = if_(greater(total(t), 0.0), **branches(t, lambda: mul(t, tanh(x)), lambda: sub(t, mul(x, x))))
        return y

    def outer(i: Value, s: Value) -> tuple[Value, ...]:
        (t,) = turns(i, None, s, build=inner)
        return add(t, tanh(matmul(w, s))), t

    return turns(m, None, x, build=outer)


def in_branch(x, w, m, flag):
    """A Loop in a branch."""
    (y,) = if_(flag, **branches(x, lambda: turns(m, None, x, build=lambda i, s: mul(s, sin(x)))[0], lambda: mul(x, x)))
    return (y,)


def with_weights(x, w, m, flag):
    """Weights of the body, values that are yielded twice, and a state that stays."""
    made = body_in(x)
    _, go, s, kept = (made.input(made.fresh("in"), t) for t in (COUNT, FLAG, x.type, x.type))
    with made:
        y = mul(tanh(s), made.weight("factor", np.asarray(1.5)))
    yields(made, go, y, kept, y, s)
    return loop(m, None, x, mul(x, x), body=made)


def growing(x, w, m, flag):
    """A state that is longer after each trip; of what it was only the shape is needed."""
    made = body(x, [COUNT, FLAG, tensor(None)], lambda i, go, s: (go, concat(mul(s, 0.5), x, axis=0)))
    (s,) = loop(m, None, x, body=made)
    return mul(s, 2.0), mul(total(s), total(s))


def scanned(x, w, m, flag):
    """All directions and axes, with a state, a capture, and what is only handed on."""
    made = body(x, [x.type, tensor(w.shape[0]), tensor(w.shape[0])], lambda s, a, b: (add(mul(s, a), x), mul(s, b), mul(a, b), a, s))
    return scan(
        x, w, w, body=made, num_scan_inputs=2, scan_input_axes=(0, 1), scan_input_directions=(1, 0),
        scan_output_axes=(1, 0, -1, 0), scan_output_directions=(0, 1, 1, 1),
    )  # fmt: skip


def as_many_as(x, w, m, flag):
    """A Scan over as many rows as the run says, which may be none."""
    rows = ops.shape.slice_(w, [0], ops.shape.unsqueeze(m, [0]), [0])
    return scan(x, rows, body=body(x, [x.type, x.type], lambda s, a: (mul(sin(s), a), mul(s, a))), num_scan_inputs=1)


def scanned_in_turn(x, w, m, flag):
    """A Scan in a Loop; a Loop in a Scan."""

    def step(s: Value, row: Value) -> tuple[Value, ...]:
        (t,) = turns(m, None, s, build=lambda i, t: mul(t, tanh(row)))
        return t, mul(t, row)

    def outer(i: Value, s: Value) -> Value:
        last, every = scan(s, w, body=body(s, [s.type, x.type], step), num_scan_inputs=1)
        return add(last, reduce_sum(every, [0], keepdims=0))

    return turns(m, None, x, build=outer)


def layer(x, w, m, flag):
    """An LSTM, a GRU and an RNN in a row in a Loop."""
    time = ops.shape.unsqueeze(matmul(w, w), [1])

    def step(i: Value, s: Value) -> Value:
        xs = add(time, s)
        for op, gates in ((ops.recurrent.lstm, 4), (ops.recurrent.gru, 3), (ops.recurrent.rnn, 1)):
            r = concat(*[mul(w, float(k + 1) / 4) for k in range(gates)], axis=0)
            xs = squeeze(op(xs, ops.shape.unsqueeze(r, [0]), ops.shape.unsqueeze(r, [0]))[0], [1])
        return reduce_sum(xs, [0, 1], keepdims=0)

    return turns(m, None, x, build=step)


ROWS = [
    Row(chosen, 3, EITHER),
    Row(chosen_twice, 3, EITHER),
    Row(power, 3),
    Row(until, 3, ({},)),
    Row(counted),
    Row(crossed, 3),
    Row(stacked_only, refused="has input size 1 not in range"),
    Row(in_turn),
    Row(in_branch, 3, ({"m": 2, "flag": True}, {"flag": False})),
    Row(with_weights, 3),
    Row(growing),
    Row(scanned, 3, ({},)),
    Row(as_many_as, elsewhere=2),  # ONNX Runtime runs no Scan of length 0
    Row(scanned_in_turn),
    Row(layer, 1, refused="Could not find an implementation for RNN"),  # of doubles
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.build.__name__)
def test_derivatives(row: Row) -> None:
    check_derivatives(row)
