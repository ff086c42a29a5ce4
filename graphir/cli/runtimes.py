"""`graphir runtimes`: what is there to run models on."""

import click

from .terminal import say_columns, say_json


@click.command(short_help="Tell which runtimes are installed and can run here.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def runtimes(as_json: bool) -> None:
    """Tell which runtimes are installed, which of them can run here, and why the others cannot."""
    from ..plugins import runtimes as installed

    reasons = {name: runtime.unavailable() for name, runtime in installed().items()}
    if as_json:
        say_json([{"name": name, "available": why is None, "reason": why} for name, why in reasons.items()])
    else:
        say_columns((name, "can run here" if why is None else f"cannot run here: {why}") for name, why in reasons.items())
