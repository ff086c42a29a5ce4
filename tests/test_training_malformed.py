"""Training steps of models of which something is malformed or of unknown type: what nobody reads does no harm, all else is told."""

import numpy as np
import pytest

import graphir
from graphir import GradientError, Graph, Model, TensorType, ops, training
from graphir.ops import Operator

RNG = np.random.default_rng
UNREAD = """
    BatchNormalization Cast Clip Concat Dropout DynamicQuantizeLinear If Loop MatMulInteger Mul QuantizeLinear Reshape
    Softmax SoftmaxCrossEntropyLoss Squeeze
"""


def linear() -> Model:
    """x float32[N, 4] -> scores float32[N, 3]."""
    graph = Graph("linear")
    weight = graph.weight("w", RNG(0).standard_normal((4, 3)).astype("float32"))
    graph.output(ops.math.matmul(graph.input("x", TensorType("float32", ("N", 4))), weight), "scores")
    return Model(graph)


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("name", UNREAD.split())
def test_a_node_that_nobody_reads_may_be_malformed(name: str, count: int) -> None:
    model = linear()
    model.graph.append(ops.OPS["", name], (model.graph.inputs[0],) * count, {}, [TensorType("float32", None)])
    data = {"x": RNG(1).standard_normal((8, 4)).astype("float32"), "y": np.arange(8) % 3}
    assert np.isfinite(training.fit(model, data, epochs=1).history[0]["loss"])


ENDS = {
    "Softmax": ops.activation.softmax,
    "LogSoftmax": ops.activation.log_softmax,
    "Sigmoid": ops.activation.sigmoid,
    "Concat": lambda p: ops.shape.concat(ops.elementwise.sub(1.0, p), p, axis=1),
    "Log": lambda p: ops.OPS["", "Log"](ops.activation.softmax(p)),
}


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("end", ENDS)
def test_probabilities_of_what_a_foreign_node_makes(end: str, loss: str) -> None:
    """The file says what type the output is; of what the foreign node makes it says nothing."""
    graph = Graph("odd")
    hidden = ops.math.matmul(graph.input("x", TensorType("float32", ("N", 3))), graph.weight("w", np.ones((3, 4), "float32")))
    foreign = graph.append(Operator("com.x", "Frobnicate"), (hidden,), {}, [TensorType("float32", ("N", 4))], "frob", ["p"]).outputs[0]
    assert foreign is not None
    graph.output(ENDS[end](foreign), "out").declared = TensorType("float32", ("N", 8 if end == "Concat" else 4))
    foreign.declared = None
    foreign.type = None  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(GradientError, match="Frobnicate"):
        training.step(graphir.loads(graphir.dumps(Model(graph), "onnx"), "onnx"), loss)
