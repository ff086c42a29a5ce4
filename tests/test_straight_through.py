"""Gradients through rounding to fewer bits: passed where a number is in range, none where it is cut; what computes with quantized numbers refuses."""

from typing import Any

import numpy as np
import pytest

import graphir
from graphir import GradientError, Graph, Model, TensorType, Value, ops
from graphir.dtypes import DTYPES, FLOATS
from test_gradient_models import agrees_with_onnxruntime
from test_gradients import STRAIGHT_THROUGH

QUANTIZE, DEQUANTIZE = ops.quantize.quantize_linear, ops.quantize.dequantize_linear
X = np.array([-3.0, -1.27, -0.124, 0.0, 0.36, 1.275, 1.3, 2.0], np.float32)
DY = np.arange(1, 9, dtype=np.float32)


def gradients_of(build: Any, **given: np.ndarray) -> tuple[dict[str, Any], Model]:
    """What flows to `given`, where DY flows into build(*given); and the model."""
    graph = Graph("problem")
    y = build(*(graph.input(name, TensorType("float32", [f"{name}_{i}" for i in range(x.ndim)])) for name, x in given.items()))
    graph.output(ops.elementwise.identity(y), "y")
    found = graphir.gradient(Model(graph), of="y", wrt=list(given))
    feeds = given | {"seed_y": np.broadcast_to(DY, graphir.compile(Model(graph)).run(given)["y"].shape).astype(np.float32)}
    made = graphir.compile(found).run(feeds)
    return {name: made[f"d_{name}"] for name in given}, found


def there_and_back(dtype: str, zero: float = 0, **how: Any) -> Any:
    def build(x: Value, scale: Value) -> Value:
        z = x.graph.weight("zero", np.array(zero, DTYPES[dtype]))
        return DEQUANTIZE(QUANTIZE(x, scale, z, **how), scale, z)

    return build


def test_as_in_pytorch() -> None:
    """torch 2.13: torch._fake_quantize_learnable_per_tensor_affine(x, 0.01, 3, -128, 127, 1.0)."""
    found, model = gradients_of(there_and_back("int8", 3), x=X, scale=np.array(0.01, np.float32))
    np.testing.assert_allclose(found["x"], [0, 2, 3, 4, 5, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(found["scale"], 2474.199951171875, rtol=1e-6)
    agrees_with_onnxruntime(model, {"x": X, "scale": np.array(0.01, np.float32), "seed_y": DY})


LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7), "uint4": (0, 15), "int16": (-32768, 32767), "int2": (-2, 1),
          "float8_e4m3fn": (-448, 448), "float8_e5m2": (-57344, 57344), "float8_e4m3fnuz": (-240, 240), "float4_e2m1fn": (-6, 6)}  # fmt: skip


@pytest.mark.parametrize("dtype", LIMITS)
def test_range_of(dtype: str) -> None:
    """To x flows what flows in, where it is in range; to the scale what "Learned step size quantization" has."""
    low, high = LIMITS[dtype]
    scale = np.array(1 / high, np.float32)
    found, _ = gradients_of(there_and_back(dtype), x=X, scale=scale)
    u = X / scale if DTYPES[dtype] in FLOATS else np.rint(X / scale)
    inside = (low <= u) & (u <= high)
    assert 0 < inside.sum() < len(X)
    np.testing.assert_allclose(found["x"], np.where(inside, DY, 0), rtol=1e-6)
    stored = np.clip(u, low, high).astype(DTYPES[dtype]).astype(np.float32)
    np.testing.assert_allclose(found["scale"], (DY * np.where(inside, stored - X / scale, stored)).sum(), rtol=1e-4, atol=2e-2)


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 8), (8,), {}),
    ((3, 8), (3,), {"axis": 0}),
    ((3, 8), (3, 2), {"block_size": 4}),
    ((4, 8), (2, 8), {"block_size": 2, "axis": 0}),
]


@pytest.mark.parametrize(("x", "scale", "how"), SHAPES)
def test_a_scale_for_each_part(x: tuple[int, ...], scale: tuple[int, ...], how: dict[str, Any]) -> None:
    """The gradients of the scales add up to that of one scale that is multiplied into all: what LSQ has for each element."""
    rng = np.random.default_rng(0)
    given = {"x": rng.standard_normal(x).astype(np.float32), "scale": rng.uniform(0.01, 0.02, scale).astype(np.float32)}
    found, _ = gradients_of(lambda x, s: DEQUANTIZE(QUANTIZE(x, s, output_dtype="int8", **how), s, **how), **given)
    axis, block = how.get("axis", 1), how.get("block_size", 0)
    s = given["scale"]
    wide = np.repeat(s, block, axis) if block else s.reshape([-1 if i == axis else 1 for i in range(2)])
    u = np.rint(given["x"] / wide)
    inside = np.abs(u + 0.5) <= 127.5
    each = np.broadcast_to(DY, x) * np.where(inside, u - given["x"] / wide, np.clip(u, -128, 127))
    want = each.reshape(*x[:axis], -1, block, *x[axis + 1 :]).sum(axis + 1) if block else each.sum(1 - axis)
    np.testing.assert_allclose(found["scale"], want, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found["x"], np.where(inside, np.broadcast_to(DY, x), 0), rtol=1e-6)


def code(q: Value, x: float, *shape: int) -> Value:
    """A number beside q: itself beside floats, in units of the scale beside what was quantized."""
    return q.graph.weight(q.graph.fresh("code"), np.full(shape, x if q.dtype in FLOATS else x / 0.0625, q.dtype))


# What may lie between rounding and the way back to floats.
BETWEEN: dict[str, Any] = {
    "Transpose": lambda q: ops.shape.transpose(q, perm=(1, 0)),
    "Reshape": lambda q: ops.shape.reshape(q, [-1, 2]),
    "Gather": lambda q: ops.index.gather(q, [1, 0, 1]),
    "Slice": lambda q: ops.shape.slice_(q, [0], [1], [0]),
    "Concat": lambda q: ops.shape.concat(q, q, axis=0),
    "Clip": lambda q: ops.elementwise.clip(q, code(q, 0.25), code(q, 0.75)),
    "Max": lambda q: ops.elementwise.max_(q, code(q, 0.5)),
    "Min": lambda q: ops.elementwise.min_(q, code(q, 0.5), ops.index.gather(q, [1, 0])),
    "ReduceMax": lambda q: ops.reduce.reduce_max(q, [1]),
    "ReduceMin": lambda q: ops.reduce.reduce_min(q, [0], keepdims=0),
    "ScatterElements": lambda q: ops.index.scatter_elements(q, np.array([[1, 0, 1, 0]]), code(q, 0.5, 1, 4), reduction="max"),
    "Relu": ops.activation.relu,
    "MaxPool": lambda q: ops.shape.squeeze(ops.nn.max_pool(ops.shape.unsqueeze(q, [0]), kernel_shape=(2,))[0], [0]),
}


MOVES = [
    *((name, dtype) for name in BETWEEN for dtype in ("int8", "uint8") if (name, dtype) != ("Relu", "uint8")),
    ("Transpose", "float8_e4m3fn"),
    ("Reshape", "float8_e4m3fn"),
]


@pytest.mark.parametrize(("name", "dtype"), MOVES)
def test_what_moves_quantized_numbers_passes_gradients(name: str, dtype: str) -> None:
    x = np.array([[0.5, 0.25, 0.125, 0.75], [0.0625, 1.0, 0.875, 0.375]], np.float32)
    s = np.array(0.0625 if "int" in dtype else 1.0, np.float32)

    def build(x: Value, scale: Value) -> Value:
        zero = x.graph.weight("zero", np.zeros((), DTYPES[dtype]))
        return DEQUANTIZE(BETWEEN[name](QUANTIZE(x, scale, zero)), scale)

    graph = Graph("plain")
    value = graph.input("x", TensorType("float32", (2, 4)))
    graph.output(BETWEEN[name](value), "y")
    plain = graphir.gradient(Model(graph), of="y", wrt="x")
    seed = np.random.default_rng(0).standard_normal(graphir.compile(Model(graph)).run({"x": x})["y"].shape).astype(np.float32)
    want = graphir.compile(plain).run({"x": x, "seed_y": seed})["d_x"]
    graph = Graph("quantized")
    value = graph.input("x", TensorType("float32", (2, 4)))
    graph.output(build(value, graph.weight("s", s)), "y")
    found = graphir.gradient(Model(graph), of="y", wrt="x")
    np.testing.assert_allclose(graphir.compile(found).run({"x": x, "seed_y": seed})["d_x"], want, rtol=1e-6)


def test_in_a_body_and_around_one() -> None:
    """Rounding inside a branch is passed; a quantized number that a branch reads from outside is refused."""
    for inside in (True, False):
        graph = Graph("problem")
        x, s = graph.input("x", TensorType("float32", (8,))), graph.weight("s", np.array(0.25, np.float32))
        cond = graph.input("cond", TensorType("bool", ()))
        q = None if inside else QUANTIZE(x, s, output_dtype="int8")
        then, other = Graph("then", graph), Graph("else", graph)
        with then:
            then.output(DEQUANTIZE(QUANTIZE(x, s, output_dtype="int8") if q is None else q, s))
        with other:
            other.output(ops.elementwise.neg(x))
        graph.output(ops.control.if_(cond, then_branch=then, else_branch=other)[0], "y")
        if inside:
            found = graphir.compile(graphir.gradient(Model(graph), of="y", wrt="x"))
            np.testing.assert_allclose(found.run({"x": X, "cond": True, "seed_y": DY})["d_x"], DY)
            np.testing.assert_allclose(found.run({"x": X, "cond": False, "seed_y": DY})["d_x"], -DY)
        else:
            with pytest.raises(GradientError, match=r"enters a body of If .* dequantize it first"):
                graphir.gradient(Model(graph), of="y", wrt="x")


def test_dynamic_quantization() -> None:
    """The scale and the zero point count as constants, and nothing is cut."""

    def build(x: Value) -> Value:
        return DEQUANTIZE(*ops.quantize.dynamic_quantize_linear(x))

    found, model = gradients_of(build, x=X)
    np.testing.assert_allclose(found["x"], DY, rtol=1e-6)
    agrees_with_onnxruntime(model, {"x": X, "seed_y": DY})


def test_dequantization_is_exact() -> None:
    """With respect to the scale, and to x where x holds floats."""
    x, s = np.array([1.5, -2.0, 448.0, 0.25] * 2).astype(DTYPES["float8_e4m3fn"]), np.array(0.5, np.float32)
    graph = Graph("problem")
    a, b = graph.input("x", TensorType(x.dtype, (8,))), graph.input("s", TensorType("float32", ()))
    graph.output(DEQUANTIZE(a, b), "y")
    made = graphir.compile(graphir.gradient(Model(graph), of="y")).run({"x": x, "s": s, "seed_y": DY})
    np.testing.assert_array_equal(made["d_x"], 0.5 * DY)
    assert made["d_x"].dtype == np.float32
    np.testing.assert_allclose(made["d_s"], (x.astype(np.float32) * DY).sum(), rtol=1e-6)


CASTS = [
    ("float8_e4m3fn", 448.0, 1),
    ("float8_e5m2", 57344.0, 1),
    ("float8_e5m2", np.inf, 0),
    ("float8_e4m3fnuz", 240.0, 1),
    ("float4_e2m1fn", 6.0, 1),
]


@pytest.mark.parametrize(("to", "largest", "saturate"), CASTS)
def test_casts_to_few_bits(to: str, largest: float, saturate: int) -> None:
    x = np.array([-1e6, -0.3, 0.0, 1.1, 5.9, 7.0, 300.0, 1e5], np.float32)
    for like in (False, True):

        def build(x: Value, like: bool = like) -> Value:
            target = x.graph.weight("like", np.zeros(1, DTYPES[to]))
            y = ops.elementwise.cast_like(x, target, saturate=saturate) if like else ops.elementwise.cast(x, to=to, saturate=saturate)
            return ops.elementwise.cast(y, to="float32")

        found, _ = gradients_of(build, x=x)
        np.testing.assert_array_equal(found["x"], np.where(np.abs(x) <= largest, DY, 0))


def test_casts_to_whole_numbers_stop() -> None:
    with pytest.raises(GradientError, match="no path"):
        gradients_of(lambda x: ops.elementwise.cast(ops.elementwise.cast(x, to="int8"), to="float32"), x=X)


def by_hand(x: Value) -> Value:
    """Cast and multiplied, in place of DequantizeLinear."""
    return ops.elementwise.mul(
        ops.elementwise.cast(QUANTIZE(x, x.graph.weight("s", np.array(0.25, np.float32)), output_dtype="int16"), to="float32"), 0.25
    )


def test_dequantized_by_hand() -> None:
    np.testing.assert_allclose(gradients_of(by_hand, x=X)[0]["x"], DY)


def matrix(x: Value) -> Value:
    return QUANTIZE(
        ops.shape.reshape(x, [2, 4]), x.graph.weight("s", np.array(0.25, np.float32)), x.graph.weight("z", np.zeros((), np.uint8))
    )


def eight(graph: Graph, *shape: int) -> Value:
    return graph.weight("w8", np.ones(shape, np.uint8))


def number(graph: Graph, x: Any) -> Value:
    return graph.weight(graph.fresh("n"), np.array(x))


def linear(g: Graph) -> Any:
    return [number(g, np.float32(0.25)), number(g, np.uint8(0))]


QLINEAR_MATMUL: Any = ops.quantize.qlinear_matmul
QLINEAR_CONV: Any = ops.quantize.qlinear_conv
REFUSED: dict[str, Any] = {
    "MatMulInteger": lambda x: ops.math.matmul_integer(matrix(x), eight(x.graph, 4, 3)),
    "ConvInteger": lambda x: ops.quantize.conv_integer(ops.shape.unsqueeze(matrix(x), [0]), eight(x.graph, 3, 2, 2)),
    "QLinearMatMul": lambda x: QLINEAR_MATMUL(
        matrix(x),
        *linear(x.graph),
        eight(x.graph, 4, 3),
        *linear(x.graph),
        *linear(x.graph),
    ),
    "QLinearConv": lambda x: QLINEAR_CONV(
        ops.shape.unsqueeze(matrix(x), [0]),
        *linear(x.graph),
        eight(x.graph, 3, 2, 2),
        *linear(x.graph),
        *linear(x.graph),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_computes_with_quantized_numbers_is_refused(name: str) -> None:
    with pytest.raises(GradientError, match=f"{name} of node .* dequantize first"):
        gradients_of(lambda x: ops.elementwise.cast(REFUSED[name](x), to="float32"), x=X)


def test_every_straight_through_op_is_tested_here() -> None:
    assert set(STRAIGHT_THROUGH) == {"QuantizeLinear", "DynamicQuantizeLinear", *REFUSED}
