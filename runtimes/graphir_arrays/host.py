"""`xp` for NumPy: what graphir_numpy computes with, and every other runtime on the host."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from graphir.feeds import received

from .namespace import Namespace


def fresh(x: Any) -> Any:
    """A copy that nobody else holds; of a sequence, a list of copies; of a map, a dict."""
    if isinstance(x, list):
        return [fresh(y) for y in x]
    return dict(x) if isinstance(x, dict) else None if x is None else np.array(x)


def to_numpy(x: Any) -> np.ndarray:
    """The array as NumPy's."""
    return np.asarray(x)


def scatter_add(target: np.ndarray, index: tuple, updates: np.ndarray) -> None:
    """target[index] += updates, where duplicates add up."""
    np.add.at(target, index, updates)


def require(holds: Any, error: Callable[[], Exception]) -> None:
    """Raise what `error` makes unless `holds`."""
    if not holds:
        raise error()


def require_within(x: Any, low: int, high: int, error: Callable[[int, int], Exception]) -> None:
    """Raise what `error` makes of the least and the largest number of x unless all lie from `low` to below `high`."""
    if x.size:
        least, largest = int(x.min()), int(x.max())
        if least < low or largest >= high:
            raise error(least, largest)


def holds(dtype: np.dtype) -> bool:
    """Every dtype."""
    return True


xp = Namespace(
    np,
    lazy={
        "special": lambda: importlib.import_module("scipy.special"),
        "blas": lambda: importlib.import_module("scipy.linalg.blas"),
        "fft": lambda: importlib.import_module("numpy.fft"),
    },
    scatter_add=scatter_add,
    as_strided=np.lib.stride_tricks.as_strided,
    random_generator=np.random.default_rng,
    fresh=fresh,
    to_numpy=to_numpy,
    received=received,
    quiet=partial(np.errstate, all="ignore"),
    require=require,
    require_within=require_within,
    worth_it=np.any,
    holds=holds,
)
xp.host = xp
