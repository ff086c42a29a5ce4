"""Decision trees as arrays: all rows go down all trees at once, a level at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

LEQ, LT, GTE, GT, EQ, NEQ, MEMBER = range(7)
COMPARE = {LEQ: "less_equal", LT: "less", GTE: "greater_equal", GT: "greater", EQ: "equal", NEQ: "not_equal"}
CHUNK = 1 << 20  # how many votes are looked at together


class Members(NamedTuple):
    """Sets of numbers: the numbers of all of them, in order; (set * numbers + place of a number) of each member, in order; the set of each node."""

    numbers: Any
    keys: Any
    set_of: Any

    def holds(self, xp: Any, node: Any, x: Any) -> Any:
        """Whether x is in the set of its node."""
        place = xp.minimum(xp.searchsorted(self.numbers, x), len(self.numbers) - 1)
        key = self.set_of[node] * len(self.numbers) + place
        found = self.keys[xp.minimum(xp.searchsorted(self.keys, key), len(self.keys) - 1)] == key
        return found & (self.numbers[place] == x)


class Forest(NamedTuple):
    """Nodes by number; a child that is a leaf is ~leaf, and so is a root. modes: those that occur. tracks: where to go with NaN."""

    xp: Any
    feature: Any
    split: Any
    mode: Any
    yes: Any
    no: Any
    tracks: Any
    roots: Any
    modes: Sequence[int]
    members: Members | None = None

    def leaves(self, x: Any) -> Any:
        """The leaf that each row of x reaches in each tree, (rows, trees)."""
        xp = self.xp
        at = xp.tile(self.roots, len(x))
        row = xp.repeat(xp.arange(len(x)), len(self.roots))
        nans = x.dtype.kind == "f" and bool(xp.isnan(x).any())
        active = xp.flatnonzero(at >= 0)
        while active.size:
            node = at[active]
            value = x[row[active], self.feature[node]]
            go = self._compared(node, value)
            if nans:
                go = xp.where(xp.isnan(value), self.tracks[node], go)
            node = xp.where(go, self.yes[node], self.no[node])
            at[active] = node
            active = active[node >= 0]
        return ~at.reshape(len(x), len(self.roots))

    def _compared(self, node: Any, value: Any) -> Any:
        if len(self.modes) == 1:
            return self._by(self.modes[0], node, value)
        mode, go = self.mode[node], self.xp.zeros(node.shape, dtype=bool)
        for m in self.modes:
            here = mode == m
            go[here] = self._by(m, node[here], value[here])
        return go

    def _by(self, mode: int, node: Any, value: Any) -> Any:
        if mode == MEMBER:
            assert self.members is not None
            return self.members.holds(self.xp, node, value)
        return getattr(self.xp, COMPARE[mode])(value, self.split[node])


class Votes(NamedTuple):
    """The votes of the leaves, those of each leaf one behind the other: the first one of each leaf and how many there are, then for each its target and weight."""

    first: Any
    count: Any
    target: Any
    weight: Any


def gathered(xp: Any, leaf: Any, votes: Votes, targets: int, aggregate: str) -> Any:
    """What the leaves in each row of (rows, trees) vote, for each target: (rows, targets) float64; 0 where none of them votes for it."""
    count = votes.count[leaf]
    row = xp.repeat(xp.arange(len(leaf)), count.sum(1))
    count = count.reshape(-1)
    before = xp.cumsum(count) - count
    vote = xp.arange(len(row)) + xp.repeat(votes.first[leaf].reshape(-1) - before, count)
    place, weight = row * targets + votes.target[vote], votes.weight[vote]
    size = len(leaf) * targets
    if aggregate in ("SUM", "AVERAGE"):
        made = xp.bincount(place, weight, minlength=size) / (leaf.shape[1] if aggregate == "AVERAGE" and leaf.shape[1] else 1)
    else:
        made = xp.full(size, xp.inf if aggregate == "MIN" else -xp.inf)
        (xp.minimum if aggregate == "MIN" else xp.maximum).at(made, place, weight)
        made[xp.bincount(place, minlength=size) == 0] = 0
    return made.reshape(len(leaf), targets)


def scores(forest: Forest, votes: Votes, x: Any, targets: int, aggregate: str = "SUM") -> Any:
    """What the forest says of each row of x, for each target: (rows, targets) float64."""
    xp = forest.xp
    most = int(votes.count.max()) if len(votes.count) else 1
    step = max(1, CHUNK // max(1, len(forest.roots) * max(most, 1)))
    parts = [gathered(xp, forest.leaves(x[i : i + step]), votes, targets, aggregate) for i in range(0, len(x), step)]
    return xp.concatenate(parts) if parts else xp.zeros((0, targets))


def check_forest(xp: Any, yes: Any, no: Any, leaves: int) -> None:
    """Raises ValueError where a child does not exist, or where a way down the trees does not end."""
    nodes = len(yes)
    for child in (yes, no):
        wrong = (child >= nodes) | (child < -leaves)
        if bool(wrong.any()):
            raise ValueError(f"a node's child is {int(child[wrong][0])}; there are {nodes} nodes and {leaves} leaves")
    both = xp.concatenate([yes, no])
    parents = xp.bincount(both[both >= 0], minlength=nodes)
    ready, done = xp.flatnonzero(parents == 0), 0
    while ready.size:
        done += ready.size
        both = xp.concatenate([yes[ready], no[ready]])
        both = both[both >= 0]
        xp.subtract.at(parents, both, 1)
        ready = xp.unique(both[parents[both] == 0])
    if done < nodes:
        raise ValueError("the nodes of a tree lead back to themselves; expected every way to end in a leaf")


def sets_of(values: Sequence[float]) -> Iterator[list[float]]:
    """The sets in a list in which each ends with a NaN."""
    found: list[float] = []
    for x in values:
        if x != x:
            yield found
            found = []
        else:
            found.append(x)
    if found:
        yield found
