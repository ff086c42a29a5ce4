"""The scores behind the probabilities that a model ends in: losses are computed from scores, which are finite where a probability is rounded to 0 or 1."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import ops
from ..dims import product
from ..dtypes import FLOATS
from ..ir import Node, Value
from ..ops import RuleError
from ..types import TensorType

_PASSED = ("Identity", "Dropout", "Clip")  # what training needs not: it does nothing, or bounds a probability
_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_LOGARITHMS = {"Log": 1, "Exp": -1}


class _End(NamedTuple):
    """What makes a model's probabilities. node: a Softmax, LogSoftmax, Sigmoid or Concat; axis: what the axis of the output is there; moved: nodes
    between, last first, that change type or shape."""

    node: Node
    axis: int | None
    moved: list[Node]


def class_scores(output: Value) -> Value:
    """Scores of classes along axis 1, of the output's shape, whose softmax is the output where that is probabilities or their logarithms; else the output.

    Raises RuleError where it is probabilities of another kind.
    """
    end = _end(output, 1)
    if end is None:
        return output
    name, (node, axis, moved) = end.node.op.name, end
    if name in ("Softmax", "LogSoftmax"):
        x, given = node.inputs[0], _axis(node)
        assert x is not None
        if axis is not None and given % x.rank == axis:
            return _moved(x, moved)
        where = "that is not axis 1 of the output" if axis is not None else "what follows it moves that in a way that is not known"
        raise RuleError(
            f"cross entropy needs classes along axis 1; {output.name} is {output.type}, and {name} {node.label!r} works along axis {given}: {where}"
        )
    if name == "Concat" and axis is not None and (pair := _pair(node, axis)) is not None:
        return _moved(pair, moved)
    if name == "Sigmoid":
        raise RuleError(
            f"cross entropy needs scores; {output.name} is made of probabilities by Sigmoid {node.label!r}: take the loss binary_cross_entropy"
        )
    return output


def binary_scores(output: Value) -> Value:
    """Scores whose Sigmoid is the output, where a Sigmoid makes that; else the output. Raises RuleError where a Softmax makes it."""
    end = _end(output, None)
    if end is None or end.node.op.name == "Concat":
        return output
    if end.node.op.name != "Sigmoid":
        raise RuleError(
            f"binary cross entropy needs scores that do not depend on each other; {output.name} is made by {end.node.op.name} {end.node.label!r}: "
            "take the loss cross_entropy"
        )
    assert end.node.inputs[0] is not None
    return _moved(end.node.inputs[0], end.moved)


def _end(output: Value, axis: int | None) -> _End | None:
    """What makes probabilities, or their logarithms, behind nodes that only move, cast or bound them. axis: the output's axis to follow."""
    v, moved, logarithms = output, [], []
    while (node := v.node) is not None and not node.op.domain:
        name = node.op.name
        if not all(u is not None and isinstance(u.type, TensorType) and u.type.shape is not None for u in (*node.inputs[:1], v)):
            return None  # what is behind it cannot be learned
        if name in ("Softmax", "LogSoftmax", "Sigmoid", "Concat"):
            level = int(name == "LogSoftmax")  # 0: probabilities, 1: their logarithms, and only those two are either's scores
            for step in reversed(logarithms):
                level += step
                if level not in (0, 1):
                    return None
            return _End(node, axis, moved) if level == 0 or name != "Sigmoid" else None
        x = node.inputs[0] if node.inputs else None
        if x is None:
            return None
        if name in _LOGARITHMS:
            logarithms.append(_LOGARITHMS[name])
        elif name in _RESHAPES or name == "Transpose" or (name == "Cast" and x.dtype in FLOATS):
            axis = axis if axis is None or name == "Cast" else _before(node, x, v, axis)
            moved.append(node)
        elif name not in _PASSED:
            return None
        v = x
    return None


def _before(node: Node, x: Value, v: Value, axis: int) -> int | None:
    """The axis of x that becomes an axis of v, whole and alone; None where that is not known."""
    if node.op.name == "Transpose":
        perm: Any = node.attributes.get("perm") or range(x.rank)[::-1]
        return perm[axis]
    size, behind = v.shape[axis], product(v.shape[axis + 1 :])
    return next((i for i, d in enumerate(x.shape) if d == size and product(x.shape[i + 1 :]) == behind), None)


def _axis(node: Node) -> int:
    axis: Any = node.attributes.get("axis", -1)
    return axis


def _moved(x: Value, moved: Sequence[Node]) -> Value:
    """What these nodes, last first, make of x."""
    for node in reversed(moved):
        assert isinstance(node.op, ops.Op)
        x = node.op(x, *node.inputs[1:], **node.attributes)
    return x


def _pair(node: Node, axis: int) -> Value | None:
    """Scores of two classes where a node joins 1 - p and p, and p comes out of a Sigmoid, as classifiers of two classes end. None where it does not."""
    no, yes = node.inputs if len(node.inputs) == 2 else (None, None)
    if (
        no is None
        or yes is None
        or yes.type is None
        or _axis(node) % yes.rank != axis
        or no.node is None
        or no.node.op is not ops.elementwise.sub
        or no.node.inputs[1] is not yes
    ):
        return None
    one = no.node.inputs[0]
    end = _end(yes, None)
    if end is None or end.node.op.name != "Sigmoid" or one is None or one.known is None or {*one.known} != {1}:
        return None
    assert end.node.inputs[0] is not None
    z = _moved(end.node.inputs[0], end.moved)
    return ops.shape.concat(ops.elementwise.mul(z, -0.5), ops.elementwise.mul(z, 0.5), axis=axis)
