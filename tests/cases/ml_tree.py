"""Rows of graphir.ops.ml_tree."""

from typing import Any

import numpy as np

from cases import array, case
from graphir import Tensor

COMPARE = {
    "BRANCH_LEQ": np.less_equal, "BRANCH_LT": np.less, "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater, "BRANCH_EQ": np.equal, "BRANCH_NEQ": np.not_equal,
}  # fmt: skip
FEATURES = 4
VOTE = ("ids", "nodeids", "treeids", "weights")


def forest(
    trees: int, depth: int, votes: str, targets: int, modes: tuple[str, ...] = ("BRANCH_LEQ",), per_leaf: int = 1, low: float = -1
) -> dict[str, Any]:
    """Random trees, some branches of which end early, as the attributes of a classifier or regressor; a leaf votes for `per_leaf` targets."""
    rng = np.random.default_rng(0)
    names = ["nodeids", "treeids", "featureids", "modes", "truenodeids", "falsenodeids", "values", "missing_value_tracks_true"]
    a: dict[str, list] = {f"nodes_{k}": [] for k in names}
    a |= {f"{votes}_{k}": [] for k in VOTE}
    for tree in range(trees):
        waiting, number = [(0, 0)], 1
        while waiting:
            node, level = waiting.pop(0)
            leaf = level == depth or (level > 0 and rng.random() < 0.2)
            children = (0, 0) if leaf else (number, number + 1)
            row = (node, tree, int(rng.integers(FEATURES)), "LEAF" if leaf else str(rng.choice(modes)), *children,
                   float(np.float32(rng.integers(-2, 3) / 2)), int(rng.integers(2)))  # fmt: skip
            for column, x in zip(a, row):
                a[column].append(x)
            if leaf:
                for target in rng.permutation(targets)[:per_leaf]:
                    for k, x in zip(VOTE, (int(target), node, tree, float(np.float32(rng.uniform(low, 1))))):
                        a[f"{votes}_{k}"].append(x)
            else:
                waiting += [(c, level + 1) for c in children]
                number += 2
    return {k: tuple(x) for k, x in a.items()}


def walked(x: np.ndarray, a: dict[str, Any], votes: str, targets: int, how: str = "SUM") -> np.ndarray:
    """What the trees vote for each row: one row and one tree at a time."""
    index = {name: i for i, name in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"]))}
    made = []
    for row in x:
        given: list[list[float]] = [[] for _ in range(targets)]
        for tree in dict.fromkeys(a["nodes_treeids"]):
            at = index[tree, 0]
            while (mode := a["nodes_modes"][at]) != "LEAF":
                value = row[a["nodes_featureids"][at]]
                go = a["nodes_missing_value_tracks_true"][at] if np.isnan(value) else COMPARE[mode](value, a["nodes_values"][at])
                at = index[tree, a["nodes_truenodeids" if go else "nodes_falsenodeids"][at]]
            for target, node, t, weight in zip(*(a[f"{votes}_{k}"] for k in VOTE)):
                if (t, node) == (tree, a["nodes_nodeids"][at]):
                    given[target].append(weight)
        trees = len(set(a["nodes_treeids"]))
        made.append([{"SUM": sum(w), "AVERAGE": sum(w) / trees, "MIN": min(w, default=0), "MAX": max(w, default=0)}[how] for w in given])
    return np.array(made, "float32").reshape(len(x), targets)


def values(rows: int, missing: bool = False) -> Any:
    """Numbers that often lie on a split; some of them may be missing."""

    def make(rng: np.random.Generator) -> np.ndarray:
        x = np.asarray(rng.integers(-4, 5, (rows, FEATURES)) / 2, "float32")
        return np.where(rng.random(x.shape) < 0.2, np.float32("nan"), x) if missing else x

    return make


EVERY = tuple(COMPARE)
MANY = forest(6, 5, "target", 3, EVERY, per_leaf=2)
ONE = forest(4, 4, "target", 1)
CLASSES = forest(6, 4, "class", 3, per_leaf=3, low=0)
RISING = forest(6, 4, "class", 1, low=0)  # votes for one class, all positive
MIXED = forest(6, 4, "class", 1)
AS_TENSORS: dict[str, Any] = {k: Tensor.of(np.asarray(ONE[k])) for k in ("nodes_values", "target_weights")}
DOUBLE: dict[str, Any] = {k: v for k, v in ONE.items() if k not in AS_TENSORS} | {f"{k}_as_tensor": x for k, x in AS_TENSORS.items()}


def regressed(a: dict[str, Any], targets: int, how: str = "SUM", base: Any = 0.0) -> Any:
    return lambda x: walked(x, a, "target", targets, how) + np.float32(base)


def chosen(labels: tuple[Any, ...], base: Any = 0.0) -> Any:
    """Of several classes: the label with most votes, and the votes."""

    def referee(x: np.ndarray) -> tuple[Any, Any]:
        scores = walked(x, CLASSES, "class", len(labels)) + np.float32(base)
        return np.array(labels, object if isinstance(labels[0], str) else "int64")[scores.argmax(1)], scores

    return referee


# TreeEnsemble: two trees, one of which is a leaf; the other asks a feature, and whether another is one of a set.
SETS = {
    "nodes_featureids": (0, 2, 0), "nodes_modes": Tensor.of(np.array([0, 6, 0], "uint8")), "nodes_truenodeids": (1, 0, 2), "nodes_falsenodeids": (3, 1, 2),
    "nodes_trueleafs": (0, 1, 1), "nodes_falseleafs": (1, 1, 1), "tree_roots": (0, 2), "leaf_targetids": (0, 1, 1, 0), "n_targets": 2,
}  # fmt: skip


def sets(dtype: str = "float32", **more: Any) -> dict[str, Any]:
    tensors = {"nodes_splits": [0.25, 0, 0], "leaf_weights": [5.5, 10.0, 0.5, -3.0], "membership_values": [0.5, 1.0, np.nan]}
    return {**SETS, **{k: Tensor.of(np.array(x, dtype)) for k, x in tensors.items()}, **more}


def by_hand(how: str, dtype: str = "float32") -> Any:
    """What `sets` votes."""

    def referee(x: np.ndarray) -> np.ndarray:
        first = np.where(x[:, 0] <= 0.25, np.where(np.isin(x[:, 2], [0.5, 1.0]), 0, 1), 2)
        votes = np.array([[5.5, 0], [0, 10.0], [-3.0, 0]])[first]
        there = np.array([[1, 0], [0, 1], [1, 0]])[first] > 0
        leaf = np.array([0, 0.5])
        joined = {"SUM": votes + leaf, "AVERAGE": (votes + leaf) / 2, "MIN": np.where(there, np.minimum(votes, [9, 0.5]), leaf),
                  "MAX": np.where(there, np.maximum(votes, [-9, 0.5]), leaf)}  # fmt: skip
        return joined[how].astype(dtype)

    return referee


CASES = {
    "TreeEnsemble": [
        case(values(6), **sets()),
        case(values(6), **sets(aggregate_function=0)),
        case(values(9), **sets(aggregate_function=2), referee=by_hand("MIN")),
        case(values(9), **sets(aggregate_function=3), referee=by_hand("MAX")),
        case(values(6), **sets(post_transform=1), referee=lambda x: (e := np.exp(by_hand("SUM")(x))) / e.sum(1, keepdims=True)),
        case(array(6, 4, dtype="float64"), **sets("float64"), referee=by_hand("SUM", "float64")),
        case(array(6, 4, dtype="float16"), **sets("float16"), referee=by_hand("SUM", "float16"), tolerance=1e-3),
        case(np.array([[np.nan, 0, np.nan, 0]] * 2, "float32"), **sets(nodes_missing_value_tracks_true=(1, 1, 0)), referee=lambda x: np.array([[5.5, 0.5]] * 2)),
        case(np.array([[np.nan, 0, np.nan, 0]] * 2, "float32"), **sets(), referee=lambda x: np.array([[-3.0, 0.5]] * 2)),
        case(values(0), **sets(), referee=lambda x: np.empty((0, 2))),
    ],
    "TreeEnsembleRegressor": [
        case(values(20), **ONE, n_targets=1),
        case(values(20), **ONE, n_targets=1, referee="ort"),
        *(case(values(30, missing=True), **MANY, n_targets=3, aggregate_function=how, referee=regressed(MANY, 3, how)) for how in ("SUM", "AVERAGE", "MIN", "MAX")),
        case(values(20), **MANY, n_targets=3, base_values=(1.0, 2.0, 3.0)),
        case(values(20), **MANY, n_targets=3, post_transform="SOFTMAX", referee="ort"),
        case(array(20, 4, dtype="float64"), n_targets=1, **DOUBLE, referee="ort"),
        case(array(20, 4, dtype="int64"), **ONE, n_targets=1, referee=regressed(ONE, 1)),
        case(values(0), **ONE, n_targets=1, referee=regressed(ONE, 1)),
    ],
    "TreeEnsembleClassifier": [
        case(values(20), **CLASSES, classlabels_int64s=(10, 20, 30)),
        case(values(20, missing=True), **CLASSES, classlabels_strings=("a", "b", "c"), referee=chosen(("a", "b", "c"))),
        case(values(20), **CLASSES, classlabels_int64s=(10, 20, 30), base_values=(0.1, -3.0, 2.0), referee=chosen((10, 20, 30), [0.1, -3, 2])),
        case(values(20), **CLASSES, classlabels_int64s=(10, 20, 30), post_transform="SOFTMAX", referee="ort"),
        case(values(20), **RISING, classlabels_int64s=(10, 20), referee="ort"),
        case(values(20), **RISING, classlabels_strings=("no", "yes"), post_transform="LOGISTIC", referee="ort"),
        case(values(20), **MIXED, classlabels_int64s=(10, 20), referee="ort"),
        case(values(20), **MIXED, classlabels_int64s=(10, 20), post_transform="LOGISTIC", referee="ort"),
        case(values(20), **MIXED, classlabels_int64s=(1,), referee="ort"),
        case(array(20, 4, dtype="int64"), **RISING, classlabels_int64s=(0, 1), referee="ort"),
        case(values(0), **CLASSES, classlabels_int64s=(10, 20, 30), referee=chosen((10, 20, 30))),
    ],
}  # fmt: skip
