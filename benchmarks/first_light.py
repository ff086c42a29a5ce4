"""What a node costs: building one, running one. Beside onnx's reference evaluator and ONNX Runtime, in turns, medians, on one thread.

python benchmarks/first_light.py
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from threadpoolctl import threadpool_limits

import graphir
from graphir import Graph, Model, TensorType, ops

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


def session(data: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def build() -> None:
    """Microseconds to build a node by calling its op."""

    def layers(kind: Callable[..., object]) -> Callable[[], None]:
        def run() -> None:
            graph = Graph("g")
            v = graph.input("x", TensorType("float32", ("N", 64)))
            w, b = graph.weight("w", np.zeros((64, 64), "float32")), graph.weight("b", np.zeros(64, "float32"))
            for _ in range(NODES):
                v = kind(v, w, b)

        return run

    kinds = {
        "tanh": lambda v, w, b: ops.elementwise.tanh(v),
        "add, broadcast": lambda v, w, b: ops.elementwise.add(v, b),
        "mul by a number": lambda v, w, b: ops.elementwise.mul(v, 2.0),
        "gemm": lambda v, w, b: ops.math.gemm(v, w, b),
        "gemm, an attribute": lambda v, w, b: ops.math.gemm(v, w, b, transB=1),
    }
    for name, seconds in in_turns({name: layers(kind) for name, kind in kinds.items()}).items():
        print(f"  {name:20} {seconds / NODES * 1e6:6.2f}")


def run() -> None:
    """Microseconds a node of the chain."""
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
