"""In which versions models are written: opsets, IR versions, and what the nodes need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import graphir
import graphir_onnx
from graphir import FormatError, Graph, Model, Tensor, TensorType
from graphir.cli import main
from graphir.dtypes import DTYPES
from graphir.ops import lookup
from graphir.ops.elementwise import add
from graphir.passes.upgrade import upgrade
from graphir_onnx.lowest import lowest, needed_ir
from torture import raw


def built(dtype: str = "float32") -> Model:
    """y = softmax(x + w), with a batch of any size."""
    graph = Graph("built")
    x = graph.input("x", TensorType(dtype, ("N", 3)))
    w = graph.weight("w", np.arange(3).astype(DTYPES[dtype]))
    graph.output(lookup("", "Softmax")(add(x, w), axis=-1), "y")  # pyright: ignore[reportCallIssue]
    return Model(graph)


def test_a_built_model_is_plain_onnx() -> None:
    proto = graphir_onnx.to_proto(built())
    onnx.checker.check_model(proto, full_check=True)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 13)] and proto.ir_version == 4
    assert proto.producer_name == "graphir"
    assert str(graphir_onnx.from_proto(proto).outputs[0].declared) == "float32[N, 3]"
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.asarray(session.run(None, {"x": np.zeros((2, 3), np.float32)})[0]).shape == (2, 3)


@pytest.mark.parametrize(("opset", "ir_version"), [(11, 6), (13, 8), (21, 10), (28, None)])
def test_the_versions_asked_for_are_written(opset: int, ir_version: int | None) -> None:
    proto = graphir_onnx.to_proto(built(), opset=opset, ir_version=ir_version)
    onnx.checker.check_model(proto, full_check=True)
    assert (proto.opset_import[0].version, proto.ir_version) == (opset, ir_version or 4)


@pytest.mark.parametrize(
    ("dtype", "options", "said"),
    [
        ("float32", {"opset": 29}, "no opset 29 of ai.onnx; expected 1 to 28"),
        ("float32", {"ir_version": 3}, "IR version 3 cannot hold the model; expected 4"),
        ("float32", {"ir_version": 99}, "no IR version 99"),
        ("bfloat16", {"opset": 12}, r"node '.*': .* takes no tensor\(bfloat16\) in opset 12; expected opset 13 or newer"),
    ],
)
def test_versions_that_cannot_say_it_are_refused(dtype: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(FormatError, match=said):
        graphir_onnx.to_proto(built(dtype), **options)


# An operator, its input's dtype, attributes -> the oldest opset that says it.
LOWEST = [("Add", "float32", {}, 1), ("Add", "bfloat16", {}, 13), ("Add", "int8", {}, 14), ("Identity", "float32", {}, 1), ("Identity", "int4", {}, 21),
          ("Cast", "float32", {"to": "float8_e4m3fn"}, 19), ("Cast", "float32", {"to": "float16"}, 1), ("Relu", "int32", {}, 14),
          ("Strange", "float32", {}, 1)]  # fmt: skip


@pytest.mark.parametrize(("op", "dtype", "attributes", "expected"), LOWEST)
def test_lowest(op: str, dtype: str, attributes: dict[str, Any], expected: int) -> None:
    graph = Graph()
    x = graph.input("x", TensorType(dtype, (2,)))
    made = TensorType(attributes.get("to", dtype), (2,))
    node = graph.append(lookup("" if op != "Strange" else "com.example", op), (x, x) if op == "Add" else (x,), attributes, [made])
    assert lowest(node) == expected


def test_a_raised_model_is_written_in_its_own_opset() -> None:
    x, y = (helper.make_tensor_value_info(n, 1, [2, 3]) for n in "xy")
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("LeakyRelu", ["h"], ["y"], alpha=0.5)]
    proto = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    model = upgrade(graphir_onnx.from_proto(proto))
    assert model.opsets[""] == 28
    assert graphir_onnx.to_proto(model) == proto
    add(model.graph.nodes[0].outputs[0], 1)
    assert graphir_onnx.to_proto(model).ir_version == 7
    raised = graphir_onnx.to_proto(model, opset=21)
    assert raised.opset_import[0].version == 21


# An operator that is added to a model of opset 11 -> what is noted of it, and the opset that is written.
NOTED = [
    ("Relu", None, 11),
    ("HardSwish", "written in opset 14 of ai.onnx, not in the model's own, 11: HardSwish of node 'added' needs it", 14),
    ("Gelu", "written in opset 20 of ai.onnx, not in the model's own, 11: Gelu of node 'added' needs it", 20),
]


@pytest.mark.parametrize(("name", "said", "opset"), NOTED)
def test_a_raised_opset_is_noted(name: str, said: str | None, opset: int, tmp_path: Path, capsys: Any) -> None:
    proto = onnx.parser.parse_model('<ir_version: 6, opset_import: ["": 11]> g (float[2,3] x) => (float[2,3] y) { y = Neg (x) }')
    model = upgrade(graphir_onnx.from_proto(proto))
    made = lookup("", name)(model.outputs[0])  # pyright: ignore[reportCallIssue]
    made.node.name = "added"
    model.graph.output(made, "z")
    notes: list[str] = []
    written = graphir_onnx.to_proto(model, note=notes.append)
    assert (notes, written.opset_import[0].version) == ([said] if said else [], opset)
    onnx.checker.check_model(written, full_check=True)
    graphir.save(model, tmp_path / "model.gir", note=notes.append)  # a format that has nothing to note
    graphir.save(model, tmp_path / "model.onnx", note=notes.append)
    assert graphir.dumps(model, "onnx", note=notes.append) == (tmp_path / "model.onnx").read_bytes()
    assert notes == [said] * 3 if said else not notes
    assert main(["export", str(tmp_path / "model.gir"), str(tmp_path / "again.onnx")]) == 0
    assert capsys.readouterr().err == (f"note: {said}\n" if said else "")


def test_a_part_of_a_shape_moves_no_model_to_a_newer_opset() -> None:
    """It is a Slice of the shape there, so that gradients are written where the model stands."""
    text = '<ir_version: 6, opset_import: ["": 11]> g (float[N,3,M] x) => (float[N,3,1] y) { k = Constant<value = int64[1] {1}> () y = Gather<axis=2> (x, k) }'
    proto = onnx.parser.parse_model(text)
    gradient = graphir.gradient(graphir_onnx.from_proto(proto), wrt="x")
    assert any(node.op.name == "Shape" and node.attributes for node in gradient.graph.nodes)
    written = graphir_onnx.to_proto(gradient)
    assert written.opset_import[0].version == 11
    onnx.checker.check_model(written, full_check=True)
    feeds = {"x": np.ones((2, 3, 4), np.float32), "seed_y": np.ones((2, 3, 1), np.float32)}
    ours, theirs = (graphir.compile(gradient, runtime).run(feeds)["d_x"] for runtime in ("numpy", "onnxruntime"))
    np.testing.assert_array_equal(ours, theirs)


def test_a_shape_of_what_older_opsets_do_not_have() -> None:
    proto = onnx.parser.parse_model('<ir_version: 6, opset_import: ["": 11]> g (float[2,3] x) => (float[2,3] y) { y = Neg (x) }')
    model = upgrade(graphir_onnx.from_proto(proto))
    b = model.graph.input("b", TensorType("bfloat16", ("N",)))
    model.graph.output(lookup("", "Shape")(b), "dims")  # pyright: ignore[reportCallIssue]
    assert graphir_onnx.to_proto(model).opset_import[0].version == 13


def test_a_raised_ir_version_is_noted() -> None:
    model = graphir_onnx.from_proto(helper.make_model(helper.make_graph([], "g", [], []), ir_version=7))
    model.graph.weight("w", np.ones(1, DTYPES["float8_e5m2"]))
    notes: list[str] = []
    graphir_onnx.to_proto(model, note=notes.append)
    assert notes == ["written in IR version 9, not in the model's own, 7: what it holds is newer"]


def test_an_opset_that_cannot_say_the_model_names_one_that_can() -> None:
    graph = Graph()
    x = graph.input("x", TensorType("float32", (2, 2)))
    graph.output(lookup("", "Trilu")(add(x, x)), "y")  # pyright: ignore[reportCallIssue]
    with pytest.raises(
        FormatError, match="Trilu-14 cannot be said at opset 13: the operator is new in opset 14; expected opset 14 or newer"
    ):
        graphir_onnx.to_proto(Model(graph), opset=13)


NEEDED: dict[str, tuple[Callable[[Graph], Any], int]] = {
    "nothing": (lambda g: None, 3),
    "a weight": (lambda g: g.weight("w", [1.0]), 4),
    "an integer of 4 bits": (lambda g: g.weight("w", np.ones(2, DTYPES["int4"])), 10),
    "a float of 6 bits": (lambda g: g.input("x", TensorType("float6_e2m3fn", ())), 14),
    "an optional": (lambda g: g.input("x", graphir.OptionalType(TensorType("float32", ()))), 8),
    "a tensor in an attribute": (
        lambda g: g.append(lookup("", "Constant"), (), {"value": Tensor.of(np.ones(2, DTYPES["uint2"]))}, [None]),
        13,
    ),
}


@pytest.mark.parametrize("row", NEEDED)
def test_the_ir_version_that_content_needs(row: str) -> None:
    build, expected = NEEDED[row]
    graph = Graph()
    build(graph)
    assert needed_ir(Model(graph)) == expected


def test_a_file_keeps_its_ir_version_until_something_asks_for_more() -> None:
    proto = helper.make_model(helper.make_graph([], "g", [], [], [raw("w", 1, [1], b"\0" * 4)]), ir_version=3)
    model = graphir_onnx.from_proto(proto)
    assert graphir_onnx.to_proto(model).ir_version == 3  # it says less than it needs, as it did
    model.graph.weight("v", np.ones(1, DTYPES["float8_e5m2"]))
    assert graphir_onnx.to_proto(model).ir_version == 9


def test_recurrent_nodes_are_written_with_hidden_size() -> None:
    graph = Graph()
    x, w, r = (graph.input(n, TensorType("float32", s)) for n, s in (("x", (5, 2, 3)), ("w", (1, 16, 3)), ("r", (1, 16, 4))))
    graph.append(lookup("", "LSTM"), (x, w, r), {}, [None])
    assert helper.get_node_attr_value(graphir_onnx.to_proto(Model(graph)).graph.node[0], "hidden_size") == 4


def test_constants_of_functions_are_nodes() -> None:
    """ONNX functions have no initializers; `upgrade` makes constants."""
    body = helper.make_node("ReduceSum", ["x"], ["y"], axes=[0], keepdims=0)
    function = helper.make_function("local", "Total", ["x"], ["y"], [body], [helper.make_opsetid("", 11)])
    x, y = (helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [2, 3]), ("y", [3])))
    graph = helper.make_graph([helper.make_node("Total", ["x"], ["y"], domain="local")], "g", [x], [y])
    imports = [helper.make_opsetid("", 11), helper.make_opsetid("local", 1)]
    proto = helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)
    written = graphir_onnx.to_proto(upgrade(graphir_onnx.from_proto(proto)), opset=13)
    onnx.checker.check_model(written, full_check=True)
    assert [n.op_type for n in written.functions[0].node] == ["Constant", "ReduceSum"]
    session = onnxruntime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.asarray(session.run(None, {"x": np.ones((2, 3), np.float32)})[0]).tolist() == [2, 2, 2]


def test_updates_have_no_place_in_a_graph() -> None:
    model = built()
    model.update(model.graph.weights["w"], model.graph.weights["w"])
    with pytest.raises(FormatError, match="updates its weights"):
        graphir_onnx.to_proto(model)


UNTYPED = {
    "an output": "g (float[3] x) => (o) { o = Optional (x) }",
    "of the smallest floats": "g (float[3] x) => (o) { o = Cast <to = 17> (x) }",
    "a branch's": "g (float[3] x, bool c) => (o) { o = If (c) <then_branch = t () => (p) { p = Optional (x) }, else_branch = e () => (q) { q = Optional (x) }> }",
}


@pytest.mark.parametrize("text", UNTYPED.values(), ids=UNTYPED)
@pytest.mark.parametrize("ir_version", [3, 7])
def test_a_type_that_the_file_does_not_say_asks_for_no_ir_version(text: str, ir_version: int) -> None:
    """What is inferred of an output is not written where the file says no type of it."""
    proto = onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["": 19]> {text}')
    for graph in (proto.graph, *(a.g for node in proto.graph.node for a in node.attribute if a.HasField("g"))):
        for v in graph.output:
            v.ClearField("type")
    model = graphir_onnx.from_proto(proto)
    for m in (model, model.copy(), graphir.loads(graphir.dumps(model, "gir"))):
        assert graphir.dumps(m, "onnx") == proto.SerializeToString()
    output = model.outputs[0]
    output.declared = output.type
    assert graphir_onnx.to_proto(model).ir_version == (9 if "17" in text else 8)
