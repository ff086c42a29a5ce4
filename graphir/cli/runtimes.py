"""`graphir runtimes`: what is there to run models on."""

import click

from .terminal import say_columns, say_json


@click.command(short_help="Tell which runtimes are installed and can run here.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def runtimes(as_json: bool) -> None:
    """Tell which runtimes are installed, from which package, on what they stand, which of them can run here, and why the others cannot."""
    from ..plugins import runtime_facts

    facts = runtime_facts()
    if as_json:
        say_json([f._asdict() for f in facts])
        return
    say_columns((f.name, f.package, f.version or "", "can run here" if f.available else f"cannot run here: {f.reason}") for f in facts)
