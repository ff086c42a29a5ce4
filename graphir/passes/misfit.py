"""What of a node is not as its operator declares it: files may say anything."""

import functools

from ..nodes import Node
from ..ops import Op, normalized
from ..tensors import Tensor

STUMBLES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)  # what a rule raises over what it did not foresee
HELD = {
    "int": int,
    "float": float,
    "dtype": str,
    "tensor": Tensor,
    "ints": tuple,
    "floats": tuple,
    "strs": tuple,
}  # what nodes hold of attributes; calls take more
# attributes of which the standard says what 0 and 1 mean, while runtimes differ in what else does
FLAGS = frozenset((
    "align_corners", "allowzero", "antialias", "ceil_mode", "center_point_box", "count_include_pad", "detect_negative", "detect_positive",
    "exclude_outside", "exclusive", "fmod", "input_forget", "interleaved", "inverse", "is_case_sensitive", "is_causal", "keepdims",
    "largest", "layout", "linear_before_reset", "new_axis", "noop_with_empty_axes", "onesided", "periodic", "reverse", "saturate",
    "select_last_index", "sorted", "storage_order", "training_mode", "transA", "transB", "upper",
))  # fmt: skip


def missing_input(node: Node) -> str | None:
    """Which input a node of a declared op must have and has not; None where all are there."""
    inputs = node.inputs
    for i, name in _required(node.op):  # pyright: ignore[reportArgumentType]
        if i >= len(inputs) or inputs[i] is None:
            return f"{node.op}: input {name} is missing"
    return None


def misfit(node: Node) -> str | None:
    """What of a node's inputs and attributes is not as its op declares them; None where all is, or the op is not declared."""
    op = node.op
    if not isinstance(op, Op):
        return None
    variadic = bool(op.inputs) and op.inputs[-1].variadic
    if len(node.inputs) > len(op.inputs) and not variadic:
        return f"{op} takes {len(op.inputs)} inputs; {len(node.inputs)} are given"
    if found := missing_input(node):
        return found
    if variadic and None in node.inputs[len(op.inputs) - 1 :]:
        return f"{op}: one of {op.inputs[-1].name} is missing"
    for name, given in node.attributes.items():
        if name not in op.attributes:
            return f"{op} has no attribute {name!r}; it has {', '.join(op.attributes) or 'none'}"
        kind = op.attributes[name].kind
        try:
            normalized(op, name, given)
        except TypeError as e:
            return str(e)
        if not isinstance(given, HELD.get(kind, object)):
            return f"{op}: attribute {name} is {given!r}; expected {kind}"
        if name in FLAGS and given not in (0, 1):
            return f"{op}: attribute {name} is {given!r}; expected 0 or 1"
    missing = [name for name, x in op.attributes.items() if x.required and name not in node.attributes]
    return f"{op}: attribute {missing[0]} is missing" if missing else None


def stumbled(node: Node, error: Exception) -> str:
    """Why a rule or a decomposition stumbled over a node, as far as that can be told."""
    values = ", ".join("-" if v is None else str(v.type) for v in node.inputs)
    return misfit(node) or f"{node.op} cannot take its inputs or attributes: {error} (inputs: {values or 'none'})"


@functools.cache
def _required(op: Op) -> tuple[tuple[int, str], ...]:
    return tuple((i, x.name) for i, x in enumerate(op.inputs) if not x.optional and not x.variadic)
