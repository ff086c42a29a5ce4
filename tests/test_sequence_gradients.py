"""Gradients of sequences, and of Loops whose state is one or changes its shape: each order against differences of the one below."""

import numpy as np
import pytest

from bodies import COUNT, FLAG, Row, body, branches, check_derivatives, tensor, total, turns
from graphir import Graph, Model, Value, ops
from graphir.ops._gradient import GradientError
from graphir.ops.control import body_in, if_, loop, yields
from graphir.ops.elementwise import add, cast, exp, mul, sin, sub, sum_, tanh
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
from graphir.ops.shape import concat
from graphir.passes.gradient import gradient
from graphir.types import SequenceType

# ---- the rows: (x: float64[N], w: float64[N, N], m: int64[], flag: bool[]) to values whose sum is differentiated ---------------------------


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


def crossed_maps(x, w, m, flag):
    """A map whose body reads elements of another sequence, and of its own, at places that an element tells."""
    rows, others = split_to_sequence(w, axis=0, keepdims=0), sequence_construct(x, mul(x, x), tanh(x))

    def each(row: Value) -> Value:
        place = cast(greater(total(row), 0.0), to="int64")
        return mul(mul(row, sequence_at(others, place)), sequence_at(rows, add(place, 1)))

    (made,) = sequence_map(rows, body=body(x, [x.type], each))
    return (concat_from_sequence(made, axis=0),)


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


def cached(x, w, m, flag):
    """A cache that is longer after each trip, with attention over all of it."""

    def step(i: Value, go: Value, keys: Value, s: Value) -> tuple[Value, ...]:
        longer = concat(keys, ops.shape.unsqueeze(tanh(matmul(w, s)), [0]), axis=0)
        return go, longer, add(matmul(ops.activation.softmax(matmul(longer, s)), longer), x)

    made = body(x, [COUNT, FLAG, tensor(None, w.shape[0]), x.type], step)
    return loop(m, None, w, x, body=made)


def recalled(x, w, m, flag):
    """A sequence that grows, of which each trip reads elements from both ends, and its length."""

    def step(i: Value, go: Value, q: Value, s: Value) -> tuple[Value, ...]:
        long = cast(ops.sequence.sequence_length(q), to="float64")
        last = mul(sequence_at(q, -1), sequence_at(q, i))
        return go, sequence_insert(q, mul(sin(matmul(w, last)), long)), add(s, mul(last, last))

    q, s = loop(m, None, sequence_construct(x), x, body=body(x, [COUNT, FLAG, SequenceType(x.type), x.type], step))
    return s, concat_from_sequence(q, axis=0)


def consumed(x, w, m, flag):
    """Two sequences: from the one, of pieces of several sizes, each trip takes the first; to the other it puts the square of all that is left."""

    def step(i: Value, go: Value, q: Value, done: Value) -> tuple[Value, ...]:
        left = sequence_erase(q, 0)
        total_left = total(concat_from_sequence(sequence_insert(left, x), axis=0))
        return go, left, sequence_insert(done, mul(mul(sequence_at(q, 0), total_left), total_left))

    pieces = sequence_insert(split_to_sequence(x, np.asarray([1, 2]), axis=0), tanh(x))
    made = body(x, [COUNT, FLAG, SequenceType(tensor(None)), SequenceType(tensor(None))], step)
    left, done = loop(m, None, pieces, sequence_construct(mul(x, x)), body=made)
    return concat_from_sequence(left, axis=0), concat_from_sequence(done, axis=0)


def walked(x, w, m, flag):
    """A Loop over the elements of a sequence, and a map of them, in a Loop that carries it."""

    def step(i: Value, go: Value, q: Value, s: Value) -> tuple[Value, ...]:
        inner = body(s, [COUNT, FLAG, s.type], lambda j, go, t: (go, sin(add(t, mul(sequence_at(q, j), t)))))
        (t,) = loop(ops.sequence.sequence_length(q), None, s, body=inner)
        (squares,) = sequence_map(q, body=body(t, [x.type], lambda e: mul(mul(e, e), t)))
        return go, sequence_insert(squares, t), t

    q, s = loop(m, None, sequence_construct(x), x, body=body(x, [COUNT, FLAG, SequenceType(x.type), x.type], step))
    return s, concat_from_sequence(q, axis=0)


def gathered(x, w, m, flag):
    """A sequence that begins empty, as exporters write a list, and is read on the way."""

    def step(i: Value, go: Value, q: Value, s: Value) -> tuple[Value, ...]:
        longer = sequence_insert(q, s)
        return go, longer, add(tanh(matmul(w, reduce_sum(concat_from_sequence(longer, axis=0, new_axis=1), [0], keepdims=0))), s)

    start = ops.sequence.sequence_empty(x.graph, dtype="float64")
    q, s = loop(add(m, 1), None, start, x, body=body(x, [COUNT, FLAG, SequenceType(x.type), x.type], step))
    return s, matmul(w, reduce_sum(concat_from_sequence(q, axis=0, new_axis=1), [0], keepdims=0))


def taken_apart(x, w, m, flag):
    """A matrix of as many rows as the run says, none too, taken apart along its first axis in three ways."""
    rows = ops.shape.slice_(w, [0], ops.shape.unsqueeze(m, [0]), [0])
    sizes = ops.shape.expand(np.array([1]), ops.shape.unsqueeze(m, [0]))
    found = (split_to_sequence(rows, axis=0, keepdims=0), split_to_sequence(rows, axis=0), split_to_sequence(rows, sizes, axis=0))
    return tuple(
        concat_from_sequence(sequence_insert(s, mul(x if i == 0 else ops.shape.unsqueeze(x, [0]), 2.0)), axis=-1)
        for i, s in enumerate(found)
    )


def unbound(x, w, m, flag):
    """The columns of a matrix, as a number 1 in the model says it, and one that only the run tells."""
    columns, others = (split_to_sequence(w, size, axis=-1, keepdims=0) for size in (np.asarray(1), m))
    (squares,) = sequence_map(others, body=body(x, [x.type], lambda column: mul(column, column)))
    return concat_from_sequence(sequence_insert(columns, mul(x, x)), axis=0), concat_from_sequence(squares, axis=-1)


def chunks(x, w, m, flag):
    """Chunks of a size that only the run tells: they keep their axis, and the last one may be smaller."""
    found = split_to_sequence(w, add(m, 1), axis=1, keepdims=0)
    (squares,) = sequence_map(found, body=body(x, [tensor("N", None)], lambda chunk: mul(chunk, chunk)))
    return (concat_from_sequence(squares, axis=1),)


def perhaps(x, w, m, flag):
    """Optional values that an If reads: one that is surely there, one that another If makes or not, and one that holds a sequence; and a Loop that reads one."""
    square, none = body_in(x), body_in(x)
    with square:
        yields(square, ops.sequence.optional(square, mul(x, x)))
    yields(none, ops.sequence.optional(none, type=x.type))
    (maybe,) = if_(flag, then_branch=square, else_branch=none)
    sure, rows = ops.sequence.optional(x.graph, sin(x)), ops.sequence.optional(x.graph, sequence_construct(x, mul(x, x)))
    get, has = ops.sequence.optional_get_element, ops.sequence.optional_has_element
    (one,) = if_(has(x.graph, maybe), **branches(x, lambda: mul(get(maybe), get(sure)), lambda: exp(x)))
    (other,) = if_(greater(m, 1), **branches(x, lambda: mul(sequence_at(get(rows), -1), x), lambda: sin(x)))
    (last,) = turns(m, None, x, build=lambda i, s: mul(s, get(sure)))
    return one, other, last


def doubled(x, w, m, flag):
    """As often as the numbers say, a state that is twice as long after each trip, of which an If and an inner Loop read all."""

    def step(i: Value, go: Value, s: Value) -> tuple[Value, ...]:
        (part,) = if_(greater(total(s), 0.0), **branches(s, lambda: mul(s, s), lambda: sin(s)))
        (t,) = turns(2, None, tanh(s), build=lambda j, t: mul(t, s))
        longer = concat(part, mul(t, total(x)), axis=0)
        return less(ops.shape.size(longer), 20), longer

    return loop(None, less(total(x), 40.0), x, body=body(x, [COUNT, FLAG, tensor(None)], step))


ROWS = [
    Row(mapped, feeds=({},)),
    Row(crossed_maps, feeds=({},)),
    Row(picked, feeds=({"m": 0}, {"m": 1})),
    Row(rows_of, feeds=({},)),
    Row(carried, 1),
    Row(cached),
    Row(recalled),
    Row(consumed),
    Row(walked),
    Row(gathered),
    Row(taken_apart),
    Row(perhaps, feeds=({"flag": True, "m": 2}, {"flag": False, "m": 1}, {"flag": False, "m": 0})),
    Row(unbound, 1, feeds=({"m": 1},)),
    Row(chunks, 1, feeds=({"m": 1}, {"m": 2}), refused="shape_.Size() == new_shape.Size() was false"),
    Row(doubled, feeds=({},)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.build.__name__)
def test_derivatives(row: Row) -> None:
    check_derivatives(row)


def test_a_loop_that_carries_an_optional_value_is_refused() -> None:
    graph = Graph("optional")
    x = graph.input("x", tensor(3))
    start = ops.sequence.optional(graph, x)
    step = body(
        x, [COUNT, FLAG, start.type], lambda i, go, o: (go, ops.sequence.optional(i.graph, mul(x, ops.sequence.optional_get_element(o))))
    )
    graph.output(total(ops.sequence.optional_get_element(loop(2, None, start, body=step)[0])), "y")
    with pytest.raises(
        GradientError, match=r"carries in_2, which is optional\(float64\[3\]\); only gradients of tensors and sequences can be"
    ):
        gradient(Model(graph), of="y", wrt="x")


def test_a_map_that_draws_numbers_and_reads_another_sequence_is_refused() -> None:
    graph = Graph("drawn")
    rows = sequence_construct(graph.input("x", tensor(3)))
    made = body(rows, [tensor(3)], lambda e: mul(ops.create.random_uniform_like(e), sequence_at(rows, 0)))
    graph.output(total(sequence_at(sequence_map(rows, body=made)[0], 0)), "y")
    with pytest.raises(GradientError, match=r"which is sequence\(float64\[3\]\), and draws numbers; write it as a Loop"):
        gradient(Model(graph), of="y", wrt="x")


def test_what_is_kept_is_kept_once() -> None:
    """A Loop that is differentiated twice carries one sequence of what its cache was."""
    graph = Graph("cache")
    x, w = graph.input("x", tensor("N")), graph.input("w", tensor("N", "N"))
    graph.output(sum_(*map(total, cached(x, w, graph.input("m", COUNT), graph.input("flag", FLAG)))), "y")
    first = gradient(Model(graph), of="y", wrt="x")
    second = gradient(first, of="d_x", wrt="x")
    for model in (first, second):
        forward = next(n for n in model.graph.nodes if n.op is loop)
        assert [n.op for n in forward.bodies["body"].nodes].count(sequence_insert) == 1
