"""Gradients of If, Loop, Scan and sequences: each order against central differences of the one below, interpreted, compiled and in ONNX Runtime."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest

import graphir
from graphir import Graph, Model, Tensor, TensorType, Value, ops
from graphir.ops.control import body_in, if_, loop, scan, yields
from graphir.ops.elementwise import add, cast, exp, identity, mul, sin, sub, sum_, tanh
from graphir.ops.index import gather
from graphir.ops.logic import greater, less
from graphir.ops.math import matmul
from graphir.ops.reduce import reduce_sum
from graphir.ops.sequence import (
    concat_from_sequence,
    sequence_at,
    sequence_construct,
    sequence_erase,
    sequence_insert,
    sequence_map,
    split_to_sequence,
)
from graphir.ops.shape import concat, shape, squeeze
from graphir.passes.expand import expand
from graphir.passes.gradient import gradient
from graphir.types import SequenceType, Type
from graphir.verify import verify
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp

COUNT, FLAG = TensorType("int64", ()), TensorType("bool", ())


def tensor(*dims: Any) -> TensorType:
    return TensorType("float64", dims)


def body(parent: Value | Graph, types: list[Type], build: Callable[..., Any]) -> Graph:
    """A body with inputs of these types, whose outputs `build` makes of them."""
    made = body_in(parent)
    inputs = [made.input(made.fresh("in"), t) for t in types]
    with made:
        outputs = build(*inputs)
    yields(made, *(outputs if isinstance(outputs, tuple) else (outputs,)))
    return made


def branches(parent: Value, then: Callable[[], Any], other: Callable[[], Any]) -> dict[str, Graph]:
    return {"then_branch": body(parent, [], then), "else_branch": body(parent, [], other)}


def turns(m: Value | int | None, cond: Any, *initial: Value, build: Callable[..., Any]) -> tuple[Value, ...]:
    """A Loop whose body is `build`: (i, *state) to (*state, *scan outputs), with the next condition first where there is a condition."""

    def step(i: Value, go: Value, *state: Value) -> Any:
        made = build(i, *state)
        made = made if isinstance(made, tuple) else (made,)
        return made if cond is not None else (go, *made)

    return loop(m, cond, *initial, body=body(initial[0] if initial else m, [COUNT, FLAG, *(v.type for v in initial)], step))  # pyright: ignore[reportArgumentType]


def total(v: Value) -> Value:
    return reduce_sum(v, keepdims=0)


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


def mapped(x, w, m, flag):
    """A map over the rows of a matrix, with a tensor beside, one that is captured, and two outputs."""
    rows = split_to_sequence(w, axis=0, keepdims=0)
    made = body(x, [x.type, x.type], lambda row, beside: (tanh(mul(row, beside)), mul(row, mul(x, x))))
    one, other = sequence_map(rows, x, body=made)
    return concat_from_sequence(one, axis=0), sequence_at(other, 0), sequence_at(other, -1)


def picked(x, w, m, flag):
    """Positions that only the run tells, from both ends."""
    rows = sequence_construct(x, mul(x, x), sin(x), exp(x))
    back = sub(-1, m)
    fewer = sequence_erase(sequence_erase(rows, 1), back)
    more = sequence_insert(sequence_insert(fewer, matmul(w, x), back), tanh(x), -1)
    parts = concat_from_sequence(sequence_insert(more, mul(x, 2.0), 0), axis=-1)
    return mul(parts, parts), sequence_at(more, m), sequence_at(more, back), sequence_at(rows, -1)


def rows_of(x, w, m, flag):
    """Pieces of several sizes, put together again in other ways."""
    pieces = split_to_sequence(w, np.asarray([1, 2]), axis=1)
    made = body(x, [tensor(x.shape[0], None)], lambda p: mul(p, p))
    (squares,) = sequence_map(pieces, body=made)
    return concat_from_sequence(squares, axis=1), concat_from_sequence(sequence_construct(x, mul(x, x)), axis=1, new_axis=1)


def carried(x, w, m, flag):
    """A sequence as a state, into which each trip puts an element."""
    start = sequence_construct(x)
    made = body(x, [COUNT, FLAG, SequenceType(x.type), x.type], lambda i, go, q, s: (go, sequence_insert(q, mul(s, x)), sin(s)))
    grown, s = loop(m, None, start, x, body=made)
    stack = concat_from_sequence(grown, axis=0, new_axis=1)
    return mul(stack, stack), s


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


class Row(NamedTuple):
    """orders: how many derivatives are checked. feeds: what m and flag are.

    refused: what ONNX Runtime says instead of running it with the first feeds. elsewhere: with how many feeds it runs where Scans are Loops.
    """

    build: Callable[..., tuple[Value, ...]]
    orders: int = 2
    feeds: tuple[dict[str, Any], ...] = ({"m": 2}, {"m": 1}, {"m": 0})
    refused: str = ""
    elsewhere: int | None = None


EITHER = ({"flag": True}, {"flag": False})
EMPTY = "Dimension 0 is 0"  # ONNX Runtime runs no Scan of length 0, and the way back through a Loop without trips is one; as Loops they run
ROWS = [
    Row(chosen, 3, EITHER),
    Row(chosen_twice, 3, EITHER),
    Row(power, 3),
    Row(until, 3, ({},)),
    Row(counted),
    Row(crossed, 3),
    Row(stacked_only, refused="has input size 1 not in range"),
    Row(in_turn, refused=EMPTY),
    Row(in_branch, 3, ({"m": 2, "flag": True}, {"flag": False})),
    Row(with_weights, 3),
    Row(growing),
    Row(scanned, 3, ({},)),
    Row(as_many_as, elsewhere=2),  # there nothing tells the sizes of what no trip made
    Row(scanned_in_turn),
    Row(mapped, feeds=({},)),
    Row(picked, feeds=({"m": 0}, {"m": 1})),
    Row(rows_of, feeds=({},)),
    Row(carried, 1),
    Row(layer, 1, refused="Could not find an implementation for RNN"),  # of doubles
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.build.__name__)
def test_derivatives(row: Row) -> None:
    rng = np.random.default_rng(0)
    graph = Graph("problem")
    x, w = graph.input("x", tensor("N")), graph.input("w", tensor("N", "N"))
    values = row.build(x, w, graph.input("m", COUNT), graph.input("flag", FLAG))
    graph.output(sum_(*(total(sin(v)) for v in values)), "order0")
    for v in (x, w):
        graph.input(f"direction_{v.name}", v.type)
    feeds = {v.name: rng.uniform(-1, 1, [3] * v.rank) for v in graph.inputs if v.dtype == np.float64}
    given = [feeds | {"m": np.asarray(0), "flag": np.asarray(True)} | {k: np.asarray(v) for k, v in some.items()} for some in row.feeds]
    model = Model(graph)
    for order in range(1, row.orders + 1):
        model = along(model, order)
        assert verify(model) == []
        program = graphir.compile(model)
        for some in given:
            check(model, program, order, some)
        run_elsewhere(model, program, f"order{order}", given[:1], row.refused)
        loops = model.copy()
        expand(loops, lambda op: op is not scan)
        run_elsewhere(loops, program, f"order{order}", given[: row.elsewhere], "" if row.refused == EMPTY else row.refused)


def along(model: Model, order: int) -> Model:
    """The model with one output more: the derivative of the last one along the directions."""
    below = f"order{order - 1}"
    model = gradient(model, of=below, wrt="[xw]")
    made = {wrt: model.find(name) for (of, wrt), name in model.gradients.items() if of == below}
    model.graph.output(sum_(*(total(mul(dv, model.find(f"direction_{name}"))) for name, dv in made.items())), f"order{order}")
    return model


def check(model: Model, program: Any, order: int, feeds: dict[str, Any]) -> None:
    """The derivative agrees with differences of the one below it, interpreted and compiled."""

    def below(step: float) -> float:
        moved = feeds | {name: feeds[name] + step * feeds[f"direction_{name}"] for name in "xw"}
        return float(program.run(moved, [f"order{order - 1}"])[f"order{order - 1}"])

    h = 1e-4
    wanted = (below(-2 * h) - 8 * below(-h) + 8 * below(h) - below(2 * h)) / (12 * h)
    name = f"order{order}"
    for got in (program.run(feeds, [name])[name], interpret(model, feeds, xp)[name]):
        assert abs(got - wanted) <= 1e-7 * max(1, abs(wanted)), f"order {order}: {float(got)}, but differences give {wanted}"


def run_elsewhere(model: Model, program: Any, name: str, feeds: list[dict[str, Any]], refused: str) -> None:
    """ONNX Runtime makes the same of the exported model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(graphir.dumps(model, "onnx"), options)
        made = [session.run([name], some)[0] for some in feeds]
    except Exception as e:
        assert refused and refused in str(e), str(e)
        return
    assert not refused
    for got, some in zip(np.asarray(made), feeds):
        np.testing.assert_allclose(got, program.run(some, [name])[name], rtol=1e-9)
