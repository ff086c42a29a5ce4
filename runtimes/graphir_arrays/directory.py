"""Where a program finds what callers name by address: in the model as it was given, whatever passes have made of it since."""

from collections.abc import Iterable

from graphir.addresses import addresses_of_nodes
from graphir.ir import Graph, Node, Value, Weight
from graphir.model import Model
from graphir.ops import is_random


class Directory:
    """Made of the copy of a model that is about to be prepared, whose states were lifted; `settle` is told when it is. given: the model itself.

    weights: those of the model, by address.
    """

    def __init__(self, given: Model, model: Model):
        self._given = given
        values = model.addresses()
        self.weights = {a: v for a, v in values.items() if isinstance(v, Weight)}
        self._made: dict[str, tuple[Graph, str]] = {a: (v.graph, v.name) for a, v in values.items()}
        self._places: dict[str, tuple[int, str]] = {}
        self._random: list[str] = []

    def settle(self, model: Model) -> None:
        """The model is prepared. Values have kept their names, but those of a body whose node runs as other operators are gone."""
        graphs = {graph: i for i, graph in enumerate(model.graph.walk())}
        self._places = {a: (graphs[graph], name) for a, (graph, name) in self._made.items() if graph in graphs}
        self._made = {}
        if any(is_random(node) for graph in graphs for node in graph.nodes):
            self._random = [address for address, node in addresses_of_nodes(model.graph).items() if is_random(node)]

    def values(self, copy: Model, addresses: Iterable[str]) -> dict[str, Value]:
        """The values at these addresses in a copy of the prepared model. Raises KeyError for an address that is not there."""
        places = {a: self._place(a) for a in addresses}
        wanted = {i for i, _ in places.values()}
        named = {i: {v.name: v for v in graph.values()} for i, graph in enumerate(copy.graph.walk()) if i in wanted} if wanted else {}
        missing = next((a for a, (i, name) in places.items() if name not in named[i]), None)
        if missing is not None:
            raise _gone(missing)
        return {a: named[i][name] for a, (i, name) in places.items()}

    def _place(self, address: str) -> tuple[int, str]:
        if address not in self._places:
            address, _ = self._given.locate(address)
            if address not in self._places:
                raise _gone(address)
        return self._places[address]

    def random_nodes(self, copy: Model) -> dict[Node, str]:
        """The nodes of a copy of the prepared model that draw numbers, and their addresses."""
        if not self._random:
            return {}
        return dict(zip((node for graph in copy.graph.walk() for node in graph.nodes if is_random(node)), self._random, strict=True))


def _gone(address: str) -> KeyError:
    return KeyError(f"{address} is not computed here: this runtime runs the node that makes it, or that holds its body, as other operators")
