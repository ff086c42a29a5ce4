"""Training: steps held against PyTorch, ONNX Runtime and steps without updates; the loop; what goes wrong."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from threadpoolctl import threadpool_limits

import graphir
from data.torch_training import BATCHES, RATES, REFERENCE, STEPS, drawn
from graphir import GradientError, Graph, Model, TensorType, Value, ops, training
from graphir.ir import Operator
from graphir.training.optimizers import OPTIMIZERS, Optimizer
from graphir.verify import verify

RNG = np.random.default_rng


def perceptron(layers: list[tuple[np.ndarray, np.ndarray]], batch: Any = "N", end: Callable[[Value], Value] = lambda h: h) -> Model:
    """Layers with ReLU between them: x -> scores."""
    graph = Graph("perceptron")
    h = graph.input("x", TensorType("float32", (batch, len(layers[0][0]) if layers else 1)))
    for i, (w, b) in enumerate(layers):
        h = ops.activation.relu(h) if i else h
        h = ops.math.gemm(h, graph.weight(f"w{i}", w), graph.weight(f"b{i}", b))
    graph.output(end(h), "scores")
    return Model(graph)


def small(batch: Any = "N", end: Callable[[Value], Value] = lambda h: h) -> Model:
    """x float32[N, 4] -> scores float32[N, 3]."""
    rng = RNG(0)
    layers = [(rng.standard_normal((n, m)).astype("float32"), np.zeros(m, "float32")) for n, m in ((4, 8), (8, 3))]
    return perceptron(layers, batch, end)


def convolutional() -> Model:
    """x float32[N, 2, 6, 6] -> scores float32[N, 3], by convolution, batch normalization, pooling and dropout."""
    rng, graph = RNG(1), Graph("convolutional")
    x = graph.input("x", TensorType("float32", ("N", 2, 6, 6)))
    h = ops.nn.conv(x, graph.weight("filters", rng.standard_normal((4, 2, 3, 3)).astype("float32") / 4))
    statistics = [graph.weight(name, np.full(4, v, "float32")) for name, v in (("scale", 1), ("shift", 0), ("mean", 0), ("var", 1))]
    h = ops.activation.relu(ops.normalization.batch_normalization(h, *statistics)[0])
    h = ops.normalization.dropout(ops.nn.max_pool(h, kernel_shape=(2, 2), strides=(2, 2))[0], 0.25)[0]
    w, b = graph.weight("w", rng.standard_normal((16, 3)).astype("float32") / 4), graph.weight("b", np.zeros(3, "float32"))
    graph.output(ops.math.gemm(ops.shape.flatten(h), w, b), "scores")
    return Model(graph)


def batch(model: Model, count: int = 16, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs, and labels that can be told from them."""
    x = RNG(seed).standard_normal((count, *model.inputs[0].shape[1:])).astype("float32")  # pyright: ignore[reportCallIssue, reportArgumentType]
    return {"x": x, "y": np.abs(x.reshape(count, -1)[:, :3]).argmax(axis=1)}


def test_training_goes_on_where_it_stopped() -> None:
    """Dropout and running statistics included; what the result was made of is not touched."""
    model, found = convolutional(), []
    data = batch(model, 40)
    node = next(n for n in model.graph.nodes if n.op is ops.normalization.dropout)
    node.set_inputs((*node.inputs[:2], model.graph.weight("always", np.asarray(True))))  # draws where it is measured, too
    whole = training.fit(model, data, epochs=3, batch_size=16, validation=0.2, checkpoint=found.append)
    assert [len(r.history) for r in found] == [1, 2, 3]
    for part in found:
        again = training.fit(model, data, epochs=3, batch_size=16, validation=0.2, resume=part)
        assert again.history == whole.history and again.state.keys() == whole.state.keys()
        for name, x in whole.state.items():
            np.testing.assert_array_equal(again.state[name], x)
    with pytest.raises(ValueError, match=r"the training to resume has .* which this one has not; resume with the model, the optimizer"):
        training.fit(model, data, optimizer=training.sgd(0.1), resume=found[0])
    with pytest.raises(ValueError, match="the training to resume lacks 'adam_m_b'"):
        training.fit(model, data, resume=found[0]._replace(state={}))


# ---- steps --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATES)
def test_losses_follow_torch(name: str) -> None:
    """200 steps of the perceptron 784-256-128-10."""
    layers, x, y = drawn()
    program = graphir.compile(training.step(perceptron(layers), optimizer=OPTIMIZERS[name](RATES[name])))
    with threadpool_limits(1):
        losses = [float(program.run({"x": x[i % BATCHES], "y": y[i % BATCHES]})["loss"]) for i in range(STEPS)]
    np.testing.assert_allclose(losses, json.loads(REFERENCE.read_text())[name], rtol=1e-5)


EVERY_OPTIMIZER: dict[str, Optimizer] = {
    "sgd": training.sgd(0.1),
    "momentum": training.sgd(0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": training.sgd(0.05, momentum=0.9, nesterov=True),
    "adam": training.adam(0.01, weight_decay=0.01),
}


@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
@pytest.mark.parametrize("make", [small, convolutional])
def test_steps_in_place_are_steps_without_updates(make: Callable[[], Model], name: str) -> None:
    """Three steps: the program's own state, and state that is handed in and out, on graphir and on ONNX Runtime."""
    model = make()
    step = training.step(model, optimizer=EVERY_OPTIMIZER[name])
    flat = training.flat(step)
    assert not verify(step) and not verify(flat) and not flat.updates
    program, other = graphir.compile(step), graphir.compile(flat)
    state: dict[str, Any] = {}
    for i in range(3):
        feeds = batch(model, seed=i)
        ours, theirs = program.run(feeds), other.run(feeds | state)
        state = {n.removeprefix("new_"): x for n, x in theirs.items() if n.startswith("new_")}
        assert ours["loss"] == theirs["loss"] and state.keys() == {w.name for w in step.updates}
        for n, x in state.items():
            np.testing.assert_array_equal(program.state[n], x, err_msg=n)


@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
def test_onnxruntime_takes_the_same_steps(name: str) -> None:
    model = convolutional()
    (dropout,) = [n for n in model.graph.nodes if n.op is ops.normalization.dropout]
    dropped, passed = dropout.outputs[0], dropout.inputs[0]
    assert dropped is not None and passed is not None
    model.graph.replace_uses(dropped, passed)  # it draws other numbers
    step = training.step(model, optimizer=EVERY_OPTIMIZER[name])
    data = graphir.dumps(training.flat(step), "onnx")
    onnx.checker.check_model(data, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_outputs()]
    program, state = graphir.compile(step), {}
    for i in range(3):
        feeds = batch(model, seed=i)
        ours, theirs = program.run(feeds), dict(zip(names, map(np.asarray, session.run(None, feeds | state))))
        state = {n.removeprefix("new_"): x for n, x in theirs.items() if n.startswith("new_")}
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
        for n, x in state.items():
            np.testing.assert_allclose(program.state[n], x, rtol=1e-5, atol=1e-5, err_msg=n)


def test_the_state_stays_where_it_is() -> None:
    """Weights and momentum are written in place; what `state` hands out is nobody's."""
    program = graphir.compile(training.step(small(), optimizer=training.sgd(0.1, momentum=0.9)))
    handed, before = program.state["w0"], {}
    for i in range(3):
        program.run(batch(small(), seed=i))
        places = {name: x.__array_interface__["data"][0] for name, x in program._state.items()}  # pyright: ignore[reportAttributeAccessIssue]
        assert not i or places == before
        before = places
    np.testing.assert_array_equal(handed, small().weights["w0"].tensor.array)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    assert (program.state["w0"] != handed).any()


def test_a_schedule_sets_the_learning_rate() -> None:
    program, feeds = graphir.compile(training.step(small(), optimizer=training.sgd(0.1))), batch(small())
    program.state["learning_rate"] = 0.0
    before = program.state["w0"]
    program.run(feeds)
    np.testing.assert_array_equal(program.state["w0"], before)
    program.state["learning_rate"] = 0.5
    program.run(feeds)
    assert (program.state["w0"] != before).any()


def test_batch_normalization_and_dropout_train_and_come_back() -> None:
    model = convolutional()
    step = training.step(model, optimizer=training.sgd(0.1))
    program, feeds = graphir.compile(step), batch(model)
    assert {w.name for w in step.updates} == {"filters", "scale", "shift", "mean", "var", "w", "b"}
    first = program.run(feeds, fetch=["conv", "dropout", "maxpool"])
    program.run(feeds)
    np.testing.assert_allclose(program.state["mean"], 0.1 * first["conv"].mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(program.state["var"], 0.9 + 0.1 * first["conv"].var(axis=(0, 2, 3)), rtol=1e-4)
    kept = first["dropout"] != 0
    np.testing.assert_allclose(first["dropout"][kept], (first["maxpool"] / 0.75)[kept], rtol=1e-6)
    assert 0.1 < (first["dropout"] == 0)[first["maxpool"] > 0].mean() < 0.4

    trained = training.apply(model, program.state)
    assert [str(n.op) for n in trained.graph.nodes] == [str(n.op) for n in model.graph.nodes]
    x = {"x": feeds["x"]}
    a, b = graphir.compile(trained).run(x)["scores"], graphir.compile(trained).run(x)["scores"]
    np.testing.assert_array_equal(a, b)
    assert (a != graphir.compile(model).run(x)["scores"]).any()
    assert model.weights["mean"].tensor.array.tolist() == [0] * 4  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]


def test_a_normalization_that_stands_twice_keeps_one_running_mean() -> None:
    graph = Graph("twice")
    x = graph.input("x", TensorType("float32", ("N", 2)))
    weights = [graph.weight(name, np.full(2, v, "float32")) for name, v in (("scale", 1), ("shift", 0), ("mean", 0), ("var", 1))]
    h = ops.normalization.batch_normalization(x, *weights)[0]
    graph.output(ops.normalization.batch_normalization(ops.elementwise.add(h, 3.0), *weights)[0], "y")
    program = graphir.compile(training.step(Model(graph), "mean_squared_error", target="t"))
    x = RNG(0).standard_normal((50, 2)).astype("float32")
    program.run({"x": x, "t": x})
    np.testing.assert_allclose(program.state["mean"], 0.9 * (0.1 * x.mean(axis=0)) + 0.1 * 3, rtol=1e-4)


def test_dropout_is_a_function_of_the_seed_and_the_run() -> None:
    step, feeds = training.step(convolutional()), batch(convolutional())
    a, b, c = (graphir.compile(step, seed=seed) for seed in (1, 1, 2))
    masks = [[p.run(feeds, fetch=["dropout"])["dropout"] == 0 for _ in range(2)] for p in (a, b, c)]
    assert (masks[0][0] == masks[1][0]).all() and (masks[0][1] == masks[1][1]).all()
    assert (masks[0][0] != masks[0][1]).any() and (masks[0][0] != masks[2][0]).any()


# ---- losses and choices -------------------------------------------------------------------------------------------------------------


def test_cross_entropy_reads_what_a_softmax_reads() -> None:
    feeds = batch(small())
    for end in (ops.activation.softmax, ops.activation.log_softmax):
        a, b = (graphir.compile(training.step(m)).run(feeds) for m in (small(), small(end=end)))
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-6)
        assert a["accuracy"] == b["accuracy"]


def absolute(output: Value, target: str) -> dict[str, Value]:
    """A loss of one's own."""
    y = output.graph.input(target, output.type)
    return {"gap": ops.reduce.reduce_mean(ops.elementwise.abs_(ops.elementwise.sub(output, y)), keepdims=0)}


@pytest.mark.parametrize("loss", ["mean_squared_error", absolute])
def test_other_losses(loss: Any) -> None:
    """Both learn a linear map."""
    rng = RNG(0)
    x = rng.standard_normal((64, 4)).astype("float32")
    data = {"x": x, "y": x @ rng.standard_normal((4, 2)).astype("float32")}
    model = perceptron([(np.zeros((4, 2), "float32"), np.zeros(2, "float32"))])
    result = training.fit(model, data, loss, training.adam(0.05), epochs=60, batch_size=16)
    name = "gap" if loss is absolute else "loss"
    assert result.history[-1][name] < 0.05 * result.history[0][name]
    assert {name for h in result.history for name in h} == {"epoch", name}


def test_the_name_of_an_output_may_be_the_target_s() -> None:
    model = small()
    model.graph.rename(model.outputs[0], "y")
    step = training.step(model)
    assert [v.name for v in step.inputs] == ["x", "y"] and [v.name for v in step.outputs] == ["loss", "accuracy"]
    graphir.compile(step).run(batch(model))


def test_patterns_freeze_weights() -> None:
    result = training.fit(small(), batch(small()), epochs=1, wrt=["w1", "b*"])
    before = small().weights
    same = {name for name, w in result.model.weights.items() if w.tensor == before[name].tensor}
    assert same == {"w0"}


def test_weights_that_are_inputs_with_defaults_are_trained() -> None:
    model = small()
    for name in ("w0", "b0"):
        model.graph.open(model.weights[name])  # pyright: ignore[reportArgumentType]
    result = training.fit(model, batch(model), epochs=1)
    assert [v.name for v in result.model.inputs] == ["x", "w0", "b0"] and "w0" in result.state
    assert result.model.weights["w0"].tensor != model.weights["w0"].tensor


# ---- the loop -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small, convolutional])
def test_one_seed_gives_one_file(make: Callable[[], Model]) -> None:
    data = batch(make(), 50)
    runs = [training.fit(make(), data, epochs=2, batch_size=16, validation=0.2, seed=seed) for seed in (3, 3, 4)]
    files = [graphir.dumps(r.model, "onnx") for r in runs]
    assert files[0] == files[1] and runs[0].history == runs[1].history
    assert files[0] != files[2]


def test_the_loop_learns_and_tells() -> None:
    data, seen = batch(small(), 240), []
    result = training.fit(
        small(), data, optimizer=training.adam(0.02), epochs=15, validation=batch(small(), 100, seed=9), progress=seen.append
    )
    first, last = result.history[0], result.history[-1]
    assert list(last) == ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"] and last["epoch"] == 15
    assert last["loss"] < 0.5 * first["loss"] and last["validation_accuracy"] > 0.8
    assert len(seen) == 15 * 8 and [p.batch for p in seen[:9]] == [1, 2, 3, 4, 5, 6, 7, 8, 1]
    assert [p.summary is None for p in seen[:8]] == [True] * 7 + [False]
    right = graphir.compile(result.model).run({"x": data["x"]})["scores"].argmax(axis=1) == data["y"]
    assert abs(right.mean() - last["accuracy"]) < 0.1


def test_validation_is_in_the_form_of_inference() -> None:
    model, data = convolutional(), batch(convolutional(), 32)
    result = training.fit(model, data, optimizer=training.sgd(0.0), epochs=1, validation=data, wrt=["w", "b"])
    scores = graphir.compile(result.model).run({"x": data["x"]})["scores"]
    assert result.history[0]["validation_accuracy"] == (scores.argmax(axis=1) == data["y"]).mean()


def test_a_model_of_one_batch_size_gets_whole_batches() -> None:
    seen: list[Any] = []
    training.fit(small(batch=8), batch(small(), 30), epochs=1, progress=seen.append)
    assert [p.batches for p in seen] == [3] * 3


def spoilt(name: str, place: Any, x: Any) -> dict[str, np.ndarray]:
    data = batch(small(), 20)
    data[name][place] = x
    return data


GOOD = batch(small(), 20)
WRONG = {
    "label out of range": (spoilt("y", 7, 3), {}, r"the data has the label 3 in y\[7\]; the model has 3 classes, 0 to 2"),
    "negative label": (spoilt("y", 7, -1), {}, r"the label -1 in y\[7\]"),
    "nan": (spoilt("x", (5, 2), np.nan), {}, r"the data has nan in x\[5\]; expected finite numbers \(1 of 20 examples are not\)"),
    "nan to validate with": (GOOD, {"validation": spoilt("x", 3, np.inf)}, r"the validation data has inf in x\[3\]"),
    "shape": (GOOD | {"x": GOOD["x"][:, :3]}, {}, r"the data has x as float32\[20, 3\]; expected float32\[N, 4\], with the examples"),
    "no axis": (GOOD | {"y": np.int64(1)}, {}, r"the data has y as int64\[\]; expected int64\[N\]"),
    "dtype": (GOOD | {"y": GOOD["y"] + 0.5}, {}, r"the data has y as float64\[20\]; expected int64\[N\]"),
    "counts": (GOOD | {"y": GOOD["y"][:9]}, {}, "the data has 20 examples in x and 9 in y; expected as many"),
    "empty": ({"x": GOOD["x"][:0], "y": GOOD["y"][:0]}, {}, "the data is empty"),
    "missing": ({"x": GOOD["x"]}, {}, r"the data lacks y \(int64\[N\]\); it holds x"),
    "share": (GOOD, {"validation": 1.5}, "validation is 1.5 of 20 examples"),
    "epochs": (GOOD, {"epochs": 0}, "epochs is 0"),
    "batch size": (GOOD, {"batch_size": 0}, "batch size is 0"),
    "loss": (GOOD, {"loss": "hinge"}, "no loss is called 'hinge'; there are cross_entropy, mean_squared_error"),
    "target": (GOOD, {"target": "x"}, "the model has an input or a weight called 'x'"),
    "output": (GOOD, {"output": "z"}, r"no output 'z' can be learned; there are 1 outputs of floats \(scores\)"),
    "divergence": (GOOD | {"x": GOOD["x"] * 1e18}, {"optimizer": training.sgd(1e18), "epochs": 50}, r"the loss became \w+ in epoch \d+, batch 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_is_said(name: str) -> None:
    data, options, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as e:
        training.fit(small(), data, **options)
    assert "\n" not in str(e.value)


def test_weights_without_a_path_are_refused() -> None:
    model = small()
    model.graph.output(ops.elementwise.add(model.graph.weight("idle", np.ones(2, "float32")), 1.0), "other")
    with pytest.raises(GradientError, match="no path leads from loss back to idle"):
        training.step(model, output="scores", wrt="idle")
    with pytest.raises(GradientError, match=r"no path leads from loss back to w\*"):
        training.step(model, "mean_squared_error", output="other", wrt=["idle", "w*"])
    with pytest.raises(GradientError, match="no path leads from loss back to any weight"):
        training.step(perceptron([]), "mean_squared_error")
    with pytest.raises(KeyError, match="no value 'w7'"):
        training.step(model, output="scores", wrt="w7")
    with pytest.raises(ValueError, match="the model has 2 outputs of floats"):
        training.step(model)


def test_what_lies_behind_a_foreign_node_cannot_be_trained() -> None:
    graph = Graph("odd")
    x = graph.input("x", TensorType("float32", ("N", 3)))
    hidden = ops.math.matmul(x, graph.weight("w", np.ones((3, 4), "float32")))
    y = graph.append(Operator("com.x", "Frobnicate"), (hidden,), {}, [TensorType("float32")], "frob", ["y_"]).outputs[0]
    assert y is not None
    y.declared = y.type
    graph.output(y)
    with pytest.raises(GradientError, match="Frobnicate of node 'frob' is not declared"):
        training.step(Model(graph))


@pytest.mark.parametrize(("build", "message"), [(lambda: training.sgd(-1), "learning rate is -1"), (lambda: training.adam(beta1=1.0), "beta1 is 1.0")])  # fmt: skip
def test_optimizers_refuse_what_cannot_work(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_a_label_that_is_no_class_stops_a_step() -> None:
    program, feeds = graphir.compile(training.step(small())), batch(small())
    before = program.state["w0"]
    with pytest.raises(ValueError, match="the label -1 is no class; the scores have 3 classes, 0 to 2"):
        program.run(feeds | {"y": feeds["y"] * 0 - 1})
    np.testing.assert_array_equal(program.state["w0"], before)
