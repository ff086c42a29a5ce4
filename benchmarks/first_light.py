"""What a node costs: building one, running one. Beside onnx's reference evaluator and ONNX Runtime, in turns, medians, on one thread.

python benchmarks/first_light.py
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import graphir
from graphir import Graph, Model, TensorType, Value, ops

NODES = 1000
EXPORTS = Path(__file__).parent.parent / "tests/data/torch"


def chain() -> Model:
    """1000 additions of 4 numbers."""
    graph = Graph("chain")
    x = v = graph.input("x", TensorType("float32", (4,)))
    for _ in range(NODES):
        v = ops.elementwise.add(v, x)
    graph.output(v, "y")
    return Model(graph)


def in_turns(runs: dict[str, Callable[[], object]], times: int = 15) -> dict[str, float]:
    """The median seconds of each, taken in turns so that a machine that slows down slows all of them."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(times + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first turn warms up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def session(data: bytes) -> Any:
    """ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def perceptron(graph: Graph) -> Value:
    """Layers of Gemm, Tanh."""
    v = graph.input("x", TensorType("float32", ("N", 64)))
    w, b = graph.weight("w", np.zeros((64, 64), "float32")), graph.weight("b", np.zeros(64, "float32"))
    while len(graph.nodes) < NODES:
        v = ops.elementwise.tanh(ops.math.gemm(v, w, b, transB=1))
    return v


def residual(graph: Graph) -> Value:
    """Blocks of Conv, BatchNormalization, Relu, Conv, BatchNormalization, Add, Relu."""
    v = graph.input("x", TensorType("float32", ("N", 16, 32, 32)))
    w, b = graph.weight("w", np.zeros((16, 16, 3, 3), "float32")), graph.weight("b", np.zeros(16, "float32"))

    def convolved(v: Value) -> Value:
        return ops.normalization.batch_normalization(ops.nn.conv(v, w, pads=(1, 1, 1, 1)), b, b, b, b)[0]

    while len(graph.nodes) < NODES:
        v = ops.activation.relu(ops.elementwise.add(convolved(ops.activation.relu(convolved(v))), v))
    return v


def encoder(graph: Graph) -> Value:
    """Layers of a transformer encoder: attention written out, two LayerNormalizations, Gelu."""
    v = graph.input("x", TensorType("float32", ("N", "T", 64)))
    w, b = graph.weight("w", np.zeros((64, 64), "float32")), graph.weight("b", np.zeros(64, "float32"))
    add, matmul, mul, reshape, transpose = ops.elementwise.add, ops.math.matmul, ops.elementwise.mul, ops.shape.reshape, ops.shape.transpose

    def linear(v: Value) -> Value:
        return add(matmul(v, w), b)

    def heads(v: Value, perm: tuple[int, ...]) -> Value:
        return transpose(reshape(linear(v), [0, 0, 4, 16]), perm=perm)

    while len(graph.nodes) < NODES:
        q, k, values = heads(v, (0, 2, 1, 3)), heads(v, (0, 2, 3, 1)), heads(v, (0, 2, 1, 3))
        met = matmul(ops.activation.softmax(mul(matmul(q, k), 0.25), axis=-1), values)
        v = ops.normalization.layer_normalization(add(linear(reshape(transpose(met, perm=(0, 2, 1, 3)), [0, 0, 64])), v), b, b)[0]
        v = ops.normalization.layer_normalization(add(linear(ops.activation.gelu(linear(v))), v), b, b)[0]
    return v


# Single operators, whose cost tells where that of the networks comes from.
CALLS: dict[str, Callable[[Value, Value, Value], Value]] = {
    "Tanh": lambda v, w, b: ops.elementwise.tanh(v),
    "Add, broadcasting": lambda v, w, b: ops.elementwise.add(v, b),
    "Mul by a number": lambda v, w, b: ops.elementwise.mul(v, 2.0),
    "Clip by two numbers": lambda v, w, b: ops.elementwise.clip(v, 0.0, 6.0),
    "Gemm": lambda v, w, b: ops.math.gemm(v, w, b),
    "Gemm, an attribute": lambda v, w, b: ops.math.gemm(v, w, b, transB=1),
    "ReduceMean": lambda v, w, b: ops.reduce.reduce_mean(v, [0], keepdims=1),
}


def repeated(call: Callable[[Value, Value, Value], Value]) -> Callable[[Graph], Value]:
    """A chain of one operator."""

    def build(graph: Graph) -> Value:
        v = graph.input("x", TensorType("float32", ("N", 64)))
        w, b = graph.weight("w", np.zeros((64, 64), "float32")), graph.weight("b", np.zeros(64, "float32"))
        while len(graph.nodes) < NODES:
            v = call(v, w, b)
        return v

    return build


def build() -> None:
    """Microseconds to build a node by calling its op, where neither onnx nor ONNX Runtime is loaded: the more a process holds, the longer Python's collector takes."""
    networks = {"perceptron": perceptron, "residual network": residual, "transformer encoder": encoder}
    networks |= {f"  {name}": repeated(call) for name, call in CALLS.items()}
    for name, seconds in in_turns({name: lambda f=f: f(Graph("g")) for name, f in networks.items()}).items():
        print(f"  {name:24} {seconds / NODES * 1e6:6.2f}")


def run() -> None:
    """Microseconds a node of the chain."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = chain()
    data = graphir.dumps(model, format="onnx")
    feeds = {"x": np.ones(4, "float32")}
    program, other, reference = graphir.compile(model), session(data), ReferenceEvaluator(onnx.load_from_string(data))
    runs = {
        "graphir": lambda: program.run(feeds),
        "ONNX Runtime": lambda: other.run(None, feeds),
        "onnx.reference": lambda: reference.run(None, feeds),
    }
    for name, seconds in in_turns(runs).items():
        print(f"  {name:20} {seconds / NODES * 1e6:6.2f}")


def exports() -> None:
    """Models exported by PyTorch: graphir's time as a multiple of ONNX Runtime's."""
    for path in sorted(EXPORTS.glob("*_dynamo_fixed.onnx")):
        model = graphir.load(path)
        rng = np.random.default_rng(0)
        feeds = {}
        for v in model.inputs:
            shape = [int(str(d)) for d in v.shape]
            feeds[v.name] = (rng.integers(0, 3, shape) if v.dtype.kind in "iu" else rng.standard_normal(shape)).astype(v.dtype)
        program, other = graphir.compile(model), session(path.read_bytes())
        seconds = in_turns({"graphir": lambda p=program, f=feeds: p.run(f), "other": lambda o=other, f=feeds: o.run(None, f)})
        print(f"  {path.stem:28} {seconds['graphir'] * 1e3:8.3f} ms {seconds['graphir'] / seconds['other']:8.2f}")


if __name__ == "__main__":
    with threadpool_limits(1):
        print(f"building, us a node (graphs of {NODES})")
        build()
        print(f"running, us a node (a chain of {NODES} additions of 4 numbers)")
        run()
        print("exports of PyTorch: time, and as a multiple of ONNX Runtime's")
        exports()
