"""Addresses: what the values and nodes of a model are called from outside. They are spelled here and nowhere else, and no two of one kind are alike.

An address is the name, behind the names of the nodes in whose bodies it stands, and of the branch where such a node has several: `node/then_branch/name`.
Where that was given already, as to the bodies of another node of the same name, `#2`, `#3`, ... tells it apart, in the order of the graph.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from .nodes import Node, Value

if TYPE_CHECKING:
    from .ir import Graph

T = TypeVar("T")


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
    found = {v.name: v for v in graph.values()}  # names in one graph differ
    return _told_apart(found, ((prefix + v.name, v) for prefix, inner in islice(addressed(graph), 1, None) for v in inner.values()))


def addresses_of_nodes(graph: "Graph") -> dict[str, Node]:
    """The nodes of a graph and its bodies, by address: a node without a name is called as its first output."""
    return _told_apart({}, ((prefix + node.label, node) for prefix, inner in addressed(graph) for node in inner.nodes))


def _told_apart(found: dict[str, T], named: Iterable[tuple[str, T]]) -> dict[str, T]:
    """What is found and what is named, each under a name of its own."""
    tried: dict[str, int] = {}  # the number that was given last, of those that were met more than once
    for address, x in named:
        if address in found:
            n = tried.get(address, 1) + 1
            while f"{address}#{n}" in found:
                n += 1
            tried[address] = n
            address = f"{address}#{n}"
        found[address] = x
    return found
