"""Hold two programs of one model against each other: do the outputs agree, and if not, which is the first value that differs?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..dims import substitute
from ..feeds import sizes_of
from ..ir import Graph, Node, Value
from ..model import Model
from ..ops import is_random
from ..plugins import Program
from ..results import TOLERANCES, difference, summary, tolerance, worst
from ..types import MapType, OptionalType, SequenceType, TensorType, Type

MEMORY = 2**28  # bytes of values that are looked at together, as far as their types tell
VALUES = 64  # and how many of them
_UNKNOWN = 2**22  # bytes that a value of unknown size is taken for


class Gap(NamedTuple):
    """How far a value differs between two programs: the largest absolute difference, and the largest that is let pass."""

    name: str
    largest: float
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether it lies within the tolerance."""
        return self.largest <= self.allowed


class Place(NamedTuple):
    """Where two programs part. worst: where in the value the difference is largest, and what each has there; inputs: those of the node, as the first has them.

    random: the node draws numbers, and no two runtimes draw the same.
    """

    gap: Gap
    node: str
    operator: str
    worst: str
    inputs: list[tuple[Gap, dict[str, Any]]]
    random: bool

    def lines(self) -> Iterator[str]:
        """What there is to say, line by line."""
        yield f"the first value that differs is {self.gap.name}, made by node {self.node!r} ({self.operator}): {self.worst}"
        yield f"its largest difference is {self.gap.largest:.3g}; expected at most {self.gap.allowed:.3g}"
        if self.random:
            yield "the node draws random numbers, and each runtime draws others"
        for gap, facts in self.inputs:
            numbers = "  ".join(f"{k} {_short(x)}" for k, x in facts.items() if k != "type")
            yield f"input {gap.name}: {facts['type']}  {numbers}  largest difference {gap.largest:.3g}"


class Comparison(NamedTuple):
    """What `compare` found. outputs: how far each differs; first: where the programs part, None where they agree, or where no single value shows it."""

    outputs: list[Gap]
    first: Place | None

    @property
    def ok(self) -> bool:
        """Whether all outputs agree."""
        return all(gap.ok for gap in self.outputs)

    def lines(self) -> list[str]:
        """Where the programs part, line by line. Nothing where they agree."""
        if self.ok:
            return []
        if self.first is not None:
            return list(self.first.lines())
        return ["no value before the outputs differs when it is fetched: the difference lies in how a runtime joins nodes into one"]

    def __str__(self) -> str:
        rows = [f"{gap.name}: largest difference {gap.largest:.3g}, {gap.allowed:.3g} allowed" for gap in self.outputs]
        return "\n".join([*rows, *self.lines()])


def compare(
    model: Model, feeds: Mapping[str, Any], programs: Mapping[str, Program], *, fetch: Sequence[str] | None = None, rtol: float | None = None,
    atol: float | None = None, memory: int = MEMORY,
) -> Comparison:  # fmt: skip
    """Run two programs of a model on the same feeds, and compare their outputs and what updates make; where one differs, find the first value that does.

    programs: two, by the names to report them under. Their state does not move. fetch: addresses to compare instead of the outputs.
    rtol, atol: a value may differ by `atol`, or by `rtol` times its largest number, if that is more. By default both are what the narrowest float on the
        way to the value allows: 1e-6 for float64, 1e-4 for float32, 1e-2 for float16, 5e-2 for bfloat16, 0.25 for smaller; nothing for what is no float.
    memory: the bytes of values that are held at a time, of each program, as far as their sizes are known beforehand.
    First is meant in topological order, among the values of the main graph that the differing outputs hang on. A value that hangs on random numbers is
    named only where no other differs. Raises what the programs raise.
    """
    if len(programs) != 2:
        raise ValueError(f"{len(programs)} programs were given; expected two, by name")
    search = _Search(model, feeds, programs, rtol, atol, memory)
    wanted = {a: model.find(a) for a in (search.outputs() if fetch is None else fetch)}
    gaps = {a: gap for chunk in search.chunks(wanted) for a, gap in search.gaps(chunk).items()}
    differing = [wanted[a] for a, gap in gaps.items() if not gap.ok]
    return Comparison(list(gaps.values()), search.first(differing) if differing else None)


class _Search:
    """Two programs on the same feeds, and what is known of the model's values."""

    def __init__(
        self, model: Model, feeds: Mapping[str, Any], programs: Mapping[str, Program], rtol: float | None, atol: float | None, memory: int
    ):  # fmt: skip
        self.model = model
        self.feeds = feeds
        self.names = list(programs)
        self.programs = list(programs.values())
        self.rtol, self.atol, self.memory = rtol, atol, memory
        self.addresses = {v: a for a, v in model.addresses().items()}
        self.sizes = sizes_of(model.inputs, feeds)
        self.coarse = _coarsest(model.graph)

    def outputs(self) -> list[str]:
        """The addresses of the outputs, and of what updates make."""
        made = [self.addresses[v] for v in self.model.updates.values() if v.node is not None and v.graph is self.model.graph]
        return list(dict.fromkeys([*(self.addresses[v] for v in self.model.outputs), *made]))

    def first(self, differing: Sequence[Value]) -> Place | None:
        """The first value that differs among those that these hang on; one that hangs on random numbers only where there is no other."""
        values = _behind(self.model.graph, differing)
        drawn = _drawn(self.model.graph)
        random: tuple[Value, Gap] | None = None
        for chunk in self.chunks({self.addresses[v]: v for v in values}):
            for address, gap in self.gaps(chunk).items():
                if gap.ok:
                    continue
                if chunk[address] not in drawn:
                    return self._place(chunk[address], gap)
                random = random or (chunk[address], gap)
        return None if random is None else self._place(*random)

    def chunks(self, wanted: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
        """The values in parts that may be held together."""
        part: dict[str, Value] = {}
        taken = 0
        for address, v in wanted.items():
            size = _bytes(v, self.sizes)
            if part and (taken + size > self.memory or len(part) == VALUES):
                yield part
                part, taken = {}, 0
            part[address] = v
            taken += size
        if part:
            yield part

    def gaps(self, values: Mapping[str, Value]) -> dict[str, Gap]:
        """How far these values differ, by address."""
        one, other = self._run(list(values))
        return {a: self._gap(a, v, one[a], other[a]) for a, v in values.items()}

    def _run(self, addresses: list[str]) -> list[dict[str, Any]]:
        return [program.run(self.feeds, addresses) for program in self.programs]

    def _gap(self, address: str, v: Value, x: Any, y: Any) -> Gap:
        return Gap(address, difference(x, y), tolerance(x, self.rtol, self.atol, self.coarse.get(v, 0.0)))

    def _place(self, v: Value, gap: Gap) -> Place:
        node = v.node
        assert node is not None
        one, other = self._run([gap.name])
        where = worst(one[gap.name], other[gap.name])
        inputs = {self.addresses[i]: i for i in node.inputs if i is not None}
        xs, ys = self._run(list(inputs)) if inputs else ({}, {})
        told = [(self._gap(a, i, xs[a], ys[a]), summary(xs[a])) for a, i in inputs.items()]
        text = f"{where.place}{where.first} on {self.names[0]}, {where.second} on {self.names[1]}"
        return Place(gap, node.label, str(node.op), text, told, _draws(node))


def _behind(graph: Graph, values: Sequence[Value]) -> list[Value]:
    """What nodes of the main graph make and these values hang on, themselves included, in topological order."""
    found = set(values)
    for node in reversed(graph.nodes):
        if any(v in found for v in node.outputs if v is not None):
            found.update(node.reads())
    return [v for node in graph.nodes for v in node.outputs if v in found and v is not None]


def _draws(node: Node) -> bool:
    """Whether a node draws random numbers, or one in its bodies."""
    return any(map(is_random, (node, *node.inner())))


def _drawn(graph: Graph) -> set[Value]:
    """The values that hang on random numbers."""
    found: set[Value] = set()
    for node in graph.nodes:
        if _draws(node) or any(v in found for v in node.reads()):
            found.update(v for v in node.outputs if v is not None)
    return found


def _coarsest(graph: Graph) -> dict[Value, float]:
    """For each value what the narrowest float on the way to it allows: a float32 that was computed as float16 has the digits of float16."""
    found: dict[Value, float] = {}
    for node in graph.nodes:
        before = max((found.get(v, 0.0) for v in node.reads()), default=0.0)
        before = max([before, *(_own(v) for n in node.inner() for v in n.outputs if v is not None)])
        found.update((v, max(before, _own(v))) for v in node.outputs if v is not None)
    return found


def _own(v: Value) -> float:
    return _usual(v.type)


def _usual(t: Type | None) -> float:
    """What the floats in a type may differ by; nothing where there are none."""
    if isinstance(t, SequenceType | OptionalType):
        return _usual(t.element)
    return _usual(t.value) if isinstance(t, MapType) else TOLERANCES.get(t.dtype, 0.0) if isinstance(t, TensorType) else 0.0


def _bytes(v: Value, sizes: Mapping[str, int]) -> int:
    """What a value takes in memory, as far as its type tells."""
    if not isinstance(v.type, TensorType) or v.type.shape is None:
        return _UNKNOWN
    count = v.dtype.itemsize
    for d in v.type.shape:
        n = substitute(d, sizes)
        if not isinstance(n, int):
            return _UNKNOWN
        count *= n
    return count


def _short(x: Any) -> str:
    if isinstance(x, list):
        return f"[{', '.join(map(_short, x))}]"
    return f"{x:.4g}" if isinstance(x, float) else " ".join(map(_short, x.values())) if isinstance(x, dict) else str(x)
