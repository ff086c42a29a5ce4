"""What a training step makes of a model: the names that it gives, the scores that it finds behind probabilities, and the scales that it leaves alone."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import GradientError, Graph, Model, TensorType, Value, ops, training
from graphir.verify import verify

RNG = np.random.default_rng
F32 = "float32"
X = RNG(1).standard_normal((8, 4)).astype(F32)
W = RNG(0).standard_normal((4, 3)).astype(F32)
LABELS = np.arange(8) % 3
B = 0.1


def linear(
    end: Callable[[Value], Value] = lambda h: h, name: str = "out", classes: int = 3, shape: Any = ("N", 4), weight: str = "w"
) -> Model:
    """x @ w, and what is made of it."""
    graph = Graph("linear")
    graph.output(end(ops.math.matmul(graph.input("x", TensorType(F32, shape)), graph.weight(weight, W[:, :classes]))), name)
    return Model(graph)


def first_loss(model: Model, loss: str = "cross_entropy", y: Any = LABELS, **options: Any) -> float:
    """The loss of the first step, as `fit` has it."""
    return training.fit(model, {"x": X, "y": y}, loss, epochs=1, **options).history[0]["loss"]


# ---- scores -------------------------------------------------------------------------------------------------------------------------

a, e, s = ops.activation, ops.elementwise, ops.shape


def boxed(h: Value) -> Value:
    """[N, C, 1, 1] of [N, C]."""
    return s.unsqueeze(h, [2, 3])


def log(x: Value) -> Value:
    return ops.OPS["", "Log"](x)


SOFTMAX_ENDS: dict[str, Callable[[Value], Value]] = {
    "Identity": lambda h: e.identity(a.softmax(h)),
    "two": lambda h: e.identity(e.identity(a.softmax(h))),
    "LogSoftmax, Identity": lambda h: e.identity(a.log_softmax(h)),
    "Log": lambda h: log(a.softmax(h)),
    "Log, clipped": lambda h: log(e.clip(a.softmax(h), 1e-7, 1.0)),
    "Exp": lambda h: e.exp(a.log_softmax(h)),
    "Cast": lambda h: e.cast(a.softmax(e.cast(h, to="float64")), to=F32),
    "Clip": lambda h: e.clip(a.softmax(h), 0.2, 0.4),
    "Dropout": lambda h: ops.normalization.dropout(a.softmax(h), 0.5)[0],
    "Dropout in training": lambda h: ops.normalization.dropout(a.softmax(h), 0.5, True)[0],
    "Flatten": lambda h: s.flatten(a.softmax(boxed(h), axis=1)),
    "Squeeze": lambda h: s.squeeze(a.softmax(boxed(h), axis=-3), [2, 3]),
    "Unsqueeze, Squeeze": lambda h: s.squeeze(s.unsqueeze(a.softmax(h), [1]), [1]),
    "Reshape": lambda h: s.reshape(a.softmax(boxed(h), axis=1), [0, 3]),
    "Reshape to what is open": lambda h: s.reshape(a.softmax(boxed(h), axis=1), [-1, 3]),
    "Transpose": lambda h: s.transpose(a.softmax(s.transpose(h, perm=(1, 0)), axis=0), perm=(1, 0)),
    "several": lambda h: e.clip(s.squeeze(e.identity(s.reshape(a.softmax(boxed(h), axis=1), [0, 3, 1])), [2]), 0.0, 1.0),
    "another axis at first": lambda h: s.transpose(a.softmax(s.reshape(h, [-1, 1, 3])), perm=(0, 2, 1)),
}


@pytest.mark.parametrize("end", SOFTMAX_ENDS)
def test_cross_entropy_finds_the_scores(end: str) -> None:
    model = linear(SOFTMAX_ENDS[end])
    y = LABELS[:, None] if len(model.outputs[0].shape) == 3 else LABELS
    step = training.step(model, optimizer=training.sgd(B))
    expected = graphir.compile(training.step(linear(), optimizer=training.sgd(B)))
    program = graphir.compile(step)
    want = expected.run({"x": X, "y": LABELS})
    found = program.run({"x": X, "y": y})
    np.testing.assert_allclose(found["loss"], want["loss"], rtol=1e-6)
    assert found["accuracy"] == want["accuracy"]
    np.testing.assert_allclose(program.state["w"], expected.state["w"], rtol=1e-5)


def test_scores_that_follow_no_softmax_stay() -> None:
    for end in (
        lambda h: e.clip(h, -1.0, 1.0),
        lambda h: s.squeeze(boxed(h), [2, 3]),
        lambda h: e.exp(a.softmax(h)),
        lambda h: log(e.exp(h)),
    ):
        scores = graphir.compile(linear(end)).run({"x": X})["out"]
        want = -(scores - np.log(np.exp(scores).sum(1, keepdims=True)))[range(8), LABELS].mean()
        np.testing.assert_allclose(first_loss(linear(end)), want, rtol=1e-5)


def pair(h: Value) -> Value:
    """1 - p and p, as classifiers of two classes end."""
    p = a.sigmoid(h)
    return s.concat(e.sub(1.0, p), p, axis=1)


SIGMOID_ENDS: dict[str, Callable[[Value], Value]] = {
    "alone": a.sigmoid,
    "none": lambda h: h,
    "Identity": lambda h: e.identity(a.sigmoid(h)),
    "Clip, Cast": lambda h: e.cast(e.clip(a.sigmoid(e.cast(h, to="float64")), 1e-7, 1.0), to=F32),
    "Squeeze": lambda h: s.squeeze(a.sigmoid(h), [1]),
    "Flatten": lambda h: s.flatten(a.sigmoid(boxed(h))),
    "pair": pair,
}


@pytest.mark.parametrize("end", SIGMOID_ENDS)
def test_yes_or_no(end: str) -> None:
    """Labels may be integers, booleans or floats, of shape [N] or [N, 1]."""
    z = (X @ W[:, :1])[:, 0].astype(float)
    y = LABELS % 2
    want = np.mean(y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z))
    right = ((z > 0) == y).mean()
    loss = "cross_entropy" if end == "pair" else "binary_cross_entropy"
    for labels in (y, y.astype(float), y[:, None], *([] if end == "pair" else [y.astype(bool)])):
        result = training.fit(linear(SIGMOID_ENDS[end], classes=1), {"x": X, "y": labels}, loss, epochs=1)
        np.testing.assert_allclose([result.history[0]["loss"], result.history[0]["accuracy"]], [want, right], rtol=1e-5)


def test_large_scores_keep_their_loss() -> None:
    program = graphir.compile(training.step(linear(a.sigmoid, classes=1), "binary_cross_entropy", training.sgd(0.0)))
    found = program.run({"x": 100 * X, "y": np.ones((8, 1), F32)})["loss"]
    np.testing.assert_allclose(found, np.mean(np.logaddexp(0, -100 * (X @ W[:, :1]).astype(float))), rtol=1e-5)


TOLD: dict[str, tuple[Callable[[], Any], str]] = {
    "Sigmoid": (lambda: training.step(linear(a.sigmoid)), "out is made of probabilities by Sigmoid 'out': take the loss binary_cross_entropy"),
    "Sigmoid, Clip": (lambda: training.step(linear(lambda h: e.clip(a.sigmoid(h), 0.0, 1.0))), "probabilities by Sigmoid"),
    "one class": (lambda: training.step(linear(classes=1)), "out is float32[N, 1]; for yes or no, take the loss binary_cross_entropy"),
    "one sigmoid": (lambda: training.step(linear(a.sigmoid, classes=1)), "take the loss binary_cross_entropy"),
    "no classes": (lambda: training.step(linear(lambda h: s.squeeze(h, [1]), classes=1)), "needs scores of two classes or more"),
    "Softmax for yes or no": (lambda: training.step(linear(a.softmax), "binary_cross_entropy"), "made by Softmax 'out': take the loss cross_entropy"),
    "last axis": (lambda: training.step(linear(a.softmax, shape=("N", 5, 4))), "cross entropy needs classes along axis 1"),
    "first axis": (lambda: training.step(linear(lambda h: a.softmax(h, axis=0))), "works along axis 0: that is not axis 1 of the output"),
    "out of range": (lambda: first_loss(linear(a.sigmoid, classes=1), "binary_cross_entropy", LABELS), "has 2.0 in y[2, 0]; the loss takes 0 to 1"),
    "minus one": (lambda: first_loss(linear(classes=1), "binary_cross_entropy", LABELS - 1), "has -1.0 in y[0, 0]; the loss takes 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("row", TOLD)
def test_probabilities_of_another_kind_are_told(row: str) -> None:
    build, words = TOLD[row]
    with pytest.raises((TypeError, ValueError), match=re.escape(words)) as error:
        build()
    assert "\n" not in str(error.value)


# ---- names --------------------------------------------------------------------------------------------------------------------------

USUAL = {"y": "y", "loss": "loss", "accuracy": "accuracy", "learning_rate": "learning_rate"}
NAMED: dict[str, tuple[Callable[[], Model], dict[str, str]]] = {  # what a model calls things, and the names of the step that then differ
    "output y": (lambda: linear(name="y"), {}),
    "output loss": (lambda: linear(name="loss"), {}),
    "output accuracy": (lambda: linear(name="accuracy"), {}),
    "output learning_rate": (lambda: linear(name="learning_rate"), {}),
    "value y": (lambda: linear(lambda h: e.identity(e.mul(h, 1.0).named("y"))), {}),
    "weight y": (lambda: linear(weight="y"), {"y": "y_1"}),
    "weight loss": (lambda: linear(weight="loss"), {"loss": "loss_1"}),
    "weight accuracy": (lambda: linear(weight="accuracy"), {"accuracy": "accuracy_1"}),
    "weight learning_rate": (lambda: linear(weight="learning_rate"), {"learning_rate": "learning_rate_1"}),
    "weight adam_step": (lambda: linear(weight="adam_step"), {}),
    "weight adam_m_w": (lambda: linear(lambda h: e.add(h, h.graph.weight("adam_m_w", np.ones(3, F32)))), {}),
    "weight y, output y_1": (lambda: linear(name="y_1", weight="y"), {"y": "y_2"}),
    "weight with a default": (lambda: opened(linear(weight="y"), "y"), {"y": "y_1"}),
    "weight with a default loss": (lambda: opened(linear(weight="loss"), "loss"), {"loss": "loss_1"}),
}  # fmt: skip


def opened(model: Model, weight: str) -> Model:
    model.graph.open(model.graph.weights[weight])
    return model


@pytest.mark.parametrize("row", NAMED)
def test_every_name_can_be_learned(row: str) -> None:
    build, differ = NAMED[row]
    model = build()
    names = USUAL | differ
    step = training.step(model)
    assert not verify(step)
    assert training.names(step) == (names["y"], {m: names[m] for m in ("loss", "accuracy")}, names["learning_rate"])
    assert [v.name for v in step.inputs] == ["x", names["y"]] and [v.name for v in step.outputs] == [names["loss"], names["accuracy"]]
    assert training.names(graphir.loads(graphir.dumps(step, "gir"))) == training.names(step)
    data = {"x": X, "y": LABELS}
    for output in (None, model.outputs[0].name):
        result = training.fit(model, data, output=output, epochs=3, validation=data, optimizer=training.adam(0.1))
        assert result.history[-1].keys() == {"epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"}
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        before = graphir.compile(training.step(result.model)).run({"x": X, names["y"]: LABELS})[names["loss"]]
        np.testing.assert_allclose(result.history[-1]["validation_loss"], before, rtol=1e-5)
        assert [v.name for v in result.model.outputs] == [v.name for v in model.outputs]
    program = graphir.compile(step)
    program.state[names["learning_rate"]] = 0.0
    program.run({"x": X, names["y"]: LABELS})
    again = training.apply(model, program.state)
    for address, weight in model.weights.items():
        np.testing.assert_array_equal(again.weights[address].tensor.array, weight.tensor.array)  # pyright: ignore[reportAttributeAccessIssue]


def test_names_that_inputs_have() -> None:
    graph = Graph("two")
    x, loss = graph.input("x", TensorType(F32, ("N", 4))), graph.input("loss", TensorType(F32, ("N", 3)))
    graph.output(e.add(ops.math.matmul(x, graph.weight("w", W)), loss), "out")
    data = {"x": X, "loss": np.ones((8, 3), F32), "y": LABELS}
    assert list(training.fit(Model(graph), data, epochs=1, validation=0.25).history[0])[:2] == ["epoch", "loss"]
    assert training.names(training.step(Model(graph))).metrics["loss"] == "loss_1"
    with pytest.raises(ValueError, match="has an input or a weight called 'loss'; give the target another name"):
        training.step(Model(graph), target="loss")
    with pytest.raises(ValueError, match="the model is no training step"):
        training.names(Model(graph))


def test_errors_and_patterns_use_the_names_of_the_file() -> None:
    model = linear(lambda h: s.squeeze(h, [1]), "y", 1)
    with pytest.raises(TypeError, match=r"; y is float32\[N\]; for yes or no"):
        training.step(model)
    with pytest.raises(GradientError, match="no path leads from loss back to any weight"):
        training.step(linear(name="y"), stop="y")


# ---- scales of quantized numbers ----------------------------------------------------------------------------------------------------

q = ops.quantize
BYTES = RNG(2).integers(-90, 90, (4, 3)).astype("int8")
SCALE = np.full(3, 0.01, F32)


def quantized(build: Callable[[Graph, Value, Value], Value]) -> Model:
    """What is built of x and of a scale, with a bias."""
    graph = Graph("quantized")
    x = graph.input("x", TensorType(F32, ("N", 4)))
    h = build(graph, x, graph.weight("scale", SCALE))
    graph.output(e.add(h, graph.weight("bias", np.zeros(3, F32))), "out")
    return Model(graph)


def by_weights(graph: Graph, x: Value, scale: Value) -> Value:
    zero = graph.weight("zero", np.zeros(3, "int8"))
    return ops.math.matmul(x, q.dequantize_linear(graph.weight("bytes", BYTES), scale, zero, axis=1))


def by_integers(graph: Graph, x: Value, scale: Value) -> Value:
    data, x_scale, zero = q.dynamic_quantize_linear(x)
    made = ops.OPS["", "MatMulInteger"](data, graph.weight("bytes", BYTES), zero)
    return e.mul(e.cast(made, to=F32), e.mul(x_scale, scale))


LEFT: dict[str, Callable[[Graph, Value, Value], Value]] = {
    "weights": by_weights,
    "through a node": lambda g, x, scale: by_weights(g, x, e.abs_(scale)),
    "through several": lambda g, x, scale: by_weights(g, x, e.div(e.identity(scale), 127.0)),
    "activations": lambda g, x, scale: q.dequantize_linear(q.quantize_linear(ops.math.matmul(x, g.weight("w", W)), scale, axis=1), scale, axis=1),
    "integers": by_integers,
}  # fmt: skip


@pytest.mark.parametrize("row", LEFT)
def test_scales_are_left_alone(row: str) -> None:
    notes: list[str] = []
    model = quantized(LEFT[row])
    step = training.step(model, "mean_squared_error", note=notes.append)
    moved = {w.name for w in step.updates}
    assert "bias" in moved and "scale" not in moved and ("w" in moved) == (row == "activations")
    assert notes == ["scales of quantized numbers (scale) are not trained; name them in `wrt` to train them, too"]
    named = training.step(model, "mean_squared_error", wrt=["scale", "bias"])
    assert {"scale", "bias"} <= {w.name for w in named.updates}


def test_what_is_no_scale_alone_is_trained() -> None:
    """A weight that also does something else, and one that is multiplied after the scale was."""
    for build in (
        lambda g, x, scale: e.mul(by_weights(g, x, scale), scale),
        lambda g, x, scale: e.mul(by_weights(g, x, g.weight("other", SCALE)), scale),
        lambda g, x, scale: e.mul(by_integers(g, x, g.weight("other", SCALE)), scale),
    ):
        assert "scale" in {w.name for w in training.step(quantized(build), "mean_squared_error").updates}


def test_nothing_but_scales_is_refused() -> None:
    graph = Graph("bare")
    graph.output(by_weights(graph, graph.input("x", TensorType(F32, ("N", 4))), graph.weight("scale", SCALE)), "out")
    with pytest.raises(GradientError, match=r"scales of quantized numbers \(scale\) are not trained by default; name them in `wrt`"):
        training.step(Model(graph), "mean_squared_error")
