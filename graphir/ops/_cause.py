"""Why the type of a value is not known."""

from collections.abc import Iterator

from ..ir import Node, Value
from ._op import Op, RuleError


def cause(v: Value) -> str:
    """Why the type of v is not known, as the end of a sentence about it: what it depends on is followed back to where types end."""
    at = _origin(v)
    if isinstance(at, Value):
        return f"because the file declares none for the input {at.name}; declare it there"
    made = next((v.name for v in at.outputs if v is not None), "its output")
    if not isinstance(at.op, Op):
        return f"because node {at.label!r} applies {at.op}, which is not declared to graphir; declare the operator, or the type of {made} in the file"
    try:
        at.op.infer(at.inputs, at.attributes, len(at.outputs))
    except RuleError as e:
        return f"because node {at.label!r} does not fit: {e}"
    except Exception:  # what a rule stumbles over in a malformed node
        pass
    return f"because {at.op} of node {at.label!r} cannot tell it; declare the type of {made} in the file"


def why(*values: Value) -> str:
    """The end of a message about values, where the type of one is not known."""
    untyped = next((v for v in values if v.type is None), None)
    return "" if untyped is None else f"; the type of {untyped.name} is not known, {cause(untyped)}"


def _origin(v: Value) -> Node | Value:
    """The first node, or the input, on the way back from a value without a type, from which no other such value is read."""
    seen: set[Value] = set()
    while True:
        seen.add(v)
        node = v.node if v.node is not None else v.graph.owner
        if node is None:
            return v
        if not isinstance(node.op, Op):
            return node
        further = next((x for x in _behind(node) if x.type is None and x not in seen), None)
        if further is None:
            return node
        v = further


def _behind(node: Node) -> Iterator[Value]:
    """What the types of a node's outputs depend on: what it reads, then what is made in its bodies."""
    yield from node.reads()
    for graph in (g for body in node.bodies.values() for g in body.walk()):
        yield from graph.outputs
