"""Less memory for more work: values that the way back reads are computed a second time, rather than kept from the way there.

Checkpoints as in T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training Deep Nets with Sublinear Memory Cost" (2016), section 4 and algorithm 3; what costs most
to compute for its bytes is kept as far as the budget goes, as in P. Jain et al., "Checkmate" (2020), greedily.
"""

from collections.abc import Iterable, Mapping, Set
from itertools import accumulate
from typing import Any, NamedTuple

from ..dims import product, symbols
from ..dtypes import BITS
from ..expect import expect, expect_model
from ..ir import Graph, Node, Value
from ..model import Model, copy_node
from ..ops import Op, is_random
from ..types import TensorType, bind
from .dedupe import RECOMPUTED
from .infer import infer, type_inputs

# What runtimes make without copying: the output looks into the memory of the first input.
VIEWS = frozenset(["Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Slice"])
SEGMENTS = 64  # how many the way there is cut into at most
TRIALS = 48  # how often more is tried to be kept
_FLOPS = 16  # of a matrix product that take as long as one number from memory


class Rematerialized(NamedTuple):
    """A model that computes some values twice. before, peak: the most bytes that live at once, without and with that; nodes: how many were added."""

    model: Model
    before: int
    peak: int
    nodes: int


def rematerialize(model: Model, budget_bytes: int, dims: Mapping[str, int] | None = None) -> Model:
    """A copy of a gradient or training-step model of whose values no more than `budget_bytes` live at once.

    Counted are the values that nodes make, from when they are made to when they are last read, outputs to the end; not inputs and weights, nor what
    becomes the state of a weight. Memory that an output shares with an input is counted once; the sizes inside bodies, and those that only the run tells,
    are not.
    dims: a size for each symbol in the shapes of inputs.
    What is computed again is computed by the same nodes from the same numbers, under `again_<value>`; random nodes never are.
    Raises ValueError for a symbol without a size, and where the budget cannot be met: with the least that can.
    """
    return recomputed(model, budget_bytes, dims).model


def recomputed(model: Model, budget_bytes: int, dims: Mapping[str, int] | None = None) -> Rematerialized:
    """`rematerialize`, with what there is to know about the result."""
    expect_model(model)
    expect(budget_bytes, int, "the budget", "a number of bytes")
    model = model.copy()
    schedule = Schedule(model, sizes_of(model, dims or {}))
    before = schedule.measure(schedule.again_at_all)
    if before.peak <= budget_bytes:
        return Rematerialized(model, before.peak, before.peak, 0)
    kept, found = _search(schedule, budget_bytes)
    if found.peak > budget_bytes:
        raise ValueError(
            f"no way was found to keep to {budget_bytes:,} bytes; {found.peak:,} is the least, and {before.peak:,} where nothing is computed again"
        )
    count = len(model.graph.nodes)
    _compute_again(model.graph, schedule, kept)
    return Rematerialized(model, before.peak, found.peak, len(model.graph.nodes) - count)


def peak_bytes(model: Model, dims: Mapping[str, int] | None = None) -> int:
    """The most bytes that live at once while the model runs, counted as `rematerialize` does."""
    schedule = Schedule(model, sizes_of(model, dims or {}))
    return schedule.measure(schedule.again_at_all).peak


def sizes_of(model: Model, dims: Mapping[str, int]) -> dict[Value, int]:
    """The bytes of each value that nodes of the main graph make, where it is a tensor and they are known. Raises ValueError for a symbol without a size."""
    typed = model.copy()
    shapes = [v.type.shape for v in typed.inputs if isinstance(v.type, TensorType) and v.type.shape]
    free = sorted({s for shape in shapes for d in shape for s in symbols(d)})
    for name, size in dims.items():
        if name not in free:
            raise ValueError(f"dims has {name!r}, and no input a dim of that name; expected one of {', '.join(free) or 'none'}")
        expect(size, int, f"the size of {name}", "a whole number")
        if size < 0:
            raise ValueError(f"the size of {name} is {size}; expected 0 or more")
    missing = [s for s in free if s not in dims]
    if missing:
        raise ValueError(
            f"the inputs have dims {', '.join(missing)}, whose sizes are not told; give them in dims, as dims={{{missing[0]!r}: 32}}"
        )
    type_inputs(typed.graph, {v.name: t for v in typed.inputs if (t := bind(v.type, dims)) is not None})
    infer(typed)
    found: dict[Value, int] = {}
    for node, twin in zip(model.graph.nodes, typed.graph.nodes):
        for v, t in zip(node.outputs, twin.outputs):
            count = (
                product(t.type.shape)
                if v is not None and t is not None and isinstance(t.type, TensorType) and t.type.shape is not None
                else None
            )
            if v is not None and t is not None and isinstance(count, int):
                found[v] = count * max(BITS[t.dtype] // 8, 1)
    return found


class Measured(NamedTuple):
    """What a plan costs. peak: bytes; at: the entry of the order where it lies; work: what is computed again, in numbers from memory."""

    peak: int
    at: int
    work: float


class Schedule:
    """The nodes of a graph in order, and what would happen if of the values made up to `turn` only some were kept for those that read them later.

    Values that look into one memory are decided together: `root` says for each whose memory that is. again_at_all: the roots that may be computed again.
    """

    def __init__(self, model: Model, sizes: Mapping[Value, int]):
        self.nodes = model.graph.nodes
        self.reads = [node.reads() for node in self.nodes]
        self.made = [[v for v in node.outputs if v is not None] for node in self.nodes]
        self.maker = {v: i for i, made in enumerate(self.made) for v in made}
        self.root: dict[Value, Value] = {}
        views: set[Value] = set()
        for node, made in zip(self.nodes, self.made):
            x = node.inputs[0] if node.inputs and node.op.name in VIEWS and not node.op.domain else None
            views.update(made if x is not None else ())
            self.root.update((v, self.root.get(x, v) if x is not None else v) for v in made)
        self.pinned = {self.root[v] for v in (*model.outputs, *model.updates.values()) if v in self.root}
        settled = set(model.updates.values())
        self.size = {v: 0 if v in views or v in settled else sizes.get(v, 0) for v in self.root}
        self.work = [_work(node, sizes) for node in self.nodes]
        self.turn = len(self.nodes)
        self.again_at_all: set[Value] = set()
        self.turn = self.measure(set()).at
        fixed = {self.root[v] for v, i in self.maker.items() if i <= self.turn and not (v in sizes and _is_repeatable(self.nodes[i]))}
        roots = {self.root[v] for v, i in self.maker.items() if i <= self.turn}
        self.again_at_all = roots - fixed - self.pinned

    def order(self, kept: Set[Value]) -> list[tuple[int, bool]]:
        """The nodes in the order in which they run, by place, each with whether it is one that runs again. kept: roots that need not be."""
        order: list[tuple[int, bool]] = []
        again: set[int] = set()
        for i in range(len(self.nodes)):
            stack = [i]
            while stack:
                j = stack[-1]
                needs = self._needs(j, kept, again) if i > self.turn and j not in again else []
                if needs:
                    stack += needs
                    continue
                stack.pop()
                if j not in again:
                    order.append((j, j != i))
                    again.update([j] if j != i else [])
        return order

    def _needs(self, i: int, kept: Set[Value], again: set[int]) -> list[int]:
        """The nodes that must run again before this one can."""
        return [j for v in self.reads[i] if (j := self.maker.get(v, -1)) not in again and self.is_dropped(v, kept)]

    def is_dropped(self, v: Value, kept: Set[Value]) -> bool:
        """Whether what reads a value after the turn needs it computed again."""
        root = self.root.get(v)
        return root is not None and root in self.again_at_all and root not in kept

    def measure(self, kept: Set[Value]) -> Measured:
        """What it costs to keep these roots for what comes after the turn, and no others."""
        order = self.order(kept)
        last: dict[tuple[Value, bool], int] = {}
        for at, (i, is_again) in enumerate(order):
            late = is_again or i > self.turn
            for v in (*self.reads[i], *self.made[i]):
                if v in self.root:
                    is_new = self.maker[v] == i and self.root[v] is v
                    last[self.root[v], is_again if is_new else late and self.is_dropped(v, kept)] = at
        last.update(((v, False), len(order)) for v in self.pinned)
        ends: list[int] = [0] * (len(order) + 1)
        for (v, _), at in last.items():
            ends[at] += self.size[v]
        live = peak = where = 0
        for at, (i, _) in enumerate(order):
            live += sum(self.size[v] for v in self.made[i])
            if live > peak:
                peak, where = live, at
            live -= ends[at]
        return Measured(peak, where, sum(self.work[i] for i, is_again in order if is_again))


def _is_repeatable(node: Node) -> bool:
    """Whether a node makes the same numbers when it runs again."""
    return all(isinstance(n.op, Op) and not is_random(n) for n in (node, *node.inner()))


def _work(node: Node, sizes: Mapping[Value, int]) -> float:
    """How long a node takes, about: as numbers that are read and written."""
    if node.op.name in VIEWS:
        return 0.0
    moved = sum(sizes.get(v, 0) for v in (*node.inputs, *node.outputs) if v is not None) / 4
    made = sum(sizes.get(v, 0) for v in node.outputs if v is not None) / 4
    w: Any = node.inputs[1] if len(node.inputs) > 1 and node.op.name in ("MatMul", "Gemm", "Conv", "ConvTranspose") else None
    shape = w.type.shape if w is not None and isinstance(w.type, TensorType) and w.type.shape else ()
    taps = product(shape[1:] if node.op.name.startswith("Conv") else shape[-2:-1])
    return max(moved, made * taps / _FLOPS if isinstance(taps, int) else 0)


# ---- choosing ---------------------------------------------------------------------------------------------------------------------------


def _search(schedule: Schedule, budget: int) -> tuple[set[Value], Measured]:
    """The roots to keep, and what that costs: of what keeps to the budget the least work; else the smallest peak."""
    tried = {frozenset(kept): schedule.measure(kept) for kept in _segmented(schedule)}
    fit = sorted((kept for kept, m in tried.items() if m.peak <= budget), key=lambda kept: tried[kept].work)
    if not fit:
        kept = min(tried, key=lambda kept: tried[kept].peak)
        return set(kept), tried[kept]
    filled = [_filled(schedule, set(kept), budget) for kept in fit[:8]]
    return min(filled, key=lambda x: x[1].work)


def _segmented(schedule: Schedule) -> Iterable[set[Value]]:
    """Ways to keep: the way there is cut into 1, 2, 3, ... parts of about as many bytes, where few bytes cross, and what crosses is kept."""
    turn = min(schedule.turn, len(schedule.nodes) - 1)
    crossing = _crossing(schedule, turn)
    total = [*accumulate(sum(schedule.size[v] for v in made) for made in schedule.made[: turn + 1])]
    widths = [sum(schedule.size[v] for v in crossed) for crossed in crossing]
    for count in range(1, min(SEGMENTS, turn + 1) + 1):
        cuts = []
        for k in range(1, count):
            low, high = ((3 * k + s) * total[-1] / (3 * count) for s in (-1, 1))
            near = [i for i in range(turn) if low <= total[i] <= high]
            if near:
                cuts.append(min(near, key=lambda i: (widths[i], abs(2 * total[i] - low - high))))
        kept = {v for i in cuts for v in crossing[i]}
        yield kept & schedule.again_at_all
        rest = {v for v in schedule.again_at_all if cuts and schedule.maker[v] > cuts[-1]}  # the last part is read at once
        yield (kept & schedule.again_at_all) | rest


def _crossing(schedule: Schedule, turn: int) -> list[set[Value]]:
    """For each place up to the turn, the roots made no later that a later node, up to the turn, reads."""
    last = {v: i for i in range(turn + 1) for x in schedule.reads[i] if (v := schedule.root.get(x)) is not None}
    found: list[set[Value]] = []
    live: set[Value] = set()
    for i in range(turn + 1):
        live |= {schedule.root[v] for v in schedule.made[i]}
        live = {v for v in live if last.get(v, -1) > i}
        found.append(live)
    return found


def _filled(schedule: Schedule, kept: set[Value], budget: int) -> tuple[set[Value], Measured]:
    """More to keep, as far as the budget goes: what takes most work for its bytes first."""
    gains: dict[Value, float] = {}
    for i, is_again in schedule.order(kept):
        if is_again:
            for v in schedule.made[i]:
                gains[schedule.root[v]] = gains.get(schedule.root[v], 0) + schedule.work[i]
    more = sorted(gains, key=lambda v: -gains[v] / max(schedule.size[v], 1))
    best, found = kept, schedule.measure(kept)
    at, step = 0, len(more)
    for _ in range(TRIALS):
        step = min(step, len(more) - at)
        if not step:
            break
        trial = best | set(more[at : at + step])
        m = schedule.measure(trial)
        if m.peak <= budget:
            best, found, at = trial, m, at + step
        elif step > 1:
            step //= 2
        else:
            at += 1
    return best, found


# ---- doing ------------------------------------------------------------------------------------------------------------------------------


def _compute_again(graph: Graph, schedule: Schedule, kept: Set[Value]) -> None:
    """Put the nodes that run again where the order has them, and let later nodes read what they make."""
    nodes = list(graph.nodes)
    again: dict[Value, Value] = {}
    order = iter(schedule.order(kept))
    for node in graph.edit():
        for i, is_again in order:
            if not is_again:
                break
            values = dict(again)
            new = copy_node(nodes[i], graph, values, prefix="again_")
            notes = (new.carried or {}).get("metadata", {}) if isinstance(new.carried, dict) else {}
            new.carried = {"metadata": {**notes, RECOMPUTED: "yes"}}
            again.update((v, values[v]) for v in schedule.made[i] if schedule.is_dropped(v, kept))
        for user in (node, *node.inner()) if again else ():
            if any(v in again for v in user.inputs if v is not None):
                user.set_inputs([v and again.get(v, v) for v in user.inputs])
        for body in node.bodies.values() if again else ():
            for g in body.walk():
                if any(v in again for v in g.outputs):
                    g.outputs = [again.get(v, v) for v in g.outputs]
