"""Drop what nobody reads."""

from ..ir import Graph, Node
from ..model import Model


def prune(model: Model) -> None:
    """Drop nodes none of whose outputs is read, and weights that nobody reads, bodies included. Inputs stay."""
    _prune(model.graph)


def _prune(graph: Graph) -> None:
    for node in list(reversed(graph.nodes)):
        if not any(v is not None and v.uses for v in node.outputs) and not _holds_what_is_asked_for(node):
            node.discard()
            continue
        for body in node.bodies.values() if node.attributes else ():
            _prune(body)
    graph.sweep()
    for weight in [w for w in graph.weights.values() if not w.uses and w.kind != "default"]:
        graph.drop_weight(weight)


def _holds_what_is_asked_for(node: Node) -> bool:
    """Whether a value in a body of the node is read by what is no node and no graph: somebody wants to fetch it."""
    bodies = [g for body in node.bodies.values() for g in body.walk()]
    return any(not isinstance(user, Node | Graph) for g in bodies for v in g.values() for user in v.uses)
