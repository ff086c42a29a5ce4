"""Element types that NumPy lacks on ONNX Runtime: bfloat16, float8, and those of which a byte holds several, as weights, inputs, results and states."""

from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnxruntime
import pytest

import graphir
from bodies import branches
from graphir import Graph, Model, TensorType, Value, ops

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 64)).astype("float32")
POWERS = ("float8_e8m0fnu",)  # which hold powers of two alone
FLOATS = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", *POWERS)
PACKED = ("int4", "uint4", "int2", "uint2")


def numbers(dtype: str, *shape: int) -> np.ndarray:
    """Such as a type has, negative ones where it has those."""
    low, high = (-2, 2) if dtype == "int2" else (-8, 8) if dtype == "int4" else (0, 4)
    found = RNG.integers(low, high, shape).astype("float32")
    return (2.0 ** (found - 1) if dtype in POWERS else found).astype(getattr(ml_dtypes, dtype))


def wide(x: Value) -> Value:
    return ops.elementwise.cast(x, to="float32")


def times(weight: Callable[[Graph, Value], Value]) -> Model:
    """x @ weight. A weight of so many numbers goes by reference."""
    graph = Graph("types")
    x = graph.input("x", TensorType("float32", ("N", 64)))
    graph.output(ops.math.matmul(x, weight(graph, x)), "y")
    return Model(graph)


def scaled(w: Value, blocks: bool = False) -> Value:
    """A quantized weight as numbers: one scale, or one for each block of 32 rows and each column."""
    scale = RNG.uniform(0.5, 1, (2, w.shape[1]) if blocks else ()).astype("float32")  # pyright: ignore[reportArgumentType, reportCallIssue]
    return ops.quantize.dequantize_linear(w, scale, axis=0, block_size=32) if blocks else ops.quantize.dequantize_linear(w, scale)


WEIGHTS: dict[str, Callable[[str], Model]] = {
    "cast": lambda d: times(lambda g, x: wide(g.weight("w", numbers(d, 64, 64)))),
    "small": lambda d: times(lambda g, x: wide(g.weight("w", numbers(d, 64, 3)))),
    "no whole bytes": lambda d: times(lambda g, x: wide(g.weight("w", numbers(d, 64, 65)))),
    "default": lambda d: times(lambda g, x: wide(g.default(g.input("w", TensorType(d, (64, 64))), numbers(d, 64, 64)))),
    "twice": lambda d: times(
        lambda g, x: ops.elementwise.add(wide(w := g.weight("w", numbers(d, 64, 64))), ops.elementwise.mul(wide(w), 2.0))
    ),
    "in a branch": lambda d: times(
        lambda g, x: ops.control.if_(  # pyright: ignore[reportArgumentType]
            ops.logic.greater(ops.reduce.reduce_sum(x, keepdims=0), 1e9),
            **branches(x, lambda: wide(g.weight("v", numbers(d, 64, 64))), lambda: wide(g.weight("w", numbers(d, 64, 64)))),
        )[0]
    ),
}
QUANTIZED: dict[str, Callable[[str], Model]] = {
    "one scale": lambda d: times(lambda g, x: scaled(g.weight("w", numbers(d, 64, 64)))),
    "blocks": lambda d: times(lambda g, x: scaled(g.weight("w", numbers(d, 64, 64)), blocks=True)),
    "no whole bytes": lambda d: times(lambda g, x: scaled(g.weight("w", numbers(d, 64, 65)))),
    "small": lambda d: times(lambda g, x: scaled(g.weight("w", numbers(d, 64, 3)))),
    "in a branch": lambda d: in_a_branch(d),
}


def in_a_branch(dtype: str) -> Model:
    """The weight lies outside of the branch that multiplies by it."""
    graph = Graph("types")
    x, w = graph.input("x", TensorType("float32", ("N", 64))), graph.weight("w", numbers(dtype, 64, 64))
    taken = ops.logic.less(ops.reduce.reduce_sum(x, keepdims=0), 1e9)
    graph.output(ops.control.if_(taken, **branches(x, lambda: ops.math.matmul(x, scaled(w)), lambda: x))[0], "y")
    return Model(graph)


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
@pytest.mark.parametrize("role", WEIGHTS)
def test_weights(role: str, dtype: str) -> None:
    model = WEIGHTS[role](dtype)
    expected = graphir.compile(model).run({"x": X})["y"]
    program = graphir.compile(model, "onnxruntime")
    for p in (program, program.clone()):
        np.testing.assert_allclose(p.run({"x": X})["y"], expected, rtol=1e-5, atol=1e-4)
    if role in ("cast", "default"):
        assert program.run({"x": X}, ["w"])["w"].tobytes() == model.weights["w"].tensor.array.tobytes()  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]


@pytest.mark.parametrize("dtype", PACKED)
@pytest.mark.parametrize("role", QUANTIZED)
def test_quantized_weights(role: str, dtype: str) -> None:
    """What ONNX Runtime makes of the file: what weights of 4 bits are multiplied by it rounds to 8 bits. Those of 2 bits it gets wrong, if it is let."""
    model = QUANTIZED[role](dtype)
    found = graphir.compile(model, "onnxruntime").run({"x": X})["y"]
    expected = graphir.compile(model).run({"x": X})["y"]
    np.testing.assert_allclose(found, expected, atol=(1e-5 if dtype.endswith("2") else 0.02) * np.abs(expected).max())
    if role != "in a branch":
        session = onnxruntime.InferenceSession(graphir.dumps(model, "onnx"), providers=["CPUExecutionProvider"])
        assert dtype.endswith("2") or np.array_equal(found, np.asarray(session.run(None, {"x": X})[0]))


@pytest.mark.parametrize("dtype", [*FLOATS, *PACKED])
def test_inputs_results_and_states(dtype: str) -> None:
    """A state is read, set, moved by a run and taken along by a clone in its own type."""
    graph = Graph("states")
    x, y = graph.input("x", TensorType("float32", (7,))), graph.input("y", TensorType(dtype, ("N",)))
    w = graph.weight("w", numbers(dtype, 7), "state")
    graph.output(ops.elementwise.add(wide(w), wide(y)), "sum")
    moved = ops.elementwise.cast(x, to=dtype)
    graph.output(moved, "moved")
    model = Model(graph)
    model.update(w, moved)
    programs = [graphir.compile(model, runtime) for runtime in ("numpy", "onnxruntime")]
    for program in (*programs, *(p.clone() for p in programs)):
        for feeds in ({"x": numbers(dtype, 7).astype("float32"), "y": numbers(dtype, 7)} for _ in range(3)):
            before = program.state["w"]
            made = program.run(feeds)
            assert made["moved"].dtype == before.dtype == getattr(ml_dtypes, dtype)
            assert np.array_equal(made["sum"], before.astype("float32") + feeds["y"].astype("float32"))
            for after in (made["moved"], program.state["w"], program.clone().state["w"]):
                assert np.array_equal(after.astype("float32"), feeds["x"])
            program.state["w"] = numbers(dtype, 7)


def test_what_it_lacks_is_refused_by_name() -> None:
    """ONNX Runtime has tensors of float4, and no operator for them."""
    with pytest.raises(TypeError, match=r"'cast' \(Cast\): Could not find an implementation"):
        graphir.compile(WEIGHTS["cast"]("float4_e2m1fn"), "onnxruntime")
