"""Drop what nobody reads."""

from collections.abc import Set

from ..ir import Graph, Node, Value
from ..model import Model
from ..ops import Op


def prune(model: Model, keep: Set[Value] = frozenset()) -> None:
    """Drop nodes none of whose outputs is read, weights that nobody reads, and optional outputs that nobody reads, bodies included. Inputs stay.

    keep: values that stay although nobody reads them.
    """
    _prune(model.graph, keep)


def _prune(graph: Graph, keep: Set[Value]) -> None:
    for node in list(reversed(graph.nodes)):
        if not any(v is not None and (v.uses or v in keep) for v in node.outputs) and not _holds_what_is_asked_for(node):
            node.discard()
            continue
        _leave_out(node, keep)
        for body in node.bodies.values():
            _prune(body, keep)
    graph.sweep()
    for weight in [w for w in graph.weights.values() if not w.uses and w.kind != "default" and w not in keep]:
        graph.drop_weight(weight)


def _holds_what_is_asked_for(node: Node) -> bool:
    """Whether a value in a body of the node is read by what is no node and no graph: somebody wants to fetch it."""
    bodies = [g for body in node.bodies.values() for g in body.walk()]
    return any(not isinstance(user, Node | Graph) for g in bodies for v in g.values() for user in v.uses)


def _leave_out(node: Node, keep: Set[Value]) -> None:
    """Optional outputs that nobody reads."""
    if not isinstance(node.op, Op) or not node.op.optional_outputs:
        return
    for i in node.op.optional_outputs:
        v = node.outputs[i] if i < len(node.outputs) else None
        if v is not None and not v.uses and v not in keep:
            node.outputs[i] = None
    while node.outputs and node.outputs[-1] is None:
        node.outputs.pop()
