"""The rows that tests/test_ops.py drives: for each operator, inputs and attributes that show its behaviours."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Make = Callable[[np.random.Generator], np.ndarray]


@dataclass
class Case:
    """One row. inputs: arrays, makers of arrays, lists of them for sequences, None for what is omitted.

    referee: "reference", "ort", or where both fail a function of the inputs that gives the expected output.
    """

    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int | None = None
    tolerance: float = 1e-5
    referee: str | Callable[..., Any] = "reference"

    def arrays(self) -> list[Any]:
        """The inputs, drawn from a seeded generator."""
        rng = np.random.default_rng(0)
        return [x(rng) if callable(x) else [y(rng) if callable(y) else y for y in x] if isinstance(x, list) else x for x in self.inputs]


def case(
    *inputs: Any, outputs: int | None = None, tolerance: float = 1e-5, referee: str | Callable[..., Any] = "reference", **attributes: Any
) -> Case:
    """A row: inputs, then attributes by name. outputs: how many the node has, where the op leaves that open."""
    return Case(inputs, attributes, outputs, tolerance, referee)


def array(*shape: int, low: float = -2, high: float = 2, dtype: str = "float32") -> Make:
    """Draws numbers between low and high; whole ones for integer dtypes, coin tosses for bool."""

    def make(rng: np.random.Generator) -> np.ndarray:
        if dtype == "bool":
            return rng.random(shape) < 0.5
        if np.dtype(dtype).kind in "iu":
            return rng.integers(int(low), int(high) + 1, shape).astype(dtype)
        return np.asarray(rng.uniform(low, high, shape)).astype(dtype)

    return make
