"""Operators that ONNX Runtime has in the default domain and the standard has not: as it runs them, in files, and differentiated."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir
from graphir import check_gradient
from graphir.ops import CONTRIBUTED, OPS

RNG = np.random.default_rng(0)


class Row(NamedTuple):
    """A node: its operator, its inputs, its attributes; the opset of the file; what it is compared with, by default ONNX Runtime."""

    op: str
    inputs: dict[str, np.ndarray]
    attributes: dict[str, Any] | None = None
    outputs: int = 1
    opset: int = 8
    domain: str = ""
    tolerance: float = 1e-5


def floats(*shape: int, dtype: Any = "float32") -> np.ndarray:
    return RNG.uniform(-2, 2, shape).astype(dtype)


RMS = "SimplifiedLayerNormalization"
ROWS = [
    Row(RMS, {"x": floats(2, 3, 8), "scale": floats(8)}, {"axis": -1, "epsilon": 1e-6, "stash_type": 1}, opset=17),
    Row(RMS, {"x": floats(2, 3, 8), "scale": floats(8)}, {}, 2, opset=12),
    Row(RMS, {"x": floats(2, 3, 8), "scale": floats(3, 8)}, {"axis": 1, "epsilon": 0.1}, 2, opset=21),
    Row(RMS, {"x": floats(2, 8, dtype="float64"), "scale": floats(8, dtype="float64")}, {"epsilon": 1e-6}, opset=17, tolerance=1e-9),
    Row(RMS, {"x": floats(2, 8, dtype="float16"), "scale": floats(8, dtype="float16")}, {}, opset=17, tolerance=2e-3),
    Row(RMS, {"x": floats(0, 8), "scale": floats(8)}, {}, opset=17),
    Row("Affine", {"x": floats(2, 3)}, {"alpha": 2.0, "beta": -0.5}),
    Row("Affine", {"x": floats(2, 3)}),
    Row("Scale", {"x": floats(2, 3)}, {"scale": 3.0}),
    Row("ScaledTanh", {"x": floats(2, 3)}, {"alpha": 2.0, "beta": 0.5}),
    Row("ParametricSoftplus", {"x": floats(2, 3)}, {"alpha": 2.0, "beta": 0.5}),
    Row("ImageScaler", {"x": floats(2, 3, 4, 5)}, {"scale": 0.5, "bias": [1.0, 2.0, -3.0]}),
    Row("Crop", {"x": floats(2, 3, 6, 7)}, {"border": [1, 2, 3, 1]}),
    Row("Crop", {"x": floats(2, 3, 6, 7)}, {"border": [0, 0, 0, 0]}),
    Row("Crop", {"x": floats(2, 3, 6, 7)}, {"border": [1, 2, 0, 0], "scale": [3, 4]}),
    Row("DynamicSlice", {"x": floats(4, 5), "starts": np.array([1, 0]), "ends": np.array([3, 4]), "axes": np.array([0, 1])}),
    Row("DynamicSlice", {"x": floats(4, 5), "starts": np.array([-2]), "ends": np.array([2**31 - 1])}),
]
EVERY = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.op}-{'-'.join(map(str, r.attributes or ()))}-{r.inputs['x'].dtype}")


def proto_of(row: Row, domain: str = "") -> onnx.ModelProto:
    """The node alone, with weights in place of the inputs after the first."""
    made = [f"y{i}" for i in range(row.outputs)]
    node = helper.make_node(row.op, list(row.inputs), made, name="node", domain=domain, **(row.attributes or {}))
    kind = helper.np_dtype_to_tensor_dtype(row.inputs["x"].dtype)
    dims = ["N", *row.inputs["x"].shape[1:]]
    weights = [numpy_helper.from_array(x, name) for name, x in row.inputs.items() if name != "x"]
    infos = [helper.make_tensor_value_info(name, kind if i == 0 else TensorProto.FLOAT, None) for i, name in enumerate(made)]
    opsets = [helper.make_opsetid("", row.opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, dims)], infos, weights)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def elsewhere(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return [np.asarray(y) for y in onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})]


def agree(found: dict[str, Any], expected: list[np.ndarray], tolerance: float) -> None:
    for y, want in zip(found.values(), expected, strict=True):
        assert y.dtype == want.dtype and y.shape == want.shape
        np.testing.assert_allclose(y.astype("float64"), want.astype("float64"), rtol=tolerance, atol=tolerance)


def test_all_have_rows_and_none_is_the_standards() -> None:
    assert {name for _, name in CONTRIBUTED} == {row.op for row in ROWS}
    assert not CONTRIBUTED.keys() & OPS.keys()
    assert not [name for domain, name in CONTRIBUTED if not domain and onnx.defs.has(name) and not onnx.defs.get_schema(name).deprecated]


@EVERY
def test_they_run_as_on_onnx_runtime(row: Row) -> None:
    data = proto_of(row).SerializeToString()
    x, model = row.inputs["x"], graphir.loads(data, "onnx")
    expected = elsewhere(data, x)
    for runtime in ("numpy", "onnxruntime"):
        agree(graphir.compile(model, runtime).run({"x": x}), expected, row.tolerance)
    for v, want in zip(model.outputs, expected, strict=True):
        assert v.type.dtype == want.dtype and v.type.shape is not None and len(v.type.shape) == want.ndim


@EVERY
def test_files_come_back(row: Row, tmp_path: Path) -> None:
    data = proto_of(row).SerializeToString()
    model = graphir.loads(data, "onnx")
    assert graphir.dumps(model, "onnx") == data
    graphir.save(model, tmp_path / "m.gir")
    assert graphir.dumps(graphir.load(tmp_path / "m.gir"), "onnx") == data


@EVERY
def test_gradients(row: Row) -> None:
    """Those of the inputs and weights of floats, against differences; and ONNX Runtime runs them."""
    if row.inputs["x"].dtype == np.float16 or not row.inputs["x"].size:
        return
    model = graphir.loads(proto_of(row).SerializeToString(), "onnx")
    of = [v.name for v in model.outputs]
    found = check_gradient(model, of, feeds={"x": row.inputs["x"]})
    assert found.ok, str(found)
    gradient = graphir.gradient(model, of=of, wrt="*")
    program = graphir.compile(gradient)
    feeds = {"x": row.inputs["x"]}
    feeds |= {f"seed_{name}": np.ones_like(y) for name, y in graphir.compile(model).run(feeds).items()}
    expected = program.run(feeds)
    agree(graphir.compile(gradient, "onnxruntime").run(feeds), list(expected.values()), 1e-4)


@pytest.mark.parametrize("row", [r for r in ROWS if r.op == RMS], ids=lambda r: str(r.inputs["x"].dtype))
def test_the_same_in_the_domain_of_onnx_runtime(row: Row) -> None:
    """There ONNX Runtime does not have it, and is given what it is made of."""
    data = proto_of(row, "com.microsoft").SerializeToString()
    model = graphir.loads(data, "onnx")
    expected = elsewhere(proto_of(row).SerializeToString(), row.inputs["x"])
    for runtime in ("numpy", "onnxruntime"):
        agree(graphir.compile(model, runtime).run({"x": row.inputs["x"]}), expected, row.tolerance)
    assert graphir.dumps(model, "onnx") == data


@pytest.mark.parametrize(
    ("op", "shape", "attributes", "message"),
    [
        ("Crop", (2, 3, 6), {"border": [1, 1, 1, 1]}, r"shape \[N, 3, 6\]; expected \(N, C, H, W\)"),
        ("Crop", (2, 3, 6, 6), {"border": [1, 1, 1]}, r"border is \[1, 1, 1\]"),
        ("Crop", (2, 3, 6, 6), {"border": [-1, 1, 1, 1]}, "none below zero"),
        ("ImageScaler", (2, 3, 6, 6), {"bias": [1.0]}, r"expected \(N, 1, H, W\)"),
        ("ScaledTanh", (2, 3), {"alpha": 1.0}, "attribute beta is missing"),
    ],
)
def test_what_they_cannot_take_is_said(op: str, shape: tuple[int, ...], attributes: dict[str, Any], message: str) -> None:
    model = graphir.loads(proto_of(Row(op, {"x": floats(*shape)}, attributes)).SerializeToString(), "onnx")
    with pytest.raises((ValueError, TypeError), match=rf"'node'.*{message}"):
        graphir.compile(model).run({"x": floats(*shape)})
