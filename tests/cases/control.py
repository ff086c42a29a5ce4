"""Rows of graphir.ops.control. ONNX Runtime is the referee: onnx's reference stacks in another way, and knows neither axes nor directions of Scan."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cases import array, case
from graphir import Graph, TensorType, Value
from graphir.ops import OPS
from graphir.ops.control import body_in, yields

ADD, MUL, LESS, EXP = (OPS["", name] for name in ("Add", "Mul", "Less", "Exp"))
SUM, CONCAT, IDENTITY = (OPS["", name] for name in ("ReduceSum", "Concat", "Identity"))
Make = Callable[[Graph], Graph]


def branch(*ops: Callable[[Value], Any]) -> Make:
    """A body that yields functions of the second input, which it captures."""

    def make(graph: Graph) -> Graph:
        made = body_in(graph, "branch")
        x = next(v for v in graph.inputs if v.name == "x1")
        with made:
            yields(made, *(f(x) for f in ops))
        return made

    return make


def body(types: list[TensorType], build: Callable[..., tuple[Value, ...]]) -> Make:
    """A body with inputs of these types; `build` makes its outputs from them."""

    def make(graph: Graph) -> Graph:
        made = body_in(graph)
        inputs = [made.input(made.fresh("in"), t) for t in types]
        with made:
            yields(made, *build(*inputs))
        return made

    return make


COUNT, FLAG = TensorType("int64", ()), TensorType("bool", ())
X, ROW = TensorType("float32", (2, 3)), TensorType("float32", (3,))
LONGER = TensorType("float32", (None,))

CASES = {
    "If": [
        case(np.asarray(True), array(2, 3), then_branch=branch(EXP, IDENTITY), else_branch=branch(IDENTITY, EXP), referee="ort"),
        case(np.asarray(False), array(2, 3), then_branch=branch(EXP), else_branch=branch(lambda x: MUL(x, 2.0)), referee="ort"),
        case(np.asarray([True]), array(2, 3), then_branch=branch(lambda x: SUM(x, [0])), else_branch=branch(EXP), referee="ort"),
    ],
    "Loop": [
        case(np.asarray(3), None, array(2, 3), body=body([COUNT, FLAG, X], lambda i, go, x: (go, MUL(x, 1.5), x)), referee="ort"),
        case(np.asarray(9), np.asarray(True), array(2, 3), body=body([COUNT, FLAG, X], lambda i, go, x: (LESS(i, 2), ADD(x, 1.0), i)), referee="ort"),
        case(None, np.asarray(True), array(2, 3), body=body([COUNT, FLAG, X], lambda i, go, x: (LESS(SUM(x, keepdims=0), 20.0), ADD(x, 1.0))), referee="ort"),
        case(np.asarray(0), np.asarray(True), array(2, 3), body=body([COUNT, FLAG, X], lambda i, go, x: (go, x, MUL(x, 2.0))), referee="ort"),
        case(np.asarray(5), np.asarray(False), array(2, 3), body=body([COUNT, FLAG, X], lambda i, go, x: (go, x, x)), referee="ort"),
        case(np.asarray(3), None, array(1), body=body([COUNT, FLAG, LONGER], lambda i, go, x: (go, CONCAT(x, x, axis=0))), referee="ort"),
    ],
    "Scan": [
        case(array(3), array(4, 3), body=body([ROW, ROW], lambda s, x: (ADD(s, x), MUL(s, x))), num_scan_inputs=1, referee="ort"),
        case(array(4, 3), array(4, 3), body=body([ROW, ROW], lambda a, b: (MUL(a, b), ADD(a, b))), num_scan_inputs=2,
             scan_input_directions=[0, 1], scan_output_directions=[1, 0], referee="ort"),
        case(array(3), array(3, 4), body=body([ROW, ROW], lambda s, x: (ADD(s, x), MUL(s, x))), num_scan_inputs=1,
             scan_input_axes=[1], scan_output_axes=[-1], referee="ort"),
        case(array(), array(4), body=body([TensorType("float32", ())] * 2, lambda s, x: (ADD(s, x), s)), num_scan_inputs=1, referee="ort"),
        case(array(3), array(0, 3), body=body([ROW, ROW], lambda s, x: (ADD(s, x),)), num_scan_inputs=1),
    ],
}  # fmt: skip
