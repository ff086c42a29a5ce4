"""The option --dim: sizes for symbols and open axes, wherever they stand, in what is written, differentiated, trained and drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import graphir
from graphir.cli import main

F = TensorProto.FLOAT


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """m.onnx: x[N, 4], y[M, ?] -> out, through an If; the symbol N stands in types of values, too. fixed.onnx: x[2, 4] alone. fold.onnx: N is even."""
    monkeypatch.chdir(tmp_path)

    def info(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, F, shape)

    def constant(name: str, x: Any) -> Any:
        return onnx.numpy_helper.from_array(np.asarray(x), name)

    def save(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any], **more: Any) -> None:
        graph = helper.make_graph(nodes, "g", inputs, outputs, weights, **more)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), name)

    body = helper.make_graph([helper.make_node("Neg", ["h"], ["b"])], "b", [], [info("b", "N", 3)])
    choice = helper.make_node("If", ["yes"], ["out"], then_branch=body, else_branch=body)
    product = helper.make_node("MatMul", ["x", "w"], ["h"])
    weights = [constant("w", np.ones((4, 3), "f4")), constant("yes", True)]
    other = helper.make_node("Abs", ["y"], ["z"])
    save("m.onnx", [product, choice, other], [info("x", "N", 4), info("y", "M", None)], [info("out", "N", 3), info("z", "M", None)], weights, value_info=[info("h", "N", 3)])  # fmt: skip
    save("open.onnx", [other], [helper.make_tensor_value_info("y", F, None)], [helper.make_tensor_value_info("z", F, None)], [])
    save("fixed.onnx", [product], [info("x", 2, 4)], [info("h", 2, 3)], weights[:1])
    halves = helper.make_node("Reshape", ["x", "s"], ["h"])
    save("fold.onnx", [halves], [info("x", "N", 4)], [info("h", 3, None)], [constant("s", np.array([3, 8]))])
    np.savez("data.npz", x=np.ones((6, 4), "f4"), t=np.ones((6, 3), "f4"))
    return tmp_path


def shapes(file: str) -> dict[str, list[Any]]:
    graph = onnx.load(file).graph
    (choice,) = [n for n in graph.node if n.op_type == "If"] or [None]
    inner = [a.g.output[0] for a in choice.attribute] if choice is not None else []
    values = [*graph.input, *graph.output, *graph.value_info, *inner]
    return {v.name: [d.dim_value or d.dim_param or None for d in v.type.tensor_type.shape.dim] for v in values}


def test_sizes_stand_everywhere(models: Path) -> None:
    assert main(["export", "m.onnx", "a.onnx", "--dim", "N=8"]) == 0
    assert shapes("a.onnx") == {"x": [8, 4], "y": ["M", None], "out": [8, 3], "z": ["M", None], "h": [8, 3], "b": [8, 3]}
    assert main(["export", "m.onnx", "b.gir", "--dim", "x:0=8", "--dim", "y:1=5", "--dim", "y:0=2", "--dim", "M=2"]) == 0
    model = graphir.load("b.gir")
    assert [str(v.type) for v in (*model.inputs, *model.outputs)] == ["float32[8, 4]", "float32[2, 5]", "float32[8, 3]", "float32[2, 5]"]
    assert main(["export", "b.gir", "c.onnx"]) == 0
    assert shapes("c.onnx")["y"] == [2, 5]
    onnx.checker.check_model("c.onnx", full_check=True)
    assert main(["export", "m.onnx", "d.onnx"]) == 0
    assert Path("d.onnx").read_bytes() == Path("m.onnx").read_bytes()


def test_grad_run_and_train(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grad", "m.onnx", "g.onnx", "--of", "out", "--dim", "N=8"]) == 0
    assert "d_x       float32[8, 4]" in capsys.readouterr().out
    assert main(["grad", "m.onnx", "g.onnx", "--of", "z", "--wrt", "y", "--dim", "y:0=2", "--dim", "y:1=5", "--forward"]) == 0
    assert shapes("g.onnx")["t_z"] == [2, 5]
    assert main(["run", "m.onnx", "--input", "x=random", "--input", "y=random", "--dim", "x:0=2", "--dim", "y:0=3", "--dim", "y:1=5"]) == 0
    assert "z    float32[3, 5]" in capsys.readouterr().out
    assert main(["gradcheck", "m.onnx", "--of", "z", "--wrt", "y", "--dim", "M=3", "--dim", "y:1=5"]) == 0
    arguments = ["train", "m.onnx", "data.npz", "t.onnx", "--output", "out", "--target", "t", "--loss", "mse", "--epochs", "1"]
    assert main([*arguments, "--dim", "N=3", "--dim", "M=1"]) == 1
    assert "the data lacks y (float32[1, ?" in capsys.readouterr().err
    assert main(["export", "m.onnx", "one.onnx", "--dim", "M=1"]) == 0
    np.savez("data.npz", x=np.ones((6, 4), "f4"), t=np.ones((6, 3), "f4"), y=np.ones((6, 1), "f4"))
    assert main([*arguments, "--dim", "N=3", "--dim", "M=3"]) == 0
    assert shapes("t.onnx") == shapes("m.onnx")  # the sizes were for the training alone
    assert Path("t.history.json").read_text().count('"batch_size": 3') == 1


WRONG = {
    "case": ("m.onnx", ["n=8"], 2, "--dim n: no input has a dim of that name; expected one of M, N; did you mean N?"),
    "no such": ("m.onnx", ["batch=8"], 2, "expected one of M, N"),
    "no input": ("m.onnx", ["q:0=8"], 2, "--dim q:0: no input has a dim of that name"),
    "no axis": ("m.onnx", ["x:2=8"], 2, "the input x is float32[N, 4], and there is no axis 2"),
    "a fixed axis": ("m.onnx", ["x:1=8"], 2, "and axis 1 is 4; only open sizes can be given"),
    "all fixed": ("fixed.onnx", ["N=2"], 2, "expected none, for all sizes are fixed"),
    "unknown rank": ("open.onnx", ["y:0=2"], 2, "--dim y:0=2: the input y is float32[...], whose axes are not known"),
    "two sizes": ("m.onnx", ["N=8", "N=9"], 2, "--dim N=9: N is 8 already"),
    "two sizes by axis": ("m.onnx", ["N=8", "x:0=9"], 2, "--dim x:0=9: N is 8 already"),
    "no number": ("m.onnx", ["N=a"], 2, "'N=a' is no size, such as N=8"),
    "negative": ("m.onnx", ["N=-1"], 2, "'N=-1' is no size"),
    "does not fit": ("fold.onnx", ["N=5"], 1, "with --dim N=5 the types do not fit: node 'h': "),
}


@pytest.mark.parametrize("row", WRONG)
@pytest.mark.parametrize("verb", [["export", "out.onnx"], ["grad", "out.onnx", "--wrt", "x"], ["train", "data.npz", "out.onnx"]], ids=str)
def test_sizes_that_do_not_fit(models: Path, capsys: pytest.CaptureFixture[str], verb: list[str], row: str) -> None:
    file, dims, status, words = WRONG[row]
    assert main([verb[0], file, *verb[1:], *(x for d in dims for x in ("--dim", d))]) == status
    printed = capsys.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and not printed.out and not Path("out.onnx").exists()


def test_a_size_that_an_axis_has_already(models: Path) -> None:
    assert main(["export", "fixed.onnx", "same.onnx", "--dim", "x:0=2"]) == 0
    assert Path("same.onnx").read_bytes() == Path("fixed.onnx").read_bytes()
    assert main(["export", "fold.onnx", "six.onnx", "--dim", "N=6"]) == 0
    assert shapes("six.onnx")["x"] == [6, 4]
