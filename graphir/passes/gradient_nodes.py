"""Gradient nodes of ai.onnx.preview.training, replaced by what computes them."""

import difflib
from collections.abc import Sequence

from ..ir import Graph, Node, Value
from ..model import Model, copy_node
from ..ops import training
from ..ops._gradient import GradientError, gradients, is_float, zeros_like
from ..ops.elementwise import identity
from ..types import TensorType
from .expand import inline_calls, replace_nodes
from .infer import Inference, infer


def replace_gradient_nodes(model: Model) -> None:
    """Put in place of every Gradient node the nodes that compute it, bodies included. Calls of functions are inlined then, for a path may lead through them.

    Does nothing where there is none. The nodes stand in the declared form. Raises GradientError.
    """
    if not any(node.op is training.gradient for graph in model.graphs() for node in graph.nodes):
        return
    inline_calls(model)
    infer(model)
    replace_nodes(model.graph, lambda node: _gradients(node) if node.op is training.gradient else None)
    if not any(node.op.domain == training.DOMAIN for graph in model.graphs() for node in graph.nodes):
        model.opsets.pop(training.DOMAIN, None)


def _gradients(node: Node) -> tuple[Value | None, ...]:
    """Build what stands for the outputs of a Gradient node, where ops now land."""
    graph = node.graph
    assert graph is not None
    xs, zs, y_name = (node.attributes.get(name, ()) for name in ("xs", "zs", "y"))
    assert isinstance(xs, tuple) and isinstance(zs, tuple)
    named = [seen(node, graph, name) for name in (*xs, *zs)]
    y = seen(node, graph, str(y_name))
    training.gradient.infer(node.inputs, node.attributes)  # says what is wrong with its inputs
    given = [v for v in node.inputs if v is not None]
    if not isinstance(y.type, TensorType) or not is_float(y):
        raise GradientError(
            f"the type of {y.name}, which Gradient node {node.label!r} names, is {y.type or 'not known'}; expected a tensor of floats"
        )
    path = _path(node, y, named)
    wrt = named[: len(xs)]
    with graph:
        if named != given or any(v.graph is not graph for v in (y, *(v for n in path for v in n.outputs if v is not None))):
            stands_for = {v: identity(x) for v, x in zip(named, given)}  # values of their own, even where two are given one
            path = _copied(path, graph, stands_for)
            y, wrt = stands_for.get(y, y), [stands_for[v] for v in wrt]
        found: Sequence[Value | None] = [None] * len(wrt)
        if path or y in wrt:
            found = gradients({y: zeros_like(y, fill=1)}, wrt, path, named=False)
        return tuple(zeros_like(x) if dx is None else dx for dx, x in zip(found, given))


def seen(node: Node, graph: Graph, name: str) -> Value:
    """The value that a node sees under a name: made before it in its graph, or around that."""
    names: list[str] = []
    scope: Graph | None = graph
    while scope is not None:
        for v in scope.values():  # while a graph is walked by `edit`, its nodes are those before the one that is visited
            if v.name == name:
                return v
            names.append(v.name)
        scope = scope.parent
    near = difflib.get_close_matches(name, names, n=3)
    raise GradientError(
        f"Gradient node {node.label!r} names {name!r}, which is not made before it" + (f"; did you mean {', '.join(near)}?" if near else "")
    )


def _path(node: Node, y: Value, ends: Sequence[Value]) -> list[Node]:
    """The nodes that make y of these values, in order: those behind y, and not behind one of these, that read one of them or what hangs on it."""
    behind: set[Node] = set()
    waiting = [y]
    while waiting:
        v = waiting.pop()
        if v not in ends and v.node is not None and v.node not in behind:
            behind.add(v.node)
            waiting += v.node.reads()
    graphs: list[Graph] = []
    scope = node.graph
    while scope is not None:
        graphs.insert(0, scope)
        scope = scope.parent
    path, moved = [], set(ends)
    for n in (n for graph in graphs for n in graph.nodes if n in behind):
        if any(v in moved for v in n.reads()):
            path.append(n)
            moved.update(v for v in n.outputs if v is not None)
    return path


def _copied(path: Sequence[Node], graph: Graph, stands_for: dict[Value, Value]) -> list[Node]:
    """The path once more, on other values, at the end of `graph`; what is made goes into `stands_for`."""
    ends, made, inference = dict(stands_for), [], Inference()
    for old in path:
        new = copy_node(old, graph, stands_for, prefix="again_")
        stands_for.update(ends)
        for v, type_ in zip(new.outputs, inference.node(new, {})):
            if v is not None:
                v.type = type_  # pyright: ignore[reportAttributeAccessIssue]
        made.append(new)
    if inference.problems:
        raise GradientError(f"what Gradient is given does not fit the values that it names: {inference.problems[0]}")
    return made
