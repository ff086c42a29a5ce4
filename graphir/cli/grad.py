"""`graphir grad`: write a model together with its gradients, or with its tangents."""

from typing import TYPE_CHECKING

import click

from .dims import dim_option, with_sizes
from .limits import VerbBudget, limit_options
from .model_file import PIPE, format_option, kind_of, model_argument, opset_option, read, write
from .options import NO_MARKS, how_options, of_option, wrt_option
from .terminal import progress, say_columns, say_note

if TYPE_CHECKING:
    from ..model import Model
    from ..passes.marks import How


@click.command(short_help="Write a model together with its gradients.")
@model_argument
@click.argument("destination")
@of_option
@wrt_option
@click.option("--forward", is_flag=True, help="Write tangents: how the values move where inputs v_NAME say how those of --wrt move.")
@how_options
@dim_option
@format_option
@opset_option
@limit_options
def grad(
    model_file: str, destination: str, of: tuple[str, ...], wrt: tuple[str, ...], forward: bool, how: "How",
    dims: tuple[tuple[str, int], ...], format_: str | None, opset: int | None, budget: VerbBudget,
) -> None:  # fmt: skip
    """Write MODEL to DESTINATION with an output d_NAME for each gradient, and print which they are.

    The gradients are nodes of standard operators, in the model's own opset where that can say them. What is differentiated and is no single number
    gets one input more, seed_NAME: what is to be summed is multiplied by it. With --forward it has inputs v_NAME and outputs t_NAME in their place: the
    Jacobian times a vector.
    """
    if forward and how != NO_MARKS:
        raise click.UsageError("--forward goes with --of and --wrt alone")
    kind_of(destination, format_)
    model = with_sizes(read(model_file, budget), dims)
    with progress("differentiating"):
        if forward:
            made, rows = _tangents(model, of, wrt)
        else:
            made, rows = _gradients(model, of, wrt, how)
    write(made, destination, format_, {"opset": opset})
    if destination != PIPE:
        types = {v.name: str(v.type) for v in (*made.inputs, *made.outputs)}
        say_columns([(kind, name, types[name], why) for kind, name, why in rows if name in types])


def _gradients(model: "Model", of: tuple[str, ...], wrt: tuple[str, ...], how: "How") -> tuple["Model", list[tuple[str, str, str]]]:
    from ..passes.gradient import differentiate
    from ..passes.left_out import notes

    found = differentiate(model, of or None, wrt or None, **how)
    for text in notes(found.left_out):
        say_note(text)
    seeds = [("input", seed.name, f"times this, {name} is differentiated") for name, seed in found.seeds.items()]
    return found.model, [*seeds, *(("output", name, f"with respect to {wrt}") for wrt, name in found.gradients.items())]


def _tangents(model: "Model", of: tuple[str, ...], wrt: tuple[str, ...]) -> tuple["Model", list[tuple[str, str, str]]]:
    from ..passes.jvp import push_forward

    found = push_forward(model, of or None, wrt or None)
    moves = [("input", name, f"how {a} moves") for a, name in found.inputs.items()]
    return found.model, [*moves, *(("output", name, f"how {of} moves then") for of, name in found.outputs.items())]
