"""With static input shapes every value has a static shape: of the standard's light models, ours, PyTorch's and real ones. By the rules alone: what files say of
their values is not asked."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import graphir
from fetch_models import FOLDER
from graphir import Graph, Model, Tensor, TensorType, Weight, ops
from graphir.dims import symbols
from graphir.passes.infer import Inference
from graphir.types import Type, bind

ROOT = Path(__file__).parent.parent
LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("*.onnx"))
FILES = [*LIGHT, *sorted((ROOT / "models").glob("*.onnx")), *sorted((ROOT / "tests" / "data" / "torch").glob("*.onnx"))]
FETCHED = sorted(p for p in FOLDER.glob("*/*.onnx") if p.name != "ddddocr_common_old.onnx")  # which has an operator that is not declared
SIZE = 3  # of every symbol in the shapes of inputs, but for the models of INPUTS

SPEECH: dict[str, Type] = {"input": TensorType("float32", (1, 576)), "state": TensorType("float32", (2, 1, 128))}
# Real models whose inputs are not of every size: the ending of their names, and what they are given.
INPUTS: dict[str, dict[str, Type]] = {
    "det_infer.onnx": {"x": TensorType("float32", (1, 3, 64, 96))},
    "rec_infer.onnx": {"x": TensorType("float32", (1, 3, 48, 320))},
    "cls_infer.onnx": {"x": TensorType("float32", (1, 3, 48, 192))},
    "det_det.onnx": {"x": TensorType("float32", (1, 3, 64, 96))},
    "rec_rec.onnx": {"x": TensorType("float32", (1, 3, 48, 320))},
    "cls_cls.onnx": {"x": TensorType("float32", (1, 3, 48, 192))},
    "pnet.onnx": {"input_1": TensorType("float32", (1, 24, 20, 3))},
    "silero_vad.onnx": {**SPEECH, "sr": TensorType("int64", (), (16000,))},
    "silero_vad_16k_op15.onnx": SPEECH,
    "silero_vad_half.onnx": SPEECH,
    "silero_vad_op18_ifless.onnx": SPEECH,
}
# Values that have none: the ending of the model's name, how their names begin, and why.
WITHOUT = {"silero_vad.onnx": ("If_0_else_branch", "the branch for 8 kHz, which does not run, takes frames of another length")}


def typed(path: Path) -> tuple[Model, list[str]]:
    """A model whose inputs have static shapes, typed by the rules; and what does not fit. Inputs that have defaults have these contents."""
    model = graphir.load(path)
    given = next((types for ending, types in INPUTS.items() if path.name.endswith(ending)), {})
    for v in model.inputs:
        t = v.tensor.type if isinstance(v, Weight) and isinstance(v.tensor, Tensor) else given.get(v.name, v.type)
        assert isinstance(t, TensorType) and t.shape is not None
        v.type = bind(t, {name: SIZE for d in t.shape for name in symbols(d)})  # pyright: ignore[reportAttributeAccessIssue]
    problems = Inference(model, trust_declared=False).graph(model.graph, model.opsets)
    return model, [str(p) for p in problems]


def without_shape(model: Model) -> list[str]:
    """The values of a model, bodies included, that have no static shape."""
    found = []
    for v in (v for graph in model.graphs() for v in graph.values()):
        t = v.type
        if not isinstance(t, TensorType) or t.shape is None or not all(isinstance(d, int) for d in t.shape):
            found.append(v.name)
    return found


def test_the_light_models_are_there() -> None:
    assert len(LIGHT) == 9


@pytest.mark.parametrize("path", FILES + FETCHED, ids=lambda p: p.stem)
def test_every_value_has_a_static_shape(path: Path) -> None:
    model, problems = typed(path)
    begin = next((begin for ending, (begin, _) in WITHOUT.items() if path.name.endswith(ending)), None)
    left = without_shape(model)
    if begin is None:
        assert not problems
        assert not left
    else:
        assert left and all(name.startswith(begin) for name in left)
        assert all(p.startswith(f"node '{begin}") for p in problems)


def test_a_default_is_known_until_it_is_fed() -> None:
    graph = Graph("m")
    x = graph.input("x", TensorType("float32", (4,)))
    wanted = graph.default(graph.input("wanted", TensorType("int64", (2,))), np.array([2, 2]))
    graph.output(ops.elementwise.neg(ops.shape.reshape(x, wanted)), "y")
    program = graphir.compile(Model(graph))
    x = np.arange(4, dtype="float32")
    for fed in ({}, {"wanted": np.array([4, 1])}, {"wanted": np.array([1, 4])}, {}):
        made = program.run({"x": x, **fed})["y"]
        np.testing.assert_array_equal(made, -x.reshape(fed.get("wanted", (2, 2))))
