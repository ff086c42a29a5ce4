"""Elements without their children, as messages: what graphs say now, and what they said when the origin was read.

A header's children are nodes, weights, functions, and the tensors and graphs in attributes.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from graphir.ir import Graph, Node, Operator, Value
from graphir.model import Function
from graphir.ops import lookup
from graphir.types import Type

from .attributes import Child, decode_attribute, decode_attributes, encode_attribute, encode_attributes
from .elements import (
    TypeCodec,
    decode_notes,
    decode_opsets,
    decode_pairs,
    domain_of,
    encode_notes,
    encode_opsets,
    encode_pairs,
)

MODEL_FIELDS = ("ir_version", "producer_name", "producer_version", "domain", "model_version")
RECURRENT = ("LSTM", "GRU", "RNN")
Info = tuple[str, Type | None]


# ---- nodes --------------------------------------------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """A node, its values by name."""

    op: Operator
    inputs: list[str]
    outputs: list[str]
    name: str
    attributes: dict[str, Any]


def parts_of(node: Node) -> Parts:
    """A node as graphs have it."""
    inputs = [v.name if v is not None else "" for v in node.inputs]
    return Parts(node.op, inputs, [v.name if v is not None else "" for v in node.outputs], node.name, node.attributes)


def node(parts: Parts, notes: Mapping[str, Any] | None) -> NodeProto:
    """A node as a message."""
    op, inputs, outputs, name, attributes = parts
    proto = NodeProto(input=inputs, output=outputs, op_type=op.name)
    if name:
        proto.name = name
    if op.domain:
        proto.domain = op.domain
    if op.overload:
        proto.overload = op.overload
    if attributes:
        encode_attributes(proto.attribute, op, attributes)
    if notes:
        encode_notes(proto, notes)
    return proto


def node_before(origin: NodeProto, now: Parts) -> NodeProto:
    """What the node of an origin was written as when it was read."""
    key = domain_of(origin.domain), origin.op_type, origin.overload
    op = now.op if now.op.key == key else lookup(*key)
    attributes = decode_attributes(op, origin.attribute)
    # The origin is without tensors and graphs, and an empty list does not say of what it is one.
    attributes = {name: () if isinstance(x, Child) and now.attributes.get(name) == () else x for name, x in attributes.items()}
    return node(Parts(op, list(origin.input), list(origin.output), origin.name, attributes), decode_notes(origin))


def adds_hidden_size(x: Node) -> bool:
    """Whether `hidden_size` is to be written for a node that has none: other readers ask for it."""
    return x.op.name in RECURRENT and not x.op.domain and "hidden_size" not in x.attributes


def with_hidden_size(parts: Parts, x: Node) -> Parts:
    """The node with `hidden_size`, where the shape of the recurrence weight tells it."""
    recurrence = x.inputs[2] if len(x.inputs) > 2 else None
    shape = getattr(recurrence.type, "shape", None) if recurrence is not None else None
    if not shape or not isinstance(shape[-1], int):
        return parts
    return parts._replace(attributes={**parts.attributes, "hidden_size": shape[-1]})


# ---- graphs -------------------------------------------------------------------------------------------------------------------------


def graph(x: Graph, notes: Mapping[str, Any] | None, types: TypeCodec, untyped: Collection[str] = ()) -> GraphProto:
    """A graph as a message. untyped: inputs and outputs for which the file gives no type."""

    def info(v: Value) -> Info:
        return v.name, v.declared if v.declared is not None or v.name in untyped else v.type

    ends = {*x.inputs, *x.outputs}
    inner: list[Info] = [(v.name, v.declared) for v in x.values() if v.declared is not None and v not in ends]
    return _graph(x.name, [info(v) for v in x.inputs], [info(v) for v in x.outputs], inner, notes, types)


def graph_before(origin: GraphProto, unbound: Collection[str], types: TypeCodec) -> GraphProto:
    """What the graph of an origin was written as when it was read. unbound: names that stood for nothing."""
    ends = {v.name for v in (*origin.input, *origin.output)}
    inner = _decoded(origin.value_info, types, {*ends, *unbound})
    return _graph(origin.name, _decoded(origin.input, types), _decoded(origin.output, types), inner, decode_notes(origin), types)


def stale(origin: GraphProto | FunctionProto, x: Graph, unbound: Collection[str]) -> set[str]:
    """Names with a type in the origin that stood for something once, and for nothing now."""
    now = {v.name for v in x.values()}
    return {v.name for v in origin.value_info} - now - set(unbound)


def untyped(origin: GraphProto, types: TypeCodec) -> set[str]:
    """The inputs and outputs for which an origin gives no type."""
    return {v.name for v in (*origin.input, *origin.output) if not v.HasField("type") or types.decode(v.type) is None}


def _graph(name: str, inputs: list[Info], outputs: list[Info], inner: list[Info], notes: Any, types: TypeCodec) -> GraphProto:
    proto = GraphProto()
    if name:
        proto.name = name
    encode_notes(proto, notes)
    types.infos(proto.input, inputs)
    types.infos(proto.output, outputs)
    types.infos(proto.value_info, inner)
    return proto


def _decoded(infos: Iterable[Any], types: TypeCodec, without: Collection[str] | None = None) -> list[Info]:
    """Names with types. `without` leaves out these names, and those that have no type."""
    found = [(v.name, types.decode(v.type) if v.HasField("type") else None) for v in infos]
    return found if without is None else [(name, t) for name, t in found if name not in without and t is not None]


# ---- functions and models -----------------------------------------------------------------------------------------------------------


def function(x: Function, notes: Mapping[str, Any] | None, types: TypeCodec) -> FunctionProto:
    """A function as a message."""
    inner: list[Info] = [(v.name, v.declared) for v in x.graph.values() if v.declared is not None]
    inputs, outputs = [v.name for v in x.graph.inputs], [v.name for v in x.graph.outputs]
    return _function(x.key, inputs, outputs, x.attributes, x.opsets, inner, notes, types)


def function_before(origin: FunctionProto, unbound: Collection[str], types: TypeCodec) -> FunctionProto:
    """What the function of an origin was written as when it was read."""
    key = domain_of(origin.domain), origin.name, origin.overload
    attributes: dict[str, Any] = dict.fromkeys(origin.attribute)
    attributes.update({a.name: decode_attribute(a, None) for a in origin.attribute_proto})
    inner = _decoded(origin.value_info, types, unbound)
    opsets = decode_opsets(origin.opset_import)
    return _function(key, list(origin.input), list(origin.output), attributes, opsets, inner, decode_notes(origin), types)


def _function(
    key: tuple[str, str, str], inputs: list[str], outputs: list[str], attributes: Mapping[str, Any], opsets: Mapping[str, int],
    inner: list[Info], notes: Mapping[str, Any] | None, types: TypeCodec,
) -> FunctionProto:  # fmt: skip
    domain, name, overload = key
    proto = FunctionProto(domain=domain, name=name, input=inputs, output=outputs)
    if overload:
        proto.overload = overload
    for a, default in attributes.items():
        if default is None:
            proto.attribute.append(a)
        else:
            encode_attribute(proto.attribute_proto.add(), a, default)
    encode_opsets(proto.opset_import, opsets)
    encode_notes(proto, notes)
    types.infos(proto.value_info, inner)
    return proto


def model(opsets: Mapping[str, int], metadata: Mapping[str, str], carried: Mapping[str, Any]) -> ModelProto:
    """A model as a message."""
    proto = ModelProto(**{k: carried[k] for k in MODEL_FIELDS if k in carried})
    if carried.get("doc"):
        proto.doc_string = carried["doc"]
    encode_opsets(proto.opset_import, opsets)
    encode_pairs(proto.metadata_props, metadata)
    return proto


def model_before(origin: ModelProto) -> ModelProto:
    """What the model of an origin was written as when it was read."""
    carried = {k: getattr(origin, k) for k in MODEL_FIELDS if origin.HasField(k)}
    carried["doc"] = origin.doc_string
    return model(decode_opsets(origin.opset_import) or {"": 1}, decode_pairs(origin.metadata_props), carried)
