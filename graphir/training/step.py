"""A training step as a model: forward, loss, backward, and what the weights become."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from .. import ops
from ..collector import collector_paused
from ..dtypes import FLOATS
from ..expect import expect, expect_model, expect_names
from ..ir import UnknownRank, Value, Weight
from ..model import Model
from ..ops._gradient import GradientError, gradients
from ..passes.dedupe import dedupe
from ..passes.expand import inline_calls
from ..passes.gradient import check_types
from ..passes.infer import infer
from ..passes.marks import How, marked
from ..passes.misfit import misfit
from ..passes.prune import prune
from ..passes.settle_ranks import settle_ranks
from ..passes.simplify import simplify
from ..tensors import Tensor
from ..types import TensorType
from .choose import check_paths, output_to_learn, trained
from .losses import Loss, loss_of
from .names import RATE, Names, free, record, settle
from .optimizers import Optimizer, adam, is_memory, is_rate


def step(
    model: Model, loss: str | Loss = "cross_entropy", optimizer: Optimizer | None = None, *, wrt: str | Sequence[str] | None = None,
    output: str | None = None, target: str = "y", note: Callable[[str], object] | None = None, **how: Unpack[How],
) -> Model:  # fmt: skip
    """A flat model that trains: its inputs are the model's and the target, its outputs the loss and metrics, its `updates` move weights and optimizer state.

    loss: a name, or a function from the output and the target's name to the loss and metrics. optimizer: adam(0.001) by default.
    wrt: addresses or patterns of the weights to train. By default all float weights of the main graph from which a path leads to the loss, single numbers aside.
    output: the name of the output to learn; may be left out where one output alone is a tensor of floats.
    how: `stop`, `scale`, `straight_through`, `ties`, as for `graphir.gradient`. note: is told, in a sentence, what is not trained though it is of floats.
    Batch normalization works with the statistics of the batch and lets the running ones follow; dropout drops. `apply` brings what was learned to the model.
    Weights keep their names, and so do inputs; where one of them has the name of the target or of an output of the step, `names(step)` tells which that has. Raises KeyError for an unknown name, GradientError where no gradient is to be had, ValueError.
    """
    wrt = expect_names(wrt, "wrt")
    expect(optimizer, Callable | None, "the optimizer", "what graphir.training.adam() or sgd() gives")
    with collector_paused():
        model, found = _measured(model, loss, output, target, training=True)
        graph = model.graph
        value = graph.outputs[0]
        weights = trained(model, wrt, note)
        for w in weights.values():
            w.become("state")
        infer(model)
        seed = graph.weight(graph.fresh("one_loss"), np.ones(value.shape, value.dtype))  # pyright: ignore[reportArgumentType, reportCallIssue]
        with marked(model, **how) as marks:
            flowing = dict(zip(weights.values(), gradients({marks.of(value): seed}, list(weights.values()))))
        moved = {w: dw for w, dw in flowing.items() if dw is not None}
        for w in weights.values():
            w.become("state" if w in moved else "constant")
        check_paths(model, next(iter(found.metrics)), wrt, {address: w in moved for address, w in weights.items()})
        known = {*graph.weights}
        (optimizer or adam())(model, moved)
        simplify(model)
        dedupe(model)
        prune(model)
        rate = next((a for a in graph.weights if a not in known and is_rate(a)), None)
        return _settled(model, found._replace(learning_rate=rate), target)


def measured(model: Model, loss: str | Loss = "cross_entropy", *, output: str | None = None, target: str = "y") -> Model:
    """A copy of the model whose outputs are the loss and metrics, and which works as outside of training. `names` tells what they are called."""
    model, found = _measured(model, loss, output, target)
    prune(model)
    return _settled(model, found, target)


def _measured(model: Model, loss: str | Loss, output: str | None, target: str, training: bool = False) -> tuple[Model, Names]:
    """A copy of the model whose outputs are the loss and metrics, with the names that they have for now: nothing in the model is renamed yet."""
    from ..passes.upgrade import upgrade  # its tables are long

    expect_model(model)
    build = loss_of(loss)
    model = model.copy()
    if target in {v.name for v in model.inputs if v.tensor is None}:
        raise ValueError(f"the model has an input or a weight called {target!r}; give the target another name")
    upgrade(model)
    inline_calls(model)
    problems = infer(model)
    settle_ranks(model)
    check_types(model, [output_to_learn(model, output)], problems)
    graph = model.graph
    if training:
        train(model)
    name = free(graph, target)
    try:
        made = build(output_to_learn(model, output), name)
    except UnknownRank:
        if foreign := next((node for node in graph.nodes if not isinstance(node.op, ops.Op)), None):
            raise GradientError(
                f"{foreign.op} of node {foreign.label!r} is not declared to graphir, so nothing behind it can be trained"
            ) from None
        raise
    graph.outputs = ()
    metrics = {metric: graph.output(v, free(graph, metric)).name for metric, v in made.items()}
    value = graph.outputs[0]
    if not isinstance(value.type, TensorType) or value.dtype not in FLOATS or value.shape != ():
        raise ValueError(f"the loss is {value.type}; expected one float")
    return model, Names(name if name in {v.name for v in graph.inputs} else None, metrics)


def _settled(model: Model, found: Names, target: str) -> Model:
    """The model with the names that were asked for, where no input and no weight has them."""
    wanted = {x: metric for metric, x in found.metrics.items()}
    if found.target is not None:
        wanted = {found.target: target, **wanted}
    if found.learning_rate is not None:
        wanted[found.learning_rate] = RATE
    model, now = settle(model, wanted)
    record(
        model,
        Names(
            now.get(found.target or "", found.target),
            {metric: now.get(x, x) for metric, x in found.metrics.items()},
            now.get(found.learning_rate or "", found.learning_rate),
        ),
    )
    return model


def train(model: Model) -> None:
    """Let batch normalization and dropout of the main graph work as in training, in place. Running means and variances become updates."""
    from ..passes.upgrade import replace_node

    running: dict[Value, Value] = {}  # where two nodes share them, the second goes on from the first
    for node in model.graph.edit():
        if node.op not in (ops.normalization.batch_normalization, ops.normalization.dropout):
            continue
        if any(v is not None and v.type is None for v in (*node.inputs, *node.outputs)) or misfit(node):
            continue  # what is behind it cannot be learned
        if node.op is ops.normalization.batch_normalization:
            x, scale, b, *statistics = node.inputs
            attributes: dict[str, Any] = {**node.attributes, "training_mode": 1}
            y, *moved = ops.normalization.batch_normalization(x, scale, b, *[running.get(v, v) for v in statistics], **attributes)  # pyright: ignore[reportArgumentType, reportCallIssue]
            running.update((v, new) for v, new in zip(statistics, moved) if isinstance(v, Weight))
            replace_node(node, [y, *moved])
        else:
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
        graph.output(v, free(graph, f"new_{weight.name}"))
    for weight in [w for w in graph.weights.values() if w.kind == "state"]:
        graph.open(weight)
    return model
