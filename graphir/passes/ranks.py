"""Ranks that follow from readers: where inference leaves one open, a node that could read no other tells it.

That is sound, for with another rank the reader would fail. Only readers in the value's own graph count: what stands in a body may never run.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

from ..dims import Shape, unknown
from ..ir import Graph, Node, UnknownRank, Value
from ..ops import Op, RuleError
from ..ops._infer import open_type
from ..types import ShapeError, TensorType, Type
from .misfit import STUMBLES

TRIED = range(9)  # ranks
TRIALS = 30_000  # what is tried in one model, at most: beyond, ranks stay open
Infer = Callable[[Node, Sequence[Value | None]], Sequence[Type | None]]  # the types of a node's outputs, on these inputs


def told_by_readers(graph: Graph, infer: Infer) -> dict[Value, TensorType]:
    """Types of values of a graph and its bodies whose ranks are open, as far as readers tell them; what is declared of outputs counts, too."""
    wanted: dict[Value, int] = {}
    trials = 0
    for inner in graph.walk():
        if any(map(_is_open, {v for node in inner.nodes for v in node.inputs if v is not None})):
            for node in reversed(inner.nodes):
                asked = list(
                    dict.fromkeys(v for v in node.inputs if v is not None and v.graph is inner and _is_open(v) and v not in wanted)
                )
                if asked and isinstance(node.op, Op) and not node.bodies and trials < TRIALS:
                    trials += len(TRIED) ** min(len(asked), 2)
                    wanted.update(_only_ranks(node, asked, wanted, infer))
    return {v: TensorType(v.dtype, _shape(v, rank)) for v, rank in wanted.items() if v.node is not None or v.graph is graph}


def _is_open(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.type.shape is None


def _only_ranks(node: Node, values: list[Value], wanted: dict[Value, int], infer: Infer) -> Iterator[tuple[Value, int]]:
    """Those of these inputs for which the node, with what is known of its other inputs and its outputs, can take only one rank; and that rank."""
    given = [v if v is None or v not in wanted else _stand_in(v, wanted[v], 2) for v in node.inputs]
    fitting: list[tuple[int, ...]] = []
    for ranks in itertools.product(TRIED, repeat=len(values)) if len(values) <= 2 else zip(*[TRIED] * len(values)):
        stand_ins = {v: _stand_in(v, rank, min(i, 1)) for i, (v, rank) in enumerate(zip(values, ranks))}
        inputs = [None if v is None else stand_ins.get(v, v) for v in given]
        try:
            made = infer(node, inputs)
        except (RuleError, ShapeError, UnknownRank, *STUMBLES):
            continue
        if all(v is None or _meets(t, v, wanted.get(v)) for t, v in zip(made, node.outputs)):
            fitting.append(ranks)
    for v, column in zip(values, zip(*fitting)):
        if len(set(column)) == 1:
            yield v, column[0]


def _stand_in(v: Value, rank: int, place: int) -> Value:
    return Value(v.name, open_type(v.dtype, rank, place))


def _meets(made: Type | None, v: Value, wanted: int | None) -> bool:
    """Whether a value may have the type that would be made, for what is known of it."""
    if not isinstance(made, TensorType) or made.shape is None or not isinstance(v.type, TensorType):
        return True
    if v.type.shape is None:
        return wanted is None or len(made.shape) == wanted
    sizes = zip(made.shape, v.type.shape)
    return len(made.shape) == len(v.type.shape) and not any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in sizes)


def _shape(v: Value, rank: int) -> Shape:
    """What is known of the shape of a value of this rank: from what a Squeeze keeps then, or from the branch of an If that has it."""
    node = v.node
    x = node.inputs[0] if node is not None and node.op.name == "Squeeze" and node.inputs else None
    if x is not None and isinstance(x.type, TensorType) and x.type.shape is not None:
        dims = x.shape
        kept = [d for d in dims if d != 1], [d for d in dims if isinstance(d, int) and d != 1]
        return next((tuple(found) for found in kept if len(found) == rank), _open(rank))
    if node is not None and node.op.name == "If":
        i = node.outputs.index(v)
        types = [body.outputs[i].type for body in node.bodies.values() if i < len(body.outputs)]
        fitting = [t.shape for t in types if isinstance(t, TensorType) and t.shape is not None and len(t.shape) == rank]
        return fitting[0] if len(fitting) == 1 else _open(rank)
    return _open(rank)


def _open(rank: int) -> Shape:
    return tuple(unknown() for _ in range(rank))
