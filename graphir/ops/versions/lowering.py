"""Lowering over steps that need no function of their own: what is new must not be used."""

from typing import Any

from ...nodes import Node, Ref, Value
from .. import Op
from .rewriting import CannotSay, given, input_of, output_of, rank_of
from .table import Step


def lower_over(node: Node, step: Step) -> tuple[Value | None, ...] | None:
    """Lower a node from `step` to the version before.

    Either the node is changed in place, or nodes in the declared form are built, and what stands for its outputs is returned.
    Raises CannotSay where the older version cannot say it.
    """
    made = step.down(node) if step.down is not None else None
    if made is not None:
        return made
    if step.kind == "rewritten" and step.down is None:
        raise CannotSay("the older form says something else")
    for name in step.added:
        _leave_out(node, name, step)
    for name, default in step.defaults.items():
        if default is not None and name not in step.added and name not in node.attributes and name in _defaults(node):
            node.attributes[name] = _defaults(node)[name]
    _check_values(node, step)
    if step.may_be_negative:
        _count_from_the_front(node)
    return None


def _defaults(node: Node) -> dict[str, Any]:
    return node.op.defaults if isinstance(node.op, Op) else {}


def _leave_out(node: Node, name: str, step: Step) -> None:
    """Remove an attribute that is new, where it says what its absence meant."""
    default = _defaults(node).get(name)
    said = node.attributes.get(name, default)
    meant = step.defaults.get(name, default)
    idle = said is None or said == meant or (name == "dilations" and isinstance(said, tuple) and all(d == 1 for d in said))
    if isinstance(said, Ref) or not idle or (said is None and meant is not None):
        found = "an attribute of the enclosing function" if isinstance(said, Ref) else "left out" if said is None else said
        raise CannotSay(f"{name} is {found}, which is new")
    node.attributes.pop(name, None)


def _check_values(node: Node, step: Step) -> None:
    for i in step.added_inputs:
        if input_of(node, i) is not None:
            raise CannotSay(f"its input {_input_name(node, i)} is new")
    for i in step.optional_inputs:
        if input_of(node, i) is None:
            raise CannotSay(f"its input {_input_name(node, i)} is left out, which is new")
    for i in step.added_outputs:
        if output_of(node, i) is not None:
            raise CannotSay(f"its output {i} is read, and is new")
        del node.outputs[i:]


def _input_name(node: Node, index: int) -> str:
    return node.op.inputs[index].name if isinstance(node.op, Op) else str(index)


def _count_from_the_front(node: Node) -> None:
    """Axes below zero are counted from the back, which is new."""
    for name in ("axis", "axes"):
        x = given(node, name, ())
        axes = (x,) if isinstance(x, int) else x
        if any(i < 0 for i in axes):
            rank = rank_of(node.inputs[0], "the input") + (len(axes) if node.op.name == "Unsqueeze" else 0)
            axes = tuple(i + rank if i < 0 else i for i in axes)
            node.attributes[name] = axes[0] if isinstance(x, int) else axes
