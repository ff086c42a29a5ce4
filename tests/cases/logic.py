"""Rows of graphir.ops.logic."""

import numpy as np

from cases import Case, array, case

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, 1.5], "float32")
SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1), (1, 3)), ((), (2, 3)), ((), ()), ((0, 3), (1, 3))]


def pairs(dtype: str, low: float = -2, high: float = 2) -> list[Case]:
    """Shapes that broadcast in all ways."""
    return [case(array(*a, low=low, high=high, dtype=dtype), array(*b, low=low, high=high, dtype=dtype)) for a, b in SHAPES]


def comparisons(*more: Case) -> list[Case]:
    """Floats, ints of which rules see the contents, special numbers."""
    rows = pairs("float32") + pairs("int32")[:2]
    for dtype in ("float64", "float16", "bfloat16"):
        rows.append(case(np.array([1, 2, 3]).astype(dtype), np.array([3, 2, 1]).astype(dtype)))
    for dtype in ("int8", "int16", "int64", "uint8", "uint16", "uint32", "uint64"):
        rows.append(case(np.array([1, 2, 3], dtype), np.array([3, 2, 1], dtype)))
    return [*rows, case(SPECIAL, SPECIAL), case(SPECIAL, SPECIAL[::-1].copy()), case(np.array([1, 2, 3]), np.array(2)), *more]


def shifts(direction: str) -> list[Case]:
    """Amounts inside and outside of the width, of every dtype."""
    rows = []
    for bits in (8, 16, 32, 64):
        amounts = np.array([0, 1, bits // 2, bits - 1, bits, 100])
        rows.append(case(np.array([1, 200, 77, 255, 3, 9], f"uint{bits}"), amounts.astype(f"uint{bits}"), direction=direction))
        rows.append(
            case(np.array([1, -100, 77, -1, -(2 ** (bits - 1)), 9], f"int{bits}"), amounts.astype(f"int{bits}"), direction=direction)
        )
        rows.append(case(np.array([5, -5], f"int{bits}"), np.array(-1, f"int{bits}"), direction=direction))
    return [*rows, case(array(2, 3, low=0, high=9, dtype="uint8"), array(3, low=0, high=3, dtype="uint8"), direction=direction)]


BITS = pairs("int32", -99, 99) + [
    row for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64") for row in pairs(dtype, 0, 99)[1:2]
]

CASES = {
    "Equal": comparisons(*pairs("bool"), case(np.array(["a", "b"], object), np.array(["a", "c"], object)), case(np.array(["a", "b"], object), np.array("b", object))),
    "Greater": comparisons(),
    "GreaterOrEqual": comparisons(),
    "Less": comparisons(),
    "LessOrEqual": comparisons(),
    "And": [*pairs("bool"), case(np.array([True, False]), np.array([True, True]))],
    "Or": [*pairs("bool"), case(np.array([True, False]), np.array([True, False]))],
    "Xor": [*pairs("bool"), case(np.array([True, False]), np.array([True, True]))],
    "Not": [case(array(3, 4, dtype="bool")), case(array(dtype="bool")), case(np.array([True, False])), case(array(0, dtype="bool"))],
    "BitwiseAnd": [*BITS, case(np.array([-5, 12]), np.array([7, 10]))],
    "BitwiseOr": [*BITS, case(np.array([-5, 12]), np.array([7, 10]))],
    "BitwiseXor": [*BITS, case(np.array([-5, 12]), np.array([7, 10]))],
    "BitwiseNot": [*(case(array(2, 3, low=0, high=99, dtype=d)) for d in ("int8", "int32", "int64", "uint8", "uint64")), case(np.array(5))],
    "BitShift": [*shifts("LEFT"), *shifts("RIGHT")],
}  # fmt: skip
