"""`graphir export`: from one format to another."""

import sys
from pathlib import Path
from typing import Any

import click

from .model_file import PIPE, model_argument, read
from .terminal import progress, say_all

_BINARY = ("onnx", "gir")


@click.command(short_help="Write a model in another format.")
@model_argument
@click.argument("destination")
@click.option(
    "--format", "format_", metavar="NAME", help="onnx, gir, json or txt. [default: the suffix; for a pipe onnx, for a terminal txt]"
)
@click.option(
    "--opset", type=click.IntRange(1), metavar="N", help="The version of the standard operators to write. [default: the model's own]"
)
@click.option(
    "--ir-version",
    type=click.IntRange(1),
    metavar="N",
    help="The version of the ONNX file format to write. [default: the lowest that does]",
)
@click.option("--external-data/--embed", default=None, help="Weights in a file of their own beside the model, or inside it.")
def export(model_file: str, destination: str, format_: str | None, **options: Any) -> None:
    """Write MODEL to DESTINATION. The suffix names the format: .onnx or .gir; .txt or .json, without the data of weights, to read; - is a pipe."""
    import graphir

    options = {name: x for name, x in options.items() if x is not None}
    terminal = destination == PIPE and sys.stdout.isatty()
    kind = format_ or ("txt" if terminal else "onnx")
    if terminal and kind in _BINARY:
        raise click.UsageError(f"{kind} is binary and would garble the terminal; give a file, a pipe, or --format txt")
    model = read(model_file)
    with progress(f"writing {destination}"):
        if destination != PIPE:
            graphir.save(model, Path(destination), format=format_, **options)
            return
        data = graphir.dumps(model, kind, **options)
    if terminal:
        say_all(data.decode())
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
