"""ONNX in and out: byte for byte where nothing changed, and where something did, nothing else."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import graphir
import graphir_onnx
from graphir import Graph, Model, Tensor, TensorType
from graphir.dtypes import NAMES
from graphir.ops import lookup
from torture import TENSORS, torture

TORTURE = torture()
SHIPPED = sorted(Path(onnx.__file__).parent.rglob("*.onnx"))


def round_trip(data: bytes) -> bytes:
    return graphir_onnx.to_proto(graphir_onnx.from_proto(data)).SerializeToString()


def parsed(data: bytes) -> bytes:
    """What any reader and writer of protobuf makes of these bytes."""
    return ModelProto.FromString(data).SerializeToString()


# ---- byte for byte ------------------------------------------------------------------------------------------------------------------


def test_files_that_onnx_ships() -> None:
    assert len(SHIPPED) > 100
    changed = [str(path) for path in SHIPPED if round_trip(path.read_bytes()) != parsed(path.read_bytes())]
    assert not changed


@pytest.fixture(scope="session")
def suite() -> list[ModelProto]:
    """The models of the standard's own node tests, made in this process."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [case.model for case in collect_testcases(None) if case.model is not None]


def test_suite_models(suite: list[ModelProto]) -> None:
    assert len(suite) > 1500
    changed = [m.graph.name for m in suite if round_trip(m.SerializeToString()) != m.SerializeToString()]
    assert not changed


def test_torture_model() -> None:
    data = torture().SerializeToString()
    assert round_trip(data) == data


def test_torture_model_through_the_native_file(tmp_path: Path) -> None:
    data = torture().SerializeToString()
    graphir.save(graphir_onnx.from_proto(data), tmp_path / "m.gir")
    assert graphir_onnx.to_proto(graphir.load(tmp_path / "m.gir")).SerializeToString() == data


def test_torture_model_in_a_file(tmp_path: Path) -> None:
    data = torture().SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data)
    model = graphir.load(tmp_path / "m.onnx")
    graphir.save(model, tmp_path / "n.onnx")
    assert (tmp_path / "n.onnx").read_bytes() == data == graphir.dumps(model, "onnx")


def test_a_copy_is_written_alike() -> None:
    data = torture().SerializeToString()
    assert graphir_onnx.to_proto(graphir_onnx.from_proto(data).copy()).SerializeToString() == data


def test_a_message_is_not_changed_by_reading_it() -> None:
    proto = torture()
    graphir_onnx.from_proto(proto)
    assert proto == torture()


def test_big_data_stays_in_the_file(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal((2, 300_000)).astype(np.float32)
    tensors = [numpy_helper.from_array(np.asarray(x), f"w{i}") for i, x in enumerate([*numbers, np.array([1, 2, 3], np.float32)])]
    tensors[0].doc_string = "the first"
    tensors.insert(1, TensorProto(name="typed", data_type=TensorProto.FLOAT, dims=[2], float_data=[1, 2]))
    data = helper.make_model(helper.make_graph([], "g", [], [], tensors)).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data)
    model = graphir.load(tmp_path / "m.onnx")
    big = model.graph.weights["w0"].tensor
    assert isinstance(big, Tensor) and big._array is None
    assert big.array.tobytes() == numbers[0].tobytes() and not big.array.flags.writeable and big.array.flags.aligned
    assert model.graph.weights["w2"].known == (1.0, 2.0, 3.0)
    assert graphir_onnx.to_proto(model).SerializeToString() == data == round_trip(data)


# ---- what is read -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [k for k in TENSORS if k != "STRING"])
def test_tensors_of_every_type(label: str) -> None:
    model = graphir_onnx.from_proto(torture())
    protos = {t.name: t for t in torture().graph.initializer}
    for name in (f"raw_{label}", f"typed_{label}"):
        tensor, expected = model.graph.weights[name].tensor, numpy_helper.to_array(protos[name])
        assert isinstance(tensor, Tensor) and tensor.array.dtype == expected.dtype
        assert tensor.array.tobytes() == expected.tobytes()
        made = Graph()
        made.weight(name, tensor.array)
        written = graphir_onnx.to_proto(Model(made)).graph.initializer[0]
        assert numpy_helper.to_array(written).tobytes() == expected.tobytes()


def test_odd_data_is_read_as_what_it_stands_for() -> None:
    weights = graphir_onnx.from_proto(torture()).graph.weights
    read = {name: w.tensor.array.tolist() for name, w in weights.items() if isinstance(w.tensor, Tensor)}
    assert read["truths"] == [False, True, True] and read["typed_truths"] == [True, False]
    assert [int(x) for x in read["padding"]] == [1, 2, 3]
    assert read["strings"] == [["", "é"], [b"\xff\x00\xfe", "plain"]]
    assert read["empty"] == [[], []] and read["scalar"] == 3.0 and read["typed_scalar"] == -7
    nan = weights["nan"].tensor
    assert isinstance(nan, Tensor) and nan.array.view(np.uint32)[0] == 0x7FA00001 and np.signbit(nan.array[1])
    sparse = weights["rows"].tensor
    assert not isinstance(sparse, Tensor) and sparse.dense().tolist() == [[0, 0, 0], [0, 0, 1]]


def test_weights_inputs_and_bodies() -> None:
    model = graphir_onnx.from_proto(torture())
    graph = model.graph
    assert graph.weights["raw_FLOAT"].kind == "default" and graph.weights["raw_FLOAT"] in graph.inputs
    assert graph.weights["raw_INT8"].kind == "constant" and graph.weights["raw_INT64"] in graph.outputs
    nodes = {n.name: n for n in graph.nodes}
    then, other = (nodes["choose"].attributes[k] for k in ("then_branch", "else_branch"))
    assert isinstance(then, Graph) and then.parent is graph and then.owner is nodes["choose"]
    assert then.nodes[0].inputs[0] is graph.nodes[0].outputs[0]
    nested = then.nodes[1].attributes["then_branch"]
    assert isinstance(nested, Graph) and nested.parent is then and nested.nodes[0].inputs[0] is graph.inputs[0]
    assert isinstance(other, Graph) and other.weights["own"].graph is other
    assert [v and v.name for v in nodes["odd"].inputs] == ["hidden", None, "raw_FLOAT", None]
    assert [v and v.name for v in nodes["odd"].outputs] == [None, "odd", None]


def test_attributes_and_functions() -> None:
    model = graphir_onnx.from_proto(torture())
    casts = [n for n in model.graph.nodes if n.op.name == "Cast"]
    assert casts[0].op is lookup("", "Cast") and casts[0].attributes == {"to": "float16"} and casts[1].attributes == {}
    odd = next(n for n in model.graph.nodes if n.name == "odd").attributes
    assert (odd["i"], odd["s"], odd["bytes"], odd["ints"]) == (7, "text", b"\xff\x00", (1, 2)) and odd["old"] == 3
    assert odd["f"] == float(np.float32(0.1)) and odd["no_floats"] == () and str(odd["type"]) == "map(string, float32[2, 3])"
    one, other = model.functions["local", "Double", ""], model.functions["local", "Double", "other"]
    assert one.attributes == {"scale": None, "unused": None} and one.opsets == {"": 17, "local": 1}
    assert one.graph.nodes[0].attributes["value_float"] == graphir.ir.Ref("scale", "float")
    assert other.attributes["must"] is None and other.attributes["alpha"] == 0.5 and other.opsets == {"": 21, "com.example": 3}
    call = model.graph.nodes[-1]
    assert call.op.key == other.key and call.op not in (lookup("", "Mul"),)
    assert model.opsets == {"com.example": 3, "": 18, "local": 1, "ai.onnx.ml": 3, "unused": 9} and model.graph.needs_upgrade


def test_a_function_hides_the_operator_of_its_name() -> None:
    body = helper.make_function("", "Relu", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])], [helper.make_opsetid("", 28)])
    x, y = (helper.make_tensor_value_info(n, 1, [2]) for n in "xy")
    proto = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")], "g", [x], [y]), functions=[body]
    )
    model = graphir_onnx.from_proto(proto)
    assert type(model.graph.nodes[0].op) is graphir.ir.Operator and model.graph.nodes[0].op.key in model.functions


def test_names_are_found_in_the_graph_around_and_hidden_by_the_body() -> None:
    """Bodies may give a value the name of an outer one, and an outer name may be used before the body hides it."""
    inner = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["x2"]), helper.make_node("Neg", ["x2"], ["h"])], "b", [], [onnx.ValueInfoProto(name="h")]
    )
    outer = [helper.make_node("Neg", ["x"], ["h"]), helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]
    infos = [helper.make_tensor_value_info("c", 9, []), helper.make_tensor_value_info("x", 1, [2])]
    graph = helper.make_graph(outer, "g", infos, [helper.make_tensor_value_info("y", 1, [2])])
    data = helper.make_model(graph).SerializeToString()
    assert round_trip(data) == data


# ---- edits --------------------------------------------------------------------------------------------------------------------------

Difference = tuple[str, Any, Any]


def differences(a: Any, b: Any, path: str = "") -> Iterator[Difference]:
    """Where two messages differ, with what stands there."""
    for field in a.DESCRIPTOR.fields:
        x, y, at = getattr(a, field.name), getattr(b, field.name), f"{path}.{field.name}".lstrip(".")
        if hasattr(x, "extend"):
            if len(x) != len(y):
                yield f"{at}[]", len(x), len(y)
                continue
            for i, (p, q) in enumerate(zip(x, y)):
                if field.type == field.TYPE_MESSAGE:
                    yield from differences(p, q, f"{at}[{i}]")
                elif repr(p) != repr(q):
                    yield f"{at}[{i}]", p, q
        elif field.type == field.TYPE_MESSAGE:
            if a.HasField(field.name) or b.HasField(field.name):
                yield from differences(x, y, at)
        elif a.HasField(field.name) != b.HasField(field.name) or repr(x) != repr(y):
            yield at, x, y


def edited(edit: Callable[[Model], Any]) -> list[Difference]:
    """What differs in the torture model after an edit."""
    model = graphir_onnx.from_proto(TORTURE)
    edit(model)
    return list(differences(TORTURE, graphir_onnx.to_proto(model)))


def changed(x: Any) -> Any:
    """Something else of the same kind."""
    match x:
        case str():
            return x + "!"
        case bytes():
            return x + b"!"
        case tuple():
            return (changed(x[0]), *x[1:])
        case float():
            return 2.5
        case _:
            return x + 1


def plain_attributes(model: Model) -> list[tuple[graphir.ir.Node, str]]:
    kinds = (int, float, str, bytes)
    nodes = [n for g in model.graphs() for n in g.nodes]
    found = [(n, k) for n in nodes for k, x in n.attributes.items() if isinstance(x[0] if isinstance(x, tuple) and x else x, kinds)]
    return [(n, k) for n, k in found if n.op.name != "Cast"]


def test_an_attribute_changes_alone() -> None:
    count = len(plain_attributes(graphir_onnx.from_proto(torture())))
    assert count > 12
    for i in range(count):
        said = []

        def edit(model: Model, i: int = i, said: list = said) -> None:
            node, name = plain_attributes(model)[i]
            said.append((name, node.attributes[name]))
            node.attributes[name] = changed(node.attributes[name])

        found = edited(edit)
        assert len(found) == 1, (said, found)
        assert found[0][0].rpartition(".")[0].endswith("]") and ".attribute[" in found[0][0]


TWICE = {"hidden", "chosen", "fixed"}  # the torture model says their types twice; the second goes with the old name


def test_a_value_changes_its_name_alone() -> None:
    names = [v.name for g in graphir_onnx.from_proto(torture()).graphs() for v in g.values()]
    assert len(names) > 90
    for i, name in enumerate(names):

        def rename(model: Model, i: int = i) -> None:
            [v for g in model.graphs() for v in g.values()][i].named("renamed")

        if names.count(name) > 1:
            continue
        found = [d for d in edited(rename) if not (name in TWICE and d[0].startswith("graph.value_info"))]
        assert found, name
        for path, before, after in found:
            assert (before, after) == (name, "renamed"), (path, before, after)
            assert path.endswith(".name") or ".input[" in path or ".output[" in path


def test_types_of_names_that_are_gone_go_too() -> None:
    model = graphir_onnx.from_proto(TORTURE)
    before = [v.name for v in TORTURE.graph.value_info]
    model.find("chosen").named("renamed")
    after = [v.name for v in graphir_onnx.to_proto(model).graph.value_info]
    assert "chosen" in before and after == [name for name in before if name != "chosen"]  # "nobody" stood for nothing from the first


def _node(model: Model, name: str = "odd") -> graphir.ir.Node:
    return next(n for n in model.graph.nodes if n.name == name)


def _retype(model: Model) -> None:
    model.inputs[0].declared = TensorType("float32", (2, 4))


def _reorder(model: Model) -> None:
    model.graph.outputs = model.graph.outputs[::-1]


EDITS: dict[str, tuple[Callable[[Model], Any], set[str]]] = {
    "node name": (lambda m: setattr(_node(m), "name", "other"), {"graph.node[2].name"}),
    "overload": (lambda m: setattr(_node(m), "op", graphir.ir.Operator("com.example", "Strange", "v3")), {"graph.node[2].overload"}),
    "documentation": (lambda m: _node(m).carried.update(doc="new"), {"graph.node[2].doc_string"}),
    "metadata": (lambda m: m.metadata.update(a="other"), {"metadata_props[1].value"}),
    "new metadata": (lambda m: m.metadata.update(new="x"), {"metadata_props[]"}),
    "opset": (lambda m: m.opsets.update({"com.example": 4}), {"opset_import[0].version"}),
    "producer": (lambda m: m.carried.update(producer_name="me"), {"producer_name"}),
    "declared type": (_retype, {f"graph.{f}[{i}].type.tensor_type.shape.dim[1].dim_value" for f, i in (("input", 0), ("output", 2))}),
    "attribute gone": (lambda m: _node(m).attributes.pop("f"), {"graph.node[2].attribute[]"}),
    "attribute more": (lambda m: _node(m).attributes.update(more=1), {"graph.node[2].attribute[]"}),
    "attribute of another kind": (lambda m: _node(m).attributes.update(i=1.5), {f"graph.node[2].attribute[0].{f}" for f in ("type", "i", "f")}),
    "input left out": (lambda m: _node(m).set_inputs(_node(m).inputs[:1]), {"graph.node[2].input[]"}),
    "body's attribute": (lambda m: m.graph.nodes[1].bodies["else_branch"].nodes[0].attributes.update(x=1), {"graph.node[1].attribute[0].g.node[0].attribute[]"}),
    "function's default": (lambda m: m.functions["local", "Double", "other"].attributes.update(alpha=1.0), {"functions[1].attribute_proto[0].f"}),
    "function's opset": (lambda m: m.functions["local", "Double", "other"].opsets.update({"": 22}), {"functions[1].opset_import[0].version"}),
    "weight's data": (lambda m: setattr(m.graph.weights["raw_INT8"], "tensor", Tensor.of([9] * 7, "int8")), {f"graph.initializer[{4}].raw_data"}),
    "new weight": (lambda m: m.graph.weight("new", [1.0]), {"graph.initializer[]"}),
    "training gone": (lambda m: m.training.pop(), {"training_info[]"}),
}  # fmt: skip


@pytest.mark.parametrize("row", EDITS)
def test_an_edit_changes_nothing_else(row: str) -> None:
    edit, expected = EDITS[row]
    assert {path for path, _, _ in edited(edit)} == expected


def test_outputs_are_written_in_their_order() -> None:
    model = graphir_onnx.from_proto(torture())
    _reorder(model)
    assert list(graphir_onnx.to_proto(model).graph.output) == list(torture().graph.output)[::-1]


def test_dtypes_cover_those_of_onnx() -> None:
    assert set(NAMES) == {helper.tensor_dtype_to_np_dtype(n) for n in TENSORS.values()}
