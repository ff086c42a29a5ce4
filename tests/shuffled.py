"""Another order of what has none in a file: attributes, weights, declared types, the inputs of sums and products, and nodes as far as the graph allows."""

import random
from collections.abc import Sequence
from typing import Any

import onnx

COMMUTATIVE = frozenset(("Add", "Mul", "Sum", "Mean", "Max", "Min", "And", "Or", "Xor", "Equal", "BitwiseAnd", "BitwiseOr", "BitwiseXor"))


def shuffled(model: onnx.ModelProto, seed: int, allowed: bool = True) -> onnx.ModelProto:
    """A copy in another order. allowed: with nodes in an order in which each reads what was made before it, else in any."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    rng = random.Random(seed)
    for entries in (copy.functions, copy.opset_import):
        _reorder(entries, rng.sample(range(len(entries)), len(entries)))
    _graph(copy.graph, rng, allowed)
    for function in copy.functions:
        _nodes(function.node, rng, allowed)
    return copy


def _graph(graph: onnx.GraphProto, rng: random.Random, allowed: bool) -> None:
    for entries in (graph.initializer, graph.sparse_initializer, graph.value_info):
        _reorder(entries, rng.sample(range(len(entries)), len(entries)))
    _nodes(graph.node, rng, allowed)


def _nodes(nodes: Any, rng: random.Random, allowed: bool) -> None:
    for node in nodes:
        _reorder(node.attribute, range(len(node.attribute))[::-1])
        if node.op_type in COMMUTATIVE and not node.domain:
            inputs = list(node.input)[::-1] if len(node.input) == 2 else rng.sample(list(node.input), len(node.input))
            node.ClearField("input")
            node.input.extend(inputs)
        for a in node.attribute:
            for graph in (a.g, *a.graphs):
                _graph(graph, rng, allowed)
    _reorder(nodes, _allowed_order(list(nodes), rng) if allowed else rng.sample(range(len(nodes)), len(nodes)))


def _reorder(entries: Any, order: Sequence[int]) -> None:
    copies = [type(entries[i]).FromString(entries[i].SerializeToString()) for i in order]
    del entries[:]
    entries.extend(copies)


def _allowed_order(nodes: list[onnx.NodeProto], rng: random.Random) -> list[int]:
    """Places of the nodes, each after those whose outputs it reads, in a random order otherwise."""
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    waits = [{maker[name] for name in _read(node) if name in maker} - {i} for i, node in enumerate(nodes)]
    order: list[int] = []
    while len(order) < len(nodes):
        ready = [i for i, needed in enumerate(waits) if i not in order and needed <= set(order)]
        order.append(rng.choice(ready))
    return order


def _read(node: onnx.NodeProto) -> set[str]:
    """The names that a node reads, those that its bodies read from outside among them, and some that they make."""
    found = set(node.input)
    for a in node.attribute:
        for graph in (a.g, *a.graphs):
            found |= {v.name for v in graph.output} | {name for inner in graph.node for name in _read(inner)}
        found |= {s.decode() for s in (*a.strings, a.s)} if node.op_type == "Gradient" else set()
    return found
