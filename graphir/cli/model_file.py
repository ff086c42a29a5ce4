"""The arguments MODEL and DESTINATION of the verbs."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Whole
from .process import expect_stdout, read_stdin, write_stdout
from .terminal import progress, say_all, say_note

if TYPE_CHECKING:
    from ..model import Model
    from .limits import VerbBudget

PIPE = "-"
_BINARY = ("onnx", "gir")


def _named(context: click.Context, param: click.Parameter, name: str) -> str:
    """The name of a file, where it is one."""
    if not name:
        raise click.BadParameter("the name is empty; expected a file", context, param)
    return name


model_argument = click.argument("model_file", metavar="MODEL", callback=_named)
format_option = click.option(
    "--format", "format_", metavar="NAME", help="onnx, gir, json or txt. [default: the suffix; for a pipe onnx, for a terminal txt]"
)
opset_option = click.option(
    "--opset", type=Whole(1), metavar="N", help="The version of the standard operators to write. [default: the model's own]"
)


def read(model_file: str, budget: "VerbBudget", verify: bool = False, copy: bool | None = None) -> "Model":
    """The model in a file, or in what comes through the pipe. verify, copy: see `graphir.load`."""
    import graphir

    with progress(f"reading {model_file}"):
        if model_file == PIPE:
            data = read_stdin()
            budget.reads(len(data))
            return graphir.loads(data)
        path = Path(model_file)
        budget.reads(path.stat().st_size if path.is_file() else 0)
        model = graphir.load(model_file, verify=verify, copy=copy)
        budget.reads(_bytes_beside(model, path))
        return model


def _bytes_beside(model: "Model", path: Path) -> int:
    """The bytes of the model's weights that lie in files beside it: no more than all files there have."""
    from ..tensors import Tensor

    tensors = {id(w.tensor): w.tensor for g in model.graphs() for w in g.weights.values() if isinstance(w.tensor, Tensor)}
    wanted = sum(t.nbytes for t in tensors.values() if t.storage == "external")
    return min(wanted, sum(entry.stat().st_size for entry in os.scandir(path.parent) if entry.is_file())) if wanted else 0


def kind_of(destination: str, format_: str | None) -> str:
    """The format in which a pipe or a terminal gets a model. Asked before there is one, for it complains of a destination that cannot be written."""
    if destination != PIPE:
        from ..plugins import FORMATS, format_of, installed

        expect_file(destination)
        if format_ is not None and Path(destination).suffix.lower() in {f".{name}" for name in installed(FORMATS)} - {f".{format_}"}:
            raise click.UsageError(f"{destination} would be a file of format {format_}; expected a name that ends in .{format_}")
        return format_ or format_of(Path(destination))
    expect_stdout()
    terminal = sys.stdout.isatty()
    kind = format_ or ("txt" if terminal else "onnx")
    if terminal and kind in _BINARY:
        raise click.UsageError(f"{kind} is binary and would garble the terminal; give a file, a pipe, or --format txt")
    return kind


def write(model: "Model", destination: str, format_: str | None, options: dict[str, Any]) -> None:
    """Write a model to a file, a pipe or the terminal. options: the format's own; those that are None are left out."""
    import graphir

    options = {name: x for name, x in options.items() if x is not None}
    kind, notes, data = kind_of(destination, format_), [], None
    with progress(f"writing {destination}"):
        if destination == PIPE:
            data = graphir.dumps(model, kind, note=notes.append, **options)
        else:
            graphir.save(model, Path(destination), format=format_, note=notes.append, **options)
    for note in notes:
        say_note(note)
    if data is None:
        return
    if sys.stdout.isatty():
        say_all(data.decode())
    else:
        write_stdout(data)


def expect_file(path: str, suffix: str = "") -> None:
    """Complain of a destination before the work is done: of a folder that is not there or is read-only, of a folder in its place, of another suffix than this one."""
    from ..atomic import expect_writable

    if not path:
        raise click.UsageError("the name of the file to write is empty")
    target = Path(os.path.realpath(path))
    if suffix and target.suffix.lower() != suffix and (target.is_file() or not target.exists()):  # devices and pipes have none
        raise click.UsageError(f"{path} would be a {suffix} file; expected a name that ends in {suffix}")
    expect_writable(path)
