"""A training step of the perceptron 784-256-128-10 (ReLU, cross entropy, batch 64, SGD): graphir on NumPy beside NumPy by hand, in turns.

python benchmarks/training.py
"""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

import graphir
from graphir import Graph, Model, TensorType, ops, training

SIZES = (784, 256, 128, 10)
BATCH = 64
RATE = 0.05
TURNS = 300

Layers = list[tuple[np.ndarray, np.ndarray]]


def drawn(seed: int = 0) -> tuple[Layers, np.ndarray, np.ndarray]:
    """Weights by He's rule with zero biases, and one batch."""
    rng = np.random.default_rng(seed)
    layers = [((rng.standard_normal((n, m)) * np.sqrt(2 / n)).astype("float32"), np.zeros(m, "float32")) for n, m in pairwise(SIZES)]
    return layers, rng.standard_normal((BATCH, SIZES[0])).astype("float32"), rng.integers(0, SIZES[-1], BATCH)


def perceptron(layers: Layers) -> Model:
    """The model with these weights."""
    graph = Graph("perceptron")
    h = graph.input("x", TensorType("float32", ("N", SIZES[0])))
    for i, (w, b) in enumerate(layers):
        h = ops.activation.relu(h) if i else h
        h = ops.math.gemm(h, graph.weight(f"w{i}", w), graph.weight(f"b{i}", b))
    graph.output(h, "scores")
    return Model(graph)


def by_hand(layers: Layers) -> Callable[[np.ndarray, np.ndarray], float]:
    """The same step as one writes it in NumPy, with everything in place that can be. It moves `layers`."""
    rows = np.arange(BATCH)

    def step(x: np.ndarray, y: np.ndarray) -> float:
        inputs = [x]
        for i, (w, b) in enumerate(layers):
            h = inputs[-1] @ w
            h += b
            if i < len(layers) - 1:
                np.maximum(h, 0, out=h)
            inputs.append(h)
        d = inputs.pop()
        d -= d.max(axis=1, keepdims=True)
        at = d[rows, y]
        np.exp(d, out=d)
        total = d.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - at).mean())
        d /= total
        d[rows, y] -= 1
        d /= BATCH
        for i in reversed(range(len(layers))):
            w, b = layers[i]
            dw, db = inputs[i].T @ d, d.sum(axis=0)
            if i:
                d = d @ w.T
                d *= inputs[i] > 0
            dw *= RATE
            w -= dw
            db *= RATE
            b -= db
        return loss

    return step


def main() -> None:
    """Check that both learn alike, then time them."""
    layers, x, y = drawn()
    program = graphir.compile(training.step(perceptron(layers), optimizer=training.sgd(RATE)))
    step = by_hand(layers)
    feeds = {"x": x, "y": y}
    for _ in range(20):
        ours, theirs = float(program.run(feeds)["loss"]), step(x, y)
        assert abs(ours - theirs) <= 1e-4 * theirs, (ours, theirs)
    for threads in (1, 2):
        with threadpool_limits(threads):
            taken: dict[str, list[float]] = {"graphir": [], "by hand": []}
            for _ in range(TURNS):
                for name, run in (("graphir", lambda: program.run(feeds)), ("by hand", lambda: step(x, y))):
                    start = time.perf_counter()
                    run()
                    taken[name].append(time.perf_counter() - start)
        ours, theirs = (statistics.median(taken[name]) * 1e3 for name in taken)
        print(f"{threads} thread{'s' * (threads > 1)}: graphir {ours:.3f} ms, by hand {theirs:.3f} ms, {ours / theirs:.2f} times")


if __name__ == "__main__":
    main()
