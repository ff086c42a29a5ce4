"""The message: a model without its weights, as JSON. Here it is written; `reader` reads it. docs/format.md says what it holds.

What is empty or as usual is left out, so that the text stays short; each node, weight and input has a line of its own.
"""

from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..addresses import addressed
from ..ir import Graph, Node, Operator, Ref, Value, Weight
from ..model import Function, Model
from ..ops import Op, lookup
from ..plugins import FormatError
from ..tensors import SparseTensor, Tensor
from ..types import TensorType, Type
from . import data, plain
from .container import METADATA
from .plain import Block, Lines
from .type_text import TypeWriter

VERSION = 1
MESSAGE = "graphir.model"  # the key of the tensor that holds the message
RESERVED = (MESSAGE, METADATA)
DEPTH = 48  # of graphs within graphs; protobuf stops at about as many


def encode(model: Model) -> tuple[bytes, dict[str, Tensor]]:
    """The message, in UTF-8, and the tensors that it speaks of, by key; equal ones once. Raises FormatError where the model cannot be written."""
    check_calls(model)
    writer = _Writer(model)
    return (plain.write(writer.model()) + "\n").encode(), writer.tensors


class _Writer:
    def __init__(self, model: Model):
        self._model = model
        self._types = TypeWriter()
        self.tensors: dict[str, Tensor] = {}
        self._sha256: dict[str, str] = {}
        self._keys: dict[int, str] = {}  # of a Tensor, by its id
        self._same: dict[tuple, str] = {}  # key by what makes tensors equal
        self._addresses = {v: a for a, v in model.addresses().items()}
        self._taken = set(self._addresses.values())
        self._prefixes: dict[Graph, str] = {}
        self._scopes: dict[Graph, dict[str, Value]] = {}
        for root, prefix in [(model.graph, ""), *((f.graph, f"{Operator(*f.key)}()/") for f in model.functions.values())]:
            for inner, graph in addressed(root, prefix):
                self._prefixes[graph] = inner
                for w in graph.weights.values():  # before all attributes, so that equal data is found under a weight's address
                    self._register_weight(w)

    def _register_weight(self, w: Weight) -> None:
        address = self._addresses.get(w) or self._prefixes[w.graph] + w.name
        if isinstance(w.tensor, SparseTensor):
            self._sparse_keys(w.tensor, address)
        else:
            self._key(w.tensor, address, own=w in self._addresses)

    # ---- tensors --------------------------------------------------------------------------------------------------------------------

    def _key(self, tensor: Tensor, address: str, own: bool = False) -> str:
        """The key under which a tensor stands in the file: the address where its data was met first. own: the address is that of a weight, not made up."""
        key = self._keys.get(id(tensor))
        if key is not None:
            return key
        try:
            digest = data.sha256(tensor)
        except FormatError as e:
            raise FormatError(f"tensor {address!r}: {e}") from None
        same = (tensor.dtype, tensor.shape, digest)
        key = self._same.get(same)
        if key is None:
            key = self._same[same] = self._free(address, own)
            self.tensors[key] = tensor
            self._sha256[key] = digest
        self._keys[id(tensor)] = key
        return key

    def _free(self, address: str, own: bool) -> str:
        key = base = address.encode("utf-8", "replace").decode()  # lone surrogates are no UTF-8
        n = 1
        while key in self.tensors or key in RESERVED or (key in self._taken and not (own and key == address)):
            n += 1
            key = f"{base}#{n}"
        return key

    def _tensor(self, tensor: Tensor, address: str) -> dict[str, Any]:
        return {
            "tensor": self._key(tensor, address),
            "type": str(TensorType(tensor.dtype, tensor.shape)),
            **_given(storage=tensor.storage if tensor.storage != "raw" else None, carried=plain.encode(tensor.carried)),
        }

    def _sparse_keys(self, tensor: SparseTensor, address: str) -> None:
        self._key(tensor.values, f"{address}/values")
        self._key(tensor.indices, f"{address}/indices")

    # ---- the model ------------------------------------------------------------------------------------------------------------------

    def model(self) -> Block:
        model = self._model
        graph = self.graph(model.graph)
        functions = Lines(self.function(f) for f in model.functions.values())
        gradients = Lines({"of": of, "wrt": wrt, "output": name} for (of, wrt), name in model.gradients.items())
        updates = Lines({"weight": self._address(w), "value": self._address(v)} for w, v in model.updates.items())
        return Block(
            version=VERSION,
            **_given(opsets=model.opsets, target_opsets=model.target_opsets, metadata=Block(model.metadata)),
            graph=graph,
            **_given(
                functions=functions, updates=updates, gradients=gradients, training=plain.encode(model.training),
                carried=plain.encode(model.carried),
            ),
            sha256=Block(self._sha256),
        )  # fmt: skip

    def _address(self, v: Value) -> str:
        if v not in self._addresses:
            raise FormatError(f"an update names {v.name}, which is no value of the model")
        return self._addresses[v]

    def function(self, f: Function) -> Block:
        prefix = self._prefixes[f.graph]
        attributes = {k: None if x is None else self.attribute(x, prefix + k) for k, x in f.attributes.items()}
        graph = self.graph(f.graph)
        given = _given(domain=f.domain, overload=f.overload, attributes=attributes, opsets=f.opsets, carried=plain.encode(f.carried))
        return Block(name=f.name, **given, graph=graph)

    def graph(self, graph: Graph) -> Block:
        if graph.depth >= DEPTH:
            raise FormatError(f"graph {graph.name!r}: graphs are nested deeper than {DEPTH}")
        scope: dict[str, Value] = {**graph.weights}
        self._scopes[graph] = scope
        try:
            weights = Lines(self.weight(w) for w in graph.weights.values())
            inputs = Lines(self.input(v, graph) for v in graph.inputs)
            scope.update((v.name, v) for v in graph.inputs)
            nodes = Lines()
            for node in graph.nodes:
                nodes.append(self.node(node))
                scope.update((v.name, v) for v in node.outputs if v is not None)
            outputs = [self.reference(v, graph) for v in graph.outputs]
        except FormatError as e:
            raise FormatError(f"graph {graph.name!r}: {e}") from None
        upgrade = graph.needs_upgrade and graph.parent is None
        return Block(
            _given(
                name=graph.name, needs_upgrade=upgrade, weights=weights, inputs=inputs, nodes=nodes, outputs=outputs,
                carried=plain.encode(graph.carried),
            )
        )  # fmt: skip

    def weight(self, w: Weight) -> dict[str, Any]:
        kind = w.kind if w.kind != "constant" else None
        address = self._addresses.get(w) or self._prefixes[w.graph] + w.name
        return {"name": w.name, **_given(kind=kind, declared=self.type(w.declared)), **self.attribute(w.tensor, address)}

    def input(self, v: Value, graph: Graph) -> Any:
        if isinstance(v, Weight):
            return v.name if graph.weights.get(v.name) is v else self.refuse(v)
        known = v.type if graph.parent is None and v.type != v.declared else None  # what a body takes is inferred again
        return {"name": v.name, **_given(declared=self.type(v.declared), type=self.type(known))}

    def node(self, node: Node) -> dict[str, Any]:
        op, graph = node.op, node.graph
        assert graph is not None
        try:
            inputs = [None if v is None else self.reference(v, graph) for v in node.inputs]
            outputs = [None if v is None else self.output(v) for v in node.outputs]
            address = f"{self._prefixes[graph]}{node.label}/"
            attributes = {name: self.attribute(x, address + name) for name, x in node.attributes.items()}
        except FormatError as e:
            raise FormatError(f"node {node.label!r}: {e}") from None
        foreign = not isinstance(op, Op) and isinstance(lookup(*op.key), Op)
        block = Block if node.attributes and node.bodies else dict
        return block(
            _given(name=node.name),
            op=op.name,
            **_given(domain=op.domain, overload=op.overload, foreign=foreign),
            inputs=inputs,
            outputs=outputs,
            **_given(attributes=block(attributes), carried=plain.encode(node.carried)),
        )

    def output(self, v: Value) -> Any:
        if not v.name:
            raise FormatError("a value has an empty name, which stands for one that is left out")
        return {"name": v.name, "declared": self.type(v.declared)} if v.declared is not None else v.name

    def reference(self, v: Value, graph: Graph) -> str:
        """The name of a value, where a reader of the file would find that very value by it."""
        scope: Graph | None = graph
        while scope is not None:
            if v.name in self._scopes.get(scope, {}):
                return v.name if self._scopes[scope][v.name] is v else self.refuse(v)
            scope = scope.parent
        return self.refuse(v)

    def refuse(self, v: Value) -> str:
        raise FormatError(f"{v.name!r} is another value here, or none: two share the name, or it is made later; see verify")

    # ---- attributes -----------------------------------------------------------------------------------------------------------------

    def type(self, type_: Type | None) -> str | None:
        return None if type_ is None else self._types.text(type_)

    def attribute(self, x: Any, address: str) -> Any:
        """An attribute, or the data of a weight."""
        match x:
            case Tensor():
                return self._tensor(x, address)
            case SparseTensor():
                values, indices = self._tensor(x.values, f"{address}/values"), self._tensor(x.indices, f"{address}/indices")
                return {"sparse": {"shape": list(x.shape), "values": values, "indices": indices, **_given(carried=plain.encode(x.carried))}}
            case Graph() if x in self._prefixes:
                return Block(graph=self.graph(x))
            case Graph():
                raise FormatError(f"{address!r} is a graph, which its operator does not take")
            case Type():
                return {"type": self.type(x)}
            case Ref():
                return {"ref": x.name, "kind": x.kind}
            case tuple() if not any(isinstance(y, tuple) for y in x):
                parts = [self.attribute(y, f"{address}[{i}]") for i, y in enumerate(x)]
                return Lines(parts) if x and isinstance(x[0], Graph) else parts
            case int() | float() | str() | bytes():
                return plain.encode(x)
        raise FormatError(f"{address!r} is of type {type(x).__name__}, which no attribute can be")


def check_calls(model: Model) -> None:
    """Raises FormatError where a function calls itself, be it through others."""
    calls = {
        key: {node.op.key for graph in f.graph.walk() for node in graph.nodes} & model.functions.keys()
        for key, f in model.functions.items()
    }
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as e:
        raise FormatError(f"function {Operator(*e.args[1][0])} calls itself, or a function that does; expected no recursion") from None


def _given(**fields: Any) -> dict[str, Any]:
    """Those of the fields that hold something."""
    return {k: x for k, x in fields.items() if x is not None and x is not False and x != "" and x != [] and x != {}}
