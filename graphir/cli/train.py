"""`graphir train`: move the weights of a model until it says what the data says."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .dims import dim_option, with_sizes
from .limits import VerbBudget, limit_options
from .model_file import PIPE, kind_of, model_argument, read
from .options import Number, Whole, seed_option
from .process import Terminated, expect_stdout
from .terminal import progress, say, say_note

if TYPE_CHECKING:
    from ..training import Progress, Result


@click.command(short_help="Train a model on data.")
@model_argument
@click.argument("data", metavar="DATA.npz")
@click.argument("destination")
@click.option(
    "--loss", default="cross_entropy", show_default=True, metavar="NAME", help="cross_entropy, mean_squared_error or binary_cross_entropy."
)
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME", help="sgd, momentum or adam.")
@click.option("--learning-rate", "--lr", type=Number(), default=0.001, show_default=True, metavar="X", help="How far a step goes.")
@click.option("--epochs", type=Whole(1), default=5, show_default=True, metavar="N", help="How often all data is seen.")
@click.option("--batch-size", type=Whole(1), metavar="N", help="Examples in a step. [default: 32, or what the model takes]")
@click.option(
    "--target", default="y", show_default=True, metavar="KEY", help="What DATA.npz calls the labels, or what the output should be."
)
@click.option("--output", metavar="NAME", help="The output to learn. [default: the only one that is a tensor of floats]")
@click.option("--wrt", multiple=True, metavar="PATTERN", help="Weights to train; the others stay. [default: all]")
@click.option("--validation", metavar="FILE.npz|0.2", help="Data to measure with after each epoch, or a share of DATA.npz set apart.")
@click.option("--runtime", default="numpy", show_default=True, metavar="NAME", help="What runs the steps; `graphir runtimes` lists them.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on after the last whole epoch of a training of this model on this data, with these options, --epochs aside.",
)
@click.option(
    "--force", is_flag=True, help="Replace the .checkpoint.gir and .history.json of other trainings, and files that only have these names."
)
@dim_option
@seed_option(help="Seed of the order of the data and of dropout.")
@limit_options
def train(
    model_file: str, data: str, destination: str, validation: str | None, runtime: str, resume: bool, force: bool, budget: VerbBudget,
    **options: Any,
) -> None:  # fmt: skip
    """Train MODEL on the arrays in DATA.npz, which are keyed by the names of its inputs, the labels by --target, and write it to DESTINATION.

    The loss and accuracy of each epoch are printed, and saved beside DESTINATION, as .history.json. One seed gives one result. What the next epoch
    needs is kept beside it too, as .checkpoint.gir, from which --resume goes on: where training was cut off, or to more epochs. It goes on with the model
    and the data that it began with. A file that is there under one of these names is replaced where it is of a training of this model on this data.
    """
    import graphir
    from graphir.training import apply, fit

    from ..plugins import write_atomically
    from ..training.losses import loss_name
    from .checkpoint import Training, expect_own, keep, kept
    from .feeds import arrays_of

    checkpoint, beside = _files_beside(destination)  # before the work is done
    arrays = arrays_of(data, budget)
    target = options["target"]
    options |= {"loss": loss_name(options["loss"]), "optimizer": _optimizer_name(options["optimizer"])}
    settings = {**options, "validation": validation, "number_of_examples": sum(arrays[target].shape[:1]) if target in arrays else None}
    how = {**options, "optimizer": _optimizer(options["optimizer"], options["learning_rate"]), "wrt": list(options["wrt"]) or None}
    del how["learning_rate"], how["dims"]
    held = _validation(validation, budget)
    model = read(model_file, budget)
    budget.per_run = True
    sized = with_sizes(model, options["dims"])
    training = Training(model, arrays, held, settings)
    before = kept(checkpoint, training, budget) if resume else None
    if before is None and not force:
        expect_own(checkpoint, beside, training)
    done, prints = 0 if before is None else len(before.history), None
    how |= {"validation": held, "runtime": runtime, "limits": budget, "resume": before, "note": say_note}

    def saved(so_far: "Result") -> None:
        nonlocal done, prints
        prints = keep(checkpoint, so_far, training, prints)
        done = len(so_far.history)

    try:
        with _watched() as watch:
            result = fit(sized, arrays, progress=watch, checkpoint=saved, **how)
    except (KeyboardInterrupt, Terminated) as e:
        raise (_ended(e, checkpoint) if done else e) from None
    with progress(f"writing {destination}"):
        graphir.save(apply(model, {a: result.state[a] for a in model.weights if a in result.state}), Path(destination))
        text = json.dumps({**settings, "batch_size": result.batch_size, "runtime": runtime, "history": result.history}, indent=2) + "\n"
        write_atomically(beside, lambda file: file.write(text.encode()))
    say(f"{destination} is trained; its history is in {beside}")


def _files_beside(destination: str) -> tuple[Path, Path]:
    """The checkpoint and the history. Raises where they, or the destination itself, cannot be written, or nothing can be printed."""
    from ..atomic import expect_writable

    if destination == PIPE:
        raise click.UsageError("the trained model goes to a file: give its name")
    kind_of(destination, None)
    expect_stdout()
    checkpoint, history = (Path(destination).with_suffix(suffix) for suffix in (".checkpoint.gir", ".history.json"))
    for path in (checkpoint, history):
        expect_writable(path)
    return checkpoint, history


def _ended(by: BaseException, checkpoint: Path) -> BaseException:
    """The error of a training that ends after its first epoch."""
    text = f"{checkpoint} holds all up to the last whole epoch; --resume goes on from there"
    return Terminated(f"terminated: {text}") if isinstance(by, Terminated) else click.ClickException(f"interrupted: {text}")


def _optimizer_name(text: str) -> str:
    from ..expect import named, near
    from ..training.optimizers import OPTIMIZERS

    name = named(text, {k: k for k in OPTIMIZERS}, {"sgdmomentum": "momentum"})
    if name is None:
        raise click.UsageError(f"--optimizer {text}: there are {', '.join(OPTIMIZERS)}{near(text, OPTIMIZERS)}")
    return name


def _optimizer(name: str, learning_rate: float) -> Any:
    from ..training.optimizers import OPTIMIZERS

    try:
        return OPTIMIZERS[name](learning_rate)
    except ValueError as e:
        raise click.UsageError(str(e)) from None


def _validation(text: str | None, budget: VerbBudget) -> "float | dict[str, Any] | None":
    """What to measure with: a share of the data, as 0.2 or 20%, or the arrays in a file; None where nothing is asked for."""
    from .feeds import arrays_of

    if text is None:
        return None
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return arrays_of(text, budget)


@contextmanager
def _watched() -> Iterator[Callable[["Progress"], None]]:
    """What to call after each batch: prints a line for each epoch, and where stderr is a terminal shows a bar there."""
    if not sys.stderr.isatty():
        yield _say_epoch
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None, epoch="")

        def watch(p: "Progress") -> None:
            total = p.epochs * p.batches
            bar.update(
                task,
                total=total,
                completed=(p.epoch - 1) * p.batches + p.batch,
                epoch=f"{p.epoch}/{p.epochs}",
                description=_text(p.metrics),
            )
            if p.summary is not None:
                bar.stop()  # both may be one terminal
                _say_epoch(p)
                bar.start()

        yield watch


def _say_epoch(p: "Progress") -> None:
    if p.summary is not None:
        say(f"epoch {p.epoch}  {_text(p.summary)}")


def _text(metrics: dict[str, float]) -> str:
    return "  ".join(
        f"{name.replace('_', ' ')} {x:.1%}" if "accuracy" in name else f"{name.replace('_', ' ')} {x:.4g}" for name, x in metrics.items()
    )
