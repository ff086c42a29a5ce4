"""What the gradients of If, Loop, Scan and sequences are made of: numbers that were drawn, tapes, what is carried, what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from bodies import COUNT, FLAG, body, branches, tensor, total, turns
from graphir import Graph, Model, Value, ops
from graphir.ir import Operator
from graphir.ops._gradient import GradientError, gradients
from graphir.ops.control import body_in, if_, loop, scan, yields
from graphir.ops.elementwise import add, exp, mul, sin, sum_
from graphir.ops.logic import greater
from graphir.ops.normalization import dropout
from graphir.ops.reduce import reduce_sum
from graphir.ops.sequence import optional, optional_get_element, sequence_at, sequence_construct, sequence_map
from graphir.ops.shape import slice_
from graphir.passes.gradient import gradient
from graphir.verify import verify


def dropped(x: Value) -> Value:
    return dropout(x, 0.5, True)[0]


def drawn(x: Value) -> Value:
    return mul(x, ops.create.random_normal_like(x))


def repeated(x: Value, step: Callable[[Value], Value]) -> Value:
    made = body(x, [x.type, tensor()], lambda s, _: step(s))
    return scan(x, slice_(x, [0], [3]), body=made, num_scan_inputs=1)[0]


@pytest.mark.parametrize("step", [dropped, drawn, lambda x: drawn(dropped(x))], ids=["dropped", "drawn", "both"])
@pytest.mark.parametrize(
    "around",
    [
        lambda x, step: if_(greater(total(x), 0.0), **branches(x, lambda: step(x), lambda: mul(x, 2.0)))[0],
        lambda x, step: turns(3, None, x, build=lambda i, s: step(s))[0],
        repeated,
        lambda x, step: sequence_at(sequence_map(sequence_construct(x, x), body=body(x, [x.type], step))[0], 1),
    ],
    ids=["If", "Loop", "Scan", "SequenceMap"],
)
def test_the_way_back_reads_the_numbers_that_were_drawn(around: Any, step: Any) -> None:
    """y is x times what was drawn, so that its gradient times x is y."""
    graph = Graph()
    x = graph.input("x", tensor(64))
    graph.output(around(x, step), "y")
    model = gradient(Model(graph))
    assert verify(model) == []
    feed = np.linspace(1, 2, 64)
    made = graphir.compile(model).run({"x": feed, "seed_y": np.ones(64)})
    assert len(set(np.round(made["d_x"], 9))) > 1
    np.testing.assert_allclose(made["d_x"] * feed, made["y"], rtol=1e-12)


def test_numbers_drawn_in_a_body_of_a_body_cannot_be_told() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N"))
    (y,) = turns(2, None, x, build=lambda i, s: if_(greater(total(s), 0.0), **branches(s, lambda: dropped(s), lambda: exp(s)))[0])
    with pytest.raises(
        GradientError, match=r"Dropout of node 'dropout' draws numbers in a body of If 'if', which cannot be drawn again .* Loop 'loop'"
    ):
        gradients({y: x}, [x])


def test_only_what_is_asked_for_is_carried_back() -> None:
    """The gradient of w alone: no state but the sum, though x and v are captured too, v by an operator that nobody can differentiate."""
    graph = Graph()
    x, w, v = (graph.input(name, tensor("N")) for name in "xwv")

    def step(i: Value, s: Value, kept: Value) -> tuple[Value, ...]:
        foreign = s.graph.append(Operator("com.example", "Odd"), (v,), {}, [v.type]).outputs[0]
        return s, add(kept, x), mul(mul(w, foreign), mul(s, kept))  # pyright: ignore[reportArgumentType]

    *_, every = turns(3, None, x, x, build=step)
    (dw,) = gradients({every: every}, [w])
    assert dw is not None and dw.node is not None
    way_back = dw.node
    assert way_back.op is scan and len(way_back.outputs) == 1
    a, _ = turns(3, None, x, w, build=lambda i, a, b: (sin(a), mul(a, b)))
    dx, dw = gradients({a: x}, [x, w])
    assert dx is not None and dw is None
    with pytest.raises(
        GradientError, match=r"com.example.Odd of node 'odd_\d' is not declared .* path v -> odd_\d, in a body of Loop 'loop_\d'"
    ):
        gradients({every: every}, [v])


def test_a_body_may_yield_what_it_takes_and_one_value_twice() -> None:
    """As those of files do."""
    graph = Graph()
    x = graph.input("x", tensor(3))
    made = body(x, [COUNT, FLAG, x.type], lambda i, go, s: (go, mul(s, s)))
    _, go, s = made.inputs
    made.outputs = [go, made.outputs[1], made.outputs[1], s]
    last, every, before = loop(2, None, x, body=made)
    graph.output(sum_(total(last), total(every), total(before)), "loss")
    feed = np.asarray([0.5, 1.0, -2.0])
    (got,) = graphir.compile(gradient(Model(graph))).run({"x": feed}, ["d_x"]).values()
    np.testing.assert_allclose(got, 2 * 4 * feed**3 + 2 * (2 * feed) + 1)


def test_a_tape_is_made_once() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N"))
    (y,) = turns(3, None, x, build=lambda i, s: sin(s))
    forward = y.node
    assert forward is not None
    for _ in range(2):
        gradients({y: x}, [x])
    assert len(forward.outputs) == 2


def test_where_only_dims_are_read_no_numbers_are_kept() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N", 3))
    (y,) = turns(3, None, x, build=lambda i, s: add(s, reduce_sum(s, [0])))
    gradients({y: x}, [x])
    assert y.node is not None
    assert all(v is not None and v.dtype == np.int64 for v in y.node.outputs[1:])


def test_gradients_of_weights_in_bodies() -> None:
    """They become weights of the main graph, under their addresses."""
    graph = Graph()
    x = graph.input("x", tensor(3))
    made = body_in(x)
    _, go, s = (made.input(made.fresh("in"), t) for t in (COUNT, FLAG, x.type))
    with made:
        y = mul(s, made.weight("factor", np.asarray(1.5)))
    yields(made, go, y)
    (last,) = loop(3, None, x, body=made)
    graph.output(total(last), "y")
    graph.nodes[0].name = "repeat"
    model = gradient(Model(graph), wrt="repeat/factor")
    assert verify(model) == []
    (got,) = graphir.compile(model).run({"x": np.ones(3)}, ["d_repeat/factor"]).values()
    np.testing.assert_allclose(got, 3 * 3 * 1.5**2)


def test_optional_values_hand_their_gradients_on() -> None:
    graph = Graph()
    x, flag = graph.input("x", tensor("N")), graph.input("flag", FLAG)
    held = optional(graph, sin(x))
    y = mul(optional_get_element(held), optional_get_element(held))
    (z,) = if_(flag, **branches(x, lambda: optional_get_element(held), lambda: optional_get_element(held)))
    graph.output(sum_(total(y), total(z)), "loss")
    model = gradient(Model(graph))
    feed = np.linspace(-1, 1, 5)
    got = graphir.compile(model).run({"x": feed, "flag": True})["d_x"]
    np.testing.assert_allclose(got, (2 * np.sin(feed) + 1) * np.cos(feed))
