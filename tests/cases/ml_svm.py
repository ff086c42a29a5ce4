"""Rows of graphir.ops.ml_svm."""

import numpy as np

from cases import array, case

RNG = np.random.default_rng(7)
X = array(5, 2)


def numbers(count: int) -> tuple[float, ...]:
    return tuple(RNG.standard_normal(count).tolist())


KERNELS = [
    {"kernel_type": "LINEAR", "kernel_params": (0.0, 0.0, 0.0)}, {"kernel_type": "RBF", "kernel_params": (0.3, 0.0, 0.0)},
    {"kernel_type": "POLY", "kernel_params": (0.3, 0.5, 3.0)}, {"kernel_type": "SIGMOID", "kernel_params": (0.3, -0.5, 0.0)},
]  # fmt: skip
RBF = KERNELS[1]
VECTORS = {"coefficients": numbers(3), "support_vectors": numbers(6), "rho": (0.1,)}
DUEL = {**VECTORS, "vectors_per_class": (2, 1), "classlabels_ints": (10, 20)}
DUELS = {
    "coefficients": numbers(8), "support_vectors": numbers(8), "vectors_per_class": (2, 1, 1), "rho": (0.1, 0.2, -0.1), "classlabels_strings": ("a", "b", "c"),
}  # fmt: skip
PLANES = {"coefficients": numbers(6), "rho": (0.1, 0.2, 0.3), **KERNELS[0]}


def plane(x):
    return (x @ np.array([0.5, -0.25]) + 0.1)[:, None].astype("float32")


CASES = {
    "SVMRegressor": [
        *(case(X, **VECTORS, n_supports=3, **kernel) for kernel in KERNELS),
        case(X, **VECTORS, n_supports=3, **RBF, one_class=1),
        case(X, coefficients=(0.5, -0.25), rho=(0.1,)),
        case(X, coefficients=(0.5, -0.25), rho=(0.1,), one_class=1),
        case(array(3, 2, dtype="int64"), coefficients=(0.5, -0.25), rho=(0.1,), referee=plane),
        case(array(3, 2, dtype="float64"), coefficients=(0.5, -0.25), rho=(0.1,)),
        case(array(2), coefficients=(0.5, -0.25), rho=(0.1,), referee=lambda x: plane(x[None])),
        case(X, coefficients=(0.5, -0.25), rho=(0.1,), post_transform="LOGISTIC", referee=lambda x: 1 / (1 + np.exp(-plane(x)))),
        case(1e3 + array(2, 2)(np.random.default_rng(0)), **VECTORS, n_supports=3, **RBF),
        case(array(0, 2), coefficients=(0.5, -0.25), rho=(0.1,)),
    ],
    "SVMClassifier": [
        *(case(X, **DUEL, **kernel, referee="ort") for kernel in KERNELS),
        case(X, **{**DUEL, "classlabels_ints": None, "classlabels_strings": ("x", "y")}, **RBF, referee="ort"),
        case(X, **DUEL, **RBF, post_transform="LOGISTIC", referee="ort"),
        case(X, **DUEL, **RBF, prob_a=(-1.5,), prob_b=(0.1,), referee="ort", tolerance=2e-3),
        case(X, **DUELS, **RBF, referee="ort"),
        case(X, **DUELS, **KERNELS[2], post_transform="SOFTMAX", referee="ort"),
        case(X, **DUELS, **KERNELS[2], prob_a=(-1.5, -1.0, -0.7), prob_b=(0.1, 0.2, 0.0), referee="ort"),
        case(X, **PLANES, classlabels_ints=(10, 20, 30)),
        case(X, **PLANES, classlabels_ints=(10, 20, 30), post_transform="LOGISTIC"),
        case(array(4, 2, dtype="float64"), **DUEL, **RBF, referee="ort"),
        case(array(4, 2, dtype="int32"), **DUEL, **KERNELS[0], referee="ort"),
        case(array(2), **DUELS, **RBF, referee="ort"),
    ],
}
