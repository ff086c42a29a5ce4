"""Gradients of numbers that are large in float16, of targets that are ignored, of outputs that are not the first."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, Tensor, TensorType, Value, ops
from graphir.ops._gradient import gradients
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp
from test_ops import BY_NAME

INF = np.inf
# ---- float16 -----------------------------------------------------------------------------------------------------------------------------

WIDE = np.linspace(-400, 900, 48).reshape(2, 4, 6) ** 2 / 300
LABELS, SCORES = np.arange(70000).reshape(1, -1) % 2, np.linspace(-2, 2, 140000).reshape(1, 2, -1)
# op, which output, inputs of which the first is differentiated for, attributes: float16 holds the output, but not
# squares of the input, or how many numbers it has
LARGE: list[tuple[str, int, list[Any], dict[str, Any]]] = [
    ("InstanceNormalization", 0, [WIDE, np.ones(4), np.zeros(4)], {}),
    ("BatchNormalization", 0, [WIDE, np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)], {"training_mode": 1}),
    *(("BatchNormalization", i, [SCORES[:, :1] + i, *[np.ones(1)] * 4], {"training_mode": 1}) for i in (1, 2)),
    ("MeanVarianceNormalization", 0, [WIDE], {"axes": (2,)}),
    ("LRN", 0, [WIDE], {"size": 3}),
    ("Gelu", 0, [[-60000.0, -300.0, -1.0, 2.0, 300.0, 60000.0]], {"approximate": "tanh"}),
    ("Asinh", 0, [[-60000.0, -300.0, 0.5]], {}),
    ("Acosh", 0, [[60000.0, 300.0, 1.5]], {}),
    ("Softsign", 0, [[-600.0, 300.0]], {}),
    ("SoftmaxCrossEntropyLoss", 0, [SCORES, LABELS], {}),
    ("SoftmaxCrossEntropyLoss", 0, [SCORES, LABELS], {"ignore_index": -1}),
    ("NegativeLogLikelihoodLoss", 0, [SCORES, LABELS, np.ones(2)], {}),
    ("ReduceMax", 0, [np.zeros(70000)], {"keepdims": 0}),
]


@pytest.mark.parametrize(("name", "output", "inputs", "attributes"), LARGE, ids=[f"{row[0]}-{i}" for i, row in enumerate(LARGE)])
def test_large_numbers_in_float16(name: str, output: int, inputs: list[Any], attributes: dict[str, Any]) -> None:
    found = []
    for dtype in (np.float64, np.float16):
        graph = Graph("problem")
        values = [graph.weight(f"x{i}", x.astype(dtype) if x.dtype.kind == "f" else x) for i, x in enumerate(map(np.asarray, inputs))]
        made = BY_NAME[name](*values, **attributes)
        y = made[output] if isinstance(made, tuple) else made
        shape = [d for d in y.shape if isinstance(d, int)]
        seed = graph.weight("seed", np.random.default_rng(0).uniform(20, 90, shape).astype(dtype))
        dx = gradients({y: seed}, values[:1])[0]
        assert dx is not None and dx.dtype == dtype
        graph.outputs = [dx]
        found.append(np.asarray(interpret(Model(graph), {}, xp)[dx.name]).astype(np.float64))
    exact, half = found
    assert np.isfinite(exact).all() and exact.any()
    np.testing.assert_allclose(half, exact, rtol=2e-2, atol=min(1e-3, 1e-2 * np.abs(exact).max()))


def test_gelu_of_numbers_whose_cube_overflows() -> None:
    graph = Graph("problem")
    x = graph.weight("x", np.array([-INF, -1e30, 1e30, INF], np.float32))
    found = gradients({ops.activation.gelu(x, approximate="tanh"): graph.weight("ones", np.ones(4, np.float32))}, [x])
    graph.outputs = [dx] = [dv for dv in found if dv is not None]
    assert interpret(Model(graph), {}, xp)[dx.name].tolist() == [0, 0, 1, 1]


# ---- targets that are ignored ------------------------------------------------------------------------------------------------------------

IGNORED: list[tuple[str, list[float], Any, str]] = [
    (name, x, weights, reduction)
    for name in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
    for x in ([-INF, -INF, -INF], [-INF, 0.0, 1.0], [np.nan, 0.0, 1.0])
    for weights in (None, [1.0, 2.0, 3.0])
    for reduction in ("mean", "sum", "none")
]


@pytest.mark.parametrize(("name", "x", "weights", "reduction"), IGNORED, ids=[f"{row[0]}-{i}" for i, row in enumerate(IGNORED)])
@pytest.mark.parametrize("targets", ([1, -1], [-1, -1]), ids=("one", "none"))
def test_targets_that_are_ignored_spoil_nothing(name: str, x: list[float], weights: Any, reduction: str, targets: list[int]) -> None:
    graph = Graph("problem")
    given = [graph.weight(n, np.array(v)) for n, v in (("x", [[0.1, 0.2, 0.3], x]), ("weights", weights)) if v is not None]
    made = BY_NAME[name](given[0], np.array(targets), *given[1:], ignore_index=-1, reduction=reduction)
    loss = ops.reduce.reduce_sum(made[0] if isinstance(made, tuple) else made, keepdims=0)
    for order in range(2 if 1 in targets else 1):
        dx, *others = gradients({loss: graph.weight(graph.fresh("one"), np.ones(()))}, given)
        graph.outputs = found = [dv for dv in (dx, *others) if dv is not None]
        assert order or len(found) == len(given)
        results = interpret(Model(graph), {}, xp)
        for dv in found:
            assert np.isfinite(results[dv.name]).all(), (order, dv.name, results[dv.name])
        assert dx is None or (results[dx.name][1] == 0).all()
        loss = ops.elementwise.sum_(*(ops.reduce.reduce_sum_square(dv, keepdims=0) for dv in found)) if found else loss


# ---- outputs that are not the first ------------------------------------------------------------------------------------------------------

SECONDARY: list[tuple[str, int, list[tuple[int, ...]], dict[str, Any]]] = [
    *(("LayerNormalization", i, [(2, 3, 4), (3, 4)], {"axis": 1, "stash_type": "float64"}) for i in (1, 2)),
    *(("BatchNormalization", i, [(2, 3, 4), *[(3,)] * 4], {"training_mode": 1}) for i in (1, 2)),
    ("SoftmaxCrossEntropyLoss", 1, [(2, 3)], {}),
]


@pytest.mark.parametrize(("name", "output", "shapes", "attributes"), SECONDARY, ids=[f"{row[0]}-{row[1]}" for row in SECONDARY])
@pytest.mark.parametrize("known", (True, False), ids=("sizes", "symbols"))
def test_a_secondary_output_alone(name: str, output: int, shapes: list[tuple[int, ...]], attributes: dict[str, Any], known: bool) -> None:
    graph, rng = Graph("problem"), np.random.default_rng(0)
    x = graph.input("x", TensorType("float64", shapes[0] if known else ("N", shapes[0][1], "L")[: len(shapes[0])]))
    others = [graph.weight(f"w{i}", rng.uniform(0.5, 2, shape)) for i, shape in enumerate(shapes[1:])]
    y = BY_NAME[name](x, *(others or [np.array([1, 2])]), **attributes)[output]
    graph.output(ops.elementwise.mul(y, y), "y")
    feeds = {"x": rng.standard_normal(shapes[0])}
    report = graphir.check_gradient(Model(graph), of="y", wrt="x", feeds=feeds)
    assert report.ok, report
    moved = graphir.compile(graphir.jvp(Model(graph), of="y", wrt="x")).run(feeds | {"v_x": np.ones(shapes[0])})["t_y"]
    back = graphir.compile(graphir.gradient(Model(graph), of="y", wrt="x")).run(feeds | {"seed_y": np.ones(moved.shape)})["d_x"]
    np.testing.assert_allclose(moved.sum(), back.sum(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("flat", (False, True))
def test_what_attention_hands_on_without_a_past(flat: bool) -> None:
    """Keys and values go out as they came, by heads, and gradients come back that way."""
    graph, shape = Graph("prefill"), (2, 3, 8) if flat else (2, 2, 3, 4)
    q, k, v = (graph.input(name, TensorType("float64", ("N", *shape[1:]))) for name in "qkv")
    y, *present = ops.attention.attention(q, k, v, **({"q_num_heads": 2, "kv_num_heads": 2} if flat else {}))[:3]  # pyright: ignore[reportArgumentType]
    squares = [ops.reduce.reduce_sum_square(x, keepdims=0) for x in (y, *present)]  # pyright: ignore[reportArgumentType]
    graph.output(ops.elementwise.sum_(*squares), "loss")
    for x, name in zip(present, ("keys", "values")):
        graph.output(x, name)  # pyright: ignore[reportArgumentType]
    feeds = {name: np.random.default_rng(0).standard_normal(shape) for name in "qkv"}
    made = graphir.compile(Model(graph)).run(feeds)
    for name, x in (("keys", feeds["k"]), ("values", feeds["v"])):
        np.testing.assert_array_equal(made[name], x.reshape(2, 3, 2, 4).swapaxes(1, 2) if flat else x)
    report = graphir.check_gradient(Model(graph), of="loss", feeds=feeds)
    assert report.ok and len(report.rows) == 3, report


def test_the_curvature_of_a_constant_row() -> None:
    graph = Graph("problem")
    x = graph.input("x", TensorType("float64", (1, 3)))
    graph.output(ops.normalization.mean_variance_normalization(x, axes=(1,)), "y")
    second = graphir.compile(graphir.gradient(graphir.gradient(Model(graph), of="y", wrt="x"), of="d_x", wrt="x"))
    at = {"x": np.full((1, 3), 2.0), "seed_y": np.array([[1.0, 2.0, 4.0]]), "seed_d_x": np.array([[1.0, 0.0, 3.0]])}
    assert np.isfinite(second.run(at)["d2_x"]).all()


# ---- of itself ---------------------------------------------------------------------------------------------------------------------------

ITSELF: dict[str, Callable[[Graph], Value]] = {
    "an input": lambda g: g.input("c", TensorType("float32", (2, 3))),
    "a weight": lambda g: g.weight("c", np.ones((2, 3), "float32")),
    "a Constant": lambda g: ops.create.constant(g, value=Tensor.of(np.ones((2, 3), "float32"))).named("c"),
    "a Constant of numbers": lambda g: ops.create.constant(g, value_floats=(1.0, 2.0, 3.0)).named("c"),
}


@pytest.mark.parametrize("of", [["c"], ["c", "m"], ["m", "c"], ["m"]], ids="+".join)
@pytest.mark.parametrize("row", ITSELF)
def test_what_is_differentiated_may_be_what_it_is_differentiated_for(row: str, of: list[str]) -> None:
    graph = Graph("itself")
    c = ITSELF[row](graph)
    graph.output(c, "c")
    graph.output(ops.reduce.reduce_mean(ops.elementwise.exp(c), keepdims=0), "m")
    model = Model(graph)
    assert graphir.check_gradient(model, of, "c").ok
    moved = graphir.jvp(model, of, "c")
    direction = np.random.default_rng(0).standard_normal(c.shape).astype("float32")  # pyright: ignore[reportCallIssue, reportArgumentType]
    feeds = {"v_c": direction, **({"c": np.ones((2, 3), "float32")} if row == "an input" else {})}
    made = graphir.compile(moved).run(feeds)
    if "c" in of:
        np.testing.assert_array_equal(made["t_c"], direction)
    assert ("t_m" in made) == ("m" in of)


# ---- half floats -------------------------------------------------------------------------------------------------------------------------

PICKED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Gather", [np.array([[0, 3], [3, 1]])], {}),
    ("Gather", [np.array([2, 2, 0])], {"axis": 1}),
    ("GatherElements", [np.array([[0, 0, 1, 2, 2]])], {"axis": 1}),
    ("GatherND", [np.array([[0], [3], [3]])], {}),
    ("Tile", [np.array([2, 3])], {}),
    ("Pad", [np.array([1, 2, 0, 3])], {"mode": "reflect"}),
]


@pytest.mark.parametrize(("name", "operands", "attributes"), PICKED, ids=[row[0] for row in PICKED])
def test_elements_that_are_read_twice_add_up_in_single_precision(name: str, operands: list[Any], attributes: dict[str, Any]) -> None:
    """Which ONNX Runtime can, where it has no kernel that adds up numbers of 16 bits."""
    graph = Graph("picked")
    graph.output(BY_NAME[name](graph.input("x", TensorType("float16", (4, 5))), *operands, **attributes), "y")
    model = graphir.gradient(Model(graph), of="y")
    feeds = {"x": np.zeros((4, 5), "float16")}
    shape = graphir.compile(model).run(feeds, ["y"])["y"].shape
    feeds["seed_y"] = np.random.default_rng(0).standard_normal(shape).astype("float16")
    ours, theirs = (graphir.compile(model, runtime).run(feeds)["d_x"] for runtime in ("numpy", "onnxruntime"))
    assert ours.dtype == np.float16
    np.testing.assert_allclose(theirs.astype("float32"), ours.astype("float32"), rtol=1e-3, atol=1e-3)
