"""The element types of tensors: their names, as in NumPy and ml_dtypes, and their sizes in bits.

Strings are object arrays; the name of their dtype is "string".
"""

import ml_dtypes
import numpy as np

STRING = np.dtype(object)

_NUMPY = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
_SMALL = {  # ml_dtypes name -> bits
    "bfloat16": 16, "float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
    "float6_e2m3fn": 6, "float6_e3m2fn": 6, "float4_e2m1fn": 4, "int4": 4, "uint4": 4, "int2": 2, "uint2": 2,
}  # fmt: skip

DTYPES: dict[str, np.dtype] = {
    **{name: np.dtype(name) for name in _NUMPY.split()},
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in _SMALL},
    "string": STRING,
}
NAMES: dict[np.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}
BITS: dict[np.dtype, int] = {dtype: _SMALL.get(name, dtype.itemsize * 8) for name, dtype in DTYPES.items()}

BOOL, INT32, INT64, UINT8 = (DTYPES[n] for n in ("bool", "int32", "int64", "uint8"))
FLOAT16, BFLOAT16, FLOAT32, FLOAT64 = (DTYPES[n] for n in ("float16", "bfloat16", "float32", "float64"))
SIGNED = frozenset(DTYPES[n] for n in ("int2", "int4", "int8", "int16", "int32", "int64"))
UNSIGNED = frozenset(DTYPES[n] for n in ("uint2", "uint4", "uint8", "uint16", "uint32", "uint64"))
INTEGERS = SIGNED | UNSIGNED
COMPLEX = frozenset(DTYPES[n] for n in ("complex64", "complex128"))
FLOATS = frozenset(d for n, d in DTYPES.items() if n.startswith(("float", "bfloat")))
SMALL_FLOATS = frozenset(
    d for d in FLOATS if BITS[d] <= 8
)  # gradients would not fit into them: theirs stay in the dtype that was computed with


def as_dtype(x: "np.dtype | str | type") -> np.dtype:
    """The dtype called `x`. Raises TypeError for one that graphir does not know."""
    if type(x) is str and x in DTYPES:
        return DTYPES[x]
    try:
        dtype = np.dtype(x)
    except TypeError:
        dtype = None
    if dtype is not None and dtype.kind in "US":
        return STRING
    if dtype is None or dtype not in NAMES:
        raise TypeError(f"{x!r} is no element type; expected one of {', '.join(DTYPES)}")
    return dtype.newbyteorder("=") if dtype.byteorder == ">" else dtype


def holds(dtype: np.dtype, x: object) -> bool:
    """Whether a Python number is one of the dtype's: booleans and numbers stay apart, whole numbers stay whole."""
    if dtype == BOOL or isinstance(x, bool):
        return dtype == BOOL and isinstance(x, bool)
    if dtype in INTEGERS:
        return isinstance(x, int) and -(2**63) <= x < 2**64 and int(np.asarray(x).astype(dtype)) == x
    return isinstance(x, str | bytes) if dtype == STRING else isinstance(x, int | float)


def nbytes(dtype: np.dtype, elements: int) -> int:
    """The bytes that `elements` numbers of `dtype` take in a file: those of less than 8 bits lie close together, across the edges of bytes."""
    return -(-elements * BITS[dtype] // 8)


def pack(array: np.ndarray) -> np.ndarray:
    """The numbers of an array of a dtype below 8 bits as files have them: (nbytes,) uint8, the first in the lowest bits, filled up with zeros."""
    bits = BITS[array.dtype]
    codes = np.ascontiguousarray(array).reshape(-1).view(np.uint8) & (2**bits - 1)
    if 8 % bits:
        return np.packbits(np.unpackbits(codes[:, None], axis=1, count=bits, bitorder="little"), bitorder="little")
    codes = np.pad(codes, (0, -codes.size % (8 // bits)))
    packed = codes[:: 8 // bits].copy()
    for i in range(1, 8 // bits):
        packed |= codes[i :: 8 // bits] << (i * bits)
    return packed


def unpack(data: np.ndarray, dtype: np.dtype, elements: int) -> np.ndarray:
    """The first `elements` numbers of packed uint8 data, as a flat array of a dtype below 8 bits."""
    bits = BITS[dtype]
    if 8 % bits:
        codes = np.unpackbits(data, count=elements * bits, bitorder="little").reshape(elements, bits)
        return np.packbits(codes, axis=1, bitorder="little").reshape(elements).view(dtype)
    codes = np.empty((data.size, 8 // bits), np.uint8)
    for i in range(8 // bits):
        codes[:, i] = (data >> (i * bits)) & (2**bits - 1)
    return codes.reshape(-1)[:elements].view(dtype)
