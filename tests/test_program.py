"""Compiled programs: against the readable interpreter on random graphs; memory, fetches, state, limits, errors."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphir import Graph, Model, TensorType, Value, ops
from graphir_arrays import LimitError, Limits, Program
from graphir_arrays.interpret import interpret
from graphir_numpy import runtime
from graphir_numpy.namespace import xp

F32 = TensorType("float32", ("N", 4))


def compiled(graph: Graph, **options: object) -> Program:
    return runtime.compile(Model(graph), **options)  # pyright: ignore[reportArgumentType]


def chain(length: int = 3) -> Graph:
    graph = Graph("chain")
    x = v = graph.input("x", F32)
    for _ in range(length):
        v = ops.elementwise.add(v, 1.0)
    graph.output(ops.elementwise.mul(v, x), "y")
    return graph


# What a random graph is made of: each takes values of shape (N, 4) and makes one of that shape.
PIECES = [
    ops.elementwise.add, ops.elementwise.mul, ops.elementwise.max_,
    lambda a, b: ops.elementwise.sub(a, 0.5),
    lambda a, b: ops.elementwise.tanh(b),
    lambda a, b: ops.activation.relu(a),
    lambda a, b: ops.shape.reshape(a, [-1, 4]),
    lambda a, b: ops.shape.transpose(ops.shape.transpose(a, perm=(1, 0)), perm=(1, 0)),
    lambda a, b: ops.shape.reshape(ops.shape.reshape(a, [-1, 2]), [-1, 4]),
    lambda a, b: ops.math.matmul(a, ops.math.matmul(ops.shape.transpose(a), b)),
    lambda a, b: ops.elementwise.add(ops.reduce.reduce_sum(a, [1]), b),
    lambda a, b: ops.elementwise.identity(b),
    lambda a, b: ops.shape.concat(*ops.shape.split(a, num_outputs=2, axis=1), axis=1),
    lambda a, b: ops.shape.slice_(ops.shape.concat(a, b, axis=1), [1], [5], [1]),
    lambda a, b: ops.elementwise.where(ops.logic.greater(a, b), a, b),
    lambda a, b: ops.activation.softmax(a),
    lambda a, b: ops.shape.slice_(a, [-1], [-5], [1], [-1]),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(PIECES) - 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25), st.data())
def test_a_program_agrees_with_the_interpreter(pieces: list[tuple[int, int, int]], data: st.DataObject) -> None:
    graph = Graph("random")
    values: list[Value] = [graph.input("x", F32), graph.weight("w", np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4))]
    for piece, i, j in pieces:
        values.append(PIECES[piece](values[-1 - i % len(values)], values[-1 - j % len(values)]))
    made = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=4, unique=True))
    graph.outputs = made
    model = Model(graph)
    feeds = {"x": np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype("float32")}
    program = runtime.compile(model)
    expected = interpret(model, feeds, xp)
    for _ in range(2):  # the second run finds the buffers of the first in use
        results = program.run(feeds)
        for name, x in expected.items():
            np.testing.assert_allclose(results[name], x, rtol=1e-5, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(PIECES) - 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=15), st.data())
def test_updates_take_place_all_at_once(pieces: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Three runs, whatever is read when, and whatever is handed out as well: the state is what a run without updates makes of the state before."""
    graph = Graph("random")
    states = [graph.weight(name, np.linspace(-1, i, 12, dtype="float32").reshape(3, 4), "state") for i, name in enumerate("abc")]
    values: list[Value] = [graph.input("x", F32), *states]
    for piece, i, j in pieces:
        values.append(PIECES[piece](values[-1 - i % len(values)], values[-1 - j % len(values)]))
    graph.outputs = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
    updates = {w: data.draw(st.sampled_from(values)) for w in states if data.draw(st.booleans())}
    model = Model(graph)
    for w, v in updates.items():
        model.update(w, v)
    program, still = runtime.compile(model), runtime.compile(model)
    feeds = {"x": np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype("float32")}
    for _ in range(3):
        for name in program.state:
            still.state[name] = program.state[name]
        before, names = dict(program.state), [v.name for v in graph.outputs]
        expected = still.run(feeds, fetch=[*names, *(v.name for v in updates.values())])
        results = program.run(feeds)
        for name in names:
            np.testing.assert_array_equal(results[name], expected[name])
            results[name] += 7  # it is the caller's own
        for w in states:
            np.testing.assert_array_equal(program.state[w.name], expected[updates[w].name] if w in updates else before[w.name])


def test_results_are_the_callers_own() -> None:
    graph = Graph("views")
    x = graph.input("x", F32)
    w = graph.weight("w", np.ones((2, 2), "float32"))
    graph.outputs = [x, w, ops.shape.transpose(x), ops.shape.reshape(w, [4])]
    program, feed = compiled(graph), np.zeros((1, 4), "float32")
    first = program.run({"x": feed})
    for array in first.values():
        array += 7
    assert not feed.any()
    again = program.run({"x": feed})
    assert [a.max() for a in again.values()] == [0, 1, 0, 1]


def test_buffers_are_shared_and_written_in_place() -> None:
    graph = chain(20)
    program = compiled(graph)
    program.run({"x": np.ones((2, 4), "float32")})
    assert program._last is not None
    buffers = {b.__array_interface__["data"][0] for name, b in program._last.source.names.items() if name.startswith("b")}
    assert len(buffers) == 1


@pytest.mark.parametrize("length", [1, 2, 5])
def test_any_value_is_fetched_and_only_what_it_needs_runs(length: int) -> None:
    program = compiled(chain(length))
    x = np.arange(8, dtype="float32").reshape(2, 4)
    fetched = program.run({"x": x}, fetch=["add", "x"])
    np.testing.assert_array_equal(fetched["add"], x + 1)
    np.testing.assert_array_equal(fetched["x"], x)
    assert program.source.count("add") == 1 and "mul" not in program.source
    with pytest.raises(KeyError, match=r"no value 'ad'.*did you mean"):
        program.run({"x": x}, fetch=["ad"])


def test_values_in_bodies_are_fetched_where_they_ran() -> None:
    graph = Graph("choice")
    c, x = graph.input("c", TensorType("bool", ())), graph.input("x", F32)
    branches = {}
    for name, op in (("then_branch", ops.elementwise.exp), ("else_branch", ops.elementwise.neg)):
        with (body := Graph(name, graph)):
            ops.control.yields(body, ops.elementwise.add(op(x).named(f"inner_{name}"), 1.0))
        branches[name] = body
    (y,) = ops.control.if_(c, **branches)
    graph.output(y, "y")
    program = compiled(graph)
    feeds = {"c": np.array(True), "x": np.ones((1, 4), "float32")}
    address = next(a for a in Model(graph).addresses() if a.endswith("inner_then_branch"))
    np.testing.assert_allclose(program.run(feeds, fetch=[address])[address], np.exp(feeds["x"]), rtol=1e-6)
    with pytest.raises(KeyError, match="was not computed"):
        program.run({**feeds, "c": np.array(False)}, fetch=[address])


def test_state_is_updated_all_at_once() -> None:
    graph = Graph("swap")
    x = graph.input("x", TensorType("float32", (2,)))
    a, b = graph.weight("a", np.zeros(2, "float32")), graph.weight("b", np.ones(2, "float32"))
    model = Model(graph)
    model.update(a, ops.elementwise.add(b, x))
    model.update(b, a)
    graph.output(ops.elementwise.sub(a, b), "y")
    program = runtime.compile(model)
    twin = program.clone()
    np.testing.assert_array_equal(program.run({"x": np.full(2, 5, "float32")})["y"], [-1, -1])
    assert program.state["a"].tolist() == [6, 6] and program.state["b"].tolist() == [0, 0]
    assert twin.state["a"].tolist() == [0, 0]
    program.state["a"] = [9.0, 9.0]
    assert program.run({"x": np.zeros(2, "float32")})["y"].tolist() == [9, 9]
    with pytest.raises(KeyError, match="no state 'c'"):
        program.state["c"] = 1
    with pytest.raises(ValueError, match=r"is float32\[2\]; it was given"):
        program.state["a"] = np.zeros(3, "float32")


def test_state_that_is_still_looked_at_is_not_written() -> None:
    graph = Graph("views")
    x, w = graph.input("x", TensorType("float32", (2, 2))), graph.weight("w", np.eye(2, dtype="float32"), "state")
    model, turned = Model(graph), ops.shape.slice_(w, [-1], [-5], [1], [-1])
    model.update(w, ops.elementwise.exp(x))
    graph.output(ops.elementwise.mul(turned, 2.0), "y")
    program = runtime.compile(model)
    assert program.run({"x": np.zeros((2, 2), "float32")})["y"].tolist() == [[0, 2], [2, 0]]
    assert program.run({"x": np.zeros((2, 2), "float32")})["y"].tolist() == [[2, 2], [2, 2]]


WRONG_FEEDS = [
    ({}, r"the input x: float32\[N, 4\] is missing"),
    ({"x": np.zeros((2, 4))}, r"was given float64\[2, 4\]; cast it to float32"),
    ({"x": np.zeros((2, 5), "float32")}, r"was given the shape \[2, 5\]; expected \[N, 4\]"),
    ({"x": np.zeros(4, "float32")}, r"was given the shape \[4\]"),
    ({"x": np.zeros((2, 4), "float32"), "z": 1}, r"no input 'z'; the inputs are x: float32\[N, 4\]"),
]


@pytest.mark.parametrize(("feeds", "message"), WRONG_FEEDS)
def test_feeds_that_do_not_fit(feeds: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compiled(chain()).run(feeds)


def test_a_symbol_has_one_size_in_a_run() -> None:
    graph = Graph("pair")
    x, y = graph.input("x", F32), graph.input("y", F32)
    graph.output(ops.elementwise.add(x, y), "z")
    with pytest.raises(ValueError, match=r"y: float32\[N, 4\] was given the shape \[3, 4\]; expected \[N, 4\], where N = 2"):
        compiled(graph).run({"x": np.zeros((2, 4), "float32"), "y": np.zeros((3, 4), "float32")})


def test_an_error_in_a_kernel_names_the_node() -> None:
    graph = Graph("bad")
    x, i = graph.input("x", F32), graph.input("i", TensorType("int64", (1,)))
    graph.output(ops.index.gather(x, i).named("picked"), "y")
    with pytest.raises(ValueError, match=r"node 'y' \(Gather\): .*9"):
        compiled(graph).run({"x": np.zeros((2, 4), "float32"), "i": np.array([9])})


def test_no_name_of_a_model_reaches_the_source() -> None:
    graph = Graph("evil\nimport os")
    x = graph.input('x"""\nraise SystemExit  #', F32)
    graph.output(ops.elementwise.exp(x), "y)\nraise SystemExit\n")
    program = compiled(graph)
    (y,) = program.run({x.name: np.zeros((1, 4), "float32")}).values()
    assert y.tolist() == [[1, 1, 1, 1]] and "SystemExit" not in program.source


def bomb() -> Graph:
    graph = Graph("bomb")
    n = graph.input("n", TensorType("int64", (1,)))
    graph.output(ops.create.constant_of_shape(n), "y")
    return graph


def endless() -> Graph:
    graph = Graph("endless")
    x = graph.input("n", TensorType("int64", (1,)))
    body = Graph("body", graph)
    body.input("i", TensorType("int64", ()))
    go, state = body.input("go", TensorType("bool", ())), body.input("state", TensorType("int64", (1,)))
    ops.control.yields(body, ops.elementwise.identity(go), ops.elementwise.add(state, 1))
    (y,) = ops.control.loop(None, True, x, body=body)
    graph.output(y, "y")
    return graph


LIMITED = [
    (bomb, Limits(memory=10**6), r"node 'y' \(ConstantOfShape\) makes 40,000,000 bytes, and the limit is 1,000,000"),
    (endless, Limits(trips=100), "more than 100 times"),
    (endless, Limits(seconds=0.05), "more than 0.05 s"),
]


@pytest.mark.parametrize(("make", "limits", "message"), LIMITED, ids=["memory", "trips", "seconds"])
def test_limits_stop_a_run(make, limits: Limits, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        compiled(make(), limits=limits).run({"n": np.array([10_000_000])})


def test_later_edits_do_not_reach_a_program() -> None:
    graph = chain()
    program = compiled(graph)
    before = str(program.stages[0])
    graph.output(ops.elementwise.exp(graph.inputs[0]), "more")
    assert list(program.run({"x": np.zeros((1, 4), "float32")})) == ["y"] and str(program.stages[0]) == before


def test_stages_show_how_a_model_became_a_program() -> None:
    stages = compiled(chain()).stages
    assert [s.name for s in stages][:3] == ["as given", "upgrade", "expand"] and all(s.text for s in stages)


def test_one_program_serves_many_shapes() -> None:
    program = compiled(chain())
    for n in (1, 2, 1, 5, 0):
        x = np.ones((n, 4), "float32")
        np.testing.assert_array_equal(program.run({"x": x})["y"], (x + 3) * x)


# Constants of which a kernel, while it is prepared, or folding makes no numbers: of x, (N, 3, 4, 4), and what makes a constant.
QUIET = {
    "a negative variance": lambda x, c: ops.normalization.batch_normalization(x, c(1, 2, 3), c(1, 2, 3), c(1, 2, 3), c(-1, 2, 3))[0],
    "no variance": lambda x, c: ops.normalization.batch_normalization(x, c(1, 1, 1), c(1, 2, 3), c(1, 2, 3), c(0, 0, 0), epsilon=0.0)[0],
    "a logarithm": lambda x, c: ops.elementwise.add(x, ops.elementwise.log(c(-1, 0, 1, 2))),
    "a quotient": lambda x, c: ops.elementwise.add(x, ops.elementwise.div(c(-1, 0, 1, 2), c(0, 0, 0, 0))),
    "a power": lambda x, c: ops.elementwise.add(x, ops.elementwise.pow_(c(-1, 0, 1, 2), c(-0.5))),
    "a whole number": lambda x, c: ops.elementwise.add(x, ops.elementwise.cast(ops.elementwise.cast(c(np.nan, 1e30, 1, 2), to="int32"), to="float32")),
    "a product": lambda x, c: ops.elementwise.mul(x, ops.elementwise.mul(c(3e38, 1, 1, 1), c(3e38, 1, 1, 1))),
}  # fmt: skip


@pytest.mark.parametrize("row", QUIET)
@pytest.mark.parametrize("limits", [None, Limits(memory=1 << 28, seconds=30)], ids=["no limits", "limits"])
def test_numbers_that_are_none_do_not_warn(row: str, limits: Limits | None) -> None:
    """Warnings are errors here: neither folding, nor planning, nor running says a word."""
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", ("N", 3, 4, 4)))
    graph.output(QUIET[row](x, lambda *numbers: graph.weight(graph.fresh("c"), np.array(numbers, "float32"))), "y")
    y = compiled(graph, limits=limits).run({"x": np.ones((2, 3, 4, 4), "float32")})["y"]
    assert y.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("trips", [0, 2])
@pytest.mark.parametrize("further", [lambda v: v, lambda v: ops.reduce.reduce_mean(v, keepdims=0)], ids=["made by it", "made of it"])
def test_a_body_that_does_not_fit_is_told_by_its_node(trips: int, further: Callable[[Value], Value]) -> None:
    """x may have one element for all that its type says; where it has more, Clip refuses it, and so the loop's scan output has no type."""
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", ("N",)))
    body = ops.control.body_in(graph)
    _, go = (body.input(n, TensorType(t, ())) for n, t in (("i", "int64"), ("go", "bool")))
    ops.control.yields(body, go, further(ops.elementwise.clip(body.input("s", x.type), x)))
    body.outputs = (body.outputs[0], body.inputs[2], body.outputs[1])
    graph.output(ops.control.loop(trips, None, x, body=body)[1], "y")
    with pytest.raises(ValueError, match=r"node 'clip': Clip: min has shape \[2\]; expected a scalar"):
        compiled(graph).run({"x": np.ones(2, "float32")})
