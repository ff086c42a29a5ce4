"""FlexAttention in models: bodies that capture, hold bodies and draw numbers, in files, programs and gradients."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

import graphir
import graphir_onnx
from graphir import Graph, Model, TensorType, Value, ops
from graphir.ops._gradient import GradientError
from graphir.ops.attention import flex_attention
from graphir.ops.control import body_in, if_, yields
from graphir.ops.elementwise import add, mul, tanh
from graphir.ops.logic import greater
from graphir.ops.normalization import dropout
from graphir.passes.expand import expand
from graphir.verify import verify

FEEDS = {
    name: np.random.default_rng(i).standard_normal(shape).astype("float32")
    for i, (name, shape) in enumerate({"q": (2, 4, 3, 8), "k": (2, 2, 5, 8), "v": (2, 2, 5, 6), "bias": (3, 5)}.items())
}


def attended(score: Callable[[Value, Value], Value], prob: Callable[[Value], Value] = lambda p: mul(p, 0.5)) -> Model:
    """y, with bodies that do so to the scores and the bias, and to the weights."""
    graph = Graph("attended")
    shapes = {"q": ("N", 4, "L", 8), "k": ("N", 2, "S", 8), "v": ("N", 2, "S", 6), "bias": ("L", "S")}
    q, k, v, bias = (graph.input(name, TensorType("float32", shape)) for name, shape in shapes.items())
    bodies = []
    for build in (lambda x: score(x, bias), prob):
        body = body_in(graph, "modifier")
        x = body.input(body.fresh("x"), TensorType("float32", ("N", 4, "L", "S")))
        with body:
            yields(body, build(x))
        bodies.append(body)
    graph.output(flex_attention(q, k, v, score_mod=bodies[0], prob_mod=bodies[1]), "y")
    return Model(graph)


def chosen(scores: Value, bias: Value) -> Value:
    """A body that holds bodies, which capture."""
    branches = []
    for change in (lambda: add(scores, tanh(bias)), lambda: mul(scores, bias)):
        branch = body_in(scores, "branch")
        with branch:
            yields(branch, change())
        branches.append(branch)
    positive = greater(ops.reduce.reduce_sum(bias, keepdims=0), 0.0)
    return if_(positive, then_branch=branches[0], else_branch=branches[1])[0]


SCORES = {"captured": lambda s, b: add(s, mul(b, b)), "nested": chosen, "ignored": lambda s, b: tanh(s)}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_programs_files_and_gradients(score: Callable[[Value, Value], Value]) -> None:
    model = attended(score)
    assert verify(model) == []
    expected = graphir.compile(model).run(FEEDS)["y"]
    again = graphir.loads(graphir.dumps(model, format="onnx"), format="onnx")
    assert again.outputs[0].type == model.outputs[0].type
    np.testing.assert_array_equal(graphir.compile(again).run(FEEDS)["y"], expected)
    wrt = [name for name in FEEDS if name != "bias" or score is not SCORES["ignored"]]
    assert graphir.check_gradient(again, of="y", wrt=wrt, feeds=FEEDS).ok


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_the_decomposition_and_its_gradient_run_in_onnxruntime(score: Callable[[Value, Value], Value]) -> None:
    wrt = [name for name in FEEDS if name != "bias" or score is not SCORES["ignored"]]
    model = graphir.gradient(attended(score), wrt=wrt)
    feeds = {**FEEDS, "seed_y": np.ones((2, 4, 3, 6), "float32")}
    expected = graphir.compile(model).run(feeds)
    expand(model, lambda op: op is not flex_attention)
    session = onnxruntime.InferenceSession(graphir_onnx.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    for name, x in zip(expected, session.run(list(expected), feeds)):
        np.testing.assert_allclose(np.asarray(x), expected[name], rtol=1e-4, atol=1e-5)


def test_numbers_drawn_in_a_body_are_not_drawn_again() -> None:
    model = attended(add, lambda p: dropout(p, 0.5, True)[0])
    with pytest.raises(GradientError, match=r"draws numbers in a body.*passes\.expand"):
        graphir.gradient(model, wrt=["v"])
    expand(model, lambda op: op is not flex_attention)
    graphir.compile(graphir.gradient(model, wrt=["v"])).run({**FEEDS, "seed_y": np.ones((2, 4, 3, 6), "float32")})
    assert graphir.check_gradient(model, of="y", wrt=["v"], feeds=FEEDS).ok
