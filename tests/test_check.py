"""`graphir check` holds a file to what runs: versions of operators, attributes, domains, the header."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from graphir.cli import main
from graphir.passes.check import check
from graphir_onnx import from_proto

FLOAT = onnx.TensorProto.FLOAT
TRAINING = "ai.onnx.preview.training"


def proto(op: str, *inputs: str, opsets: Any = (("", 21),), ir: int = 10, domain: str = "", **attributes: Any) -> onnx.ModelProto:
    """One node that makes y of matrices."""
    node = helper.make_node(op, inputs or ("x",), ["y"], domain=domain, **attributes)
    given = [helper.make_tensor_value_info(name, FLOAT, [4, 4]) for name in dict.fromkeys(inputs or ("x",))]
    graph = helper.make_graph([node], "one", given, [helper.make_tensor_value_info("y", FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=ir)
    if not opsets:
        del model.opset_import[:]
    return model


ROWS: dict[str, tuple[onnx.ModelProto, str]] = {
    "attribute": (proto("Gemm", "x", "x", transB="yes"), "node 'y': Gemm: attribute transB is 'yes'; expected int"),
    "no such attribute": (proto("Relu", alpha=1.0), "Relu has no attribute 'alpha'"),
    "no such operator": (proto("Frobnicate"), "node 'y': ai.onnx has no operator Frobnicate"),
    "retired": (proto("Upsample", "x", "s"), "Upsample was retired with opset 10; the model stands in 21"),
    "too new": (proto("Gelu", opsets=(("", 13),)), "Gelu came with opset 20; the model stands in 13"),
    **{f"opset {v}": (proto("Relu", opsets=(("", v),)), f"opset {v} of ai.onnx is not known; expected 1 to 28") for v in (0, -4, 99)},
    "no opset": (proto("Relu", opsets=()), "the file imports no opset"),
    "not imported": (proto("Foo", domain="com.x"), "nodes are of domain 'com.x', of which the file imports no opset"),
    "IR version": (proto("Relu", ir=999), "IR version 999 is not known"),
    "gradient": (proto("Gradient", opsets=(("", 21), (TRAINING, 1)), domain=TRAINING, xs=["nope"], y="x"), "names 'nope', which is not made"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_what_is_wrong_is_said(row: str) -> None:
    model, words = ROWS[row]
    assert words in "; ".join(check(from_proto(model)).problems)


GOOD = [proto("Relu"), proto("Gelu"), proto("Upsample", "x", opsets=(("", 8),), scales=[1.0, 2.0]), proto("Relu", opsets=(), ir=2)]


@pytest.mark.parametrize("model", GOOD, ids=["Relu", "Gelu", "Upsample", "before there were opsets"])
def test_what_is_right_is_valid(model: onnx.ModelProto) -> None:
    assert check(from_proto(model)) == ([], [])


def test_operators_of_others_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "m.onnx")
    onnx.save(proto("Foo", opsets=(("", 21), ("com.x", 1)), domain="com.x"), file)
    assert main(["check", file]) == 0
    assert capsys.readouterr().out == f"{file}: valid, but 1 operator is not known here: com.x.Foo\n"
    assert main(["check", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": file, "valid": True, "problems": [], "unknown": ["com.x.Foo"]}


@pytest.mark.parametrize("verb", ["gradcheck", "train"])
def test_verbs_take_limits(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"--limit-{what}" in out for what in ("memory", "trips", "seconds"))
