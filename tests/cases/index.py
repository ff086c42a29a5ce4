"""Rows of graphir.ops.index."""

import numpy as np

from . import array, case
from .shape import ints, strings


def indices(*shape: int, low: int, high: int, dtype: str = "int64"):
    """Draws indices from low to high, both included."""
    return array(*shape, low=low, high=high, dtype=dtype)


def floats(*x: float) -> np.ndarray:
    """A vector of float32."""
    return np.array(x, "float32")


BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11], [0, 10.1, 1, 11.1], [1, 101, 0, 100]]], "float32")
CENTERED = np.array([[[0.5, 0.5, 1, 1], [0.5, 0.6, 1, 1], [0.5, 10.5, 1, 1], [0.5, 10.6, 1, 1], [0.5, 0.5, 0, 0], [5, 5, 2, 2]]], "float32")
SCORES = np.array([[[0.9, 0.75, 0.6, 0.95, 0.5, 0.3], [0.1, 0.2, 0.2, 0.2, 0.9, 0.0]]], "float32")

CASES = {
    "Gather": [
        case(array(5, 4), ints(0, 3, -1)),
        case(array(5, 4), indices(2, 3, low=-4, high=3), axis=1),
        case(array(2, 5, 3), indices(2, 2, low=-5, high=4, dtype="int32"), axis=-2),
        case(array(5, 4), np.array(2)),
        case(array(5), np.array(-1)),
        case(array(5, dtype="int64"), np.array(3)),
        case(array(5, dtype="int64"), ints(4, 0, -5)),
        case(array(5, 4), ints()),
        case(array(0, 4), ints()),
        case(array(3, 0), ints(1, 1)),
        case(array(2, 3), ints(2, 0, -2), axis=1),
        case(strings("a", "b", "c"), np.array(1)),
        case(strings("a", "b", "c"), np.array([[2, 0]])),
        case(array(4, 2, dtype="bfloat16"), ints(3, 1)),
    ],
    "GatherElements": [
        case(array(3, 4), indices(3, 4, low=-3, high=2)),
        case(array(3, 4), indices(3, 2, low=-4, high=3), axis=1),
        case(array(3, 4, 2), indices(2, 5, 1, low=0, high=3, dtype="int32"), axis=-2, referee="ort"),
        case(array(4), ints(3, -1, 0, 0, 2)),
        case(array(3, 4), np.zeros((0, 4), "int64")),
        case(strings("a", "b"), ints(1, 0, 1)),
    ],
    "GatherND": [
        case(array(3, 4), np.array([[0, 1], [2, -1]])),
        case(array(3, 4), np.array([[0], [2], [-3]])),
        case(array(3, 4, 2), indices(2, 2, 2, low=-3, high=2)),
        case(array(2, 3, 4), np.array([[1], [0]]), batch_dims=1),
        case(array(2, 3, 4, 5), indices(2, 3, 2, 1, low=-4, high=3), batch_dims=2),
        case(array(3, 4), np.array([1, 2])),
        case(array(3, 4), np.zeros((0, 2), "int64")),
        case(strings("a", "b", "c"), np.array([[2], [0]])),
    ],
    "ScatterElements": [
        case(array(3, 4), np.array([[2, 0, -1, 1]]), array(1, 4)),
        case(array(3, 4), np.array([[1, 3], [0, -2]]), array(2, 2), axis=1),
        case(array(5), ints(1, 1, -1, 1), array(4), reduction="add"),
        case(array(5), ints(1, 1, -1, 1), array(4), reduction="mul"),
        case(array(4), ints(0, 0, 1, 2, 2, 3, 3, 3), floats(0, 3, 2, 0.5, 0, 0, 2, 0), reduction="mul"),
        case(array(3, 2), indices(4, 2, low=-3, high=2), array(4, 2), reduction="max"),
        case(array(3, 2, 2), indices(3, 5, 1, low=-2, high=1, dtype="int32"), array(3, 5, 1), axis=-2, reduction="min"),
        case(array(5, dtype="int32"), ints(0, 0, 0), array(3, dtype="int32"), reduction="add"),
        case(array(5), ints(), array(0)),
        case(array(5, dtype="bfloat16"), ints(1, 1), array(2, dtype="bfloat16"), reduction="add", tolerance=2e-2),
        case(strings("a", "b"), ints(1), strings("c")),
    ],
    "ScatterND": [
        case(array(4, 3), np.array([[1], [3]]), array(2, 3)),
        case(array(4, 3), np.array([[1, 2], [-1, 0]]), array(2)),
        case(array(4, 3), np.array([[1], [1], [0]]), array(3, 3), reduction="add"),
        case(array(4, 3), np.array([[1], [1], [0]]), array(3, 3), reduction="mul"),
        case(array(4), np.array([[1], [1], [0], [2], [2], [2]]), floats(0, 0, 0, 0, 3, 0), reduction="mul"),
        case(array(4, 3), np.array([[[1], [1]], [[0], [2]]]), array(2, 2, 3), reduction="max"),
        case(array(4, 3), np.array([[1, 0], [1, 0]]), array(2), reduction="min"),
        case(array(4, 3), np.array([2, 1]), array()),
        case(array(4, 3), np.zeros((0, 1), "int64"), array(0, 3)),
        case(array(4, dtype="int64"), np.array([[0], [0]]), array(2, dtype="int64"), reduction="add"),
    ],
    "TensorScatter": [
        case(array(2, 3, 5, 2), array(2, 3, 2, 2), ints(0, 3)),
        case(array(2, 5, 2), array(2, 4, 2), ints(3, 1), mode="circular"),
        case(array(2, 5, 3), array(2, 2, 3)),
        case(array(2, 3, 5), array(2, 3, 1), ints(4, 2), axis=-1),
        case(array(2, 3, 5, dtype="float16"), array(2, 1, 5, dtype="float16"), ints(2, 0), axis=1),
    ],
    "NonZero": [
        case(array(3, 4, low=0, high=1, dtype="int64")),
        case(array(5, dtype="bool")),
        case(floats(0, 1, -0.0, 0.5)),
        case(np.array(3.0, "float32")),
        case(np.array(0)),
        case(array(0, 2)),
        case(ints(0, 2, 0, 1)),
    ],
    "Compress": [
        case(array(3, 4), np.array([True, False, True]), axis=0),
        case(array(3, 4), np.array([False, True]), axis=1),
        case(array(3, 4), np.array([False, True, True]), axis=-1),
        case(array(3, 4), np.array([False, True, False, False, True])),
        case(array(3, 4), np.array([False, False, False]), axis=0),
        case(array(3, 4), np.zeros(0, bool)),
        case(strings("a", "b", "c"), np.array([True, False, True])),
    ],
    "Unique": [
        case(np.array([2, 1, 1, 3, 4, 3], "float16")),
        case(np.array([2, 1, 1, 3, 4, 3], "float16"), sorted=0),
        case(floats(2, 1, 4, 3)),
        case(array(3, 2), axis=1, sorted=0, referee="ort"),
        case(array(3, 4, dtype="int64")),
        case(np.array([[1, 0, 0], [1, 0, 0], [2, 3, 4]]), axis=0),
        case(np.array([[[1, 1], [0, 1], [2, 1], [0, 1]]] * 2), axis=1),
        case(np.array([[1, 0, 1], [2, 3, 2]], "float16"), axis=-1),
        case(np.array([[2, 0], [1, 5], [2, 0]]), axis=0, sorted=0),
        case(strings("b", "a", "b")),
        case(array(0)),
        case(array(6, dtype="bfloat16")),
        case(array(8, dtype="bool")),
    ],
    "NonMaxSuppression": [
        case(BOXES, SCORES, ints(3), floats(0.5), floats(0.0)),
        case(BOXES, SCORES, np.array(30), floats(0.5), floats(0.4), referee="ort"),
        case(BOXES, SCORES, ints(2), floats(0.5)),
        case(BOXES[:, :, [2, 3, 0, 1]], SCORES, ints(3), floats(0.5), floats(0.0)),
        case(CENTERED, SCORES, ints(3), floats(0.5), floats(0.0), center_point_box=1),
        case(np.concatenate([BOXES, BOXES]), np.concatenate([SCORES, SCORES[:, ::-1]]), ints(2), floats(0.5), floats(0.0)),
        case(BOXES, SCORES, ints(3), referee="ort"),
        case(BOXES, SCORES, referee="ort"),
    ],
}
