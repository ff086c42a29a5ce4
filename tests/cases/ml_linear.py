"""Rows of graphir.ops.ml_linear."""

import numpy as np

from cases import array, case

X = array(5, 2)
TWO = {"coefficients": (0.5, 0.25, -0.5, -0.25), "intercepts": (0.1, 0.3)}
THREE = {"coefficients": (0.5, 0.25, -0.5, -0.25, 0.0, 0.5), "intercepts": (0.1, 0.3, 0.2)}
ONE = {"coefficients": (0.5, 0.25), "intercepts": (0.1,)}
SMALL = array(5, 2, low=0, high=0.3)  # whose scores are probabilities, as PROBIT wants them


def halves(x):
    """Zeros everywhere: scores that SOFTMAX_ZERO keeps, but whose sum is 0."""
    return np.full((3, 2), 0.5, "float32")


def one_label(x):
    scores = x @ np.array([0.5, 0.25], "float32") + np.float32(0.1)
    return np.where(scores >= 0, "x", ""), scores[:, None]


CASES = {
    "LinearRegressor": [
        case(X, **ONE),
        case(X, **TWO, targets=2),
        case(array(5, 2, dtype="float64"), **ONE),
        case(array(2), **ONE, referee="ort"),
        case(X, coefficients=(0.5, 0.25), referee="ort"),
        case(array(3, 2, dtype="int64"), **ONE, referee=lambda x: (x @ [0.5, 0.25] + 0.1)[:, None].astype("float32")),
        *(case(SMALL, **TWO, targets=2, post_transform=t, referee="ort") for t in ("SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")),
        case(X, **ONE, post_transform="LOGISTIC", referee=lambda x: 1 / (1 + np.exp(-(x @ np.array([[0.5], [0.25]], "float32") + 0.1)))),
        case(np.zeros((3, 2), "float32"), coefficients=(1.0, 1.0, 1.0, 1.0), targets=2, post_transform="SOFTMAX_ZERO", referee=halves),
        case(array(0, 2), **ONE),
    ],
    "LinearClassifier": [
        case(X, **THREE, classlabels_ints=(10, 20, 30)),
        case(X, **THREE, classlabels_strings=("a", "b", "c"), multi_class=1),
        *(case(SMALL, **TWO, classlabels_ints=(10, 20), post_transform=t) for t in ("SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")),
        case(X, **ONE, classlabels_ints=(10, 20)),
        case(X, **ONE, classlabels_strings=("a", "b"), post_transform="LOGISTIC"),
        case(X, **ONE, classlabels_ints=(3,)),
        case(X, **ONE, classlabels_strings=("x",), referee=one_label),
        case(array(4, 2, dtype="float64"), **TWO, classlabels_ints=(1, 0)),
        case(array(4, 2, dtype="int32"), **TWO, classlabels_ints=(1, 0), referee="ort"),
        case(array(2), **TWO, classlabels_ints=(1, 0), referee="ort"),
        case(array(0, 2), **TWO, classlabels_ints=(1, 0)),
    ],
}  # fmt: skip
