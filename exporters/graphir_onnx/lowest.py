"""In which versions a model can be written: the opset that its nodes need with their element types, and the IR version that its content needs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import onnx
from onnx import GraphProto, TensorProto

from graphir.dtypes import DTYPES
from graphir.expect import expect
from graphir.ir import Graph, Node, Value
from graphir.model import Model
from graphir.ops import OPSETS
from graphir.passes.lower import LowerError, forms, lower_opset
from graphir.passes.upgrade import UpgradeError
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor
from graphir.types import MapType, OpaqueType, OptionalType, SequenceType, SparseTensorType, TensorType, Type

from .attributes import children
from .elements import ENUMS, quoted
from .headers import untyped

OLDEST = {"": 13, "ai.onnx.ml": 3}  # models built here are written no older: what is older few readers still test
NEWEST_IR = int(onnx.IR_VERSION)
_IR_OF_DTYPE = {
    "bfloat16": 4,
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"), 9),
    **dict.fromkeys(("int4", "uint4"), 10), "float4_e2m1fn": 11, "float8_e8m0fnu": 12, **dict.fromkeys(("int2", "uint2"), 13),
    **dict.fromkeys(("float6_e2m3fn", "float6_e3m2fn"), 14),
}  # fmt: skip
_IR = {DTYPES[name]: version for name, version in _IR_OF_DTYPE.items()}
_AS_SEVERAL = {"Shape": (13, 10)}  # versions that say an operator as a few nodes: a part of a shape is a Slice of it
Note = Callable[[str], object]  # is told what a file says otherwise than was asked


def nobody(text: str) -> None:
    """The note that goes nowhere."""


def placed(model: Model, opset: int | None, ir_version: int | None, note: Note = nobody) -> tuple[Model, dict[str, int], int | None]:
    """The model, or a copy of it, with its nodes in the form in which they are written; the opsets to import; the IR version, None for the file's own.

    note: is told of versions that had to be raised above the model's own, and what for.
    Raises FormatError where the versions that are asked for cannot say the model.
    """
    expect(opset, int | None, "opset", "a version of ai.onnx, such as 21")
    expect(ir_version, int | None, "ir_version", "a number, such as 10")
    if opset is not None and not 1 <= opset <= OPSETS[""]:
        raise FormatError(f"there is no opset {opset} of ai.onnx; expected 1 to {OPSETS['']}")
    if not any(g.root.needs_upgrade for g in model.graphs()):
        asked = {} if opset is None else {"": opset}
        model = _at(model, asked | {domain: _wanted(model, domain, note) for domain in OPSETS if domain not in asked})
    elif opset is not None:
        model = _at(model, {**{domain: model.opsets[domain] for domain in OPSETS if domain in model.opsets}, "": opset})
    return model, imports(model.opsets, model.graph, (model.carried or {}).get("unimported", ())), _ir_version(model, ir_version, note)


def _wanted(model: Model, domain: str, note: Note) -> int:
    """The opset of a domain in which to write a model that stands in the declared form: its own, raised as far as its nodes need."""
    wanted = model.target_opsets.get(domain, OLDEST[domain] if model.carried is None else OPSETS[domain])
    needed, node = _needed(model, domain) if wanted < OPSETS[domain] else (0, None)
    if node is None or needed <= wanted:
        return wanted
    if domain in model.target_opsets:
        note(
            f"written in opset {needed} of {domain or 'ai.onnx'}, not in the model's own, {wanted}: {node.op} of node {quoted(node.label)} needs it"
        )
    return needed


def _needed(model: Model, domain: str) -> tuple[int, Node | None]:
    """The oldest opset of a domain that says all nodes of a model in the declared form, and a node that needs it."""
    return max(((lowest(node), node) for node in _nodes(model) if node.op.domain == domain), key=lambda found: found[0], default=(0, None))


def _at(model: Model, opsets: Mapping[str, int]) -> Model:
    """The model with its nodes in the form of these opsets: itself where they stand in them."""
    tables = (model.opsets, *(f.opsets for f in model.functions.values()))
    used = {"", *(node.op.domain for node in _nodes(model))}
    opsets = {domain: opset for domain, opset in opsets.items() if domain in used}
    if all(table.get(domain, OPSETS[domain]) == opset for table in tables for domain, opset in opsets.items()):
        return model
    try:
        return _lowered(model, opsets)
    except FormatError as e:
        raise FormatError(f"{e}{_remedy(model, opsets)}") from None


def _lowered(model: Model, opsets: Mapping[str, int]) -> Model:
    """A copy of the model with its nodes in the form of these opsets."""
    model = model.copy()
    try:
        lower_opset(model, opsets)
    except (LowerError, UpgradeError) as e:
        raise FormatError(str(e)) from None
    for node in _nodes(model):
        opset = opsets.get(node.op.domain)
        wrong = _wrong_type(node, opset, _read(node)) if opset is not None else None
        if wrong:
            raise FormatError(f"node {quoted(node.label)}: {node.op} takes no {wrong} in opset {opset}")
    return model


def _remedy(model: Model, opsets: Mapping[str, int]) -> str:
    """The oldest opset of ai.onnx that says a model which these cannot, for messages."""
    too_old, enough = opsets[""], OPSETS[""] + 1
    while enough - too_old > 1:  # what one opset says, newer ones say too
        between = (too_old + enough) // 2
        try:
            _lowered(model, {**opsets, "": between})
            enough = between
        except FormatError:
            too_old = between
    return f"; expected opset {enough} or newer" if enough <= OPSETS[""] else ""


def imports(opsets: Mapping[str, int], graph: Graph, without: Collection[str] = ()) -> dict[str, int]:
    """The opsets to import: those given, and those of the nodes, which stand in the declared version; functions have version 1."""
    found = dict(opsets)
    for domain in dict.fromkeys(node.op.domain for g in graph.walk() for node in g.nodes):
        if domain not in without:
            found.setdefault(domain, OPSETS.get(domain, 1))
    return found or ({"": OPSETS[""]} if "" not in without else {})


def _nodes(model: Model) -> Iterator[Node]:
    for graph in model.graphs():
        yield from graph.nodes


# ---- opsets -------------------------------------------------------------------------------------------------------------------------


def lowest(node: Node) -> int:
    """The oldest opset that can say a node, which stands in the newest form, with these element types; 1 where that is not known of its operator.

    It must say it as one node, but for a few operators that would otherwise move a whole model to a newer opset.
    """
    found = 1
    for version, form in forms(node):
        if found > 1 and _wrong_type(form, version, _read(node)):
            break
        found = version
    for version in _AS_SEVERAL.get(str(node.op), ()):
        if found <= version or _wrong_type(node, version, _read(node)):
            break
        found = version
    return found


def _read(node: Node) -> list[Value | None]:
    """The outputs of a node that matter: the first, and the others that somebody reads."""
    return [v if v is not None and (v.uses or i == 0) else None for i, v in enumerate(node.outputs)]


def _wrong_type(node: Node, opset: int, outputs: Sequence[Value | None]) -> str | None:
    """A type among a node's inputs and these of its outputs that the operator does not allow in this opset."""
    allowed = _allowed(node.op.name, opset, node.op.domain)
    if allowed is None:
        return None
    for values, formal in zip((node.inputs, outputs), allowed):
        for i, v in enumerate(values):
            text = _type_text(v.type) if v is not None and formal else None
            if text is not None and text not in formal[min(i, len(formal) - 1)]:
                return text
    return None


@cache
def _allowed(name: str, opset: int, domain: str) -> tuple[list[frozenset[str]], list[frozenset[str]]] | None:
    """The types that each input and output of an operator may have in an opset."""
    try:
        schema = onnx.defs.get_schema(name, min(opset, 2**31 - 1), domain)  # a file may say more
    except (onnx.defs.SchemaError, TypeError):  # there is none, or a name is not UTF-8
        return None
    return [frozenset(x.types) for x in schema.inputs], [frozenset(x.types) for x in schema.outputs]


def _type_text(type_: Type | None) -> str | None:
    """A type as the standard writes it; None where it is not wholly known."""
    if isinstance(type_, TensorType):
        return f"tensor({_TEXTS[type_.dtype]})"
    if isinstance(type_, SequenceType | OptionalType):
        inner = _type_text(type_.element)
        return inner and f"{'seq' if isinstance(type_, SequenceType) else 'optional'}({inner})"
    return None


_TEXTS: dict[np.dtype, str] = {dtype: TensorProto.DataType.Name(n).lower() for dtype, n in ENUMS.items()}  # pyright: ignore[reportArgumentType]


# ---- the IR version -----------------------------------------------------------------------------------------------------------------


def _ir_version(model: Model, asked: int | None, note: Note) -> int | None:
    carried = model.carried or {}
    needed = needed_ir(model)
    if asked is not None:
        if not 3 <= asked <= NEWEST_IR:
            raise FormatError(f"there is no IR version {asked} to write; expected 3 to {NEWEST_IR}")
        if asked < needed:
            raise FormatError(f"IR version {asked} cannot hold the model; expected {needed} or newer")
        return asked
    if model.carried is None:
        return needed
    # A file may say less than it needs; it is changed only where a change asks for more.
    had = carried.get("ir_version", 0)
    if needed <= max(had, carried.get("needed_ir", 0)):
        return None
    note(f"written in IR version {needed}, not in the model's own, {had}: what it holds is newer")
    return needed


def needed_ir(model: Model) -> int:
    """The oldest IR version that holds everything in a model, by the history in onnx.proto."""
    needed = 3
    if model.training:
        needed = 7
    for f in model.functions.values():
        needed = max(needed, 10 if f.overload else 9 if any(x is not None for x in f.attributes.values()) else 8)
    for graph in model.graphs():
        needed = max(needed, *_ir_of_graph(graph))
    return needed


def _ir_of_graph(graph: Graph) -> set[int]:
    newer = [v for v in {*graph.inputs, *graph.outputs} if v.declared is None and _ir_of_type(v.type) > 3]
    if newer and graph.carried and "encoded" in graph.carried:  # what has no type in the file gets none
        without = untyped(GraphProto.FromString(graph.carried["encoded"]))
        newer = [v for v in newer if v.name not in without]
    types = {v.declared for v in graph.values()} | {v.type for v in newer}
    found = {3, *map(_ir_of_type, types)}
    for w in graph.weights.values():
        found |= {6 if isinstance(w.tensor, SparseTensor) else 4 if w.kind != "default" else 3, _IR.get(w.tensor.dtype, 3)}
    noted = [graph, *(node for node in graph.nodes if node.carried)]
    if any(x.carried and "metadata" in x.carried for x in noted):
        found.add(10)
    for node in graph.nodes:
        for x in node.attributes.values():
            for t in children(x):
                if not isinstance(t, Graph):
                    found |= {6 if isinstance(t, SparseTensor) else 3, _IR.get(t.dtype, 3)}
    return found


def _ir_of_type(type_: Type | None) -> int:
    match type_:
        case TensorType():
            return _IR.get(type_.dtype, 3)
        case SparseTensorType():
            return 8
        case OptionalType():
            return max(8, _ir_of_type(type_.element))
        case SequenceType():
            return _ir_of_type(type_.element)
        case MapType():
            return _ir_of_type(type_.value)
        case OpaqueType():
            return 3
    return 3
