"""Ensembles of decision trees of ai.onnx.ml. Rows of X are examples; a vector is one example.

TreeEnsemble took the place of the two others in version 5, which have what it has not: several votes of a leaf, and labels. They stay as they are.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..dtypes import FLOAT32
from ..ir import Value
from ..tensors import Tensor
from ..types import TensorType
from ._gradient import declare_none
from ._op import T1, RuleError, T, op
from ._types import IEEE
from .ml_linear import DOMAIN, NUMBERS, TRANSFORMS, examples, label_type, labels_of, one_of

Ints = tuple[int, ...]
Floats = tuple[float, ...]
Strings = tuple[str, ...]
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
_tree = partial(op, since=5, domain=DOMAIN)


def _check_lengths(*lists: tuple[str, Any]) -> None:
    """Raises RuleError where lists that run in parallel are not as long as the first."""
    sizes = {name: x.elements if isinstance(x, Tensor) else len(x) for name, x in lists if x is not None}
    first = next(iter(sizes), "")
    for name, size in sizes.items():
        if size != sizes[first]:
            raise RuleError(f"{name} has {size} entries and {first} {sizes[first]}; expected as many")


def _check_features(x: Value, features: Sequence[int]) -> None:
    """Raises RuleError where a node looks at a feature that x has not."""
    size = x.shape[-1]
    most = max(features, default=-1)
    if min(features, default=0) < 0 or (isinstance(size, int) and most >= size):
        raise RuleError(f"a node looks at feature {most if most >= 0 else min(features)}; x has {size}, from 0 on")


@_tree("TreeEnsemble", T=IEEE)
def tree_ensemble(
    x: T, *, aggregate_function: int = 1, leaf_targetids: Ints, leaf_weights: Tensor, membership_values: Tensor | None = None,
    n_targets: int | None = None, nodes_falseleafs: Ints, nodes_falsenodeids: Ints, nodes_featureids: Ints,
    nodes_hitrates: Tensor | None = None, nodes_missing_value_tracks_true: Ints | None = None, nodes_modes: Tensor, nodes_splits: Tensor,
    nodes_trueleafs: Ints, nodes_truenodeids: Ints, post_transform: int = 0, tree_roots: Ints,
) -> TensorType:  # fmt: skip
    """The weights of the leaves that each row reaches, one in each tree: for each target their AVERAGE, SUM, MIN or MAX (0 to 3), transformed.

    nodes_modes: 0 to 6, how a feature is compared with the split: <=, <, >=, >, ==, !=, one of the next membership_values up to a NaN.
    """
    count = examples(x)
    if not 0 <= aggregate_function < len(AGGREGATES) or not 0 <= post_transform < len(TRANSFORMS):
        raise RuleError(f"aggregate_function is {aggregate_function} and post_transform {post_transform}; expected 0 to 3 and 0 to 4")
    _check_lengths(
        ("nodes_featureids", nodes_featureids), ("nodes_modes", nodes_modes), ("nodes_splits", nodes_splits), ("nodes_truenodeids", nodes_truenodeids),
        ("nodes_falsenodeids", nodes_falsenodeids), ("nodes_trueleafs", nodes_trueleafs), ("nodes_falseleafs", nodes_falseleafs),
        ("nodes_missing_value_tracks_true", nodes_missing_value_tracks_true or None),
    )  # fmt: skip
    _check_lengths(("leaf_targetids", leaf_targetids), ("leaf_weights", leaf_weights))
    _check_features(x, nodes_featureids)
    return TensorType(x.dtype, (count, _targets(n_targets, leaf_targetids, "leaf_targetids")))


def _targets(given: int | None, ids: Sequence[int], name: str) -> int:
    """How many targets there are. Raises RuleError where an id is not one of them."""
    count = max(ids, default=0) + 1 if given is None else given
    if count < 1 or min(ids, default=0) < 0 or max(ids, default=0) >= count:
        raise RuleError(f"{name} go from {min(ids, default=0)} to {max(ids, default=0)}; expected 0 to {count - 1}")
    return count


def _check_nodes(x: Value, a: dict[str, Any], votes: str) -> None:
    """Raises RuleError where the lists of a classifier or regressor do not go together."""
    nodes = ("nodes_nodeids", "nodes_treeids", "nodes_modes", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")
    if any(a[name] is None for name in nodes):
        raise RuleError(f"{next(name for name in nodes if a[name] is None)} is left out")
    values = a["nodes_values_as_tensor"] if a["nodes_values_as_tensor"] is not None else a["nodes_values"]
    tracks = a["nodes_missing_value_tracks_true"] or None
    _check_lengths(*((name, a[name]) for name in nodes), ("nodes_values", values or ()), ("nodes_missing_value_tracks_true", tracks))
    lists = [(f"{votes}_{name}", a[f"{votes}_{name}"] or ()) for name in ("ids", "nodeids", "treeids")]
    weights = a[f"{votes}_weights_as_tensor"] if a[f"{votes}_weights_as_tensor"] is not None else a[f"{votes}_weights"]
    _check_lengths(*lists, (f"{votes}_weights", weights or ()))
    wrong = set(a["nodes_modes"]) - {*MODES[:6], "LEAF"}
    if wrong:
        raise RuleError(f"a node's mode is {wrong.pop()!r}; expected one of {', '.join(MODES[:6])}, LEAF")
    _check_features(x, [f for f, mode in zip(a["nodes_featureids"], a["nodes_modes"]) if mode != "LEAF"])


@_tree("TreeEnsembleRegressor", T=NUMBERS)
def tree_ensemble_regressor(
    x: T, *, aggregate_function: str = "SUM", base_values: Floats | None = None, base_values_as_tensor: Tensor | None = None,
    n_targets: int | None = None, nodes_falsenodeids: Ints | None = None, nodes_featureids: Ints | None = None,
    nodes_hitrates: Floats | None = None, nodes_hitrates_as_tensor: Tensor | None = None,
    nodes_missing_value_tracks_true: Ints | None = None, nodes_modes: Strings | None = None, nodes_nodeids: Ints | None = None,
    nodes_treeids: Ints | None = None, nodes_truenodeids: Ints | None = None, nodes_values: Floats | None = None,
    nodes_values_as_tensor: Tensor | None = None, post_transform: str = "NONE", target_ids: Ints | None = None,
    target_nodeids: Ints | None = None, target_treeids: Ints | None = None, target_weights: Floats | None = None,
    target_weights_as_tensor: Tensor | None = None,
) -> TensorType:  # fmt: skip
    """The votes of the leaves that each row reaches, one in each tree: for each target their AVERAGE, SUM, MIN or MAX, plus its base value, transformed."""
    count = examples(x)
    one_of(post_transform, TRANSFORMS)
    one_of(aggregate_function, AGGREGATES, "aggregate_function")
    _check_nodes(x, locals(), "target")
    return TensorType(FLOAT32, (count, _targets(n_targets, target_ids or (), "target_ids")))


@_tree("TreeEnsembleClassifier", T1=NUMBERS)
def tree_ensemble_classifier(
    x: T1, *, base_values: Floats | None = None, base_values_as_tensor: Tensor | None = None, class_ids: Ints | None = None,
    class_nodeids: Ints | None = None, class_treeids: Ints | None = None, class_weights: Floats | None = None,
    class_weights_as_tensor: Tensor | None = None, classlabels_int64s: Ints | None = None, classlabels_strings: Strings | None = None,
    nodes_falsenodeids: Ints | None = None, nodes_featureids: Ints | None = None, nodes_hitrates: Floats | None = None,
    nodes_hitrates_as_tensor: Tensor | None = None, nodes_missing_value_tracks_true: Ints | None = None, nodes_modes: Strings | None = None,
    nodes_nodeids: Ints | None = None, nodes_treeids: Ints | None = None, nodes_truenodeids: Ints | None = None,
    nodes_values: Floats | None = None, nodes_values_as_tensor: Tensor | None = None, post_transform: str = "NONE",
) -> tuple[TensorType, TensorType]:  # fmt: skip
    """The label with the highest score for each row, and the scores: for each class the sum of the votes of the leaves that the row reaches, transformed.

    Where all votes are for one of two classes, the score s is the second's. If all votes are positive, the first one's is 1 - s and 0.5 is the middle; else -s and 0.
    """
    count = examples(x)
    one_of(post_transform, TRANSFORMS)
    _check_nodes(x, locals(), "class")
    labels = labels_of(classlabels_int64s, classlabels_strings)
    classes = max(len(labels), 1)
    _targets(classes, class_ids or (), "class_ids")
    return label_type(count, classlabels_strings), TensorType(FLOAT32, (count, classes))


declare_none(tree_ensemble, tree_ensemble_regressor, tree_ensemble_classifier)  # constant between the splits
