"""Compute once what never changes: nodes whose inputs are all constant become constant weights."""

from collections.abc import Callable, Sequence
from typing import Any

from ..dims import product
from ..dtypes import nbytes
from ..ir import Graph, Node, Value, Weight
from ..model import Model
from ..tensors import Tensor
from ..types import TensorType
from .dedupe import is_pure

LIMIT = 64 << 20  # bytes that folding may add to a model, over those of the constants it reads; what would take more is left to run time

Evaluate = Callable[[Node, list[Any]], Sequence[Any]]


def fold(model: Model, evaluate: Evaluate, limit: int | None = None) -> None:
    """Replace the outputs of pure nodes on constants. `evaluate(node, arrays)` computes a node; it comes from a runtime.

    limit: the bytes that may be added, where they are fewer than LIMIT. A node that cannot be computed stays: it may never run, and says what is wrong if it does.
    """
    left = LIMIT if limit is None else min(limit, LIMIT)
    for graph in list(model.graph.walk()):
        left = _fold(graph, evaluate, left)


def _fold(graph: Graph, evaluate: Evaluate, left: int) -> int:
    """Fold one graph; returns what is left of the bytes that may be added."""
    for node in graph.edit():
        if not is_pure(node) or not all(v is None or _is_constant(v) for v in node.inputs):
            continue
        added = _added_bytes(node)
        if added is None or added > left:
            continue
        arrays = [None if v is None else v.tensor.array for v in node.inputs]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        try:
            results = evaluate(node, arrays)
        except Exception:  # a node that cannot be computed now may never be reached in a run, and says why there
            continue
        left -= added
        for v, x in zip(node.outputs, results):
            if v is not None and v.uses:
                graph.replace_uses(v, graph.weight(graph.fresh(f"{v.name}_folded"), Tensor.of(x, v.dtype)))
        graph.drop(node)
    return left


def _is_constant(v: Value) -> bool:
    return isinstance(v, Weight) and v.kind == "constant" and isinstance(v.tensor, Tensor)


def _added_bytes(node: Node) -> int | None:
    """How many bytes the results take over those of the inputs; None where they are no tensors of a known size."""
    total = 0
    for v in node.outputs:
        if v is None:
            continue
        if not isinstance(v.type, TensorType) or v.type.shape is None:
            return None
        size = product(v.type.shape)
        if not isinstance(size, int):
            return None
        total += nbytes(v.dtype, size)
    given = sum(v.tensor.nbytes for v in node.inputs if v is not None and isinstance(v.tensor, Tensor))
    return max(total - given, 0)
