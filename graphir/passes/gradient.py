"""The gradient of a model is a model: the same values and outputs, and one output more for each gradient that was asked for."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from ..collector import collector_paused
from ..dims import product
from ..dtypes import FLOATS
from ..ir import Graph, Value, Weight
from ..model import Model
from ..ops import Op
from ..ops._gradient import GradientError, gradients
from ..types import TensorType
from .dedupe import dedupe
from .expand import expand
from .infer import infer
from .prune import prune
from .upgrade import upgrade


def gradient(model: Model, of: str | Sequence[str] | None = None, wrt: str | Sequence[str] | None = None) -> Model:
    """A copy of the model with an output `d_<name>` for each value in `wrt`: the gradient of `of` with respect to it.

    of: names of float values; their sum is differentiated. One with more than one element takes a seed input `seed_<name>` of its type.
        By default the only float output.
    wrt: addresses or patterns (`*`, `?`) of inputs and weights, those in bodies and in Constant nodes included. By default all that are floats.
    `gradients` of the result maps (of, wrt) to the output's name; the nodes are standard operators in the declared versions.
    Raises KeyError for an unknown name, GradientError (a TypeError) where no gradient is to be had.
    """
    with collector_paused():
        model = model.copy()
        upgrade(model)
        expand(model, lambda op: True)
        infer(model)
        targets = _targets(model, [of] if isinstance(of, str) else of)
        sources = _sources(model, [wrt] if isinstance(wrt, str) else wrt)
        seeds = {v: _seed(model.graph, name, v) for name, v in targets.items()}
        found = gradients(seeds, list(sources.values()))
        for (name, v), dv in zip(sources.items(), found):
            if dv is None:
                raise GradientError(f"no path leads from {name} to {', '.join(targets)}, so there is no gradient; leave it out of wrt")
            _hand_out(model, "+".join(targets), name, v, dv)
        dedupe(model)
        prune(model)
    return model


def _targets(model: Model, of: Sequence[str] | None) -> dict[str, Value]:
    if of is None:
        floats = [v for v in model.outputs if isinstance(v.type, TensorType) and v.dtype in FLOATS]
        if len(floats) != 1:
            raise GradientError(
                f"the model has {len(floats)} float outputs ({', '.join(v.name for v in floats)}); say with `of` which is meant"
            )
        return {floats[0].name: floats[0]}
    found = {name: model.find(name) for name in of}
    for name, v in found.items():
        if not isinstance(v.type, TensorType) or v.dtype not in FLOATS:
            raise GradientError(f"{name} is {v.type}; only a tensor of floats can be differentiated")
        if v.graph is not model.graph:
            raise GradientError(f"{name} is made in a body; only values of the main graph can be differentiated")
    return found


def _sources(model: Model, wrt: Sequence[str] | None) -> dict[str, Value]:
    """The values to differentiate for, by address. Weights of bodies are moved to the main graph, from where the bodies capture them."""
    choices = {a: v for a, v in model.addresses().items() if _is_source(v)}
    found: dict[str, Value] = {}
    for pattern in ["*"] if wrt is None else wrt:
        matches = [a for a in choices if a == pattern] or [a for a in choices if fnmatchcase(a, pattern)]
        if not matches:
            v = model.find(pattern)  # raises KeyError with near misses
            matches = [a for a, x in choices.items() if x is v]
            if not matches:
                raise GradientError(f"{pattern} is {v.type}; gradients are with respect to inputs and weights that are floats")
        floats = [a for a in matches if choices[a].dtype in FLOATS]
        if not floats:
            raise GradientError(f"{pattern} is {choices[matches[0]].type}; gradients are with respect to floats")
        found.update((a, choices[a]) for a in floats if a == pattern or choices[a].uses)
    return {a: _hoisted(model.graph, v) for a, v in found.items()}


def _is_source(v: Value) -> bool:
    if not isinstance(v.type, TensorType):
        return False
    if v.node is not None:
        return v.node.op.name == "Constant" and isinstance(v.node.op, Op)
    return isinstance(v, Weight) or v.graph.parent is None


def _hoisted(graph: Graph, v: Value) -> Value:
    """A value of the main graph that stands for a weight, or a Constant, of a body."""
    if v.graph is graph:
        return v
    tensor = v.tensor if isinstance(v, Weight) else v.node.attributes.get("value") if v.node is not None else None
    if tensor is None:
        assert v.node is not None
        tensor = np.asarray(next(iter(v.node.attributes.values())), v.dtype)
    weight = graph.weight(graph.fresh(v.name), tensor)
    graph.replace_uses(v, weight)
    return weight


def _seed(graph: Graph, name: str, v: Value) -> Value:
    """What the gradient of a value starts from: one, or an input where it has more than one element."""
    if v.type.shape is not None and product(v.shape) == 1:
        return graph.weight(graph.fresh(f"one_{name}"), np.ones([1] * v.rank, v.dtype))
    return graph.input(graph.fresh(f"seed_{name}"), TensorType(v.dtype, v.type.shape))


def _hand_out(model: Model, of: str, wrt: str, v: Value, dv: Value) -> None:
    graph = model.graph
    if dv in graph.outputs or dv.node is None:
        from ..ops.elementwise import identity

        dv = identity(dv)
    n, name = 1, f"d_{wrt}"
    while not graph.is_free(name):
        n += 1
        name = f"d{n}_{wrt}"
    graph.output(dv, name)
    if dv.type.shape is None:
        dv.type = v.type
    model.gradients[of, wrt] = name
