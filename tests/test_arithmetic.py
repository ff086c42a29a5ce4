"""Numbers that no referee gives: what the standard's tables say of casts, and results that must keep their precision far from 1."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphir import Graph, Model
from graphir.dtypes import as_dtype
from graphir.ops import OPS
from graphir_arrays.interpret import interpret, type_of
from graphir_numpy.namespace import xp

INF, NAN = np.inf, np.nan
SIZES = np.array([0, 1e-45, 3, INF, NAN, 0.75, 1e39])

# Of one input: the op, the numbers, their dtype, attributes, and what comes out.
ROWS: list[tuple[str, Any, str, dict[str, Any], Any]] = [
    ("Cast", SIZES, "float64", {"to": "float8_e8m0fnu"}, [2.0**-127, 2.0**-127, 4, 2.0**127, NAN, 1, 2.0**127]),
    ("Cast", SIZES, "float64", {"to": "float8_e8m0fnu", "round_mode": "down"}, [2.0**-127, 2.0**-127, 2, 2.0**127, NAN, 0.5, 2.0**127]),
    ("Cast", SIZES, "float64", {"to": "float8_e8m0fnu", "round_mode": "nearest", "saturate": 0}, [NAN, NAN, 4, NAN, NAN, 1, NAN]),
    ("Cast", [-8, -1, 0, 7], "int4", {"to": "uint4"}, [8, 15, 0, 7]),
    ("Cast", [-8, -1, 0, 7], "int4", {"to": "int2"}, [0, -1, 0, -1]),
    ("Cast", [0, 3, 15], "uint4", {"to": "float6_e2m3fn"}, [0, 3, 7.5]),
    ("Cast", [0.5, -2.0], "bfloat16", {"to": "string"}, ["0.5", "-2.0"]),
    ("Cast", [-1, 3], "int4", {"to": "string"}, ["-1", "3"]),
    ("Cast", ["100.5", "-7", "1e3"], "string", {"to": "int32"}, [100, -7, 1000]),
    ("Cast", ["18446744073709551615"], "string", {"to": "uint64"}, [2**64 - 1]),
    ("Cast", ["0", "1", "2.5"], "string", {"to": "bool"}, [False, True, True]),
    ("Cast", ["1000", "-0.5"], "string", {"to": "float8_e4m3fn"}, [448, -0.5]),
    ("Cast", ["1.5", "-3"], "string", {"to": "bfloat16"}, [1.5, -3]),
    ("Cast", [True, False], "bool", {"to": "float8_e5m2"}, [1, 0]),
    ("Cast", [2**62, -5], "int64", {"to": "float8_e4m3fn"}, [448, -5]),
    ("Sigmoid", [-80.0, 80.0, -1000.0], "float32", {}, [1.8048513878454153e-35, 1, 0]),
    ("Sigmoid", [-12.0], "float16", {}, [6.1417e-06]),
    ("Softplus", [-80.0, 80.0, 1000.0], "float32", {}, [1.8048513878454153e-35, 80, 1000]),
    ("Elu", [-1e-10, -100.0], "float32", {}, [-1e-10, -1]),
    ("Mish", [-50.0, 100.0], "float32", {}, [-50 * 1.9287498479639178e-22, 100]),
    ("LogSoftmax", [0.0, -1000.0], "float32", {}, [0, -1000]),
    ("ReduceLogSumExp", [1000.0, 1000.0], "float32", {}, [1000 + np.log(2)]),
    ("ReduceSum", [1.0] * 4096, "float16", {}, [4096]),
    ("ReduceMean", [256.0, *[1.0] * 255], "bfloat16", {}, [2]),
    ("Reciprocal", [0.0, -0.0, INF], "float32", {}, [INF, -INF, 0]),
    ("Relu", [NAN, -INF, INF], "float32", {}, [NAN, 0, INF]),
    ("Relu", [NAN, -INF, INF] * 3000, "float32", {}, [NAN, 0, INF] * 3000),
]


@pytest.mark.parametrize(("name", "numbers", "dtype", "attributes", "expected"), ROWS)
def test_numbers_are_those_of_the_standard(name: str, numbers: Any, dtype: str, attributes: dict[str, Any], expected: Any) -> None:
    made = run(name, np.array(numbers).astype(as_dtype(dtype)), **attributes)
    if made.dtype == object:
        assert made.tolist() == expected
    elif made.dtype.kind in "iub":
        assert made.tolist() == list(expected)
    else:
        tolerance = {1: 0, 2: 1e-3}.get(made.dtype.itemsize, 1e-6)
        np.testing.assert_allclose(made.astype("float64"), np.array(expected, "float64"), rtol=tolerance, atol=0)


def test_zero_points_of_rows_and_columns() -> None:
    a, b = np.array([[1, 2], [3, 4]], "uint8"), np.array([[5, 6], [7, 8]], "int8")
    expected = (a.astype(int) - [[1], [2]]) @ (b.astype(int) - [3, 4])
    assert run("MatMulInteger", a, b, np.array([1, 2], "uint8"), np.array([3, 4], "int8")).tolist() == expected.tolist()


def test_powers_of_whole_numbers_are_exact() -> None:
    assert run("Pow", np.array([3, -2, 2]), np.array([39, 63, -1])).tolist() == [3**39, -(2**63), 0]


def test_half_precision_is_rounded_once() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, s).astype(ml_dtypes.bfloat16) for s in ((8, 512), (512, 8)))
    exact = a.astype("float64") @ b.astype("float64")
    np.testing.assert_allclose(run("MatMul", a, b).astype("float64"), exact, rtol=2**-8, atol=1e-4)


def run(name: str, *arrays: np.ndarray, **attributes: Any) -> np.ndarray:
    """What one node makes of arrays."""
    graph = Graph()
    inputs = [graph.input(f"x{i}", type_of(x)) for i, x in enumerate(arrays)]
    graph.outputs = [OPS["", name](*inputs, **attributes)]
    return next(iter(interpret(Model(graph), {f"x{i}": x for i, x in enumerate(arrays)}, xp).values()))
