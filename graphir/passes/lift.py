"""Weights of bodies, and what Constant nodes hold, as weights of the main graph."""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np

from ..ir import Graph, Value, Weight
from ..model import Model
from ..ops.control import yields
from ..tensors import SparseTensor, Tensor


def lift(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """Each of these values, by address: itself where it is an input or a weight of the main graph; see `_lifted`."""
    found = {address: _lifted(model, address, v) for address, v in values.items()}
    for graph in {v.graph for v in values.values() if v.node is not None}:
        graph.sweep()
    return found


def lift_choices(
    model: Model, choices: Iterable[Mapping[str, Value]], targets: Mapping[str, Value]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """`lift` of all values of the choices; and the targets, where a Constant among them has become a weight."""
    named = {address: v for choice in choices for address, v in choice.items()}
    found = lift(model, named)
    moved = {v: found[address] for address, v in named.items()}
    return found, {name: moved.get(v, v) for name, v in targets.items()}


def _lifted(model: Model, address: str, v: Value) -> Value:
    """The value itself; for a weight of a body and for a Constant, a weight of the main graph that takes its place and its address, and its update."""
    graph = model.graph
    if v.graph is graph and v.node is None:
        return v
    node = v.node
    data: Any = v.tensor if isinstance(v, Weight) else next(iter(node.attributes.values())) if node is not None else None
    if v.name != address and not graph.is_free(address):  # a value of a body may be called as others are from outside
        _free_name(graph, address)
    weight = graph.weight(
        address,
        data if isinstance(data, Tensor | SparseTensor) else np.asarray(data, v.dtype),
        v.kind if isinstance(v, Weight) else "constant",
    )
    bodies = [user for user in v.uses if isinstance(user, Graph) and user is not graph]
    graph.replace_uses(v, weight)
    for body in bodies:
        yields(body, *body.outputs)
    if isinstance(v, Weight):
        if v in model.updates:
            model.update(weight, model.updates[v])
            model.stop_updating(v)
        v.graph.drop_weight(v)
    elif node is not None:
        node.discard()  # and `lift` sweeps, once for all
    return weight


def lift_states(model: Model, addresses: Mapping[str, Value]) -> dict[str, Weight]:
    """Lift the weights of kind "state", in place: a state is then a weight of the main graph whose name is its address. addresses: those of the model."""
    states = {a: v for a, v in addresses.items() if isinstance(v, Weight) and v.kind == "state"}
    return {a: w for a, w in lift(model, states).items() if isinstance(w, Weight)}


def _free_name(graph: Graph, name: str) -> None:
    """Let values of bodies that have a name take another."""
    for body in graph.walk():
        for v in [v for v in body.values() if v.name == name] if body is not graph else ():
            v.named(next(other for i in count(1) if graph.is_free(other := f"{name}_{i}")))
