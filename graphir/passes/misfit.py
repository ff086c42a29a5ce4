"""What of a node is not as its operator declares it: files may say anything."""

import functools
from typing import Any

from ..nodes import Node, Ref
from ..ops import Op, normalized
from ..ops._infer import no_tensor
from ..tensors import Tensor

STUMBLES = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    StopIteration,
)  # what a rule raises over what it did not foresee
HELD = {
    "int": int,
    "float": float,
    "dtype": str,
    "tensor": Tensor,
    "ints": tuple,
    "floats": tuple,
    "strs": tuple,
}  # what nodes hold of attributes; calls take more


def missing_input(node: Node) -> str | None:
    """Which input a node of a declared op must have and has not; None where all are there."""
    inputs = node.inputs
    for i, name in _required(node.op):  # pyright: ignore[reportArgumentType]
        if i >= len(inputs) or inputs[i] is None:
            return f"{node.op}: input {name} is missing"
    return None


def misfit(node: Node) -> str | None:
    """What of a node's inputs, outputs and attributes is not as its op declares them; None where all is, or the op is not declared."""
    op = node.op
    if not isinstance(op, Op):
        return None
    variadic = bool(op.inputs) and op.inputs[-1].variadic
    if len(node.inputs) > len(op.inputs) and not variadic:
        return f"{op} takes {len(op.inputs)} inputs; {len(node.inputs)} are given"
    if found := missing_input(node) or _wrong_outputs(node, op):
        return found
    if variadic and None in node.inputs[len(op.inputs) - 1 :]:
        return f"{op}: one of {op.inputs[-1].name} is missing"
    for name, given in node.attributes.items():
        if name not in op.attributes:
            return f"{op} has no attribute {name!r}; it has {', '.join(op.attributes) or 'none'}"
        if isinstance(given, Ref):
            return f"{op}: attribute {name} is that of a function, {given.name!r:.80}, and the node is in none"
        kind = op.attributes[name].kind
        try:
            normalized(op, name, given)
        except TypeError as e:
            return str(e)
        if not isinstance(given, HELD.get(kind, object)):
            return f"{op}: attribute {name} is {given!r}; expected {kind}"
        if kind in ("int", "ints") and _exceeds_64_bits(given):
            return f"{op}: attribute {name} holds an integer beyond 64 bits"
        if op.attributes[name].is_flag and given not in (0, 1):
            return f"{op}: attribute {name} is {given!r}; expected 0 or 1"
    missing = [name for name, x in op.attributes.items() if x.required and name not in node.attributes]
    return f"{op}: attribute {missing[0]} is missing" if missing else None


def _wrong_outputs(node: Node, op: Op) -> str | None:
    most = len(node.outputs) if op.most_outputs is None else op.most_outputs
    if any(v is not None for v in node.outputs[most:]):
        return f"{op} makes {most} output{'s' * (most > 1)}; the node names {len(node.outputs)}"
    return None if node.outputs else f"{op}: the node names no output"


def _exceeds_64_bits(x: Any) -> bool:
    numbers = x if isinstance(x, tuple) else (x,)
    return bool(numbers) and (min(numbers) < -(2**63) or max(numbers) >= 2**63)


def stumbled(node: Node, error: Exception) -> str:
    """Why a rule or a decomposition stumbled over a node, as far as that can be told."""
    values = ", ".join("-" if v is None else str(v.type) for v in node.inputs)
    other = no_tensor(node.op, node.inputs) if isinstance(error, AttributeError) else None  # what a rule asks of a tensor
    return misfit(node) or other or f"{node.op} cannot take its inputs or attributes: {error} (inputs: {values or 'none'})"


@functools.cache
def _required(op: Op) -> tuple[tuple[int, str], ...]:
    return tuple((i, x.name) for i, x in enumerate(op.inputs) if not x.optional and not x.variadic)
