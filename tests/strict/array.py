"""The array of the stand-in."""

import contextlib
import inspect
import json
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("table.json").read_text())
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
ATOMIC = {  # dtypes that scatter_add, scatter_max and scatter_min take, as their documentation says
    "add": {"float16", "float32", "float64", "int32", "uint32", "uint64"},
    "max": {"float32", "float64", "int32", "uint32", "uint64"},
    "min": {"float32", "float64", "int32", "uint32", "uint64"},
}
UNSORTED = "bfloat16"  # a dtype that CuPy cannot sort


class DuplicateIndex(ValueError):
    """Several values for one place: which of them stays is undefined on a GPU."""


class Synchronisation(Counter[str]):
    """How often Python waited for the device, by what it asked."""


_waits = Synchronisation()


@contextlib.contextmanager
def counted() -> Iterator[Synchronisation]:
    """What was waited for inside."""
    global _waits
    outer, _waits = _waits, Synchronisation()
    try:
        yield _waits
    finally:
        _waits = outer


def waits(what: str) -> None:
    """Count one wait."""
    _waits[what] += 1


@cache
def signature(text: str) -> inspect.Signature:
    """The parameters that a text of the table says."""
    scope: dict[str, Any] = {}
    exec(f"def f{text}: pass", scope)  # a text of table.json
    return inspect.signature(scope["f"])


def held(x: Any) -> Any:
    """NumPy's result as the stand-in's: arrays and scalars wrapped, in tuples and lists too. Raises TypeError for a dtype that CuPy lacks."""
    if isinstance(x, tuple | list):
        return type(x)(map(held, x)) if type(x) in (tuple, list) else tuple(map(held, x))
    return Array(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x


def bare(x: Any) -> Any:
    """An argument as NumPy's. Raises TypeError for an array of NumPy's own, which CuPy does not mix with its own."""
    if isinstance(x, Array):
        return x._x
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, tuple | list):
        return type(x)(map(bare, x)) if type(x) in (tuple, list) else x
    return x


def _binary(name: str, *, turned: bool = False) -> Callable[..., Any]:
    def method(self: "Array", other: Any) -> Any:
        if not isinstance(other, Array | np.generic | bool | int | float | complex | np.ndarray):
            return NotImplemented
        from .library import ufunc

        return ufunc(name)(other, self) if turned else ufunc(name)(self, other)

    return method


def _onto(name: str) -> Callable[..., Any]:
    def method(self: "Array", other: Any) -> Any:
        from .library import ufunc

        return ufunc(name)(self, other, out=self)

    return method


class Array:
    """What CuPy's ndarray does, and no more, on the NumPy array `_x`."""

    __slots__ = ("_x",)
    __array_ufunc__ = None

    def __init__(self, x: np.ndarray):
        if not (x.dtype == BFLOAT16 or (x.dtype.isbuiltin == 1 and x.dtype.kind in "biufc")):
            raise TypeError(f"Unsupported dtype {x.dtype}")
        self._x = x

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"{function} of NumPy was called on a device array")

    def __getattr__(self, name: str) -> Any:
        text = TABLE["cupy.ndarray"].get(name, "")
        if text == "" or name.startswith("_"):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        if text is None:
            return held(getattr(self._x, name))
        return lambda *args, **how: self._method(name, text, args, how)

    def _method(self, name: str, text: str, args: tuple, how: dict[str, Any]) -> Any:
        signature(text).bind(self, *args, **how)
        if name in ("item", "tolist", "get", "nonzero", "tobytes"):
            waits(name)
        check_kind(name, how)
        if name == "get":
            return np.array(self._x)
        if name == "astype":
            return held(cast(self._x, *args, **how))
        if name in ("argsort", "sort", "partition") and self.dtype.name == UNSORTED:
            raise TypeError(f"CuPy cannot sort {UNSORTED}")
        out = how.get("out", next((a for a in args if isinstance(a, Array)), None) if name == "clip" else None)
        made = getattr(self._x, name)(*map(bare, args), **{k: bare(v) for k, v in how.items()})
        return out if isinstance(out, Array) and made is out._x else held(made)

    # ---- from Python: each waits for the device ---------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        waits("bool")
        return bool(self._x)

    def __int__(self) -> int:
        waits("int")
        return int(self._x)

    def __float__(self) -> float:
        waits("float")
        return float(self._x)

    def __index__(self) -> int:
        waits("index")
        return operator.index(self._x)

    def __len__(self) -> int:
        return len(self._x)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # ---- indexing -------------------------------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return held(np.asarray(self._x[self._places(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        places = self._places(index)
        if any(isinstance(i, np.ndarray) and i.dtype != bool for i in (places if isinstance(places, tuple) else (places,))):
            seen = np.zeros(self._x.shape, np.int64)
            np.add.at(seen, places, 1)
            if seen.size and seen.max() > 1:
                raise DuplicateIndex(f"index {index} names a place twice")
        self._x[places] = bare(value)

    def _places(self, index: Any) -> Any:
        """The index as NumPy's: places out of range wrap around, as they do on a GPU."""
        parts = index if isinstance(index, tuple) else (index,)
        axis, found = 0, []
        left = sum(_axes_of(p) for p in parts)
        for p in parts:
            axis += self._x.ndim - left if p is Ellipsis else 0
            if isinstance(p, Array) and p.dtype.kind in "iu" and self._x.shape[axis] > 0:
                found.append(p._x % self._x.shape[axis])
            else:
                if isinstance(p, Array) and p.dtype == bool:
                    waits("mask")
                found.append(bare(p))
            axis += _axes_of(p)
        return tuple(found) if isinstance(index, tuple) else found[0]

    def __dlpack__(self, **how: Any) -> Any:
        return self._x.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0  # CUDA

    def __repr__(self) -> str:
        return f"strict{self._x!r}"

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def check_kind(name: str, how: dict[str, Any]) -> None:
    """CuPy sorts in one way. Raises ValueError for another."""
    if "sort" in name and how.get("kind") not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")


def _axes_of(part: Any) -> int:
    """How many axes a part of an index takes."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, Array) and part.dtype == bool else 1


def cast(x: np.ndarray, dtype: Any, order: Any = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> np.ndarray:
    """As CUDA casts: what lies below zero becomes 0 in unsigned dtypes."""
    dtype = np.dtype(dtype)
    if dtype.kind == "u" and x.dtype.kind in "fV":
        x = np.maximum(x, 0)
    return x.astype(dtype, order=order or "K", casting=casting or "unsafe", copy=copy)


OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide", "mod": "remainder", "pow": "power",
    "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip
COMPARISONS = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
for short, long in OPERATORS.items():
    setattr(Array, f"__{short}__", _binary(long))
    setattr(Array, f"__r{short}__", _binary(long, turned=True))
    setattr(Array, f"__i{short}__", _onto(long))
for short, long in COMPARISONS.items():
    setattr(Array, f"__{short}__", _binary(long))
for function in (operator.neg, operator.pos, operator.abs, operator.invert):
    setattr(Array, f"__{function.__name__}__", lambda self, f=function: held(f(self._x)))


def _matmul(self: Array, other: Any) -> Any:
    return held(np.asarray(self._x @ bare(other)))


Array.__matmul__ = _matmul  # pyright: ignore[reportAttributeAccessIssue]
