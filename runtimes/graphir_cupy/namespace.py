"""`xp` for CuPy: its own names, and those of which CuPy's differ from NumPy's."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from graphir.dtypes import BFLOAT16
from graphir_arrays.host import xp as host
from graphir_arrays.namespace import Namespace
from graphir_arrays.source import FILE

MANY = 256  # checks that are put off, at most: each holds a bool on the device
ATOMIC_ADD = frozenset(map(np.dtype, ("float16", "float32", "float64", "int32", "uint32", "uint64")))
ATOMIC_MAX = frozenset(map(np.dtype, ("float32", "float64", "int32", "uint32", "uint64")))
INT64, UINT64 = np.dtype("int64"), np.dtype("uint64")
SIGN = np.uint64(1 << 63)

# Names of NumPy's that are not CuPy's own here: why.
DIFFERENCES: dict[str, str] = {
    "add": "`reduce` over no axes",
    "multiply": "`reduce` over no axes",
    "maximum": "`reduce`, which CuPy has for add and multiply alone, and `at` for every dtype",
    "minimum": "`reduce`, which CuPy has for add and multiply alone, and `at` for every dtype",
    "max": "takes no `initial`, and so raises for an array without elements",
    "min": "takes no `initial`, and so raises for an array without elements",
    "take": "takes no `mode`: places out of range always wrap around",
    "ufunc": "what stands for add, multiply, maximum and minimum here is one, too",
}


def namespace(cupy: Any, cupyx: Any) -> Namespace:
    """The namespace over these two modules."""
    put_off = PutOff(cupy)
    return Namespace(
        cupy,
        lazy={"special": lambda: cupyx.scipy.special},
        **differences(cupy),
        host=host,
        as_strided=cupy.lib.stride_tricks.as_strided,
        random_generator=cupy.random.default_rng,
        scatter_add=partial(scatter_add, cupy, cupyx),
        fresh=partial(fresh, cupy),
        to_numpy=partial(to_numpy, cupy),
        left=partial(left, cupy),
        received=partial(received, cupy),
        require=put_off.require,
        require_within=put_off.require_within,
        quiet=put_off.settled,
        worth_it=lambda mask: True,
        holds=holds,
    )


def differences(cupy: Any) -> dict[str, Any]:
    """What DIFFERENCES lists, over the module cupy."""
    ufuncs = {name: Ufunc(cupy, name) for name in ("add", "multiply", "maximum", "minimum")}
    return {
        **ufuncs,
        "max": partial(_extreme, ufuncs["maximum"]),
        "min": partial(_extreme, ufuncs["minimum"]),
        "take": lambda a, indices, axis=None, out=None, mode="wrap": cupy.take(a, indices, axis, out),
        "ufunc": (cupy.ufunc, Ufunc),
    }


class Ufunc:
    """A ufunc of CuPy with the `reduce` and `at` of NumPy's."""

    def __init__(self, cupy: Any, name: str):
        self._cupy = cupy
        self._ufunc = getattr(cupy, name)
        self._reduce = {"maximum": cupy.amax, "minimum": cupy.amin}.get(name)

    def __call__(self, *args: Any, **how: Any) -> Any:
        """The ufunc itself."""
        return self._ufunc(*args, **how)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
        """The reduction over an axis or several, none or all. initial: what a reduction of nothing gives, an identity."""
        if axis == ():
            return self._into(out, array.astype(dtype or array.dtype))
        if self._reduce is None:
            return self._ufunc.reduce(array, axis, dtype, out, keepdims)
        if array.size == 0 and initial is not None:
            return self._into(out, self._cupy.full(_reduced(array.shape, axis, keepdims), initial, array.dtype))
        if array.dtype == BFLOAT16:
            return self._into(out, self._reduce(array.astype("float32"), axis, None, keepdims).astype(BFLOAT16))
        return self._reduce(array, axis, out, keepdims)

    def at(self, target: Any, index: Any, updates: Any) -> None:
        """Combine updates into the target, all of those at one place. For maximum and minimum; `scatter_add` adds."""
        if target.dtype in ATOMIC_MAX:
            self._ufunc.at(target, index, updates)
        elif target.dtype == INT64:  # with the sign turned, unsigned numbers have the order of signed ones
            turned = target.view(UINT64) ^ SIGN
            self._ufunc.at(turned, index, updates.astype(INT64).view(UINT64) ^ SIGN)
            self._cupy.copyto(target, (turned ^ SIGN).view(INT64))
        else:
            wide = target.astype(_wide(target.dtype))
            self._ufunc.at(wide, index, updates.astype(wide.dtype))
            self._cupy.copyto(target, wide, casting="unsafe")

    def _into(self, out: Any, x: Any) -> Any:
        if out is None:
            return x
        self._cupy.copyto(out, x, casting="unsafe")
        return out


def _extreme(ufunc: Ufunc, a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """max or min. initial: counts as one more element."""
    made = ufunc.reduce(a, axis, None, out, keepdims, initial)
    return made if initial is None else ufunc(made, initial, out=out)


def _reduced(shape: tuple[int, ...], axis: Any, keepdims: bool) -> tuple[int, ...]:
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = {a % len(shape) for a in axes}
    return tuple(1 if i in gone else n for i, n in enumerate(shape) if keepdims or i not in gone)


def _wide(dtype: Any) -> str:
    return "int32" if dtype.kind in "iub" else "float32"


def scatter_add(cupy: Any, cupyx: Any, target: Any, index: tuple, updates: Any) -> None:
    """target[index] += updates, where duplicates add up; in dtypes that have no atomic addition by way of one that has."""
    if target.dtype in ATOMIC_ADD:
        cupyx.scatter_add(target, index, updates)
    elif target.dtype == INT64:  # whose sums have the bits of unsigned ones
        cupyx.scatter_add(target.view(UINT64), index, updates.astype(INT64).view(UINT64))
    else:
        wide = target.astype(_wide(target.dtype))
        cupyx.scatter_add(wide, index, updates.astype(wide.dtype))
        cupy.copyto(target, wide, casting="unsafe")


def holds(dtype: np.dtype) -> bool:
    """Whether CuPy has arrays of a dtype: numbers of NumPy's own, and bfloat16."""
    return dtype == BFLOAT16 or (dtype.isbuiltin == 1 and dtype.kind in "biufc")


# ---- between host and device ------------------------------------------------------------------------------------------------------------


def fresh(cupy: Any, x: Any) -> Any:
    """A copy that nobody else holds, where the array is; of a sequence, a list of copies."""
    return [fresh(cupy, y) for y in x] if isinstance(x, list) else host.fresh(x) if x is None or _on_host(x) else x.copy()


def to_numpy(cupy: Any, x: Any) -> np.ndarray:
    """The array as NumPy's. Waits for the device."""
    return np.asarray(x) if _on_host(x) else cupy.asnumpy(x)


def left(cupy: Any, x: Any) -> Any:
    """The array on the device, if it can be there."""
    return cupy.asarray(x) if holds(x.dtype) else x


def received(cupy: Any, x: Any) -> Any:
    """What a user gave as an array: one of another library through DLPack, on the host or the device; all else as it is."""
    if isinstance(x, cupy.ndarray) or _on_host(x) or not hasattr(x, "__dlpack__"):
        return x
    on_host = x.__dlpack_device__()[0] == 1
    return np.from_dlpack(x) if on_host else cupy.from_dlpack(x)


def _on_host(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic)


class PutOff(threading.local):
    """Checks of what is on the device, put off until a run ends: to look at once would be to wait for the device each time."""

    def __init__(self, cupy: Any):
        self._cupy = cupy
        self._waiting: list[tuple[Any, Callable[[], Exception], int]] = []

    def require(self, condition: Any, error: Callable[[], Exception]) -> None:
        """Raise what `error` makes unless the condition holds: at once where it is on the host, else in the end."""
        if not isinstance(condition, self._cupy.ndarray):
            host.require(condition, error)
            return
        self._waiting.append((condition, error, _program_line()))
        if len(self._waiting) >= MANY:
            self._settle()

    def require_within(self, x: Any, low: int, high: int, error: Callable[[int, int], Exception]) -> None:
        """The same of the numbers of x, all of which lie from `low` to below `high`."""
        if _on_host(x):
            host.require_within(x, low, high, error)
        elif x.size:
            least, largest = x.min(), x.max()
            self.require((least >= low) & (largest < high), lambda: error(int(least), int(largest)))

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Where a program runs. On leaving, what was put off is looked at, all in one transfer; after an error it is forgotten."""
        outer, self._waiting = self._waiting, []
        try:
            with np.errstate(all="ignore"):  # of what is computed on the host
                yield
            self._settle()
        finally:
            self._waiting = outer

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        flags = self._cupy.asnumpy(self._cupy.stack([condition.reshape(()) for condition, _, _ in waiting]))
        if not flags.all():
            _, error, line = waiting[int(flags.argmin())]
            found = error()
            found.program_line = line  # pyright: ignore[reportAttributeAccessIssue]
            raise found


def _program_line() -> int:
    """The line of the program that runs now; 0 outside of one."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != FILE:
        frame = frame.f_back
    return 0 if frame is None else frame.f_lineno
