"""From ModelProto to Model. Every element is encoded back at once; where that gives other bytes, it keeps its origin."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any

from google.protobuf.message import DecodeError
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

from graphir.collector import collector_paused
from graphir.ir import Graph, Operator, Value, Weight
from graphir.model import Function, Model
from graphir.ops import OPSETS, lookup
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor, Tensor
from graphir.types import ShapeError, Type

from . import headers, wire
from .attributes import CHILDREN, ReadChild, decode_attribute, decode_attributes
from .elements import TypeCodec, decode_notes, decode_opsets, decode_pairs, domain_of, quoted, reason, within
from .external import external_tensors, find_nothing
from .lowest import NEWEST_IR, imports, needed_ir
from .order import KEY as ORDER
from .order import NotMade, label, note, sorted_places
from .origin import keep
from .tensors import FindData, decode_sparse, decode_tensor

SPLIT = 1 << 20  # bytes; smaller models are parsed in one go


def read(data: bytes | memoryview, find: FindData = find_nothing) -> Model:
    """The model in these bytes. find: finds external data (see `Folder.find`). Raises FormatError."""
    proto, big = parse(data)
    if not proto.HasField("graph"):
        raise FormatError("it holds no graph; expected an ONNX model")
    with collector_paused():
        try:
            try:
                model = Reader(find, big).model(proto)
            except NotMade:
                proto, big = parse(data)  # the first try has emptied the message
                model = Reader(find, big, sorts=True).model(proto)
        except RecursionError:
            raise FormatError("its graphs are nested too deep") from None
        except UnicodeDecodeError as e:
            raise FormatError(reason(e)) from None
    from graphir.passes.infer import infer_or_declare

    infer_or_declare(model)
    return model


def parse(data: bytes | memoryview) -> tuple[ModelProto, dict[int, memoryview]]:
    """The message, and the big data of the graph's initializers that was left where it lies, by the initializer's number."""
    big: dict[int, memoryview] = {}
    if len(data) > SPLIT:
        with suppress(ValueError):  # laid out in another way, or broken: the parser tells which
            data, big = wire.without_big_data(memoryview(data))
    try:
        return ModelProto.FromString(bytes(data)), big
    except DecodeError as e:
        raise FormatError(f"it is no ONNX model, or it is cut short, or nested too deep: {e}") from None


class Scope(dict[str, Any]):
    """Name -> value of one graph; a name that is not there is asked of the graph around it. The empty name stands for no value."""

    __slots__ = ("outer",)

    def __init__(self, outer: "Scope | None"):
        self.outer = outer
        self[""] = None

    def __missing__(self, name: str) -> Value | None:
        if self.outer is None:
            raise KeyError(name)
        return self.outer[name]


class Reader:
    """Reads one model. Messages are emptied on the way: what is left of an element when its children are gone is its header.

    sorts: nodes may stand in any order. Where not, NotMade is raised for one that stands too early.
    """

    def __init__(self, find: FindData, big: dict[int, memoryview], sorts: bool = False):
        self.find = find
        self.big = big
        self.sorts = sorts
        self.places: dict[Graph, list[int]] = {}  # where nodes stood that had to be sorted
        self.odd: list[str] = []  # what `graphir.passes.check` is to say of the file
        self.types = TypeCodec()
        self.functions: set[tuple[str, str, str]] = set()
        self.operators: dict[tuple[str, str, str], Operator] = {}

    # ---- model and functions --------------------------------------------------------------------------------------------------------

    def model(self, proto: ModelProto) -> Model:
        """The whole model."""
        keys = [(domain_of(f.domain), f.name, f.overload) for f in proto.functions]
        self.functions = set(keys)
        if len(self.functions) < len(keys):
            _, name, _ = next(k for k, n in Counter(keys).items() if n > 1)
            raise FormatError(f"function {quoted(name)} is defined twice; expected other overloads")
        _check_recursion(dict(zip(keys, proto.functions)))
        opsets = decode_opsets(proto.opset_import) or {"": 1}  # files of IR version 2 and older do not say it
        graph = Graph(proto.graph.name)
        graph.needs_upgrade = needs_upgrade(opsets)
        self.graph(proto.graph, graph, None, self.big)
        model = Model(graph, opsets=opsets, target_opsets=dict(opsets), metadata=decode_pairs(proto.metadata_props))
        headers.take_gradients(model)
        for key, f in zip(keys, proto.functions):
            model.functions[key] = self.function(f)
        for t in external_tensors(proto.training_info):
            decode_tensor(t, self.find)
        model.training = [{"origin": t.SerializeToString()} for t in proto.training_info]
        for field in ("graph", "functions", "training_info"):
            proto.ClearField(field)
        carried = self._unimported(headers.model_notes(proto), opsets, graph)
        odd = [*_odd(proto, model, carried), *self.odd]
        model.carried = keep(carried, proto, headers.model(model.opsets, model, carried)) or {}
        if odd:
            model.carried["odd"] = odd
        if self.places:
            model.carried[ORDER] = note(model, self.places)
        if needed_ir(model) > proto.ir_version:
            model.carried["needed_ir"] = needed_ir(model)
        return model

    def function(self, proto: FunctionProto) -> Function:
        """A function. Its graph sees nothing of the model's."""
        opsets = decode_opsets(proto.opset_import)
        graph = Graph(proto.name)
        graph.needs_upgrade = needs_upgrade(opsets)
        where = f"function {quoted(proto.name)}"
        try:
            scope = Scope(None)
            declared = self._declared(proto.value_info)
            for name in proto.input:
                self._enter(scope, graph.add_input(name, declared.get(name)), "input")
                graph.inputs[-1].declared = declared.get(name)
            self.nodes(proto.node, graph, scope, declared)
            graph.outputs = [self._known(scope, name, "output") for name in proto.output]
            attributes: dict[str, Any] = dict.fromkeys(proto.attribute)
            child = self._children(graph, Scope(None))
            for a in proto.attribute_proto:
                attributes[a.name] = decode_attribute(a, child)
        except FormatError as e:
            raise within(where, e) from None
        proto.ClearField("node")
        carried = decode_notes(proto)
        domain = domain_of(proto.domain)
        function = Function(domain, proto.name, graph, overload=proto.overload, attributes=attributes, opsets=opsets)
        function.carried = keep(self._unimported(carried, opsets, graph), proto, headers.function(function, opsets, carried, self.types))
        return function

    # ---- graphs ---------------------------------------------------------------------------------------------------------------------

    def graph(self, proto: GraphProto, graph: Graph, outer: Scope | None, big: dict[int, memoryview]) -> None:
        """Fill `graph` from its message."""
        try:
            self._graph(proto, graph, outer, big)
        except (FormatError, UnicodeDecodeError) as e:
            raise within(f"graph {quoted(proto.name)}", e) from None

    def _graph(self, proto: GraphProto, graph: Graph, outer: Scope | None, big: dict[int, memoryview]) -> None:
        scope = Scope(outer)
        declared = self._declared(proto.value_info)
        outputs = {v.name: self._type(v) for v in proto.output}
        declared.update({name: t for name, t in outputs.items() if t is not None})
        inputs = {v.name for v in proto.input}
        for name, tensor in self._initializers(proto, big):
            weight = graph.weights[name] = Weight(name, tensor, graph, "default" if name in inputs else "constant")
            graph.claim(name)
            weight.declared = declared.get(name)
            self._enter(scope, weight, "initializer")
        if len(inputs) < len(proto.input):
            name = next(n for n, count in Counter(v.name for v in proto.input).items() if count > 1)
            raise FormatError(f"the input {quoted(name)} is listed twice; expected names of their own")
        for v in proto.input:
            type_ = self._type(v)
            if v.name in graph.weights:
                graph.inputs.append(graph.weights[v.name])
            else:
                self._enter(scope, graph.add_input(v.name, type_), "input")
            graph.inputs[-1].declared = type_
        self.nodes(proto.node, graph, scope, declared)
        graph.outputs = [self._known(scope, v.name, "output") for v in proto.output]
        for field in ("node", "initializer", "sparse_initializer"):
            proto.ClearField(field)
        carried = decode_notes(proto)
        untyped = any(v.declared is None for v in (*graph.inputs, *graph.outputs))
        graph.carried = keep(carried, proto, headers.graph(graph, carried, self.types), always=untyped)

    def _initializers(self, proto: GraphProto, big: dict[int, memoryview]) -> Iterator[tuple[str, Tensor | SparseTensor]]:
        for i, t in enumerate(proto.initializer):
            yield t.name, decode_tensor(t, self.find, big.get(i), named=False)
        for s in proto.sparse_initializer:
            name = s.values.name
            yield name, decode_sparse(s, self.find, named=False)

    def _declared(self, infos: Iterable[Any]) -> dict[str, Type]:
        found = {v.name: self._type(v) for v in infos}
        return {name: t for name, t in found.items() if t is not None}

    def _type(self, info: ValueInfoProto) -> Type | None:
        try:
            return self.types.decode(info.type) if info.HasField("type") else None
        except ShapeError as e:
            raise FormatError(f"the type of {quoted(info.name)} is {e}") from None

    def _unimported(self, carried: dict[str, Any], opsets: dict[str, int], graph: Graph) -> dict[str, Any]:
        """Enter the domains of nodes that the file does not import."""
        if unimported := [domain for domain in imports({}, graph) if domain not in opsets]:
            carried["unimported"] = unimported
        return carried

    def _enter(self, scope: Scope, value: Value, what: str) -> None:
        if not value.name:
            raise FormatError(f"an {what} has no name")
        if value.name in scope:
            raise FormatError(f"the {what} {quoted(value.name)} is defined already in this graph; expected a name of its own")
        scope[value.name] = value

    def _known(self, scope: Scope, name: str, what: str) -> Value:
        try:
            value = scope[name]
        except KeyError:
            value = None
        if value is None:
            raise NotMade(f"the {what} {quoted(name)} is made by no node, and is no input and no initializer")
        return value

    # ---- nodes ----------------------------------------------------------------------------------------------------------------------

    def nodes(self, protos: Sequence[NodeProto], graph: Graph, scope: Scope, declared: dict[str, Type]) -> None:
        """Append the nodes to `graph`, their outputs to `scope`."""
        for proto in self._sorted(protos, graph) if self.sorts else protos:
            try:
                self._node(proto, graph, scope, declared)
            except (FormatError, ShapeError, UnicodeDecodeError) as e:
                raise within(f"node {quoted(label(proto))} ({quoted(proto.op_type)[1:-1]})", e) from None

    def _sorted(self, protos: Sequence[NodeProto], graph: Graph) -> Sequence[NodeProto]:
        """The nodes in an order in which each reads what was made before it. Notes where they stood."""
        places = sorted_places(protos)
        moved = next((i for i, place in enumerate(places) if i != place), None)
        if moved is None:
            return protos
        early, late = (quoted(label(protos[i])) for i in (moved, places[moved]))
        self.odd.append(
            f"graph {quoted(graph.name)}: its nodes are in no topological order: {early} stands before {late}, on which it depends"
        )
        self.places[graph] = places
        return [protos[i] for i in places]

    def _node(self, proto: NodeProto, graph: Graph, scope: Scope, declared: dict[str, Type]) -> None:
        key = (proto.domain, proto.op_type, proto.overload)
        op = self.operators.get(key) or self._operator(key)
        read = list(proto.input)
        try:
            inputs = tuple([scope[name] for name in read])
        except KeyError:
            name = next(n for n in read if not _has(scope, n))
            raise NotMade(
                f"the input {quoted(name)} is not made before it; expected the name of a value of this graph or one around it"
            ) from None
        attributes = decode_attributes(op, proto.attribute, self._children(graph, scope)) if proto.attribute else {}
        names = list(proto.output)
        types = [declared.get(n) for n in names] if declared else [None] * len(names)
        node = graph.append(op, inputs, attributes, types, proto.name, names)
        for v, t in zip(node.outputs, types):
            if v is not None:
                if v.name in scope:
                    self._enter(scope, v, "output")
                scope[v.name] = v
                v.declared = t
        carried = decode_notes(proto)
        header = headers.node(headers.Parts(op, read, names, node.name, attributes), carried)
        node.carried = keep(carried, proto, header, always=headers.adds_hidden_size(node))

    def _operator(self, key: tuple[str, str, str]) -> Operator:
        domain, name, overload = key
        called = (domain_of(domain), name, overload)
        op = self.operators[key] = Operator(*called) if called in self.functions else lookup(domain, name, overload)
        return op

    def _children(self, graph: Graph, scope: Scope) -> ReadChild:
        """What reads the tensors and graphs of an attribute, and takes them out of it."""

        def one(proto: Any) -> Tensor | SparseTensor | Graph:
            if isinstance(proto, GraphProto):
                body = Graph(proto.name, graph)
                self.graph(proto, body, scope, {})
                return body
            return decode_tensor(proto, self.find) if hasattr(proto, "raw_data") else decode_sparse(proto, self.find)

        def child(proto: AttributeProto, kind: int) -> Any:
            field, many = CHILDREN[kind]
            if not many and not proto.HasField(field):
                raise FormatError(f"its kind is {AttributeProto.AttributeType.Name(kind)}, but it holds none")
            found = tuple([one(p) for p in getattr(proto, field)]) if many else one(getattr(proto, field))
            proto.ClearField(field)
            return found

        return child


def needs_upgrade(opsets: dict[str, int]) -> bool:
    """Whether nodes of these opsets may stand in older forms."""
    return any(opsets.get(domain, version) < version for domain, version in OPSETS.items())


def _odd(proto: ModelProto, model: Model, carried: dict[str, Any]) -> Iterator[str]:
    """What `graphir.passes.check` is to say of the header of a file, which is read all the same."""
    if proto.ir_version > NEWEST_IR:
        yield f"IR version {proto.ir_version} is not known; expected 1 to {NEWEST_IR}"
    if not proto.opset_import and proto.ir_version >= 3:
        yield "the file imports no opset; expected at least that of ai.onnx"
    where = [("", carried)] + [(f"function {quoted(f.name)}: ", f.carried) for f in model.functions.values() if isinstance(f.carried, dict)]
    for prefix, notes in where:
        for domain in notes.get("unimported", ()):
            yield f"{prefix}nodes are of domain {quoted(domain)}, of which the file imports no opset"


def _has(scope: Scope, name: str) -> bool:
    try:
        scope[name]
    except KeyError:
        return False
    return True


def _check_recursion(functions: dict[tuple[str, str, str], FunctionProto]) -> None:
    """Raises FormatError where a function calls itself, directly or by way of others."""
    try:
        TopologicalSorter({key: {c for c in _calls(f.node) if c in functions} for key, f in functions.items()}).prepare()
    except CycleError as e:
        name = quoted(e.args[1][0][1])
        raise FormatError(f"function {name} calls itself, or a function that does; expected no recursion") from None


def _calls(nodes: Iterable[NodeProto]) -> Iterator[tuple[str, str, str]]:
    for node in nodes:
        yield domain_of(node.domain), node.op_type, node.overload
        for a in node.attribute:
            if a.HasField("g"):
                yield from _calls(a.g.node)
            for g in a.graphs:
                yield from _calls(g.node)
