"""The gradient of every case of the standard's suite that has a float input and a float output, all inputs given at run time.

Each is held against central differences in float64 to 1e-5, and each whose forward runs in ONNX Runtime runs there too, and agrees to 1e-4.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxruntime.capi.onnxruntime_pybind11_state as errors  # pyright: ignore[reportMissingImports]
import pytest
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

import graphir
from graphir import Model
from graphir.ops._gradient import GradientError
from graphir_onnx import from_proto

FLOATS = frozenset((onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16))
SMALL_FLOATS = frozenset(onnx.TensorProto.DataType.Value(name) for name in (
    "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"))  # fmt: skip

# Operators whose result does not change when the input changes a little: the gradient is 0 or does not exist, and asking for it is an error.
NO_GRADIENT = {
    "Bernoulli": "draws numbers", "Binarizer": "steps", "Ceil": "steps", "Floor": "steps", "Hardmax": "steps", "Round": "steps", "Sign": "steps",
    "TreeEnsemble": "steps", "MelWeightMatrix": "its inputs say where bins begin, which are whole numbers",
}  # fmt: skip
# Inputs that say how to compute, or that are compared and not computed with: (operator, place of the input) -> why.
SETTINGS = {
    ("CastLike", 1): "tells a dtype", ("Dropout", 1): "a probability", ("Dropout", 2): "a flag", ("OneHot", 0): "indices", ("OneHot", 1): "a size",
    ("Range", 1): "a bound that is compared", ("Resize", 1): "a region", ("Resize", 2): "scales", ("RoiAlign", 1): "regions", ("Upsample", 1): "scales",
}  # fmt: skip
# Gradients that are no derivatives, by which rounding is passed over: tests/test_straight_through.py has them.
STRAIGHT_THROUGH = {"DynamicQuantizeLinear"}


def _distinct(x: np.ndarray) -> np.ndarray:
    return np.arange(x.size)[::-1].reshape(x.shape)


# Cases that stand on a kink, or where there is no number, and where they are moved to: case -> inputs.
MOVED: dict[str, dict[str, Callable[[np.ndarray], Any]]] = {
    **{f"test_range_{t}_type_positive_delta": {"limit": lambda x: 4.5} for t in ("float", "float16", "bfloat16")},
    **{f"test_unique_{k}": {"X": _distinct} for k in (
        "sorted_without_axis", "not_sorted_without_axis", "sorted_with_axis", "sorted_with_negative_axis", "sorted_with_axis_3d")},
    **{f"test_mod_float_edge_cases_fmod_0_float{n}": {"x": lambda x: _distinct(x) + 0.3, "y": lambda y: y * 0 + 2.7} for n in (16, 32, 64)},
    "test_pow": {"x": lambda x: np.abs(x) + 0.1},
}  # fmt: skip
# Gradients that no difference can be held against: case -> why.
NO_DIFFERENCE = {
    "test_unique_bfloat16_sorted_without_axis": "elements are equal, and the file fixes how many are distinct",
    **{f"test_reduce_{k}_empty_set": "its outputs are infinite" for k in ("min", "max", "log_sum", "log_sum_exp")},
}
# What ONNX Runtime 1.32 computes otherwise than the standard: case -> how.
OTHERWISE = {
    **{f"test_resize_downsample_scales_{k}_align_corners": "its Resize to one number is another" for k in ("linear", "cubic")},
    **{f"test_training_dropout{k}": "its random numbers are others" for k in ("", "_default", "_mask", "_default_mask")},
    "test_attention_local_window_ext_cache_float16_mask": "its gradient of a fully masked row in float16 is no number",
}  # fmt: skip
REFUSALS = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.NotImplemented,
    errors.RuntimeException,
    RuntimeError,
    TypeError,
)
TOLERANCE = {"float16": 2e-2}  # of ONNX Runtime's gradients, where not 1e-4


def _is_float(x: onnx.ValueInfoProto, floats: frozenset[int] = FLOATS) -> bool:
    return x.type.HasField("tensor_type") and x.type.tensor_type.elem_type in floats


@cache
def cases() -> dict[str, TestCase]:
    """The cases of single operators that are no expansions of others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx overflows on purpose while it makes its cases
        found = [c for c in collect_testcases(None) if "_expanded" not in c.name and c.model is not None]
    return {c.name: c for c in found if any(map(_is_float, c.model.graph.input)) and any(map(_is_float, c.model.graph.output))}  # pyright: ignore[reportOptionalMemberAccess]


class Problem:
    """A case: its model, its inputs, off kinks and without infinities, the float outputs that are finite, the inputs that have a gradient."""

    def __init__(self, case: TestCase):
        proto = case.model
        assert isinstance(proto, onnx.ModelProto) and case.data_sets is not None
        self.model: Model = from_proto(proto)
        self.data = proto.SerializeToString()
        self.node = proto.graph.node[-1]
        self.feeds = {i.name: _fed(x, MOVED.get(case.name, {}).get(i.name)) for i, x in zip(proto.graph.input, case.data_sets[0][0])}
        outputs = graphir.compile(self.model).run(self.feeds)
        results = [o.name for o in proto.graph.output if _is_float(o)]
        self.of = [name for name in results if np.isfinite(outputs[name].astype(np.float64)).all()] or results
        self.floats = [i.name for i in proto.graph.input if _is_float(i, FLOATS | SMALL_FLOATS) and i.name in self.feeds]
        self.small = [i.name for i in proto.graph.input if i.name in self.floats and not _is_float(i)]
        self.shapes = {name: np.shape(x) for name, x in outputs.items()}

    def wrt(self) -> list[str]:
        """The inputs that have a gradient."""
        if self.node.op_type in NO_GRADIENT:
            return []
        settings = {name for i, name in enumerate(self.node.input) if (self.node.op_type, i) in SETTINGS}
        if self.node.op_type == "GridSample" and any(a.name == "mode" and a.s == b"nearest" for a in self.node.attribute):
            settings.add(self.node.input[1])  # which picks the nearest number: steps
        return [name for name in self.floats if name not in settings]


def _fed(x: Any, moved: Callable[[np.ndarray], Any] | None) -> Any:
    array: Any = onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x
    if isinstance(array, np.ndarray | np.generic) and array.dtype.kind in "fV":
        array = np.where(np.isfinite(array.astype(np.float64)), array, np.asarray(0.5, array.dtype))
    return array if moved is None else np.asarray(moved(np.asarray(array))).astype(array.dtype)


def test_what_is_asked() -> None:
    assert len(cases()) == 935  # in onnx 1.23.2
    tables = set(NO_GRADIENT) | {op for op, _ in SETTINGS} | STRAIGHT_THROUGH
    assert tables <= {n.op_type for c in cases().values() for n in c.model.graph.node}  # pyright: ignore[reportOptionalMemberAccess]
    assert MOVED.keys() | OTHERWISE.keys() | NO_DIFFERENCE.keys() <= cases().keys()


@pytest.mark.parametrize("name", cases())
def test_against_differences(name: str) -> None:
    problem = Problem(cases()[name])
    op = problem.node.op_type
    with_gradient = problem.wrt()
    for x in set(problem.floats) - set(with_gradient):
        with pytest.raises(GradientError, match="no path"):
            graphir.gradient(problem.model, of=problem.of, wrt=[x])
    if not with_gradient or op in STRAIGHT_THROUGH:
        return
    if name in NO_DIFFERENCE:
        assert len(graphir.gradient(problem.model, of=problem.of, wrt=with_gradient).gradients) == len(problem.of) * len(with_gradient)
        return
    report = graphir.check_gradient(problem.model, of=problem.of, wrt=with_gradient, feeds=problem.feeds, tolerance=1e-5)
    assert all(row.ok or not row.checked for row in report.rows), f"\n{report}"  # of what is empty there is nothing to check
    for x in problem.small:
        _against_a_long_step(problem, x)


def _against_a_long_step(problem: Problem, x: str) -> None:
    """Numbers of 8 bits or fewer take no small steps. What reads them here is linear in them, so that a long one tells as much."""
    assert problem.node.op_type in {"CastLike", "DequantizeLinear"}
    (of,) = problem.of
    gradient = graphir.gradient(problem.model, of=of, wrt=x)
    seed = np.random.default_rng(0).uniform(0.5, 1.5, problem.shapes[of])
    feeds = problem.feeds | {v.name: seed.astype(v.dtype) for v in gradient.inputs if v.name not in problem.feeds}
    moved = feeds | {x: np.full(feeds[x].shape, 0.5, feeds[x].dtype)}
    here, there = (graphir.compile(gradient).run(some) for some in (feeds, moved))
    step, change = (
        b.astype(np.float64) - a for a, b in ((feeds[x].astype(np.float64), moved[x]), (here[of].astype(np.float64), there[of]))
    )
    wanted, got = (seed * change).sum(), (here[f"d_{x}"].astype(np.float64) * step).sum()
    assert abs(wanted) > 0.1 and abs(got - wanted) <= (1e-3 if here[of].dtype == np.float16 else 1e-5) * abs(wanted)


@pytest.mark.parametrize("name", cases())
def test_in_onnx_runtime(name: str) -> None:
    problem = Problem(cases()[name])
    wrt = problem.wrt()
    if not wrt or problem.node.op_type in STRAIGHT_THROUGH:
        pytest.skip("has no gradient that is a derivative")
    try:
        _run(problem.data, problem.feeds)
    except REFUSALS as e:
        pytest.skip(f"ONNX Runtime does not run the model itself: {str(e)[:120]}")
    gradient = graphir.gradient(problem.model, of=problem.of, wrt=wrt)
    rng = np.random.default_rng(0)
    seeds = [v for v in gradient.inputs if v.name not in problem.feeds]
    feeds = problem.feeds | {v.name: rng.uniform(0.5, 1.5, problem.shapes[v.name.removeprefix("seed_")]).astype(v.dtype) for v in seeds}
    ours, theirs = graphir.compile(gradient).run(feeds), _run(graphir.dumps(gradient, format="onnx"), feeds)
    if name in OTHERWISE:
        return
    for made in gradient.gradients.values():
        a, b = (x[made].astype(np.float64) for x in (ours, theirs))
        assert a.shape == b.shape
        scale = max(1.0, np.abs(a).max(initial=0.0, where=np.isfinite(a)))
        np.testing.assert_allclose(b, a, rtol=0, atol=TOLERANCE.get(str(ours[made].dtype), 1e-4) * scale)


def _run(data: bytes, feeds: Mapping[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}
    outputs = session.run(None, {name: x for name, x in feeds.items() if name in names})
    return dict(zip((o.name for o in session.get_outputs()), outputs))
