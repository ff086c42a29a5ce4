"""Tensors there and back: data that stands raw, in typed fields, or in another file; packed below 8 bits; sparse."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import SparseTensorProto, TensorProto

from graphir.dtypes import BITS, NAMES, STRING, nbytes, pack, unpack
from graphir.mapped import mapped_file
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor, Tensor
from graphir.types import ShapeError, TensorType, expect_rank, expect_size

from . import wire
from .elements import DTYPES, ENUMS, decode_notes, decode_pairs, encode_notes, quoted
from .origin import keep, restore

FIELDS: dict[np.dtype, str] = {dtype: onnx.helper.tensor_dtype_to_field(n) for n, dtype in DTYPES.items()}
# Floats are read from the wire to the bit; the type of their numbers there.
_FLOATS = {"float_data": np.dtype("<f4"), "double_data": np.dtype("<f8")}
_INTS = {"int32_data": np.dtype(np.int32), "int64_data": np.dtype(np.int64), "uint64_data": np.dtype(np.uint64)}

FindData = Callable[[dict[str, str], int], Callable[[], Any] | None]


class Absent(Tensor):
    """A tensor whose data lies in a file that was not given: it can be carried along, not read."""

    __slots__ = ()

    @property
    def type(self) -> TensorType:
        """Its type; the contents are not known."""
        return TensorType(self.dtype, self.shape)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


# ---- reading ------------------------------------------------------------------------------------------------------------------------


def decode_tensor(proto: TensorProto, find: FindData, raw: memoryview | None = None, named: bool = True) -> Tensor:
    """The tensor in a TensorProto, which is emptied of its data.

    find: from the entries of external data and its length to what reads the bytes, or None if the file was not given.
    raw: raw_data that was left out of the message. named: the name belongs to the tensor, not to a weight.
    """
    try:
        return _decode_tensor(proto, find, raw, named)
    except (FormatError, ShapeError) as e:
        raise FormatError(f"tensor {quoted(proto.name)}: {e}") from None


def _decode_tensor(proto: TensorProto, find: FindData, raw: memoryview | None, named: bool) -> Tensor:
    dtype, shape = DTYPES.get(proto.data_type), tuple(proto.dims)
    if dtype is None:
        raise FormatError(f"its element type is {proto.data_type}; expected one of 1 to {max(DTYPES)}")
    if any(d < 0 for d in shape):
        raise FormatError(f"its dims are {list(shape)}; expected none below zero")
    expect_rank(len(shape))
    elements = math.prod(shape)
    if not elements:  # else the data that it holds tells
        expect_size(shape, dtype.itemsize)
    carried = decode_notes(proto)
    if named and proto.name:
        carried["name"] = proto.name
    if proto.data_location == TensorProto.EXTERNAL:
        tensor = _external(proto, dtype, shape, find, carried)
    elif raw is not None or proto.HasField("raw_data"):
        raw = memoryview(proto.raw_data) if raw is None else raw
        _check_size(len(raw), dtype, shape, "bytes of raw data", nbytes(dtype, elements))
        if dtype == STRING:
            raise FormatError("its strings stand in raw_data; expected them in string_data")
        tensor = Tensor(dtype, shape, lambda: _unpacked(raw, dtype, shape), "raw")
        if _is_clean(raw, dtype, elements):
            proto.ClearField("raw_data")
    else:
        array, faithful = _decode_typed(proto, dtype, shape)
        tensor = Tensor(dtype, shape, lambda: array, "typed")
        if faithful:
            proto.ClearField(FIELDS[dtype])  # pyright: ignore[reportArgumentType]
    tensor.carried = keep(carried, proto, tensor_header(tensor, carried, carried.get("external"), proto.name))
    return tensor


def _external(proto: TensorProto, dtype: np.dtype, shape: tuple[int, ...], find: FindData, carried: dict[str, Any]) -> Tensor:
    if dtype == STRING:
        raise FormatError("its strings are said to lie in another file; expected them in string_data")
    entries = decode_pairs(proto.external_data)
    if len(entries) != len(proto.external_data):
        raise FormatError(
            f"its external data has a key twice, or a text that is not UTF-8, among {', '.join(quoted(e.key) for e in proto.external_data[:8])}"
        )
    carried["external"] = entries
    read = find(entries, nbytes(dtype, math.prod(shape)))
    if read is None:
        return Absent(dtype, shape, lambda: _refuse(proto.name, entries), "external")
    return Tensor(dtype, shape, lambda: _unpacked(read(), dtype, shape), "external")


def _refuse(name: str, entries: Mapping[str, str]) -> np.ndarray:
    where = quoted(entries.get("location", ""))
    raise FormatError(f"tensor {quoted(name)}: its data lies in the file {where}, which was not given; load the model by its path")


def _check_size(found: int, dtype: np.dtype, shape: tuple[int, ...], what: str, expected: int) -> None:
    if found != expected:
        raise FormatError(f"it holds {found} {what}; expected {expected}, for {NAMES[dtype]}{list(shape)}")


def _unpacked(raw: Any, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array of packed bytes. What lies at an odd place in the file is copied, once: arithmetic on it would copy it each time."""
    file = mapped_file(raw)
    if file is not None:
        file.check()
    if BITS[dtype] < 8:
        return unpack(np.frombuffer(raw, np.uint8), dtype, math.prod(shape)).reshape(shape)
    if dtype == np.bool_:
        return (np.frombuffer(raw, np.uint8) != 0).reshape(shape)
    array = np.frombuffer(raw, dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _is_clean(raw: memoryview, dtype: np.dtype, elements: int) -> bool:
    """Whether the bytes hold nothing but the numbers: zeros behind the last one, booleans that are 0 or 1."""
    if dtype == np.bool_:
        return not elements or int(np.frombuffer(raw, np.uint8).max()) <= 1
    used = elements * BITS[dtype] % 8
    return not used or not raw[-1] >> used


def file_bytes(array: np.ndarray) -> bytes:
    """An array's bytes as raw_data and other files hold them."""
    return (pack(array) if BITS[array.dtype] < 8 else array).tobytes()


def _decode_typed(proto: TensorProto, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.ndarray, bool]:
    """The data of the typed field, and whether it encodes to the same numbers again."""
    field = FIELDS[dtype]
    elements = math.prod(shape)
    if field == "string_data":
        _check_size(len(proto.string_data), dtype, shape, "strings", elements)
        array = np.empty(elements, object)
        array[:] = [_text(s) for s in proto.string_data]
        return array.reshape(shape), True
    if field in _FLOATS:
        data = wire.packed(proto.SerializeToString(), TensorProto.DESCRIPTOR.fields_by_name[field].number)
        numbers = np.frombuffer(data, _FLOATS[field])
        _check_size(numbers.size, dtype, shape, f"numbers in {field}", elements * (2 if dtype.kind == "c" else 1))
        return numbers.view(dtype).reshape(shape), True
    numbers = np.fromiter(getattr(proto, field), _INTS[field], len(getattr(proto, field)))
    packs = BITS[dtype] < 6
    _check_size(numbers.size, dtype, shape, f"numbers in {field}", nbytes(dtype, elements) if packs else elements)
    if packs:
        array = unpack(numbers.astype(np.uint8), dtype, elements)
    elif dtype.kind in "iu":
        array = numbers.astype(dtype)
    else:
        codes = numbers.astype(f"u{dtype.itemsize}")
        array = (codes & 0x3F if BITS[dtype] == 6 else codes != 0 if dtype == np.bool_ else codes).view(dtype)
    return array.reshape(shape), np.array_equal(_encode_ints(array, numbers.dtype), numbers)


def _encode_ints(array: np.ndarray, to: np.dtype) -> np.ndarray:
    """An array as the numbers of int32_data, int64_data or uint64_data."""
    if BITS[array.dtype] < 6:
        return pack(array).astype(to)
    flat = np.ascontiguousarray(array).reshape(-1)
    return (flat if array.dtype.kind in "iu" else flat.view(f"u{array.dtype.itemsize}")).astype(to)


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


# ---- writing ------------------------------------------------------------------------------------------------------------------------


def tensor_header(tensor: Tensor, carried: Mapping[str, Any], external: Mapping[str, str] | None, name: str | None = None) -> TensorProto:
    """A TensorProto without data. name: the weight's, in place of the tensor's own; external: where the data lies, if in another file."""
    name = carried.get("name") if name is None else name
    proto = TensorProto(dims=tensor.shape, data_type=ENUMS[tensor.dtype])  # pyright: ignore[reportArgumentType]
    if name:
        proto.name = name
    encode_notes(proto, carried)
    if external is not None:
        proto.data_location = TensorProto.EXTERNAL
        for key, value in external.items():
            proto.external_data.add(key=key, value=value)
    return proto


def encode_tensor(proto: TensorProto, tensor: Tensor, external: Mapping[str, str] | None, name: str | None = None) -> None:
    """Write a tensor. external: where its data lies, if in another file."""
    carried = tensor.carried or {}
    header = tensor_header(tensor, carried, external, name)
    restore(proto, carried, header)
    if (
        decode_pairs(proto.external_data) != (external or {}) and proto.data_location == TensorProto.EXTERNAL
    ):  # an origin must not point elsewhere
        proto.ClearField("external_data")
        proto.external_data.extend(header.external_data)
        proto.data_location = header.data_location
    if external is None:
        _encode_data(proto, tensor)
    elif tensor.storage != "external":  # it moves out, and takes along what its origin holds
        proto.ClearField("raw_data")
        proto.ClearField(FIELDS[tensor.dtype])  # pyright: ignore[reportArgumentType]


def _encode_data(proto: TensorProto, tensor: Tensor) -> None:
    field = FIELDS[tensor.dtype]
    if field != "string_data" and tensor.storage != "typed":
        if not proto.HasField("raw_data"):
            proto.raw_data = file_bytes(tensor.array)
    elif not getattr(proto, field):
        flat = tensor.array.reshape(-1)
        if field == "string_data":
            proto.string_data.extend(s.encode(errors="surrogateescape") if isinstance(s, str) else s for s in flat)
        elif field in _FLOATS:
            number = TensorProto.DESCRIPTOR.fields_by_name[field].number
            if flat.size:
                proto.MergeFromString(wire.message(number, flat.tobytes()))
        else:
            getattr(proto, field).extend(_encode_ints(flat, _INTS[field]).tolist())


# ---- sparse -------------------------------------------------------------------------------------------------------------------------


def decode_sparse(proto: SparseTensorProto, find: FindData, named: bool = True) -> SparseTensor:
    """The tensor in a SparseTensorProto, which is emptied of its values and indices. Its name is that of the values."""
    name = proto.values.name
    try:
        return _decode_sparse(proto, find, named)
    except ShapeError as e:
        raise FormatError(f"sparse tensor {quoted(name)}: {e}") from None


def _decode_sparse(proto: SparseTensorProto, find: FindData, named: bool) -> SparseTensor:
    expect_rank(len(proto.dims))
    shape = tuple(proto.dims)
    if any(d < 0 for d in shape):
        raise FormatError(f"sparse tensor {quoted(proto.values.name)}: its dims are {list(shape)}; expected none below zero")
    has_indices = proto.HasField("indices")
    values = decode_tensor(proto.values, find, named=named)
    none = Tensor(np.dtype(np.int64), (0,), lambda: np.empty(0, np.int64))
    indices = decode_tensor(proto.indices, find) if has_indices else none
    _check_indices(proto, values, indices, shape)
    carried: dict[str, Any] = {} if has_indices else {"bare": True}
    proto.ClearField("values")
    proto.ClearField("indices")
    return SparseTensor(values, indices, shape, keep(carried, proto, SparseTensorProto(dims=shape)))


def _check_indices(proto: SparseTensorProto, values: Tensor, indices: Tensor, shape: tuple[int, ...]) -> None:
    where = f"sparse tensor {quoted(proto.values.name)}"
    n = values.shape[0] if len(values.shape) == 1 else None
    if n is None or indices.shape not in ((n,), (n, len(shape))) or indices.dtype != np.int64:
        found = f"values of shape {list(values.shape)} at {NAMES[indices.dtype]}{list(indices.shape)}"
        raise FormatError(f"{where}: {found}; expected (N,) at int64 (N,) or (N, {len(shape)})")
    if isinstance(indices, Absent) or not n:
        return
    array = indices.array
    bound = np.asarray(shape, object) if array.ndim == 2 else math.prod(shape)
    if (array < 0).any() or (array >= bound).any():
        raise FormatError(f"{where}: it has an index outside of its shape {list(shape)}")


def encode_sparse(
    proto: SparseTensorProto, sparse: SparseTensor, place: Callable[[Tensor], Mapping[str, str] | None], name: str | None
) -> None:
    """Write a sparse tensor. place: says of a tensor where its data lies, if in another file."""
    carried = sparse.carried or {}
    restore(proto, carried, SparseTensorProto(dims=sparse.shape))
    encode_tensor(proto.values, sparse.values, place(sparse.values), name)
    if not carried.get("bare"):
        encode_tensor(proto.indices, sparse.indices, place(sparse.indices))
