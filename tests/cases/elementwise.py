"""Rows of graphir.ops.elementwise."""

from typing import Any

import ml_dtypes
import numpy as np

from cases import Case, array, case

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5], "float32")
SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((2, 3, 1), (4,)), ((0, 3), (1, 3))]
HALF: dict[str, Any] = {"tolerance": 2e-2}
FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
SMALL = (*FLOAT8, "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "int4", "uint4", "int2", "uint2")
EXTREME = np.array([0.479, -0.0, 1e6, -1e6, 1e-7, np.inf, -np.inf, np.nan, 3.0, 0.3], "float32")


def unary(low: float = -2, high: float = 2, special: bool = True) -> list[Case]:
    """A matrix, a scalar, nothing, other floats, and special numbers."""
    rows = [
        case(array(3, 4, low=low, high=high)),
        case(array(low=low, high=high)),
        case(array(0, 3, low=low, high=high)),
        case(array(5, low=low, high=high, dtype="float64"), tolerance=1e-7),
        case(array(2, 3, low=low, high=high, dtype="float16"), **HALF),
        case(array(2, 3, low=low, high=high, dtype="bfloat16"), **HALF),
    ]
    return [*rows, case(SPECIAL)] if special else rows


def binary(low: float = -2, high: float = 2) -> list[Case]:
    """One shape, broadcasting from either side and from both, scalars, nothing, other floats, special numbers."""
    rows = [case(array(*a, low=low, high=high), array(*b, low=low, high=high)) for a, b in SHAPES]
    for dtype, tolerance in (("float64", 1e-9), ("float16", 2e-2), ("bfloat16", 2e-2)):
        rows.append(case(array(2, 3, low=low, high=high, dtype=dtype), array(3, low=low, high=high, dtype=dtype), tolerance=tolerance))
    return [*rows, case(SPECIAL, SPECIAL[::-1].copy())]


def ints(*dtypes: str, low: int = -20, high: int = 20) -> list[Case]:
    """Vectors of whole numbers, of which rules see the contents; the second has no zeros."""
    rows = []
    for dtype in dtypes:
        unsigned = dtype.startswith("u")
        a = np.arange(0 if unsigned else low, high + 1, 3).astype(dtype)
        b = np.where(np.arange(len(a)) % 2, 3, 7 if unsigned else -7).astype(dtype)
        rows += [case(a, b), case(a, np.array(5, dtype)), case(np.array([17], dtype), b)]
    return rows


def each(rows: list[Case], *dtypes: str) -> list[Case]:
    """The rows, and one whole vector of each dtype."""
    return [*rows, *(case(np.array([0, 1, 5, 100] if d.startswith("u") else [0, 1, -5, 100], d)) for d in dtypes)]


def casts() -> list[Case]:
    """Every kind of source and target."""
    whole = np.array([0, 1, 3, 7, 100, 200], "int32")
    rows = [case(array(2, 3), to=d) for d in ("float16", "float64", "bfloat16", "float32")]
    rows += [case(array(3, low=-9, high=9), to=d) for d in ("int8", "int32", "int64", "bool")]
    rows += [case(array(3, low=0, high=9), to=d) for d in ("uint8", "uint64")]
    rows += [case(whole, to=d) for d in ("int8", "uint8", "int64", "uint16", "bool", "float32", "float16", "bfloat16", "string")]
    rows += [case(np.array([True, False]), to=d) for d in ("int32", "float32", "float16", "string")]
    rows += [case(EXTREME, to=d) for d in (*FLOAT8, "bool", "float16", "float4_e2m1fn")]
    rows += [case(EXTREME, to=d, saturate=0) for d in FLOAT8]
    rows += [case(EXTREME.astype("float64"), to=d) for d in FLOAT8]
    rows += [case(whole.astype("int64"), to=d) for d in SMALL]
    rows += [case(array(7, low=0, high=1, dtype=d), to="float32") for d in SMALL]
    rows += [case(array(7, low=0, high=1, dtype=d), to="float16") for d in FLOAT8]
    rows += [case(array(7, low=-1, high=3, dtype="int4"), to="int8"), case(array(7, low=0, high=3, dtype="uint2"), to="uint8")]
    rows += [case(array(4, low=-2, high=2, dtype="float8_e4m3fn"), to="float8_e5m2"), case(array(4, dtype="bfloat16"), to="float8_e5m2")]
    powers = np.array([0.0, 0.124, 0.25, 0.5, 1.1, 2.0, 3.0, 6.5], "float32")
    rows += [case(powers, to="float8_e8m0fnu"), case(powers[1:], to="float8_e8m0fnu", round_mode="nearest")]
    rows += [case(powers, to="float8_e8m0fnu", round_mode="down"), case(powers[1:], to="float8_e8m0fnu", saturate=0)]
    texts = np.array(["3.14", "1e-5", "-1E8", "INF", "-INF", "+INF", "NaN", "7"], object)
    rows += [case(texts, to=d) for d in ("float32", "float64", "float16")]
    rows += [case(np.array(["12", "-7", "0"], object).reshape(3, 1), to=d) for d in ("int32", "int64", "int8")]
    rows += [case(np.array([0.5, 314.15926, 1e-7, np.nan, -np.inf], d), to="string") for d in ("float32", "float64")]
    return [*rows, case(array(), to="int32"), case(array(0, 3), to="float16"), case(np.array(5), to="float32")]


CASES = {
    "Add": [*binary(), *ints("int32", "uint8", "int64")],
    "Sub": [*binary(), *ints("int32", "uint8", "int64")],
    "Mul": [*binary(), *ints("int8", "uint16", "int64")],
    "Div": [*binary(), *ints("int8", "int16", "int32", "int64", "uint8", "uint64"), case(np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2]))],
    "Mod": [
        *ints("int8", "int32", "int64", "uint8", "uint64"),
        case(array(3, 4), array(4), fmod=1),
        case(array(3, 4), array(4, low=1, high=2)),
        case(np.array([5.0, -5.0, 3.0]), np.array([np.inf, np.inf, 0.0])),
        case(np.array([5.0, -5.0, -0.0]), np.array([3.0, 3.0, 3.0]), fmod=1),
        *(case(np.array([7, -7, 7, -7], d), np.array([3, 3, -3, -3], d), fmod=f) for d in ("int8", "int64") for f in (0, 1)),
        case(array(4, dtype="float16"), array(4, low=1, high=2, dtype="float16"), fmod=1, **HALF),
        case(array(4, dtype="bfloat16"), array(4, low=1, high=2, dtype="bfloat16"), **HALF),
    ],
    "Pow": [
        case(array(3, 4, low=0.1), array(4)),
        case(array(2, 3), np.array(2.0, "float32")),
        case(array(2, 3), np.array([3.0], "float32")),
        case(array(2, 3, low=0), np.array(0.5, "float32")),
        case(array(2, 3, low=0.5), np.array(-1.5, "float32")),
        case(array(), np.array([2.0], "float32")),
        case(array(2, 3, low=0.1), array(3, low=-3, high=3, dtype="int64")),
        *(case(array(2, 3), np.array(n)) for n in (2, 0, 1, 3, -1)),
        case(np.array([0.0, 2.0, -3.0], "float32"), np.array([[0], [1], [2], [3]])),
        case(array(2, 3, low=0.1), array(3, dtype="float64")),
        case(np.array([2, -3, 5, 0]), np.array([3, 3, 0, 2])),
        case(np.array([2, -3, 5], "int32"), np.array(2, "uint8")),
        case(np.array([2, 3, 5], "int32"), np.array([0.5, 2.0, 1.5], "float32")),
        case(np.array([2, -1, 1, -1]), np.array([-1, -1, -2, -2]), referee="ort"),
        case(array(2, 3, low=0.1, dtype="float16"), array(3, dtype="float16"), **HALF),
        case(array(2, 3, low=0.1, dtype="bfloat16"), array(3, dtype="bfloat16"), **HALF),
    ],
    "Neg": each(unary(), "int8", "int32", "int64"),
    "Abs": each(unary(), "int8", "int32", "int64", "uint8", "uint64"),
    "Sign": each(unary(), "int8", "int32", "int64", "uint8", "uint64"),
    "Reciprocal": unary(0.5),
    "Sqrt": unary(0),
    "Exp": unary(),
    "Log": unary(0.1, 9),
    "Erf": unary(),
    "Floor": unary(-9, 9),
    "Ceil": unary(-9, 9),
    "Round": [*unary(-9, 9), case(np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49, 1e20], "float32"))],
    "Sin": unary(-9, 9),
    "Cos": unary(-9, 9),
    "Tan": unary(-1, 1),
    "Asin": unary(-1, 1),
    "Acos": unary(-1, 1),
    "Atan": unary(),
    "Sinh": unary(),
    "Cosh": unary(),
    "Tanh": unary(-9, 9),
    "Asinh": unary(),
    "Acosh": unary(1, 9),
    "Atanh": unary(-0.9, 0.9),
    **{
        name: [
            *binary(),
            *ints("int8", "int32", "int64", "uint8", "uint64"),
            case(array(3)),
            case(array(2, 1), array(3), array(4, 1, 1)),
            case(array(2, 3), array(2, 3), array(2, 3), array(2, 3)),
        ]
        for name in ("Min", "Max")
    },
    "Sum": [*binary(), case(array(3)), case(array(2, 1), array(3), array(4, 1, 1)), case(array(2), array(2), array(2), array(2))],
    "Mean": [
        *(case(array(*a), array(*b), referee="ort") for a, b in SHAPES),
        *(case(array(2, 3, dtype=d), array(2, 3, dtype=d), **HALF) for d in ("float64", "float16", "bfloat16")),
        case(array(3)),
        case(array(2, 1), array(3), array(4, 1, 1), referee="ort"),
        case(array(2), array(2), array(2), array(2)),
    ],
    "Where": [
        case(array(3, 4, dtype="bool"), array(3, 4), array(3, 4)),
        case(array(3, 1, dtype="bool"), array(4), array()),
        case(np.array(True), array(2, 3), array(3)),
        case(np.array([True, False, True]), np.array([1, 2, 3]), np.array(-1)),
        case(array(2, dtype="bool"), array(2, dtype="int8"), array(2, dtype="int8")),
        case(array(2, dtype="bool"), array(2, dtype="bool"), array(2, dtype="bool")),
        case(np.array([True, False]), np.array(["a", "b"], object), np.array(["c"], object)),
        case(array(2, dtype="bool"), array(2, dtype="bfloat16"), array(2, dtype="bfloat16")),
        case(array(0, 3, dtype="bool"), array(3), array(1)),
        case(array(64, 80, dtype="bool"), array(64, 80), np.zeros((), "float32")),
        case(array(64, 80, dtype="bool"), array(80, dtype="float64"), array(64, 1, dtype="float64")),
        case(array(80, dtype="bool"), array(64, 80, dtype="bfloat16"), array(1, 1, dtype="bfloat16")),
    ],
    "Clip": [
        case(array(3, 4), np.array(-1, "float32"), np.array(1, "float32")),
        case(array(3, 4), None, np.array(1, "float32")),
        case(array(3, 4), np.array(-1, "float32")),
        case(array(3, 4)),
        case(array(3, 4), np.array(1, "float32"), np.array(-1, "float32")),
        case(array(), np.array(-0.5, "float32"), np.array(0.5, "float32")),
        case(array(0, 3), np.array(-1, "float32"), np.array(1, "float32")),
        case(SPECIAL, np.array(-1, "float32"), np.array(1, "float32")),
        case(np.array([-9, 0, 9]), np.array(-1), np.array(5)),
        case(np.array([-9, 0, 9], "int8"), None, np.array(5, "int8")),
        case(np.array([1, 7, 9], "uint8"), np.array(2, "uint8"), np.array(8, "uint8")),
        case(array(4, dtype="float16"), np.array(-1, "float16"), np.array(1, "float16"), **HALF),
        case(array(4, dtype="bfloat16"), np.array(-1, ml_dtypes.bfloat16), np.array(1, ml_dtypes.bfloat16), **HALF),
    ],
    "Identity": [
        case(array(2, 3)),
        case(array()),
        case(array(3, dtype="int64")),
        case(array(3, dtype="bool")),
        case(np.array(["a", "b"], object)),
        case(array(3, dtype="bfloat16")),
        case(array(3, dtype="float8_e4m3fn")),
        case([array(2), array(2)]),
    ],
    "Cast": casts(),
    "CastLike": [
        *(case(array(2, 3, low=0, high=3), array(1, low=0, high=1, dtype=d)) for d in ("float16", "float64", "int8", "bool", "bfloat16", *FLOAT8)),
        case(EXTREME, array(1, dtype="float8_e4m3fn"), saturate=0),
        case(array(3, dtype="int64"), array(2, 2)),
        case(array(3), array(3)),
        case(array(2), np.array(["a"], object), referee="ort"),
        case(np.array(["3.5"], object), array(2)),
    ],
    "BitCast": [
        case(SPECIAL, to="int32"),
        case(SPECIAL, to="uint32"),
        case(np.array([0, 1, -1, 0x7F800000], "int32"), to="float32"),
        case(SPECIAL.astype("float64"), to="int64"),
        case(array(2, 3, dtype="float16"), to="bfloat16"),
        case(array(2, 3, low=0, high=255, dtype="uint8"), to="float8_e4m3fn"),
        case(array(3, dtype="complex64"), to="float64"),
        case(np.arange(-8, 8).astype(ml_dtypes.int4), to="uint4"),
        case(array(2, 3), to="float32"),
        case(array(dtype="int16"), to="uint16"),
        case(array(0, 3), to="int32"),
        case(np.array([True, False]), to="uint8"),
        case(np.array([0, 1], "uint8"), to="bool"),
    ],
    "IsNaN": [
        case(SPECIAL),
        case(array(2, 3)),
        case(array()),
        *(case(SPECIAL.astype(d)) for d in ("float64", "float16", "bfloat16", *FLOAT8)),
    ],
    "IsInf": [
        case(SPECIAL),
        case(SPECIAL, detect_negative=0),
        case(SPECIAL, detect_positive=0),
        case(SPECIAL, detect_positive=0, detect_negative=0),
        case(np.array(-np.inf, "float32")),
        *(case(SPECIAL.astype(d)) for d in ("float64", "float16", "bfloat16", *FLOAT8)),
        *(case(SPECIAL.astype(d), detect_negative=0) for d in ("bfloat16", "float8_e5m2")),
    ],
}  # fmt: skip
