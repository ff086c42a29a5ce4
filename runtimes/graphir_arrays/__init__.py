"""What things that run a graph on arrays share: the executor, and kernels written once against a namespace `xp`."""

import importlib
from typing import Any

from graphir.model import Model

from .limits import Budget, LimitError, Limits
from .program import Program


class ArrayRuntime:
    """A runtime over one array library. overrides: the package whose kernels come before the shared ones."""

    def __init__(self, name: str, xp: Any, overrides: str | None = None):
        self.name = name
        self.xp = xp
        self.overrides = overrides

    def unavailable(self) -> str | None:
        """Why it cannot run here; None where it can."""
        return None

    def version(self) -> str:
        """The array library and its version."""
        return f"{self.name} {importlib.import_module(self.name).__version__}"

    def compile(self, model: Model, *, limits: Limits | Budget | None = None, seed: int = 0) -> Program:
        """A program for a copy of the model: later edits do not reach it. Raises TypeError for an operator that cannot be run."""
        return Program(model, self.xp, self.overrides, limits, seed)


__all__ = ["ArrayRuntime", "Budget", "LimitError", "Limits", "Program"]
