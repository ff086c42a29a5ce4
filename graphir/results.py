"""What a run made: its facts, how two results differ, and how they are saved."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .dtypes import COMPLEX, FLOATS, NAMES, STRING
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
    x = np.asarray(x)
    found: dict[str, Any] = {"type": f"{NAMES.get(x.dtype, str(x.dtype))}{shape_text(x.shape)}"}
    if x.size <= _FEW or x.dtype == STRING or x.dtype in COMPLEX:
        return found | {"values" if x.size <= _FEW else "first": [_plain(v) for v in x.reshape(-1)[:_FEW]]}
    wide = x if x.dtype.kind in "iu" else x.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    if finite.size:
        found |= {"min": finite.min().item(), "mean": finite.mean().item(), "max": finite.max().item()}
    return found | ({"not finite": wide.size - finite.size} if finite.size < wide.size else {})


def _plain(v: Any) -> Any:
    """An element of an array, as JSON has it."""
    if isinstance(v, str | bytes):
        return v if isinstance(v, str) else v.decode("utf-8", "replace")
    dtype = np.asarray(v).dtype
    if dtype in COMPLEX:
        return str(v)
    return float(v) if dtype in FLOATS else bool(v) if dtype.kind == "b" else int(v)


def difference(x: Any, y: Any) -> float:
    """The largest absolute difference of two results; infinite where type, shape, length or text differ. NaN equals NaN."""
    if isinstance(x, list | tuple) and isinstance(y, list | tuple):
        return _largest(x, y) if len(x) == len(y) else np.inf
    if x is None or y is None:
        return 0.0 if x is y else np.inf
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape or x.dtype != y.dtype:
        return np.inf
    if x.dtype == STRING:
        return 0.0 if x.tolist() == y.tolist() else np.inf
    wide = np.complex128 if x.dtype in COMPLEX else np.float64
    x, y = x.astype(wide), y.astype(wide)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        gap = np.abs(x - y)[~same]
    return float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0))


def _largest(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    return max((difference(x, y) for x, y in zip(xs, ys, strict=True)), default=0.0)


def tolerance(x: Any) -> float:
    """What another runtime's result may differ by: nothing, except for floats, where it is 1e-4 of the largest number, and at least 1e-4."""
    floats = [np.abs(a.astype(np.complex128)) for _, a in _arrays("", x) if a.dtype in FLOATS or a.dtype in COMPLEX]
    return max((1e-4 * max(1.0, float(a[np.isfinite(a)].max(initial=0.0))) for a in floats), default=0.0)


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
