"""The calls among the functions of a model: in which order they can be looked at, and how much they unfold to."""

from .ir import Graph
from .model import Model

Key = tuple[str, str, str]

UNFOLDED = 50_000  # nodes that the calls of a model may come to: functions that call each other twice unfold without bounds
NESTED = 100  # calls and bodies within each other, in functions


def callees_first(model: Model) -> list[Key]:
    """The functions, each behind those that it calls. Those that call themselves, be it through others, are left out, and so is who calls them."""
    called = {key: _calls(f.graph, model) for key, f in model.functions.items()}
    callers: dict[Key, list[Key]] = {key: [] for key in called}
    for key, others in called.items():
        for other in others:
            callers[other].append(key)
    waiting = {key: len(others) for key, others in called.items()}
    order = [key for key, n in waiting.items() if n == 0]
    for key in order:  # which grows meanwhile
        for caller in callers[key]:
            waiting[caller] -= 1
            if waiting[caller] == 0:
                order.append(caller)
    return order


def expect_bounded_calls(model: Model) -> None:
    """Raises TypeError where the calls of a model unfold to more than can be inlined, or nest deeper."""
    unfolded: dict[Key, tuple[int, int]] = {}
    for key in callees_first(model):
        graphs = list(model.functions[key].graph.walk())
        nodes, depth = _called(graphs, model, unfolded)
        unfolded[key] = nodes + sum(len(g.nodes) for g in graphs), max(depth, *(g.depth for g in graphs))
    nodes, depth = _called(list(model.graph.walk()), model, unfolded)
    if nodes > UNFOLDED:
        raise TypeError(
            f"the calls of functions in {model.graph.name!r} unfold to more than {UNFOLDED:,} nodes; a model like that can be read and written, "
            "but not computed with"
        )
    if depth > NESTED:
        raise TypeError(
            f"the functions that {model.graph.name!r} calls nest more than {NESTED} deep, calls and bodies together; expected fewer"
        )


def _called(graphs: list[Graph], model: Model, unfolded: dict[Key, tuple[int, int]]) -> tuple[int, int]:
    """To how many nodes the calls in some graphs unfold, as far as that matters, and how deep they go."""
    beyond = UNFOLDED + 1, 0
    found = [(g.depth + 1, *unfolded.get(n.op.key, beyond)) for g in graphs for n in g.nodes if n.op.key in model.functions]
    return min(sum(nodes for _, nodes, _ in found), UNFOLDED + 1), max((at + depth for at, _, depth in found), default=0)


def _calls(graph: Graph, model: Model) -> set[Key]:
    return {node.op.key for g in graph.walk() for node in g.nodes} & model.functions.keys()
