"""Bodies: how they are built, what leaves them, and that they run."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, Value, ops
from graphir.ir import captures
from graphir.ops import OPS, RuleError
from graphir.ops.control import body_in, if_, loop, scan, yields
from graphir.ops.sequence import (
    optional,
    sequence_at,
    sequence_construct,
    sequence_empty,
    sequence_insert,
    sequence_length,
)
from graphir.passes.infer import infer
from graphir.types import Type

ADD, MUL, EXP, CONCAT, SHAPE, GATHER, LESS, IDENTITY = (
    OPS["", name] for name in ("Add", "Mul", "Exp", "Concat", "Shape", "Gather", "Less", "Identity")
)
COUNT, FLAG = TensorType("int64", ()), TensorType("bool", ())


def tensor(*shape: Any) -> TensorType:
    return TensorType("float32", shape)


def body(parent: Value | Graph, types: list[Type], build: Callable[..., tuple[Value, ...]]) -> Graph:
    """A body with inputs of these types, whose outputs `build` makes of them."""
    made = body_in(parent)
    inputs = [made.input(made.fresh("in"), t) for t in types]
    with made:
        outputs = build(*inputs)
    yields(made, *outputs)
    return made


def run(graph: Graph, *outputs: Value, **feeds: Any) -> list[Any]:
    """What the compiled graph makes of these feeds."""
    graph.outputs = outputs
    made = graphir.compile(Model(graph)).run(feeds)
    return [made[v.name] for v in outputs]


# ---- building ---------------------------------------------------------------------------------------------------------------------------


def test_what_a_body_does_not_make_is_yielded_through_an_identity() -> None:
    graph = Graph()
    x = graph.input("x", tensor(3))
    made = body_in(x)
    a = made.input("a", tensor(3))
    with made:
        y = EXP(x)
    yields(made, y, y, a, x)
    assert [n.op.name for n in made.nodes] == ["Exp", "Identity", "Identity", "Identity"]
    assert made.outputs[0] is y and all(v.graph is made for v in made.outputs)
    assert len(set(made.outputs)) == 4 and not graph.nodes


def test_a_body_cannot_yield_what_another_makes() -> None:
    graph = Graph()
    x = graph.input("x", tensor(3))
    one, other = body_in(x, "one"), body_in(x, "other")
    with one:
        y = EXP(x)
    with pytest.raises(ValueError, match="exp is made in 'one', which is not around 'other'"):
        yields(other, y)


def test_captures_are_listed_in_order_of_first_use() -> None:
    graph = Graph()
    x, y, z, flag = (graph.input(name, t) for name, t in (("x", tensor(3)), ("y", tensor(3)), ("z", tensor(3)), ("flag", FLAG)))

    def inner(a: Value) -> tuple[Value, ...]:
        branches = [body(a, [], lambda v=v: (ADD(a, v),)) for v in (x, z)]
        return if_(flag, then_branch=branches[0], else_branch=branches[1])

    outer = body(x, [tensor(3)], lambda a: (ADD(y, a), *inner(a)))
    assert captures(outer) == [y, flag, x, z]
    assert captures(outer.nodes[-1].attributes["then_branch"]) == [outer.inputs[0], x]  # pyright: ignore[reportArgumentType]


def test_nodes_land_in_the_body_that_is_entered() -> None:
    graph = Graph()
    x = graph.input("x", tensor(3))
    with (made := body_in(x)):
        ADD(EXP(x), 1.0)
        inner = body_in(x)
    assert [n.op.name for n in made.nodes] == ["Exp", "Add"] and not graph.nodes
    assert inner.parent is made and list(graph.weights)


# ---- types of what leaves a body --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "other", "expected"),
    [
        (tensor("N", 3), tensor("N", 3), "float32[N, 3]"),
        (tensor("N", 3), tensor("N", 4), "float32[N, ?]"),
        (tensor("N", 3), tensor(2, 3), "float32[?, 3]"),
        (tensor("N", 3), tensor("N"), "float32[...]"),
        (tensor("N", 3), TensorType("float32"), "float32[...]"),
    ],
)
def test_branches_meet(then: Type, other: Type, expected: str) -> None:
    graph = Graph()
    flag, a, b = graph.input("flag", FLAG), graph.input("a", then), graph.input("b", other)
    (y,) = if_(flag, then_branch=body(a, [], lambda: (a,)), else_branch=body(a, [], lambda: (b,)))
    assert text(y) == expected
    wrapped = [body(a, [], lambda v=v: (sequence_construct(v), optional(graph, v))) for v in (a, b)]
    s, o = if_(flag, then_branch=wrapped[0], else_branch=wrapped[1])
    assert [text(s), text(o)] == [f"sequence({expected})", f"optional({expected})"]


def test_a_known_condition_says_whose_types_hold() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N", 3))
    for taken, expected in ((True, "float32[3, N]"), (False, "float32[N, 3]")):
        branches = body(x, [], lambda: (OPS["", "Transpose"](x),)), body(x, [], lambda: (x,))
        (y,) = if_(taken, then_branch=branches[0], else_branch=branches[1])
        assert text(y) == expected


def test_branches_that_cannot_meet() -> None:
    graph = Graph()
    flag, a, b = graph.input("flag", FLAG), graph.input("a", tensor(3)), graph.input("b", TensorType("int64", (3,)))
    one, other, two = (body(a, [], lambda vs=vs: vs) for vs in ((a,), (b,), (a, b)))
    with pytest.raises(RuleError, match=r"If: float32\[3\] and int64\[3\] meet in one value"):
        if_(flag, then_branch=one, else_branch=other)
    with pytest.raises(RuleError, match="then_branch has 1 outputs and else_branch 2"):
        if_(flag, then_branch=one, else_branch=two)


def test_dims_that_only_a_body_knows_leave_it_as_unknowns() -> None:
    graph = Graph()
    x, flag = graph.input("x", tensor(None, "N")), graph.input("flag", FLAG)
    inside = tensor("inside", "N")

    def build(i: Value, go: Value, a: Value) -> tuple[Value, ...]:
        return go, a, a, MUL(a, a)

    state, one, other = loop(3, flag, x, body=body(x, [COUNT, FLAG, inside], build))
    assert text(state) == "float32[?, N]" and text(one) == text(other) == "float32[?, ?, N]"
    assert one.shape[1:] == other.shape[1:] != state.shape
    (y,) = if_(flag, then_branch=body(x, [], lambda: (EXP(x),)), else_branch=body(x, [], lambda: (MUL(x, 2.0),)))
    assert y.shape == x.shape  # this unknown is one thing, in the body and around it


@pytest.mark.parametrize(
    ("m", "cond", "trips"), [(4, None, "4"), (-1, None, "0"), (4, True, "4"), (4, "flag", "?"), (None, True, "?"), ("N", None, "N")]
)
def test_trip_counts(m: Any, cond: Any, trips: str) -> None:
    graph = Graph()
    x, flag = graph.input("x", tensor("N")), graph.input("flag", FLAG)
    count = GATHER(SHAPE(x), 0) if m == "N" else m
    go = TensorType("bool", (), (True,)) if cond is True else FLAG
    made = body(x, [COUNT, go], lambda i, c: (c, MUL(x, 2.0)))
    (y,) = loop(count, flag if cond == "flag" else cond, body=made)
    assert text(y) == f"float32[{trips}, N]"


def test_a_body_must_take_what_it_makes() -> None:
    graph = Graph()
    x, one = graph.input("x", tensor("N")), graph.weight("one", np.ones(1, "float32"))
    with pytest.raises(
        RuleError, match=r"takes in_2 as float32\[N\] and makes float32\[N \+ 1\] of it; give the body's input dims that hold"
    ):
        loop(3, None, x, body=body(x, [COUNT, FLAG, tensor("N")], lambda i, go, a: (go, CONCAT(a, one, axis=0))))
    (y,) = loop(3, None, x, body=body(x, [COUNT, FLAG, tensor(None)], lambda i, go, a: (go, CONCAT(a, one, axis=0))))
    assert text(y) == "float32[?]"
    with pytest.raises(RuleError, match="the body takes 2 inputs and makes 1 outputs; expected 3 and at least 2, for 1 states"):
        loop(3, None, x, body=body(x, [COUNT, FLAG], lambda i, go: (go,)))


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((4, "N"), None, "float32[4, N]"),
        ((4, "N"), (1,), "float32[N, 4]"),
        (("T", 3), (-2,), "float32[T, 3]"),
        ((None, 3), (0,), "float32[?, 3]"),
    ],
)
def test_scan_outputs(shape: tuple[Any, ...], axes: tuple[int, ...] | None, expected: str) -> None:
    graph = Graph()
    x = graph.input("x", tensor(*shape))
    over = (axes or (0,))[0] % 2
    (y,) = scan(x, body=body(x, [tensor(shape[1 - over])], lambda a: (EXP(a),)), num_scan_inputs=1, scan_input_axes=axes)
    assert text(y) == expected


def test_scan_inputs_of_different_lengths() -> None:
    graph = Graph()
    x, y = graph.input("x", tensor(4, 3)), graph.input("y", tensor(5, 3))
    with pytest.raises(RuleError, match=r"the scan inputs have lengths \[4, 5\]; expected one"):
        scan(x, y, body=body(x, [tensor(3), tensor(3)], lambda a, b: (ADD(a, b),)), num_scan_inputs=2)


# ---- types of bodies that come from a file ----------------------------------------------------------------------------------------------


def inferred(graph: Graph, *outputs: Value) -> list[str]:
    """The types of the outputs, found anew from those of the graph's inputs alone."""
    graph.outputs = outputs
    for g in graph.walk():
        for v in [*(g.inputs if g is not graph else ()), *(v for n in g.nodes for v in n.outputs)]:
            v.type = None  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    assert infer(Model(graph)) == []
    return [text(v) for v in outputs]


def test_what_a_loop_carries_is_widened_until_it_holds() -> None:
    """The second state takes the first's shape, and so changes too, one round later."""
    graph = Graph()
    x, y, one = graph.input("x", tensor(1, "N")), graph.input("y", tensor(1, "N")), graph.weight("one", np.ones((1, 1), "float32"))

    def build(i: Value, go: Value, a: Value, b: Value, c: Value) -> tuple[Value, ...]:
        return go, CONCAT(a, ADD(MUL(y, 0.0), one), axis=0), a, EXP(c), b

    unknown = tensor(None, "N")
    made = loop(3, None, x, x, x, body=body(x, [COUNT, FLAG, unknown, unknown, unknown], build))
    assert inferred(graph, *made) == ["float32[?, N]", "float32[?, N]", "float32[1, N]", "float32[3, ?, N]"]
    (taken,) = graph.nodes[-1].bodies.values()
    assert [text(v) for v in taken.inputs] == ["int64[]", "bool[]", "float32[?, N]", "float32[?, N]", "float32[1, N]"]


def test_contents_that_a_loop_leaves_alone_stay_known() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N", 3))
    shape = SHAPE(x)

    def build(i: Value, go: Value, kept: Value, counted: Value) -> tuple[Value, ...]:
        return go, IDENTITY(kept), ADD(counted, 1)

    kept, counted = loop(3, None, shape, graph.number(1, np.dtype("int64")), body=body(x, [COUNT, FLAG, shape.type, COUNT], build))
    assert inferred(graph, kept, counted) == ["int64[2]", "int64[]"]
    assert kept.known == x.shape and counted.known is None


def test_a_loop_that_grows_a_sequence() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N"))
    empty = sequence_empty(graph)
    made = body(x, [COUNT, FLAG, empty.type], lambda i, go, s: (go, sequence_insert(s, ADD(x, 1.0))))
    (grown,) = loop(4, None, empty, body=made)
    last, length = sequence_at(grown, -1), sequence_length(grown)
    assert inferred(graph, grown, last, length) == ["sequence(float32[N])", "float32[N]", "int64[]"]
    feed = np.arange(3, dtype="float32")
    y, n = run(graph, last, length, x=feed)
    assert n == 4
    np.testing.assert_array_equal(y, feed + 1)


# ---- running ----------------------------------------------------------------------------------------------------------------------------


def test_nested_bodies_see_all_that_is_around_them() -> None:
    """Collatz: how many steps from each number to 1."""
    graph = Graph()
    start = graph.input("start", TensorType("int64", ("N",)))
    DIV, MOD, EQUAL, SUB = (OPS["", name] for name in ("Div", "Mod", "Equal", "Sub"))

    def step(i: Value, go: Value, n: Value, steps: Value) -> tuple[Value, ...]:
        halved = body(n, [], lambda: (DIV(n, 2),))
        tripled = body(n, [], lambda: (ADD(MUL(n, 3), 1),))
        (new,) = if_(EQUAL(MOD(n, 2), 0), then_branch=halved, else_branch=tripled)
        return OPS["", "Not"](EQUAL(new, 1)), new, ADD(steps, 1)

    def count(n: Value) -> tuple[Value, ...]:
        number = OPS["", "Squeeze"](n)
        none = SUB(number, number)
        return (loop(None, OPS["", "Not"](EQUAL(number, 1)), number, none, body=body(number, [COUNT, FLAG, COUNT, COUNT], step))[1],)

    (steps,) = scan(start, body=body(start, [COUNT], count), num_scan_inputs=1)
    assert text(steps) == "int64[N]"
    (made,) = run(graph, steps, start=np.asarray([1, 2, 3, 6, 7, 27]))
    assert made.tolist() == [0, 1, 7, 8, 16, 111]


def test_a_branch_that_is_not_taken_need_not_fit() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N"))
    one = body(x, [], lambda: (OPS["", "Mul"](OPS["", "Squeeze"](x, [0]), 2.0),))
    (y,) = if_(OPS["", "Equal"](GATHER(SHAPE(x), 0), 1), then_branch=one, else_branch=body(x, [], lambda: (EXP(x),)))
    assert text(y) == "float32[...]"
    assert run(graph, y, x=np.ones(1, "float32"))[0].shape == ()
    assert run(graph, y, x=np.ones(3, "float32"))[0].shape == (3,)


def test_what_is_handed_on_is_not_written_over() -> None:
    """A loop without trips and a branch return what came in; later nodes must not reuse its memory while it is still to be read."""
    graph = Graph()
    x, m, flag = graph.input("x", tensor(64)), graph.input("m", COUNT), graph.input("flag", FLAG)
    a, b = EXP(x), MUL(x, 3.0)
    (passed,) = loop(m, None, a, body=body(x, [COUNT, FLAG, tensor(64)], lambda i, go, s: (go, ADD(s, 1.0))))
    (chosen,) = if_(flag, then_branch=body(x, [], lambda: (b,)), else_branch=body(x, [], lambda: (MUL(b, 2.0),)))
    other = ADD(MUL(ADD(x, 1.0), 5.0), EXP(ADD(x, 2.0)))
    total = ADD(ADD(other, passed), chosen)
    feed = np.linspace(-1, 1, 64, dtype="float32")
    for trips, branch in ((0, True), (2, False)):
        (made,) = run(graph, total, x=feed, m=np.asarray(trips), flag=np.asarray(branch))
        wanted = (feed + 1) * 5 + np.exp(feed + 2) + np.exp(feed) + trips + feed * 3 * (1 if branch else 2)
        np.testing.assert_allclose(made, wanted, rtol=1e-5)


def test_no_trips_stack_nothing() -> None:
    graph = Graph()
    x, m = graph.input("x", tensor("N", 3)), graph.input("m", COUNT)
    state, stack = loop(m, None, x, body=body(x, [COUNT, FLAG, tensor("N", 3)], lambda i, go, s: (go, s, MUL(s, 2.0))))
    feed = np.ones((2, 3), "float32")
    made = run(graph, state, stack, x=feed, m=np.asarray(0))
    np.testing.assert_array_equal(made[0], feed)
    assert made[1].shape == (0, 2, 3) and made[1].dtype == np.float32


def test_a_condition_stops_a_loop_before_its_count() -> None:
    graph = Graph()
    x = graph.input("x", tensor())

    def double(i: Value, go: Value, s: Value) -> tuple[Value, ...]:
        twice = MUL(s, 2.0)
        return LESS(twice, 20.0), twice, i

    state, trips = loop(100, LESS(x, 20.0), x, body=body(x, [COUNT, FLAG, tensor()], double))
    for start, end, count in ((1.0, 32.0, 5), (50.0, 50.0, 0)):
        got = run(graph, state, trips, x=np.float32(start))
        assert got[0] == end and got[1].tolist() == list(range(count))


def text(v: Value) -> str:
    """A value's type, with `?` for each unknown."""
    return re.sub(r"\?\d+", "?", str(v.type))


@pytest.mark.parametrize("name", ["If", "Loop", "Scan", "SequenceMap"])
def test_bodies_that_yield_nothing_are_refused(name):
    """A node of which nothing comes out is none."""
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", (4, 3)))

    def empty(*types, outputs=0):
        inner = Graph("body", graph)
        made = [inner.input(inner.fresh("in"), t) for t in types]
        with inner:
            yields(inner, *(ops.elementwise.identity(v) for v in made[1 : 1 + outputs]))
        return inner

    flag, count = TensorType("bool", ()), TensorType("int64", ())
    build = {
        "If": lambda: if_(graph.input("c", flag), then_branch=empty(), else_branch=empty()),
        "Loop": lambda: loop(graph.input("n", count), None, body=empty(count, flag, outputs=1)),
        "Scan": lambda: scan(x, body=empty(TensorType("float32", (3,))), num_scan_inputs=1),
        "SequenceMap": lambda: ops.sequence.sequence_map(ops.sequence.sequence_construct(x), body=empty(x.type)),
    }
    with pytest.raises(RuleError, match=f"{name}: nothing comes out"):
        build[name]()
