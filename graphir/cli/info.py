"""`graphir info`: what is in a model."""

import textwrap
from pathlib import Path
from typing import Any

import click

from .limits import VerbBudget, limit_options
from .model_file import PIPE, model_argument, read
from .terminal import say_columns, say_json, size_text

DEFAULTS = 8  # inputs with defaults that are shown one by one; the first opsets make every weight one


@click.command(short_help="Tell what is in a model.")
@model_argument
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def info(model_file: str, as_json: bool, budget: VerbBudget) -> None:
    """Tell what is in MODEL: inputs, outputs, operators, parameters, opsets, size."""
    from ..info import facts

    found = facts(read(model_file, budget))
    found["size"] = None if model_file == PIPE else Path(model_file).stat().st_size
    if as_json:
        say_json(found)
    else:
        say_columns(_rows(found))


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    size = "" if found["size"] is None else f", {size_text(found['size'])}"
    rows = [("model", f"{found['name'] or '(no name)'}{size}")]
    for kind in ("input", "output"):
        rows += [(kind, f"{v['name']}  {v['type']}") for v in found[f"{kind}s"] if not v.get("default")]
        defaults = [v for v in found[f"{kind}s"] if v.get("default")]
        shown = defaults if len(defaults) <= DEFAULTS else []
        rows += [(kind, f"{v['name']}  {v['type']}  (has a default)") for v in shown]
        rows += [(kind, f"{len(defaults):,} more that have defaults")] if defaults and not shown else []
    rows += [
        ("operators", ", ".join(f"{n} {name}" for name, n in found["operators"].items()) or "none"),
        ("foreign", ", ".join(found["foreign"])),
        ("functions", ", ".join(found["functions"])),
        ("parameters", f"{found['parameters']:,} in {found['tensors']} tensors, {size_text(found['bytes'])}"),
        ("opsets", ", ".join(f"{domain} {version}" for domain, version in found["opsets"].items())),
        ("updates", ", ".join(f"{weight} <- {value}" for weight, value in found["updates"].items())),
        ("metadata", ", ".join(f"{key}={textwrap.shorten(value, 60, placeholder=' ...')}" for key, value in found["metadata"].items())),
    ]
    return [row for row in rows if row[1]]
