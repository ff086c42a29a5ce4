"""Compute equal things once: nodes with one op, the same inputs and equal attributes are merged."""

from collections.abc import Set
from typing import Any

from ..ir import Graph, Node, Value
from ..model import Model
from ..ops import Op, is_random

RECOMPUTED = "graphir.recomputed"  # the entry in the metadata of a node that `rematerialize` has added


def dedupe(model: Model, keep: Set[Value] = frozenset()) -> None:
    """Merge equal pure nodes. A body may use what an enclosing graph has computed.

    keep: values that stay, and keep their names. Others may be read from them.
    """
    _dedupe(model.graph, (), keep)


def _dedupe(graph: Graph, outer: tuple[dict[tuple, Node], ...], keep: Set[Value]) -> None:
    """outer: what the graphs around this one have computed so far."""
    seen: dict[tuple, Node] = {}
    for node in graph.edit():
        for body in node.bodies.values():
            _dedupe(body, (seen, *outer), keep)
        if not is_pure(node):
            continue
        key = (id(node.op), tuple(map(id, node.inputs)), _attributes(node), tuple(v is None for v in node.outputs), _runs_again(node))
        first = seen.get(key) or next((found for scope in outer if (found := scope.get(key)) is not None), None)
        if first is None:
            seen[key] = node
            continue
        if not all(_may_merge(v, same, keep) for v, same in zip(node.outputs, first.outputs)):
            continue
        for v, same in zip(node.outputs, first.outputs):
            if v is not None and same is not None:
                graph.replace_uses(v, same)
        if not any(v is not None and v.uses for v in node.outputs):
            graph.drop(node)


def _may_merge(v: Value | None, same: Value | None, keep: Set[Value]) -> bool:
    """Whether `same` can be read in place of v.

    An output needs a name of its own, which `same` can give up only where it is no output and not to be kept; one of a body is made in the body.
    """
    if v is None or same is None:
        return True
    return v not in keep and not (v.is_output and (same.is_output or same in keep or same.graph is not v.graph))


def _runs_again(node: Node) -> bool:
    """Whether a node computes again what another one does, on purpose: the two stay apart."""
    return isinstance(node.carried, dict) and RECOMPUTED in node.carried.get("metadata", {})


def is_pure(node: Node) -> bool:
    """Whether a node of a declared op gives the same results each time: not random, and without bodies."""
    return isinstance(node.op, Op) and not is_random(node) and not node.bodies


def _attributes(node: Node) -> tuple[tuple[str, type, Any], ...]:
    """The attributes in a form that can be compared: whole numbers, floats and text of one look stay apart."""
    return tuple((k, type(node.attributes[k]), node.attributes[k]) for k in sorted(node.attributes, key=str))
