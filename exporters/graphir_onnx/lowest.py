"""In which versions a model can be written: the opset that its nodes need with their element types, and the IR version that its content needs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto

from graphir.dtypes import DTYPES
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

OLDEST = 13  # models built here are written no older: what is older few readers still test
NEWEST_IR = int(onnx.IR_VERSION)
_IR_OF_DTYPE = {
    "bfloat16": 4,
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"), 9),
    **dict.fromkeys(("int4", "uint4"), 10), "float4_e2m1fn": 11, "float8_e8m0fnu": 12, **dict.fromkeys(("int2", "uint2"), 13),
    **dict.fromkeys(("float6_e2m3fn", "float6_e3m2fn"), 14),
}  # fmt: skip
_IR = {DTYPES[name]: version for name, version in _IR_OF_DTYPE.items()}


def placed(model: Model, opset: int | None, ir_version: int | None) -> tuple[Model, dict[str, int], int | None]:
    """The model, or a copy of it, with its nodes in the form in which they are written; the opsets to import; the IR version, None for the file's own.

    Raises FormatError where the versions that are asked for cannot say the model.
    """
    if opset is not None:
        model = _at(model, opset)
    elif not any(g.root.needs_upgrade for g in model.graphs()):
        wanted = model.target_opsets.get("", OLDEST if model.carried is None else OPSETS[""])
        if wanted < OPSETS[""]:
            model = _at(model, max([wanted, *(lowest(node) for node in _nodes(model))]))
    return model, imports(model.opsets, model.graph, (model.carried or {}).get("unimported", ())), _ir_version(model, ir_version)


def _at(model: Model, opset: int) -> Model:
    """The model with its nodes in the form of this opset: itself where they stand in it."""
    newest = OPSETS[""]
    stands_in = {model.opsets.get("", newest), *(f.opsets.get("", newest) for f in model.functions.values())}
    if stands_in == {opset}:
        return model
    if not 1 <= opset <= newest:
        raise FormatError(f"there is no opset {opset} of ai.onnx; expected 1 to {newest}")
    model = model.copy()
    try:
        lower_opset(model, {"": opset})
    except (LowerError, UpgradeError) as e:
        raise FormatError(str(e)) from None
    for node in _nodes(model):
        wrong = _wrong_type(node, opset, _read(node)) if not node.op.domain else None
        if wrong:
            raise FormatError(f"node {quoted(node.label)}: {node.op} takes no {wrong} in opset {opset}; write a newer one")
    return model


def imports(opsets: Mapping[str, int], graph: Graph, without: Collection[str] = ()) -> dict[str, int]:
    """The opsets to import: those given, and those of the nodes, which stand in the declared version; functions have version 1."""
    found = dict(opsets)
    for domain in dict.fromkeys(node.op.domain for g in graph.walk() for node in g.nodes):
        if domain not in without:
            found.setdefault(domain, OPSETS.get(domain, 1))
    return found or {"": OPSETS[""]}


def _nodes(model: Model) -> Iterator[Node]:
    for graph in model.graphs():
        yield from graph.nodes


# ---- opsets -------------------------------------------------------------------------------------------------------------------------


def lowest(node: Node) -> int:
    """The oldest opset that can say a node, which stands in the newest form, as one node with these element types; 1 where that is not known of its operator."""
    found = 1
    for version, form in forms(node):
        if found > 1 and _wrong_type(form, version, _read(node)):
            break
        found = version
    return found


def _read(node: Node) -> list[Value | None]:
    """The outputs of a node that matter: the first, and the others that somebody reads."""
    return [v if v is not None and (v.uses or i == 0) else None for i, v in enumerate(node.outputs)]


def _wrong_type(node: Node, opset: int, outputs: Sequence[Value | None]) -> str | None:
    """A type among a node's inputs and these of its outputs that the operator does not allow in this opset."""
    allowed = _allowed(node.op.name, opset)
    if allowed is None:
        return None
    for values, formal in zip((node.inputs, outputs), allowed):
        for i, v in enumerate(values):
            text = _type_text(v.type) if v is not None and formal else None
            if text is not None and text not in formal[min(i, len(formal) - 1)]:
                return text
    return None


@cache
def _allowed(name: str, opset: int) -> tuple[list[frozenset[str]], list[frozenset[str]]] | None:
    """The types that each input and output of an operator may have in an opset."""
    try:
        schema = onnx.defs.get_schema(name, opset)
    except onnx.defs.SchemaError:
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


def _ir_version(model: Model, asked: int | None) -> int | None:
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
    return needed if needed > max(carried.get("ir_version", 0), carried.get("needed_ir", 0)) else None


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
    ends = {*graph.inputs, *graph.outputs}
    types = {v.declared for v in graph.values()} | {v.type for v in ends}
    found = {3, *map(_ir_of_type, types)}
    for w in graph.weights.values():
        found |= {6 if isinstance(w.tensor, SparseTensor) else 4 if w.kind != "default" else 3, _IR.get(w.tensor.dtype, 3)}
    noted = [graph, *(node for node in graph.nodes if node.carried)]
    if any(x.carried and "metadata" in x.carried for x in noted):
        found.add(10)
    for node in graph.nodes:
        for x in node.attributes.values() if node.attributes else ():
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
