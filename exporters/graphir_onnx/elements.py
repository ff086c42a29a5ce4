"""The small parts of the format, there and back: element types, value types, names with types, pairs of strings, opset imports."""

from collections.abc import Iterable, Mapping
from reprlib import Repr
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, TypeProto, ValueInfoProto

from graphir.dim_text import as_dim
from graphir.dims import Dim, Expr, Shape, Symbol, unknown
from graphir.plugins import FormatError
from graphir.types import MapType, OpaqueType, OptionalType, SequenceType, SparseTensorType, TensorType, Type, expect_rank

DTYPES: dict[int, np.dtype] = {n: onnx.helper.tensor_dtype_to_np_dtype(n) for n in TensorProto.DataType.values() if n}
ENUMS: dict[np.dtype, int] = {dtype: n for n, dtype in DTYPES.items()}

_repr = Repr()
_repr.maxstring = _repr.maxother = 120
quoted = _repr.repr  # a name out of a file, fit for a message: short, control characters escaped


def domain_of(domain: str) -> str:
    """The domain as graphs have it: "ai.onnx" is the empty one."""
    return "" if domain == "ai.onnx" else domain


def reason(e: Exception) -> str:
    """What is wrong with a message, in a line."""
    return f"the text {quoted(e.object)} is not UTF-8" if isinstance(e, UnicodeDecodeError | UnicodeEncodeError) else str(e)


def within(where: str, e: ValueError) -> FormatError:
    """The error, of its kind, with the place where it arose."""
    return (type(e) if isinstance(e, FormatError) else FormatError)(f"{where}: {reason(e)}")


# ---- types --------------------------------------------------------------------------------------------------------------------------


def decode_type(proto: TypeProto) -> Type | None:
    """The type in a TypeProto; None where it says none that graphs can hold."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type" or kind == "sparse_tensor_type":
        inner = getattr(proto, kind)
        dtype = DTYPES.get(inner.elem_type)
        shape = decode_shape(inner.shape) if inner.HasField("shape") else None
        make = TensorType if kind == "tensor_type" else SparseTensorType
        return None if dtype is None else make(dtype, shape)
    if kind == "sequence_type":
        return SequenceType(decode_type(proto.sequence_type.elem_type))
    if kind == "optional_type":
        return OptionalType(decode_type(proto.optional_type.elem_type))
    if kind == "map_type":
        key = DTYPES.get(proto.map_type.key_type)
        return None if key is None else MapType(key, decode_type(proto.map_type.value_type))
    if kind == "opaque_type":
        return OpaqueType(proto.opaque_type.domain, proto.opaque_type.name)
    return None


def encode_type(type_: Type, proto: TypeProto | None = None) -> TypeProto:
    """A type as a TypeProto."""
    proto = TypeProto() if proto is None else proto
    match type_:
        case TensorType() | SparseTensorType():
            inner = proto.tensor_type if isinstance(type_, TensorType) else proto.sparse_tensor_type
            inner.elem_type = ENUMS[type_.dtype]
            if type_.shape is not None:
                encode_shape(type_.shape, inner.shape)
        case SequenceType() | OptionalType():
            inner = proto.sequence_type if isinstance(type_, SequenceType) else proto.optional_type
            inner.SetInParent()
            if type_.element is not None:
                encode_type(type_.element, inner.elem_type)
        case MapType():
            proto.map_type.key_type = ENUMS[type_.key]
            if type_.value is not None:
                encode_type(type_.value, proto.map_type.value_type)
        case OpaqueType():
            proto.opaque_type.SetInParent()
            for field in ("domain", "name"):
                if getattr(type_, field):
                    setattr(proto.opaque_type, field, getattr(type_, field))
    return proto


def decode_shape(proto: Any) -> Shape:
    """The dims in a TensorShapeProto. A negative size, an empty name and the name "?" (all of Paddle's dims) count as unknown. Raises ShapeError."""
    expect_rank(len(proto.dim))
    dims: list[Dim] = []
    for d in proto.dim:
        kind = d.WhichOneof("value")
        if kind == "dim_value":
            dims.append(d.dim_value if d.dim_value >= 0 else unknown())
        else:
            name = d.dim_param
            dims.append(as_dim(name) if name.__class__ is str and name not in ("", "?") else unknown())
    return tuple(dims)


def encode_shape(shape: Shape, proto: Any) -> None:
    """Write dims into a TensorShapeProto: sizes, names and expressions; nothing where a dim is unknown."""
    proto.SetInParent()
    for dim in shape:
        d = proto.dim.add()
        if not isinstance(dim, Expr):
            d.dim_value = dim
        elif not dim.is_unknown:
            d.dim_param = dim_text(dim)


def dim_text(dim: Expr) -> str:
    """The text of a dim in a file: a symbol's bare name, or the expression."""
    if dim.is_atom and isinstance(symbol := dim.terms[0][0][0], Symbol):
        return str(symbol.name)
    return str(dim)


class TypeCodec:
    """Types there and back, each distinct one only once: most values of a model share few."""

    def __init__(self) -> None:
        self._types: dict[bytes, Type | None] = {}
        self._protos: dict[Type, TypeProto] = {}

    def decode(self, proto: TypeProto) -> Type | None:
        """As `decode_type`. Types with unknown dims are made anew each time, for no two unknowns are one."""
        key = proto.SerializeToString()
        if key in self._types:
            return self._types[key]
        type_ = decode_type(proto)
        if not (isinstance(type_, TensorType) and any(isinstance(d, Expr) and d.is_unknown for d in type_.shape or ())):
            self._types[key] = type_
        return type_

    def encode(self, type_: Type) -> TypeProto:
        """As `encode_type`; the result is shared, and must not be written to."""
        proto = self._protos.get(type_)
        if proto is None:
            proto = self._protos[type_] = encode_type(type_)
        return proto

    def infos(self, protos: Any, entries: Iterable[tuple[str, Type | None]]) -> None:
        """Append names with their types to a list of ValueInfoProtos."""
        for name, type_ in entries:
            if type_ is None:
                protos.add(name=name)
            else:
                protos.add(name=name, type=self.encode(type_))


# ---- texts --------------------------------------------------------------------------------------------------------------------------


def decode_notes(proto: Any) -> dict[str, Any]:
    """Documentation and metadata of an element, as `carried` keeps them. Texts that are not UTF-8, which protobuf gives as bytes, are left out."""
    notes: dict[str, Any] = {}
    doc = proto.doc_string
    if doc and doc.__class__ is str:
        notes["doc"] = doc
    if proto.metadata_props:
        notes["metadata"] = decode_pairs(proto.metadata_props)
    return notes


def encode_notes(proto: Any, notes: Mapping[str, Any] | None) -> None:
    """Write documentation and metadata into an element."""
    if notes:
        if notes.get("doc"):
            proto.doc_string = notes["doc"]
        encode_pairs(proto.metadata_props, notes.get("metadata"))


def decode_pairs(protos: Iterable[Any]) -> dict[str, str]:
    """A list of StringStringEntryProtos as a dict. Pairs that are not UTF-8 are left out."""
    return {p.key: p.value for p in protos if p.key.__class__ is str and p.value.__class__ is str}


def encode_pairs(protos: Any, pairs: Mapping[str, str] | None) -> None:
    """Append a dict to a list of StringStringEntryProtos."""
    for key, value in (pairs or {}).items():
        protos.add(key=key, value=value)


def decode_opsets(protos: Iterable[Any]) -> dict[str, int]:
    """A list of opset imports as domain -> version."""
    return {domain_of(p.domain): p.version for p in protos}


def encode_opsets(protos: Any, opsets: Mapping[str, int]) -> None:
    """Append opset imports. The default domain is written out, as most writers do. Raises FormatError for a version beyond 64 bits."""
    for domain, version in opsets.items():
        if not -(2**63) <= version < 2**63:
            raise FormatError(f"the opset of {quoted(domain or 'ai.onnx')} is {version}, which is beyond 64 bits")
        protos.add(domain=domain, version=version)


__all__ = [
    "DTYPES", "ENUMS", "TypeCodec", "ValueInfoProto", "decode_notes", "decode_opsets", "decode_pairs", "decode_shape", "decode_type",
    "dim_text", "domain_of", "encode_notes", "encode_opsets", "encode_pairs", "encode_shape", "encode_type", "quoted",
]  # fmt: skip
