"""Rows of graphir.ops.reduce."""

from typing import Any

import numpy as np

from cases import Case, array, case

FLOATS = ("float64", "float16", "bfloat16")
HALF: dict[str, Any] = {"tolerance": 2e-2}


def reductions(*dtypes: str, low: float = -2, empty: bool = True, scalars: str = "reference") -> list[Case]:
    """Axes given, negative, empty, left out; scalars; kept and not; nothing reduced; nothing to reduce; each dtype."""
    data = array(2, 3, 4, low=low)
    rows = [case(data, np.array(axes), keepdims=k) for axes in ([1], [-3, 2]) for k in (0, 1)]
    rows += [case(data), case(data, None, keepdims=0), case(data, noop_with_empty_axes=1)]
    rows += [case(data, np.array([], "int64"), keepdims=k, noop_with_empty_axes=n) for k in (0, 1) for n in (0, 1)]
    rows += [
        case(array(low=low), referee=scalars),
        case(array(low=low), keepdims=0, referee=scalars),
        case(array(2, 0, 3, low=low), np.array([0])),
    ]
    if empty:
        rows += [case(array(2, 0, 3), np.array([1])), case(array(2, 0, 3), np.array([1, 2]), keepdims=0), case(array(0))]
    for dtype in dtypes:
        rows.append(case(array(3, 4, low=low, dtype=dtype), np.array([1]), **(HALF if dtype.endswith("16") else {})))
        if empty and dtype not in FLOATS:
            rows.append(case(array(0, 4, low=low, dtype=dtype), np.array([0])))
    return rows


def contents(*more: Case) -> list[Case]:
    """Vectors of which rules see the contents."""
    return [
        case(np.array([2, 3, -4])),
        case(np.array([2, 3, 4]), keepdims=0),
        case(np.array([2, 5], "int32"), np.array([0]), keepdims=0),
        *more,
    ]


def positions() -> list[Case]:
    """Every axis, kept and not, ties from either side, NaN, each dtype."""
    ties = np.array([[1.0, 3.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0]], "float32")
    rows = [case(array(2, 3, 4), axis=a, keepdims=k, select_last_index=s) for a in (0, 1, -1) for k in (0, 1) for s in (0, 1)]
    rows += [case(ties, axis=1, select_last_index=s) for s in (0, 1)]
    rows += [case(np.array([1.0, np.nan, 3.0, np.nan], "float32")), case(array(2, 3)), case(array(0, 3), axis=1)]
    return rows + [case(array(4, low=0, high=99, dtype=d)) for d in ("int8", "uint8", "int64", "uint64", "float16", "bfloat16", "float64")]


WHOLE = ("int32", "int64")
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, -1.5, 0.0], [1.0, 2.0, 3.0]], "float32")

CASES = {
    "ReduceSum": [*reductions(*FLOATS, *WHOLE, "uint32", "uint64"), *contents()],
    "ReduceMean": [*reductions(*FLOATS, empty=False), case(np.array([[1, 2], [-1, -2]]), np.array([1])), case(np.array([3, 4], "uint32"))],
    "ReduceProd": [
        *reductions(*FLOATS, *WHOLE),
        *contents(),
        *(case(ZEROS, np.array([1]), keepdims=k) for k in (0, 1)),
        case(ZEROS),
    ],
    "ReduceMax": [*reductions(*FLOATS, *WHOLE, "int8", "uint8", "uint64", "bool"), *contents(case(np.array([1.0, np.nan], "float32")))],
    "ReduceMin": [*reductions(*FLOATS, *WHOLE, "int8", "uint8", "uint64", "bool"), *contents(case(np.array([1.0, np.nan], "float32")))],
    "ReduceL1": [*reductions(*FLOATS, *WHOLE), *contents()],
    "ReduceL2": [*reductions(*FLOATS), case(np.array([3, 4, 12])), case(np.array([[3, 4]], "int32"), np.array([1]), keepdims=0)],
    "ReduceSumSquare": [*reductions(*FLOATS, *WHOLE), *contents()],
    "ReduceLogSum": reductions(*FLOATS, low=0.1),
    "ReduceLogSumExp": [
        *reductions(*FLOATS, scalars="ort"),
        case(np.array([[1000.0, 1001.0], [-1000.0, -1001.0]], "float32"), np.array([1])),
        case(np.array([[-np.inf, -np.inf]], "float32"), np.array([1]), referee="ort"),
        case(np.array([[np.inf, 1.0]], "float32"), np.array([1]), referee="ort"),
    ],
    "ArgMax": positions(),
    "ArgMin": positions(),
}
