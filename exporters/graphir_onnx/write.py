"""From Model to ModelProto: each element's header, laid over its origin where it has one, then its children."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TrainingInfoProto

import graphir
from graphir.ir import Graph, Node
from graphir.model import Function, Model
from graphir.ops import lookup
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor, Tensor

from . import headers
from .attributes import CHILDREN, children, kind_of
from .elements import TypeCodec, quoted, reason
from .lowest import imports
from .order import in_file_order
from .origin import parsed, restore
from .tensors import encode_sparse, encode_tensor

Place = Callable[[Tensor], Mapping[str, str] | None]


def write(model: Model, opsets: Mapping[str, int], ir_version: int | None, place: Place, sort: bool = False) -> ModelProto:
    """The message of a model whose nodes stand in these opsets. place: says of a tensor where its data lies, if in another file.

    ir_version: None leaves it as the model's file had it. sort: also where the file had the nodes in another order. Raises FormatError for what ONNX cannot say.
    """
    if model.updates:
        raise FormatError(
            "the model updates its weights when it runs, which a plain ONNX graph cannot say; clear `updates` to export the graph"
        )
    return Writer(place, sort).model(model, opsets, ir_version)


class Writer:
    """Writes one model."""

    def __init__(self, place: Place, sort: bool = False):
        self.place = place
        self.types = TypeCodec()
        self.sort = sort
        self.orders: Mapping[Graph, Sequence[Node]] = {}

    def model(self, model: Model, opsets: Mapping[str, int], ir_version: int | None) -> ModelProto:
        """The whole model."""
        built: dict[str, Any] = {"producer_name": "graphir", "producer_version": graphir.__version__}
        carried = dict(built if model.carried is None else model.carried)
        if ir_version is not None:
            carried["ir_version"] = ir_version
        self.orders = {} if self.sort else in_file_order(model)
        proto = ModelProto()
        restore(proto, carried, headers.model(opsets, model, carried))
        self.graph(proto.graph, model.graph)
        for f in model.functions.values():
            self.function(proto.functions.add(), f)
        for said in model.training:
            proto.training_info.append(TrainingInfoProto.FromString(said["origin"]))
        return proto

    def function(self, proto: FunctionProto, function: Function) -> None:
        """Fill the message of a function."""
        carried, graph = function.carried or {}, function.graph
        opsets = imports(function.opsets, graph, carried.get("unimported", ()))
        restore(proto, carried, headers.function(function, opsets, carried, self.types))
        if "origin" in carried:
            _remove(proto.value_info, headers.stale(proto, parsed(FunctionProto, carried["encoded"]), graph))
        self._children(proto.attribute_proto, function.attributes)
        for name, weight in graph.weights.items():  # functions have no initializers
            self._constant(proto.node.add(), name, weight.tensor)
        for node in self.orders.get(graph, graph.nodes):
            self.node(proto.node.add(), node)

    def graph(self, proto: GraphProto, graph: Graph) -> None:
        """Fill the message of a graph."""
        carried = graph.carried or {}
        if "origin" in carried:
            encoded = parsed(GraphProto, carried["encoded"])
            restore(proto, carried, headers.graph(graph, carried, self.types, headers.untyped(encoded)))
            _remove(proto.value_info, headers.stale(proto, encoded, graph))
        else:
            proto.CopyFrom(headers.graph(graph, carried, self.types))
        for name, weight in graph.weights.items():
            if isinstance(weight.tensor, SparseTensor):
                encode_sparse(proto.sparse_initializer.add(), weight.tensor, self.place, name)
            else:
                encode_tensor(proto.initializer.add(), weight.tensor, self.place(weight.tensor), name)
        for node in self.orders.get(graph, graph.nodes):
            self.node(proto.node.add(), node)

    def node(self, proto: NodeProto, node: Node) -> None:
        """Fill the message of a node."""
        carried = node.carried or {}
        parts = headers.parts_of(node)
        try:
            if "origin" not in carried and headers.adds_hidden_size(node):
                parts = headers.with_hidden_size(parts, node)
            restore(proto, carried, headers.node(parts, carried))
            if node.attributes:
                self._children(proto.attribute, node.attributes)
        except (FormatError, TypeError, ValueError) as e:
            if isinstance(e, FormatError) and str(e).startswith("node "):
                raise
            raise FormatError(f"node {quoted(node.label)} ({node.op}): {reason(e)}") from None

    def _constant(self, proto: NodeProto, name: str, x: Tensor | SparseTensor) -> None:
        """Fill the message of a Constant node."""
        attributes: dict[str, Any] = {"value" if isinstance(x, Tensor) else "sparse_value": x}
        proto.CopyFrom(headers.node(headers.Parts(lookup("", "Constant"), [], [name], "", attributes), None))
        self._children(proto.attribute, attributes)

    def _children(self, protos: Any, attributes: Mapping[str, Any]) -> None:
        """Write the tensors and graphs into the messages of the attributes that hold them."""
        for proto in protos:
            x = attributes.get(proto.name)
            found = children(x)
            if not found:
                continue
            field, many = CHILDREN[kind_of(x)]
            target = getattr(proto, field)
            for child in found:
                self._child(target.add() if many else target, child)

    def _child(self, proto: Any, child: Any) -> None:
        proto.SetInParent()
        if isinstance(child, Graph):
            self.graph(proto, child)
        elif isinstance(child, SparseTensor):
            encode_sparse(proto, child, self.place, None)
        else:
            encode_tensor(proto, child, self.place(child))


def _remove(infos: Any, names: set[str]) -> None:
    if names:
        kept = [v for v in infos if v.name not in names]
        del infos[:]
        infos.extend(kept)
