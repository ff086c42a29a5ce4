"""Arrays as ONNX Runtime holds them, and back."""

import ctypes
from typing import Any

import numpy as np
from onnxruntime import OrtValue

from graphir.dtypes import BITS, COMPLEX, DTYPES, NAMES, pack, unpack

# The numbers that ONNX gives to the element types that NumPy does not have, as far as ONNX Runtime knows them.
CODES = {
    DTYPES[name]: code
    for name, code in {
        "bfloat16": 16, "float8_e4m3fn": 17, "float8_e4m3fnuz": 18, "float8_e5m2": 19, "float8_e5m2fnuz": 20, "uint4": 21, "int4": 22,
        "float4_e2m1fn": 23, "float8_e8m0fnu": 24, "uint2": 25, "int2": 26,
    }.items()
}  # fmt: skip
_DTYPES = {code: dtype for dtype, code in CODES.items()}


def can_hold(dtype: np.dtype) -> bool:
    """Whether an OrtValue can have elements of this dtype."""
    return dtype in CODES or (dtype in NAMES and dtype not in COMPLEX and dtype.kind in "biuf")


def to_ort(array: np.ndarray) -> OrtValue:
    """An OrtValue over the memory of an array, which nobody may change; over a copy where the elements do not lie one after another, or are packed.

    Raises TypeError for an element type that ONNX Runtime does not have.
    """
    array = np.asarray(array, order="C")
    if not can_hold(array.dtype):
        raise TypeError(f"ONNX Runtime has no tensors of {NAMES.get(array.dtype, array.dtype)}")
    code = CODES.get(array.dtype)
    if code is None:
        return OrtValue.ortvalue_from_numpy(array)
    if BITS[array.dtype] == array.dtype.itemsize * 8:
        return OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(f"u{array.dtype.itemsize}"), code)
    # The shape is that of the elements, of which the first bytes hold several each; the other bytes are never touched. Weights must lie in memory of ours.
    room, data = np.empty(array.shape, np.uint8), pack(array)
    room.reshape(-1)[: data.size] = data
    return OrtValue.ortvalue_from_numpy_with_onnx_type(room, code)


def from_ort(value: OrtValue) -> np.ndarray:
    """The array in an OrtValue: over its memory where NumPy has the element type."""
    dtype = _DTYPES.get(value.element_type())
    if dtype is None:
        return value.numpy()
    data = np.frombuffer(bytearray(ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())), np.uint8)
    shape = tuple(value.shape())
    narrow = BITS[dtype] < dtype.itemsize * 8
    return unpack(data, dtype, int(np.prod(shape))).reshape(shape) if narrow else data.view(dtype).reshape(shape)


def copied(x: Any) -> Any:
    """A copy that nobody else holds; of a sequence, a list of copies."""
    return [copied(y) for y in x] if isinstance(x, list) else None if x is None else np.array(x)
