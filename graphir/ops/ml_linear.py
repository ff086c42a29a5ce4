"""Linear models of ai.onnx.ml. Rows of X are examples; a vector is one example."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim
from ..dtypes import FLOAT32, FLOAT64, INT64, STRING
from ..ir import Value
from ..types import TensorType
from ._op import T1, RuleError, T, op
from ._types import dtypes

DOMAIN = "ai.onnx.ml"
NUMBERS = dtypes("float32 float64 int32 int64")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_linear = partial(op, since=1, domain=DOMAIN)


# ---- what these and trees share -----------------------------------------------------------------------------------------------------------


def examples(x: Value, features: int | None = None) -> Dim:
    """How many rows there are. features: how many columns there should be. Raises RuleError."""
    if x.rank not in (1, 2):
        raise RuleError(f"{x.name} has shape {list(x.shape)}; expected [N, F] or [F]")
    if features is not None and isinstance(x.shape[-1], int) and x.shape[-1] != features:
        raise RuleError(f"{x.name} has {x.shape[-1]} features; the model has weights for {features}")
    return x.shape[0] if x.rank == 2 else 1


def one_of(x: str, allowed: Sequence[str], name: str = "post_transform") -> None:
    """Raises RuleError for a word that is none of those allowed."""
    if x not in allowed:
        raise RuleError(f"{name} is {x!r}; expected one of {', '.join(allowed)}")


def labels_of(ints: tuple[int, ...] | None, strings: tuple[str, ...] | None, required: bool = True) -> tuple[Any, ...]:
    """The labels of the classes, numbers or strings. Raises RuleError where there are both, or where there are none and some are required."""
    if bool(ints) and bool(strings):
        raise RuleError("labels are given as numbers and as strings; expected one of them")
    if required and not ints and not strings:
        raise RuleError("no labels are given; expected one for each class")
    return strings or ints or ()


def label_type(count: Dim, strings: tuple[str, ...] | None) -> TensorType:
    """The type of the labels of so many examples."""
    return TensorType(STRING if strings else INT64, (count,))


def transformed(scores: Value, post_transform: str) -> Value:
    """The scores after one of the transforms, along the last axis. PROBIT is the inverse normal distribution, by Winitzki's formula, as runtimes have it."""
    e = ops.elementwise
    if post_transform == "SOFTMAX":
        return ops.activation.softmax(scores, axis=-1)
    if post_transform == "LOGISTIC":
        return ops.activation.sigmoid(scores)
    if post_transform == "SOFTMAX_ZERO":  # zeros stay zeros, for the most part
        most = ops.reduce.reduce_max(scores, [-1], keepdims=1)
        small = ops.logic.less_or_equal(e.abs_(scores), 1e-7)
        powers = e.where(small, e.mul(scores, e.exp(e.neg(most))), e.exp(e.sub(scores, most)))
        total = ops.reduce.reduce_sum(powers, [-1], keepdims=1)
        none = ops.logic.equal(total, 0.0)
        return e.where(none, 0.5, e.div(powers, e.where(none, 1.0, total)))
    if post_transform == "PROBIT":
        x = e.sub(e.mul(scores, 2.0), 1.0)
        log = e.log(e.mul(e.sub(1.0, x), e.add(1.0, x)))
        v = e.add(e.mul(log, 0.5), 2 / (np.pi * 0.147))
        root = e.sqrt(e.sub(e.sqrt(e.sub(e.mul(v, v), e.mul(log, 1 / 0.147))), v))
        return e.mul(e.mul(e.sign(x), root), 2**0.5)
    return scores


def rows_of(x: Value, dtype: np.dtype | None = None) -> Value:
    """X as a matrix of floats, of a dtype, or of its own; whole numbers as float32."""
    wanted = dtype or (x.dtype if x.dtype == FLOAT64 else FLOAT32)
    x = ops.elementwise.cast(x, to=wanted.name) if x.dtype != wanted else x
    return ops.shape.unsqueeze(x, [0]) if x.rank == 1 else x


def as_float32(x: Value) -> Value:
    """What all models of ai.onnx.ml give."""
    return ops.elementwise.cast_to(x, FLOAT32)


def weighted(x: Value, coefficients: Sequence[float], intercepts: Sequence[float] | None, rows: int) -> Value:
    """X times the coefficients of each class or target, which stand one behind the other, plus its intercept."""
    weights = np.reshape(np.asarray(coefficients, x.dtype), (rows, -1))
    bias = [np.asarray(intercepts, x.dtype)] if intercepts else []
    return ops.math.gemm(x, weights, *bias, transB=1)


def check_rows(coefficients: Sequence[float], intercepts: Sequence[float] | None, rows: int) -> int:
    """How many features the coefficients of so many classes or targets are for. Raises RuleError."""
    if rows < 1 or not coefficients or len(coefficients) % rows:
        raise RuleError(f"coefficients has {len(coefficients)} numbers; expected as many for each of {rows} classes or targets")
    if intercepts and len(intercepts) != rows:
        raise RuleError(f"intercepts has {len(intercepts)} numbers; expected {rows}")
    return len(coefficients) // rows


# ---- linear models ------------------------------------------------------------------------------------------------------------------------


@_linear("LinearRegressor", T=NUMBERS)
def linear_regressor(
    x: T, *, coefficients: tuple[float, ...] | None = None, intercepts: tuple[float, ...] | None = None, post_transform: str = "NONE",
    targets: int = 1,
) -> TensorType:  # fmt: skip
    """X times the coefficients of each target, plus its intercept, transformed; float32 [N, targets]."""
    one_of(post_transform, TRANSFORMS)
    return TensorType(FLOAT32, (examples(x, check_rows(coefficients or (), intercepts, targets)), targets))


@linear_regressor.decompose
def _linear_regressor(x, *, coefficients, intercepts, post_transform, targets):
    return as_float32(transformed(weighted(rows_of(x), coefficients, intercepts, targets), post_transform))


@_linear("LinearClassifier", T1=NUMBERS)
def linear_classifier(
    x: T1, *, classlabels_ints: tuple[int, ...] | None = None, classlabels_strings: tuple[str, ...] | None = None,
    coefficients: tuple[float, ...], intercepts: tuple[float, ...] | None = None, multi_class: int = 0, post_transform: str = "NONE",
) -> tuple[TensorType, TensorType]:  # fmt: skip
    """The label with the highest score for each example, and the scores: X times the coefficients of each class, plus its intercept, transformed.

    There may be one row of coefficients: for two labels it is the second's, and the first one's is its negative; else the label is the only one,
    or 1, where the score is not negative, and 0 or "" where it is.
    """
    one_of(post_transform, TRANSFORMS)
    labels = labels_of(classlabels_ints, classlabels_strings, required=False)
    rows = len(intercepts) if intercepts else max(len(labels), 1)
    count = examples(x, check_rows(coefficients, intercepts, rows))
    if rows > 1 and len(labels) < rows:
        raise RuleError(f"there are {len(labels)} labels and {rows} rows of coefficients; expected one label for each")
    return label_type(count, classlabels_strings), TensorType(FLOAT32, (count, 2 if rows == 1 and len(labels) == 2 else rows))


@linear_classifier.decompose
def _linear_classifier(x, *, classlabels_ints, classlabels_strings, coefficients, intercepts, multi_class, post_transform):
    labels = classlabels_strings or classlabels_ints or (1,)
    dtype = STRING if classlabels_strings else INT64
    rows = len(intercepts) if intercepts else len(labels)
    scores = weighted(rows_of(x), coefficients, intercepts, rows)
    if rows == 1 and len(labels) == 2:
        scores = ops.shape.concat(ops.elementwise.neg(scores), scores, axis=1)
    elif rows == 1:
        labels = ("" if classlabels_strings else 0, labels[0])
        which = ops.elementwise.cast(ops.logic.greater_or_equal(ops.shape.reshape(scores, [-1]), 0.0), to="int64")
        return ops.index.gather(np.asarray(labels, dtype), which), as_float32(transformed(scores, post_transform))
    which = ops.reduce.arg_max(scores, axis=1, keepdims=0)
    return ops.index.gather(np.asarray(labels, dtype), which), as_float32(transformed(scores, post_transform))
