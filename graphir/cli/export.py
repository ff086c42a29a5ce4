"""`graphir export`: from one format to another."""

from typing import Any

import click

from .dims import dim_option, with_sizes
from .limits import VerbBudget, limit_options
from .model_file import format_option, kind_of, model_argument, opset_option, read, write
from .options import Whole


@click.command(short_help="Write a model in another format.")
@model_argument
@click.argument("destination")
@dim_option
@format_option
@opset_option
@click.option(
    "--ir-version",
    type=Whole(1),
    metavar="N",
    help="The version of the ONNX file format to write. [default: the lowest that does]",
)
@click.option("--external-data/--embed", default=None, help="Weights in a file of their own beside the model, or inside it.")
@click.option("--sort", is_flag=True, default=None, help="Nodes in topological order, where the file has them in another.")
@limit_options
def export(
    model_file: str, destination: str, dims: tuple[tuple[str, int], ...], format_: str | None, budget: VerbBudget, **options: Any
) -> None:
    """Write MODEL to DESTINATION. The suffix names the format: .onnx or .gir; .txt or .json, without the data of weights, to read; - is a pipe."""
    kind_of(destination, format_)
    write(with_sizes(read(model_file, budget), dims), destination, format_, options)
