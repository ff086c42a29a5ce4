"""What there is to say of a model, as data: what `graphir info` prints."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from .dims import Dim, Expr, Symbol, atoms, relabel
from .model import Model
from .ops import OPSETS, Op
from .tensors import SparseTensor, Tensor
from .types import Type, map_dims


def facts(model: Model) -> dict[str, Any]:
    """The facts of a model, JSON-able.

    inputs, outputs: a list of {"name", "type"}; an input that may be left out has "default": true.
    operators: how often each occurs, in bodies and functions too, the most frequent first; foreign: those that graphir does not know.
    tensors: weights, and what nodes such as Constant hold; parameters: the numbers in them; bytes: what they take in memory.
    """
    nodes = [node for graph in model.graphs() for node in graph.nodes]
    held = [weight.tensor for graph in model.graphs() for weight in graph.weights.values()]
    held += [x for node in nodes for x in node.attributes.values()]
    tensors = [t.values if isinstance(t, SparseTensor) else t for t in held if isinstance(t, Tensor | SparseTensor)]
    known = {f.key for f in model.functions.values()}
    text = _type_printer()
    return {
        "name": model.graph.name,
        "inputs": [{"name": v.name, "type": text(v.type)} | ({"default": True} if v.tensor is not None else {}) for v in model.inputs],
        "outputs": [{"name": v.name, "type": text(v.type)} for v in model.outputs],
        "nodes": len(nodes),
        "operators": dict(sorted(Counter(str(n.op) for n in nodes).items(), key=lambda item: (-item[1], item[0]))),
        "foreign": sorted({str(n.op) for n in nodes if not isinstance(n.op, Op) and n.op.key not in known}),
        "functions": [".".join(filter(None, f.key)) for f in model.functions.values()],
        "tensors": len(tensors),
        "parameters": sum(t.elements for t in tensors),
        "bytes": sum(t.nbytes for t in tensors),
        "opsets": {domain or "ai.onnx": version for domain, version in (model.opsets or OPSETS).items()},
        "updates": {weight.name: value.name for weight, value in model.updates.items()},
        "metadata": dict(model.metadata),
    }


def _type_printer() -> Callable[[Type | None], str]:
    """Prints types, with unknown dims numbered in the order of their appearance."""
    numbers: dict[int, Dim] = {}

    def numbered(dim: Dim) -> Dim:
        for atom in atoms(dim):
            if isinstance(atom.name, int):
                numbers.setdefault(atom.name, Expr((((Symbol(len(numbers)),), 1),)))
        return relabel(dim, numbers)

    return lambda type_: "?" if type_ is None else str(map_dims(type_, numbered))
