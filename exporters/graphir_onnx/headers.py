"""Elements without their children, as messages. A header's children are nodes, weights, functions, and the tensors and graphs in attributes."""

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from graphir.ir import Graph, Node, Operator, Value
from graphir.model import Function, Model
from graphir.types import Type

from .attributes import encode_attribute, encode_attributes
from .elements import TypeCodec, encode_notes, encode_opsets, encode_pairs

MODEL_FIELDS = ("ir_version", "producer_name", "producer_version", "domain", "model_version")
GRADIENTS = "graphir.gradients"  # the entry of the metadata that tells a model's gradients: a JSON list of [of, wrt, output]
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


def untyped(encoded: GraphProto) -> set[str]:
    """The inputs and outputs of a header that have no type."""
    return {v.name for v in (*encoded.input, *encoded.output) if not v.HasField("type")}


def stale(origin: Any, encoded: Any, now: Graph) -> set[str]:
    """Names that have a type in the origin, stood for something when it was read, and stand for nothing now."""
    knew = {v.name for f in ("input", "output", "value_info") for v in getattr(encoded, f) if not isinstance(v, str)}
    return {v.name for v in origin.value_info if v.name in knew} - {v.name for v in now.values()}


def _graph(name: str, inputs: list[Info], outputs: list[Info], inner: list[Info], notes: Any, types: TypeCodec) -> GraphProto:
    proto = GraphProto()
    if name:
        proto.name = name
    encode_notes(proto, notes)
    types.infos(proto.input, inputs)
    types.infos(proto.output, outputs)
    types.infos(proto.value_info, inner)
    return proto


# ---- functions and models -----------------------------------------------------------------------------------------------------------


def function(x: Function, opsets: Mapping[str, int], notes: Mapping[str, Any] | None, types: TypeCodec) -> FunctionProto:
    """A function as a message."""
    inputs, outputs = [v.name for v in x.graph.inputs], [v.name for v in x.graph.outputs]
    proto = FunctionProto(domain=x.domain, name=x.name, input=inputs, output=outputs)
    if x.overload:
        proto.overload = x.overload
    for a, default in x.attributes.items():
        if default is None:
            proto.attribute.append(a)
        else:
            encode_attribute(proto.attribute_proto.add(), a, default)
    encode_opsets(proto.opset_import, opsets)
    encode_notes(proto, notes)
    types.infos(proto.value_info, [(v.name, v.declared) for v in x.graph.values() if v.declared is not None])
    return proto


def model(opsets: Mapping[str, int], x: Model, carried: Mapping[str, Any]) -> ModelProto:
    """A model as a message. carried: what it carries, the versions to write among it."""
    proto = ModelProto(**{k: carried[k] for k in MODEL_FIELDS if k in carried})
    if carried.get("doc"):
        proto.doc_string = carried["doc"]
    encode_opsets(proto.opset_import, opsets)
    encode_pairs(proto.metadata_props, x.metadata)
    if x.gradients:
        encode_pairs(proto.metadata_props, {GRADIENTS: _gradients_text(x.gradients)})
    return proto


def take_gradients(x: Model) -> None:
    """Move the gradients from a model's metadata to where they belong. What is not just as `model` writes it stays."""
    text = x.metadata.get(GRADIENTS, "")
    try:
        found = {(of, wrt): output for of, wrt, output in json.loads(text)}
        as_written = next(reversed(x.metadata)) == GRADIENTS and _gradients_text(found) == text
    except (ValueError, TypeError, RecursionError):
        return
    if found and as_written and all(isinstance(name, str) for key, output in found.items() for name in (*key, output)):
        del x.metadata[GRADIENTS]
        x.gradients = found


def _gradients_text(gradients: Mapping[tuple[str, str], str]) -> str:
    return json.dumps([[*key, output] for key, output in gradients.items()], ensure_ascii=False)


def model_notes(proto: ModelProto) -> dict[str, Any]:
    """What a model carries of its message: documentation, who made it, versions."""
    found = {k: getattr(proto, k) for k in MODEL_FIELDS if proto.HasField(k)}
    found["doc"] = proto.doc_string
    return {k: x for k, x in found.items() if k != "doc" or x if not isinstance(x, bytes)}
