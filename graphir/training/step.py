"""A training step as a model: forward, loss, backward, and what the weights become."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain, count
from typing import Any, Unpack

import numpy as np

from .. import ops
from ..collector import collector_paused
from ..dtypes import FLOATS
from ..expect import expect, expect_model, expect_names
from ..ir import Graph, UnknownRank, Value, Weight
from ..model import Model
from ..ops._gradient import GradientError, gradients
from ..passes.dedupe import dedupe
from ..passes.expand import inline_calls
from ..passes.infer import infer
from ..passes.marks import How, marked
from ..passes.prune import prune
from ..passes.simplify import simplify
from ..tensors import Tensor
from ..types import TensorType
from .losses import LOSSES, Loss
from .optimizers import Optimizer, adam, is_memory


def step(
    model: Model, loss: str | Loss = "cross_entropy", optimizer: Optimizer | None = None, *, wrt: str | Sequence[str] | None = None,
    output: str | None = None, target: str = "y", **how: Unpack[How],
) -> Model:  # fmt: skip
    """A flat model that trains: its inputs are the model's and the target, its outputs the loss and metrics, its `updates` move weights and optimizer state.

    loss: a name, or a function from the output and the target's name to the loss and metrics. optimizer: adam(0.001) by default.
    wrt: addresses or patterns of the weights to train. By default all float weights of the main graph from which a path leads to the loss, single numbers aside.
    output: the name of the output to learn; may be left out where one output alone is a tensor of floats.
    how: `stop`, `scale`, `straight_through`, `ties`, as for `graphir.gradient`.
    Batch normalization works with the statistics of the batch and lets the running ones follow; dropout drops. `apply` brings what was learned to the model.
    Weights keep their names. Raises KeyError for an unknown name, GradientError where no gradient is to be had, ValueError.
    """
    wrt = expect_names(wrt, "wrt")
    expect(optimizer, Callable | None, "the optimizer", "what graphir.training.adam() or sgd() gives")
    with collector_paused():
        model = measured(model, loss, output=output, target=target, training=True)
        graph = model.graph
        value = graph.outputs[0]
        weights = _trained(model, wrt)
        for w in weights.values():
            w.become("state")
        infer(model)
        seed = graph.weight(graph.fresh("one_loss"), np.ones(value.shape, value.dtype))  # pyright: ignore[reportArgumentType, reportCallIssue]
        with marked(model, **how) as marks:
            found = dict(zip(weights.values(), gradients({marks.of(value): seed}, list(weights.values()))))
        moved = {w: dw for w, dw in found.items() if dw is not None}
        for w in weights.values():
            w.become("state" if w in moved else "constant")
        _check_paths(value.name, wrt, {address: w in moved for address, w in weights.items()})
        (optimizer or adam())(model, moved)
        simplify(model)
        dedupe(model)
        prune(model)
    return model


def measured(
    model: Model, loss: str | Loss = "cross_entropy", *, output: str | None = None, target: str = "y", training: bool = False
) -> Model:  # fmt: skip
    """A copy of the model whose outputs are the loss and metrics. training: its operators work as in training."""
    from ..passes.upgrade import upgrade  # its tables are long

    expect_model(model)
    build = LOSSES.get(loss) if isinstance(loss, str) else loss
    if build is None:
        raise ValueError(f"no loss is called {loss!r}; there are {', '.join(LOSSES)}")
    model = _without_names(model.copy(), (target, "loss", "accuracy"))
    upgrade(model)
    inline_calls(model)
    infer(model)
    graph = model.graph
    if target in {v.name for v in (*graph.inputs, *graph.weights.values())}:
        raise ValueError(f"the model has an input or a weight called {target!r}; give the target another name")
    if training:
        train(model)
    try:
        made = build(_output(model, output), target)
    except UnknownRank:
        if foreign := next((node for node in graph.nodes if not isinstance(node.op, ops.Op)), None):
            raise GradientError(
                f"{foreign.op} of node {foreign.label!r} is not declared to graphir, so nothing behind it can be trained"
            ) from None
        raise
    graph.outputs = ()
    for name, v in made.items():
        graph.output(v, _free(graph, name))
    value = graph.outputs[0]
    if not isinstance(value.type, TensorType) or value.dtype not in FLOATS or value.shape != ():
        raise ValueError(f"the loss is {value.type}; expected one float")
    if not training:
        prune(model)
    return model


def train(model: Model) -> None:
    """Let batch normalization and dropout of the main graph work as in training, in place. Running means and variances become updates."""
    from ..passes.upgrade import replace_node

    running: dict[Value, Value] = {}  # where two nodes share them, the second goes on from the first
    for node in model.graph.edit():
        if node.op is ops.normalization.batch_normalization:
            x, scale, b, *statistics = node.inputs
            attributes: dict[str, Any] = {**node.attributes, "training_mode": 1}
            y, *moved = ops.normalization.batch_normalization(x, scale, b, *[running.get(v, v) for v in statistics], **attributes)  # pyright: ignore[reportArgumentType, reportCallIssue]
            running.update((v, new) for v, new in zip(statistics, moved) if isinstance(v, Weight))
            replace_node(node, [y, *moved])
        elif node.op is ops.normalization.dropout:
            data, ratio, *_ = (*node.inputs, None)
            replace_node(node, ops.normalization.dropout(data, ratio, True, **node.attributes))  # pyright: ignore[reportArgumentType]
    for weight, value in running.items():
        if isinstance(weight, Weight):
            model.update(weight, value)


def apply(model: Model, state: Mapping[str, Any]) -> Model:
    """A copy of the model with the weights that a program of its training step has learned. state: weights by address, such as `program.state`.

    The memory of an optimizer is left out: `learning_rate`, `<anything>_step`, `<anything>_<weight>`. Raises ValueError for another address that the model
    does not have, and for a weight of another shape.
    """
    expect_model(model)
    expect(state, Mapping, "the state", "a mapping from addresses to arrays, such as program.state")
    model = model.copy()
    table = model.addresses()
    _check_state(state, table)
    for address, v in table.items():
        if address not in state:
            continue
        new = Tensor.of(np.asarray(state[address]))
        if isinstance(v, Weight) and (new.dtype, new.shape) == (v.tensor.dtype, v.tensor.shape):
            v.tensor = new
        elif isinstance(v, Weight):
            raise ValueError(f"the weight {address} is {v.type}; the state has {new.type}")
    return model


def _check_state(state: Mapping[str, Any], table: Mapping[str, Value]) -> None:
    """Raises ValueError for an address that is neither the model's nor of the memory of an optimizer."""
    weights = [v.name for v in table.values() if isinstance(v, Weight)]
    for address in state:
        if address not in table and not is_memory(str(address), weights):
            raise ValueError(
                f"the state has {address!r}, and the model no weight of that address; its weights are {', '.join(weights[:8]) or 'none'}"
            )


def flat(step: Model) -> Model:
    """A step as a model without updates, for runtimes that know none: state becomes inputs, and what the state `w` becomes the output `new_w`.

    The inputs have defaults, the state as it is now, so that the first step may leave them out. A state that nothing updates, as the learning rate,
    is an input only.
    """
    expect_model(step, "the step")
    model = step.copy()
    graph = model.graph
    updates = dict(model.updates)
    for weight in updates:
        model.stop_updating(weight)
    for weight, value in updates.items():
        v = value if value.node is not None and value not in graph.outputs else ops.elementwise.identity(value)
        graph.output(v, _free(graph, f"new_{weight.name}"))
    for weight in [w for w in graph.weights.values() if w.kind == "state"]:
        graph.open(weight)
    return model


# ---- choosing -----------------------------------------------------------------------------------------------------------------------


def _output(model: Model, name: str | None) -> Value:
    """The output to learn. Raises ValueError where it is not told."""
    floats = {v.name: v for v in model.outputs if isinstance(v.type, TensorType) and v.dtype in FLOATS}
    if name is None and len(floats) == 1:
        return next(iter(floats.values()))
    if name is None or name not in floats:
        raise ValueError(
            f"{'the model has' if name is None else f'no output {name!r} can be learned; there are'} {len(floats)} outputs of floats"
            f" ({', '.join(floats) or 'none'}); name one with `output`"
        )
    return floats[name]


def _without_names(model: Model, names: Iterable[str]) -> Model:
    """The model, with other names for values that nodes make, where they have these: the step's inputs and outputs are to have them."""
    taken = [v for g in model.graph.walk() for n in g.nodes for v in n.outputs if v is not None and v.name in names]
    for v in taken:
        v.graph.rename(v, _free(v.graph, v.name))
    return model.copy() if taken else model


def _free(graph: Graph, name: str) -> str:
    """The first of name, name_1, name_2, ... that nothing has."""
    return next(x for x in chain((name,), (f"{name}_{n}" for n in count(1))) if graph.is_free(x))


def _trained(model: Model, wrt: str | Sequence[str] | None) -> dict[str, Weight]:
    """The weights to train, by address; those that a pattern may mean, whether or not a path leads from them."""
    graph = model.graph
    for weight in [w for w in graph.weights.values() if w.kind == "default"]:
        graph.close(weight)
    floats = {a: w for a, w in graph.weights.items() if w.dtype in FLOATS and w not in model.updates and isinstance(w.tensor, Tensor)}
    if wrt is None:
        return {a: w for a, w in floats.items() if w.shape != ()}
    found: dict[str, Weight] = {}
    for pattern in [wrt] if isinstance(wrt, str) else wrt:
        matches = {a: w for a, w in floats.items() if a == pattern or fnmatchcase(a, pattern)}
        if not matches:
            model.find(pattern)  # raises KeyError with near misses
            raise GradientError(f"{pattern} is no weight of floats of the main graph; name weights to train")
        found.update(matches)
    return found


def _check_paths(loss: str, wrt: str | Sequence[str] | None, reached: Mapping[str, bool]) -> None:
    """Raises GradientError for a pattern of which no weight is reached, or where none is at all."""
    for pattern in ["*"] if wrt is None else [wrt] if isinstance(wrt, str) else wrt:
        if not any(ok for address, ok in reached.items() if address == pattern or fnmatchcase(address, pattern)):
            what = "any weight" if wrt is None else pattern
            raise GradientError(f"no path leads from {loss} back to {what}, so there is nothing to train")
