"""Addresses: one for each value, in programs, files, gradients and draws alike, also where nodes, weights and branches share their names."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from bodies import COUNT, FLAG, tensor
from graphir import Graph, Model, Value, ops
from graphir.addresses import addresses_of_nodes
from graphir.ir import Weight
from graphir.ops.control import body_in, if_, loop, scan, yields
from graphir.ops.elementwise import add, identity, mul, sum_
from graphir.ops.sequence import sequence_at, sequence_construct, sequence_map
from graphir.types import Type
from graphir.verify import verify

X = np.array([1.0, 2.0])


class Build:
    """Builds y, the sum of x times each of many weights, which stand in bodies; no two weights are equal."""

    def __init__(self) -> None:
        self.graph = Graph("shared")
        self.x = self.graph.input("x", tensor(2))
        self.flag = self.graph.input("flag", FLAG)
        self.made: list[Value] = []

    def weight(self, name: str = "w", graph: Graph | None = None) -> Weight:
        graph = self.graph if graph is None else graph
        count = sum(len(g.weights) for g in self.graph.walk())
        return graph.add_weight(name, np.array([3.0 + 2 * count, 4.0 + 3 * count + len(name)]), "state")

    def body(self, parent: Any, types: list[Type], build: Callable[..., Any]) -> Graph:
        made = body_in(parent)
        inputs = [made.input(made.fresh("in"), t) for t in types]
        w = self.weight("w", made)
        with made:
            outputs = build(w, *inputs)
        yields(made, *(outputs if isinstance(outputs, tuple) else (outputs,)))
        return made

    def if_(self, name: str, inner: Callable[[Value], Value] = lambda v: v) -> "Build":
        """x * w in either branch, whose weights are equal in name alone; the flag says which."""
        then, other = (self.body(self.graph, [], lambda w: inner(mul(self.x, w))) for _ in range(2))
        return self.take(if_(self.flag, then_branch=then, else_branch=other)[0], name)

    def loop_(self, name: str) -> "Build":
        body = self.body(self.graph, [COUNT, FLAG, tensor(2)], lambda w, i, go, s: (identity(go), mul(s, w)))
        return self.take(loop(1, None, self.x, body=body)[0], name)

    def scan_(self, name: str) -> "Build":
        body = self.body(self.graph, [tensor(2), tensor()], lambda w, s, _: (mul(s, w), identity(s)))
        return self.take(scan(self.x, self.graph.weight(self.graph.fresh("steps"), np.array([1.0])), body=body, num_scan_inputs=1)[0], name)

    def map_(self, name: str) -> "Build":
        body = self.body(self.graph, [tensor(2)], lambda w, e: mul(e, w))
        return self.take(sequence_at(sequence_map(sequence_construct(self.x), body=body)[0], 0), name, op="SequenceMap")

    def product(self, name: str) -> "Build":
        """x * w in the main graph."""
        self.made.append(mul(self.x, self.weight(name)))
        return self

    def take(self, v: Value, name: str, op: str = "") -> "Build":
        node = next(n for n in reversed(self.graph.nodes) if n.bodies) if op or v.node is None else v.node
        node.name = name
        self.made.append(v)
        return self

    def model(self) -> Model:
        self.graph.output(sum_(*self.made), "y")
        return Model(self.graph)


def within(v: Value) -> Value:
    """v + v * w in the branches of another If, whose names are those of the outer one."""
    branches = []
    for k in (1.0, 2.0):
        body = body_in(v)
        w = body.add_weight("w", np.array([k, k / 3]), "state")
        with body:
            yields(body, add(v, mul(v, w)))
        branches.append(body)
    flag = next(i for i in v.graph.root.inputs if i.name == "flag")
    with v.graph:
        (made,) = if_(flag, then_branch=branches[0], else_branch=branches[1])
    assert made.node is not None
    made.node.name = "n"
    return made


ROWS: dict[str, Callable[[], Build]] = {
    "two of one name": lambda: Build().if_("n").if_("n"),
    "three of one name": lambda: Build().if_("n").if_("n").if_("n"),
    "a weight called like an address": lambda: Build().if_("n").product("n/then_branch/w").product("n/else_branch/w"),
    "and like one told apart": lambda: Build().if_("n").if_("n").product("n/then_branch/w#2").product("w#2"),
    "names with slashes": lambda: Build().if_("a/b", within).if_("a").if_("a/then_branch/n").loop_("a/b"),
    "bodies in bodies": lambda: Build().if_("n", within).if_("n", within),
    "loops of one name": lambda: Build().loop_("n").loop_("n").product("n/w"),
    "one body and two": lambda: Build().loop_("n").if_("n").scan_("n"),
    "a map that runs as a loop": lambda: Build().map_("n").loop_("n").map_("n"),
    "names of branches": lambda: Build().loop_("n/then_branch").if_("n"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
def test_states(row: Callable[[], Build], runtime: str) -> None:
    model = row().model()
    weights = {a: w for a, w in model.weights.items() if w.kind == "state"}
    assert len(weights) == sum(w.kind == "state" for g in model.graph.walk() for w in g.weights.values())
    assert all(model.find(a) is w for a, w in weights.items())
    constant = model.copy()
    for w in constant.weights.values():
        w.become("constant")
    program = graphir.compile(model, runtime)
    assert dict(program.state).keys() == weights.keys()
    for flag in (True, False):
        feeds = {"x": X, "flag": np.asarray(flag)}
        y = program.run(feeds)["y"]
        np.testing.assert_allclose(y, graphir.compile(constant).run(feeds)["y"])
        for address, w in weights.items():
            data = w.tensor.array  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
            np.testing.assert_array_equal(program.state[address], data)
            np.testing.assert_array_equal(program.run(feeds, [address])[address], data)
            changed = constant.copy()
            changed.find(address).tensor = graphir.Tensor.of(data + 1)  # pyright: ignore[reportAttributeAccessIssue]
            program.state[address] = data + 1
            np.testing.assert_allclose(program.run(feeds)["y"], graphir.compile(changed).run(feeds)["y"])
            program.state[address] = data


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_gradients_and_training(row: Callable[[], Build]) -> None:
    model = row().model()
    feeds = {"x": X, "flag": np.asarray(True)}
    made = graphir.gradient(model, wrt="*")
    assert verify(made) == []
    got = graphir.compile(made).run({**feeds, "seed_y": np.ones(2)})
    (y,) = graphir.compile(model).run(feeds).values()
    for address, w in model.weights.items():
        if w.kind != "state":
            continue
        changed = model.copy()
        changed.find(address).tensor = graphir.Tensor.of(w.tensor.array + 0.5)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        (there,) = graphir.compile(changed).run(feeds).values()
        np.testing.assert_allclose(got[made.gradients["y", address]], 2 * (there - y), err_msg=address, atol=1e-9)
        np.testing.assert_array_equal(graphir.compile(made).run({**feeds, "seed_y": np.ones(2)}, [address])[address], w.tensor.array)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    applied = graphir.training.apply(model, {a: w.tensor.array + 1 for a, w in model.weights.items() if w.kind == "state"})  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    for a, w in model.weights.items():
        np.testing.assert_array_equal(applied.weights[a].tensor.array, w.tensor.array + (w.kind == "state"))  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_files(row: Callable[[], Build]) -> None:
    """A file holds all of them, each update under the address of its weight."""
    model = row().model()
    states = [w for w in model.weights.values() if w.kind == "state"]
    for w in states:
        model.update(w, model.find("y"))
    back = graphir.loads(graphir.dumps(model, "gir"), "gir")
    assert data_of(back) == data_of(model)
    assert [back.addresses()[a] for a, w in model.weights.items() if w.kind == "state"] == list(back.updates)
    for w in states:
        model.stop_updating(w)
    assert data_of(graphir.loads(graphir.dumps(model, "onnx"), "onnx")) == data_of(model)


def data_of(model: Model) -> list[tuple[str, list[float]]]:
    """The weights, by address."""
    return [(a, w.tensor.array.tolist()) for a, w in model.weights.items()]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
def test_updates_of_states_in_bodies(runtime: str) -> None:
    model = Build().if_("n").if_("n").model()
    first, second = model.find("n/then_branch/w"), model.find("n/then_branch/w#2")
    assert isinstance(first, Weight) and isinstance(second, Weight)
    model.update(first, model.find("x"))
    model.update(second, first)
    program = graphir.compile(model, runtime)
    was = program.state["n/then_branch/w"]
    program.run({"x": X, "flag": np.asarray(True)})
    assert [program.state[a].tolist() for a in ("n/then_branch/w", "n/then_branch/w#2")] == [X.tolist(), was.tolist()]


def drawn(names: str) -> Model:
    """Numbers that are drawn in the branches of Ifs of these names, each by a node called `draw`."""
    graph = Graph("drawn")
    flag = graph.input("flag", FLAG)
    for name in names:
        branches = []
        for _ in range(2):
            body = body_in(graph)
            v = ops.create.random_normal(body, shape=(4,))
            assert v.node is not None
            v.node.name = "draw"
            yields(body, v)
            branches.append(body)
        graph.output(identity(if_(flag, then_branch=branches[0], else_branch=branches[1])[0]))
        next(n for n in reversed(graph.nodes) if n.bodies).name = name
    return Model(graph)


def test_draws() -> None:
    feeds = {"flag": np.asarray(True)}
    alike, apart = ([x.tolist() for x in graphir.compile(drawn(names)).run(feeds).values()] for names in ("nnn", "abc"))
    assert len({*map(tuple, alike)}) == len({*map(tuple, apart)}) == 3
    model = drawn("nnn")
    program: Any = graphir.compile(model)
    first = list(program.run(feeds).values())
    program.runs = 0
    last = model.outputs[2].name
    assert program.run(feeds, [last])[last].tolist() == first[2].tolist() == alike[2]  # cut down or not
    addresses = [a for a, node in addresses_of_nodes(model.graph).items() if node.name == "draw"]
    assert addresses == ["n/then_branch/draw", "n/else_branch/draw", *(f"n/{k}_branch/draw#{i}" for i in (2, 3) for k in ("then", "else"))]


# ---- fetching what is in bodies ---------------------------------------------------------------------------------------------------------


def looped(count: int) -> Model:
    """A Loop of so many trips around x + i, whose body holds the constant 3 and captures x."""
    graph = Graph("looped")
    x = graph.input("x", tensor(2))
    body = body_in(graph)
    i, go, s = (body.input(name, t) for name, t in (("i", COUNT), ("go", FLAG), ("s", tensor(2))))
    with body:
        step = mul(add(x, ops.elementwise.cast(i, to="float64")), body.weight("three", np.array([3.0, 3.0])))
        size = ops.shape.shape(s).named("size")
        out = add(add(s, step.named("step")), ops.elementwise.cast(size, to="float64"))
    yields(body, go, out)
    (y,) = loop(graph.number(count, np.dtype("int64")), None, x, body=body)
    graph.output(y, "y")
    graph.nodes[-1].name = "l"
    return Model(graph)


FETCHED: dict[str, Any] = {
    "l/three": [3, 3],
    "l/step": [3 * 3, 3 * 4],
    "l/i": 2,
    "l/size": [2],
    "l/s": [1 + 3 * 3 + 4, 2 + 3 * 5 + 4],
    "y": None,
}


@pytest.mark.parametrize(("address", "expected"), FETCHED.items())
def test_values_of_bodies_are_those_of_the_last_trip(address: str, expected: Any) -> None:
    got = graphir.compile(looped(3)).run({"x": X}, [address])[address]
    if expected is not None:
        np.testing.assert_allclose(got, expected)
    if address in ("l/three", "l/size", "y"):  # known whether or not the body runs
        assert address == "y" or graphir.compile(looped(0)).run({"x": X}, [address])[address].tolist() == expected
    else:
        with pytest.raises(KeyError, match=f"{address} was not computed: the body that makes it did not run"):
            graphir.compile(looped(0)).run({"x": X}, [address])


def test_values_of_bodies_that_run_as_other_operators() -> None:
    """Another body's value of the same name is not given for them."""
    model = Build().map_("n").loop_("n").model()
    names = [a for a, v in model.addresses().items() if v.node is not None and v.node.op.name == "Mul" and a.startswith("n/")]
    program = graphir.compile(model)
    feeds = {"x": X, "flag": np.asarray(True)}
    with pytest.raises(KeyError, match=f"{names[0]} is not computed here"):
        program.run(feeds, names[:1])
    assert program.run(feeds, names[1:])[names[1]].tolist() == (X * model.find("n/w#2").tensor.array).tolist()  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def test_constants_of_bodies_on_onnxruntime() -> None:
    assert graphir.compile(looped(0), "onnxruntime").run({"x": X}, ["l/three"])["l/three"].tolist() == [3, 3]


def test_many_of_one_name_take_linear_time() -> None:
    graph = Graph("many")
    x, flag = graph.input("x", tensor(2)), graph.input("flag", FLAG)
    for _ in range(3000):
        branches = [body_in(graph), body_in(graph)]
        for body in branches:
            body.add_weight("w", X)
            body.outputs = (x,)
        graph.append(ops.lookup("", "If"), (flag,), {"then_branch": branches[0], "else_branch": branches[1]}, [x.type], "n")
    model = Model(graph)
    addresses = model.addresses()
    assert len(addresses) == 2 + 3000 * 3 and "n/else_branch/w#3000" in addresses
    assert model.find("n/else_branch/w#2999") is not model.find("n/else_branch/w#3000")


def test_a_value_of_a_body_that_is_called_as_a_weight_is_from_outside() -> None:
    """The weight takes its address for a name, and the other value another; a body that yields its own weight goes on doing so."""
    graph = Graph("odd")
    x, flag = graph.input("x", tensor(2)), graph.input("flag", FLAG)
    then, other = body_in(graph), body_in(graph)
    w = then.weight("w", np.array([5.0, 7.0]), "state")
    then.outputs = (w,)
    with other:
        yields(other, mul(x, x).named("n/then_branch/w"))
    (y,) = if_(flag, then_branch=then, else_branch=other)
    graph.output(mul(y, x), "y")
    next(n for n in graph.nodes if n.bodies).name = "n"
    model = Model(graph)
    assert verify(model) == []
    made = graphir.gradient(model, wrt="n/then_branch/w")
    assert verify(made) == []
    for runtime in ("numpy", "onnxruntime"):
        for flag, want in ((True, [5.0, 14.0]), (False, [1.0, 8.0])):
            feeds = {"x": X, "flag": np.asarray(flag)}
            program = graphir.compile(model, runtime)
            assert program.run(feeds)["y"].tolist() == want
            assert program.run(feeds, ["n/then_branch/w"])["n/then_branch/w"].tolist() == [5, 7]
            got = graphir.compile(made, runtime).run({**feeds, "seed_y": np.ones(2)})
            assert got["d_n/then_branch/w"].tolist() == (X * flag).tolist() and got["y"].tolist() == want
