"""`xp`: what kernels see of an array library. NumPy's names, and a few more that libraries do not share at one name."""

from collections.abc import Callable
from types import ModuleType
from typing import Any


class Namespace:
    """The functions of an array library, and the extras that a runtime gives it.

    special: the functions of scipy.special; blas: those of scipy.linalg.blas; both loaded when first used.
    scatter_add(target, index, updates): target[index] += updates, where duplicates add up.
    as_strided(x, shape, strides): a view of x.
    random_generator(seed): a source of random numbers.
    """

    def __init__(self, library: ModuleType, lazy: dict[str, Callable[[], Any]], **extras: Any):
        self.__dict__.update({k: v for k, v in vars(library).items() if not k.startswith("__")})
        self.__dict__.update(extras)
        self._lazy = lazy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._lazy:
            raise AttributeError(f"the namespace has no {name!r}")
        found = self._lazy[name]()
        setattr(self, name, found)
        return found
