"""Compute equal things once: nodes with one op, the same inputs and equal attributes are merged."""

from typing import Any

from ..ir import Graph, Node
from ..model import Model
from ..ops import Op


def dedupe(model: Model) -> None:
    """Merge equal pure nodes. A body may use what an enclosing graph has computed."""
    _dedupe(model.graph, {})


def _dedupe(graph: Graph, outer: dict[tuple, Node]) -> None:
    seen = dict(outer)
    for node in graph.edit():
        for body in node.bodies.values() if node.attributes else ():
            _dedupe(body, seen)
        if not is_pure(node):
            continue
        key = (id(node.op), tuple(map(id, node.inputs)), _attributes(node), tuple(v is None for v in node.outputs))
        first = seen.setdefault(key, node)
        if first is not node:
            for v, same in zip(node.outputs, first.outputs):
                if v is not None and same is not None:
                    graph.replace_uses(v, same)
            if not any(v is not None and v.uses for v in node.outputs):
                graph.drop(node)


def is_pure(node: Node) -> bool:
    """Whether a node of a declared op gives the same results each time: not random, and without bodies."""
    return isinstance(node.op, Op) and not node.op.random and not (node.attributes and node.bodies)


def _attributes(node: Node) -> tuple[tuple[str, type, Any], ...]:
    """The attributes in a form that can be compared: whole numbers, floats and text of one look stay apart."""
    return tuple((k, type(node.attributes[k]), node.attributes[k]) for k in sorted(node.attributes))
