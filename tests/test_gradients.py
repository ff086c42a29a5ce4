"""Every gradient rule, row by row, against central differences in float64 along random directions; then once more for second derivatives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from cases import Case
from graphir import Graph, Model, Tensor, TensorType, Value, Weight, ops
from graphir.ir import captures
from graphir.ops import OPS, Op
from graphir.ops._gradient import gradients, none
from graphir.passes.infer import Inference
from graphir.passes.widen import wide_tensor, wide_type
from graphir.readers import Scope
from graphir.types import OptionalType, SequenceType
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp
from test_ops import BY_NAME, EVERY_ROW

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
# Rows at a kink, or with random numbers, where no difference quotient is a derivative: (op, row) -> why.
KINKS: dict[tuple[str, int], str] = {
    **{("MaxPool", i): "elements are equal" for i in (18, 19, 20, 21)},
    **{("LpNormalization", i): "a norm is 0" for i in (3, 4)},
    ("Attention", 4): "the scores that come out hold -inf",
    ("Pow", 1): "a negative number to a power that moves is no number",
    ("Pow", 2): "a negative number to a power that moves is no number",
    ("Squeeze", 2): "which axes go, and so the rank, only the run tells",
    ("SequenceInsert", 5): "of an empty sequence no rank is known",
    ("TopK", 8): "elements are equal",
    ("TopK", 9): "elements are equal",
}
# Inputs that say how to compute, floats though they are: op -> which. onnx marks them NonDifferentiable.
SETTINGS: dict[str, tuple[int, ...]] = {"Dropout": (1,), "Resize": (1, 2), "RoiAlign": (1,), "MaxRoiPool": (1,)}
# Ops whose inputs onnx marks Differentiable, and that have no gradient all the same: why.
CONSTANT_ALMOST_EVERYWHERE: dict[str, str] = {
    "Hardmax": "its outputs are zeros and ones",
}
# Ops whose gradients are no derivatives, so that no difference says anything: why. tests/test_straight_through.py has their rows.
STRAIGHT_THROUGH: dict[str, str] = {
    "QuantizeLinear": "rounding is passed as if it were not there",
    "DynamicQuantizeLinear": "rounding is passed as if it were not there, and the scale counts as a constant",
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"), "refused"),
}
# Ops of ai.onnx.ml that make float32, or maps, whatever they are given: tests/test_ml.py holds what they decompose into against differences.
FLOAT32_ALONE = (
    "FeatureVectorizer",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "ZipMap",
)


# The operators of ai.onnx whose outputs do not move when an input moves a little, or are no numbers: they have no gradient.
NONE = """
    And ArgMax ArgMin Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Ceil Constant ConstantOfShape Equal EyeLike Floor
    Greater GreaterOrEqual HammingWindow HannWindow Hardmax ImageDecoder IsInf IsNaN Less LessOrEqual MelWeightMatrix Multinomial NonMaxSuppression NonZero Not
    OptionalHasElement Or RandomNormal RandomNormalLike RandomUniform RandomUniformLike RegexFullMatch Round SequenceEmpty SequenceLength Shape Sign Size
    StringConcat StringNormalizer StringSplit TfIdfVectorizer Xor
"""


def test_every_op_says_what_its_gradient_is() -> None:
    assert [op.name for op in OPS.values() if op.gradient_rule is None and op.decomposition is None] == []


def test_the_ledger() -> None:
    names = {op.name for op in OPS.values() if not op.domain}
    assert {op.name for op in OPS.values() if not op.domain and op.gradient_rule is none} == set(NONE.split())
    none_, refused = NONE.split(), {name for name, why in STRAIGHT_THROUGH.items() if why == "refused"}
    straight = STRAIGHT_THROUGH.keys() - refused
    assert (len(names), len(names - {*none_, *STRAIGHT_THROUGH}), len(straight), len({*none_, *refused})) == (201, 145, 2, 54)


@pytest.mark.parametrize("op", OPS.values(), ids=str)
def test_what_the_standard_calls_differentiable_has_a_gradient(op: Op) -> None:
    marks = {i.differentiation_category for i in onnx.defs.get_schema(op.name, domain=op.domain).inputs}
    if onnx.defs.OpSchema.DifferentiationCategory.Differentiable in marks and op.name not in CONSTANT_ALMOST_EVERYWHERE:
        assert op.gradient_rule is not none


def _differentiable(name: str, row: Case) -> bool:
    """Whether a row has float inputs, not so many numbers that it takes long, none so large, or no number at all, that differences say nothing."""
    if name in STRAIGHT_THROUGH or name in FLOAT32_ALONE:
        return False
    arrays = [y for x in row.arrays() for y in (x if isinstance(x, list) else [x])]
    floats = [x for x in arrays if isinstance(x, np.ndarray) and x.dtype == FLOAT32 and x.size]
    return BY_NAME[name].gradient_rule is not none and bool(floats) and all(x.size < 1e6 and np.abs(x).max() < 1e4 for x in floats)


def _rows() -> Iterator[Any]:
    """Each differentiable row with what is known beforehand: its operands such as shapes and axes, nothing, or the sizes of the inputs too."""
    for p in EVERY_ROW:
        name, row = p.values
        number = int(str(p.id).rpartition("-")[2])
        if (name, number) in KINKS or not _differentiable(name, row):  # pyright: ignore[reportArgumentType]
            continue
        operands = any(isinstance(x, np.ndarray) and x.dtype.kind in "iub" and x.ndim <= 1 for x in row.arrays())  # pyright: ignore[reportAttributeAccessIssue]
        for told in ("operands", "nothing", "all") if operands else ("operands", "all"):
            if told == "operands" or number < ROWS:
                yield pytest.param(name, row, told, told == "operands" and number < ROWS, id=f"{p.id}-{told}")


ROWS = 8  # of each op: so many are tried with other knowledge, and differentiated twice


@pytest.mark.parametrize(("name", "row", "told", "twice"), list(_rows()))
def test_gradient(name: str, row: Case, told: str, twice: bool) -> None:
    problem = Problem(BY_NAME[name], row, told)
    if not problem.inputs:
        return
    problem.check(order=1)
    if twice:
        problem.check(order=2)


class Problem:
    """A row in float64, its outputs weighted at random and summed to a loss, and derivatives of the loss along random directions."""

    def __init__(self, op: Op, row: Case, told: str):
        rng = np.random.default_rng(1)
        arrays = [widened(x) for x in row.arrays()]
        self.graph = Graph("problem")
        self.feeds: dict[str, Any] = {}
        self.inputs: list[Value] = []
        settings = SETTINGS.get(op.name, ())
        given = [self._place(f"x{i}", x, told, i in settings) for i, x in enumerate(arrays)]
        attributes = {k: widened(x(self.graph) if callable(x) else x) for k, x in row.attributes.items()}
        if row.outputs is not None and op.counts_outputs:
            attributes["outputs"] = row.outputs
        taken = given if any(i.variadic for i in op.inputs) else given[: len(op.inputs)]
        made = self._applied(op, taken, attributes)
        outputs = [v for v in (made if isinstance(made, tuple) else (made,)) if v is not None]
        self.graph.outputs = outputs
        results = interpret(Model(self.graph), self.feeds, xp)
        terms = []
        for v, result in [part for y in outputs for part in _parts(y, results[y.name])]:
            if v.dtype == FLOAT64:
                weights = self.graph.weight(f"weights_{v.name}", rng.uniform(0.5, 1.5, np.shape(result)).astype(v.dtype))
                terms.append(ops.reduce.reduce_sum(ops.elementwise.mul(v, weights), keepdims=0))
        if not terms:
            self.inputs = []
            return
        self.loss = ops.elementwise.sum_(*terms)
        self.directions = {v: rng.uniform(-1, 1, np.shape(self.feeds[v.name])) for v in self.inputs}
        self.first = self._along(self.loss)

    def _applied(self, op: Op, inputs: list[Value | None], attributes: dict[str, Any]) -> Any:
        """What the op makes; where it takes no doubles, what its decomposition makes of them."""
        wide = [op.types.get(i.var or "", (FLOAT64,)) for i, v in zip(op.inputs, inputs) if v in self.inputs]
        for body in (x for x in attributes.values() if isinstance(x, Graph)):
            widen_body(body)
        if op.decomposition is not None and not all(FLOAT64 in allowed for allowed in wide):
            return op.decomposition(*inputs, **{**op.defaults, **attributes})
        return op(*([self.graph] if op.takes_graph else []), *inputs, **attributes)

    def _place(self, name: str, x: Any, told: str, is_setting: bool) -> Value | None:
        if x is None:
            return None
        if isinstance(x, list):
            parts = [self._place(f"{name}_{i}", y, told, is_setting) for i, y in enumerate(x)]
            return ops.sequence.sequence_construct(*parts) if parts else ops.sequence.sequence_empty(self.graph, dtype="float64")
        if told != "nothing" and isinstance(x, np.ndarray) and (is_setting or x.dtype.kind in "iub") and x.ndim <= 1:
            return self.graph.weight(name, x)
        dtype = np.dtype(object if x.dtype.kind in "OUS" else x.dtype)
        shape = [f"{name}_{i}" for i in range(x.ndim)] if dtype.kind == "f" and told != "all" else x.shape
        value = self.graph.input(name, TensorType(dtype, shape))
        self.feeds[name] = x
        if dtype == FLOAT64 and not is_setting:
            self.inputs.append(value)
        return value

    def _along(self, loss: Value) -> Value | None:
        """The derivative of a loss along the directions, as a value; None where it is zero."""
        seed = ops.elementwise.identity(self.graph.weight(self.graph.fresh("one"), np.ones([], loss.dtype)))
        terms = []
        for v, dv in zip(self.inputs, gradients({loss: seed}, self.inputs)):
            if dv is not None:
                direction = self.graph.weight(self.graph.fresh("direction"), np.ravel(self.directions[v]))
                terms.append(ops.math.matmul(ops.shape.reshape(dv, [-1]), direction))  # fails where dv is smaller, which * would repeat
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
    """The same in double precision: arrays, tensors, names of dtypes; lists of them."""
    if isinstance(x, list):
        return [widened(y) for y in x]
    if isinstance(x, np.ndarray) and x.dtype == FLOAT32:
        return x.astype("float64")
    if isinstance(x, Tensor):
        return Tensor.of(widened(x.array))
    if isinstance(x, Scope) or not isinstance(x, str):
        return x
    return "float64" if x == "float32" else x


def widen_body(body: Graph) -> None:
    """Let a body take doubles, and read doubles."""
    for v in body.inputs:
        v.type = wide_type(v.type)  # pyright: ignore[reportAttributeAccessIssue]
    for w in [*body.weights.values(), *captures(body)]:
        if isinstance(w, Weight) and w.dtype == FLOAT32:
            w.graph.replace_uses(w, w.graph.weight(w.graph.fresh(w.name), wide_tensor(w.tensor)))
    assert not Inference().graph(body, {})


def _parts(v: Value, result: Any) -> list[tuple[Value, Any]]:
    """The tensors that a value holds, and their contents."""
    if isinstance(v.type, OptionalType):
        v = ops.sequence.optional_get_element(v)
    if isinstance(v.type, SequenceType):
        return [part for i, x in enumerate(result) for part in _parts(ops.sequence.sequence_at(v, i), x)]
    return [(v, result)]
