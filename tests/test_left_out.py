"""What is differentiated by default, wherever it sits, and what is left out, and why; gradients by convention beside wrong ones; causes of unknown types."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir

RNG = np.random.default_rng(0)


def f(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype("f4")


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, [n if n != "-" else "" for n in inputs.split()], outputs.split(), **attributes)


def constant(name: str, x: Any) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(x), f"{name}_value"))


def foreign(inputs: str, outputs: str, op: str = "Bar") -> Any:
    return node(op, inputs, outputs, domain="com.foo")


def body(nodes: list[Any], outputs: str, inputs: tuple[Any, ...] = (), **weights: Any) -> Any:
    made = [helper.make_empty_tensor_value_info(n) for n in outputs.split()]
    return helper.make_graph(nodes, "b", list(inputs), made, [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()])


info = helper.make_tensor_value_info
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
LOOP = (info("i", INT64, []), info("c", BOOL, []), info("a", FLOAT, ["N", 4]))
TREE: dict[str, Any] = {
    "n_targets": 1, "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0], "nodes_values": [0.5, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
    "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0], "domain": "ai.onnx.ml",
}  # fmt: skip
Q = np.arange(16, dtype=np.int8).reshape(4, 4)
# name: nodes, weights, what is differentiated, and what is left out with a part of the reason
ROWS: dict[str, tuple[list[Any], dict[str, Any], set[str], dict[str, str]]] = {
    "Constant nodes": (
        [constant("w", f(4, 8)), constant("b", f(8)), constant("e", np.float32(1)), node("MatMul", "x w", "m"), node("Add", "m b", "s"), node("Add", "s e")],
        {}, {"x", "w", "b"}, {"e": "single numbers"},
    ),
    "branches": (
        [node("If", "k", then_branch=body([constant("t", f(4, 4)), node("MatMul", "x t", "to")], "to"),
              else_branch=body([node("MatMul", "x e", "eo")], "eo", e=f(4, 4)))],
        {"k": np.array(True)}, {"x", "y/then_branch/t", "y/else_branch/e"}, {},
    ),
    "a loop": (
        [node("Loop", "n - x", body=body([constant("w", f(4, 4)), node("MatMul", "a w", "m"), node("Add", "m v", "b"), node("Identity", "c", "d")],
              "d b", LOOP, v=f(4)))],
        {"n": np.array(2)}, {"x", "y/w", "y/v"}, {},
    ),
    "calls of a function": ([node("Linear", "x", "h", domain="local"), node("Linear", "h", domain="local")], {}, {"x", "h/w", "y/w"}, {}),
    "int8": (
        [node("DequantizeLinear", "q s z", "w"), node("MatMul", "x w")],
        {"q": Q, "s": f(4), "z": np.zeros(4, np.int8)}, {"x", "s"}, {"q": "int8"},
    ),
    "products of integers": (
        [node("DynamicQuantizeLinear", "x", "u s z"), node("MatMulInteger", "u q z", "m"), node("Cast", "m", "n", to=1), node("Mul", "n s", "p"), node("Add", "p b")],
        {"q": Q, "b": f(4)}, {"b"}, {"x": "MatMulInteger", "q": "int8"},
    ),
    "what picks": (
        [node("MatMul", "x w", "m"), node("ArgMax", "m", "i", axis=1, keepdims=0), node("Gather", "e i")],
        {"w": f(4, 5), "e": f(5, 3)}, {"e"}, {"x": "ArgMax passes none", "w": "ArgMax passes none"},
    ),
    "an operator that is not declared": (
        [foreign("x u", "h"), node("MatMul", "h w")], {"u": f(4, 4), "w": f(4, 3)}, {"w"}, {"x": "com.foo.Bar of node 'h' is not declared", "u": "com.foo.Bar"}
    ),
    "two of them": (
        [foreign("x u", "h"), foreign("x v", "h2", "Baz"), node("Add", "h h2", "s"), node("MatMul", "s w")],
        {"u": f(4, 4), "v": f(4, 4), "w": f(4, 3)}, {"w"}, {"u": "com.foo.Bar", "v": "com.foo.Baz"},
    ),
    "scales of Resize": (
        [constant("s", np.array([1, 2], "f4")), node("Resize", "x - s", mode="linear")], {}, {"x"}, {"s": "Resize reads how to compute"}
    ),
    "trees": (
        [node("TreeEnsembleRegressor", "x", "t", **TREE), node("MatMul", "t w")], {"w": f(1, 3)}, {"w"},
        {"x": "TreeEnsembleRegressor passes none", "t.nodes_values": "attributes of TreeEnsembleRegressor", "t.target_weights": "attributes"},
    ),
    "attributes": (
        [node("LinearRegressor", "x", coefficients=[1.0, 2.0, 3.0, 4.0], domain="ai.onnx.ml")], {}, {"x"}, {"y.coefficients": "attributes of LinearRegressor"}
    ),
}  # fmt: skip


def load(nodes: list[Any], weights: dict[str, Any], known: tuple[str, ...] = ("h", "h2")) -> graphir.Model:
    """A model of nodes on x [N, 4]; the types of `known` are declared."""
    graph = helper.make_graph(
        nodes, "g", [info("x", FLOAT, ["N", 4])], [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
        value_info=[info(n, FLOAT, ["N", 4]) for n in known if any(n in x.output and x.domain == "com.foo" for x in nodes)],
    )  # fmt: skip
    linear = helper.make_function(
        "local", "Linear", ["x"], ["y"], [constant("w", f(4, 4)), node("MatMul", "x w")], [helper.make_opsetid("", 20)]
    )
    domains = {x.domain for x in nodes} - {"", "ai.onnx.ml"}
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3), *(helper.make_opsetid(d, 1) for d in sorted(domains))]
    made = helper.make_model(graph, ir_version=10, opset_imports=opsets, functions=[linear] if "local" in domains else [])
    return graphir.loads(made.SerializeToString(), format="onnx")


@pytest.mark.parametrize("name", ROWS)
def test_the_default(name: str) -> None:
    nodes, weights, expected, left_out = ROWS[name]
    said: list[str] = []
    found = graphir.gradient(load(nodes, weights), of="y", note=said.append)
    assert {wrt for _, wrt in found.gradients} == expected
    for address, reason in left_out.items():
        assert any(reason in text.rpartition(": ")[0] and address in text.rpartition(": ")[2].replace(",", "").split() for text in said), (
            address,
            said,
        )
    assert bool(left_out) == bool(said)


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if not any(x.domain for x in row[0]) and n != "products of integers"])
def test_they_are_right(name: str) -> None:
    model = load(*ROWS[name][:2])
    report = graphir.check_gradient(model, of="y", feeds={"x": f(3, 4)})
    assert report.ok, str(report)
    assert {row.wrt for row in report.rows} == ROWS[name][2]


def test_what_leads_nowhere_else_is_an_error() -> None:
    """Where nothing is left, the error is that of the first operator; so it is for what is named."""
    model = load([foreign("x", "h"), node("Relu", "h")], {})
    for wrt in (None, "x"):
        with pytest.raises(graphir.GradientError, match=r"com\.foo\.Bar of node 'h' is not declared"):
            graphir.gradient(model, of="y", wrt=wrt)


# ---- conventions -------------------------------------------------------------------------------------------------------------------------

S, Z = np.float32(0.1), np.int8(0)
CONVENTIONS: dict[str, tuple[list[Any], dict[str, Any], set[str]]] = {
    "QuantizeLinear": ([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"), node("MatMul", "d w")], {"s": S, "z": Z}, {"x"}),
    "of a weight": (
        [node("QuantizeLinear", "v s z", "q"), node("DequantizeLinear", "q s z", "d"), node("Mul", "x d", "m"), node("MatMul", "m w")],
        {"s": np.full(4, S), "z": np.zeros(4, np.int8), "v": f(4)[None].repeat(3, 0)}, {"v", "s"},
    ),
    "DynamicQuantizeLinear": ([node("DynamicQuantizeLinear", "x", "q s z"), node("DequantizeLinear", "q s z", "d"), node("MatMul", "d w")], {}, {"x"}),
    "float8": ([node("Cast", "x", "e", to=TensorProto.FLOAT8E4M3FN), node("Cast", "e", "d", to=1), node("MatMul", "d w")], {}, {"x"}),
    "in a branch": (
        [node("If", "k", "d", then_branch=body([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "t")], "t"),
              else_branch=body([node("Identity", "x", "e")], "e")), node("MatMul", "d w")],
        {"k": np.array(True), "s": S, "z": Z}, {"x"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_are_not_wrong(name: str) -> None:
    """What rounding passes on is told apart; all else is checked."""
    nodes, weights, by_convention = CONVENTIONS[name]
    report = graphir.check_gradient(load(nodes, {**weights, "w": f(4, 3)}), of="y", feeds={"x": f(3, 4)})
    assert report.ok and "WRONG" not in str(report)
    assert {row.wrt for row in report.rows if not row.checked} == by_convention
    assert all("rounds" in row.note for row in report.rows if not row.checked)
    assert "w" in {row.wrt for row in report.rows if row.checked}


@pytest.mark.parametrize("op", ["Round", "Floor"])
def test_marks_are_not_wrong(op: str) -> None:
    model = load([node("Mul", "x k", "m"), node(op, "m", "r"), node("MatMul", "r w")], {"k": 3 * f(4), "w": f(4, 3)})
    report = graphir.check_gradient(model, of="y", feeds={"x": f(3, 4)}, straight_through="r")
    assert report.ok
    assert {row.wrt for row in report.rows if not row.checked} == {"x", "k"}


# ---- causes ------------------------------------------------------------------------------------------------------------------------------

CAUSES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "before Flatten": ([node("MatMul", "x w", "a"), foreign("a", "h"), node("Flatten", "h", "l"), node("MatMul", "l v")], {"w": f(4, 8), "v": f(8, 3)}),
    "in a branch": (
        [node("If", "k", "s", then_branch=body([foreign("x", "t")], "t"), else_branch=body([foreign("x", "e")], "e")), node("MatMul", "s v")],
        {"k": np.array(True), "v": f(4, 3)},
    ),
    "before a branch": (
        [foreign("x", "h"), node("If", "k", "s", then_branch=body([node("Relu", "h", "t")], "t"), else_branch=body([node("Identity", "h", "e")], "e")), node("MatMul", "s v")],
        {"k": np.array(True), "v": f(4, 3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_named(name: str) -> None:
    """Whatever is asked for, the message goes back to the operator that is not declared."""
    from graphir import training

    model = load(*CAUSES[name], known=())
    data = {"x": f(8, 4), "y": np.zeros(8, np.int64)}
    asked: list[Any] = [
        lambda: graphir.gradient(model, of="y", wrt="v"),
        lambda: graphir.gradient(model),
        lambda: graphir.check_gradient(model),
        lambda: training.fit(model, data),
        lambda: graphir.compile(model).run({"x": f(2, 4)}),
    ]
    for ask in asked:
        with pytest.raises((ValueError, TypeError), match=r"com\.foo\.Bar"):
            ask()
