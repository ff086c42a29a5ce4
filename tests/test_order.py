"""The order in which a file gives attributes, weights, nodes and the inputs of sums says nothing: results and gradients are the same in any.

Of the standard's suite a sample is taken; GRAPHIR_EVERY_CASE=1 in the environment takes all of it, which takes some minutes.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

import graphir
import test_control_gradients
import test_flex_attention
import test_gradient_nodes
import test_gradient_suite
import test_sequence_gradients
from bodies import FLAG, Row, along, body, branches, problem, tensor, turns
from graphir import Graph, Model, Value, ops
from graphir.ir import captures, home
from graphir.ops._bodies import paste
from graphir.ops._op import op
from graphir.ops.control import if_
from graphir.ops.elementwise import mul, sin, sum_
from graphir.types import Type
from graphir.verify import verify
from graphir_onnx import from_proto, to_proto
from shuffled import shuffled

STRIDE = 1 if os.environ.get("GRAPHIR_EVERY_CASE") else 17
ROWS = {row.build.__name__: row for row in (*test_control_gradients.ROWS, *test_sequence_gradients.ROWS)}


def other_orders(model: Model, allowed: bool = False) -> list[Model]:
    """The same model, read from files in other orders. allowed: with nodes in topological order."""
    proto = to_proto(model)
    found = [from_proto(shuffled(proto, 0)), from_proto(shuffled(proto, 1, allowed))]
    assert [verify(m) for m in found] == [[], []]
    return found


def same(found: Mapping[str, Any], expected: Mapping[str, Any], rtol: float = 1e-9) -> None:
    """Results agree to rounding, which sums in another order may change."""
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        for a, b in zip(found[name], x, strict=True) if isinstance(x, list) else [(found[name], x)]:
            if b is None or b.dtype.kind in "OUSb" or isinstance(b, dict):
                np.testing.assert_array_equal(a, b)
                continue
            a, b = (np.asarray(y, np.complex128 if y.dtype.kind == "c" else np.float64) for y in (a, b))
            assert a.shape == b.shape
            scale = np.abs(b).max(initial=1e-300, where=np.isfinite(b))
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bodies_and_their_derivatives(row: Row) -> None:
    model, given = problem(row)
    for order in range(1, min(row.orders, 2) + 1):
        others = [along(other, order) for other in other_orders(model)]
        model = along(model, order)
        programs = [graphir.compile(m) for m in (model, *others)]
        for some in given:
            expected = programs[0].run(some)
            for program in programs[1:]:
                same({name: x for name, x in program.run(some).items() if name in expected}, expected)


def agree(model: Model, others: list[Model], feeds: Mapping[str, Any], rtol: float = 1e-9, **wanted: Any) -> None:
    """The models make the same, and so do their gradients, and the gradient itself in other orders."""
    expected = graphir.compile(model).run(feeds)
    for other in others:
        same(graphir.compile(other).run(feeds), expected, rtol)
    if not wanted:
        return
    made = graphir.gradient(model, **wanted)
    rng = np.random.default_rng(0)
    seeds = {v.name: rng.uniform(0.5, 1.5, expected[v.name.removeprefix("seed_")].shape) for v in made.inputs if v.name not in feeds}
    fed = {**feeds, **{v.name: seeds[v.name].astype(v.dtype) for v in made.inputs if v.name in seeds}}
    expected = graphir.compile(made).run(fed)
    for other in (*(graphir.gradient(m, **wanted) for m in others), *other_orders(made)):
        assert set(other.gradients.values()) == set(made.gradients.values())
        same(graphir.compile(other).run(fed), expected, rtol)


@pytest.mark.parametrize("name", list(test_gradient_suite.cases())[11::STRIDE])
def test_the_suite_and_its_gradients(name: str) -> None:
    problem = test_gradient_suite.Problem(test_gradient_suite.cases()[name])
    wrt = [] if problem.node.op_type in test_gradient_suite.STRAIGHT_THROUGH else problem.wrt()
    wanted: dict[str, Any] = {"of": problem.of, "wrt": wrt} if wrt else {}
    rtol = 1e-9 if any(np.asarray(x).dtype == np.float64 for x in problem.feeds.values()) else 1e-5
    agree(problem.model, other_orders(problem.model), problem.feeds, rtol, **wanted)


# ---- models with bodies -----------------------------------------------------------------------------------------------------------------

X = np.linspace(0.5, 1.5, 3)
HEAD = '<ir_version: 10, opset_import: ["": 20, "own": 1]> g (bool c, double[3] x, double[3] v) => (double[3] y)'
WEIGHTS = "<double[3] a = {2, 3, 4}, double[1] d = {5}, double[3] w = {0.5, 2, 1}>"
TEXTS = {
    "captures in another order": "y = If (c) <then_branch = t () => (ty) { p = Mul (x, a) ty = Mul (p, d) }, else_branch = e () => (ey) { q = Mul (x, d) ey = Mul (q, a) }>",
    "each its own captures": "y = If (c) <then_branch = t () => (ty) { ty = Tanh (x) }, else_branch = e () => (ey) { ey = Sin (v) }>",
    "a condition inside": "y = If (c) <then_branch = t () => (ty) { s = If (c) <then_branch = t2 () => (z) { z = Mul (x, a) },"
    " else_branch = e2 () => (z2) { z2 = Sin (x) }> ty = Mul (s, d) }, else_branch = e () => (ey) { ey = Mul (w, v) }>",
    "several outputs": "p, q = If (c) <then_branch = t () => (ta, tb) { ta = Mul (x, v) tb = Mul (a, w) }, else_branch = e () => (ea, eb)"
    " { eb = Mul (w, x) ea = Mul (eb, d) }> y = Mul (p, q)",
    "weights of one name in both": "y = If (c) <then_branch = t () => (ty) { k = Constant <value = double[3] {1, 2, 3}> () ty = Mul (x, k) },"
    " else_branch = e () => (ey) { k = Constant <value = double[3] {4, 5, 6}> () ey = Mul (v, k) }>",
    "a branch in a loop": "n = Constant <value = int64 {3}> () y, every = Loop (n, , x) <body = b (int64 i, bool g, double[3] s) => (bool go, double[3] r, double[3] o)"
    " { go = Identity (g) r = If (c) <then_branch = t () => (z) { z = Mul (s, a) }, else_branch = e () => (z2) { z1 = Mul (v, w) z2 = Mul (z1, s) }> o = Mul (r, d) }>",
    "functions of one another": "p = own.twice (x, v) q = own.thrice (x, a) y = Mul (p, q)",
}
FUNCTIONS = """<domain: "own", opset_import: ["": 20, "own": 1]> thrice (a, b) => (o) { p = own.twice (a, b) q = Sin (a) o = Add (p, q) }
<domain: "own", opset_import: ["": 20]> twice (a, b) => (o) { c = Constant <value = double[3] {3, 1, 2}> () m = Mul (b, c) n = Sin (a) k = Mul (m, n) o = Add (k, a) }"""


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_models_with_bodies(text: str) -> None:
    model = from_proto(onnx.parser.parse_model(f"{HEAD} {WEIGHTS} {{ {text} }} {FUNCTIONS if 'own.' in text else ''}"))
    for c in (True, False):
        agree(model, other_orders(model), {"c": np.asarray(c), "x": X, "v": X - 1}, of="y")


def chosen_by_call() -> Model:
    """A function whose branches are the graphs of its call."""
    call = "y = own.chosen (c, x) <yes = t () => (ty) { ty = Mul (x, a) }, no = e () => (ey) { ey = Mul (v, w) }>"
    proto = onnx.parser.parse_model(f"{HEAD} {WEIGHTS} {{ {call} }}")
    inner = onnx.NodeProto(op_type="If", input=["c"], output=["z"])
    for name, ref in (("else_branch", "no"), ("then_branch", "yes")):
        inner.attribute.add(name=name, ref_attr_name=ref, type=onnx.AttributeProto.GRAPH)
    nodes = [inner, onnx.helper.make_node("Mul", ["z", "x"], ["o"])]
    proto.functions.add().CopyFrom(
        onnx.helper.make_function("own", "chosen", ["c", "x"], ["o"], nodes, [onnx.helper.make_opsetid("", 20)], ["yes", "no"])
    )
    return from_proto(proto)


def test_functions_whose_bodies_are_the_graphs_of_a_call() -> None:
    model = chosen_by_call()
    feeds = {"x": X, "v": X - 1}
    for c, factor in ((True, np.array([2, 3, 4]) * X), (False, np.array([0.5, 2, 1]) * (X - 1))):
        np.testing.assert_allclose(graphir.compile(model).run({"c": np.asarray(c), **feeds})["y"], factor * X)
        agree(model, other_orders(model), {"c": np.asarray(c), **feeds}, of="y")
    assert verify(model) == []


@pytest.mark.parametrize("score", test_flex_attention.SCORES.values(), ids=test_flex_attention.SCORES)
def test_modified_attention(score: Any) -> None:
    model = test_flex_attention.attended(score)
    agree(model, other_orders(model), test_flex_attention.FEEDS, 1e-5, of="y", wrt="[qkv]")


@pytest.mark.parametrize("row", test_gradient_nodes.ROWS)
def test_nodes_that_name_values(row: str) -> None:
    """A Gradient node reads what it names."""
    model = from_proto(test_gradient_nodes.proto(row))
    agree(model, other_orders(model, allowed=True), test_gradient_nodes.FEEDS, 1e-5)


def test_numbers_are_drawn_by_address() -> None:
    graph = Graph("drawn")
    x, flag = graph.input("x", tensor(8)), graph.input("flag", FLAG)
    drawn = [mul(x, ops.create.random_normal_like(x)) for _ in range(3)]
    (y,) = if_(flag, **branches(x, lambda: mul(x, ops.create.random_uniform_like(x)), lambda: ops.normalization.dropout(x, 0.5, True)[0]))
    (z,) = turns(3, None, x, build=lambda i, s: mul(s, ops.create.random_normal_like(s)))
    graph.output(sum_(*drawn, y, z), "total")
    model = Model(graph)
    for flag in (True, False):
        agree(model, other_orders(model), {"x": np.linspace(1, 2, 8), "flag": np.asarray(flag)}, of="total", wrt="x")


# ---- operators of one's own -------------------------------------------------------------------------------------------------------------


@op("Through", since=1, domain="com.acme")
def through(x: Value, *, steps: tuple[Graph, ...], last: Graph | None = None, first: Graph) -> Type:
    """x through `first`, each of `steps`, and `last`."""
    return x.type


@through.decompose
def _through(x, *, steps, last, first):
    for step in (first, *steps, *([last] if last else [])):
        (x,) = paste(step, home([x]) or x.graph, {step.inputs[0]: x})
    return x


@through.kernel
def _through_kernel(xp, x, *, steps, last, first):
    for step in (first, *steps, *([last] if last else [])):
        (x,) = step(x)
    return x


def passed(names: list[str], rule: bool) -> Model:
    """y = last(steps(first(x))), its attributes given in this order."""
    graph = Graph("passed")
    x = graph.input("x", tensor(3))
    factors = {name: graph.weight(name, X + i) for i, name in enumerate("abcd")}

    def by(name: str) -> Graph:
        return body(x, [x.type], lambda s: sin(mul(s, factors[name])))

    given: dict[str, Any] = {"last": by("a"), "steps": (by("b"), by("c")), "first": by("d")}
    y = through(x, **{name: given[name] for name in names})
    graph.output(y, "y")
    return Model(graph)


@pytest.mark.parametrize("names", [["first", "last", "steps"], ["steps", "last", "first"], ["last", "steps", "first"]], ids="-".join)
@pytest.mark.parametrize("rule", [True, False], ids=["by a rule", "by the decomposition"])
def test_bodies_of_operators_of_ones_own(names: list[str], rule: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_for_each(dy: Value, y: Value, x: Value, *, steps: Any, last: Any, first: Any, needed: Any) -> list[Value | None]:
        """Zero for x, and dy times so much for what is captured, in the order of the signature."""
        outer = captures(*steps, last, first)
        assert [v.name for v in outer] == ["b", "c", "a", "d"]
        return [None, *(mul(dy, float(i + 1)) for i, _ in enumerate(outer))]

    monkeypatch.setattr(through, "gradient_rule", one_for_each if rule else None)
    model = passed(names, rule)
    assert [*model.graph.nodes[0].bodies] == ["steps[0]", "steps[1]", "last", "first"]
    assert verify(model.copy()) == []
    y = X
    for k in (3, 1, 2, 0):
        y = np.sin(y * (X + k))
    made = graphir.gradient(model)
    assert verify(made) == []
    got = graphir.compile(made).run({"x": X, "seed_y": np.ones(3)})
    np.testing.assert_allclose(got["y"], y)
    if rule:
        assert [got[f"d_{name}"].tolist() for name in "bcad"] == [[1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3]
    else:
        assert graphir.check_gradient(model, of="y", wrt="[xabcd]", feeds={"x": X}).ok
