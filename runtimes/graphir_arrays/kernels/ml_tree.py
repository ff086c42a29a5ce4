"""Kernels of graphir.ops.ml_tree."""

from typing import Any

from graphir.ops.ml_linear import TRANSFORMS
from graphir.ops.ml_tree import AGGREGATES, MODES

from ..kernel import Site, prepared
from ._forest import MEMBER, Forest, Members, Votes, check_forest, scores, sets_of
from ._scores import label_array, transformed


@prepared
def tree_ensemble(site: Site):
    xp, a = site.xp, site.attributes
    ints = {k: xp.asarray(x, dtype="int64") for k, x in a.items() if isinstance(x, tuple)}
    leaves, nodes = len(a["leaf_targetids"]), len(a["nodes_featureids"])
    yes = xp.where(ints["nodes_trueleafs"] != 0, ~ints["nodes_truenodeids"], ints["nodes_truenodeids"])
    no = xp.where(ints["nodes_falseleafs"] != 0, ~ints["nodes_falsenodeids"], ints["nodes_falsenodeids"])
    check_forest(xp, yes, no, leaves)
    modes = xp.asarray(a["nodes_modes"].array).reshape(-1).astype("int64")
    wrong = set(modes.tolist()) - set(range(len(MODES)))
    if wrong or any(not 0 <= r < nodes for r in a["tree_roots"]):
        raise ValueError(f"nodes_modes holds {wrong}; expected 0 to 6" if wrong else f"a tree's root is none of the {nodes} nodes")
    tracks = ints.get("nodes_missing_value_tracks_true", ())
    forest = Forest(
        xp, ints["nodes_featureids"], xp.asarray(a["nodes_splits"].array).reshape(-1), modes, yes, no,
        tracks != 0 if len(tracks) else xp.zeros(nodes, dtype=bool), ints["tree_roots"], sorted(set(modes.tolist())),
        _members(xp, modes, a["membership_values"]),
    )  # fmt: skip
    weights = xp.asarray(a["leaf_weights"].array).reshape(-1).astype("float64")
    votes = Votes(xp.arange(leaves), xp.ones(leaves, dtype="int64"), ints["leaf_targetids"], weights)
    targets, aggregate, post = site.outputs[0].shape[1], AGGREGATES[a["aggregate_function"]], TRANSFORMS[a["post_transform"]]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    return lambda x: transformed(xp, scores(forest, votes, xp.atleast_2d(x), targets, aggregate), post).astype(x.dtype)


def _members(xp: Any, modes: Any, values: Any) -> Members | None:
    """The sets of the nodes whose mode is membership."""
    nodes = xp.flatnonzero(modes == MEMBER)
    if not len(nodes):
        return None
    sets = list(sets_of(values.array.reshape(-1).tolist() if values is not None else ()))
    if len(sets) != len(nodes):
        raise ValueError(
            f"membership_values holds {len(sets)} sets, each of which ends with NaN; expected {len(nodes)}, one for each such node"
        )
    numbers = sorted({x for s in sets for x in s}) or [0.0]
    place = {x: i for i, x in enumerate(numbers)}
    keys = sorted(i * len(numbers) + place[x] for i, s in enumerate(sets) for x in s) or [-1]
    set_of = xp.zeros(len(modes), dtype="int64")
    set_of[nodes] = xp.arange(len(nodes))
    return Members(xp.asarray(numbers, dtype="float64"), xp.asarray(keys, dtype="int64"), set_of)


@prepared
def tree_ensemble_regressor(site: Site):
    xp, a = site.xp, site.attributes
    forest, votes = _older(site, "target")
    targets = site.outputs[0].shape[1]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    base = _base_values(site, targets)

    def run(x):
        found = scores(forest, votes, xp.atleast_2d(x), targets, a["aggregate_function"]) + base
        return transformed(xp, found, a["post_transform"]).astype("float32")

    return run


@prepared
def tree_ensemble_classifier(site: Site):
    xp, a = site.xp, site.attributes
    forest, votes = _older(site, "class")
    labels = label_array(xp, a["classlabels_int64s"], a["classlabels_strings"])
    post, classes = a["post_transform"], len(labels)
    base = _base_values(site, classes)
    chosen = set(a["class_ids"] or ())
    positive = not len(votes.weight) or bool((votes.weight >= 0).all())

    def run(x):
        s = scores(forest, votes, xp.atleast_2d(x), classes) + base
        if classes == 1:
            rest = label_array(xp, (0,), ("",) if a["classlabels_strings"] else None)
            which = xp.concatenate([rest, labels])[(s[:, 0] > 0).astype("int64")]
        elif classes == 2 and len(chosen) == 1:  # votes for one class alone are of the second
            at = next(iter(chosen))
            which = labels[(s[:, at] > (0.5 if positive else 0)).astype("int64")]
            if at == 0:
                s = xp.stack([1 - s[:, 0] if positive and post in ("NONE", "PROBIT") else -s[:, 0], s[:, 0]], axis=1)
        else:
            which = labels[s.argmax(1)]
        return which, transformed(xp, s, post).astype("float32")

    return run


def _base_values(site: Site, count: int) -> Any:
    """What is added to the scores: a number for each class or target, or, of one number, that for the first."""
    given = site.attributes["base_values_as_tensor"]
    values = site.xp.asarray(given.array if given is not None else site.attributes["base_values"] or (0.0,), dtype="float64").reshape(-1)
    if len(values) not in (1, count):
        raise ValueError(f"there are {len(values)} base values; expected one for each of {count}")
    return values if len(values) == count else site.xp.asarray([values[0], *[0.0] * (count - 1)])


def _older(site: Site, votes: str) -> tuple[Forest, Votes]:
    """The forest of a classifier or regressor, whose nodes are named by tree and number, and of which leaves are some; and the votes of its nodes."""
    xp, a = site.xp, site.attributes
    ints = {k: xp.asarray(x or (), dtype="int64") for k, x in a.items() if k.endswith("ids")}

    def numbers(name: str) -> Any:
        given = a[f"{name}_as_tensor"]
        return xp.asarray(given.array).reshape(-1) if given is not None else xp.asarray(a[name] or (), dtype="float32")

    find = _Names(xp, ints["nodes_treeids"], ints["nodes_nodeids"])
    codes = {**{name: i for i, name in enumerate(MODES)}, "LEAF": -1}
    modes = xp.asarray([codes[m] for m in a["nodes_modes"]], dtype="int64")
    leaf, every = modes < 0, xp.arange(len(modes))

    def children(ids: Any) -> Any:
        found = xp.where(leaf, every, find(ints["nodes_treeids"], xp.where(leaf, ints["nodes_nodeids"], ids), "a node leads to"))
        return xp.where(leaf[found], ~found, found)

    yes, no = children(ints["nodes_truenodeids"]), children(ints["nodes_falsenodeids"])
    check_forest(xp, yes, no, len(modes))
    roots = xp.unique(ints["nodes_treeids"], return_index=True)[1]
    tracks = xp.asarray(a["nodes_missing_value_tracks_true"] or [0] * len(modes), dtype="int64") != 0
    used = sorted(set(modes.tolist()) - {-1}) or [0]
    roots, features = xp.where(leaf[roots], ~roots, roots), xp.where(leaf, 0, ints["nodes_featureids"])
    forest = Forest(xp, features, numbers("nodes_values"), modes, yes, no, tracks, roots, used)
    voters = find(ints[f"{votes}_treeids"], ints[f"{votes}_nodeids"], "a vote is of")
    order = xp.argsort(voters, kind="stable")
    count = xp.bincount(voters, minlength=len(modes))
    return forest, Votes(xp.cumsum(count) - count, count, ints[f"{votes}_ids"][order], numbers(f"{votes}_weights").astype("float64")[order])


class _Names:
    """Finds nodes by tree and number."""

    def __init__(self, xp: Any, trees: Any, numbers: Any):
        self.xp, self.trees, self.numbers = xp, xp.unique(trees), xp.unique(numbers)
        keys = xp.searchsorted(self.trees, trees) * len(self.numbers) + xp.searchsorted(self.numbers, numbers)
        self.order = xp.argsort(keys, kind="stable")
        self.keys = keys[self.order]
        if bool((self.keys[1:] == self.keys[:-1]).any()):
            raise ValueError("two nodes of a tree have one id; expected an id of its own for each")

    def __call__(self, trees: Any, numbers: Any, what: str) -> Any:
        """The places of these nodes. Raises ValueError, which begins with `what`, where one is not there."""
        xp = self.xp
        if not len(self.keys):
            found, there = xp.zeros(trees.shape, dtype="int64"), xp.zeros(trees.shape, dtype=bool)
        else:
            t = xp.minimum(xp.searchsorted(self.trees, trees), len(self.trees) - 1)
            n = xp.minimum(xp.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
            key = t * len(self.numbers) + n
            found = xp.minimum(xp.searchsorted(self.keys, key), len(self.keys) - 1)
            there = (self.keys[found] == key) & (self.trees[t] == trees) & (self.numbers[n] == numbers)
            found = self.order[found]
        if not bool(there.all()):
            at = int(xp.flatnonzero(~there)[0])
            raise ValueError(f"{what} node {int(numbers[at])} of tree {int(trees[at])}, which has no such node")
        return found
