"""Every gradient rule, row by row, against central differences in float64 along random directions; then once more for second derivatives."""

from typing import Any

import numpy as np
import onnx
import pytest

from cases import Case
from graphir import Graph, Model, Tensor, TensorType, Value, ops
from graphir.nodes import Scope
from graphir.ops import OPS, Op
from graphir.ops._gradient import gradients, is_float, none
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp
from test_ops import BY_NAME, EVERY_ROW

FLOAT32 = np.dtype("float32")
# Rows at a kink, or with random numbers, where no difference quotient is a derivative: (op, row) -> why.
KINKS: dict[tuple[str, int], str] = {}
# Ops whose inputs onnx marks Differentiable, and that have no gradient all the same: why.
CONSTANT_ALMOST_EVERYWHERE: dict[str, str] = {
    "Hardmax": "its outputs are zeros and ones",
}


def test_every_op_says_what_its_gradient_is() -> None:
    assert [op.name for op in OPS.values() if op.gradient_rule is None and op.decomposition is None] == []


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_what_the_standard_calls_differentiable_has_a_gradient(op: Op) -> None:
    marks = {i.differentiation_category for i in onnx.defs.get_schema(op.name, domain=op.domain).inputs}
    if onnx.defs.OpSchema.DifferentiationCategory.Differentiable in marks and op.name not in CONSTANT_ALMOST_EVERYWHERE:
        assert op.gradient_rule is not none


def _differentiable(name: str, row: Case) -> bool:
    """Whether a row has float inputs, none of them so large, or no number at all, that differences say nothing."""
    floats = [x for x in row.arrays() if isinstance(x, np.ndarray) and x.dtype == FLOAT32 and x.size]
    return BY_NAME[name].gradient_rule is not none and bool(floats) and all(np.abs(x).max() < 1e4 for x in floats)


DIFFERENTIABLE = [p for p in EVERY_ROW if _differentiable(*p.values)]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("known", [True, False], ids=["known", "at_run_time"])
@pytest.mark.parametrize(("name", "row"), DIFFERENTIABLE)
def test_gradient(name: str, row: Case, known: bool, request: pytest.FixtureRequest) -> None:
    """known: shapes, axes and the like are constants; else they arrive at run time."""
    number = int(request.node.callspec.id.split("-")[1])
    if (name, number) in KINKS:
        return
    problem = Problem(BY_NAME[name], row, known)
    if not problem.inputs:
        return
    problem.check(order=1)
    problem.check(order=2)


class Problem:
    """A row in float64, its outputs weighted at random and summed to a loss, and derivatives of the loss along random directions."""

    def __init__(self, op: Op, row: Case, known: bool):
        rng = np.random.default_rng(1)
        arrays = [widened(x) for x in row.arrays()]
        self.graph = Graph("problem")
        self.feeds: dict[str, Any] = {}
        self.inputs: list[Value] = []
        given = [self._place(f"x{i}", x, known) for i, x in enumerate(arrays)]
        attributes = {k: widened(x(self.graph) if callable(x) else x) for k, x in row.attributes.items()}
        if row.outputs is not None and op.counts_outputs:
            attributes["outputs"] = row.outputs
        taken = given if any(i.variadic for i in op.inputs) else given[: len(op.inputs)]
        made = op(*([self.graph] if op.takes_graph else []), *taken, **attributes)
        outputs = [v for v in (made if isinstance(made, tuple) else (made,)) if v is not None]
        self.graph.outputs = outputs
        results = interpret(Model(self.graph), self.feeds, xp)
        terms = []
        for v in outputs:
            if is_float(v) and isinstance(v.type, TensorType):
                weights = self.graph.weight(f"weights_{v.name}", rng.uniform(0.5, 1.5, np.shape(results[v.name])).astype(v.dtype))
                terms.append(ops.reduce.reduce_sum(ops.elementwise.mul(v, weights), keepdims=0))
        self.loss = ops.elementwise.sum_(*terms)
        self.directions = {v: rng.uniform(-1, 1, np.shape(self.feeds[v.name])) for v in self.inputs}
        self.first = self._along(self.loss)

    def _place(self, name: str, x: Any, known: bool) -> Value | None:
        if x is None:
            return None
        if known and isinstance(x, np.ndarray) and x.dtype.kind in "iub" and x.ndim <= 1:
            return self.graph.weight(name, x)
        dtype = np.dtype(object if x.dtype.kind in "OUS" else x.dtype)
        shape = [f"{name}_{i}" for i in range(x.ndim)] if dtype.kind == "f" else x.shape
        value = self.graph.input(name, TensorType(dtype, shape))
        self.feeds[name] = x
        if is_float(value):
            self.inputs.append(value)
        return value

    def _along(self, loss: Value) -> Value | None:
        """The derivative of a loss along the directions, as a value; None where it is zero."""
        seed = ops.elementwise.identity(self.graph.weight(self.graph.fresh("one"), np.ones([], loss.dtype)))
        terms = []
        for v, dv in zip(self.inputs, gradients({loss: seed}, self.inputs)):
            if dv is not None:
                direction = self.graph.weight(self.graph.fresh("direction"), self.directions[v])
                terms.append(ops.reduce.reduce_sum(ops.elementwise.mul(dv, direction), keepdims=0))
        return ops.elementwise.sum_(*terms) if terms else None

    def check(self, order: int) -> None:
        """The derivative of the given order agrees with differences of the one below it."""
        below = self.loss if order == 1 else self.first
        if below is None:
            return
        derivative = self.first if order == 1 else self._along(below)
        h = 2e-5
        at = {n: self._value(below, n * h) for n in (-2, -1, 1, 2)}
        difference = (at[-2] - 8 * at[-1] + 8 * at[1] - at[2]) / (12 * h)
        value = 0.0 if derivative is None else self._value(derivative, 0.0)
        scale = max(1.0, abs(difference), *(abs(x) for x in at.values()))
        assert abs(value - difference) <= 1e-6 * scale, f"order {order}: the graph gives {value}, differences give {difference}"

    def _value(self, v: Value, step: float) -> float:
        feeds = dict(self.feeds)
        for x, direction in self.directions.items():
            feeds[x.name] = feeds[x.name] + step * direction
        self.graph.outputs = [v]
        return float(interpret(Model(self.graph), feeds, xp)[v.name])


def widened(x: Any) -> Any:
    """The same in double precision: arrays, tensors, names of dtypes, bodies."""
    if isinstance(x, np.ndarray) and x.dtype == FLOAT32:
        return x.astype("float64")
    if isinstance(x, Tensor):
        return Tensor.of(widened(x.array))
    if isinstance(x, Scope) or not isinstance(x, str):
        return x
    return "float64" if x == "float32" else x
