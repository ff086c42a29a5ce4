"""Errors that name a node: of what cannot run, and of what would take more than it may."""

from graphir.budget import Budget, LimitError, Limits
from graphir.nodes import Node

__all__ = ["Budget", "LimitError", "Limits", "NodeError", "of_node"]


class NodeError(ValueError):
    """Raised where a node cannot run. Names it, and says why."""

    def __init__(self, node: Node, why: object):
        super().__init__(f"{named(node)}: {why}")


def named(node: Node) -> str:
    """A node, as errors name it."""
    return f"node {node.label!r} ({node.op})"


def of_node(node: Node, error: LimitError | MemoryError) -> LimitError | MemoryError:
    """The error, with the name of the node that was at work."""
    if isinstance(error, MemoryError):
        return MemoryError(f"{named(node)} takes more memory than there is")
    text = str(error)
    return LimitError(f"{named(node)} {text}" if text.startswith("makes ") else f"{named(node)}: {text}")
