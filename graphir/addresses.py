"""Addresses: what the values and nodes of a model are called from outside. They are spelled here and nowhere else, and no two of one kind are alike.

An address is the name, behind the names of the nodes in whose bodies it stands, and of the branch where such a node has several: `node/then_branch/name`.
Where that was given already, as to the bodies of another node of the same name, `#2`, `#3`, ... tells it apart, in the order of the graph.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .nodes import Node, Value

if TYPE_CHECKING:
    from .ir import Graph


def addressed(graph: "Graph", prefix: str = "", branches: bool = True) -> Iterator[tuple[str, "Graph"]]:
    """A graph and its bodies, each with what addresses in it begin with. branches: whether the names of branches are among that."""
    yield prefix, graph
    for node in graph.nodes:
        bodies = node.bodies
        for name, body in bodies.items():
            inner = f"{prefix}{node.label}/" + (f"{name}/" if branches and len(bodies) > 1 else "")
            yield from addressed(body, inner, branches)


def addresses_of_values(graph: "Graph") -> dict[str, Value]:
    """The values of a graph and its bodies, by address."""
    found: dict[str, Value] = {}
    apart = _Apart()
    for prefix, inner in addressed(graph):
        for v in inner.values():
            found[apart(prefix + v.name)] = v
    return found


def addresses_of_nodes(graph: "Graph") -> Iterator[tuple[str, Node]]:
    """The nodes of a graph and its bodies, each behind its address: a node without a name is called as its first output."""
    apart = _Apart()
    for prefix, inner in addressed(graph):
        for node in inner.nodes:
            yield apart(prefix + node.label), node


class _Apart:
    """Tells apart what would have one address."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}  # with the number that was tried last

    def __call__(self, address: str) -> str:
        n = self._given.get(address)
        if n is None:
            self._given[address] = 1
            return address
        while True:
            n += 1
            found = f"{address}#{n}"
            if found not in self._given:
                self._given[address], self._given[found] = n, 1
                return found
