"""Whole models, exported at every opset that says them, against ONNX Runtime at their own."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import graphir
import graphir_onnx
from graphir import FormatError
from referees import run_with_onnxruntime
from test_torch_exports import sample

ROOT = Path(__file__).parent
# A model -> the oldest opset that says it, and what the next older one does not know.
MODELS = {
    "../models/digits_mlp": (1, ""),
    "../models/digits_cnn": (1, ""),
    "data/torch/mlp_dynamo_symbolic": (9, "Erf-13"),
    "data/torch/mlp_script_fixed": (9, "Erf-13"),
    "data/torch/resnet_dynamo_fixed": (1, ""),
    "data/torch/resnet_script_symbolic": (1, ""),
    "data/torch/lstm_dynamo_fixed": (1, ""),
    "data/torch/lstm_dynamo_symbolic": (8, "Expand-13"),
    "data/torch/lstm_script_symbolic": (9, "ConstantOfShape-25"),
    "data/torch/transformer_dynamo_symbolic": (9, "Erf-13"),
    "data/torch/transformer_script_fixed": (10, "Mod-28"),
}
OPSETS = (1, 6, 7, 9, 10, 11, 12, 13, 15, 17, 18, 21, 23, 28)


@pytest.mark.parametrize("name", MODELS)
def test_models_in_older_opsets(name: str) -> None:
    oldest, unknown = MODELS[name]
    path = (ROOT / name).with_suffix(".onnx")
    model = graphir.load(path)
    feeds = {x.name: sample(x, 2) for x in model.inputs}
    expected: list[Any] = list(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds))
    for opset in (n for n in OPSETS if n >= oldest):
        proto = graphir_onnx.to_proto(model, opset=opset)
        assert proto.opset_import[0].version == opset
        onnx.checker.check_model(proto, full_check=opset > 5)  # of the first Cast, onnx infers no type
        again = graphir_onnx.from_proto(proto)
        made = [list(graphir.compile(again).run(feeds).values()), run_with_onnxruntime(proto, feeds)]
        for outputs in (x for x in made if x is not None):
            for got, want in zip(outputs, expected, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    if oldest > 1:
        with pytest.raises(FormatError, match=rf"{unknown} cannot be said at opset {oldest - 1}: .*; expected opset {oldest} or newer"):
            graphir_onnx.to_proto(model, opset=oldest - 1)
