"""`graphir grad`: write a model together with its gradients, or with its tangents."""

from typing import TYPE_CHECKING, Any

import click

from .dims import dim_option, with_sizes
from .limits import VerbBudget, limit_options
from .model_file import PIPE, format_option, kind_of, model_argument, opset_option, read, write
from .options import Number, of_option, wrt_option
from .terminal import progress, say_columns

if TYPE_CHECKING:
    from ..model import Model


class Factor(click.ParamType):
    """A pattern and a number: layer1.*=0.1."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The pattern and the number."""
        pattern, _, number = str(value).rpartition("=")
        if not pattern:
            self.fail(f"{value!r} names nothing, such as layer1.*=0.1", param, ctx)
        try:
            return pattern, Number().convert(number, param, ctx)
        except click.BadParameter:
            return self.fail(f"{value!r} ends in no finite number, such as layer1.*=0.1", param, ctx)


@click.command(short_help="Write a model together with its gradients.")
@model_argument
@click.argument("destination")
@of_option
@wrt_option
@click.option("--forward", is_flag=True, help="Write tangents: how the values move where inputs v_NAME say how those of --wrt move.")
@click.option("--stop", multiple=True, metavar="PATTERN", help="Values that no gradient passes.")
@click.option("--scale", type=Factor(), multiple=True, metavar="PATTERN=X", help="Values where gradients are multiplied by X.")
@click.option(
    "--straight-through", multiple=True, metavar="PATTERN", help="Values whose gradient passes the node that makes them unchanged."
)
@click.option(
    "--ties",
    type=click.Choice(["pytorch", "even"]),
    default="pytorch",
    show_default=True,
    help="Who gets the gradient of the largest of several.",
)
@dim_option
@format_option
@opset_option
@limit_options
def grad(
    model_file: str, destination: str, of: tuple[str, ...], wrt: tuple[str, ...], forward: bool, stop: tuple[str, ...],
    scale: tuple[tuple[str, float], ...], straight_through: tuple[str, ...], ties: str, dims: tuple[tuple[str, int], ...], format_: str | None,
    opset: int | None,
    budget: VerbBudget,
) -> None:  # fmt: skip
    """Write MODEL to DESTINATION with an output d_NAME for each gradient, and print which they are.

    The gradients are nodes of standard operators, in the model's own opset where that can say them. What is differentiated and is no single number
    gets one input more, seed_NAME: what is to be summed is multiplied by it.. With --forward it has inputs v_NAME and outputs t_NAME in their place: the
    Jacobian times a vector.
    """
    if forward and (stop or scale or straight_through or ties != "pytorch"):
        raise click.UsageError("--forward goes with --of and --wrt alone")
    kind_of(destination, format_)
    model = with_sizes(read(model_file, budget), dims)
    with progress("differentiating"):
        if forward:
            made, rows = _tangents(model, of, wrt)
        else:
            how = {"stop": stop, "scale": dict(scale), "straight_through": straight_through, "ties": ties}
            made, rows = _gradients(model, of, wrt, how)
    write(made, destination, format_, {"opset": opset})
    if destination != PIPE:
        types = {v.name: str(v.type) for v in (*made.inputs, *made.outputs)}
        say_columns([(kind, name, types[name], why) for kind, name, why in rows if name in types])


def _gradients(model: "Model", of: tuple[str, ...], wrt: tuple[str, ...], how: Any) -> tuple["Model", list[tuple[str, str, str]]]:
    from ..passes.gradient import differentiate

    found = differentiate(model, of or None, wrt or None, **how)
    seeds = [("input", seed.name, f"times this, {name} is differentiated") for name, seed in found.seeds.items()]
    return found.model, [*seeds, *(("output", name, f"with respect to {wrt}") for wrt, name in found.gradients.items())]


def _tangents(model: "Model", of: tuple[str, ...], wrt: tuple[str, ...]) -> tuple["Model", list[tuple[str, str, str]]]:
    from ..passes.jvp import push_forward

    found = push_forward(model, of or None, wrt or None)
    moves = [("input", name, f"how {a} moves") for a, name in found.inputs.items()]
    return found.model, [*moves, *(("output", name, f"how {of} moves then") for of, name in found.outputs.items())]
