"""Nodes that a file gives in another order than that in which they can run: sorted when it is read, and written as they stood while nothing is changed."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onnx import AttributeProto, GraphProto, NodeProto

from graphir.ir import Graph, Node
from graphir.model import Model
from graphir.ops.training import gradient
from graphir.plugins import FormatError

from .elements import domain_of, quoted
from .headers import parts_of

KEY = "order"  # of what a model carries: where its nodes stood in the file, and of which nodes that was said


class NotMade(FormatError):
    """Raised for a node that reads what no node before it makes: the nodes may stand in another order."""


def sorted_places(nodes: Sequence[NodeProto]) -> list[int]:
    """The places of the nodes, each after those that make what it reads, and otherwise as they stand. Raises FormatError for a cycle.

    A node that stands too late comes right before the first that reads it.
    """
    maker: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in node.output:
            if name:
                maker.setdefault(name, i)
    reads = [dict.fromkeys(maker[name] for name in read_by(node) if name in maker) for node in nodes]
    order: dict[int, None] = {}
    for first in range(len(nodes)):
        waiting = {first: iter(reads[first])} if first not in order else {}  # those that wait, each for the next
        while waiting:
            i = next(reversed(waiting))
            made = next((k for k in waiting[i] if k not in order), None)
            if made is None:
                order[i] = None
                del waiting[i]
            elif made in waiting:
                raise FormatError(_cycle([nodes[k] for k in [*waiting][[*waiting].index(made) :]]))
            else:
                waiting[made] = iter(reads[made])
    return list(order)


def _cycle(nodes: Sequence[NodeProto]) -> str:
    """The error for nodes each of which reads what the next makes, and the last what the first makes."""
    first, maker = nodes[0], nodes[1 % len(nodes)]
    name = next(name for name in read_by(first) if name in maker.output)
    way = " -> ".join(quoted(label(node)) for node in [*nodes[:8], first])
    return (
        f"node {quoted(label(first))} ({quoted(first.op_type)[1:-1]}): the input {quoted(name)} is not made before it, in whatever order: "
        f"these nodes wait for one another: {way}{' ...' if len(nodes) > 8 else ''}; expected no cycle"
    )


def label(node: NodeProto) -> str:
    """What a node is called in messages: its name, or its first output."""
    return node.name or next(iter(node.output), "")


def read_by(node: NodeProto) -> Iterator[str]:
    """The names that a node reads: its inputs, what its bodies read from outside, and what a Gradient node names."""
    yield from node.input
    for a in node.attribute:
        for body in graphs_of(a):
            yield from _captured(body)
    yield from _named_by(node)


def _named_by(node: NodeProto) -> Iterator[str]:
    """The names of values that a Gradient node has among its attributes."""
    if node.op_type == gradient.name and domain_of(node.domain) == gradient.domain:
        for a in node.attribute:
            yield from (s.decode(errors="replace") for s in ([a.s] if a.name == "y" else a.strings if a.name in ("xs", "zs") else ()))


def graphs_of(a: AttributeProto) -> Iterable[GraphProto]:
    """The graphs that an attribute holds."""
    return [a.g, *a.graphs] if a.HasField("g") else a.graphs


def _captured(graph: GraphProto) -> Iterator[str]:
    """The names that a body reads and does not make."""
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    own.update(name for node in graph.node for name in node.output)
    yield from (name for node in graph.node for name in read_by(node) if name not in own)
    yield from (v.name for v in graph.output if v.name not in own)


# ---- the file's order ---------------------------------------------------------------------------------------------------------------


def note(model: Model, places: Mapping[Graph, Sequence[int]]) -> dict[str, Any]:
    """What a model carries of the order of its file. places: where the nodes of the graphs stood that had to be sorted."""
    return {"of": _digest(model), "places": [[i, *places[graph]] for i, graph in enumerate(model.graphs()) if graph in places]}


def in_file_order(model: Model) -> dict[Graph, list[Node]]:
    """The nodes of graphs that stood in another order, in that order; nothing where the model is not that of the file any more."""
    said = (model.carried or {}).get(KEY)
    entries = said.get("places") if isinstance(said, dict) and said.get("of") == _digest(model) else None
    if not isinstance(entries, list):
        return {}
    graphs, found = list(model.graphs()), {}
    for entry in entries:
        if not isinstance(entry, list) or not entry or not all(type(i) is int for i in entry) or not 0 <= entry[0] < len(graphs):
            return {}
        graph, places = graphs[entry[0]], entry[1:]
        if sorted(places) != list(range(len(graph.nodes))):
            return {}
        found[graph] = [node for _, node in sorted(zip(places, graph.nodes), key=lambda x: x[0])]
    return found


def _digest(model: Model) -> str:
    """What tells whether the nodes are still those of the file, and in its opsets."""
    opsets = [sorted(x.opsets.items(), key=str) for x in (model, *model.functions.values())]
    nodes = [[[*n.op.key, *parts_of(n)[1:4]] for n in graph.nodes] for graph in model.graphs()]
    return hashlib.sha256(json.dumps([opsets, nodes]).encode()).hexdigest()
