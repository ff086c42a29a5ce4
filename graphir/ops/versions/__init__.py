"""Operator versions: what each step changed, and how nodes are raised and lowered over it.

A node read from a file stands in the form of its opset: that of the newest step of its operator not above it. `steps(op)` are an operator's steps,
oldest first; the first is the version in which it appeared. The default domain and ai.onnx.ml have steps.

Who reads a file asks `is_current(op, opset)`: whether nodes of that opset are already said as the declared operator says them; if so, its type rule
can be asked. If not, `graphir.passes.upgrade.types_of_old_form` types one node, and `graphir.passes.upgrade.upgrade` raises a model.
Who writes one asks `graphir.passes.lower.forms(node)`: the versions that can say a node, newest first, each with the node in that version's form;
which element types a version allows is for the caller to check. `graphir.passes.lower.lower_opset` lowers a model.
"""

from functools import cache

from ...nodes import Node, Operator, Value
from . import (  # noqa: F401  # each declares the functions behind the steps of its family
    activation,
    arrange,
    control,
    create,
    elementwise,
    index,
    math,
    ml,
    nn,
    normalization,
    quantize,
    recurrent,
    reduce,
    resize,
    sample,
    shape,
    signal,
)
from .lowering import lower_over
from .rewriting import DOWN, MALFORMED, UP, CannotSay
from .table import BARE, KINDS, Step

AS_IT_IS = ("same", "types", "wider")  # steps over which an old node is also a new one


def _with_functions(name: str, step: Step) -> Step:
    down = DOWN.get((name, step.version))
    kind = "wider" if down is not None and step.kind in ("same", "types") else step.kind
    return step._replace(kind=kind, up=UP.get((name, step.version)), down=down)


STEPS: dict[str, tuple[Step, ...]] = {name: tuple(_with_functions(name, s) for s in row) for name, row in BARE.items()}


def steps(op: Operator) -> tuple[Step, ...]:
    """The steps of an operator, oldest first; none where it is not one of the standard's default domain or of ai.onnx.ml."""
    return STEPS.get(str(op), ()) if not op.overload else ()


def version_at(op: Operator, opset: int) -> int | None:
    """The version of an operator at an opset; None where it did not exist yet, or has no steps."""
    return max((s.version for s in steps(op) if s.version <= opset), default=None)


def is_current(op: Operator, opset: int) -> bool:
    """Whether nodes of that opset are said as the declared operator says them: no step above it changes what a node says."""
    return _is_current(str(op) if op.domain else op.name, opset) if not op.overload else True


@cache
def _is_current(name: str, opset: int) -> bool:
    return all(s.kind in AS_IT_IS for s in STEPS.get(name, ()) if s.version > opset)


def raise_over(node: Node, step: Step) -> tuple[Value | None, ...] | None:
    """Raise a node to `step` from the version before.

    Either the node is changed in place, or nodes in the declared form are built, and what stands for its outputs is returned.
    Raises CannotSay.
    """
    for name in step.dropped:
        node.attributes.pop(name, None)
    for name, default in step.defaults.items():
        if default is not None:
            node.attributes.setdefault(name, default)
    return step.up(node) if step.up is not None else None


__all__ = ["AS_IT_IS", "KINDS", "MALFORMED", "STEPS", "CannotSay", "Step", "is_current", "lower_over", "raise_over", "steps", "version_at"]
