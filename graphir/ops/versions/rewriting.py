"""What the functions behind steps are made of: declaring them, reading a node's inputs and attributes, building nodes on values of unknown type."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...dims import unknown
from ...dtypes import BOOL, FLOAT32, INT64, NAMES, STRING
from ...ir import Graph, Node, Ref, Value, Weight, home
from ...tensors import Tensor
from ...types import TensorType
from .table import Change

UP: dict[tuple[str, int], Change] = {}
DOWN: dict[tuple[str, int], Change] = {}


class CannotSay(Exception):
    """Raised by a step's function: the other version cannot say this node, or what is known does not suffice to tell. Holds the reason."""


# What a function raises on a node that is not as its operator's version declares it; a RuleError is a TypeError.
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, AssertionError, ArithmeticError)


def up(version: int, *names: str) -> Callable[[Change], Change]:
    """Declare the function that raises nodes of these operators to `version` from the version before.

    It changes the node in place and returns None, or builds nodes in the declared form and returns what stands for the outputs.
    """
    return _declare(UP, version, names)


def down(version: int, *names: str) -> Callable[[Change], Change]:
    """Declare the function that lowers nodes of these operators from `version` to the version before, in the same two ways; raises CannotSay."""
    return _declare(DOWN, version, names)


def _declare(table: dict[tuple[str, int], Change], version: int, names: tuple[str, ...]) -> Callable[[Change], Change]:
    def put(change: Change) -> Change:
        table.update({(name, version): change for name in names})
        return change

    return put


# ---- building -----------------------------------------------------------------------------------------------------------------------


def make(name: str, *inputs: Value | None, **attributes: Any) -> Any:
    """Build a node of the declared operator `name` and return its outputs, one or a tuple. outputs: how many the node has, by default one.

    Where an input's type is unknown, or an attribute is one of the enclosing function, the outputs' types are unknown: no type rule is asked.
    """
    op, outputs = ops.lookup("", name), attributes.pop("outputs", 1)
    given = [v for v in inputs if v is not None]
    if isinstance(op, ops.Op) and all(v.type is not None for v in given) and not any(isinstance(x, Ref) for x in attributes.values()):
        if op.counts_outputs:
            attributes["outputs"] = outputs
        made = op(*inputs, **attributes)
        if isinstance(made, tuple) and made[0].node is not None:
            while made[0].node.outputs[-1] is None:
                made[0].node.outputs.pop()
        return made[0] if outputs == 1 and isinstance(made, tuple) else made
    graph = home(given)
    assert graph is not None
    node = graph.append(op, inputs, attributes, [None] * outputs)
    return node.outputs[0] if outputs == 1 else tuple(node.outputs)


def ints(graph: Graph, numbers: Any) -> Value:
    """The constant int64 vector of these numbers."""
    return graph.number([int(i) for i in numbers], INT64)


def scalar(graph: Graph, number: float | bool, dtype: np.dtype | None = None) -> Value:
    """The constant of a number; without a dtype float32, int64 or bool."""
    return graph.number(number, dtype or (BOOL if isinstance(number, bool) else INT64 if isinstance(number, int) else FLOAT32))


def scalar_like(x: Value, graph: Graph, number: float) -> Value:
    """The constant of a number in the dtype of `x`."""
    dtype = dtype_of(x)
    return scalar(graph, number, dtype) if dtype is not None else make("CastLike", scalar(graph, float(number)), x)


def cast_like(x: Value, like: Value) -> Value:
    """`x` in the dtype of `like`."""
    dtype = dtype_of(like)
    if dtype is not None and dtype_of(x) == dtype:
        return x
    return make("CastLike", x, like) if dtype is None else make("Cast", x, to=NAMES[dtype])


# ---- reading ------------------------------------------------------------------------------------------------------------------------


def input_of(node: Node, index: int) -> Value | None:
    """The input at `index`; None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def output_of(node: Node, index: int) -> Value | None:
    """The output at `index` where somebody reads it, else None."""
    value = node.outputs[index] if index < len(node.outputs) else None
    return value if value is not None and value.uses else None


def dtype_of(x: Value | None) -> np.dtype | None:
    """The element type, where it is known."""
    return x.type.dtype if x is not None and isinstance(x.type, TensorType) else None


def dims_of(x: Value | None) -> tuple | None:
    """The dims, where their number is known."""
    return x.type.shape if x is not None and isinstance(x.type, TensorType) else None


def rank_of(x: Value | None, what: str) -> int:
    """The number of dims. Raises CannotSay where it is unknown."""
    dims = dims_of(x)
    if dims is None:
        raise CannotSay(f"the rank of {what} is unknown")
    return len(dims)


def contents(x: Value | None) -> np.ndarray | None:
    """The data of a constant, or of a value whose contents are known; None for others."""
    if x is None:
        return None
    if isinstance(x, Weight):
        return x.tensor.array if x.kind == "constant" and isinstance(x.tensor, Tensor) else None
    if x.node is not None and x.node.op.key == ("", "Constant", ""):
        return constant_tensor(x.node)
    if isinstance(x.type, TensorType) and x.known is not None and all(isinstance(k, int | float) for k in x.known):
        return np.array(x.known, x.dtype).reshape([len(x.known)] if x.rank == 1 else x.shape)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return None


def constant_tensor(node: Node) -> np.ndarray | None:
    """The data of a Constant node; None where it is sparse, or an attribute of the enclosing function."""
    for name, dtype in (("value_int", INT64), ("value_ints", INT64), ("value_float", FLOAT32), ("value_floats", FLOAT32),
                        ("value_string", STRING), ("value_strings", STRING)):  # fmt: skip
        x = node.attributes.get(name)
        if x is not None:
            return None if isinstance(x, Ref) else np.array(x, dtype)
    value = node.attributes.get("value")
    return value.array if isinstance(value, Tensor) else None


def constant(node: Node, index: int, name: str) -> np.ndarray | None:
    """The data of an input that must be constant; None where it is left out. Raises CannotSay where it is computed."""
    x = input_of(node, index)
    found = contents(x)
    if found is None and x is not None:
        raise CannotSay(f"{name} is computed in the graph, and the older form holds it as a constant")
    return found


def given(node: Node, name: str, default: Any) -> Any:
    """An attribute's value, or `default`. Raises CannotSay where it is an attribute of the enclosing function."""
    x = node.attributes.get(name, default)
    if isinstance(x, Ref):
        raise CannotSay(f"{name} is an attribute of the enclosing function")
    return x


def take(node: Node, name: str, default: Any = None) -> Any:
    """`given`, and the attribute is removed."""
    x = given(node, name, default)
    node.attributes.pop(name, None)
    return x


def required(node: Node, name: str, kind: type = int, many: bool = False) -> Any:
    """`take` of an attribute that must be there: a number of a kind, or `many` of them. Raises CannotSay."""
    x = take(node, name)
    if not (isinstance(x, tuple) and all(isinstance(i, kind) for i in x) if many else isinstance(x, kind)):
        raise CannotSay(f"its attribute {name} is {'missing' if x is None else repr(x)}")
    return x


# ---- attributes that became inputs ----------------------------------------------------------------------------------------------------


def operand(node: Node, name: str) -> Value | None:
    """The list of ints that an attribute holds as a value, the attribute removed; None where it was not given."""
    x = node.attributes.pop(name, None)
    if isinstance(x, Ref):
        assert node.graph is not None
        made = node.graph.append(ops.lookup("", "Constant"), (), {"value_ints": x}, [TensorType(INT64, (unknown(),))])
        return made.outputs[0]
    return None if x is None else ints(node.graph, x)  # pyright: ignore[reportArgumentType]


def to_attribute(node: Node, index: int, name: str) -> None:
    """The inverse of `operand`, for the input at `index`; the input stays. Raises CannotSay where it is computed."""
    found = constant(node, index, name)
    if found is not None:
        node.attributes[name] = tuple(int(i) for i in found.reshape(-1))


def set_inputs(node: Node, *inputs: Value | None) -> None:
    """Let a node read these, and drop constants that nobody reads any more."""
    before = node.inputs
    kept = list(inputs)
    while kept and kept[-1] is None:
        kept.pop()
    node.set_inputs(kept)
    for v in before:
        if isinstance(v, Weight):
            if not v.uses and v.kind == "constant" and v.graph.weights.get(v.name) is v:
                v.graph.drop_weight(v)
        elif v is not None and not v.uses and v.node is not None and v.node.op.key == ("", "Constant", "") and v.node.graph is not None:
            v.node.graph.drop(v.node)


def replace_operator(node: Node, name: str) -> None:
    """Let a node apply another operator, of the same inputs and attributes."""
    node.op = ops.lookup("", name)
