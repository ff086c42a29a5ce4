"""`graphir check`: is a model valid, and what is wrong with it."""

import click

from .limits import VerbBudget, limit_options
from .model_file import model_argument, read
from .terminal import progress, say, say_json


@click.command(short_help="Is a model valid, and what is wrong?")
@model_argument
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def check(model_file: str, as_json: bool, budget: VerbBudget) -> int:
    """Check MODEL: its structure, its operators in their versions, the types of its values, its tensors and their checksums. Exit status 1 if anything is wrong."""
    problems, unknown = _checked(model_file, budget)
    if as_json:
        say_json({"model": model_file, "valid": not problems, "problems": problems, "unknown": unknown})
        return 1 if problems else 0
    for problem in problems:
        say(problem)
    verdict = f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "valid"
    if unknown:
        verdict += f", but {len(unknown)} operator{'s are' if len(unknown) > 1 else ' is'} not known here: {', '.join(unknown)}"
    say(f"{model_file}: {verdict}")
    return 1 if problems else 0


def _checked(model_file: str, budget: VerbBudget) -> tuple[list[str], list[str]]:
    """The problems of a file, and the operators that are not known."""
    from ..passes.check import check
    from ..plugins import FormatError

    try:
        model = read(model_file, budget, verify=True, copy=False)
    except FormatError as e:
        return [str(e)], []
    with progress("checking"):
        return check(model)
