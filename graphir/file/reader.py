"""Reads what `message` writes. The text may be hostile: whatever is not as docs/format.md says is a FormatError that names the place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..ir import Graph, Operator, Ref, Value, Weight
from ..model import Function, Model
from ..nodes import KINDS
from ..ops import lookup
from ..passes.infer import infer_or_declare
from ..plugins import FormatError
from ..tensors import SparseTensor, Tensor
from ..types import ShapeError, TensorType, Type
from . import plain
from .message import DEPTH, VERSION, check_calls
from .type_text import TypeReader

# What an object of each kind has: the required entries, and those that may be left out.
_KINDS: dict[str, tuple[dict[str, type], dict[str, type]]] = {
    "message": (
        {"version": int, "graph": dict, "sha256": dict},
        {"opsets": dict, "target_opsets": dict, "metadata": dict, "functions": list, "updates": list, "gradients": list, "training": list, "carried": dict},
    ),
    "function": ({"name": str, "graph": dict}, {"domain": str, "overload": str, "attributes": dict, "opsets": dict, "carried": dict}),
    "graph": ({}, {"name": str, "needs_upgrade": bool, "weights": list, "inputs": list, "nodes": list, "outputs": list, "carried": dict}),
    "weight": ({"name": str}, {"kind": str, "declared": str, "tensor": str, "type": str, "storage": str, "carried": dict, "sparse": dict}),
    "input": ({"name": str}, {"declared": str, "type": str}),
    "node": (
        {"op": str, "inputs": list, "outputs": list},
        {"name": str, "domain": str, "overload": str, "foreign": bool, "attributes": dict, "carried": dict},
    ),
    "output": ({"name": str, "declared": str}, {}),
    "tensor": ({"tensor": str, "type": str}, {"storage": str, "carried": dict}),
    "sparse tensor": ({"shape": list, "values": dict, "indices": dict}, {"carried": dict}),
    "reference": ({"ref": str, "kind": str}, {}),
    "update": ({"weight": str, "value": str}, {}),
    "gradient": ({"of": str, "wrt": str, "output": str}, {}),
}  # fmt: skip
Read = Callable[[str, np.dtype, tuple[int, ...]], Callable[[], np.ndarray]]  # key, dtype and shape of a tensor to what reads it
_ALIKE: dict[type, type] = {bool: int, float: int, bytes: str}  # what may stand in one list
_STORAGES = ("raw", "typed", "external", "sparse")


def decode(tree: Any, read: Read) -> Model:
    """The model that a message holds, with inferred types. Raises FormatError."""
    try:
        model = _Reader(read).model(tree)
        infer_or_declare(model)
    except RecursionError:
        raise FormatError("graphs, attributes or calls of functions are nested too deep") from None
    return model


def check_version(tree: Any) -> dict[str, Any]:
    """The message, if it is one that this version reads. Raises FormatError."""
    version = tree.get("version") if isinstance(tree, dict) else None
    if version is not None and (type(version) is not int or version != VERSION):
        raise FormatError(f"the message is of format version {version!r:.20}; this graphir reads {VERSION}: upgrade graphir")
    return _check(tree, "message")


class _Reader:
    def __init__(self, read: Read):
        self._read = read
        self._types = TypeReader()
        self._scopes: dict[Graph, dict[str, Value]] = {}

    def model(self, x: Any) -> Model:
        check_version(x)
        model = Model(self.graph(x["graph"], None), opsets=_table(x, "opsets", int), target_opsets=_table(x, "target_opsets", int),
                      metadata=_table(x, "metadata", str), carried=_carried(x))  # fmt: skip
        for entry in x.get("functions", ()):
            f = self.function(entry)
            if model.functions.setdefault(f.key, f) is not f:
                raise FormatError(f"two functions are called {Operator(*f.key)}")
        check_calls(model)
        if x.get("updates"):
            addresses = model.addresses()
            for entry in x["updates"]:
                update = _check(entry, "update")
                weight, value = addresses.get(update["weight"]), addresses.get(update["value"])
                if not isinstance(weight, Weight) or value is None or weight in model.updates:
                    raise FormatError(
                        f"the update of {update['weight']!r:.80} by {update['value']!r:.80} names no weight, no value, or a weight twice"
                    )
                model.update(weight, value)
        for entry in x.get("gradients", ()):
            g = _check(entry, "gradient")
            model.gradients[g["of"], g["wrt"]] = g["output"]
        model.training = plain.decode(x.get("training", []))
        return model

    def function(self, x: Any) -> Function:
        _check(x, "function")
        with _within("function", x["name"]):
            attributes = {k: None if a is None else self.attribute(a, None) for k, a in x.get("attributes", {}).items()}
            graph = self.graph(x["graph"], None)
            return Function(x.get("domain", ""), x["name"], graph, overload=x.get("overload", ""), attributes=attributes,
                            opsets=_table(x, "opsets", int), carried=_carried(x))  # fmt: skip

    def graph(self, x: Any, parent: Graph | None) -> Graph:
        _check(x, "graph")
        graph = Graph(x.get("name", ""), parent)
        scope: dict[str, Value] = {}
        self._scopes[graph] = scope
        with _within("graph", graph.name):
            if graph.depth >= DEPTH:
                raise FormatError(f"graphs are nested deeper than {DEPTH}")
            graph.needs_upgrade = x.get("needs_upgrade", False)
            for entry in x.get("weights", ()):
                weight = self.weight(entry, graph)
                scope[weight.name] = weight
            for entry in x.get("inputs", ()):
                value = self.input(entry, graph)
                scope[value.name] = value
            for entry in x.get("nodes", ()):
                self.node(entry, graph)
            for name in x.get("outputs", ()):
                graph.output(self.reference(name, graph))
            graph.carried = _carried(x)
        return graph

    def weight(self, x: Any, graph: Graph) -> Weight:
        entry = dict(_check(x, "weight"))
        name, kind, declared = entry.pop("name"), entry.pop("kind", "constant"), entry.pop("declared", None)
        with _within("weight", name):
            if name in graph.weights or kind not in KINDS:
                raise FormatError(f"the name is given twice, or its kind is not one of {', '.join(KINDS)}")
            data = self.attribute(entry, None)
            if not isinstance(data, Tensor | SparseTensor):
                raise FormatError("it has no tensor")
            weight = graph.add_weight(name, data, kind)
            weight.declared = declared and self._types.read(declared)
        return weight

    def input(self, x: Any, graph: Graph) -> Value:
        if isinstance(x, str):
            if x not in graph.weights or graph.weights[x] in graph.inputs:
                raise FormatError(f"the input {x!r:.80} names no weight, or is given twice")
            graph.inputs.append(graph.weights[x])
            return graph.weights[x]
        _check(x, "input")
        with _within("input", x["name"]):
            declared = self._types.read(x["declared"]) if "declared" in x else None
            value = graph.add_input(x["name"], self._types.read(x["type"]) if "type" in x else declared)
            value.declared = declared
        return value

    def node(self, x: Any, graph: Graph) -> None:
        _check(x, "node")
        with _within("node", x.get("name") or x["op"]):
            key = x.get("domain", ""), x["op"], x.get("overload", "")
            op = Operator(*key) if x.get("foreign") else lookup(*key)
            inputs = tuple([None if name is None else self.reference(name, graph) for name in x["inputs"]])
            outputs = [("", None) if o is None else self.output(o) for o in x["outputs"]]
            attributes = {name: self.attribute(a, graph) for name, a in x.get("attributes", {}).items()}
            names, types = [n for n, _ in outputs], [t for _, t in outputs]
            node = graph.append(op, inputs, attributes, types, x.get("name", ""), names)
            node.carried = _carried(x)
            for v in node.outputs:
                if v is not None:
                    v.declared = v.type
                    self._scopes[graph][v.name] = v

    def output(self, x: Any) -> tuple[str, Any]:
        name, declared = (x, None) if isinstance(x, str) else (_check(x, "output")["name"], self._types.read(x["declared"]))
        if not name:
            raise FormatError("an output has an empty name; null stands for one that is left out")
        return name, declared

    def reference(self, name: Any, graph: Graph) -> Value:
        scope: Graph | None = graph
        while scope is not None:
            value = self._scopes[scope].get(name) if isinstance(name, str) else None
            if value is not None:
                return value
            scope = scope.parent
        raise FormatError(f"no value {name!r:.80} is made before it is used")

    def attribute(self, x: Any, graph: Graph | None) -> Any:
        """An attribute, or the data of a weight. graph: that of the node; None where no graph can be among the attributes."""
        if isinstance(x, list):
            if any(isinstance(y, list) for y in x):
                raise FormatError("an attribute is a list of lists")
            found = tuple([self.attribute(y, graph) for y in x])
            kinds = {Type if isinstance(y, Type) else _ALIKE.get(type(y), type(y)) for y in found}
            if len(kinds) > 1:
                raise FormatError(f"an attribute is a list of several kinds: {', '.join(sorted(k.__name__ for k in kinds))}")
            return found
        if not isinstance(x, dict):
            if x is None:
                raise FormatError("an attribute is null")
            return x
        if "tensor" in x:
            return self.tensor(x)
        if "sparse" in x:
            return self.sparse(x["sparse"])
        if "ref" in x:
            return Ref(_check(x, "reference")["ref"], x["kind"])
        if len(x) == 1:
            ((tag, inner),) = x.items()
            if tag == "graph" and graph is not None:
                return self.graph(inner, graph)
            if tag == "type" and isinstance(inner, str):
                return self._types.read(inner)
            if tag in ("bytes", "float"):
                return plain.decode(x)
        raise FormatError(f"an attribute has the entries {', '.join(x)!r:.80}; expected a tensor, sparse, graph, type, ref, bytes or float")

    def tensor(self, x: Any) -> Tensor:
        _check(x, "tensor")
        with _within("tensor", x["tensor"]):
            type_ = self._types.read(x["type"])
            shape = tuple(d for d in type_.shape or () if isinstance(d, int) and d >= 0) if isinstance(type_, TensorType) else ()
            if not isinstance(type_, TensorType) or type_.shape != shape:
                raise FormatError(f"its type is {type_!s:.80}; expected an element type and a shape of sizes")
            storage = x.get("storage", "raw")
            if storage not in _STORAGES:
                raise FormatError(f"its storage is {storage!r:.40}; expected one of {', '.join(_STORAGES)}")
            return Tensor(type_.dtype, shape, self._read(x["tensor"], type_.dtype, shape), storage, _carried(x))

    def sparse(self, x: Any) -> SparseTensor:
        _check(x, "sparse tensor")
        if not all(type(d) is int and d >= 0 for d in x["shape"]):
            raise FormatError(f"the shape of a sparse tensor is {x['shape']!r:.80}; expected sizes")
        return SparseTensor(self.tensor(x["values"]), self.tensor(x["indices"]), x["shape"], _carried(x))


def _check(x: Any, kind: str) -> dict[str, Any]:
    """`x`, an object of a kind. Raises FormatError where an entry is missing, unknown, or of another type."""
    if not isinstance(x, dict):
        raise FormatError(f"{x!r:.80} stands in place of a {kind}")
    required, optional = _KINDS[kind]
    for name, wanted in required.items():
        if type(x.get(name)) is not wanted:
            raise FormatError(f"a {kind} has {name} {x.get(name)!r:.80}; expected {wanted.__name__}")
    for name, value in x.items():
        if name not in required and type(value) is not optional.get(name):
            expected = optional[name].__name__ if name in optional else f"one of {', '.join([*required, *optional])}"
            raise FormatError(f"a {kind} has {name!r:.80} {value!r:.80}; expected {expected}")
    return x


def _table(x: dict[str, Any], name: str, kind: type) -> dict[str, Any]:
    found = x.get(name, {})
    if not all(type(v) is kind for v in found.values()):
        raise FormatError(f"{name} is {found!r:.80}; expected a table of {kind.__name__}")
    return found


def _carried(x: dict[str, Any]) -> Any:
    """What an element carries: entries that mean nothing here, but for two that passes read."""
    if "carried" not in x:
        return None
    carried = plain.decode(x["carried"])
    if not isinstance(carried, dict):
        raise FormatError(f"what is carried is {carried!r:.80}; expected an object")
    metadata, odd = carried.get("metadata", {}), carried.get("odd", [])
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError(f"the metadata that is carried is {metadata!r:.80}; expected a table of texts")
    if not isinstance(odd, list) or not all(isinstance(v, str) for v in odd):
        raise FormatError(f"carried has odd {odd!r:.80}; expected a list of texts")
    return carried


@contextmanager
def _within(what: str, name: str) -> Iterator[None]:
    """Let errors say where they arose."""
    try:
        yield
    except (FormatError, ShapeError) as e:
        raise FormatError(f"{what} {name!r:.80}: {e}") from None
