"""What `graphir train` keeps after each epoch, to go on from: a .gir file whose weights are the state, with the history and the options in its metadata."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..training import Result
    from .limits import VerbBudget

_KEY = "graphir.training"


def keep(path: Path, result: "Result", options: dict[str, Any]) -> None:
    """Write the state after an epoch, whole or not at all."""
    import graphir

    graph = graphir.Graph("checkpoint")
    for name, x in result.state.items():
        graph.add_weight(name, x, "state")
    said = json.dumps({"options": _alike(options), "history": result.history})
    graphir.save(graphir.Model(graph, metadata={_KEY: said}), path)


def kept(path: Path, options: dict[str, Any], budget: "VerbBudget") -> "Result":
    """The result so far. Raises UsageError where there is none, and where an option is another one than it began with; FormatError."""
    import graphir
    from graphir.training import Result

    from ..tensors import Tensor
    from .model_file import read

    if not path.exists():
        raise click.UsageError(f"--resume: there is no {path}; training writes it after its first epoch")
    model = read(str(path), budget, verify=True)
    try:
        said = json.loads(model.metadata[_KEY])
        began = dict(said["options"].items())
        history = [{name: float(x) for name, x in epoch.items()} | {"epoch": epoch["epoch"]} for epoch in said["history"]]
    except (KeyError, ValueError, TypeError, AttributeError):
        raise graphir.FormatError(f"{path} is no checkpoint of a training; `graphir train` writes one") from None
    now = _alike(options)
    other = next((name for name in now if now[name] != began.get(name)), None)
    if other is not None:
        raise click.UsageError(
            f"--resume: {path} began with {other.replace('_', ' ')} {began.get(other)}, and now it is {now[other]}; say the same again"
        )
    if [epoch["epoch"] for epoch in history] != list(range(1, len(history) + 1)):
        raise graphir.FormatError(f"{path} is no checkpoint of a training: its epochs are not 1, 2, 3, ...")
    return Result(model, history, {name: w.tensor.array for name, w in model.graph.weights.items() if isinstance(w.tensor, Tensor)})


def _alike(options: dict[str, Any]) -> dict[str, Any]:
    """The options that must stay as they are, as JSON has them."""
    return json.loads(json.dumps({name: x for name, x in options.items() if name != "epochs"}))
