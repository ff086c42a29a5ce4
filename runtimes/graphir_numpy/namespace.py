"""`xp` for NumPy."""

import importlib
from functools import partial
from typing import Any

import numpy as np

from graphir_arrays.namespace import Namespace


def fresh(x: Any) -> Any:
    """A copy that nobody else holds; of a sequence, a list of copies."""
    return [fresh(y) for y in x] if isinstance(x, list) else None if x is None else np.array(x)


def to_numpy(x: Any) -> np.ndarray:
    """The array as NumPy's."""
    return np.asarray(x)


def scatter_add(target: np.ndarray, index: tuple, updates: np.ndarray) -> None:
    """target[index] += updates, where duplicates add up."""
    np.add.at(target, index, updates)


xp = Namespace(
    np,
    lazy={"special": lambda: importlib.import_module("scipy.special"), "blas": lambda: importlib.import_module("scipy.linalg.blas")},
    scatter_add=scatter_add,
    as_strided=np.lib.stride_tricks.as_strided,
    random_generator=np.random.default_rng,
    fresh=fresh,
    to_numpy=to_numpy,
    quiet=partial(np.errstate, all="ignore"),
)
