"""Lower a model to an older opset, where that can say the same, and tell how far down a node can be said."""

from collections.abc import Iterator, Mapping, Sequence

from ..ir import Graph, Node, Ref, Value
from ..model import Model
from ..ops import OPSETS, Op
from ..ops.versions import MALFORMED, CannotSay, lower_over, steps, version_at
from .expand import decompose
from .misfit import misfit, stumbled
from .upgrade import apart, replace_node, upgrade, weights_to_nodes


class LowerError(ValueError):
    """A node that an older opset cannot say: names the node, its operator, the versions, and why."""


def lower_opset(model: Model, opsets: Mapping[str, int]) -> Model:
    """Lower every node of a model, its bodies and functions to the given opsets, in place, and return the model. It cannot be built on afterwards.

    A node becomes the older form of its operator, several nodes, or, where its operator is newer than the opset, its decomposition.
    Which element types the older versions allow is not checked. Raises LowerError, and ValueError for opsets that do not exist; a model that
    raised it is spoilt.
    """
    for domain, opset in opsets.items():
        if domain in OPSETS and not 1 <= opset <= OPSETS[domain]:
            raise ValueError(f"{f'{domain} ' if domain else ''}opset {opset} does not exist; expected 1 to {OPSETS[domain]}")
        if domain not in OPSETS and model.opsets.get(domain, opset) != opset:
            raise ValueError(
                f"nodes of {domain} stand in opset {model.opsets[domain]}; only those of ai.onnx and ai.onnx.ml can be written at another"
            )
    if any(g.root.needs_upgrade for g in model.graphs()):
        upgrade(model)
    wanted = {domain: opset for domain, opset in opsets.items() if domain in OPSETS}
    for graph, stands_in in ((model.graph, model.opsets), *((f.graph, f.opsets) for f in model.functions.values())) if wanted else ():
        _lower_graph(graph, {**OPSETS, **wanted})
        if graph is not model.graph:
            weights_to_nodes(graph)
        used = {"", *stands_in, *(node.op.domain for g in graph.walk() for node in g.nodes)}
        stands_in.update({domain: opset for domain, opset in wanted.items() if domain in used})
        graph.root.needs_upgrade = any(opset < OPSETS[domain] for domain, opset in wanted.items())
    return model


def forms(node: Node, down_to: int = 1) -> Iterator[tuple[int, Node]]:
    """The versions that say a node of a raised model as one node, newest first, each with the node in the form of that version.

    The operator may be the one that it replaced: Scatter for ScatterElements. No form is given for a node whose operator has no steps. A form stands
    apart, in a graph of its own, until the next is asked for; which element types its version allows is for the caller to check.
    The last is the newest that is not above `down_to`, or the oldest that says the node.
    """
    form, at = node, OPSETS.get(node.op.domain, 1)
    while True:
        step = next((s for s in reversed(steps(form.op)) if s.version <= at), None)
        if step is None:
            return
        yield step.version, form
        if step.version <= down_to or (step is steps(form.op)[0] and step.down is None):
            return
        if step.down is not None or step.kind not in ("same", "types"):
            form = apart(node) if form is node else form
            try:
                if lower_over(form, step) is not None:
                    return
            except (CannotSay, *MALFORMED):
                return
        at = step.version - 1


def _lower_graph(graph: Graph, opsets: Mapping[str, int]) -> None:
    done: set[Node] = set()
    again = True
    with graph:
        while again:  # what lowering a node built stands in the declared form
            again = False
            for node in graph.edit():
                if node in done:
                    continue
                again = True
                for body in node.bodies.values():
                    _lower_graph(body, opsets)
                made = _lower(node, opsets[node.op.domain]) if node.op.domain in opsets else None
                if made is None:
                    done.add(node)
                else:
                    replace_node(node, made)


def _lower(node: Node, opset: int) -> Sequence[Value | None] | None:
    """Lower a node step by step: in place, or until a step builds others, which stand in the declared form."""
    op, at = node.op, OPSETS[node.op.domain]
    row = steps(op)
    wrong = misfit(node) if row and not any(isinstance(x, Ref) for x in node.attributes.values()) else None
    try:
        if row and row[0].version > opset and row[0].down is None and isinstance(op, Op) and op.decomposition is not None:
            return _decomposed(node)
        while step := next((s for s in reversed(steps(node.op)) if opset < s.version <= at), None):
            if step is row[0] and step.down is None:
                raise CannotSay(f"the operator is new in opset {step.version}")
            made = lower_over(node, step)
            if made is not None:
                return made
            at, row = step.version - 1, steps(node.op)
    except (CannotSay, *MALFORMED) as e:
        why = wrong or (e if isinstance(e, CannotSay) else stumbled(node, e))
        raise LowerError(f"node {node.label!r}: {op}-{version_at(op, OPSETS[op.domain])} cannot be said at opset {opset}: {why}") from e
    return None


def _decomposed(node: Node) -> Sequence[Value | None]:
    if any(v is not None and v.type is None for v in node.inputs):
        raise CannotSay("the operator is newer, and to decompose it the types of its inputs must be known")
    return decompose(node)
