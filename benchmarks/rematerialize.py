"""What computing values a second time saves and costs: training steps of three deep models under smaller and smaller budgets.

    python benchmarks/rematerialize.py

Prints a table: the bytes that live at once as planned and as measured (tracemalloc, over the first step of a compiled program), how many nodes run
again, and the processor time of a step on one thread, beside that of the step without a budget.
"""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import graphir
from graphir import Graph, Model, TensorType, Value, ops, training
from graphir.passes.rematerialize import peak_bytes, recomputed

SHARES = (0.7, 0.5, 0.4)


class Layers:
    """A graph under construction, with weights drawn from the normal distribution."""

    def __init__(self) -> None:
        self.graph = Graph("deep")
        self.rng = np.random.default_rng(0)

    def weight(self, *shape: int, scale: float | None = None) -> Value:
        """Normal numbers, of a standard deviation that keeps the sizes of activations."""
        fan = int(np.prod(shape[1:] if len(shape) == 4 else shape[:1]))
        return self.graph.weight(self.graph.fresh("w"), (self.rng.standard_normal(shape) * (scale or fan**-0.5)).astype(np.float32))

    def ones(self, n: int, number: float = 1.0) -> Value:
        """A vector of one number."""
        return self.graph.weight(self.graph.fresh("w"), np.full(n, number, np.float32))


def perceptron(depth: int = 64, width: int = 128) -> tuple[Model, tuple[int, ...], int]:
    """Fully connected layers with ReLU."""
    net = Layers()
    h = net.graph.input("x", TensorType("float32", ("N", width)))
    for _ in range(depth):
        h = ops.activation.relu(ops.math.gemm(h, net.weight(width, width, scale=(2 / width) ** 0.5), net.ones(width, 0.0)))
    net.graph.output(ops.math.gemm(h, net.weight(width, 10)), "scores")
    return Model(net.graph), (1024, width), 10


def convolutions(depth: int = 16, channels: int = 16, size: int = 24) -> tuple[Model, tuple[int, ...], int]:
    """Residual blocks of convolution, batch normalization and ReLU."""
    net = Layers()
    h = net.graph.input("x", TensorType("float32", ("N", channels, size, size)))
    for _ in range(depth):
        y = ops.nn.conv(h, net.weight(channels, channels, 3, 3), pads=(1, 1, 1, 1))
        scale, bias, mean, variance = (net.ones(channels, n) for n in (1, 0, 0, 1))
        y = ops.normalization.batch_normalization(y, scale, bias, mean, variance)[0]
        h = ops.elementwise.add(h, ops.activation.relu(y))
    pooled = ops.shape.flatten(ops.nn.global_average_pool(h))
    net.graph.output(ops.math.gemm(pooled, net.weight(channels, 10)), "scores")
    return Model(net.graph), (16, channels, size, size), 10


def transformer(depth: int = 8, width: int = 64, heads: int = 4, length: int = 64) -> tuple[Model, tuple[int, ...], int]:
    """Encoder blocks: attention and a perceptron, each normalized before and added to what went in."""
    net = Layers()
    h = net.graph.input("x", TensorType("float32", ("N", length, width)))
    for _ in range(depth):
        y = ops.normalization.layer_normalization(h, net.ones(width), net.ones(width, 0.0))[0]
        q, k, v = (ops.math.matmul(y, net.weight(width, width)) for _ in range(3))
        y = ops.attention.attention(q, k, v, q_num_heads=heads, kv_num_heads=heads)[0]
        h = ops.elementwise.add(h, ops.math.matmul(y, net.weight(width, width)))
        y = ops.normalization.layer_normalization(h, net.ones(width), net.ones(width, 0.0))[0]
        y = ops.activation.gelu(ops.math.matmul(y, net.weight(width, 4 * width)))
        h = ops.elementwise.add(h, ops.math.matmul(y, net.weight(4 * width, width)))
    pooled = ops.reduce.reduce_mean(h, [1], keepdims=0)
    net.graph.output(ops.math.gemm(pooled, net.weight(width, 10)), "scores")
    return Model(net.graph), (16, length, width), 10


def measured(model: Model, feeds: dict[str, Any], runs: int = 3) -> tuple[dict[str, Any], int, float]:
    """What the first step gives, the most bytes that its arrays took, and the seconds of the quickest of some steps."""
    program = graphir.compile(model)
    tracemalloc.start()
    first = {k: np.array(x) for k, x in program.run(feeds).items()}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        program.run(feeds)
        seconds.append(time.process_time() - start)
    return first, peak, min(seconds)


def main() -> None:
    """Print the table."""
    print("model          budget      planned     measured   nodes   time")
    builds: list[Callable[[], tuple[Model, tuple[int, ...], int]]] = [perceptron, convolutions, transformer]
    for build in builds:
        model, shape, classes = build()
        step = training.step(model, optimizer=training.sgd(0.01))
        rng = np.random.default_rng(1)
        feeds = {"x": rng.standard_normal(shape).astype(np.float32), "y": rng.integers(0, classes, shape[0])}
        dims = {"N": shape[0]}
        whole = peak_bytes(step, dims)
        first, peak, base = measured(step, feeds)
        print(f"{build.__name__:14} {1:6.0%} {whole:12,} {peak:12,} {0:6} {1:6.2f}")
        for share in SHARES:
            try:
                found = recomputed(step, int(share * whole), dims)
            except ValueError as e:
                print(f"{build.__name__:14} {share:6.0%}  {e}")
                continue
            made, peak, seconds = measured(found.model, feeds)
            assert all(np.array_equal(first[k], made[k]) for k in first)
            print(f"{build.__name__:14} {share:6.0%} {found.peak:12,} {peak:12,} {found.nodes:6} {seconds / base:6.2f}")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
