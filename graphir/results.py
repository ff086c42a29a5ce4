"""What a run made: its facts, how two results differ, and how they are saved."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .dtypes import COMPLEX, DTYPES, FLOATS, NAMES, STRING
from .plugins import write_atomically
from .types import shape_text

_FEW = 8  # values that are told one by one


def summary(x: Any) -> dict[str, Any]:
    """The facts of an array, a sequence or an optional that a run made, JSON-able: its type, and its values where they are few, else its range and mean."""
    if x is None:
        return {"type": "optional", "values": None}
    if isinstance(x, list | tuple):
        return {"type": f"sequence of {len(x)}", "elements": [summary(e) for e in x[:_FEW]]}
    if isinstance(x, dict):
        return {"type": f"map of {len(x)}", "values": {str(k): v for k, v in list(x.items())[:_FEW]}}
    x = _array(x)
    found: dict[str, Any] = {"type": f"{NAMES.get(x.dtype, str(x.dtype))}{shape_text(x.shape)}"}
    if x.size <= _FEW or x.dtype == STRING or x.dtype in COMPLEX:
        return found | {"values" if x.size <= _FEW else "first": [_plain(v) for v in x.reshape(-1)[:_FEW]]}
    wide = x if x.dtype.kind in "iu" else x.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    if finite.size:
        found |= {"min": finite.min().item(), "mean": finite.mean().item(), "max": finite.max().item()}
    return found | ({"not finite": wide.size - finite.size} if finite.size < wide.size else {})


def _array(x: Any) -> np.ndarray:
    """A result as an array. Text of a fixed width, as NumPy makes of Python's, is the text that graphs have."""
    x = np.asarray(x)
    return x.astype(STRING) if x.dtype.kind == "U" else x


def _plain(v: Any) -> Any:
    """An element of an array, as JSON has it."""
    if isinstance(v, str | bytes):
        return v if isinstance(v, str) else v.decode("utf-8", "replace")
    dtype = np.asarray(v).dtype
    if dtype in COMPLEX:
        return str(v)
    return float(v) if dtype in FLOATS else bool(v) if dtype.kind == "b" else int(v)


def difference(x: Any, y: Any) -> float:
    """The largest absolute difference of two results; infinite where type, shape, length, keys or text differ. NaN equals NaN."""
    if isinstance(x, list | tuple) and isinstance(y, list | tuple):
        return _largest(x, y) if len(x) == len(y) else np.inf
    if isinstance(x, dict) and isinstance(y, dict):
        return _largest(_values(x, x), _values(y, x)) if x.keys() == y.keys() else np.inf
    if x is None or y is None:
        return 0.0 if x is y else np.inf
    x, y = _array(x), _array(y)
    if x.shape != y.shape or x.dtype != y.dtype:
        return np.inf
    if x.dtype == STRING:
        return 0.0 if x.tolist() == y.tolist() else np.inf
    return float(_gaps(x, y).max(initial=0.0))


def _values(x: Mapping[Any, Any], keys: Iterable[Any]) -> list[Any]:
    """The values of a map, in the order of the keys. Single ones come as one array, floats as float64: runtimes hand them out as Python's, or in their own width."""
    values = [x[key] for key in keys]
    if not values or any(v is None or np.ndim(v) for v in values):
        return values
    array = np.asarray(values, object if any(isinstance(v, str | bytes) for v in values) else None)
    return [array.astype(np.float64) if array.dtype in FLOATS else array]


def _gaps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The absolute differences of two arrays of one type, of numbers; infinite where one alone is no number."""
    same = x == y
    wide = np.complex128 if x.dtype in COMPLEX else np.float64
    x, y = x.astype(wide), y.astype(wide)
    with np.errstate(invalid="ignore"):
        gaps = np.maximum(np.abs(x - y), np.finfo(np.float64).tiny)  # whole numbers may differ, and be one as floats
    return np.where(same | (np.isnan(x) & np.isnan(y)), 0.0, np.where(np.isnan(gaps), np.inf, gaps))


def _largest(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    return max((difference(x, y) for x, y in zip(xs, ys, strict=True)), default=0.0)


# What results of two runtimes may differ by, relative to their largest number: a thousand roundings, about.
TOLERANCES = dict.fromkeys(FLOATS, 0.25) | {
    DTYPES[name]: x
    for name, x in {"float64": 1e-6, "complex128": 1e-6, "float32": 1e-4, "complex64": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}.items()
}


def tolerance(x: Any, rtol: float | None = None, atol: float | None = None, least: float = 0.0) -> float:
    """What another runtime's result may differ by: nothing, except for floats, where it is `atol`, or `rtol` times the largest number, if that is more.

    By default both are what TOLERANCES has for the dtype, and not less than `least`.
    """
    found = 0.0
    for a in (a for a in _leaves(x) if a.dtype in TOLERANCES):
        usual = max(TOLERANCES[a.dtype], least)
        sizes = np.abs(a.astype(np.complex128 if a.dtype in COMPLEX else np.float64))
        largest = float(sizes[np.isfinite(sizes)].max(initial=0.0))
        found = max(found, usual if atol is None else atol, (usual if rtol is None else rtol) * largest)
    return found


def _leaves(x: Any) -> Iterator[np.ndarray]:
    """The arrays in a result."""
    if isinstance(x, list | tuple | dict):
        for part in _values(x, x) if isinstance(x, dict) else x:
            yield from _leaves(part)
    elif x is not None:
        yield _array(x)


class Worst(NamedTuple):
    """Where two results differ most, and what each has there, as text."""

    place: str
    first: str
    second: str


def worst(x: Any, y: Any) -> Worst:
    """Where two results differ most: an index, where both are arrays of one type; keys that one alone has; else what the two are."""
    if isinstance(x, list | tuple) and isinstance(y, list | tuple) and len(x) == len(y) and x:
        i = max(range(len(x)), key=lambda i: difference(x[i], y[i]))
        place, first, second = worst(x[i], y[i])
        return Worst(f"element {i}, {place}", first, second)
    if isinstance(x, dict) and isinstance(y, dict) and (x or y):
        return _worst_in_maps(x, y)
    kinds = [summary(v)["type"] for v in (x, y)]
    if any(v is None or isinstance(v, list | tuple | dict) for v in (x, y)) or kinds[0] != kinds[1]:
        return Worst("", *kinds)
    x, y = _array(x), _array(y)
    if not x.size:
        return Worst("", *kinds)
    gaps = (x != y) if x.dtype == STRING else _gaps(x, y)
    at = np.unravel_index(int(np.argmax(gaps)), x.shape)
    return Worst(f"at [{', '.join(map(str, at))}] " if at else "", *(_told(v[at]) for v in (x, y)))


def _worst_in_maps(x: Mapping[Any, Any], y: Mapping[Any, Any]) -> Worst:
    alone = [[repr(key) for key in one if key not in other] for one, other in ((x, y), (y, x))]
    if any(alone):
        return Worst(
            "keys that the other lacks: ", *(", ".join(keys[:_FEW]) + (", ..." if len(keys) > _FEW else "") or "none" for keys in alone)
        )
    key = max(x, key=lambda key: _largest(_values(x, [key]), _values(y, [key])))
    place, first, second = worst(*(_values(v, [key])[0] for v in (x, y)))
    return Worst(f"key {key!r}, {'' if np.ndim(x[key]) == 0 else place}", first, second)


def _told(v: Any) -> str:
    """An element, in as many digits as tell it from others."""
    plain = _plain(v)
    return f"{plain:.9g}" if isinstance(plain, float) else str(plain)


def save_arrays(path: Path, results: Mapping[str, Any]) -> None:
    """Write results to an .npz, by name; the elements of a sequence as NAME/0, NAME/1, ... What is None is left out."""

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:  # numpy.savez cannot hold every name
            for name, x in results.items():
                for entry, array in _arrays(name, x):
                    with archive.open(zipfile.ZipInfo(f"{entry}.npy"), "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array.astype(str) if array.dtype == STRING else array, allow_pickle=False)

    write_atomically(path, write)


def _arrays(name: str, x: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(x, list | tuple):
        for i, element in enumerate(x):
            yield from _arrays(f"{name}/{i}", element)
    elif x is not None:
        yield name, np.asarray(x)
