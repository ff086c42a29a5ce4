"""`graphir grad`: write a model together with its gradients."""

import click

from .model_file import PIPE, format_option, kind_of, model_argument, opset_option, read, write
from .options import of_option, wrt_option
from .terminal import progress, say_columns


@click.command(short_help="Write a model together with its gradients.")
@model_argument
@click.argument("destination")
@of_option
@wrt_option
@format_option
@opset_option
def grad(
    model_file: str, destination: str, of: tuple[str, ...], wrt: tuple[str, ...], format_: str | None, opset: int | None
) -> None:  # fmt: skip
    """Write MODEL to DESTINATION with an output d_NAME for each gradient, and print which they are.

    The gradients are nodes of standard operators, in the model's own opset where that can say them. What is differentiated and is no single number
    gets one input more, seed_NAME: what is to be summed is multiplied by it.
    """
    from ..passes.gradient import differentiate

    kind_of(destination, format_)
    model = read(model_file)
    with progress("differentiating"):
        found = differentiate(model, of or None, wrt or None)
    write(found.model, destination, format_, {"opset": opset})
    if destination == PIPE:
        return
    types = {v.name: v.type for v in (*found.model.inputs, *found.model.outputs)}
    rows = [
        ("input", seed.name, str(seed.type), f"times this, {name} is differentiated")
        for name, seed in found.seeds.items()
        if seed.name in types
    ]
    say_columns([*rows, *(("output", name, str(types[name]), f"with respect to {wrt}") for wrt, name in found.gradients.items())])
