"""What `graphir train` keeps after each epoch, to go on from: a .gir file whose weights are the state, with the history and the options in its metadata.

With them stand fingerprints of the model and of the data: a training goes on with what it began with, or not at all.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

if TYPE_CHECKING:
    from ..model import Model
    from ..training import Result
    from .limits import VerbBudget

_KEY = "graphir.training"
_REMEDY = "give DESTINATION another name, or replace it with --force"


class Training(NamedTuple):
    """What a training is made of. options: those of the command line; validation: the arrays to measure with, where they are in a file of their own."""

    model: "Model"
    data: Mapping[str, np.ndarray]
    validation: Any
    options: dict[str, Any]


class _Kept(NamedTuple):
    """What stands in a checkpoint. prints: fingerprints by name; state: arrays by name."""

    options: dict[str, Any]
    history: list[dict[str, float]]
    prints: dict[str, Any]
    model: "Model"
    state: dict[str, np.ndarray]


def keep(path: Path, result: "Result", training: Training, prints: dict[str, str] | None = None) -> dict[str, str]:
    """Write the state after an epoch, whole or not at all. Returns the fingerprints, which the next call need not take again."""
    import graphir

    prints = _fingerprints(training, result.state) if prints is None else prints
    graph = graphir.Graph("checkpoint")
    for name, x in result.state.items():
        graph.add_weight(name, x, "state")
    said = json.dumps({"options": _alike(training.options), "history": result.history, "fingerprints": prints})
    graphir.save(graphir.Model(graph, metadata={_KEY: said}), path)
    return prints


def kept(path: Path, training: Training, budget: "VerbBudget") -> "Result":
    """The result so far. Raises UsageError where there is none, and where an option, the model or the data is another one than it began with; FormatError."""
    import graphir
    from graphir.training import Result

    if not path.exists():
        raise click.UsageError(f"--resume: there is no {path}; training writes it after its first epoch")
    found = _read(path, budget)
    now = _alike(training.options)
    other = next((name for name in now if now[name] != found.options.get(name)), None)
    if other is not None:
        was = found.options.get(other)
        raise click.UsageError(
            f"--resume: {path} began with {other.replace('_', ' ')} {was}, and now it is {now[other]}; say the same again"
        )
    if not found.prints:
        raise click.UsageError(
            f"--resume: {path} does not say with which model and data it began, for an older graphir wrote it; train anew"
        )
    other = _difference(found, training)
    if other is not None:
        raise click.UsageError(f"--resume: {path} began with {other} than this; give the one that it began with")
    if [epoch["epoch"] for epoch in found.history] != list(range(1, len(found.history) + 1)):
        raise graphir.FormatError(f"{path} is no checkpoint of a training: its epochs are not 1, 2, 3, ...")
    return Result(found.model, found.history, found.state)


def expect_own(checkpoint: Path, history: Path, training: Training) -> None:
    """Raises UsageError where a file that training would replace is none of its own: no checkpoint of the same model and data, no history."""
    import graphir

    if checkpoint.exists():
        try:
            other = _difference(_read(checkpoint), training)
        except graphir.FormatError:
            raise click.UsageError(f"{checkpoint} is there, and no checkpoint of a training; {_REMEDY}") from None
        if other is not None:
            raise click.UsageError(f"{checkpoint} is the checkpoint of a training with {other}; {_REMEDY}")
    if history.is_file() and not _is_history(history):
        raise click.UsageError(f"{history} is there, and no history of a training; {_REMEDY}")


def _read(path: Path, budget: "VerbBudget | None" = None) -> _Kept:
    """What stands in a checkpoint. budget: what reading all of it counts against; without it no more is read than is looked at. Raises FormatError where it is none."""
    import graphir

    from ..tensors import Tensor
    from .model_file import read

    model = graphir.load(path) if budget is None else read(str(path), budget, verify=True)
    try:
        said = json.loads(model.metadata[_KEY])
        history = [{name: float(x) for name, x in epoch.items()} | {"epoch": epoch["epoch"]} for epoch in said["history"]]
        options, prints = dict(said["options"].items()), dict(said.get("fingerprints", {}).items())
    except (KeyError, ValueError, TypeError, AttributeError):
        raise graphir.FormatError(f"{path} is no checkpoint of a training; `graphir train` writes one") from None
    state = {name: w.tensor.array for name, w in model.graph.weights.items() if isinstance(w.tensor, Tensor)}
    return _Kept(options, history, prints, model, state)


def _alike(options: dict[str, Any]) -> dict[str, Any]:
    """The options that must stay as they are, as JSON has them."""
    return json.loads(json.dumps({name: x for name, x in options.items() if name != "epochs"}))


def _difference(found: _Kept, training: Training) -> str | None:
    """In what the training that a checkpoint is of differs from this one; None where it is of this model and this data."""
    now = _fingerprints(training, found.state)
    other = next((name for name in now if now[name] != found.prints.get(name)), None)
    return other and f"{'another' if other == 'model' else 'other'} {other}"


def _fingerprints(training: Training, state: Mapping[str, np.ndarray]) -> dict[str, str]:
    prints = {"model": _of_model(training.model, state), "data": _of_arrays(training.data)}
    return prints | ({"validation data": _of_arrays(training.validation)} if isinstance(training.validation, Mapping) else {})


def _of_model(model: "Model", state: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of the model's text, but for the weights that training moves: the checkpoint has them, and the model may be the trained one."""
    from ..tensors import Tensor
    from ..text import model_text
    from ..training import apply

    moved = {}
    for address, w in model.weights.items():
        x = state.get(address)
        if x is not None and isinstance(w.tensor, Tensor) and (x.dtype, x.shape) == (w.tensor.dtype, w.tensor.shape):
            moved[address] = np.zeros_like(x)
    return hashlib.sha256(model_text(apply(model, moved)).encode("utf-8", "backslashreplace")).hexdigest()


def _of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays, their names, element types and shapes."""
    digest = hashlib.sha256()
    for name, x in sorted(arrays.items()):
        digest.update(json.dumps([name, x.dtype.str, x.shape]).encode())
        digest.update(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _is_history(path: Path) -> bool:
    try:
        said = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and {"history", "optimizer", "learning_rate"} <= said.keys()
