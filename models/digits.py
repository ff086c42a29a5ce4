"""Builds the example models on scikit-learn's handwritten digits: `python models/digits.py` writes

digits_train.npz, digits_test.npz   1437 and 360 digits: x float32[N, 64], the same as image float32[N, 1, 8, 8], with pixels from 0 to 16; the labels y
digits_mlp.onnx                     x -> logits, fitted by scikit-learn
digits_cnn.onnx                     image -> logits, not fitted: its weights are drawn by He's rule

It needs `pip install graphir[models]`. The digits are from the UCI repository (Alpaydin and Kaynak, 1998; CC BY 4.0).
"""

from pathlib import Path
from typing import Any

import numpy as np

import graphir
from graphir import Graph, Model, TensorType
from graphir.ops.activation import relu
from graphir.ops.math import gemm
from graphir.ops.nn import conv, max_pool
from graphir.ops.shape import flatten

HERE = Path(__file__).parent
BRIGHTEST = 16


def mlp(layers: list[tuple[np.ndarray, np.ndarray]]) -> Model:
    """A perceptron: for each layer a weight (inputs, outputs) and a bias (outputs,), with ReLU between them."""
    graph = Graph("digits_mlp")
    h = graph.input("x", TensorType("float32", ("N", len(layers[0][0]))))
    for i, (weight, bias) in enumerate(layers, 1):
        h = relu(h) if i > 1 else h
        h = gemm(h, graph.weight(f"layer{i}.weight", weight), graph.weight(f"layer{i}.bias", bias))
    graph.output(h, "logits")
    return Model(graph)


def cnn(seed: int = 0) -> Model:
    """Two convolutions, each with ReLU and pooling, and one linear layer."""
    rng = np.random.default_rng(seed)
    graph = Graph("digits_cnn")

    def layer(name: str, *shape: int) -> tuple[graphir.Weight, graphir.Weight]:
        spread = np.sqrt(2 / np.prod(shape[1:]))
        weight = rng.standard_normal(shape).astype(np.float32) * np.float32(spread)
        return graph.weight(f"{name}.weight", weight), graph.weight(f"{name}.bias", np.zeros(shape[0], np.float32))

    h = graph.input("image", TensorType("float32", ("N", 1, 8, 8)))
    h = max_pool(relu(conv(h, *layer("conv1", 16, 1, 3, 3), pads=(1, 1, 1, 1))), kernel_shape=(2, 2), strides=(2, 2))[0]
    h = max_pool(relu(conv(h, *layer("conv2", 32, 16, 3, 3), pads=(1, 1, 1, 1))), kernel_shape=(2, 2), strides=(2, 2))[0]
    graph.output(gemm(flatten(h), *layer("linear", 10, 32 * 2 * 2), transB=1), "logits")
    return Model(graph)


def data() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The digits to train on and those to test on, a fifth, as many of each kind."""
    from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    from sklearn.model_selection import train_test_split  # pyright: ignore[reportMissingImports]

    digits: Any = load_digits()
    x, y = digits.data.astype(np.float32), digits.target.astype(np.int64)
    parts: Any = train_test_split(np.arange(len(x)), test_size=0.2, random_state=0, stratify=y)
    train, test = ({"x": x[part], "image": x[part].reshape(-1, 1, 8, 8), "y": y[part]} for part in parts)
    return train, test


def fitted(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The layers of a perceptron 64-64-32-10 that tells y from x."""
    from sklearn.neural_network import MLPClassifier  # pyright: ignore[reportMissingImports]

    classifier = MLPClassifier((64, 32), alpha=0.1, max_iter=1000, random_state=0).fit(x / BRIGHTEST, y)
    weights = [w.astype(np.float32) for w in classifier.coefs_]
    weights[0] /= BRIGHTEST
    return list(zip(weights, (b.astype(np.float32) for b in classifier.intercepts_), strict=True))


def main() -> None:
    """Write the four files beside this script."""
    train, test = data()
    np.savez_compressed(HERE / "digits_train.npz", allow_pickle=False, **train)
    np.savez_compressed(HERE / "digits_test.npz", allow_pickle=False, **test)
    graphir.save(mlp(fitted(train["x"], train["y"])), HERE / "digits_mlp.onnx")
    graphir.save(cnn(), HERE / "digits_cnn.onnx")


if __name__ == "__main__":
    main()
