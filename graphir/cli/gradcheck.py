"""`graphir gradcheck`: hold a model's gradients against differences."""

from typing import TYPE_CHECKING

import click

from .dims import drawn_dim_option, known_sizes
from .limits import VerbBudget, limit_options
from .model_file import model_argument, read
from .options import (
    Number,
    how_options,
    input_option,
    inputs_option,
    of_option,
    runtime_option,
    seed_option,
    wrt_option,
)
from .terminal import progress, say, say_columns, say_json

if TYPE_CHECKING:
    from ..passes.marks import How


@click.command(short_help="Hold a model's gradients against differences.")
@model_argument
@of_option
@wrt_option
@how_options
@inputs_option
@input_option
@drawn_dim_option
@runtime_option
@seed_option(help="Seed of directions, of what is drawn, and of random operators.")
@click.option("--tolerance", type=Number(0), default=1e-5, show_default=True, metavar="X", help="What relative error is let pass.")
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def gradcheck(
    model_file: str, of: tuple[str, ...], wrt: tuple[str, ...], how: "How", file: str | None, given: tuple[str, ...], dims: tuple[tuple[str, int], ...],
    runtime: str, seed: int, tolerance: float, budget: VerbBudget, as_json: bool,
) -> int:  # fmt: skip
    """Compare the gradients of MODEL with central differences of a float64 copy of it, along random directions. Exit status 1 where one differs, or
    none could be checked: those that pass rounding or marks on purpose are no derivatives, which differences cannot tell from right ones.

    Inputs that are not given are drawn: floats from the normal distribution, whole numbers 0 or 1, with 2 for a size that is not known.
    """
    from ..passes.check_gradient import check_gradient
    from ..passes.infer import type_inputs
    from ..types import bind
    from .feeds import feeds

    model = read(model_file, budget)
    sizes = known_sizes(model, dims)
    type_inputs(model.graph, {v.name: t for v in model.inputs if (t := bind(v.type, sizes)) is not None})
    arrays, _ = feeds(model, file, given, sizes, seed, all_of_them=False, budget=budget)
    budget.per_run = True
    with progress("comparing"):
        report = check_gradient(model, of or None, wrt or None, arrays, seed, runtime, tolerance=tolerance, limits=budget, **how)
    if as_json:
        say_json({"model": model_file, "of": report.of, "ok": report.ok, "gradients": [row._asdict() for row in report.rows]})
    else:
        say_columns(report.table())
        count, wrong = sum(row.checked for row in report.rows), sum(not row.ok for row in report.rows)
        found = f"{wrong} of {count} gradients differ" if wrong else f"{count} gradients agree" if count else "nothing could be checked"
        say(f"{', '.join(report.of)}: {found}")
    return 0 if report.ok else 1
