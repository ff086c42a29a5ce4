"""Raise the nodes of a model to the opset in which operators are declared, and type nodes that are not raised yet."""

from collections.abc import Mapping, Sequence

from ..dims import Expr
from ..ir import Graph, Node, Value, Weight
from ..model import Model, copy_graph
from ..ops import OPSETS, Op, RuleError, decompose, lookup
from ..ops.contributed import RETIRED
from ..ops.versions import MALFORMED, CannotSay, is_current, raise_over, steps, version_at
from ..tensors import Tensor
from ..types import TensorType, Type
from .misfit import misfit, stumbled

__all__ = ["UpgradeError", "replace_node", "types_of_old_form", "upgrade"]


class UpgradeError(ValueError):
    """A node that cannot be raised: names the node, its operator and version, and why."""


def upgrade(model: Model) -> Model:
    """Raise every node of a model, its bodies and functions to the declared opset, in place, and return the model.

    Values keep their names; a node keeps its own where one node takes its place. Operators without steps are left alone.
    `target_opsets` keeps the opsets that the model had. Raises UpgradeError; a model that raised it is spoilt.
    """
    had = dict(model.opsets)
    again = False
    for graph, opsets in ((model.graph, model.opsets), *((f.graph, f.opsets) for f in model.functions.values())):
        graph.root.needs_upgrade = False
        try:
            again |= _raise_graph(graph, opsets)
        except UpgradeError:
            graph.root.needs_upgrade = True
            raise
        opsets.update({domain: max(opsets[domain], newest) for domain, newest in OPSETS.items() if domain in opsets})
        if graph is not model.graph:
            weights_to_nodes(graph)
    model.target_opsets = model.target_opsets or had
    if again:
        from .infer import infer

        infer(model)
    return model


def _raise_graph(graph: Graph, opsets: Mapping[str, int]) -> bool:
    """Raise the nodes of a graph and of its bodies. Returns whether a node with a body was replaced, whose values have no types yet."""
    replaced = False
    with graph:
        for node in graph.edit():
            bodies = node.bodies.values()
            for body in bodies:
                replaced |= _raise_graph(body, opsets)
            opset = opsets.get(node.op.domain)
            if node.op in RETIRED:
                replace_node(node, _in_parts(node))
            elif opset is not None and not is_current(node.op, opset):
                made = _raise(node, opset)
                if made is not None:
                    replaced |= bool(bodies)
                    replace_node(node, made)
    return replaced


def _in_parts(node: Node) -> Sequence[Value | None]:
    """What a node of an operator that is gone is made of, built where ops now land."""
    try:
        return decompose(node)
    except MALFORMED as e:
        raise UpgradeError(f"node {node.label!r}: {e if isinstance(e, RuleError) else stumbled(node, e)}") from e


def _given(node: Node) -> str:
    inputs = ", ".join("-" if v is None else str(v.type) for v in node.inputs)
    return f"inputs: {inputs or 'none'}; attributes: {', '.join(node.attributes) or 'none'}"


def _raise(node: Node, opset: int) -> tuple[Value | None, ...] | None:
    """Raise a node step by step: in place, or until a step builds others, which stand in the declared form."""
    op, at = node.op, opset
    while True:
        step = next((s for s in steps(node.op) if s.version > at), None)
        if step is None:
            return None
        try:
            made = raise_over(node, step)
        except (CannotSay, RuleError, *MALFORMED) as e:
            why = e if isinstance(e, CannotSay | RuleError) else f"it is not as that version declares it ({_given(node)})"
            version = version_at(op, opset)
            old = f"{op} of opset {opset}" if version is None else f"{op}-{version}"
            cause = None if isinstance(e, AssertionError) else e  # an input that is missing, which the error says
            raise UpgradeError(f"node {node.label!r}: {old} cannot be raised to {node.op}-{step.version}: {why}") from cause
        if made is not None:
            return made
        at = step.version


def weights_to_nodes(graph: Graph) -> None:
    """Put Constant nodes in place of the weights of a function's graph: in ONNX functions have none."""
    for weight in list(graph.weights.values()):
        if weight.uses and isinstance(weight.tensor, Tensor):
            with graph.before(graph.nodes[0]):
                made = graph.append(lookup("", "Constant"), (), {"value": weight.tensor}, [weight.type], names=[weight.name]).outputs[0]
            assert made is not None
            graph.replace_uses(weight, made)
        graph.drop_weight(weight)


def replace_node(node: Node, values: Sequence[Value | None]) -> None:
    """Let `values` stand for the outputs of a node that `edit` visits, under their names, and discard it. An output without a value must not be read.

    One of the nodes that were built, one of the same operator if there is, takes its name, documentation and metadata.
    """
    graph = node.graph
    assert graph is not None
    for old, new in zip(node.outputs, values):
        if old is None or new is None:
            continue
        graph.replace_uses(old, new, keep_name=True)
        new.declared = old.declared
        new.type = _sharper(old.type, new.type)  # pyright: ignore[reportAttributeAccessIssue]
    heir = _heir(node, [v.node for v in values if v is not None and v.node is not None])
    node.discard()
    if heir is not None:
        heir.name = node.name
        if isinstance(node.carried, dict):
            heir.carried = {k: x for k, x in node.carried.items() if k in ("doc", "metadata")} or None


def _heir(node: Node, makers: list[Node]) -> Node | None:
    """Of the nodes that were built in place of `node`, the last that applies its operator, else the one that makes the first output."""
    seen, waiting = set(node.inputs), list(makers)
    while waiting:
        maker = waiting.pop(0)
        if maker.op.name == node.op.name:
            return maker
        new = [v for v in maker.inputs if v is not None and v.node is not None and v not in seen]
        seen.update(new)
        waiting += [v.node for v in new if v.node is not None]
    return makers[0] if makers else None


def _sharper(old: Type | None, new: Type | None) -> Type | None:
    """What was known of a value before its node was replaced, made more precise where more is known now."""
    if not isinstance(old, TensorType) or not isinstance(new, TensorType) or old.dtype != new.dtype:
        return new or old
    shape = old.shape or new.shape
    if old.shape is not None and new.shape is not None and len(old.shape) == len(new.shape):
        shape = tuple(n if isinstance(o, Expr) and o.is_unknown else o for o, n in zip(old.shape, new.shape))
    return TensorType(old.dtype, shape, old.known or new.known)


def types_of_old_form(
    node: Node, inputs: Sequence[Value | None], opset: int, opsets: Mapping[str, int] | None = None
) -> list[Type | None]:  # fmt: skip
    """The types of the outputs of a node that stands in the form of `opset`, on inputs of the given types. The graph is not changed.

    opsets: of all domains, for the nodes of bodies. None where the types cannot be told. Raises RuleError.
    """
    copy = apart(node, inputs)
    graph = copy.graph
    assert graph is not None
    bodies = {name: copy_graph(body, graph) for name, body in copy.bodies.items()} if copy.attributes else {}
    copy.attributes.update(bodies)
    graph.outputs = [v for v in copy.outputs if v is not None]
    try:
        for body in bodies.values():
            _raise_graph(body, opsets or {node.op.domain: opset})
        made = _raise(copy, opset)
        if made is None:
            op, known = copy.op, all(v is None or v.type is not None for v in copy.inputs)
            if why := misfit(copy):
                raise RuleError(why)
            return op.infer(copy.inputs, copy.attributes, len(copy.outputs)) if isinstance(op, Op) and known else [None] * len(copy.outputs)
        if bodies:
            from .infer import Inference

            graph.outputs = ()
            graph.drop(copy)
            Inference().graph(graph, {})
        return [None if v is None else v.type for v in made]
    except UpgradeError:
        return [None] * len(copy.outputs)
    finally:
        for n in [copy, *graph.nodes]:  # bodies read values of the graph around them
            n.discard()


def apart(node: Node, inputs: Sequence[Value | None] | None = None) -> Node:
    """A copy of a node alone in a graph whose inputs have the types of `inputs`; constants stay constants, outputs that are read are the graph's.

    The bodies are the node's own.
    """
    graph = Graph("apart")
    copies: dict[Value, Value] = {}
    inputs = node.inputs if inputs is None else inputs
    for v in inputs:
        if v is not None and v not in copies:
            constant = isinstance(v, Weight) and v.kind == "constant"
            copies[v] = graph.weight(graph.fresh(v.name), v.tensor) if constant else graph.input(graph.fresh(v.name), v.type)
    names = ["" if v is None else v.name or f"output_{i}" for i, v in enumerate(node.outputs)]
    types = [None if v is None else v.type for v in node.outputs]
    copy = graph.append(node.op, tuple(None if v is None else copies[v] for v in inputs), {}, types, node.name, names)
    copy.attributes = dict(node.attributes)
    graph.outputs = [v for v, old in zip(copy.outputs, node.outputs) if v is not None and old is not None and old.uses]
    return copy
