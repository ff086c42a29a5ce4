"""Builds the example models and trains them on handwritten digits with `graphir train`: `python models/digits.py` writes

digits_mlp.onnx     x -> logits, a perceptron
digits_cnn.onnx     image -> logits, a convolutional network

and beside each the history of its training, as .history.json. The data lies here: digits_train.npz and digits_test.npz hold 1437 and 360 digits, as
x float32[N, 64] and the same as image float32[N, 1, 8, 8], with pixels from 0 to 16, and the labels y. They are from the UCI repository (Alpaydin and
Kaynak, 1998; CC BY 4.0), as scikit-learn's load_digits has them, split by its train_test_split(test_size=0.2, random_state=0, stratify=y).
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

import graphir
from graphir import Graph, Model, TensorType, Weight
from graphir.cli import main as command_line
from graphir.ops.activation import relu
from graphir.ops.elementwise import mul
from graphir.ops.math import gemm
from graphir.ops.nn import conv, max_pool
from graphir.ops.shape import flatten

HERE = Path(__file__).parent
BRIGHTEST = 16


def mlp(seed: int = 0) -> Model:
    """A perceptron 64-64-32-10 with ReLU, not trained yet."""
    graph, rng = Graph("digits_mlp"), np.random.default_rng(seed)
    h = mul(graph.input("x", TensorType("float32", ("N", 64))), 1 / BRIGHTEST)
    for i, (n, m) in enumerate(((64, 64), (64, 32), (32, 10)), 1):
        h = relu(h) if i > 1 else h
        h = gemm(h, *layer(graph, rng, f"layer{i}", (n, m), inputs=n, outputs=m))
    graph.output(h, "logits")
    return Model(graph)


def cnn(seed: int = 0) -> Model:
    """Two convolutions, each with ReLU and pooling, and one linear layer, not trained yet."""
    graph, rng = Graph("digits_cnn"), np.random.default_rng(seed)
    h = mul(graph.input("image", TensorType("float32", ("N", 1, 8, 8))), 1 / BRIGHTEST)
    for i, (n, m) in enumerate(((1, 16), (16, 32)), 1):
        h = relu(conv(h, *layer(graph, rng, f"conv{i}", (m, n, 3, 3), inputs=n * 9, outputs=m), pads=(1, 1, 1, 1)))
        h = max_pool(h, kernel_shape=(2, 2), strides=(2, 2))[0]
    graph.output(gemm(flatten(h), *layer(graph, rng, "linear", (10, 128), inputs=128, outputs=10), transB=1), "logits")
    return Model(graph)


def layer(graph: Graph, rng: np.random.Generator, name: str, shape: tuple[int, ...], *, inputs: int, outputs: int) -> tuple[Weight, Weight]:
    """A weight drawn by He's rule, and a bias of zeros."""
    weight = rng.standard_normal(shape) * np.sqrt(2 / inputs)
    return graph.weight(f"{name}.weight", weight.astype(np.float32)), graph.weight(f"{name}.bias", np.zeros(outputs, np.float32))


def main() -> int:
    """Write the models beside this script. The exit status of `graphir train`."""
    for model in (mlp(), cnn()):
        with tempfile.TemporaryDirectory() as folder:
            untrained, trained = Path(folder) / "untrained.onnx", Path(folder) / f"{model.graph.name}.onnx"
            graphir.save(model, untrained)
            options = ["--epochs", "40", "--validation", str(HERE / "digits_test.npz")]
            status = command_line(["train", str(untrained), str(HERE / "digits_train.npz"), str(trained), *options])
            if status:
                return status
            for file in (trained, trained.with_suffix(".history.json")):
                shutil.copy(file, HERE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
