"""What the inputs, outputs and state of a training step are called, where the model itself may have the usual names."""

import json
from collections.abc import Mapping
from itertools import chain, count
from typing import NamedTuple

from ..ir import Graph, Value, Weight
from ..model import Model

_KEY = "graphir.step"  # of the step's metadata, so that a step that was saved still tells
RATE = "learning_rate"


class Names(NamedTuple):
    """The names in a training step. They are the usual ones, or those asked for, but where an input or a weight of the model is called so: then with _1.

    target: the input for what is right, None where the loss has none; metrics: loss and metrics, each with the output that it is, the loss first;
    learning_rate: the state that sets it, None where there is none.
    """

    target: str | None
    metrics: dict[str, str]
    learning_rate: str | None = None


def names(step: Model) -> Names:
    """The names in what `step` made. Raises ValueError for another model."""
    try:
        found = Names(**json.loads(step.metadata[_KEY]))
        return found._replace(metrics=dict(found.metrics.items()))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ValueError("the model is no training step; graphir.training.step makes one of a model") from None


def record(model: Model, found: Names) -> None:
    """Let a model tell its names."""
    model.metadata[_KEY] = json.dumps(found._asdict())


def free(graph: Graph, name: str) -> str:
    """The first of name, name_1, name_2, ... that nothing has."""
    return next(x for x in chain((name,), (f"{name}_{n}" for n in count(1))) if graph.is_free(x))


def settle(model: Model, wanted: Mapping[str, str]) -> tuple[Model, dict[str, str]]:
    """The model with names that are wanted in place of those that values have, as far as inputs and weights leave them; and what each value is called then.

    wanted: the name that a value has -> the one it is to have. Values that nodes make give way.
    """
    held = {v.name: v for graph in model.graph.walk() for v in graph.values()}
    wanted = {x: name for x, name in wanted.items() if x != name and _gives_way(model, held.get(name))}
    if not wanted:
        return model, {}
    for v in [held[name] for name in wanted.values() if name in held]:
        v.graph.rename(v, free(model.graph, v.name))
    model = model.copy()  # in which the names are free
    values = {v.name: v for v in model.graph.values()}
    for x, name in wanted.items():
        model.graph.rename(values[x], name)
    return model, wanted


def _gives_way(model: Model, v: Value | None) -> bool:
    return v is None or v.node is not None or (v.graph is not model.graph and not isinstance(v, Weight))
