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

    What a device needs done otherwise. Reading one of its numbers from Python waits until all that was asked of it is done.
    host: the namespace of NumPy, for what is read from Python and what the library has no array for; NumPy's own is itself.
    holds(dtype): whether the library has arrays of it.
    require(condition, error): raise what `error` makes unless the condition, one bool, is true: now, or, where that would mean to wait, when quiet() ends.
    require_within(x, low, high, error): the same of numbers, all of which lie from `low` to below `high`; error(least, largest) makes the exception.
    quiet(): in which a program runs; floating-point errors are not told there.
    worth_it(mask): whether any element is true; where to ask would mean to wait, True. For work that may be done in vain.
    fresh(x): a copy; to_numpy(x): on the host, as NumPy's array; received(x): what a user gave, of a library that it knows.
    """

    host: "Namespace"

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
