"""Operands of one element, brought to the rank that their operators are declared with."""

from ..ir import Graph, Node, Value, Weight
from ..model import Model
from ..ops import Op
from ..ops._ranks import odd
from ..ops.shape import reshape, squeeze, unsqueeze
from ..tensors import Tensor


def has_odd_ranks(model: Model) -> bool:
    """Whether there is anything to settle, in bodies and functions too."""
    return any(_odd(node) for graph in model.graphs() for node in graph.nodes)


def settle_ranks(model: Model) -> None:
    """Let nodes of declared operators read numbers and vectors as these say, in place: PyTorch writes scalar axes, others padding values of shape [1].

    Types must have been inferred. What is no constant of whole numbers is reshaped by a node, so that gradients pass it.
    """
    made: dict[tuple[Graph, Value, int], Value] = {}
    for graph in list(model.graph.walk()):
        found = {node: places for node in graph.nodes if (places := _odd(node))}
        if not found:
            continue
        with graph:
            for node in graph.edit():
                inputs = list(node.inputs)
                for place, rank in found.get(node, ()):
                    v = inputs[place]
                    assert v is not None
                    key = graph, v, rank
                    if key not in made:
                        made[key] = _reshaped(v, rank)
                    inputs[place] = made[key]
                if node in found:
                    node.set_inputs(inputs)


def _odd(node: Node) -> list[tuple[int, int]]:
    return odd([None if v is None else v.type for v in node.inputs], node.op.ranks) if isinstance(node.op, Op) and node.op.ranks else []


def _reshaped(v: Value, rank: int) -> Value:
    """A value of one element with another rank, where nodes now land."""
    if isinstance(v, Weight) and v.kind == "constant" and isinstance(v.tensor, Tensor) and v.dtype.kind in "iub":
        return v.graph.root.weight(v.graph.fresh(v.name), v.tensor.array.reshape((1,) * rank))
    if rank == 0:
        return squeeze(v, list(range(v.rank)))
    return unsqueeze(v, [0]) if v.rank == 0 else reshape(v, [1])
