"""`graphir check`: is a model valid, and what is wrong with it."""

from collections.abc import Iterator

import click

from .model_file import model_argument, read
from .terminal import progress, say, say_json


@click.command(short_help="Is a model valid, and what is wrong?")
@model_argument
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def check(model_file: str, as_json: bool) -> int:
    """Check MODEL: its structure, the types of its values, its tensors and their checksums. Exit status 1 if anything is wrong."""
    problems = list(dict.fromkeys(_problems(model_file)))
    if as_json:
        say_json({"model": model_file, "valid": not problems, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        say(f"{model_file}: " + (f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "valid"))
    return 1 if problems else 0


def _problems(model_file: str) -> Iterator[str]:
    from ..passes.infer import infer
    from ..plugins import FormatError
    from ..verify import verify

    try:
        model = read(model_file, verify=True)
    except FormatError as e:
        yield str(e)
        return
    with progress("checking"):
        yield from verify(model)
        yield from map(str, infer(model))
