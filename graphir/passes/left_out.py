"""What a gradient leaves out by default, and why: weights from which no gradient flows, or that are no floats of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..dims import product
from ..dtypes import NAMES
from ..ir import Graph, Node, Value
from ..model import Model
from ..ops import Op
from ..ops._gradient import CARRYING, CODES, is_float, none
from ..tensors import Tensor
from ..types import TensorType

NAMED = 3  # of those that one reason holds for, in a note
NUMBERS = "single numbers, which `wrt` can name"


def blocked(graph: Graph, barriers: Mapping[str, str]) -> dict[Value, str]:
    """The values from which a path leads to a node that has no gradient, with the reason. barriers: reasons by the first output of such a node."""
    found: dict[Value, str] = {}
    for node in reversed(graph.nodes):
        reasons = [barriers.get(first_output(node)), *(found.get(v) for v in node.outputs if v is not None)]
        reason = next((r for r in reasons if r is not None), None)
        if reason is not None:
            for v in _within(node):
                if isinstance(v.type, TensorType) and (v.dtype.kind not in "iub" or v.dtype in CODES):
                    found.setdefault(v, reason)
    return found


def first_output(node: Node) -> str:
    """The name of the first output, by which a node is found again in a copy of its graph."""
    return next((v.name for v in node.outputs if v is not None), "")


def _within(node: Node) -> Iterator[Value]:
    """What a node reads, and all values in its bodies."""
    yield from node.reads()
    for graph in (g for body in node.bodies.values() for g in body.walk()):
        yield from graph.values()


def quantized(sources: Mapping[str, Value], behind: set[Value]) -> dict[str, str]:
    """The weights that hold codes of numbers, by address, with the reason. Zero points aside."""
    found = {}
    for address, v in sources.items():
        data = isinstance(v.type, TensorType) and v.dtype in CODES and product(v.shape) != 1
        if data and v in behind and not all(_is_zero_point(user, v) for user in v.uses):
            found[address] = f"of {NAMES[v.dtype]}, which takes no small steps"
    return found


def _is_zero_point(node: object, v: Value) -> bool:
    if not isinstance(node, Node) or not isinstance(node.op, Op):
        return False
    names = [x.name for x in node.op.inputs]
    return all(names[min(i, len(names) - 1)].endswith("zero_point") for i, x in enumerate(node.inputs) if x is v)  # the last may repeat


def in_attributes(model: Model, behind: set[Value]) -> dict[str, str]:
    """The numbers that operators of ai.onnx.ml hold in attributes, as trees do: node.attribute, with the reason."""
    found = {}
    for graph in model.graph.walk():
        for node in graph.nodes:
            if node.op.domain == "ai.onnx.ml" and any(v in behind for v in node.outputs if v is not None):
                for name, x in node.attributes.items():
                    if (isinstance(x, Tensor) and x.dtype.kind == "f") or (isinstance(x, tuple) and len(x) > 1 and isinstance(x[0], float)):
                        found[f"{node.label}.{name}"] = f"attributes of {node.op.name}, which are no weights"
    return found


def passed(graph: Graph, targets: Iterable[Value]) -> set[Value]:
    """The values of a graph that gradients of the targets may reach: nodes that pass none end the way."""
    found = set(targets)
    for node in reversed(graph.nodes):
        if any(v in found for v in node.outputs) and _stops(node) is None:
            found.update(v for v in _within(node) if is_float(v))
    return found


def why_none(v: Value, reached: set[Value], forward: set[Node]) -> str:
    """Why no gradient flows to a value that others hang on. reached: what `passed` gives. forward: the nodes of the main graph that make no gradients."""
    told: dict[str, None] = {}
    seen, waiting = {v}, [v]
    while waiting:
        for user in list(waiting.pop().uses):
            node = user.owner if isinstance(user, Graph) else user
            if not isinstance(node, Node) or _outermost(node) not in forward:
                continue
            if stop := _stops(node):
                told[stop] = None
            elif reached.issuperset(x for x in node.outputs if x is not None):
                told[f"{node.op.name} reads how to compute"] = None
            else:
                further = [x for x in node.outputs if x is not None and x not in seen]
                seen.update(further)
                waiting += further
    return f"without a gradient, since {', '.join(sorted(told, key=lambda s: not s.endswith('none'))[:NAMED])}"


def _outermost(node: Node) -> Node:
    """The node of the main graph in which a node stands, or itself."""
    while node.graph is not None and node.graph.owner is not None:
        node = node.graph.owner
    return node


def _stops(node: Node) -> str | None:
    if isinstance(node.op, Op) and node.op.gradient_rule is none:
        return f"{node.op.name} passes none"
    floats = any(v is not None and is_float(v) for v in node.outputs)
    return None if floats or node.op in CARRYING else f"{node.op.name} makes no floats"


def notes(left_out: Mapping[str, str]) -> Iterator[str]:
    """One line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for address, reason in left_out.items():
        by_reason.setdefault(reason, []).append(address)
    for reason, names in by_reason.items():
        yield f"not differentiated, {reason}: {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
