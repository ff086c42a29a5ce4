"""Let a model compute in double precision: for checks of gradients, whose differences need the digits."""

from typing import Any

import numpy as np

from ..dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, NAMES
from ..ir import Graph, Node, Value, Weight
from ..model import Model
from ..ops import Op, arguments, decompose
from ..ops._gradient import none
from ..ops.create import constant_tensor
from ..ops.elementwise import cast
from ..tensors import SparseTensor, Tensor
from ..types import MapType, OptionalType, SequenceType, SparseTensorType, TensorType, Type
from .expand import inline_calls, replace_nodes
from .infer import Inference, infer

NARROW = frozenset((FLOAT16, BFLOAT16, FLOAT32))  # what becomes float64; smaller floats are codes, not numbers to compute with


def widen(model: Model) -> Model:
    """A copy of the model in which float16, bfloat16 and float32 are float64: inputs, weights, constants, what is cast to, what sums are kept in.

    Operands that must be narrower stay so, as the scales of Resize; where an operator takes or makes no float64, its decomposition stands for it, or its
    inputs and outputs are cast.
    Calls are inlined, and the nodes stand in the declared versions.
    """
    from .upgrade import upgrade  # whose tables take long to load: not before they are used

    model = model.copy()
    upgrade(model)
    inline_calls(model)
    infer(model)
    for graph in model.graph.walk():
        for v in graph.values():
            _widen_value(v)
    replace_nodes(model.graph, lambda node: decompose(node) if _is_narrow(node) else None)
    _widen_nodes(model.graph)
    infer(model)
    return model


def _is_narrow(node: Node) -> bool:
    """Whether an operator that has a decomposition takes no float64 where it is given some, or, as those of ai.onnx.ml, makes float32 of it."""
    op = node.op
    if not isinstance(op, Op) or op.decomposition is None or op.gradient_rule is none:
        return False
    if any(v is not None and v.type is None for v in node.inputs):
        return False  # whoever needs it says that
    given = [x for x, v in zip(op.inputs, node.inputs) if isinstance(v, Value) and _is_wide(v)]
    return any(op.domain == "ai.onnx.ml" or FLOAT64 not in op.types.get(x.var or "", (FLOAT64,)) for x in given)


def _is_wide(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype == FLOAT64


def _widen_value(v: Value) -> None:
    v.declared = wide_type(v.declared)
    if isinstance(v, Weight):
        v.tensor = wide_tensor(v.tensor)
    else:
        v.type = wide_type(v.type)  # pyright: ignore[reportAttributeAccessIssue]


def wide_type(t: Type | None) -> Type | None:
    """The type with float64 in place of narrower floats, inside of sequences, optionals and maps, too."""
    match t:
        case TensorType():
            return TensorType(FLOAT64, t.shape, t.known) if t.dtype in NARROW else t
        case SparseTensorType():
            return SparseTensorType(FLOAT64, t.shape) if t.dtype in NARROW else t
        case SequenceType() | OptionalType():
            return type(t)(wide_type(t.element))
        case MapType():
            return MapType(t.key, wide_type(t.value))
    return t


def wide_tensor(x: Tensor | SparseTensor) -> Tensor | SparseTensor:
    """The same numbers as float64."""
    if x.dtype not in NARROW:
        return x
    if isinstance(x, SparseTensor):
        return SparseTensor(Tensor.of(x.values.array, FLOAT64), x.indices, x.shape)
    return Tensor.of(x.array, FLOAT64)


def _widen_nodes(graph: Graph) -> None:
    with graph:
        for node in graph.edit():
            for body in node.bodies.values():
                _widen_nodes(body)
            if isinstance(node.op, Op):
                node.attributes = _wide_attributes(node, node.op)
                node.set_inputs(_operands(node, node.op))
                _cast_outputs(graph, node)


def _wide_attributes(node: Node, op: Op) -> dict[str, Any]:
    """The attributes, with float64 where narrower floats are said, or meant where nothing is said."""
    if op.name == "Constant" and not op.domain:
        tensor = constant_tensor(**node.attributes)
        return {"value": wide_tensor(tensor)} if tensor.dtype in NARROW else node.attributes
    found = dict(node.attributes)
    for name, x in arguments(node).items():
        kind = op.attributes[name].kind if name in op.attributes else None
        if kind == "dtype" and x in _NARROW_NAMES:
            found[name] = NAMES[FLOAT64]
        elif name in node.attributes and kind in ("tensor", "sparse"):
            found[name] = wide_tensor(x)
        elif name in node.attributes and kind == "type":
            found[name] = wide_type(x) or x
        elif x is None and (op.name, name) in _MEANT:
            found[name] = _MEANT[op.name, name]
    return found


_NARROW_NAMES = {NAMES[d] for d in NARROW}
# What an attribute that is not given means, where that is float32: (op, attribute) -> what says float64.
_MEANT: dict[tuple[str, str], Any] = {("ConstantOfShape", "value"): Tensor.of(np.zeros(1)), ("SequenceEmpty", "dtype"): "float64"}


def _operands(node: Node, op: Op) -> list[Value | None]:
    """The inputs; those that may not be float64 as float32."""
    found = list(node.inputs)
    for i, v in enumerate(found):
        spec = op.inputs[min(i, len(op.inputs) - 1)] if op.inputs else None
        if v is None or spec is None or not _is_wide(v):
            continue
        if spec.var in op.types:
            found[i] = v if FLOAT64 in op.types[spec.var] else cast(v, to="float32")  # which gradients pass
        elif spec.number == FLOAT32:
            found[i] = _as_float32(v)
    return found


def _as_float32(v: Value) -> Value:
    if isinstance(v, Weight) and isinstance(v.tensor, Tensor) and v.kind == "constant":
        root = v.graph.root
        return root.weight(root.fresh(v.name), Tensor.of(v.tensor.array, FLOAT32))
    return cast(v, to="float32")


def _cast_outputs(graph: Graph, node: Node) -> None:
    """Where a node still makes a narrower float that was to be float64: cast it for its readers, under its name."""
    if all(v is None or not _is_wide(v) for v in node.outputs):
        return
    types = Inference().node(node, {})
    for v, t in zip(list(node.outputs), types):
        if v is None or not isinstance(t, TensorType) or t.dtype not in NARROW:
            continue
        v.type = t
        graph.keep(node)
        wide = cast(v, to="float64")
        graph.replace_uses(v, wide, keep_name=True)
        assert wide.node is not None
        wide.node.set_inputs([v])
