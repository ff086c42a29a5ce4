"""The argument MODEL of every verb."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .terminal import progress

if TYPE_CHECKING:
    from ..model import Model

PIPE = "-"
model_argument = click.argument("model_file", metavar="MODEL")


def read(model_file: str, verify: bool = False) -> "Model":
    """The model in a file, or in what comes through the pipe."""
    import graphir

    with progress(f"reading {model_file}"):
        if model_file == PIPE:
            return graphir.loads(sys.stdin.buffer.read())
        return graphir.load(Path(model_file), verify=verify)
