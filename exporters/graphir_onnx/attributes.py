"""Attributes of nodes there and back. Tensors and graphs in them are children: they are read and written apart from the attribute that holds them."""

from collections.abc import Callable
from typing import Any

from onnx import AttributeProto

from graphir.dtypes import NAMES
from graphir.ir import Graph, Ref
from graphir.nodes import Operator
from graphir.ops import Op
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor, Tensor
from graphir.types import Type

from .elements import ENUMS, decode_type, encode_type, quoted, within

FLOAT, INT, STRING, TYPE = AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.TYPE_PROTO
FLOATS, INTS, STRINGS, TYPES = AttributeProto.FLOATS, AttributeProto.INTS, AttributeProto.STRINGS, AttributeProto.TYPE_PROTOS
CHILDREN: dict[int, tuple[str, bool]] = {  # kind -> the field, and whether it is a list
    AttributeProto.TENSOR: ("t", False), AttributeProto.TENSORS: ("tensors", True),
    AttributeProto.GRAPH: ("g", False), AttributeProto.GRAPHS: ("graphs", True),
    AttributeProto.SPARSE_TENSOR: ("sparse_tensor", False), AttributeProto.SPARSE_TENSORS: ("sparse_tensors", True),
}  # fmt: skip
_FIELDS: dict[int, str] = {  # kind -> the field
    FLOAT: "f", INT: "i", STRING: "s", TYPE: "tp", FLOATS: "floats", INTS: "ints", STRINGS: "strings", TYPES: "type_protos",
    **{kind: field for kind, (field, _) in CHILDREN.items()},
}  # fmt: skip
_KINDS: dict[type, int] = {int: INT, float: FLOAT, str: STRING, bytes: STRING, Tensor: AttributeProto.TENSOR, Graph: AttributeProto.GRAPH,
          SparseTensor: AttributeProto.SPARSE_TENSOR}  # fmt: skip
_LISTS: dict[int, int] = {INT: INTS, FLOAT: FLOATS, STRING: STRINGS, TYPE: TYPES, AttributeProto.TENSOR: AttributeProto.TENSORS,
          AttributeProto.GRAPH: AttributeProto.GRAPHS, AttributeProto.SPARSE_TENSOR: AttributeProto.SPARSE_TENSORS}  # fmt: skip
_EMPTY: dict[str, int] = {
    "floats": FLOATS,
    "strs": STRINGS,
    "graphs": AttributeProto.GRAPHS,
}  # what an empty list of a declared attribute is


ReadChild = Callable[[AttributeProto, int], Any]  # the tensors or graphs of an attribute of this kind


def decode_attributes(op: Operator, protos: Any, child: ReadChild) -> dict[str, Any]:
    """The attributes of a node of `op`, by name. Raises FormatError for one that is given twice, or is of no known kind."""
    found: dict[str, Any] = {}
    specs = op.attributes if isinstance(op, Op) else {}
    for proto in protos:
        name = proto.name
        if name in found:
            raise FormatError(f"the attribute {quoted(name)} is given twice")
        try:
            x = decode_attribute(proto, child)
        except FormatError as e:
            raise within(f"attribute {quoted(name)}", e) from None
        if x.__class__ is int and name in specs and specs[name].kind == "dtype":
            if x == 0:
                continue  # no type given, which is what leaving it out says
            x = _NAME_OF_ENUM.get(x, x)
        found[name] = x
    return found


def decode_attribute(proto: AttributeProto, child: ReadChild) -> Any:
    """The value of one attribute."""
    kind = proto.type or _kind_by_content(proto)
    if proto.ref_attr_name:
        return Ref(proto.ref_attr_name, AttributeProto.AttributeType.Name(kind).lower())
    if kind == INT:
        return proto.i
    if kind == INTS:
        return tuple(proto.ints)
    if kind == FLOAT:
        return proto.f
    if kind == FLOATS:
        return tuple(proto.floats)
    if kind == STRING:
        return _text(proto.s)
    if kind == STRINGS:
        return tuple([_text(s) for s in proto.strings])
    if kind in CHILDREN:
        return child(proto, kind)
    types = [decode_type(t) for t in ((proto.tp,) if kind == TYPE else proto.type_protos)]
    if None in types:
        raise FormatError("it holds a type that is not said; expected one of tensor, sequence, map, optional, sparse tensor, opaque")
    return types[0] if kind == TYPE else tuple(types)


def _kind_by_content(proto: AttributeProto) -> int:
    """The kind of an attribute that does not say it, as in the first files."""
    for kind, field in _FIELDS.items():
        if len(getattr(proto, field)) if kind in _LISTS.values() else proto.HasField(field):
            return kind
    if proto.ref_attr_name:
        return AttributeProto.UNDEFINED
    raise FormatError("it holds nothing; expected a kind and a value")


def encode_attributes(protos: Any, op: Operator, attributes: dict[str, Any]) -> None:
    """Append attributes, without the tensors and graphs in them."""
    specs = op.attributes if isinstance(op, Op) else {}
    for name, x in attributes.items():
        spec = specs.get(name)
        encode_attribute(protos.add(), name, x, spec.kind if spec else "")


def encode_attribute(proto: AttributeProto, name: str, x: Any, declared: str = "") -> None:
    """Write one attribute, without the tensors and graphs in it. declared: the kind in the operator's declaration, if there is one."""
    proto.name = name
    if declared == "dtype" and x.__class__ is str and x in _ENUM_OF_NAME:
        x = _ENUM_OF_NAME[x]
    kind = kind_of(x, declared)
    if kind or not isinstance(x, Ref):
        proto.type = kind  # pyright: ignore[reportAttributeAccessIssue]  # the stubs know an enum
    if isinstance(x, Ref):
        proto.ref_attr_name = x.name
    elif kind == TYPE:
        encode_type(x, proto.tp)
    elif kind == TYPES:
        for t in x:
            encode_type(t, proto.type_protos.add())
    elif kind in (INT, FLOAT):
        setattr(proto, _FIELDS[kind], x)
    elif kind in (INTS, FLOATS):
        getattr(proto, _FIELDS[kind]).extend(x)
    elif kind == STRING:
        proto.s = x.encode() if isinstance(x, str) else x
    elif kind == STRINGS:
        proto.strings.extend(s.encode() if isinstance(s, str) else s for s in x)


def children(x: Any) -> tuple[Any, ...]:
    """The tensors or graphs in an attribute."""
    x = x if isinstance(x, tuple) else (x,)
    return x if x and isinstance(x[0], Tensor | SparseTensor | Graph) else ()


def kind_of(x: Any, declared: str = "") -> int:
    """The kind of an attribute that holds this."""
    if isinstance(x, Ref):
        return AttributeProto.AttributeType.Value(x.kind.upper())
    if isinstance(x, tuple):
        kinds = {kind_of(y) for y in {y.__class__: y for y in x}.values()}  # one of each class: trees have long lists
        if kinds == {INT, FLOAT}:
            kinds = {FLOAT}
        if len(kinds) > 1:
            raise FormatError(f"a list holds things of several kinds: {x!r}; ONNX has lists of one kind")
        return _LISTS[kinds.pop()] if kinds else _EMPTY.get(declared, INTS)
    if x.__class__ is int and declared == "float":
        return FLOAT
    if isinstance(x, Type):
        return TYPE
    for cls in type(x).__mro__:
        if cls in _KINDS:
            return _KINDS[cls]
    raise FormatError(f"ONNX has no attributes that are a {type(x).__name__}: {x!r}")


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


_ENUM_OF_NAME = {NAMES[dtype]: n for dtype, n in ENUMS.items()}
_NAME_OF_ENUM = {n: name for name, n in _ENUM_OF_NAME.items()}
