"""Kernels of graphir.ops.ml_svm: all rows at once, in float64."""

from itertools import combinations
from typing import Any

from graphir.ops.ml_svm import duel_votes, duel_weights

from ..kernel import Site, prepared
from ._scores import label_array, transformed


@prepared
def svm_classifier(site: Site):
    xp, a = site.xp, site.attributes
    labels = label_array(xp, a["classlabels_ints"], a["classlabels_strings"])
    classes, per_class, coefficients = len(labels), a["vectors_per_class"] or (), xp.asarray(a["coefficients"], dtype="float64")
    rho, a_b = xp.asarray(a["rho"] or (0.0,), dtype="float64"), [xp.asarray(a[k] or (), dtype="float64") for k in ("prob_a", "prob_b")]
    count = sum(per_class)
    vectors = xp.asarray(a["support_vectors"] or (), dtype="float64").reshape(max(count, 1), -1)
    weights = xp.asarray(duel_weights(a["coefficients"], per_class) if count else 0)
    wins, start = map(xp.asarray, duel_votes(classes) if count else (0, 0))

    def run(x):
        x = xp.atleast_2d(x).astype("float64")
        if not count:
            votes = scores = x @ coefficients.reshape(classes, -1).T + rho[0]
        else:
            scores = kernel_values(xp, x, vectors, a["kernel_type"], a["kernel_params"]) @ weights.T + rho
            votes = (scores > 0) @ wins + start
            if len(a_b[0]):
                scores = probabilities(xp, xp.special.expit(-(scores * a_b[0] + a_b[1])), classes)
            elif classes == 2:
                scores = xp.concatenate([-scores, scores], axis=1)
        return labels[votes.argmax(1)], transformed(xp, scores, a["post_transform"]).astype("float32")

    return run


def kernel_values(xp: Any, x: Any, vectors: Any, kernel_type: str, kernel_params: tuple[float, ...] | None) -> Any:
    """The kernel of each row of x with each support vector."""
    gamma, coef0, degree = (*(kernel_params or ()), 0.0, 0.0, 0.0)[:3]
    dots = x @ vectors.T
    if kernel_type == "RBF":
        squares = xp.square(x).sum(1, keepdims=True) + xp.square(vectors).sum(1)
        return xp.exp(-gamma * xp.maximum(squares - 2 * dots, 0))
    if kernel_type == "LINEAR":
        return dots
    inner = gamma * dots + coef0
    return inner ** int(degree) if kernel_type == "POLY" else xp.tanh(inner)


def probabilities(xp: Any, duels: Any, classes: int) -> Any:
    """The probabilities of the classes from those of the duels of two, by the second method of Wu, Lin and Weng (2004), as libsvm iterates it."""
    if not len(duels):
        return xp.zeros((0, classes))
    duels = xp.clip(duels, 1e-7, 1 - 1e-7)
    r = xp.zeros((len(duels), classes, classes))
    for n, (i, j) in enumerate(combinations(range(classes), 2)):
        r[:, i, j], r[:, j, i] = duels[:, n], 1 - duels[:, n]
    q = -r * r.swapaxes(1, 2)
    every = xp.arange(classes)
    q[:, every, every] = xp.square(r).sum(1)
    p = xp.full((len(duels), classes), 1 / classes)
    moving = xp.arange(len(duels))
    for _ in range(max(100, classes)):
        qp = xp.einsum("nij,nj->ni", q[moving], p[moving])
        pqp = (p[moving] * qp).sum(1)
        open_ = abs(qp - pqp[:, None]).max(1) >= 0.005 / classes
        moving, qp, pqp = moving[open_], qp[open_], pqp[open_]
        if not len(moving):
            break
        for t in range(classes):
            qt = q[moving, t]
            step = (pqp - qp[:, t]) / qt[:, t]
            p[moving, t] += step
            pqp = (pqp + step * (step * qt[:, t] + 2 * qp[:, t])) / (1 + step) ** 2
            p[moving] /= (1 + step)[:, None]
            qp = (qp + step[:, None] * qt) / (1 + step)[:, None]
    return p
