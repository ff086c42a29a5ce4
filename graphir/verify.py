"""Is a model well formed? Order, uses, scopes, names."""

from collections import ChainMap
from collections.abc import Iterator, Set

from .calls import callees_first
from .ir import Graph, Node, Value
from .model import Model


def verify(model: Model) -> list[str]:
    """What is wrong with the structure of a model, a sentence each; empty when nothing is."""
    problems = list(_check_whole(model.graph))
    for function in model.functions.values():
        where = f"function {'.'.join(filter(None, function.key))}: "
        problems += [where + p for p in _check_whole(function.graph)]
    made = {graph: set(graph.values()) for graph in {value.graph for value in model.updates.values()}}
    for weight, value in model.updates.items():
        if weight.graph.weights.get(weight.name) is not weight:
            problems.append(f"an update goes to {weight.name}, which is no weight of the model")
        if value not in made[value.graph]:
            problems.append(f"the update of {weight.name} reads {value.name}, which the model does not make")
    problems += _cycles(model)
    return problems


def _check_whole(graph: Graph) -> Iterator[str]:
    graphs = set(graph.walk())
    return _check_graph(graph, ChainMap(), ChainMap(), {*graphs, *(node for g in graphs for node in g.nodes)})


def _check_graph(graph: Graph, seen: ChainMap[Value, None], names: ChainMap[str, str], readers: Set[Node | Graph]) -> Iterator[str]:
    """Walk in order with what may be read so far: `seen`, the values of the enclosing graphs, and `names`, what is named where. readers: all that there are."""
    seen, names = seen.new_child(), names.new_child()
    where = f"graph {graph.name!r}"
    for v in dict.fromkeys([*graph.inputs, *graph.weights.values()]):
        yield from _check_value(v, graph, names, where)
        seen[v] = None
    for name, w in graph.weights.items():
        if w.name != name:
            yield f"{where}: the weight {w.name} is listed as {name}"
    for node in graph.nodes:
        yield from _check_node(node, graph, seen)
        for body in node.bodies.values():
            if body.parent is not graph:
                yield f"{where}, node {node.label!r}: its body {body.name!r} belongs to another graph"
            yield from _check_graph(body, seen, names, readers)
        for v in node.outputs:
            if v is not None:
                yield from _check_value(v, graph, names, where)
                if v.node is not node:
                    yield f"{where}: {v.name} is an output of {node.label}, but says that it is made elsewhere"
                seen[v] = None
    for v in graph.outputs:
        if v not in seen:
            yield f"{where}: the output {v.name} is made by no node before the end"
        elif v.graph is not graph:
            yield f"{where}: the output {v.name} is made outside of it; yield it through an Identity"
    yield from _check_uses(graph, readers)


def _check_value(v: Value, graph: Graph, names: ChainMap[str, str], where: str) -> Iterator[str]:
    if v.graph is not graph:
        yield f"{where}: {v.name} belongs to another graph"
    if not v.name:
        yield f"{where}: a value has no name"
    if v.name in names:
        yield f"{where}: the name {v.name!r} is taken already, in {names[v.name]}"
    names[v.name] = where


def _check_node(node: Node, graph: Graph, seen: ChainMap[Value, None]) -> Iterator[str]:
    where = f"graph {graph.name!r}, node {node.label!r}"
    if node.graph is not graph:
        yield f"{where}: it belongs to another graph"
    for i, v in enumerate(node.inputs):
        if v is not None and v not in seen:
            yield f"{where}: input {i} is {v.name}, which is not made before it"
        if v is not None and node not in v.uses:
            yield f"{where}: {v.name} does not count it among its readers"


def _check_uses(graph: Graph, readers: Set[Node | Graph]) -> Iterator[str]:
    for v in graph.values():
        for user in v.uses:
            if isinstance(user, Node) and not (user in readers and _is_within(user.graph, graph)):
                yield f"graph {graph.name!r}: {v.name} is said to be read by {user.label}, which is not in the graph"
            elif isinstance(user, Graph) and not (user in readers and _is_within(user, graph)):
                yield f"graph {graph.name!r}: {v.name} is said to be an output of {user.name}, which is not in the graph"


def _is_within(inner: Graph | None, graph: Graph) -> bool:
    while inner is not None and inner.depth > graph.depth:
        inner = inner.parent
    return inner is graph


def _cycles(model: Model) -> Iterator[str]:
    """Functions that call themselves, directly or by way of others."""
    for key in model.functions.keys() - callees_first(model):
        yield f"function {'.'.join(filter(None, key))} calls itself, or a function that does"
