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
