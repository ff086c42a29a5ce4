"""Every declared operator, row by row: its declaration, its type rule and its kernel, against onnx."""

import importlib
import pkgutil
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import cases
from cases import Case
from graphir import Graph, Model, Tensor, TensorType, Value
from graphir.dims import Expr, atoms, substitute, symbol
from graphir.dtypes import DTYPES, NAMES, STRING
from graphir.ops import OPS, OPSETS, Op, arguments
from graphir.types import MapType, OptionalType, SequenceType, Type
from graphir_arrays.interpret import interpret
from graphir_arrays.kernel import Site, bind, find
from graphir_numpy.namespace import xp

MODULES = {m.name: importlib.import_module(f"cases.{m.name}") for m in pkgutil.iter_modules(cases.__path__)}
ROWS: dict[str, list[Case]] = {name: rows for m in MODULES.values() for name, rows in m.CASES.items()}
EVERY_ROW = [pytest.param(name, row, id=f"{name}-{i}") for name, rows in ROWS.items() for i, row in enumerate(rows)]
BY_NAME = {op.name: op for op in OPS.values()}
# Sequences and optionals aside, onnx's schemas differ from ours on purpose here: (op, what) -> why.
DIFFERENCES: dict[tuple[str, str], str] = {
    ("Constant", "value"): "every value_* attribute is optional, one must be given",
}
# The last versions of operators that are deprecated: op -> version.
LAST: dict[str, int] = {"TreeEnsembleClassifier": 3, "TreeEnsembleRegressor": 3}


def test_every_op_has_rows() -> None:
    assert set(BY_NAME) == set(ROWS)


def test_ops_are_named_as_their_functions() -> None:
    for op in OPS.values():
        assert getattr(importlib.import_module(op.module), op.function) is op


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_declaration_is_that_of_the_standard(op: Op) -> None:
    schema = onnx.defs.get_schema(op.name, domain=op.domain)
    assert op.since == schema.since_version
    formal = onnx.defs.OpSchema.FormalParameterOption
    ours = [(i.name, i.optional and not i.variadic, i.variadic) for i in op.inputs]
    theirs = [(i.name.lower(), i.option == formal.Optional, i.option == formal.Variadic) for i in schema.inputs]
    assert [o[1:] for o in ours] == [t[1:] for t in theirs]
    assert [_plain(o[0]) for o in ours] == [_plain(t[0]) for t in theirs]
    assert set(op.attributes) == set(schema.attributes)
    omitted = [i for i, o in enumerate(schema.outputs) if o.option == formal.Optional]
    assert op.optional_outputs == ([] if op.name == "BatchNormalization" else omitted)  # there training_mode says how many exist
    for name, theirs in schema.attributes.items():
        mine = op.attributes[name]
        assert mine.required == theirs.required, name
        if theirs.default_value.type:
            assert _plain_default(mine) == _attribute_default(theirs), name


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_allowed_types_are_those_of_the_standard(op: Op) -> None:
    schema = onnx.defs.get_schema(op.name, domain=op.domain)
    allowed = {c.type_param_str: {t for t in c.allowed_type_strs if t.startswith("tensor(")} for c in schema.type_constraints}
    for mine, theirs in zip(op.inputs, schema.inputs):
        if mine.var is not None:
            names = allowed.get(theirs.type_str, {theirs.type_str})
            assert {_onnx_name(d) for d in op.types[mine.var]} == names, mine.name


@pytest.mark.parametrize(("name", "row"), EVERY_ROW)
def test_kernel_agrees_with_the_standard(name: str, row: Case) -> None:
    arrays = row.arrays()
    made, graph = _run(BY_NAME[name], row, arrays, constant=False)
    node = graph.nodes[-1] if BY_NAME[name].is_composite else next(n for n in graph.nodes if n.op is BY_NAME[name])
    for got, v in zip(made, [v for v in node.outputs if v is not None], strict=True):
        _check_type(got, v.type)
    expected = _referee(row, graph)
    for got, want in zip(made, expected, strict=True):
        _check_close(got, want, row.tolerance)


@pytest.mark.parametrize(("name", "row"), EVERY_ROW)
def test_types_with_known_contents(name: str, row: Case) -> None:
    arrays = row.arrays()
    made, graph = _run(BY_NAME[name], row, arrays, constant=True)
    for got, v in zip(made, graph.outputs, strict=True):
        _check_type(got, v.type)


@pytest.mark.parametrize(("name", "row"), EVERY_ROW)
def test_types_with_symbolic_dims(name: str, row: Case) -> None:
    op, arrays, sizes = BY_NAME[name], row.arrays(), {}
    made, graph = _run(op, row, arrays, constant=True)
    node = next(n for n in graph.nodes if n.op is op)
    stand_ins = []
    for i, v in enumerate(node.inputs):
        t = None if v is None else v.type
        if isinstance(t, TensorType) and t.shape is not None and t.known is None:
            dims = [symbol(f"d{i}_{j}") for j in range(len(t.shape))]
            sizes.update({f"d{i}_{j}": d for j, d in enumerate(t.shape)})
            t = TensorType(t.dtype, dims)
        stand_ins.append(None if v is None else Value(v.name, t))
    types = op.infer(stand_ins, node.attributes, len(node.outputs))
    for got, t in zip(made, [t for t, v in zip(types, node.outputs) if v is not None], strict=True):
        if isinstance(t, TensorType) and t.shape is not None:
            assert len(t.shape) == np.ndim(got)
            for dim, size in zip(t.shape, np.shape(got)):
                bound = substitute(dim, sizes)
                assert bound == size or (isinstance(bound, Expr) and any(isinstance(a.name, int) for a in atoms(bound))), (
                    f"{dim} is not {size}"
                )


@pytest.mark.parametrize(("name", "row"), EVERY_ROW)
def test_kernels_keep_their_word_about_memory(name: str, row: Case) -> None:
    """Results share memory with inputs only where the kernel says so; with `out` they are written there, and come out the same."""
    op, arrays = BY_NAME[name], row.arrays()
    kernel = find(op)
    _, graph = _run(op, row, arrays, constant=False)
    node = next(n for n in graph.nodes if n.op is op)
    if kernel is None or op.random or node.bodies or not all(x is None or isinstance(x, np.ndarray) for x in arrays):
        return
    outputs: list[Type | None] = [None if v is None else v.type for v in node.outputs]
    types: list[Type | None] = [None if v is None else v.type for v in node.inputs]
    bound = bind(kernel, Site(xp, arguments(node), types, outputs, [None] * len(types)))
    with np.errstate(all="ignore"):
        made = bound.run(*arrays)
        first = made if op.outputs == "one" else next(x for x in made if x is not None)
        for x in [first] if op.outputs == "one" else [x for x in made if isinstance(x, np.ndarray)]:
            assert bound.view or not any(y is not None and np.shares_memory(x, y) for y in arrays)
        if bound.out:
            out = np.full(np.shape(first), 1, first.dtype)
            again = bound.run(*arrays, out=out)
            assert (again if op.outputs == "one" else again[0]) is out
            np.testing.assert_array_equal(out, first)
        if bound.inplace and arrays[0].shape == np.shape(first) and arrays[0].dtype == first.dtype:
            expected = first.copy()
            np.testing.assert_array_equal(bound.run(*arrays, out=arrays[0]), expected)


def applied(op: Op, row: Case, arrays: list[Any], constant: bool) -> tuple[Graph, dict[str, Any]]:
    """A graph that applies `op` once to a row's inputs, and its feeds; with `constant`, small whole-number inputs are weights, whose contents rules see."""
    graph = Graph("case")
    inputs, feeds = [], {}
    for i, x in enumerate(arrays):
        if x is None:
            inputs.append(None)
        elif constant and isinstance(x, np.ndarray) and x.dtype.kind in "iub" and x.ndim <= 1:
            inputs.append(graph.weight(f"x{i}", x))
        else:
            inputs.append(graph.input(f"x{i}", _type(x)))
            feeds[f"x{i}"] = x
    attributes = {k: (x(graph) if callable(x) else x) for k, x in row.attributes.items()}
    if row.outputs is not None and op.counts_outputs:
        attributes["outputs"] = row.outputs
    taken = inputs if any(i.variadic for i in op.inputs) else inputs[: len(op.inputs)]  # the rest is for bodies to capture
    made = op(*([graph] if op.takes_graph else []), *taken, **attributes)
    graph.outputs = [v for v in (made if isinstance(made, tuple) else (made,)) if v is not None]
    return graph, feeds


def _run(op: Op, row: Case, arrays: list[Any], constant: bool) -> tuple[list[Any], Graph]:
    """The outputs of `applied`, and its graph."""
    graph, feeds = applied(op, row, arrays, constant)
    results = interpret(Model(graph), feeds, xp)
    return [results[v.name] for v in graph.outputs], graph


def _type(x: Any) -> Type:
    if isinstance(x, list):
        return SequenceType(_type(x[0]) if x else None)
    if isinstance(x, dict):
        key, value = next(iter(x.items()))
        return MapType(_plain_dtype(key), TensorType(_plain_dtype(value), ()))
    return TensorType(STRING if x.dtype.kind in "OUS" else x.dtype, x.shape)


def _plain_dtype(x: Any) -> str:
    return {str: "string", int: "int64", float: "float32"}[type(x)]


def _check_type(got: Any, type_: Type) -> None:
    """The array that was made fits the type that was inferred."""
    if isinstance(type_, MapType):
        assert isinstance(got, dict) and all(_plain_dtype(k) == NAMES[type_.key] for k in got)
        return
    if isinstance(type_, SequenceType):
        assert isinstance(got, list)
        for x in got:
            if type_.element is not None:
                _check_type(x, type_.element)
    elif isinstance(type_, TensorType):
        assert got.dtype == type_.dtype
        if type_.shape is not None:
            assert len(type_.shape) == got.ndim
            assert all(isinstance(d, Expr) or d == n for d, n in zip(type_.shape, got.shape)), f"{type_} but {got.shape}"
        if type_.known is not None and got.dtype.kind in "iub":
            assert [int(k) if not isinstance(k, Expr) else k for k in type_.known] == got.reshape(-1).tolist()


def _check_close(got: Any, want: Any, tolerance: float) -> None:
    if isinstance(want, list):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            _check_close(g, w, tolerance)
        return
    if isinstance(want, dict):
        assert got.keys() == want.keys()
        got, want = [got[k] for k in want], list(want.values())
    want = np.asarray(want)
    assert np.shape(got) == want.shape
    if want.dtype.kind in "OUS" or want.dtype.kind == "b":
        assert np.asarray(got).tolist() == want.tolist()
    else:
        np.testing.assert_allclose(np.asarray(got).astype("float64"), want.astype("float64"), rtol=tolerance, atol=tolerance)


def _referee(row: Case, graph: Graph) -> list[Any]:
    """The outputs that onnx's reference, ONNX Runtime, or the row itself gives for the row's graph."""
    if callable(row.referee):
        made = row.referee(*row.arrays())
        return list(made) if isinstance(made, tuple) else [made]
    proto = _proto(graph)
    feeds = {v.name: x for v, x in zip(graph.inputs, (x for x in row.arrays() if x is not None), strict=True)}
    if row.referee == "ort":
        import onnxruntime

        return list(onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds))
    with np.errstate(all="ignore"):
        made = ReferenceEvaluator(proto).run(None, feeds)
    # The reference keeps an optional value in a list.
    return [(x[0] if x else None) if isinstance(v.type, OptionalType) else x for v, x in zip(graph.outputs, made)]


def _proto(graph: Graph) -> onnx.ModelProto:
    """The graph in onnx's own words, made without our exporter, but for bodies."""
    if any(node.bodies for node in graph.nodes):
        import graphir_onnx

        return graphir_onnx.to_proto(Model(graph))
    nodes = []
    for n in graph.nodes:
        assert isinstance(n.op, Op)
        attributes = {k: _onnx_attribute(n.op.attributes[k].kind, x) for k, x in n.attributes.items()}
        inputs, outputs = (["" if v is None else v.name for v in values] for values in (n.inputs, n.outputs))
        while not outputs[-1]:
            outputs.pop()
        nodes.append(helper.make_node(n.op.name, inputs, outputs, domain=n.op.domain, **attributes))
    ins, outs = ([helper.make_value_info(v.name, _onnx_type(v.type)) for v in values] for values in (graph.inputs, graph.outputs))
    weights = [numpy_helper.from_array(np.asarray(w.tensor.array), w.name) for w in graph.weights.values() if isinstance(w.tensor, Tensor)]
    opsets = {"": OPSETS[""]} | {n.op.domain: LAST.get(n.op.name, OPSETS.get(n.op.domain, 1)) for n in graph.nodes}
    imports = [helper.make_opsetid(domain, opset) for domain, opset in opsets.items()]
    return helper.make_model(helper.make_graph(nodes, "case", ins, outs, weights), opset_imports=imports)


def _onnx_attribute(kind: str, x: Any) -> Any:
    if kind == "dtype":
        return helper.np_dtype_to_tensor_dtype(DTYPES[x])
    if kind == "tensor":
        return numpy_helper.from_array(np.asarray(x.array))
    return _onnx_type(x) if kind == "type" else x


def _onnx_type(t: Type) -> onnx.TypeProto:
    if isinstance(t, SequenceType):
        return helper.make_sequence_type_proto(_onnx_type(t.element or TensorType("float32")))
    if isinstance(t, OptionalType):
        return helper.make_optional_type_proto(_onnx_type(t.element or TensorType("float32")))
    if isinstance(t, MapType):
        return helper.make_map_type_proto(helper.np_dtype_to_tensor_dtype(t.key), _onnx_type(t.value or TensorType("float32")))
    assert isinstance(t, TensorType)
    shape = None if t.shape is None else [d if isinstance(d, int) else None for d in t.shape]
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(t.dtype), shape)


def _plain(name: str) -> str:
    return name.lower().strip("_").replace("_", "")


def _plain_default(spec: Any) -> Any:
    from graphir.dtypes import NAMES, as_dtype

    if spec.kind == "dtype":
        return helper.np_dtype_to_tensor_dtype(as_dtype(spec.default)) if spec.default in NAMES.values() else spec.default or 0
    if spec.kind == "float":
        return float(np.float32(spec.default))
    return list(spec.default) if isinstance(spec.default, tuple) else spec.default


def _attribute_default(attribute: Any) -> Any:
    x = helper.get_attribute_value(attribute.default_value)
    return (
        x.decode()
        if isinstance(x, bytes)
        else [i.decode() if isinstance(i, bytes) else i for i in x]
        if isinstance(x, list | tuple)
        else numpy_helper.to_array(x)
        if isinstance(x, onnx.TensorProto)
        else x
    )


def _onnx_name(dtype: np.dtype) -> str:
    name = onnx.TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(dtype)).lower()
    return f"tensor({name})"
