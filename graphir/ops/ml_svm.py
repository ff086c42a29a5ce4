"""Support vector machines of ai.onnx.ml. Rows of X are examples; a vector is one example."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np

import graphir.ops as ops

from ..dtypes import FLOAT32, FLOAT64, INT64, STRING
from ..ir import Value
from ..types import TensorType
from ._gradient import GradientError
from ._op import T1, RuleError, T, op
from .ml_linear import (
    DOMAIN,
    NUMBERS,
    TRANSFORMS,
    as_float32,
    check_rows,
    examples,
    label_type,
    labels_of,
    one_of,
    rows_of,
    transformed,
    weighted,
)  # fmt: skip

DUELS = 1 << 24  # numbers that the weights of all duels of two classes, or their votes, may hold in a graph
KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
_svm = partial(op, since=1, domain=DOMAIN)


def _kernel_values(x: Value, vectors: np.ndarray, kernel_type: str, kernel_params: Sequence[float] | None) -> Value:
    """The kernel of each row of X with each support vector, in float64, as their libraries have it."""
    e = ops.elementwise
    gamma, coef0, degree = (*(kernel_params or ()), 0.0, 0.0, 0.0)[:3]
    dots = ops.math.matmul(x, np.ascontiguousarray(vectors.T))
    if kernel_type == "RBF":
        squares = e.add(ops.reduce.reduce_sum_square(x, [1], keepdims=1), np.square(vectors).sum(1))
        return e.exp(e.mul(ops.activation.relu(e.sub(squares, e.mul(dots, 2.0))), -gamma))
    if kernel_type == "LINEAR":
        return dots
    inner = e.add(e.mul(dots, gamma), coef0)
    return e.pow_(inner, np.asarray(float(int(degree)))) if kernel_type == "POLY" else e.tanh(inner)


def _check_vectors(support_vectors: Sequence[float] | None, count: int) -> int:
    """How many features the support vectors have."""
    if not support_vectors or len(support_vectors) % count:
        raise RuleError(f"support_vectors has {len(support_vectors or ())} numbers; expected as many for each of {count} vectors")
    return len(support_vectors) // count


def _check_kernel(kernel_type: str, kernel_params: Sequence[float] | None) -> None:
    one_of(kernel_type, KERNELS, "kernel_type")
    if kernel_params and len(kernel_params) < 3:
        raise RuleError(f"kernel_params has {len(kernel_params)} numbers; expected gamma, coef0 and degree")


@_svm("SVMRegressor", T=NUMBERS)
def svm_regressor(
    x: T, *, coefficients: tuple[float, ...] | None = None, kernel_params: tuple[float, ...] | None = None, kernel_type: str = "LINEAR",
    n_supports: int = 0, one_class: int = 0, post_transform: str = "NONE", rho: tuple[float, ...] | None = None,
    support_vectors: tuple[float, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The kernels of X with the support vectors, times the coefficients, plus rho; float32 [N, 1]. Without vectors it is X times the coefficients.

    kernel_params: gamma, coef0 and degree. one_class: 1 where that is positive, else -1.
    """
    one_of(post_transform, TRANSFORMS)
    _check_kernel(kernel_type, kernel_params)
    if not coefficients or (n_supports > 0 and len(coefficients) != n_supports):
        raise RuleError(f"coefficients has {len(coefficients or ())} numbers; expected {n_supports or 'one for each feature'}")
    return TensorType(FLOAT32, (examples(x, _check_vectors(support_vectors, n_supports) if n_supports > 0 else len(coefficients)), 1))


@svm_regressor.decompose
def _svm_regressor(x, *, coefficients, kernel_params, kernel_type, n_supports, one_class, post_transform, rho, support_vectors):
    x = rows_of(x, FLOAT64)
    if n_supports > 0:
        x = _kernel_values(x, np.reshape(np.asarray(support_vectors, FLOAT64), (n_supports, -1)), kernel_type, kernel_params)
    y = weighted(x, coefficients, rho[:1] if rho else None, 1)
    if one_class:
        positive = ops.elementwise.cast(ops.logic.greater(y, 0.0), to="float64")
        y = ops.elementwise.sub(ops.elementwise.mul(positive, 2.0), 1.0)
    return as_float32(transformed(y, post_transform))


@_svm("SVMClassifier", T1=NUMBERS)
def svm_classifier(
    x: T1, *, classlabels_ints: tuple[int, ...] | None = None, classlabels_strings: tuple[str, ...] | None = None,
    coefficients: tuple[float, ...] | None = None, kernel_params: tuple[float, ...] | None = None, kernel_type: str = "LINEAR",
    post_transform: str = "NONE", prob_a: tuple[float, ...] | None = None, prob_b: tuple[float, ...] | None = None,
    rho: tuple[float, ...] | None = None, support_vectors: tuple[float, ...] | None = None, vectors_per_class: tuple[int, ...] | None = None,
) -> tuple[TensorType, TensorType]:  # fmt: skip
    """The label that most duels of two classes choose, and the scores: of the duels, or with prob_a and prob_b the probabilities of the classes.

    Of two classes the score is given twice, negated and as it is. Without vectors_per_class each class has coefficients for the features.
    """
    one_of(post_transform, TRANSFORMS)
    _check_kernel(kernel_type, kernel_params)
    labels = labels_of(classlabels_ints, classlabels_strings, required=False)
    classes, vectors = max(len(labels), 1), sum(vectors_per_class or ())
    duels = classes * (classes - 1) // 2
    given = coefficients or ()
    if not vectors:
        count = examples(x, check_rows(given, None, classes))
        return label_type(count, classlabels_strings), TensorType(FLOAT32, (count, classes))
    if len(vectors_per_class or ()) != classes or classes < 2 or min(vectors_per_class or ()) < 0:
        raise RuleError(
            f"vectors_per_class is {list(vectors_per_class or ())}; expected a count for each of {classes} classes, of which there are two or more"
        )
    if len(given) != (classes - 1) * vectors or len(rho or ()) != duels:
        raise RuleError(
            f"there are {len(given)} coefficients and {len(rho or ())} rho; expected {classes - 1} for each of {vectors} vectors, and {duels}, one for each two classes"
        )
    if len(prob_a or ()) != len(prob_b or ()) or (prob_a and len(prob_a) != duels):
        raise RuleError(f"there are {len(prob_a or ())} prob_a and {len(prob_b or ())} prob_b; expected {duels} of each, or none")
    count = examples(x, _check_vectors(support_vectors, vectors))
    return label_type(count, classlabels_strings), TensorType(FLOAT32, (count, classes if prob_a or classes == 2 else duels))


def duel_weights(coefficients: Sequence[float], vectors_per_class: Sequence[int]) -> np.ndarray:
    """What each duel of two classes, 0 and 1, 0 and 2, ..., 1 and 2, ..., gives the support vectors: (duels, vectors).

    coefficients: (classes - 1, vectors); the vectors of a class have in row j those for its duel with the j-th of the other classes.
    """
    ends = np.cumsum((0, *vectors_per_class))
    rows = np.reshape(np.asarray(coefficients, FLOAT64), (-1, ends[-1]))
    pairs = list(combinations(range(len(vectors_per_class)), 2))
    weights = np.zeros((len(pairs), ends[-1]))
    for weight, (i, j) in zip(weights, pairs):
        weight[ends[i] : ends[i + 1]] = rows[j - 1, ends[i] : ends[i + 1]]
        weight[ends[j] : ends[j + 1]] = rows[i, ends[j] : ends[j + 1]]
    return weights


def duel_votes(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """What a duel that its first class wins adds to the votes of each class: (duels, classes); and the votes where the second class wins all: (classes,)."""
    pairs = np.array(list(combinations(range(classes), 2)))
    first, second = np.eye(classes)[pairs[:, 0]], np.eye(classes)[pairs[:, 1]]
    return first - second, second.sum(0)


@svm_classifier.decompose
def _svm_classifier(
    x, *, classlabels_ints, classlabels_strings, coefficients, kernel_params, kernel_type, post_transform, prob_a, prob_b, rho,
    support_vectors, vectors_per_class,
):  # fmt: skip
    e = ops.elementwise
    labels = classlabels_strings or classlabels_ints or (0,)
    x = rows_of(x, FLOAT64)
    if not sum(vectors_per_class or ()):
        votes = scores = weighted(x, coefficients, [(rho or (0.0,))[0]] * len(labels), len(labels))
    else:
        duels, widest = len(rho), max(len(labels), sum(vectors_per_class))
        if duels * widest > DUELS:
            raise GradientError(f"{duels:,} duels of classes, each of {widest:,} numbers, are more than a graph is to hold")
        vectors = np.reshape(np.asarray(support_vectors, FLOAT64), (sum(vectors_per_class), -1))
        kernels = _kernel_values(x, vectors, kernel_type, kernel_params)
        scores = ops.math.gemm(kernels, duel_weights(coefficients, vectors_per_class), np.asarray(rho, FLOAT64), transB=1)
        wins, start = duel_votes(len(labels))
        votes = ops.math.gemm(e.cast(ops.logic.greater(scores, 0.0), to="float64"), wins, start)
        if prob_a:
            scores = _probabilities(scores, len(labels), prob_a[0], prob_b[0])
        elif len(labels) == 2:
            scores = ops.shape.concat(e.neg(scores), scores, axis=1)
    which = ops.reduce.arg_max(votes, axis=1, keepdims=0)
    return ops.index.gather(np.asarray(labels, STRING if classlabels_strings else INT64), which), as_float32(
        transformed(scores, post_transform)
    )


def _probabilities(scores: Value, classes: int, a: float, b: float) -> Value:
    """The probabilities of two classes. Raises GradientError for more: only kernels compute them."""
    if classes > 2:
        raise GradientError(
            "the probabilities of more than two classes are where an iteration ends, for which SVMClassifier has no gradient rule"
        )
    e = ops.elementwise
    first = ops.activation.sigmoid(e.neg(e.add(e.mul(scores, a), b)))
    return ops.shape.concat(first, e.sub(1.0, first), axis=1)
