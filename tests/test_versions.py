"""Opset versions: the table against onnx.defs, and old forms raised, lowered and run against the standard's reference and ONNX Runtime."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import graphir_onnx
from graphir import Model, TensorType
from graphir.dtypes import STRING
from graphir.nodes import Operator
from graphir.ops import OPS, OPSETS, lookup
from graphir.ops.versions import KINDS, STEPS, is_current, steps, version_at
from graphir.ops.versions.rewriting import DOWN, UP
from graphir.ops.versions.table import BARE
from graphir.passes.lower import LowerError, lower_opset
from graphir.passes.upgrade import upgrade
from graphir.types import Type
from referees import run, run_reference, run_with_onnxruntime
from version_rows import LOWERED, OLD, Lowered, Old, refusals

NEWEST = OPSETS[""]
SCHEMAS: dict[str, dict[int, onnx.defs.OpSchema]] = {}
for _schema in onnx.defs.get_all_schemas_with_history():
    if _schema.domain in OPSETS:
        SCHEMAS.setdefault(".".join(filter(None, (_schema.domain, _schema.name))), {})[_schema.since_version] = _schema
FORMAL = onnx.defs.OpSchema.FormalParameterOption

# ---- the table ----------------------------------------------------------------------------------------------------------------------------


def test_every_version_of_every_operator_is_listed() -> None:
    assert {name: [s.version for s in row] for name, row in STEPS.items()} == {name: sorted(row) for name, row in SCHEMAS.items()}


def test_every_function_stands_behind_a_step() -> None:
    for name, version in [*UP, *DOWN]:
        assert version in [s.version for s in STEPS[name]], (name, version)
    for name, row in STEPS.items():
        for step in row[1:]:
            assert step.kind in KINDS
            assert (step.kind == "rewritten") == (step.up is not None), (name, step.version)


@pytest.mark.parametrize("name", STEPS)
def test_steps_change_what_the_standard_changed(name: str) -> None:
    for before, step in zip(BARE[name], BARE[name][1:]):
        old, new = SCHEMAS[name][before.version], SCHEMAS[name][step.version]
        if step.kind == "rewritten":
            continue
        assert (step.kind == "types") <= (_types(old) != _types(new)), step.version
        assert (step.kind == "same") <= (_types(old) == _types(new)), step.version
        _check_no_type_was_lost(old, new)
        _check_attributes(old, new, step)
        _check_operands(old.inputs, new.inputs, step.added_inputs, step.optional_inputs)
        _check_operands(old.outputs, new.outputs, step.added_outputs, (1,) if (name, step.version) == ("GRU", 3) else ())
        assert step.may_be_negative == _newly_allows_negative(old, new), step.version


def _check_attributes(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema, step: Any) -> None:
    assert set(new.attributes) - set(old.attributes) == set(step.added)
    assert set(old.attributes) - set(new.attributes) == set(step.dropped)
    for name in set(old.attributes) & set(new.attributes):
        a, b = old.attributes[name], new.attributes[name]
        assert a.type == b.type
        was, becomes = _default(a), _default(b)
        if name in step.defaults:
            assert was == step.defaults[name] or b.required
        elif (was, becomes) != (b"foward", b"forward"):  # a slip of the first GRU
            assert was == becomes, name
            assert a.required == b.required or (name, new.name) == ("value", "Constant")


def _check_operands(old: Any, new: Any, added: tuple[int, ...], optional: tuple[int, ...]) -> None:
    assert tuple(range(len(old), len(new))) == added
    for i, (a, b) in enumerate(zip(old, new)):
        assert (a.option, b.option) == (FORMAL.Single, FORMAL.Optional) if i in optional else a.option == b.option


def _check_no_type_was_lost(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> None:
    for a, b in [*zip(old.inputs, new.inputs), *zip(old.outputs, new.outputs)]:
        assert set(a.types) <= set(b.types), f"{a.name} could be {set(a.types) - set(b.types)}"


def _types(schema: onnx.defs.OpSchema) -> list[set[str]]:
    return [set(x.types) for x in [*schema.inputs, *schema.outputs]] + [set(c.allowed_type_strs) for c in schema.type_constraints]


def _default(attribute: Any) -> Any:
    return helper.get_attribute_value(attribute.default_value) if attribute.default_value.type else None


def _newly_allows_negative(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    """Whether axis or axes may be negative, by the text or the default, and could not before."""
    names = {"axis", "axes"} & set(old.attributes) & set(new.attributes)
    return any(_allows_negative(new.attributes[n]) and not _allows_negative(old.attributes[n]) for n in names)


def _allows_negative(attribute: Any) -> bool:
    return any(t in attribute.description for t in ("egative v", "[-r")) or _default(attribute) == -1


def test_versions_resolve_to_the_newest_step_not_above() -> None:
    assert version_at(lookup("", "Softmax"), 12) == 11
    assert version_at(lookup("", "Gelu"), 19) is None
    assert version_at(Operator("com.microsoft", "Gelu"), 19) is None
    assert is_current(lookup("", "Relu"), 6) and not is_current(lookup("", "Relu"), 5)
    assert is_current(lookup("", "Softmax"), 13) and not is_current(lookup("", "Softmax"), 12)
    assert is_current(Operator("com.microsoft", "Softmax"), 1)
    assert steps(Operator("", "Softmax", "other")) == ()


# ---- old forms ----------------------------------------------------------------------------------------------------------------------------

EVERY_OLD = [pytest.param(row, id=f"{row.name}-{row.opset}-{i}") for i, row in enumerate(OLD)]
BOTH_WAYS = [p for p, row in zip(EVERY_OLD, OLD) if not row.one_way]
ONE_WAY = [p for p, row in zip(EVERY_OLD, OLD) if row.one_way]


@pytest.mark.parametrize("row", EVERY_OLD)
def test_raised_nodes_compute_the_same(row: Old) -> None:
    proto, feeds = row.proto()
    expected = _expected(row, proto, feeds)
    model = graphir_onnx.from_proto(proto)
    _check_types(model, row, expected)
    names = [v.name for v in model.outputs]
    assert upgrade(model) is model
    _check_types(model, row, expected)
    assert [v.name for v in model.outputs] == names
    assert model.opsets == {"": NEWEST} and model.target_opsets == {"": row.opset}
    raised = graphir_onnx.to_proto(model, opset=NEWEST)
    _check_valid(raised, expected)
    _check_close(run(raised, feeds), expected, row.tolerance)
    if row.alone:
        assert [n.op.name for n in model.graph.nodes] == [row.becomes or row.name]
        assert model.graph.nodes[0].name == "the_node"


@pytest.mark.parametrize("row", BOTH_WAYS)
def test_lowered_nodes_compute_the_same(row: Old) -> None:
    proto, feeds = row.proto()
    expected = _expected(row, proto, feeds)
    model = lower_opset(upgrade(graphir_onnx.from_proto(proto)), {"": row.opset})
    lowered = graphir_onnx.to_proto(model)
    _check_valid(lowered, expected)
    assert [v.name for v in lowered.graph.output] == [v.name for v in proto.graph.output]
    _check_close(run(lowered, feeds), expected, row.tolerance)
    if not row.anew:
        (node,) = (n for n in lowered.graph.node if n.op_type == row.name)
        assert _said(node, row.opset) == _said(proto.graph.node[0], row.opset)


@pytest.mark.parametrize("row", ONE_WAY)
def test_what_cannot_be_lowered_again_says_why(row: Old) -> None:
    model = upgrade(graphir_onnx.from_proto(row.proto()[0]))
    with pytest.raises(LowerError, match=row.one_way):
        lower_opset(model, {"": row.opset})


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.name}-{row.opset}-{i}") for i, row in enumerate(LOWERED)])
def test_new_nodes_are_lowered(row: Lowered) -> None:
    proto, feeds = row.proto(NEWEST)
    expected = run_reference(proto, feeds)
    model = lower_opset(graphir_onnx.from_proto(proto), {"": row.opset})
    lowered = graphir_onnx.to_proto(model)
    _check_valid(lowered, expected)
    _check_close(run(lowered, feeds), expected, 1e-4)


@pytest.mark.parametrize(("row", "reason"), [pytest.param(*r, id=f"{r[0].name}-{r[0].opset}-{i}") for i, r in enumerate(refusals())])
def test_what_is_too_new_is_refused(row: Lowered, reason: str) -> None:
    model = graphir_onnx.from_proto(row.proto(NEWEST)[0])
    with pytest.raises(LowerError, match=reason) as e:
        lower_opset(model, {"": row.opset})
    assert "'the_node'" in str(e.value) and f"opset {row.opset}" in str(e.value)


def _expected(row: Old, proto: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """What the row says that its node makes, else what ONNX Runtime makes of it, else the reference."""
    if row.expected is not None:
        return row.expected(*feeds.values())
    found = run_with_onnxruntime(proto, feeds)
    return run_reference(proto, feeds) if found is None else found


def _check_valid(proto: onnx.ModelProto, outputs: list[Any]) -> None:
    """The standard's checker and its strict inference accept a model that has outputs like these."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    for info, x in zip(copy.graph.output, outputs, strict=True):
        x = np.asarray(x)
        info.CopyFrom(helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(copy, check_type=True, strict_mode=True))


def _check_types(model: Model, row: Old, outputs: list[Any]) -> None:
    for v, x in zip(model.outputs, outputs, strict=True):
        if ("", row.becomes or row.name) in OPS:
            _check_type(v.type, np.asarray(x))


def _said(node: onnx.NodeProto, opset: int) -> dict[str, Any]:
    """What a node says by its attributes at an opset, those that are left out included; and which inputs it has."""
    schema = onnx.defs.get_schema(node.op_type, opset)
    said = {name: _default(a) for name, a in schema.attributes.items()} | {a.name: helper.get_attribute_value(a) for a in node.attribute}
    said.pop("consumed_inputs", None)
    return {k: numpy_helper.to_array(x).tolist() if isinstance(x, onnx.TensorProto) else x for k, x in said.items()} | {"": len(node.input)}


def _check_close(got: list[Any], want: list[Any], tolerance: float) -> None:
    for a, b in zip(got, want, strict=True):
        assert np.shape(a) == np.shape(b)
        if np.asarray(b).dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        else:
            assert np.asarray(a).tolist() == np.asarray(b).tolist()


def _check_type(type_: Type | None, x: Any) -> None:
    assert isinstance(type_, TensorType)
    assert type_.dtype == (STRING if x.dtype.kind in "OUS" else x.dtype)
    assert type_.shape is None or (
        len(type_.shape) == x.ndim and all(not isinstance(d, int) or d == n for d, n in zip(type_.shape, x.shape))
    )
