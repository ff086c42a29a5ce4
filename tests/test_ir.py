"""Building and editing graphs: uses, order, names, scopes, bodies, copies, addresses, text."""

import numpy as np
import pytest

from graphir import Graph, Model, Node, Tensor, TensorType, Value
from graphir.ir import home
from graphir.ops.elementwise import add, exp, mul, tanh
from graphir.ops.math import gemm
from graphir.verify import verify

F32 = TensorType("float32", ("N", 4))


def maker(v: Value) -> Node:
    assert v.node is not None
    return v.node


def chain() -> tuple[Graph, list[Value]]:
    graph = Graph("chain")
    x = graph.input("x", F32)
    a = tanh(x)
    b = exp(a)
    graph.output(b, "y")
    return graph, [x, a, b]


def test_a_graph_prints_as_text() -> None:
    graph = Graph("mlp")
    x = graph.input("x", TensorType("float32", ("N", 4)))
    w = graph.weight("w", np.ones((4, 2), "float32"))
    b = graph.weight("b", [0.5, -1.0])
    graph.output(tanh(gemm(x, w, b, alpha=0.1)), "y")
    assert str(graph) == (
        "graph mlp (x: float32[N, 4]) -> (y)\n"
        "  weight w: float32[4, 2] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}\n"
        "  weight b: float32[2] = {0.5, -1.0}\n"
        "  gemm: float32[N, 2] = Gemm(x, w, b, alpha=0.10000000149011612)\n"
        "  y: float32[N, 2] = Tanh(gemm)\n"
    )


def test_numbers_become_constants_once() -> None:
    graph, (x, *_) = chain()
    for number in (2.0, 2.0, -0.0, 0.0):
        mul(x, number)
    numbers = [w.tensor.array.item() for w in graph.weights.values() if isinstance(w.tensor, Tensor)]
    assert [str(n) for n in numbers] == ["2.0", "-0.0", "0.0"]


@pytest.mark.parametrize(("number", "dtype"), [(0.5, "int64"), (True, "float32"), (300, "uint8"), (-1, "uint8"), ("a", "float32")])
def test_a_number_that_does_not_fit_is_refused(number: object, dtype: str) -> None:
    x = Graph().input("x", TensorType(dtype, (2,)))
    with pytest.raises(TypeError, match="cannot hold"):
        add(x, number)


MISUSES = [
    (lambda x: gemm(x), "b is missing"),  # pyright: ignore[reportCallIssue]
    (lambda x: gemm(x, x, transC=1), "no attribute 'transC'"),  # pyright: ignore[reportCallIssue]
    (lambda x: gemm(x, x, alpha="a"), "alpha is 'a'; expected float"),  # pyright: ignore[reportArgumentType]
    (lambda x: tanh(x, x), "takes 1 inputs; 2 were given"),  # pyright: ignore[reportCallIssue]
    (lambda x: tanh(3.0), "at least one value"),
    (lambda x: add(x, x.graph.input("i", TensorType("int64", (4,)))), "float32 and int64"),
    (lambda x: add(x, x.graph.input("v", TensorType("float32", (5,)))), r"do not broadcast: sizes 4 and 5 .*float32\[N, 4\], float32\[5\]"),
    (lambda x: tanh(x.graph.input("b", TensorType("bool", (5,)))), "is bool; expected one of bfloat16, float16"),
]


@pytest.mark.parametrize(("misuse", "message"), MISUSES, ids=[m for _, m in MISUSES])
def test_misuse_is_a_type_error_that_says_what_and_why(misuse, message: str) -> None:
    x = Graph().input("x", F32)
    with pytest.raises(TypeError, match=message):
        misuse(x)


def test_what_is_built_while_editing_lands_before_the_visited_node() -> None:
    graph, (_, a, _) = chain()
    for node in graph.edit():
        if node is a.node:
            graph.replace_uses(a, mul(node.inputs[0], 2.0))
            graph.drop(node)
    assert [n.op.name for n in graph.nodes] == ["Mul", "Exp"] and verify(Model(graph)) == []


def test_keep_places_the_visited_node_at_once() -> None:
    graph, (_, a, b) = chain()
    for node in graph.edit():
        if node is a.node:
            graph.keep(node)
            scaled = mul(a, 2.0)
            maker(b).set_inputs([scaled])
    assert [n.op.name for n in graph.nodes] == ["Tanh", "Mul", "Exp"] and verify(Model(graph)) == []


def test_edit_is_whole_after_an_error() -> None:
    graph, _ = chain()
    with pytest.raises(KeyError):
        for _ in graph.edit():
            raise KeyError
    assert len(graph.nodes) == 2 and verify(Model(graph)) == []


def test_before_inserts_in_the_middle() -> None:
    graph, (x, _, b) = chain()
    with graph.before(maker(b)):
        mul(x, 3.0)
    assert [n.op.name for n in graph.nodes] == ["Tanh", "Mul", "Exp"]


def test_an_output_keeps_its_name_when_it_is_replaced() -> None:
    graph, (x, _, b) = chain()
    new = mul(x, 3.0)
    graph.replace_uses(b, new)
    assert graph.outputs == (new,) and new.name == "y" and b.name == "exp" and verify(Model(graph)) == []


def test_what_is_read_cannot_be_dropped() -> None:
    graph, (_, a, _) = chain()
    with pytest.raises(ValueError, match="still read by"):
        graph.drop(maker(a))


def test_names_are_unique_and_renaming_is_checked() -> None:
    _, (x, a, b) = chain()
    first, second = tanh(x), tanh(x)
    assert [second.name, first.name, second.name] == ["tanh", "tanh_1", "tanh"]  # a name is taken when it is first asked for
    with pytest.raises(ValueError, match="taken"):
        a.named("y")
    assert a.named("hidden").name == "hidden" and tanh(x).name == "tanh_3"
    assert b.name == "y"


def test_ops_land_in_the_innermost_graph() -> None:
    outer, (x, a, _) = chain()
    body, sibling = Graph("body", outer), Graph("sibling", outer)
    inside = body.input("i", F32)
    assert add(inside, a).graph is body
    assert tanh(a).graph is outer
    with body:
        assert tanh(a).graph is body
    with pytest.raises(ValueError, match="neither graph encloses"):
        add(inside, sibling.input("s", F32))
    assert home([x, inside]) is body and home([]) is None


def test_old_forms_are_not_built_upon() -> None:
    graph, (x, *_) = chain()
    graph.needs_upgrade = True
    with pytest.raises(TypeError, match="upgrade"):
        tanh(x)


def test_updates_follow_and_copies_share_only_tensors() -> None:
    graph, (x, a, b) = chain()
    w = graph.weight("w", np.zeros((1, 4), "float32"))
    model = Model(graph)
    model.update(w, a)
    with graph.before(maker(b)):
        new = mul(x, 1.5)
    graph.replace_uses(a, new)
    assert model.updates == {w: new} and w.kind == "state"
    copy = model.copy()
    assert str(copy) == str(model) and verify(copy) == []
    assert not set(copy.graph.values()) & set(graph.values())
    assert copy.weights["w"].tensor is w.tensor


def test_addresses_name_bodies_and_suggest_near_misses() -> None:
    graph, (x, a, _) = chain()
    body = Graph("body", graph)
    with body:
        inner = tanh(a)
    body.output(inner, "inner")
    from graphir.nodes import Operator

    graph.append(Operator("", "If"), (x,), {"then_branch": body, "else_branch": Graph("empty", graph)}, [None], "choose")
    model = Model(graph)
    assert model.find("choose/then_branch/inner") is inner is model.find("choose/inner")
    with pytest.raises(KeyError, match="did you mean tanh"):
        model.find("tanhh")


BREAKS = [
    ("order", lambda g: g.nodes.reverse(), "not made before it"),
    ("twice", lambda g: g.claim("x") and g.nodes[0].outputs[0].__setattr__("_name", "x"), "name 'x' is taken"),
    ("uses", lambda g: g.nodes[0].outputs[0].uses.clear(), "does not count it"),
    ("lost", lambda g: g.nodes.pop(0), "not made before it"),
    ("stray", lambda g: g.inputs[0].__setattr__("graph", Graph()), "belongs to another graph"),
]


@pytest.mark.parametrize(("name", "break_it", "message"), BREAKS, ids=[b[0] for b in BREAKS])
def test_verify_says_what_is_wrong(name: str, break_it, message: str) -> None:
    graph, _ = chain()
    assert verify(Model(graph)) == []
    break_it(graph)
    assert any(message in p for p in verify(Model(graph)))
