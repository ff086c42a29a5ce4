"""The inputs of `graphir run`, from files and from what stands on the command line."""

import math
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..dims import symbols
from ..dtypes import FLOATS, STRING
from ..ir import Value
from ..model import Model
from ..plugins import LimitError
from ..types import TensorType, Type, bind
from .options import DRAWN, parse_shape

_CHUNK = 2**20
_RANK = 64  # the most axes that NumPy's arrays have
_DAMAGED = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)


def feeds(
    model: Model,
    file: str | None,
    given: Iterable[str],
    dims: Mapping[str, int],
    seed: int,
    all_of_them: bool = True,
    memory: int | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """The arrays to feed, by input name, and the names in `file` that are no inputs.

    given: NAME=FILE.npy, NAME=zeros, NAME=random or NAME=random:8x64; it goes before what `file`, an .npz, holds under that name.
    dims: sizes for the symbols in the types of inputs that are drawn. memory: the bytes that each of these may take.
    Raises ValueError where a name, a size or a file does not serve, or, where `all_of_them` are asked for, an input that has no default is not given.
    """
    inputs = {v.name: v for v in model.inputs}
    rng = np.random.default_rng(seed)
    found, others = _from_npz(file, inputs) if file is not None else ({}, [])
    for text in given:
        name = next((n for n in inputs if text.startswith(f"{n}=")), None)
        if name is None:
            raise ValueError(f"--input {text}: no input is called {text.partition('=')[0]!r}; expected {_listed(inputs.values())}")
        found[name] = _from_text(inputs[name], text[len(name) + 1 :], dims, rng, memory)
    missing = [v for v in inputs.values() if v.name not in found and v.tensor is None]
    if missing and all_of_them:
        have = f"; {file} holds {', '.join([*found, *others])}" if file else ""
        remedy = have or f"; give --input {missing[0].name}=FILE.npy, or --inputs FILE.npz"
        raise ValueError(f"the input {_listed(missing[:1])} is missing{remedy}")
    return found, others


def arrays_of(file: str) -> dict[str, np.ndarray]:
    """The arrays in an .npz by name. Raises ValueError where it is none, or damaged."""
    loaded = _loaded(file)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"{file} holds one array without a name; expected an .npz")
    with loaded:
        try:
            return {name: loaded[name] for name in loaded.files}
        except _DAMAGED:
            raise ValueError(f"{file} holds what is no plain array, or is damaged") from None


def _listed(inputs: Iterable[Value]) -> str:
    return ", ".join(f"{v.name} ({v.type})" for v in inputs) or "no inputs at all"


def _from_npz(file: str, inputs: Mapping[str, Value]) -> tuple[dict[str, Any], list[str]]:
    loaded = _loaded(file)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"{file} holds one array without a name; expected an .npz, or --input NAME={file}")
    with loaded:
        try:
            return {n: _as_declared(loaded[n], inputs[n]) for n in loaded.files if n in inputs}, [
                n for n in loaded.files if n not in inputs
            ]
        except _DAMAGED:
            raise ValueError(f"{file} holds what is no plain array, or is damaged") from None


def _from_text(value: Value, text: str, dims: Mapping[str, int], rng: np.random.Generator, memory: int | None) -> Any:
    kind, colon, shape = text.partition(":")
    if kind not in DRAWN:
        array = _loaded(text)
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{text} holds several arrays; expected one, in an .npy, or --inputs {text}")
        return _as_declared(array, value)
    if not isinstance(value.type, TensorType):
        raise ValueError(f"input {value.name} is {value.type or 'of unknown type'}; zeros and random make tensors only")
    sizes = _shape_of(value, shape if colon else None, dims)
    wanted = math.prod(sizes) * value.type.dtype.itemsize
    if len(sizes) > _RANK:
        raise ValueError(f"input {value.name}: {len(sizes)} axes; expected at most {_RANK}")
    if math.prod(n or 1 for n in sizes) * value.type.dtype.itemsize > sys.maxsize:  # also where another axis has no elements
        raise ValueError(f"input {value.name}: no array can have the sizes {list(sizes)}")
    if memory is not None and wanted > memory:
        raise LimitError(f"input {value.name}: {kind} of {list(sizes)} takes {wanted:,} bytes, and the limit is {memory:,}")
    return _drawn(value.type, sizes, kind, rng)


def _loaded(file: str) -> Any:
    if not file or Path(file).is_dir():
        raise ValueError(f"{file} is a folder; expected a file" if file else "the name of a file is empty")
    if not Path(file).is_file():
        raise ValueError(f"{file}: there is no such file")
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile):  # NumPy's own text recommends unpickling
        raise ValueError(f"{file} is no .npy or .npz file of plain arrays") from None


def _as_declared(array: np.ndarray, value: Value) -> np.ndarray:
    """The array; where NumPy's file has no name for the element type (bfloat16 and smaller), its bytes under the declared one."""
    declared = value.type
    if array.dtype.kind == "V" and isinstance(declared, TensorType) and declared.dtype.itemsize == array.dtype.itemsize:
        return array.view(declared.dtype)
    return array.astype(object) if array.dtype.kind in "US" else array


def _shape_of(value: Value, text: str | None, dims: Mapping[str, int]) -> tuple[int, ...]:
    if text is not None:
        given = parse_shape(text)
        if given is None:
            raise ValueError(f"input {value.name}: {text!r} is no shape; expected sizes with x between them, such as 8x64")
        return given
    bound: Type | None = bind(value.type, dims)
    assert isinstance(bound, TensorType)
    if bound.shape is None:
        raise ValueError(f"input {value.name} is {value.type}, of unknown rank; give {value.name}=random:SHAPE")
    sizes = tuple(d for d in bound.shape if isinstance(d, int))
    if len(sizes) < len(bound.shape):
        free = sorted({s for d in bound.shape for s in symbols(d)})
        remedy = "".join(f" --dim {s}=8" for s in free) or f" {value.name}=random:SHAPE"
        raise ValueError(f"input {value.name} is {bound}, and not every size is known; give{remedy}")
    return sizes


def _drawn(type_: TensorType, shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> np.ndarray:
    """zeros, or: floats from the normal distribution, whole numbers from 0 to 9, coin tosses for bool."""
    dtype = type_.dtype
    if dtype == STRING:
        return np.full(shape, "", object)
    if kind == "zeros":
        return np.zeros(shape, dtype)
    found = np.empty(shape, dtype)
    flat = found.reshape(-1)
    for i in range(0, flat.size, _CHUNK):  # NumPy draws in types that are wider than most
        part = flat[i : i + _CHUNK]
        if dtype.kind == "b":
            part[:] = rng.random(part.size) < 0.5
        elif dtype in FLOATS or dtype.kind == "c":
            part[:] = rng.standard_normal(part.size).astype(dtype)
        else:
            part[:] = rng.integers(0, 10, part.size).astype(dtype)
    return found
