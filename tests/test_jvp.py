"""Forward mode: tangents of every gradient rule, of whole models, and Hessian-vector products."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
import graphir_onnx
from graphir import GradientError, Graph, Model, TensorType, ops
from graphir.passes.jvp import push_forward, tangents
from test_gradient_models import EVERY_FILE, agrees_with_onnxruntime, feeds_of
from test_gradients import Problem, _rows
from test_ops import BY_NAME

ROWS = [p for p in _rows() if p.values[3]]


@pytest.mark.parametrize(("name", "row", "told", "twice"), ROWS)
def test_tangents_of_every_rule(name: str, row: Any, told: str, twice: bool) -> None:
    """How fast the loss of a row changes along a direction: the same, forward and backward."""
    problem = Problem(BY_NAME[name], row, told)
    if not problem.inputs:
        return
    graph = problem.graph
    directions = {v: graph.weight(graph.fresh("direction"), problem.directions[v]) for v in problem.inputs}
    backward = 0.0 if problem.first is None else problem._value(problem.first, 0.0)
    moved = tangents([problem.loss], directions)[0]
    forward = 0.0 if moved is None else problem._value(moved, 0.0)
    assert forward == pytest.approx(backward, rel=1e-9, abs=1e-9)


def directions_of(found: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    """A tangent for each value that moves."""
    rng = np.random.default_rng(3)
    values = {a: found.model.find(a) for a in found.inputs}
    shapes = {a: v.tensor.shape if v.tensor is not None else feeds[a].shape for a, v in values.items()}
    return {found.inputs[a]: rng.standard_normal(shapes[a]).astype(v.dtype) for a, v in values.items()}


@EVERY_FILE
def test_forward_is_the_transpose_of_backward(path: Path) -> None:
    """seed . (J v) = (J^T seed) . v, in ONNX Runtime too; with as many nodes, but for sums, and none of the way back left."""
    model = graphir.load(path)
    outputs = [v.name for v in model.outputs]
    forward = push_forward(model, outputs, "*")
    feeds = feeds_of(model, path)
    moves = directions_of(forward, feeds)
    made = graphir.compile(forward.model).run(feeds | moves)
    if not path.stem.startswith("resnet"):  # ONNX Runtime 1.32 fuses a Pad into the Conv that takes it for its filters, and is then lost
        agrees_with_onnxruntime(forward.model, feeds | moves)
    back = graphir.gradient(model, of=outputs, wrt=list(forward.inputs))
    rng = np.random.default_rng(4)
    seeds = {name: rng.standard_normal(made[name].shape).astype(np.float32) for name in forward.outputs}
    pulled = graphir.compile(back).run(feeds | {f"seed_{name}": seeds.get(name, np.zeros_like(made[name])) for name in outputs})
    ahead = sum(float(np.vdot(seeds[name], made[t])) for name, t in forward.outputs.items())
    terms = [float(np.vdot(pulled[f"d_{a}"], moves[v])) for a, v in forward.inputs.items()]
    assert ahead == pytest.approx(sum(terms), rel=1e-3, abs=1e-4 * float(np.abs(terms).sum()))
    assert len(forward.model.graph.nodes) <= len(back.graph.nodes) + len(forward.inputs)
    assert not any(v.name.startswith(("d_", "seed_")) for n in forward.model.graph.nodes for v in n.outputs if v is not None)


def cubic() -> Model:
    """y = sum of w x^3, z = x w, with names that are in the way."""
    graph = Graph("cubic")
    x = graph.input("x", TensorType("float64", ("N",)))
    graph.input("v_x", TensorType("float64", ()))
    w = graph.weight("w", np.array([2.0]))
    cube = ops.elementwise.mul(ops.elementwise.mul(x, x), x).named("t_y")
    graph.output(ops.reduce.reduce_sum(ops.elementwise.mul(cube, w), keepdims=0), "y")
    graph.output(ops.elementwise.mul(x, w), "z")
    graph.output(ops.logic.greater(x, w), "larger")
    return Model(graph)


def test_names_values_and_defaults() -> None:
    found = graphir.jvp(cubic())
    assert [v.name for v in found.inputs] == ["x", "v_x", "v2_x"]
    assert [v.name for v in found.outputs] == ["y", "z", "larger", "t2_y", "t_z"]
    x, v = np.array([1.0, -2.0, 3.0]), np.array([0.5, 1.0, -1.0])
    made = graphir.compile(found).run({"x": x, "v_x": 0.0, "v2_x": v})
    np.testing.assert_allclose(made["t2_y"], (6 * x * x * v).sum())
    np.testing.assert_allclose(made["t_z"], 2 * v)
    weights = graphir.jvp(cubic(), of="z", wrt="w")
    assert [v.name for v in weights.inputs][2:] == ["v_w"]
    np.testing.assert_allclose(graphir.compile(weights).run({"x": x, "v_x": 0.0, "v_w": [1.0]})["t_z"], x)


@pytest.mark.parametrize(
    ("of", "wrt", "error", "words"),
    [
        ("larger", "x", GradientError, "only a tensor of floats"),
        ("y", "v_x", GradientError, "no path leads from v_x to y"),
        ("nothing", "x", KeyError, "nothing"),
        ("y", "nothing", KeyError, "nothing"),
        ("w", None, GradientError, "w hangs on no input that is a float; name weights in wrt"),
        (["y", "w"], "x", GradientError, "no path leads from x to w"),
    ],
)
def test_what_is_refused(of: Any, wrt: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        graphir.jvp(cubic(), of, wrt)


# What PyTorch 2.13 gives: the Hessian of sum(tanh(W x)^2 * c) times v (torch.autograd.functional.hvp, float64).
W = np.array([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]])
X, V, C = np.array([0.3, -0.2, 0.9]), np.array([1.0, -0.5, 2.0]), np.array([1.0, -2.0])
FROM_PYTORCH = np.array([-0.4743532827145903, -0.7628067131317184, 0.3333277848296712])


def energy() -> Model:
    graph = Graph("energy")
    x = graph.input("x", TensorType("float64", (3,)))
    h = ops.elementwise.tanh(ops.math.matmul(graph.weight("w", W), x))
    graph.output(ops.reduce.reduce_sum(ops.elementwise.mul(ops.elementwise.mul(h, h), graph.weight("c", C)), keepdims=0), "e")
    return Model(graph)


def test_hessian_times_vector() -> None:
    """Forward over backward, backward over forward, backward over backward: as PyTorch has it, and as differences have it."""
    first = graphir.gradient(energy(), of="e", wrt="x")
    forward_over = graphir.jvp(first, of="d_x", wrt="x")
    backward_over = graphir.gradient(graphir.jvp(energy(), of="e", wrt="x"), of="t_e", wrt="x")
    twice = graphir.gradient(first, of="d_x", wrt="x")
    gradient = graphir.compile(first)
    h = 1e-6
    ahead, behind = (gradient.run({"x": X + s * V})["d_x"] for s in (h, -h))
    for model, feeds, name in [
        (forward_over, {"v_x": V}, "t_d_x"),
        (backward_over, {"v_x": V}, "d_x"),
        (twice, {"seed_d_x": V}, "d2_x"),
    ]:
        made = graphir.compile(model).run({"x": X, **feeds})[name]
        np.testing.assert_allclose(made, FROM_PYTORCH, rtol=1e-12)
        np.testing.assert_allclose(made, (ahead - behind) / (2 * h), rtol=1e-7)
    assert len(forward_over.graph.nodes) <= len(twice.graph.nodes) + 2


def test_it_is_kept_in_a_file() -> None:
    model = graphir_onnx.loads(graphir_onnx.dumps(graphir.jvp(energy())))
    assert graphir.compile(model).run({"x": X, "v_x": V})["t_e"].shape == ()
