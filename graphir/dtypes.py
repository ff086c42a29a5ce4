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
    if dtype not in NAMES:
        raise TypeError(f"{x!r} is no element type; expected one of {', '.join(DTYPES)}")
    return dtype.newbyteorder("=") if dtype.byteorder == ">" else dtype


def nbytes(dtype: np.dtype, elements: int) -> int:
    """The bytes that `elements` numbers of `dtype` take in a file, packed: two 4-bit numbers or four 2-bit ones share a byte, 6-bit ones take a byte each."""
    bits = BITS[dtype]
    return -(-elements * bits // 8) if bits < 6 else elements * max(bits // 8, 1)
