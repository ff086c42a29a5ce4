"""Raising and lowering, on the models of the standard's own node tests: against onnx's version converter, ONNX Runtime and the reference.

A sample of them; GRAPHIR_EVERY_CASE=1 in the environment takes all, which takes some minutes.
"""

import os
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper, version_converter
from onnx.backend.test.case.node import collect_testcases

import graphir_onnx
from graphir import FormatError, Model
from graphir.dtypes import FLOATS
from graphir.ops import OPSETS, Op
from graphir.ops.versions import steps
from graphir.passes.upgrade import upgrade
from graphir_onnx.backend import Backend
from referees import run_reference, run_with_onnxruntime

NEWEST = OPSETS[""]
STRIDE = 1 if os.environ.get("GRAPHIR_EVERY_CASE") else 31
# Models that onnx's converter spoils: why.
SPOILT = {
    "test_scan_sum": "it writes a Scan of opset 8 into opset 9 as it is, where there is no batch",
}
# Old forms that the reference gets wrong: (beginning of the case's name, opsets below) -> why.
WRONG_REFERENCE = {
    ("test_averagepool", 7): "it counts the padding, which the first form leaves out",
}


class Case(NamedTuple):
    """A node test: its model, inputs and expected outputs, and the tolerance of the suite."""

    name: str
    model: onnx.ModelProto
    inputs: list[Any]
    expected: list[Any]
    rtol: float
    atol: float


def every_case() -> list[Case]:
    """The node tests, in the order of their names."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # onnx overflows on purpose while it makes its cases
        found: list[Any] = collect_testcases(None)  # pyright: ignore[reportArgumentType]
    made = [Case(c.name, c.model, _arrays(c.data_sets[0][0]), _arrays(c.data_sets[0][1]), c.rtol, c.atol) for c in found]
    return sorted(made, key=lambda case: case.name)


def _arrays(values: Sequence[Any]) -> list[Any]:
    """Values of a case as NumPy has them."""
    return [numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x for x in values]


def opset_of(proto: onnx.ModelProto) -> int:
    """The opset of the default domain that a model imports; the newest where it imports none."""
    return next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), NEWEST)


CASES = every_case()
ROWS = [pytest.param(case, id=case.name) for case in CASES[::STRIDE]]
OLDER = [pytest.param(case, id=case.name) for case in CASES[::STRIDE] if opset_of(case.model) < NEWEST and case.name not in SPOILT]


@pytest.mark.parametrize("case", OLDER)
def test_raised_models_equal_the_converters(case: Case) -> None:
    """To the last bit, both run by graphir."""
    _declared(case.model)
    converted = version_converter.convert_version(case.model, NEWEST)
    _check_close(Backend.run_model(case.model, case.inputs), Backend.run_model(converted, case.inputs))


@pytest.mark.parametrize("case", ROWS)
def test_lowered_models_compute_the_same(case: Case) -> None:
    """In every opset that changes anything of the model's operators, and can say it."""
    model = _declared(case.model)
    nodes = [node for graph in model.graphs() for node in graph.nodes]
    random = any(isinstance(node.op, Op) and node.op.random for node in nodes)
    before = None if random else Backend.run_model(case.model, case.inputs)
    for opset in sorted({step.version - 1 for node in nodes for step in steps(node.op) if step.version > 1}, reverse=True):
        try:
            lowered = graphir_onnx.to_proto(model, opset=opset)
        except FormatError as e:
            assert f"in opset {opset}" in str(e) or f"at opset {opset}" in str(e)
            continue
        assert opset_of(lowered) == opset
        onnx.checker.check_model(lowered, full_check=opset > 5)  # of the first Cast, onnx infers no type
        if before is not None:
            _check_close(Backend.run_model(lowered, case.inputs), before, case)
            _check_referees(lowered, case)


def _check_referees(lowered: onnx.ModelProto, case: Case) -> None:
    """ONNX Runtime, else the reference, makes of a model what the case expects; unless it does not even of the case's own model."""
    feeds = dict(zip([v.name for v in lowered.graph.input], case.inputs))
    for referee in (run_with_onnxruntime, run_reference):
        try:
            made = referee(lowered, feeds)
        except Exception:  # each raises its own kinds where it does not know an operator's version, or a type
            continue
        if made is None or any(case.name.startswith(name) and opset_of(lowered) < opset for name, opset in WRONG_REFERENCE):
            continue
        try:
            _check_close(made, case.expected, case)
        except AssertionError:
            try:
                _check_close(referee(case.model, feeds) or [], case.expected, case)
            except Exception:  # as above
                return
            raise
        return


def _declared(proto: onnx.ModelProto) -> Model:
    """The raised model, of which graphir knows every operator."""
    model = upgrade(graphir_onnx.from_proto(proto))
    foreign = {str(n.op) for g in model.graphs() for n in g.nodes if not isinstance(n.op, Op) and n.op.key not in model.functions}
    assert not foreign
    return model


def _check_close(got: Sequence[Any], want: Sequence[Any], case: Case | None = None) -> None:
    """Equal; of a case, within its tolerance."""
    assert len(got) == len(want)
    for a, b in zip(got, want):
        if isinstance(b, list | tuple):
            _check_close(a, b, case)
        elif b is None:
            assert a is None
        else:
            _check_close_arrays(np.asarray(a), np.asarray(b), case)


def _check_close_arrays(a: np.ndarray, b: np.ndarray, case: Case | None) -> None:
    assert a.shape == b.shape
    if b.dtype.kind in "OUS":
        assert a.tolist() == b.tolist()
        return
    assert a.dtype == b.dtype
    if case is None or b.dtype.kind in "biu":
        assert a.tobytes() == b.tobytes()
        return
    wide = np.complex128 if b.dtype.kind == "c" else np.float64
    rounding = 4 * float(ml_dtypes.finfo(b.dtype).eps) if b.dtype in FLOATS else 0.0  # an op in its parts rounds more often
    np.testing.assert_allclose(a.astype(wide), b.astype(wide), rtol=max(case.rtol, 1e-4, rounding), atol=max(case.atol, 1e-6, rounding / 4))
