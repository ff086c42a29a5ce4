"""Rows of graphir.ops.sequence."""

import numpy as np

import graphir.ops as ops
from cases import array, case
from graphir import Graph, TensorType
from graphir.ops.control import body_in, yields

THREE = [array(2, 3), array(2, 3), array(2, 3)]


def sums(graph: Graph) -> Graph:
    """A body: its two inputs added, and the shape of the sum."""
    body = body_in(graph)
    a, b = (body.input(name, TensorType("float32", (2, 3))) for name in "ab")
    with body:
        total = ops.OPS["", "Add"](a, b)
        yields(body, total, ops.OPS["", "Shape"](total))
    return body


def captures_a_weight(graph: Graph) -> Graph:
    """A body that uses a weight of its own and one from outside."""
    body = body_in(graph)
    x = body.input("x", TensorType("float32", (2, 3)))
    with body:
        yields(
            body,
            ops.OPS["", "Mul"](
                ops.OPS["", "Add"](x, body.weight("one", np.ones(3, "float32"))), graph.weight("two", np.full(3, 2, "float32"))
            ),
        )
    return body


CASES = {
    "SequenceConstruct": [
        case(array(2, 3)),
        case(array(2, 3), array(2, 5), array(2, 3)),
        case(array(2, dtype="int32"), array(2, 3, dtype="int32")),
    ],
    "SequenceEmpty": [case(), case(dtype="int64")],
    "SequenceInsert": [
        case(THREE, array(2, 3)),
        case(THREE, array(2, 5), np.asarray(0)),
        case(THREE, array(2, 3), np.asarray(-1)),
        case(THREE, array(2, 3), np.asarray(3), referee="ort"),  # onnx's reference inserts at the front
        case(THREE, array(2, 3), np.asarray(1, "int32")),
        case([], array(2, 3)),
    ],
    "SequenceErase": [case(THREE), case(THREE, np.asarray(0)), case(THREE, np.asarray(-3))],
    "SequenceAt": [case(THREE, np.asarray(1)), case(THREE, np.asarray(-1)), case(THREE, np.asarray(0, "int32"))],
    "SequenceLength": [case(THREE), case([])],
    "SplitToSequence": [
        case(array(3, 4)),
        case(array(3, 4), axis=-1, keepdims=0),
        case(array(3, 4), np.asarray(2)),
        case(array(4, 4), np.asarray(2)),
        case(array(3, 4), np.asarray([1, 3]), axis=1),
        case(array(3, 4), np.asarray([2, 2]), axis=1, keepdims=0),
        case(array(3, 4, dtype="int64"), np.asarray([1, 1, 1], "int32")),
        case(array(3, 4), np.asarray(1), axis=1),
        case(array(3, 4), np.asarray(1), axis=1, keepdims=0, referee="ort"),
        case(array(3, 4, 2), np.asarray(1, "int32"), axis=-2, keepdims=0, referee="ort"),
        case(array(3, 1), np.asarray(1), axis=1, keepdims=0, referee="ort"),
        case(array(3, 4), np.asarray(3), axis=1, keepdims=0),
        case(array(3, 1), np.asarray([1]), axis=1, keepdims=0),
    ],
    "ConcatFromSequence": [
        case(THREE, axis=0),
        case(THREE, axis=-1),
        case(THREE, axis=0, new_axis=1),
        case(THREE, axis=-1, new_axis=1),
    ],
    "SequenceMap": [case(THREE, THREE, body=sums), case(THREE, array(2, 3), body=sums), case(THREE, body=captures_a_weight, referee="ort")],
    "Optional": [case(array(2, 3)), case(THREE), case(type=TensorType("float32", (2, 3)))],
    "OptionalGetElement": [case(array(2, 3)), case(THREE)],
    "OptionalHasElement": [case(array(2, 3)), case(THREE), case()],
}
