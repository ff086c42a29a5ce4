"""The check of gradients against differences, and the widening of models to double precision that it stands on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, Value, ops
from graphir.cli import main
from graphir.ops import Operator
from graphir.ops._gradient import shaped_as
from graphir.ops._op import T, op
from graphir.passes.infer import infer
from graphir.passes.widen import widen
from test_gradient_models import X, chain, with_op


@op("Crooked", since=1, domain="com.example", T=frozenset([np.dtype("float32"), np.dtype("float64")]))
def crooked(x: T) -> TensorType:
    """x * x, with a gradient that is wrong by one in a thousand."""
    return x.type


@crooked.kernel
def crooked_kernel(xp: Any, x: Any) -> Any:
    return x * x


@crooked.gradient
def crooked_gradient(dy: Value, y: Value, x: Value) -> Value:
    return ops.elementwise.mul(dy, ops.elementwise.mul(x, 2.002))


def test_a_wrong_gradient_is_found() -> None:
    report = graphir.check_gradient(with_op(crooked))
    assert not report.ok
    assert [row.wrt for row in report.rows if not row.ok] == ["x"]
    assert 5e-4 < report.rows[0].error < 2e-3
    assert "WRONG" in str(report)


@op("Shrunk", since=1, domain="com.example", T=frozenset([np.dtype("float32"), np.dtype("float64")]))
def shrunk(x: T) -> TensorType:
    """x * x, with a gradient that has lost an axis, and whose type does not say so."""
    return x.type


@shrunk.kernel
def shrunk_kernel(xp: Any, x: Any) -> Any:
    return x * x


@shrunk.gradient
def shrunk_gradient(dy: Value, y: Value, x: Value) -> Value:
    return shaped_as(ops.reduce.reduce_sum(ops.elementwise.mul(dy, ops.elementwise.mul(x, 2.0)), [-1]), x)


def test_a_gradient_of_another_shape_is_found() -> None:
    graph = Graph("shrunk")
    graph.output(shrunk(graph.input("x", TensorType("float32", (2, 3)))), "y")
    report = graphir.check_gradient(Model(graph))
    (row,) = report.rows
    assert not report.ok and row.note.startswith("its shape is [2, 1], expected [2, 3]") and f"WRONG {row.note}" in str(report)


def test_the_check_draws_what_it_is_not_given() -> None:
    model = chain()
    report = graphir.check_gradient(model)
    assert report.ok and report.of == ["loss"] and [row.wrt for row in report.rows] == ["x", "w", "b"]
    assert graphir.check_gradient(model) == report != graphir.check_gradient(model, seed=1)
    assert graphir.check_gradient(model, feeds={"x": X.astype(np.float16)}).ok
    with pytest.raises(ValueError, match="no input 'z'; the inputs are x"):
        graphir.check_gradient(model, feeds={"z": X})


def test_the_check_draws_the_same_random_numbers_each_time() -> None:
    graph = Graph("dropout")
    x = graph.input("x", TensorType("float32", ("N", 8)))
    y, _ = ops.normalization.dropout(ops.elementwise.exp(x), 0.5, True)
    graph.output(y, "y")
    assert graphir.check_gradient(Model(graph)).ok


# ---- double precision ---------------------------------------------------------------------------------------------------------------


def test_widened_models_compute_in_double_precision() -> None:
    """Constants by attribute, casts, scan bodies, sequences, what an attribute that is not given means, and what takes or makes float32 alone."""
    graph = Graph("mixed")
    x = graph.input("x", TensorType("float32", (2, 3)))
    half = ops.elementwise.cast(x, to="float16").named("half")
    k = ops.create.constant(graph, value_floats=(1.0, 2.0, 3.0))
    zeros = ops.create.constant_of_shape(graph.number([2, 3], np.dtype("int64"))).named("zeros")
    total = ops.elementwise.sum_(ops.elementwise.cast(half, to="float32"), ops.elementwise.mul(x, k), zeros)
    body = ops.control.body_in(graph)
    state, element = (body.input(n, TensorType("float32", (3,))) for n in ("state", "element"))
    ops.control.yields(body, ops.elementwise.add(state, element), ops.elementwise.tanh(state))
    last, every = ops.control.scan(ops.elementwise.exp(k), total, body=body, num_scan_inputs=1)
    bigger = ops.resize.resize(ops.shape.reshape(every, [1, 1, 2, 3]), None, np.array([1, 1, 2, 2], np.float32), mode="linear")
    some, _ = ops.normalization.dropout(bigger, 0.25, graph.input("train", TensorType("bool", ())))
    boxes = ops.shape.reshape(total, [1, 1, 6])
    chosen = ops.index.non_max_suppression(ops.shape.slice_(boxes, [0], [4], [2]), ops.shape.slice_(boxes, [4], [5], [2]), 1)
    pair = ops.sequence.sequence_insert(ops.sequence.sequence_empty(graph), last)
    for name, v in {"last": ops.sequence.sequence_at(pair, 0), "some": some, "chosen": chosen}.items():
        graph.output(v, name)
    model = Model(graph)
    wide = widen(model)
    assert not infer(wide)
    narrow = {
        v.name for g in wide.graphs() for v in g.values() if isinstance(v.type, TensorType) and v.type.dtype in (np.float16, np.float32)
    }
    kept = {
        v.name
        for node in wide.graph.nodes
        if node.op.name in ("Resize", "Dropout", "NonMaxSuppression")
        for v in node.inputs[1:]
        if v is not None
    }
    assert narrow - kept == {
        v.name for node in wide.graph.nodes if node.op.name == "NonMaxSuppression" for v in node.inputs[:1] if v is not None
    }
    at = {"x": np.array([[0.5, -1, 2], [1, 0.25, -2]], np.float32), "train": np.array(False)}
    made, expected = graphir.compile(wide).run(at | {"x": at["x"].astype(np.float64)}), graphir.compile(model).run(at)
    assert {n: x.dtype.name for n, x in made.items()} == {"last": "float64", "some": "float64", "chosen": "int64"}
    for name in expected:
        np.testing.assert_allclose(made[name], expected[name], rtol=1e-5)


def test_an_output_that_changes_its_shape() -> None:
    graph = Graph("steps")
    graph.output(ops.create.range_(0.0, graph.input("end", TensorType("float32", ())), 1.0), "numbers")
    graph.output(ops.elementwise.mul(graph.outputs[0], graph.inputs[0]), "y")
    feeds = {"end": np.float32(3)}
    report = graphir.check_gradient(Model(graph), of="y", feeds=feeds, seed=5)
    assert all(r.ok or r.note == "an output has another shape a small step away" for r in report.rows)
    assert graphir.check_gradient(Model(graph), of="y", feeds={"end": np.float32(2.5)}).ok


def test_small_floats_are_not_checked() -> None:
    """No difference can be taken of numbers that are stored in 8 bits; the gradients beside them are checked."""
    graph = Graph("small")
    x, w = graph.input("x", TensorType("float32", (3,))), graph.weight("w", np.array([0.5, 1, 2], "float8_e4m3fn"))
    graph.output(ops.reduce.reduce_sum(ops.elementwise.mul(x, ops.elementwise.cast(w, to="float32")), keepdims=0), "loss")
    report = graphir.check_gradient(Model(graph), wrt=["x", "w"])
    assert report.ok and [(row.wrt, row.checked, row.note) for row in report.rows] == [
        ("x", True, ""), ("w", False, "float8_e4m3fn knows no small steps")
    ]  # fmt: skip
    assert "nothing to check: float8_e4m3fn knows" in str(report)


@pytest.mark.parametrize(("n", "m", "checked"), [(2, 3, ["x", "w"]), (0, 3, []), (2, 0, ["x"])])
def test_what_is_empty_is_not_checked(n: int, m: int, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty sum is 0 whatever the gradient says."""
    graph = Graph("empty")
    x, w = graph.input("x", TensorType("float32", ("N", 3))), graph.input("w", TensorType("float32", (m,)))
    graph.output(ops.elementwise.add(x, ops.reduce.reduce_sum(w)), "y")
    report = graphir.check_gradient(Model(graph), feeds={"x": np.ones((n, 3))})
    assert [row.wrt for row in report.rows if row.checked] == checked
    assert report.ok == bool(checked) and str(report).count("nothing to check") == 2 - len(checked)
    graphir.save(Model(graph), tmp_path / "m.onnx")
    assert main(["gradcheck", str(tmp_path / "m.onnx"), "--dim", f"N={n}", "--input", f"x=zeros:{n}x3"]) == (0 if checked else 1)
    assert ("y: nothing could be checked" in capsys.readouterr().out) == (not checked)


def test_a_point_on_a_kink_is_left() -> None:
    """A gradient that is right by convention is not called wrong; one that is wrong still is."""
    graph = Graph("kink")
    x = graph.input("x", TensorType("float32", (3,)))
    graph.output(ops.activation.relu(x), "y")
    assert graphir.check_gradient(Model(graph), feeds={"x": np.zeros(3)}).ok
    assert not graphir.check_gradient(with_op(crooked), feeds={"x": np.zeros(3)}).ok


def test_a_gradient_that_is_zero_agrees_with_one_that_is() -> None:
    """The sum of a softmax does not change: what differences show is noise."""
    graph = Graph("constant")
    x = graph.input("x", TensorType("float32", (5,)))
    graph.output(ops.reduce.reduce_sum(ops.activation.softmax(x), keepdims=0), "y")
    (row,) = graphir.check_gradient(Model(graph)).rows
    assert row.ok and abs(row.gradient) < 1e-12


def test_what_a_foreign_node_makes_is_told_where_other_operators_would_read_it() -> None:
    """Those that take the place of LinearAttention in double precision ask for its type."""
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", (1, 2, 4)))
    foreign = graph.append(Operator("com.x", "Frobnicate"), (x,), {}, [None], "frob").outputs[0]
    attended = ops.lookup("", "LinearAttention")
    graph.append(attended, (x, x, foreign), {"q_num_heads": 1, "kv_num_heads": 1}, [None, None], "attended")
    graph.output(ops.elementwise.exp(x), "y")
    with pytest.raises(TypeError, match=r"com\.x\.Frobnicate of frob: no such operator is declared"):
        graphir.check_gradient(Model(graph), "y", "x")
