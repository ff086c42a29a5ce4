"""The data of tensors as safetensors files have it: the code of its element type, its stored shape, its bytes, there and back.

What safetensors has no type for is stored as U8, of shape (nbytes,): numbers of 6, 4 and 2 bits packed as in ONNX files, complex128
as it is, and strings as a JSON list. Safetensors has F4, F6_E2M3 and F6_E3M2, but only for whole bytes, and not every tool knows them.
"""

import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..dtypes import BITS, BOOL, DTYPES, NAMES, STRING, nbytes, pack, unpack
from ..plugins import FormatError
from ..tensors import Tensor
from . import plain

CODES: dict[str, int] = {  # the types of safetensors -> bits
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F16": 16, "BF16": 16, "F32": 32, "F64": 64,
    "C64": 64, "F8_E4M3": 8, "F8_E4M3FNUZ": 8, "F8_E5M2": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_NAMES = {
    "bool": "BOOL", "bfloat16": "BF16", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2": "F8_E5M2", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
    **{f"{kind}{bits}": f"{code}{bits}" for kind, code in (("uint", "U"), ("int", "I"), ("float", "F")) for bits in (8, 16, 32, 64) if (kind, bits) != ("float", 8)},
}  # fmt: skip
_CODE = {DTYPES[name]: code for name, code in _NAMES.items()}
_CHUNK = 1 << 22  # numbers that are packed at a time


def code_of(dtype: np.dtype) -> str:
    """The element type under which a dtype is stored."""
    return _CODE.get(dtype, "U8")


def stored_shape(dtype: np.dtype, shape: Sequence[int], size: int) -> list[int]:
    """The shape under which a tensor is stored. size: the bytes of its data, which only strings leave open."""
    return list(shape) if dtype in _CODE else [size if dtype == STRING else nbytes(dtype, math.prod(shape))]


def alignment(dtype: np.dtype) -> int:
    """What a tensor's place in the file is a multiple of."""
    return 1 if dtype == STRING else dtype.itemsize


def size_of(tensor: Tensor) -> int:
    """The bytes that a tensor's data takes in the file."""
    return sum(map(len, chunks(tensor))) if tensor.dtype == STRING else nbytes(tensor.dtype, tensor.elements)


def chunks(tensor: Tensor) -> Iterator[bytes | memoryview]:
    """The bytes of a tensor's data in the file, piece by piece. Raises FormatError for strings that are none."""
    array = tensor.array
    if tensor.dtype == STRING:
        yield plain.write([_string(x) for x in array.reshape(-1).tolist()]).encode()
    elif BITS[tensor.dtype] < 8:
        flat = array.reshape(-1)
        for i in range(0, flat.size, _CHUNK):
            yield pack(flat[i : i + _CHUNK]).data
    elif array.size:
        flat = np.ascontiguousarray(array).reshape(-1)
        yield (flat.byteswap() if sys.byteorder == "big" else flat).view(np.uint8).data


def sha256(tensor: Tensor) -> str:
    """The checksum of a tensor's data in the file."""
    digest = hashlib.sha256()
    for chunk in chunks(tensor):
        digest.update(chunk)
    return digest.hexdigest()


def read(buffer: Any, offset: int, size: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor whose data lies in `buffer`: a view of it where its numbers take whole bytes. Raises FormatError where the data is not of its type."""
    elements = math.prod(shape)
    try:
        if dtype == STRING:
            return _strings(bytes(memoryview(buffer)[offset : offset + size]), shape, elements)
        if size != nbytes(dtype, elements):
            raise FormatError(f"{size} bytes of data; expected {nbytes(dtype, elements)} for {NAMES[dtype]}{list(shape)}")
        if BITS[dtype] < 8:
            return unpack(np.ndarray((size,), np.uint8, buffer, offset), dtype, elements).reshape(shape)
        array = np.ndarray(shape, dtype, buffer, offset)
    except (ValueError, OverflowError) as e:
        raise e if isinstance(e, FormatError) else FormatError(f"no array can be {NAMES[dtype]}{list(shape)}: {e}") from None
    if dtype == BOOL and array.size and array.view(np.uint8).max() > 1:
        raise FormatError(f"a byte holds {array.view(np.uint8).max()}; expected 0 or 1 for bool")
    return array.byteswap() if sys.byteorder == "big" else array


def _string(x: Any) -> Any:
    if not isinstance(x, str | bytes):
        raise FormatError(f"an element of a string tensor is {x!r:.80}; expected text or bytes")
    return plain.encode(x)


def _strings(data: bytes, shape: tuple[int, ...], elements: int) -> np.ndarray:
    found = plain.decode(plain.read(data))
    if not isinstance(found, list) or len(found) != elements or not all(isinstance(x, str | bytes) for x in found):
        raise FormatError(f"the strings of shape {list(shape)} are no list of {elements} texts")
    array = np.empty(elements, object)
    array[:] = found
    return array.reshape(shape)
