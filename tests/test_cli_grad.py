"""`graphir grad` with marks, ties and tangents."""

from pathlib import Path

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, ops
from graphir.cli import main


@pytest.fixture
def model(tmp_path: Path) -> str:
    """y = round(4 x) + max pool of x."""
    graph = Graph("model")
    x = graph.input("x", TensorType("float32", (1, 1, 4)))
    r = ops.elementwise.round_(ops.elementwise.mul(x, 4.0).named("four")).named("r")
    pooled = ops.nn.max_pool(x, kernel_shape=(2,), strides=(2,))[0].named("pooled")
    graph.output(ops.elementwise.add(ops.reduce.reduce_sum(r, keepdims=0), ops.reduce.reduce_sum(pooled, keepdims=0)), "y")
    graphir.save(Model(graph), tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


ROWS: list[tuple[str, list[float]]] = [
    ("", [1, 0, 0, 1]),
    ("--ties even", [0.5, 0.5, 0, 1]),
    ("--straight-through r", [5, 4, 4, 5]),
    ("--straight-through r --scale four=0.5", [3, 2, 2, 3]),
    ("--scale p*=3 --scale x=2", [6, 0, 0, 6]),
    ("--straight-through r --stop pooled", [4, 4, 4, 4]),
]


@pytest.mark.parametrize(("options", "expected"), ROWS)
def test_marks(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, expected: list[float]) -> None:
    out = str(tmp_path / "out.onnx")
    assert main(["grad", model, out, *options.split()]) == 0
    assert "d_x" in capsys.readouterr().out
    x = np.array([[[1, 1, 0, 2]]], np.float32)
    np.testing.assert_array_equal(graphir.compile(graphir.load(out)).run({"x": x})["d_x"], [[expected]])


def test_forward(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.onnx")
    assert main(["grad", model, out, "--forward", "--of", "y", "--wrt", "x"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said] == [["input", "v_x"], ["output", "t_y"]]
    x = np.array([[[1, 1, 0, 2]]], np.float32)
    assert graphir.compile(graphir.load(out)).run({"x": x, "v_x": x})["t_y"] == 3


WRONG = [
    ("--forward --stop x", "--forward goes with"),
    ("--scale x", "names nothing"),
    ("--scale x=y", "ends in no finite number"),
    ("--scale x=nan", "ends in no finite number"),
    ("--stop q", "no value 'q'"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_is_refused(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, words: str) -> None:
    assert main(["grad", model, str(tmp_path / "out.onnx"), *options.split()]) != 0
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


def test_what_is_left_out_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, by reasons; gradcheck tells marks apart from what is wrong."""
    graph = Graph("model")
    x = graph.input("x", TensorType("float32", (2, 3)))
    small = graph.weight("small", np.float32(2))
    best = ops.reduce.arg_max(ops.math.matmul(x, graph.weight("w", np.eye(3, dtype="f4"))), axis=1, keepdims=0)
    picked = ops.index.gather(graph.weight("table", np.eye(3, dtype="f4")), best)
    graph.output(ops.elementwise.mul(picked, small), "y")
    graphir.save(Model(graph), tmp_path / "model.onnx")
    assert main(["grad", str(tmp_path / "model.onnx"), str(tmp_path / "out.onnx")]) == 0
    said = capsys.readouterr()
    assert "d_table" in said.out and "d_w" not in said.out
    assert said.err.splitlines()[:2] == [
        "note: not differentiated, single numbers, which --wrt can name: small",
        "note: not differentiated, without a gradient, since ArgMax passes none: x, w",
    ]


def test_gradcheck_takes_marks(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", model, "--of", "r", "--wrt", "x"]) == 1
    assert main(["gradcheck", model]) == 0
    capsys.readouterr()
    assert main(["gradcheck", model, "--straight-through", "r"]) == 1
    said = capsys.readouterr().out
    assert "nothing could be checked" in said and "WRONG" not in said and "r is marked" in " ".join(said.split())
