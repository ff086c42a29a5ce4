"""The modules of the stand-in, built from the table over NumPy and SciPy."""

from collections.abc import Callable
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

from .array import ATOMIC, BFLOAT16, TABLE, UNSORTED, Array, bare, check_kind, held, signature, waits

WAITING = {"nonzero", "unique", "argwhere", "flatnonzero", "array_equal", "allclose", "asnumpy"}
SORTING = {"sort", "argsort", "partition", "argpartition", "unique", "lexsort"}


class Ufunc:
    """A ufunc with the loops that CuPy's has: the first that takes the inputs, Python's numbers bending to the arrays."""

    def __init__(self, function: Any, name: str, loops: str):
        self._function = function
        self.name = name
        self._loops = [tuple([_dtype(c) for c in side] for side in loop.split("->")) for loop in loops.split() if "V" not in loop]
        self._found: dict[Any, Any] = {}

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
        """As CuPy's. Raises TypeError where there is no loop for the dtypes."""
        count = self._function.nin
        if len(args) == count + 1:
            out = args[count]
        inputs = [bare(x) for x in args[:count]]
        if out is not None and not all(isinstance(o, Array) for o in (out if isinstance(out, tuple) else (out,))):
            raise TypeError(f"{self.name}: out is {type(out)}; expected a device array")
        made = self._function(*inputs, dtype=dtype, casting=casting) if dtype is not None else self._looped(inputs)
        made = made if isinstance(made, tuple) else (made,)
        outs = (out,) if not isinstance(out, tuple) else out
        results = [
            held(np.asarray(m)) if o is None else _written(o, np.asarray(m), casting) for m, o in zip(made, (*outs, *[None] * len(made)))
        ]
        return results[0] if len(results) == 1 else tuple(results)

    def _looped(self, inputs: list[Any]) -> Any:
        key = tuple(x.dtype if isinstance(x, np.ndarray | np.generic) else type(x) for x in inputs)
        if key not in self._found:
            self._found[key] = next((loop for loop in self._loops if all(map(_takes, loop[0], key))), None)
        loop = self._found[key]
        if loop is None:
            raise TypeError(f"Wrong type ({', '.join(map(str, key))}) of arguments for cupy_{self.name}")
        takes, gives = loop
        made = self._function(
            *(np.asarray(x).astype(d, copy=False) if isinstance(x, np.ndarray) else _scalar(x, d) for x, d in zip(inputs, takes))
        )
        if isinstance(made, tuple):
            return tuple(np.asarray(m).astype(d, copy=False) for m, d in zip(made, gives))
        return np.asarray(made).astype(gives[0], copy=False)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """For add and multiply, as in CuPy."""
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.name}.reduce` is not supported yet")
        return getattr(array, {"add": "sum", "multiply": "prod"}[self.name])(axis, dtype, out, keepdims)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        """For those that have atomic operations."""
        short = {"add": "add", "maximum": "max", "minimum": "min"}.get(self.name)
        if short is None:
            raise NotImplementedError(f"`cupy_{self.name}.at` is not supported yet")
        scatter(short, a, indices, b)


def _written(out: Array, made: np.ndarray, casting: str) -> Array:
    if np.broadcast_shapes(out._x.shape, made.shape) != out._x.shape:
        raise ValueError(f"non-broadcastable output operand with shape {out._x.shape}; expected {made.shape}")
    np.copyto(out._x, made, casting=casting)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return out


def _dtype(char: str) -> np.dtype:
    return BFLOAT16 if char == "E" else np.dtype(char)


def _takes(dtype: np.dtype, given: Any) -> bool:
    """Whether a loop's dtype takes an input: a dtype, or the class of one of Python's numbers."""
    if isinstance(given, np.dtype):
        return np.can_cast(given, dtype)
    if given is bool:
        return True
    try:
        return np.result_type(given(0), dtype) == dtype
    except TypeError:
        return False


def _scalar(x: Any, dtype: np.dtype) -> Any:
    return dtype.type(x)


def scatter(short: str, a: Array, slices: Any, value: Any) -> None:
    """Combine values into an array, all of those at one place."""
    if a.dtype.name not in ATOMIC[short]:
        raise TypeError(f"cupy.{short}.at does not support {a.dtype}")
    operation = {"add": np.add, "max": np.maximum, "min": np.minimum}[short]
    operation.at(a._x, a._places(slices), np.asarray(bare(value)).astype(a.dtype))


@cache
def ufunc(name: str) -> Ufunc:
    """The ufunc of that name in cupy."""
    return Ufunc(getattr(np, name), name, TABLE["cupy"][name])


def function(name: str, original: Callable[..., Any], text: str) -> Callable[..., Any]:
    """A function of NumPy's that takes no more than CuPy's does."""

    def call(*args: Any, **how: Any) -> Any:
        bound = signature(text).bind(*args, **how)
        check_kind(name, how)
        if name in WAITING:
            waits(name)
        if name in SORTING and any(isinstance(a, Array) and a.dtype.name == UNSORTED for a in args):
            raise TypeError(f"CuPy cannot sort {UNSORTED}")
        out = bound.arguments.get("out")
        made = original(*map(bare, args), **{k: bare(v) for k, v in how.items()})
        return out if isinstance(out, Array) else held(np.asarray(made) if isinstance(made, np.generic) else made)

    return call


def _module(path: str, over: Any, **own: Any) -> ModuleType:
    """A module with the names of the table: own ones, and those of NumPy's namesake held to their parameters."""
    module = ModuleType(path)
    for name, said in TABLE[path].items():
        original = getattr(over, name, None)
        if name in own or original is None:
            continue
        if said is None:
            made = original
        elif "->" in said:
            made = Ufunc(original, name, said) if isinstance(original, np.ufunc) else original
        else:
            made = function(name, original, said)
        setattr(module, name, made)
    for name, x in own.items():
        setattr(module, name, x)
    return module


def _asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> Array:
    if isinstance(a, Array) and (dtype is None or a.dtype == dtype):
        return a
    return Array(np.array(a._x if isinstance(a, Array) else a, dtype, order=order))  # from the host: a copy


def _array(
    obj: Any, dtype: Any = None, copy: bool = True, order: Any = "K", subok: bool = False, ndmin: int = 0, *, blocking: bool = False
) -> Array:
    return Array(
        np.array(obj._x if isinstance(obj, Array) else bare(obj) if isinstance(obj, list) else obj, dtype, order=order, ndmin=ndmin)
    )


def _asnumpy(a: Any, stream: Any = None, order: Any = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get()


def _take(a: Array, indices: Any, axis: Any = None, out: Any = None) -> Any:
    return held(np.asarray(np.take(a._x, bare(indices), axis, None if out is None else out._x, "wrap")))


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None:
        waits("where")
    condition.astype  # noqa: B018  # CuPy asks for it, which a bool of Python's has not
    return held(np.where(*(bare(p) for p in (condition, x, y) if p is not None)))


def _einsum(*operands: Any, dtype: Any = None, optimize: Any = False) -> Any:
    if isinstance(optimize, list) and optimize[0] != "einsum_path":
        raise TypeError(f"Did not understand the path (optimize): {optimize}")
    return held(np.asarray(np.einsum(*map(bare, operands), dtype=dtype, optimize=optimize)))


def _pad(array: Array, pad_width: Any, mode: Any = "constant", **how: Any) -> Array:
    return held(np.pad(bare(array), pad_width, mode, **how))


def _generator(seed: Any = None) -> SimpleNamespace:
    made = np.random.default_rng(seed)
    table = TABLE["cupy.random.Generator"]
    return SimpleNamespace(**{n: function(n, getattr(made, n), said.replace("self, ", "")) for n, said in table.items()})


def libraries() -> tuple[ModuleType, ModuleType]:
    """What stands for the modules cupy and cupyx."""
    ufuncs = {n: ufunc(n) for n, said in TABLE["cupy"].items() if said and "->" in said and isinstance(getattr(np, n, None), np.ufunc)}
    cupy = _module(
        "cupy", np, **ufuncs, ndarray=Array, ufunc=Ufunc, asarray=_asarray, array=_array, asnumpy=_asnumpy, take=_take, where=_where,
        einsum=_einsum, pad=_pad, from_dlpack=lambda x: Array(np.from_dlpack(x._x if isinstance(x, Array) else x)),
        may_share_memory=lambda a, b, max_work=None: np.may_share_memory(bare(a), bare(b)),
    )  # fmt: skip
    cupy.lib = SimpleNamespace(stride_tricks=_module("cupy.lib.stride_tricks", np.lib.stride_tricks))  # pyright: ignore[reportAttributeAccessIssue]
    cupy.fft = _module("cupy.fft", np.fft)  # pyright: ignore[reportAttributeAccessIssue]
    cupy.linalg = _module("cupy.linalg", np.linalg)  # pyright: ignore[reportAttributeAccessIssue]
    cupy.random = _module("cupy.random", SimpleNamespace(), default_rng=_generator)  # pyright: ignore[reportAttributeAccessIssue]
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 1))  # pyright: ignore[reportAttributeAccessIssue]
    cupy.__version__ = TABLE["version"]  # pyright: ignore[reportAttributeAccessIssue]
    cupyx = ModuleType("cupyx")
    for name in TABLE["cupyx"]:
        setattr(cupyx, name, partial(scatter, name.removeprefix("scatter_")))
    special = _module("cupyx.scipy.special", scipy.special)
    cupyx.scipy = SimpleNamespace(special=special)  # pyright: ignore[reportAttributeAccessIssue]
    return cupy, cupyx
