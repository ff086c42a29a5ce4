"""Models that PyTorch exported (tests/data/export_torch.py): typed throughout, and run as ONNX Runtime runs them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import graphir
from graphir.dims import symbols
from graphir.ir import Value
from graphir.types import TensorType

FILES = sorted((Path(__file__).parent / "data" / "torch").glob("*.onnx"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)


def test_every_model_comes_in_every_form() -> None:
    forms = {f"{export}_{batch}" for export in ("dynamo", "script") for batch in ("fixed", "symbolic")}
    assert {p.stem for p in FILES} == {f"{model}_{form}" for model in ("mlp", "resnet", "transformer", "lstm") for form in forms}


@EVERY_FILE
def test_runs_as_in_onnxruntime(path: Path) -> None:
    model = graphir.load(path)
    program = graphir.compile(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (x,) = model.inputs
    for batch in (2, 5) if "symbolic" in path.stem else (2,):
        feeds = {x.name: sample(x, batch)}
        made = program.run(feeds)
        expected: list[Any] = list(session.run(None, feeds))
        assert list(made) == [v.name for v in session.get_outputs()]
        for got, want in zip(made.values(), expected, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@EVERY_FILE
def test_every_value_has_a_type(path: Path) -> None:
    model = graphir.load(path)
    values = [v for graph in model.graphs() for v in graph.values()]
    for v in values:
        assert isinstance(v.type, TensorType), v.name
        assert v.type.shape is not None, v.name
    named = {name for v in values for d in v.shape for name in symbols(d)}
    assert named == ({"batch"} if "symbolic" in path.stem else set())


@EVERY_FILE
def test_no_dim_is_unknown(path: Path) -> None:
    """All shape arithmetic in these models can be followed: with a size for the batch, every dim is a number."""
    model = graphir.load(path)
    for v in (v for graph in model.graphs() for v in graph.values()):
        sized = graphir.types.bind(v.type, {"batch": 3})
        assert isinstance(sized, TensorType) and sized.shape is not None
        assert all(isinstance(d, int) for d in sized.shape), f"{v.name}: {v.type}"


def sample(x: Value, batch: int) -> np.ndarray:
    """Seeded data for the input: numbers, or ids of tokens."""
    rng = np.random.default_rng(batch)
    shape = (batch, *(int(d) for d in x.shape[1:]))  # pyright: ignore[reportArgumentType]  # only the batch is symbolic
    return rng.standard_normal(shape).astype(x.dtype) if x.dtype.kind == "f" else rng.integers(0, 20, shape)
