"""Rows of graphir.ops.quantize."""

from typing import Any

import numpy as np

from cases import Make, array, case
from graphir.dtypes import DTYPES


def _bytes(*shape: int, dtype: str = "uint8") -> Make:
    limits = np.iinfo(dtype)
    return array(*shape, low=limits.min, high=limits.max, dtype=dtype)


def _small(dtype: str, *shape: int) -> Make:
    """Numbers of a type that NumPy lacks."""
    return lambda rng: rng.uniform(-2, 2, shape).astype(DTYPES[dtype])


def _at(dtype: str, number: float) -> np.ndarray:
    """A scalar."""
    return np.array(number, DTYPES[dtype])


def _by(scale: float, dtype: str, zero_point: int) -> tuple[np.ndarray, np.ndarray]:
    """A scale and a zero point."""
    return np.array(scale, F32), np.array(zero_point, dtype)


F32 = np.float32
ORT: Any = {"referee": "ort"}
HALF: Any = {"tolerance": 2e-2}
INTEGERS = ["int16", "uint16", "int8", "uint4", "int4", "uint2", "int2"]
FLOATS = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn"]

CASES = {
    "QuantizeLinear": [
        case(array(3, 4, low=-40, high=40), _at("float32", 0.3)),
        case(array(3, 4, low=-90, high=90), _at("float32", 0.3), _at("uint8", 128)),
        case(np.array([0.5, 1.5, 2.5, -0.5, -1.5], F32), _at("float32", 1), _at("int8", 0)),
        case(array(3, 4, low=-9, high=9), array(4, low=0.1, high=1), _bytes(4)),
        case(array(3, 4, low=-9, high=9), array(3, low=0.1, high=1), _bytes(3, dtype="int8"), axis=0),
        case(array(3, 4, low=-9, high=9), array(3, low=0.1, high=1), _bytes(3, dtype="int8"), axis=-2),
        case(array(3, 5, low=-9, high=9), array(3, 3, low=0.1, high=1), _bytes(3, 3), block_size=2),
        case(array(4, 5, low=-9, high=9), array(2, 5, low=0.1, high=1), axis=0, block_size=2, output_dtype="int8"),
        case(array(5, low=-9, high=9), np.array([0.5], F32), np.array([3], np.uint8)),
        *(case(array(3, 4, low=-9, high=9), _at("float32", 0.7), _at(d, 1)) for d in INTEGERS),
        *(case(array(3, 4, low=-9, high=9), _at("float32", 0.7), _at(d, 0)) for d in FLOATS),
        *(case(array(3, 4, low=-9, high=9), _at("float32", 0.7), output_dtype=d) for d in ("int4", "uint16", "float8_e5m2")),
        case(np.array([1e6, -1e6, 3], F32), _at("float32", 1), _at("float8_e4m3fn", 0)),
        case(np.array([1e6, -1e6, 3], F32), _at("float32", 1), _at("float8_e5m2", 0), saturate=0),
        case(array(3, 4, dtype="float16"), _at("float16", 0.25)),
        case(array(3, 4, low=-99, high=99, dtype="int32"), _at("float32", 0.25), _at("int8", 3)),
        case(array(3, 4), _at("float16", 0.25), precision="float32"),
        case(array(0, 4), _at("float32", 0.25)),
    ],
    "DequantizeLinear": [
        case(_bytes(3, 4), _at("float32", 0.3)),
        case(_bytes(3, 4), _at("float32", 0.3), _at("uint8", 128)),
        case(_bytes(3, 4, dtype="int8"), array(4), _bytes(4, dtype="int8")),
        case(_bytes(3, 4), array(3), _bytes(3), axis=0),
        case(_bytes(3, 5), array(3, 3), _bytes(3, 3), block_size=2),
        case(array(3, 4, low=-9999, high=9999, dtype="int32"), _at("float32", 0.3)),
        *(case(_bytes(3, 4, dtype=d), _at("float32", 0.3), _at(d, 7)) for d in ("int16", "uint16")),
        *(case(_small(d, 3, 4), _at("float32", 0.3)) for d in INTEGERS[3:] + FLOATS),
        case(_small("int4", 3, 4), _at("float32", 0.3), _at("int4", -3)),
        case(_bytes(3, 4), _at("float16", 0.3), _at("uint8", 12), **HALF),
        case(_bytes(3, 4), _at("float32", 0.3), output_dtype="float16", **HALF),
        case(_bytes(0, 4), _at("float32", 0.3)),
    ],
    "DynamicQuantizeLinear": [
        case(array(3, 4)),
        case(array(3, 4, low=1, high=9)),
        case(array(3, 4, low=-9, high=-1)),
        case(np.zeros((2, 3), F32)),
    ],
    "ConvInteger": [
        case(_bytes(2, 3, 6, 5), _bytes(4, 3, 3, 2), **ORT),
        case(_bytes(2, 3, 6, 5), _bytes(4, 3, 3, 2), _at("uint8", 120), pads=(1, 1, 1, 1), strides=(2, 1), **ORT),
        case(_bytes(1, 4, 6, 5), _bytes(4, 2, 3, 2), _at("uint8", 12), _at("uint8", 7), group=2, dilations=(2, 1), **ORT),
        case(_bytes(1, 2, 6, 5, dtype="int8"), _bytes(3, 2, 3, 2, dtype="int8"), None, np.array([1, -2, 3], np.int8)),
        case(_bytes(1, 40, 4, 4), _bytes(2, 40, 3, 3), _at("uint8", 12), **ORT),
    ],
    "QLinearMatMul": [
        case(_bytes(3, 4), *_by(0.02, "uint8", 113), _bytes(4, 5), *_by(0.03, "uint8", 119), *_by(0.7, "uint8", 100)),
        case(
            _bytes(2, 3, 4, dtype="int8"),
            *_by(0.02, "int8", -3),
            _bytes(2, 4, 5, dtype="int8"),
            *_by(0.03, "int8", 0),
            *_by(0.9, "int8", 7),
        ),
        case(
            _bytes(3, 4),
            *_by(0.02, "uint8", 113),
            _bytes(4, 2, dtype="int8"),
            np.array([0.1, 0.2], F32),
            np.array([3, 4], np.int8),
            *_by(0.9, "uint8", 9),
        ),
        case(_bytes(3, 4), *_by(2.0, "uint8", 113), _bytes(4, 5), *_by(0.03, "uint8", 119), *_by(0.1, "uint8", 100)),
    ],
    "QLinearConv": [
        case(_bytes(2, 3, 6, 5), *_by(0.02, "uint8", 113), _bytes(4, 3, 3, 2), *_by(0.03, "uint8", 119), *_by(0.9, "uint8", 100), **ORT),
        case(
            _bytes(1, 4, 6, 5),
            *_by(0.02, "uint8", 113),
            _bytes(4, 2, 3, 2, dtype="int8"),
            array(4, low=0.01, high=0.1),
            np.zeros(4, np.int8),
            *_by(0.9, "uint8", 100),
            array(4, low=-999, high=999, dtype="int32"),
            group=2,
            pads=(1, 0, 1, 0),
            strides=(2, 1),
        ),
        case(
            _bytes(1, 3, 9, dtype="int8"),
            *_by(0.02, "int8", 3),
            _bytes(2, 3, 3, dtype="int8"),
            *_by(0.03, "int8", 0),
            *_by(0.9, "int8", 1),
            **ORT,
        ),
    ],
}
