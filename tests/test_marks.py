"""Marks on values: no gradient, a multiple of it, the gradient of the input; and equal shares at ties."""

from typing import Any

import numpy as np
import pytest

import graphir
from graphir import GradientError, Graph, Model, TensorType, ops, training
from test_gradient_models import agrees_with_onnxruntime

X = np.array([[0.5, -1.5], [2.0, 0.25]])
W = np.array([[1.0, -0.5], [0.25, 2.0]])


def network() -> Model:
    """a = tanh(x w), b = round(a), which is called rounded, loss = sum(a b + a x)."""
    graph = Graph("network")
    x, w = graph.input("x", TensorType("float64", (2, 2))), graph.weight("w", W)
    a = ops.elementwise.tanh(ops.math.matmul(x, w)).named("a")
    b = ops.elementwise.round_(a)
    parts = ops.elementwise.add(ops.elementwise.mul(a, b), ops.elementwise.mul(a, x).named("ax")).named("sum")
    graph.output(ops.reduce.reduce_sum(parts, keepdims=0), "loss")
    graph.output(b, "rounded")
    return Model(graph)


A = np.tanh(X @ W)
B, S = np.round(A), 1 - A * A
# how, then d loss / d x and d loss / d w by hand; None for an error
MARKED: list[tuple[dict[str, Any], Any, Any]] = [
    ({}, ((B + X) * S) @ W.T + A, X.T @ ((B + X) * S)),
    ({"stop": "a"}, A, None),
    ({"stop": "ax"}, (B * S) @ W.T, X.T @ (B * S)),
    ({"stop": ["a", "ax"]}, None, None),
    ({"scale": {"a": 0.5}}, 0.5 * ((B + X) * S) @ W.T + A, 0.5 * X.T @ ((B + X) * S)),
    ({"scale": {"w": 3}}, ((B + X) * S) @ W.T + A, 3 * X.T @ ((B + X) * S)),
    ({"scale": {"x": -1}}, -((B + X) * S) @ W.T - A, X.T @ ((B + X) * S)),
    ({"scale": {"loss": 2.0, "sum": 2.0}}, 4 * (((B + X) * S) @ W.T + A), 4 * X.T @ ((B + X) * S)),
    ({"scale": {"a*": 0.5}}, 0.5 * ((B + 0.5 * X) * S) @ W.T + 0.5 * A, 0.5 * X.T @ ((B + 0.5 * X) * S)),
    ({"straight_through": "rounded"}, ((A + B + X) * S) @ W.T + A, X.T @ ((A + B + X) * S)),
    ({"straight_through": ["a", "rounded"]}, (A + B + X) @ W.T + A, X.T @ (A + B + X)),
    ({"straight_through": "rounded", "scale": {"rounded": 0.5}}, ((0.5 * A + B + X) * S) @ W.T + A, X.T @ ((0.5 * A + B + X) * S)),
    ({"straight_through": "rounded", "stop": "rounded"}, ((B + X) * S) @ W.T + A, X.T @ ((B + X) * S)),
]


@pytest.mark.parametrize(("how", "dx", "dw"), MARKED, ids=[str(row[0]) for row in MARKED])
def test_marks(how: dict[str, Any], dx: Any, dw: Any) -> None:
    """The gradients are these, and nothing is left of the marks: values, names and operators are those of the model."""
    model = network()
    for name, want in (("x", dx), ("w", dw)):
        if want is None:
            with pytest.raises(GradientError, match=f"no path leads from {name} to loss"):
                graphir.gradient(model, of="loss", wrt=name, **how)
            continue
        found = graphir.gradient(model, of="loss", wrt=name, **how)
        made = graphir.compile(found).run({"x": X})
        np.testing.assert_allclose(made[f"d_{name}"], want, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(made["rounded"], B)
        assert {n.op.domain for n in found.graph.nodes} == {""}
        assert [(n.op.name, [v.name for v in n.inputs if v]) for n in found.graph.nodes[: len(model.graph.nodes)]] == [
            (n.op.name, [v.name for v in n.inputs if v]) for n in model.graph.nodes
        ]
        agrees_with_onnxruntime(found, {"x": X})


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"stop": "nothing"}, KeyError, "nothing"),
    ({"scale": {"nothing*": 2.0}}, KeyError, "nothing"),
    ({"straight_through": "x"}, GradientError, "straight_through names x, .* name what a node makes"),
    ({"straight_through": "loss"}, GradientError, "no input of ReduceSum 'loss' surely is"),
    ({"ties": "odd"}, ValueError, "ties is 'odd'; expected pytorch or even"),
]


@pytest.mark.parametrize(("how", "error", "words"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_what_is_refused(how: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        graphir.gradient(network(), of="loss", wrt="x", **how)


def test_whole_numbers_are_not_marked() -> None:
    graph = Graph("whole")
    x = graph.input("x", TensorType("float64", (2,)))
    graph.output(ops.elementwise.mul(x, ops.elementwise.cast(ops.elementwise.cast(x, to="int64").named("n"), to="float64")), "y")
    with pytest.raises(GradientError, match="stop names n, which is int64"):
        graphir.gradient(Model(graph), of="y", stop="n")


def looped() -> Model:
    """Three trips of h = h * h * w, and a branch."""
    graph = Graph("looped")
    x, w = graph.input("x", TensorType("float64", ())), graph.weight("w", np.array(0.5))
    body = Graph("body", graph)
    body.input("i", TensorType("int64", ()))
    body.input("go", TensorType("bool", ()))
    h = body.input("h", TensorType("float64", ()))
    with body:
        again = ops.elementwise.identity(graph.weight("yes", np.array(True)))
        body.outputs = [again, ops.elementwise.mul(ops.elementwise.mul(h, h).named("square"), w).named("next")]
    graph.output(ops.control.loop(graph.weight("m", np.array(3)), None, x, body=body)[0], "y")
    return Model(graph)


@pytest.mark.parametrize(
    ("how", "factor"),
    [({}, 1.0), ({"scale": {"*/square": 0.5}}, 0.125), ({"scale": {"*/next": 0.5}}, 0.125), ({"scale": {"*/h": 2.0}}, 8.0)],
)
def test_marks_in_a_body(how: dict[str, Any], factor: float) -> None:
    """The gradient of x passes each mark three times."""
    found = graphir.gradient(looped(), of="y", wrt="x", **how)
    x = np.array(1.25)
    np.testing.assert_allclose(graphir.compile(found).run({"x": x})["d_x"], factor * 8 * x**7 * 0.5**7)
    assert {n.op.domain for g in found.graph.walk() for n in g.nodes} == {""}
    agrees_with_onnxruntime(found, {"x": x})


def test_marks_while_training() -> None:
    """A weight whose gradient is scaled goes so much further; one that no gradient reaches cannot be trained."""
    graph = Graph("linear")
    x, w = graph.input("x", TensorType("float32", ("N", 2))), graph.weight("w", W.astype(np.float32))
    graph.output(ops.math.matmul(x, w).named("z"), "z")
    model = Model(graph)
    feeds = {"x": X.astype(np.float32), "y": np.array([0, 1])}

    def moved(**how: Any) -> np.ndarray:
        program = graphir.compile(training.step(model, optimizer=training.sgd(1.0), **how))
        program.run(feeds)
        return np.asarray(program.state["w"]) - W

    np.testing.assert_allclose(moved(scale={"w": 3.0}), 3 * moved(), rtol=1e-5)
    with pytest.raises(GradientError, match="nothing to train"):
        training.step(model, stop="w")


POOLS: list[dict[str, Any]] = [
    {"kernel_shape": (2, 2)},
    {"kernel_shape": (2, 3), "strides": (2, 1)},
    {"kernel_shape": (3, 3), "pads": (1, 0, 1, 2), "strides": (2, 2)},
    {"kernel_shape": (2, 2), "dilations": (2, 3)},
    {"kernel_shape": (3, 3), "strides": (2, 2), "auto_pad": "SAME_UPPER"},
    {"kernel_shape": (3, 2), "strides": (2, 2), "ceil_mode": 1},
]


@pytest.mark.parametrize("how", POOLS, ids=str)
@pytest.mark.parametrize("sizes", [(5, 6), ("H", "W")], ids=["known", "unknown"])
def test_pools_share_equally(how: dict[str, Any], sizes: tuple[Any, ...]) -> None:
    """Each place gives to all that are as large as the largest, as a loop over windows has it."""
    graph = Graph("pool")
    x = graph.input("x", TensorType("float64", (2, 3, *sizes)))
    graph.output(ops.nn.max_pool(x, **how)[0], "y")
    if how.get("ceil_mode") and sizes == ("H", "W"):
        with pytest.raises(GradientError, match="needs known sizes"):
            graphir.gradient(Model(graph), ties="even")
        return
    found = graphir.gradient(Model(graph), ties="even")
    rng = np.random.default_rng(0)
    at = rng.integers(-1, 2, (2, 3, 5, 6)).astype(float)
    y = graphir.compile(Model(graph)).run({"x": at})["y"]
    seed = rng.standard_normal(y.shape)
    want = shared(at, y, seed, **how)
    made = graphir.compile(found).run({"x": at, "seed_y": seed})["d_x"]
    np.testing.assert_allclose(made, want, atol=1e-12)
    first = graphir.compile(graphir.gradient(Model(graph))).run({"x": at, "seed_y": seed})["d_x"]
    assert not np.allclose(made, first)


def shared(x: np.ndarray, y: np.ndarray, dy: np.ndarray, **how: Any) -> np.ndarray:
    """Window by window."""
    strides, dilations, kernel = how.get("strides", (1, 1)), how.get("dilations", (1, 1)), how["kernel_shape"]
    begin = [int(p) for p in how.get("pads", (0, 0))[:2]]
    if "auto_pad" in how:
        begin = [max((o - 1) * s + k - n, 0) // 2 for o, s, k, n in zip(y.shape[2:], strides, kernel, x.shape[2:])]
    dx = np.zeros_like(x)
    for at in np.ndindex(y.shape):
        spots = [
            [o * s + t * d - b for t in range(k) if 0 <= o * s + t * d - b < n]
            for o, s, d, b, k, n in zip(at[2:], strides, dilations, begin, kernel, x.shape[2:])
        ]
        largest = [(*at[:2], i, j) for i in spots[0] for j in spots[1] if x[(*at[:2], i, j)] == y[at]]
        for spot in largest:
            dx[spot] += dy[at] / len(largest)
    return dx


# op, input, gradient of the sum where ties are PyTorch's, and where they are even
TIES: list[tuple[Any, Any, Any, Any]] = [
    (ops.nn.global_max_pool, [[[1.0, 3.0, 3.0]]], [[[0, 1, 0]]], [[[0, 0.5, 0.5]]]),
    (ops.nn.global_max_pool, [[1.0, 3.0]], [[1, 1]], [[1, 1]]),
    (lambda x: ops.reduce.reduce_max(x, [0]), [3.0, 3.0, 1.0], [0.5, 0.5, 0], [0.5, 0.5, 0]),
    (lambda x: ops.elementwise.max_(x, x), [1.0], [1], [1]),
]


@pytest.mark.parametrize(("build", "x", "torch", "even"), TIES)
def test_ties(build: Any, x: Any, torch: Any, even: Any) -> None:
    graph = Graph("ties")
    value = graph.input("x", TensorType("float64", np.shape(x)))
    graph.output(ops.reduce.reduce_sum(build(value), keepdims=0), "y")
    for ties, want in (("pytorch", torch), ("even", even)):
        found = graphir.compile(graphir.gradient(Model(graph), ties=ties)).run({"x": np.array(x)})
        np.testing.assert_allclose(found["d_x"], want)
    np.testing.assert_allclose(graphir.compile(graphir.gradient(Model(graph))).run({"x": np.array(x)})["d_x"], torch)
