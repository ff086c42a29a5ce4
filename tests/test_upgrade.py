"""Raising and lowering whole models: bodies, functions, values of unknown type; and one node at a time."""

import numpy as np
import onnx
import pytest

import graphir_onnx
from graphir import Graph, Model, Tensor, TensorType
from graphir.dims import symbol
from graphir.nodes import Node, Operator
from graphir.ops import OPS, OPSETS, lookup
from graphir.passes.lower import LowerError, forms, lower_opset
from graphir.passes.upgrade import UpgradeError, types_of_old_form, upgrade
from referees import run, run_reference

NEWEST = OPSETS[""]


def _proto(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def test_bodies_are_raised_where_they_stand() -> None:
    proto = _proto("""<ir_version: 8, opset_import: ["": 11]> g (bool c, float[2,3] x) => (float[2,3] y) {
        y = If (c) <then_branch = t () => (float[2,3] a) { s = Softmax (x)  a = Clip (s) },
                    else_branch = e () => (float[2,3] b) { r = ReduceSum <axes=[1]> (x)  b = Add (r, x) }>
    }""")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = [run(proto, {"c": np.array(c), "x": x})[0] for c in (True, False)]
    model = upgrade(graphir_onnx.from_proto(proto))
    bodies = model.graph.nodes[0].bodies
    assert [n.op.name for n in bodies["then_branch"].nodes] == ["Softmax", "Clip"]
    assert bodies["then_branch"].nodes[0].attributes == {"axis": -1}
    assert [v.name for v in bodies["else_branch"].outputs] == ["b"]
    raised = graphir_onnx.to_proto(model, opset=NEWEST)
    for c, want in zip((True, False), expected):
        np.testing.assert_allclose(run(raised, {"c": np.array(c), "x": x})[0], want, rtol=1e-6)


def test_what_a_body_needs_is_built_in_it() -> None:
    proto = _proto("""<ir_version: 8, opset_import: ["": 11]> g (bool c, float[2,3,4] x) => (float[2,3,4] y) {
        y = If (c) <then_branch = t () => (float[2,3,4] a) { a = Softmax <axis=1> (x) }, else_branch = e () => (float[2,3,4] b) { b = Neg (x) }>
    }""")
    model = upgrade(graphir_onnx.from_proto(proto))
    assert [n.op.name for n in model.graph.nodes] == ["If"]
    assert [n.op.name for n in model.graph.nodes[0].bodies["then_branch"].nodes] == ["Flatten", "Softmax", "Shape", "Reshape"]
    assert "Transpose" not in str(lower_opset(model, {"": 11}))


FUNCTION = """<ir_version: 8, opset_import: ["": 17, "own": 1]> g (float[2,3] x) => (float[2,1] y) { y = own.f <axes=[1], low=0.0> (x) }
    <domain: "own", opset_import: ["": 11]> f <axes, low> (x) => (y) {
        p = ReduceSum <axes: ints = @axes> (x)
        q = Squeeze <axes=[1]> (p)
        r = Unsqueeze <axes=[1]> (q)
        y = Softmax <axis=0> (r)
    }"""


def test_functions_are_raised_without_types() -> None:
    proto = _proto(FUNCTION)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = upgrade(graphir_onnx.from_proto(proto))
    (function,) = model.functions.values()
    assert function.opsets == {"": NEWEST} and not function.graph.weights
    assert [v.name for v in function.graph.outputs] == ["y"]
    raised = graphir_onnx.to_proto(model, opset=NEWEST)
    onnx.checker.check_model(raised)
    want = np.exp(x.sum(1, keepdims=True) - x.sum(1).max())
    np.testing.assert_allclose(run_reference(raised, {"x": x})[0], want / want.sum(), rtol=1e-6)


def test_an_attribute_of_a_function_that_must_be_known_is_refused() -> None:
    proto = _proto("""<ir_version: 8, opset_import: ["": 17, "own": 1]> g (float[2,3] x) => (float[2,1] y, int64[2,1] i) { y, i = own.f <n=1> (x) }
        <domain: "own", opset_import: ["": 9]> f <n> (x) => (y, i) { y, i = TopK <k: int = @n> (x) }""")
    with pytest.raises(UpgradeError, match="TopK-1 cannot be raised to TopK-10: k is an attribute of the enclosing function"):
        upgrade(graphir_onnx.from_proto(proto))


def test_nodes_on_values_of_unknown_type_are_raised() -> None:
    proto = _proto("""<ir_version: 6, opset_import: ["": 9, "own": 1]> g (float[2,3,4] x) => (float[2,3,4] y) {
        u = own.unknown (x)
        a = Softmax (u)
        b = Clip <min=0.0> (a)
        c = Pad <pads=[0,0,0,0,0,1], value=1.0> (b)
        d = Slice <starts=[0], ends=[4], axes=[2]> (c)
        e = ReduceMax <axes=[0]> (d)
        y = Add (d, e)
    }""")
    model = upgrade(graphir_onnx.from_proto(proto))
    assert [n.op.name for n in model.graph.nodes] == [
        "unknown", "Flatten", "Softmax", "Shape", "Reshape", "CastLike", "Clip", "CastLike", "Pad", "Slice", "ReduceMax", "Add",
    ]  # fmt: skip
    onnx.checker.check_model(graphir_onnx.to_proto(model, opset=NEWEST))


def test_an_unknown_rank_that_must_be_known_is_an_error() -> None:
    proto = _proto("""<ir_version: 3, opset_import: ["": 6, "own": 1]> g (float[2,3,4] x, float[3] z) => (float[2,3,4] y) {
        u = own.unknown (x)
        y = Add <broadcast=1, axis=1> (u, z)
    }""")
    model = graphir_onnx.from_proto(proto)
    with pytest.raises(UpgradeError, match="node 'y': Add-6 cannot be raised to Add-7: the rank of the first input is unknown"):
        upgrade(model)


@pytest.mark.parametrize(
    ("opset", "text"),
    [
        (6, "Add <broadcast=1, axis=0> (x)"),
        (6, 'Add <broadcast=1, axis="one"> (x, x)'),
        (1, "Cast (x)"),
        (1, 'Cast <to="NOTHING"> (x)'),
        (6, "Clip <min=[1.0]> (x)"),
        (1, "Tile (x)"),
        (9, "TopK (x)"),
        (9, "Slice <starts=1.5, ends=[2]> (x)"),
        (12, 'ReduceSum <axes="all"> (x)'),
        (7, "Upsample <scales=1.0> (x)"),
        (1, "Upsample (x)"),
        (8, "Scan (x)"),
        (8, "Scan <num_scan_inputs=1, body=3> (x, x, x)"),
        (20, "GroupNormalization <num_groups=0> (x, x, x)"),
        (1, "LpPool <p=1.5> (x)"),
        (8, "BatchNormalization <spatial=0> (x)"),
    ],
)
def test_nodes_that_the_standard_does_not_allow_are_named(opset: int, text: str) -> None:
    proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["": {opset}]> g (float[2,4] x) => (y) {{ y = {text} }}""")
    model = graphir_onnx.from_proto(proto)
    with pytest.raises(UpgradeError, match=r"node 'y': .* cannot be raised to"):
        upgrade(model)


SCAN = """<ir_version: 4, opset_import: ["": 8]> g (%sfloat[2,3] h, float[2,4,3] x) => (float[2,3] last, float[2,4,3] all) {
    last, all = Scan <num_scan_inputs=1, directions=[%d], body = b (float[3] s, float[3] e) => (float[3] t, float[3] o) {
        t = Add (s, e)  o = Identity (t)
    }> (%s, h, x)
}"""


@pytest.mark.parametrize(("lengths", "backward"), [(None, 0), (None, 1), ([4, 2], 0)])
def test_scan_over_a_batch(lengths: list[int] | None, backward: int) -> None:
    text = SCAN % ("int64[2] n, " if lengths else "", backward, "n" if lengths else "")
    h, x = np.ones((2, 3), np.float32), np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    model = graphir_onnx.from_proto(_proto(text))
    assert [str(v.type) for v in model.outputs] == ["float32[2, 3]", "float32[2, 4, 3]"]
    upgrade(model)
    assert [str(v.type) for v in model.outputs] == ["float32[2, 3]", "float32[2, 4, 3]"]
    assert [v.name for v in model.outputs] == ["last", "all"]
    feeds = {"h": h, "x": x} | ({"n": np.array(lengths)} if lengths else {})
    last, every = run(graphir_onnx.to_proto(model, opset=NEWEST), feeds)
    steps_ = x[:, ::-1] if backward else x
    want = h[:, None] + np.cumsum(steps_, 1)
    for i, n in enumerate(lengths or (4, 4)):
        np.testing.assert_array_equal(last[i], want[i, n - 1])
        np.testing.assert_array_equal(every[i, :n], want[i, :n])


def test_what_was_empty_is_left_out() -> None:
    proto = onnx.parser.parse_model("""<ir_version: 6, opset_import: ["": 11]> g (float[1,1,2,2] x) => (float[1,1,4,4] y)
        <float[0] roi = {}, float[0] none = {}, int64[4] sizes = {1, 1, 4, 4}> { y = Resize (x, roi, none, sizes) }""")
    model = upgrade(graphir_onnx.from_proto(proto))
    assert [v and v.name for v in model.graph.nodes[0].inputs] == ["x", None, None, "sizes"]
    assert list(model.graph.weights) == ["sizes"]
    again = lower_opset(model, {"": 11}).graph.nodes[0]
    assert [None if v is None else v.type.shape for v in again.inputs] == [(1, 1, 2, 2), (0,), (0,), (4,)]


def test_updates_names_and_notes_survive() -> None:
    graph = Graph()
    x = graph.input("x", TensorType("float32", (symbol("n"), 4, 5)))
    node = graph.append(lookup("", "Softmax"), (x,), {"axis": 1}, [x.type], "my_softmax", ["p"])
    node.carried = {"doc": "why", "metadata": {"a": "b"}, "origin": b""}
    weight = graph.weight("w", np.zeros((2, 4, 5), np.float32), "state")
    model = Model(graph, opsets={"": 12})
    p = node.outputs[0]
    assert p is not None
    model.update(weight, p)
    graph.output(p)
    graph.needs_upgrade = True
    upgrade(model)
    (made,) = (n for n in graph.nodes if n.op.name == "Softmax")
    assert (made.name, made.carried) == ("my_softmax", {"doc": "why", "metadata": {"a": "b"}})
    assert [v.name for v in model.outputs] == ["p"] and model.updates[weight] is model.outputs[0]
    assert str(model.outputs[0].type) == "float32[n, 4, 5]"


# ---- one node at a time -------------------------------------------------------------------------------------------------------------------


def test_types_of_old_forms_leave_the_graph_alone() -> None:
    model = graphir_onnx.from_proto(
        _proto("""<ir_version: 6, opset_import: ["": 10]> g (float[N,3,4] x, int64[1] k) => (float[N,3,4] y, float[N,3,K] v) {
        y = Softmax (x)
        v, i = TopK (x, k)
    }""")
    )
    text = str(model)
    for node in model.graph.nodes:
        types = types_of_old_form(node, node.inputs, 10)
        assert str(types[0]).startswith("float32[N, 3, ")
    assert str(model) == text


def test_looking_at_nodes_with_bodies_leaves_no_trace() -> None:
    proto = onnx.parser.parse_model("""<ir_version: 4, opset_import: ["": 8]> g (float[2,3] h, float[2,4,3] x, float[3] z) => (float[2,3] y) {
        y, all = Scan <num_scan_inputs=1, body = b (float[3] s, float[3] e) => (float[3] t, float[3] o) { t = Add (s, z)  o = Mul (e, z) }> (, h, x)
    }""")
    model = graphir_onnx.from_proto(proto)
    node, z = model.graph.nodes[0], model.graph.inputs[2]
    body = node.attributes["body"]
    assert isinstance(body, Graph) and body.owner is node
    assert [str(t) for t in types_of_old_form(node, node.inputs, 8)] == ["float32[2, 3]", "float32[2, 4, 3]"]
    assert set(z.uses) == set(body.nodes) and len(z.uses) == 2
    upgrade(model)
    assert len(z.uses) == 2
    assert [v for v, _ in forms(model.graph.nodes[0])] == [25, 24, 23, 21, 19, 16, 11, 9]
    assert len(z.uses) == 2 and all(isinstance(user, Node) and user.graph is not None for user in z.uses)


def test_forms_go_down_as_far_as_the_node_can_be_said() -> None:
    graph = Graph()
    x = graph.input("x", TensorType("float32", (2, 3)))
    axes = graph.input("axes", TensorType("int64", (1,)))
    ops = {name: op for (_, name), op in OPS.items()}
    constant = ops["ReduceSum"](x, [1]).node
    computed = ops["ReduceSum"](x, axes).node
    last = ops["Softmax"](x, axis=-1).node
    first = ops["Softmax"](x, axis=0).node
    scatter = ops["ScatterElements"](x, graph.weight("i", np.zeros((2, 3), np.int64)), x, axis=1).node
    assert [[v for v, _ in forms(n)] for n in (constant, computed, last, first, scatter)] == [
        [13, 11, 1],
        [13],
        [13, 11, 1],
        [13],
        [18, 16, 13, 11, 9],
    ]
    assert [v for v, _ in forms(constant, down_to=12)] == [13, 11]
    assert [(f.op.name, dict(f.attributes)) for _, f in forms(constant)][-1] == ("ReduceSum", {"axes": (1,)})
    assert [f.op.name for _, f in forms(scatter)][-1] == "Scatter"
    assert constant.attributes == {} and len(constant.inputs) == 2
    foreign = graph.append(Operator("own", "thing"), (x,), {}, [None])
    assert list(forms(foreign)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ArgMax <axis=-1> (x)", {"axis": 2}),
        ("ReduceMax (x, last)", {"axes": (2,)}),
        ("Slice (x, zero, one, last)", {"starts": (0,), "ends": (1,), "axes": (2,)}),
        ("Unsqueeze (x, last)", {"axes": (3,)}),
        ("LogSoftmax <axis=-1> (x)", {"axis": 2}),
        ("Constant <value_int=3> ()", {"value": Tensor.of(np.int64(3))}),
        ("Constant of a sparse tensor", {"value": Tensor.of(np.array([0, 3, 0, 0], "float32"))}),
        ("Dropout (x, ratio)", {"ratio": 0.25}),
        ("LSTM <hidden_size=4> (x, w, r)", {"hidden_size": 4, "output_sequence": 1}),
    ],
)
def test_how_lowered_nodes_are_said(text: str, said: dict) -> None:
    if "sparse" in text:
        node = onnx.helper.make_node("Constant", [], ["y"], sparse_value=_sparse())
        proto = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")]), ir_version=10)
    else:
        proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["": 28]> g (float[2,3,4] x, float[1,16,4] w, float[1,16,4] r) => (y)
            <int64[1] last = {{-1}}, int64[1] zero = {{0}}, int64[1] one = {{1}}, float ratio = {{0.25}}> {{ y = {text} }}""")
    model = lower_opset(graphir_onnx.from_proto(proto), {"": 1 if "LSTM" in text else 9})
    assert model.graph.nodes[0].attributes == said


def _sparse() -> onnx.SparseTensorProto:
    values = onnx.numpy_helper.from_array(np.array([3], "float32"), "values")
    return onnx.helper.make_sparse_tensor(values, onnx.numpy_helper.from_array(np.array([1]), "indices"), [4])


def test_a_loop_that_carries_nothing_is_new() -> None:
    proto = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 28]> g (int64 n) => (int64[M] y) {
        y = Loop (n, ) <body = b (int64 i, bool c) => (bool d, int64 z) { d = Identity (c) z = Identity (i) }>
    }""")
    lower_opset(graphir_onnx.from_proto(proto), {"": 11})
    with pytest.raises(LowerError, match="Loop-25 cannot be said at opset 10: it carries no value"):
        lower_opset(graphir_onnx.from_proto(proto), {"": 10})


def test_opsets_that_do_not_exist_are_refused() -> None:
    for opset in (0, NEWEST + 1):
        with pytest.raises(ValueError, match=f"opset {opset} does not exist; expected 1 to {NEWEST}"):
            lower_opset(Model(Graph()), {"": opset})
    with pytest.raises(ValueError, match=r"own stand in opset 2"):
        lower_opset(Model(Graph(), opsets={"own": 2}), {"own": 1})
