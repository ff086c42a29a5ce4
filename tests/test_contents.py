"""What rules tell of contents that are dims: sums on shapes, by the ops that exporters write for them."""

from collections.abc import Callable
from typing import Any

import pytest

from graphir import Graph, TensorType, Value
from graphir.ops import activation, elementwise, logic, reduce, shape

# The shape of an [N, 3, M] tensor goes in; the contents that come out, as text, or None where they are not told.
SUMS: list[tuple[str, Callable[[Value], Any], str | None]] = [
    ("add", lambda s: elementwise.add(s, 1), "N + 1, 4, M + 1"),
    ("sub", lambda s: elementwise.sub(s, [1, 1, 1]), "N - 1, 2, M - 1"),
    ("mul", lambda s: elementwise.mul(s, s), "N*N, 9, M*M"),
    ("div", lambda s: elementwise.div(s, 2), "N//2, 1, M//2"),
    ("div of what may be negative", lambda s: elementwise.div(elementwise.sub(s, 5), 2), None),
    ("div of what is negative", lambda s: elementwise.div(elementwise.neg(s), 2), "-N//2, -1, -M//2"),
    ("div by zero", lambda s: elementwise.div(s, 0), None),
    ("mod", lambda s: elementwise.mod(s, 2), "N - 2*(N//2), 1, M - 2*(M//2)"),
    ("fmod", lambda s: elementwise.mod(s, [5, 5, 5], fmod=1), "N - 5*(N//5), 3, M - 5*(M//5)"),
    ("neg", lambda s: elementwise.neg(s), "-N, -3, -M"),
    ("abs", lambda s: elementwise.abs_(elementwise.neg(s)), "N, 3, M"),
    ("sign", lambda s: elementwise.sign(elementwise.add(s, 1)), "1, 1, 1"),
    ("sign of what may be zero", lambda s: elementwise.sign(s), None),
    ("max", lambda s: elementwise.max_(s, elementwise.add(s, 1)), "N + 1, 4, M + 1"),
    ("max with one", lambda s: elementwise.max_(s, one(s)), "max(1, N), 3, max(1, M)"),
    ("min", lambda s: elementwise.min_(s, elementwise.neg(s)), "-N, -3, -M"),
    ("clip", lambda s: elementwise.clip(elementwise.neg(s), 0), "0, 0, 0"),
    ("clip to a range", lambda s: elementwise.clip(s, 0, 2), "min(2, N), 2, min(2, M)"),
    ("equal to -1", lambda s: logic.equal(s, -1), "False, False, False"),
    ("equal to itself", lambda s: logic.equal(s, s), "True, True, True"),
    ("equal to what it may be", lambda s: logic.equal(s, 3), None),
    ("less", lambda s: logic.less(s, elementwise.add(s, 1)), "True, True, True"),
    ("less or equal", lambda s: logic.less_or_equal(zero(s), s), "True, True, True"),
    ("less than what it may be", lambda s: logic.less(s, 3), None),
    ("not", lambda s: logic.not_(logic.equal(s, -1)), "True, True, True"),
    ("and", lambda s: logic.and_(logic.equal(s, s), logic.equal(s, -1)), "False, False, False"),
    ("what expand is given", lambda s: elementwise.where(logic.equal(s, -1), one(s), s), "N, 3, M"),
    ("through int32", lambda s: elementwise.cast(elementwise.cast(s, to="int32"), to="int64"), "N, 3, M"),
    ("through float", lambda s: scaled(s, 2.0), "2*N, 6, 2*M"),
    ("through a fraction", lambda s: scaled(s, 0.5), None),
    ("as bool", lambda s: elementwise.cast(elementwise.add(s, 1), to="bool"), "True, True, True"),
    ("as int8", lambda s: elementwise.cast(s, to="int8"), None),
    ("halves of evens", lambda s: elementwise.cast(elementwise.div(as_float(elementwise.mul(s, 2)), 2.0), to="int64"), "N, 3, M"),
    ("product", lambda s: reduce.reduce_prod(s, [0], keepdims=0), "3*M*N"),
    ("sum", lambda s: reduce.reduce_sum(s), "M + N + 3"),
    ("largest", lambda s: reduce.reduce_max(elementwise.mul(s, [0, 1, 0])), "3"),
    ("nothing reduced", lambda s: reduce.reduce_prod(s, noop_with_empty_axes=1), None),
    ("rectified", lambda s: activation.relu(s), None),
    ("copied", lambda s: elementwise.identity(s), "N, 3, M"),
]


def one(s: Value) -> Value:
    return elementwise.div(elementwise.add(s, 1), elementwise.add(s, 1))


def zero(s: Value) -> Value:
    return elementwise.sub(s, s)


def as_float(s: Value) -> Value:
    return elementwise.cast(s, to="float32")


def scaled(s: Value, by: float) -> Value:
    return elementwise.cast(elementwise.floor(elementwise.mul(as_float(s), by)), to="int64")


@pytest.mark.parametrize(("build", "expected"), [s[1:] for s in SUMS], ids=[s[0] for s in SUMS])
def test_contents_are_followed(build: Callable[[Value], Any], expected: str | None) -> None:
    graph = Graph("shapes")
    x = graph.input("x", TensorType("float32", ("N", 3, "M")))
    known = build(shape.shape(x)).known
    assert (None if known is None else ", ".join(map(str, known))) == expected


@pytest.mark.parametrize(
    ("build", "dtype", "numbers", "expected"),
    [
        (lambda x: elementwise.add(x, 100), "int8", [100, 1], None),  # it wraps
        (lambda x: elementwise.sub(x, 5), "uint8", [7, 3], None),
        (lambda x: elementwise.mul(x, 2.0), "float32", [0.1], (0.20000000298023224,)),
        (lambda x: elementwise.exp(x), "float32", [1.0], None),
        (lambda x: elementwise.round_(x), "float32", [0.5, 1.5, -2.5], (0.0, 2.0, -2.0)),
        (lambda x: elementwise.floor(x), "float32", [float("inf")], None),
        (lambda x: elementwise.cast(x, to="int32"), "float32", [-1.9, 2.9], (-1, 2)),
        (lambda x: elementwise.cast(x, to="uint8"), "int64", [300], None),
        (lambda x: elementwise.max_(x, x), "float32", [float("nan")], "nan"),
        (lambda x: logic.greater_or_equal(x, x), "float32", [float("nan"), 1.0], (False, True)),
    ],
)
def test_contents_are_those_of_the_dtype(build: Callable[[Value], Any], dtype: str, numbers: list[float], expected: object) -> None:
    import numpy as np

    known = build(Graph("numbers").weight("x", np.array(numbers, dtype))).known
    assert (known if expected != "nan" else str(known[0])) == expected
