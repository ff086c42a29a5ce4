"""What gradients are at ties, kinks, zeros and infinities, where no difference quotient says: as PyTorch has it. The seed is ones."""

from typing import Any

import numpy as np
import pytest

from graphir import Graph, Model, Tensor, ops
from graphir.ops._gradient import gradients
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp
from test_ops import BY_NAME

INF = np.inf
EDGES = [-1.0, -0.5, 0.0, 0.5, 1.0]
# op, inputs, attributes, the gradients of the inputs
CONVENTIONS: list[tuple[str, list[Any], dict[str, Any], list[Any]]] = [
    ("Abs", [[-1.0, 0.0, 1.0]], {}, [[-1, 0, 1]]),
    ("Sqrt", [[0.0, 1.0]], {}, [[INF, 0.5]]),
    ("Max", [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], {}, [[0, 0.5, 1], [1, 0.5, 0]]),
    ("Min", [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], {}, [[1, 0.5, 0], [0, 0.5, 1]]),
    ("Clip", [[-2.0, -1.0, 0.0, 1.0, 2.0], -1.0, 1.0], {}, [[0, 1, 1, 1, 0], 1, 1]),
    ("Clip", [[-2.0, -1.0, 0.0, 1.0, 2.0], 1.0, -1.0], {}, [[0, 0, 0, 0, 0], 0, 5]),
    ("Clip", [[-INF, 0.0, np.nan], -1.0, 1.0], {}, [[0, 1, 0], 1, 0]),
    ("Mod", [[5.0, -5.0], [3.0, 3.0]], {"fmod": 1}, [[1, 1], [-1, 1]]),
    ("Mod", [[5.0, -5.0], [3.0, 3.0]], {"fmod": 0}, [[1, 1], [-1, 2]]),
    ("Pow", [[0.0, 0.0, 0.0, 0.0, -2.0], [0.0, 0.5, 1.0, 2.0, 2.0]], {}, [[0, INF, 1, 0, -4], [0, 0, 0, 0, np.nan]]),
    ("Pow", [[0.0], [-1.0]], {}, [[-INF], [-INF]]),
    ("Where", [np.array([True, False]), [INF, 1.0], [1.0, np.nan]], {}, [None, [1, 0], [0, 1]]),
    ("Relu", [EDGES], {}, [[0, 0, 0, 1, 1]]),
    ("LeakyRelu", [[-1.0, 0.0, 1.0]], {"alpha": 0.25}, [[0.25, 0.25, 1]]),
    ("PRelu", [[-INF, 0.0, INF], [0.25]], {}, [[0.25, 0.25, 1], [-INF]]),
    ("Elu", [[0.0, 1.0, 1000.0]], {"alpha": 0.5}, [[0.5, 1, 1]]),
    ("Celu", [[0.0, 1.0, 1000.0]], {"alpha": 0.5}, [[1, 1, 1]]),
    ("ThresholdedRelu", [[0.0, 1.0, 2.0]], {}, [[0, 0, 1]]),
    ("Shrink", [EDGES], {}, [[1, 0, 0, 0, 1]]),
    ("HardSigmoid", [[-2.0, 0.0, 2.0]], {"alpha": 0.25}, [[0, 0.25, 0]]),
    ("HardSwish", [[-4.0, -3.0, 0.0, 3.0, 4.0]], {}, [[0, 0, 0.5, 1, 1]]),
    ("Softsign", [[0.0]], {}, [[1]]),
    ("ReduceMax", [[[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]], np.array([1])], {}, [[[0, 0.5, 0.5], [0.5, 0.5, 0]], None]),
    ("ReduceMin", [[[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]], np.array([1])], {"keepdims": 0}, [[[1, 0, 0], [0, 0, 1]], None]),
    ("ReduceProd", [[[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]], np.array([1])], {}, [[[6, 0, 0], [0, 0, 0], [6, 3, 2]], None]),
    ("ReduceL1", [[0.0, -4.0]], {}, [[0, -1]]),
    ("ReduceL2", [[[0.0, 0.0], [3.0, 4.0]], np.array([1])], {}, [[[0, 0], [0.6, 0.8]], None]),
    ("ReduceLogSum", [[0.0, 0.0]], {}, [[INF, INF]]),
    ("ReduceLogSumExp", [[[-INF, -INF], [-INF, 0.0], [1000.0, 0.0]], np.array([1])], {}, [[[0, 0], [0, 1], [1, 0]], None]),
    ("Softmax", [[[-INF, -INF], [-INF, 0.0]]], {}, [[[0, 0], [0, 0]]]),
    ("LogSoftmax", [[[-INF, -INF], [-INF, 0.0]]], {}, [[[1, 1], [1, -1]]]),
    ("Softmax", [[[0.0, np.nan], [0.0, 0.0]]], {}, [[[0, 0], [0, 0]]]),  # unlike PyTorch
    ("LogSoftmax", [[[0.0, np.nan], [0.0, 0.0]]], {}, [[[1, 1], [0, 0]]]),  # unlike PyTorch
    ("MeanVarianceNormalization", [[[2.0, 2.0]]], {"axes": (1,)}, [[[0, 0]]]),
    ("Det", [[[1.0, 2.0], [2.0, 4.0]]], {}, [[[4, -2], [-2, 1]]]),
    ("GridSample", [[[[1.0, 2.0, 4.0]]], [[[-1.0], [0.0], [1.0]]]], {"align_corners": 1}, [[[[1, 1, 1]]], [[[1], [2], [-4]]]]),
    ("GridSample", [[[[1.0, 2.0, 4.0]]], [[[-1.0], [0.0], [1.0]]]], {"align_corners": 1, "padding_mode": "border"}, [[[[1, 1, 1]]], [[[0], [2], [0]]]]),
    ("GridSample", [[[[1.0, 2.0, 4.0]]], [[[-1.0], [0.0], [1.0]]]], {"align_corners": 1, "padding_mode": "reflection"}, [[[[1, 1, 1]]], [[[0], [2], [0]]]]),
    ("GridSample", [[[[np.nan, 2.0, INF]]], [[[-3.0], [0.0], [3.0]]]], {}, [[[[0, 1, 0]]], [[[0], [INF], [0]]]]),
    ("RoiAlign", [[[[[1.0, 1.0]]]], [[0.0, 0.0, 2.0, 1.0]], np.array([0])], {"mode": "max", "sampling_ratio": 1}, [[[[[0.5, 0]]]], None, None]),
    ("MaxRoiPool", [[[[[3.0, 3.0]]]], [[0.0, 0.0, 0.0, 1.0, 0.0]]], {"pooled_shape": (1, 1)}, [[[[[1, 0]]]], None]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "inputs", "attributes", "expected"), CONVENTIONS, ids=[f"{row[0]}-{i}" for i, row in enumerate(CONVENTIONS)]
)
def test_convention(name: str, inputs: list[Any], attributes: dict[str, Any], expected: list[Any]) -> None:
    arrays = [np.asarray(x) for x in inputs]
    graph = Graph("problem")
    values = [graph.weight(f"x{i}", x) for i, x in enumerate(arrays)]
    y = BY_NAME[name](*values, **attributes)
    ones = ops.create.constant_of_shape(ops.shape.shape(y), value=Tensor.of(np.ones(1)))
    found = gradients({y: ones}, values)
    assert [dv is None for dv in found] == [x is None for x in expected]
    graph.outputs = made = [ops.elementwise.identity(dv) for dv in found if dv is not None]
    results = interpret(Model(graph), {}, xp)
    for v, want in zip(made, [x for x in expected if x is not None]):
        np.testing.assert_array_almost_equal(results[v.name], np.asarray(want, float), decimal=12)


# op, inputs whose last row is not to be read, attributes
MASKED: list[tuple[str, Any, dict[str, Any]]] = [
    ("Softmax", [[0.0, 1.0], [-INF, -INF]], {}),
    ("LogSoftmax", [[0.0, 1.0], [-INF, -INF]], {}),
    ("ReduceLogSumExp", [[0.0, 1.0], [-INF, -INF]], {"axes": [1]}),
    ("ReduceL2", [[0.0, 1.0], [0.0, 0.0]], {"axes": [1]}),
    ("ReduceProd", [[2.0, 1.0], [0.0, 0.0]], {"axes": [1]}),
    ("Elu", [[0.5, 1.0], [1e300, 1e300]], {}),
    ("Selu", [[0.5, 1.0], [1e300, 1e300]], {}),
    ("Clip", [[0.5, 1.0], [-INF, np.nan]], {"min": 0.0}),
    ("Relu", [[0.5, 1.0], [-INF, np.nan]], {}),
]


@pytest.mark.parametrize(("name", "x", "arguments"), MASKED, ids=[row[0] for row in MASKED])
def test_rows_that_are_masked_spoil_nothing(name: str, x: Any, arguments: dict[str, Any]) -> None:
    graph = Graph("problem")
    value = graph.weight("x", np.array(x))
    y = BY_NAME[name](value, **arguments)
    kept = ops.elementwise.where(np.array([[True], [False]]), y, 0.0)
    for _ in range(2):
        loss = ops.reduce.reduce_sum_square(kept, keepdims=0)
        one = graph.weight(graph.fresh("one"), np.ones(()))
        dx = gradients({loss: one}, [value])[0]
        assert dx is not None
        graph.outputs = [dx]
        result = interpret(Model(graph), {}, xp)[dx.name]
        assert np.isfinite(result[0]).all() and (result[1] == 0).all(), result
        kept = dx
