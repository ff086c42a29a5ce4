"""Models of ai.onnx.ml: versions, gradients, pipelines, maps, and files that are not as they should be."""

import re
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import graphir
import graphir_onnx
from cases import Case
from cases.ml_tree import CLASSES, ONE, sets
from graphir import Graph, Model, Tensor, TensorType, ops
from graphir.ops import OPSETS, ml, ml_svm, ml_tree
from graphir.ops._gradient import GradientError
from graphir.passes.lower import LowerError, lower_opset
from graphir.passes.upgrade import UpgradeError, upgrade
from graphir.types import MapType, SequenceType
from referees import run_with_onnxruntime
from test_gradients import FLOAT32_ALONE
from test_ops import BY_NAME, ROWS

DOMAIN = "ai.onnx.ml"


def single(
    name: str, version: int, inputs: dict[str, Any], outputs: tuple[str, ...] = ("y",), opset: int = 15, **attributes: Any
) -> onnx.ModelProto:
    """A model of one node of ai.onnx.ml."""
    node = helper.make_node(name, list(inputs), list(outputs), name="the_node", domain=DOMAIN, **attributes)
    kinds = {"O": TensorProto.STRING}
    infos = [
        helper.make_tensor_value_info(k, kinds.get(x.dtype.kind) or helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for k, x in inputs.items()
    ]
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=n) for n in outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, version)], ir_version=8)


# ---- versions -----------------------------------------------------------------------------------------------------------------------------

WORDS, PLACES = np.array(["b", "q", "a"], object), np.array([1, 9, 0])
LABELS = {"classes_strings": ["a", "b"], "default_int64": 7, "default_string": "none"}
TREES = {**ONE, "n_targets": 1}
X = np.linspace(-2, 2, 12, dtype="float32").reshape(3, 4)
OLD: list[tuple[str, int, dict[str, Any], dict[str, Any], Any]] = [
    ("LabelEncoder", 1, {"x": WORDS}, LABELS, [1, 7, 0]),
    ("LabelEncoder", 1, {"x": PLACES}, LABELS, ["b", "none", "a"]),
    ("LabelEncoder", 2, {"x": PLACES}, {"keys_int64s": [9, 1], "values_floats": [0.5, 2.0]}, [2.0, 0.5, -0.0]),
    ("TreeEnsembleRegressor", 1, {"x": X}, TREES, None),
    ("TreeEnsembleRegressor", 3, {"x": X}, TREES, None),
]


@pytest.mark.parametrize(("name", "version", "inputs", "attributes", "expected"), OLD)
def test_old_forms_are_raised_and_written_as_they_were(name: str, version: int, inputs: Any, attributes: Any, expected: Any) -> None:
    proto = single(name, version, inputs, **attributes)
    found = run_with_onnxruntime(proto, inputs)
    assert found is not None and (expected is None or found[0].tolist() == expected)
    model = graphir_onnx.from_proto(proto)
    assert graphir.dumps(model, format="onnx") == proto.SerializeToString()
    made = graphir.compile(model).run(inputs)["y"]
    assert (made == found[0]).all() if made.dtype == object else np.allclose(made, found[0])
    upgrade(model)
    assert model.opsets[DOMAIN] == OPSETS[DOMAIN] and str(model.outputs[0].type).endswith("[3]" if name == "LabelEncoder" else "[3, 1]")
    again = graphir_onnx.to_proto(model)
    assert {i.domain: i.version for i in again.opset_import} == {"": 15, DOMAIN: version}
    assert {a.name for a in again.graph.node[0].attribute} == {a.name for a in proto.graph.node[0].attribute}
    np.testing.assert_array_equal(run_with_onnxruntime(again, inputs), found)


def test_what_an_older_version_cannot_say_is_refused() -> None:
    proto = single("LabelEncoder", 2, {"x": PLACES}, keys_int64s=[9, 1], values_floats=[0.5, 2.0])
    with pytest.raises(LowerError, match="LabelEncoder-4 cannot be said at opset 1: its keys and values are not labels and their places"):
        lower_opset(graphir_onnx.from_proto(proto), {DOMAIN: 1})
    with pytest.raises(ValueError, match=f"{DOMAIN} opset 6 does not exist; expected 1 to 5"):
        lower_opset(graphir_onnx.from_proto(proto), {DOMAIN: 6})


def test_a_label_encoder_of_unknown_input_cannot_be_raised() -> None:
    proto = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 15, "{DOMAIN}": 1, "own": 1]> g (int64[3] x) => (y) {{
        u = own.unknown (x)
        y = {DOMAIN}.LabelEncoder <classes_strings=["a"]> (u)
    }}""")
    with pytest.raises(UpgradeError, match=r"LabelEncoder-1 cannot be raised to .*LabelEncoder-2: the type of its input is unknown"):
        upgrade(graphir_onnx.from_proto(proto))


@pytest.mark.parametrize(
    ("build", "version"),
    [
        (lambda x: ml_tree.tree_ensemble_regressor(x, **TREES), 3),  # deprecated in 5
        (lambda x: ml_tree.tree_ensemble(x, **sets()), 5),
        (lambda x: ml.label_encoder(x, keys_tensor=Tensor.of(np.array([1.0, 2.0], "float32")), values_int64s=(1, 2)), 4),
        (lambda x: ml.scaler(x, scale=(2.0,), offset=(1.0,)), 3),
    ],
)
def test_models_built_here_are_written_in_the_oldest_version_that_is_usual(build: Any, version: int) -> None:
    graph = Graph("g")
    graph.output(build(graph.input("x", TensorType("float32", ("N", 4)))), "y")
    proto = graphir_onnx.to_proto(Model(graph))
    assert {i.domain: i.version for i in proto.opset_import}[DOMAIN] == version
    onnx.checker.check_model(proto)
    (found,) = run_with_onnxruntime(proto, {"x": X}) or [None]
    np.testing.assert_allclose(graphir.compile(Model(graph)).run({"x": X})["y"], found, rtol=1e-6)


# ---- gradients ----------------------------------------------------------------------------------------------------------------------------


def rows_with_gradients() -> list[Any]:
    rows = [(name, i, row) for name in FLOAT32_ALONE if name != "ZipMap" for i, row in enumerate(ROWS[name])]
    return [pytest.param(name, row, id=f"{name}-{i}") for name, i, row in rows if _has_gradient(row)]


def _has_gradient(row: Case) -> bool:
    arrays = row.arrays()
    if len(row.attributes.get("prob_a") or ()) > 1 or row.attributes.get("one_class"):
        return False
    return all(x.dtype == np.float32 and x.size and (abs(x) < 100).all() and x.any(-1).all() for x in arrays)


@pytest.mark.parametrize(("name", "row"), rows_with_gradients())
def test_gradients_agree_with_differences(name: str, row: Case) -> None:
    graph = Graph("row")
    inputs = [graph.input(f"x{i}", TensorType("float32", ("N", x.shape[-1])[-x.ndim :])) for i, x in enumerate(row.arrays())]
    made = BY_NAME[name](*inputs, **row.attributes)
    graph.output(made[-1] if isinstance(made, tuple) else made, "y")
    feeds = {v.name: x for v, x in zip(inputs, row.arrays())}
    report = graphir.check_gradient(Model(graph), of="y", wrt=[*feeds], feeds=feeds)
    assert report.ok and any(r.gradient for r in report.rows), str(report)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (
            lambda x: ml_svm.svm_classifier(x, **ROWS["SVMClassifier"][9].attributes)[1],
            "of more than two classes are where an iteration ends",
        ),
        (lambda x: ml_svm.svm_regressor(x, coefficients=(1.0, 2.0), one_class=1), "no path leads from x to y"),  # -1 or 1
        (lambda x: ml_tree.tree_ensemble_regressor(ops.shape.concat(x, x, axis=1), **TREES), "no path leads from x to y"),
        (
            lambda x: ml.zip_map(x, classlabels_int64s=(1, 2)),
            "y is sequence(map(int64, float32[])); only a tensor of floats can be differentiated",
        ),
    ],
)
def test_where_there_is_no_gradient_an_error_says_so(build: Any, said: str) -> None:
    graph = Graph("g")
    graph.output(build(graph.input("x", TensorType("float32", (3, 2)))), "y")
    with pytest.raises(GradientError, match=re.escape(said)):
        graphir.gradient(Model(graph), of="y", wrt=["x"])


# ---- maps ---------------------------------------------------------------------------------------------------------------------------------


def test_maps_go_in_and_come_out() -> None:
    graph = Graph("g")
    m = graph.input("m", MapType("string", TensorType("float32", ())))
    vector = ml.dict_vectorizer(m, string_vocabulary=("a", "b", "c"))
    graph.output(ml.zip_map(vector, classlabels_int64s=(1, 2, 3)), "maps")
    graph.outputs = [*graph.outputs, m]
    model = Model(graph)
    assert model.outputs[0].type == SequenceType(MapType("int64", TensorType("float32", ())))
    given = {"c": 2.0, "a": 1.0}
    found = graphir.compile(model).run({"m": given})
    assert found["maps"] == [{1: 1.0, 2: 0.0, 3: 2.0}] and found["m"] == given and found["m"] is not given
    for format in ("onnx", "gir"):
        read = graphir.loads(graphir.dumps(model, format=format), format=format)
        assert graphir.compile(read).run({"m": given}, fetch=["maps"]) == {"maps": found["maps"]}


# ---- files that are not as they should be -----------------------------------------------------------------------------------------------


def changed(a: dict[str, Any], name: str, at: int, x: Any) -> dict[str, Any]:
    return {**a, name: (*a[name][:at], x, *a[name][at + 1 :])}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("TreeEnsembleRegressor", changed(TREES, "nodes_truenodeids", 0, 0), "lead back to themselves"),
    ("TreeEnsembleRegressor", changed(TREES, "nodes_truenodeids", 0, 999), "leads to node 999 of tree 0, which has no such node"),
    ("TreeEnsembleRegressor", changed(TREES, "nodes_nodeids", 1, 0), "two nodes of a tree have one id"),
    ("TreeEnsembleRegressor", changed(TREES, "nodes_featureids", 0, 4), "looks at feature 4; x has 4"),
    ("TreeEnsembleRegressor", changed(TREES, "nodes_featureids", 0, -1), "looks at feature"),
    ("TreeEnsembleRegressor", changed(TREES, "nodes_modes", 0, "BRANCH"), "a node's mode is 'BRANCH'"),
    ("TreeEnsembleRegressor", changed(TREES, "target_nodeids", 0, 999), "a vote is of node 999"),
    ("TreeEnsembleRegressor", changed(TREES, "target_ids", 0, 1), "target_ids go from 0 to 1; expected 0 to 0"),
    ("TreeEnsembleRegressor", {**TREES, "nodes_values": (1.0,)}, "nodes_values has 1 entries"),
    ("TreeEnsembleRegressor", {**TREES, "base_values": (1.0, 2.0)}, "there are 2 base values"),
    ("TreeEnsembleRegressor", {"n_targets": 1}, "nodes_nodeids is left out"),
    ("TreeEnsembleClassifier", {**CLASSES, "classlabels_int64s": (1, 2)}, "class_ids go from 0 to 2; expected 0 to 1"),
    ("TreeEnsembleClassifier", CLASSES, "no labels are given"),
    ("TreeEnsemble", sets(nodes_truenodeids=(0, 0, 2)), "lead back to themselves"),
    ("TreeEnsemble", sets(nodes_truenodeids=(7, 0, 2)), "a node's child is 7; there are 3 nodes and 4 leaves"),
    ("TreeEnsemble", sets(nodes_falsenodeids=(9, 1, 2)), "a node's child is -10"),
    ("TreeEnsemble", sets(tree_roots=(0, 5)), "a tree's root is none of the 3 nodes"),
    ("TreeEnsemble", sets(nodes_modes=Tensor.of(np.array([0, 9, 0], "uint8"))), "nodes_modes holds {9}"),
    ("TreeEnsemble", sets(membership_values=None), "membership_values holds 0 sets"),
    ("LinearRegressor", {"coefficients": (1.0, 2.0, 3.0)}, "x has 4 features; the model has weights for 3"),
    ("LinearRegressor", {"coefficients": (1.0,) * 4, "post_transform": "CUBE"}, "post_transform is 'CUBE'"),
    ("SVMRegressor", {"coefficients": (1.0,), "n_supports": 1, "support_vectors": ()}, "support_vectors has 0 numbers"),
    ("SVMClassifier", {"coefficients": (1.0,) * 3, "vectors_per_class": (2, 1), "classlabels_ints": (1, 2)}, "3 coefficients and 0 rho"),
    ("Scaler", {"scale": (1.0, 2.0)}, "scale has 2 numbers"),
    ("Imputer", {"imputed_value_int64s": (1,)}, "imputed_value_floats is left out"),
    ("ZipMap", {"classlabels_int64s": (1, 2)}, "a column for each label"),
    ("OneHotEncoder", {"cats_strings": ("a",)}, "its categories are strings"),
    ("LabelEncoder", {"keys_int64s": (1,), "values_int64s": (1,)}, "the keys are int64; expected float32"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "attributes", "said"), BAD)
def test_what_is_wrong_with_a_model_is_said(name: str, attributes: dict[str, Any], said: str) -> None:
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", (3, 4)))
    with pytest.raises((TypeError, ValueError), match=re.escape(said)) as e:
        made = BY_NAME[name](x, **{k: v for k, v in attributes.items() if v is not None})
        graph.output(made[-1] if isinstance(made, tuple) else made, "y")
        graphir.compile(Model(graph)).run({"x": X})
    assert name in str(e.value)
