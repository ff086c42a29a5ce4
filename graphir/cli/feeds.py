"""The inputs of `graphir run`, from files and from what stands on the command line."""

import math
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..budget import LimitError
from ..dims import symbols
from ..dtypes import FLOATS, NAMES, STRING
from ..expect import near
from ..feeds import as_array, in_kind
from ..file_kinds import kind_of_file, near_file
from ..ir import Value
from ..model import Model
from ..types import TensorType, Type, bind
from .limits import VerbBudget
from .options import DRAWN, parse_shape
from .terminal import say_note

_CHUNK = 2**20
_RANDOM = ("rand", "randn", "normal", "uniform", "noise", "randint")
_RANK = 64  # the most axes that NumPy's arrays have
_DAMAGED = (ValueError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error)  # the last but two: an unknown compression


def feeds(
    model: Model,
    file: str | None,
    given: Iterable[str],
    dims: Mapping[str, int],
    seed: int,
    all_of_them: bool = True,
    budget: VerbBudget | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """The arrays to feed, by input name, and the names in `file` that are no inputs.

    given: NAME=FILE.npy, NAME=zeros, NAME=random or NAME=random:8x64; it goes before what `file`, an .npz, holds under that name.
    dims: sizes for the symbols in the types of inputs that are drawn. budget: what all of them may take.
    Raises ValueError where a name, a size or a file does not serve, or, where `all_of_them` are asked for, an input that has no default is not given.
    """
    inputs = {v.name: v for v in model.inputs}
    rng = np.random.default_rng(seed)
    budget = budget or VerbBudget(None, 1, None)
    found, others = _from_npz(file, inputs, budget) if file is not None else ({}, [])
    for text in given:
        name = next((n for n in inputs if text.startswith(f"{n}=")), None)
        if name is None:
            raise ValueError(
                f"--input {text}: no input is called {text.partition('=')[0]!r}; expected {_listed(inputs.values())}{near(text.partition('=')[0], inputs)}"
            )
        found[name] = _from_text(inputs[name], text[len(name) + 1 :], dims, rng, budget)
    missing = [v for v in inputs.values() if v.name not in found and v.tensor is None]
    if missing and all_of_them:
        have = f"; {file} holds {', '.join([*found, *others]) or 'no arrays'}{near(missing[0].name, others)}" if file else ""
        remedy = have or f"; give --input {missing[0].name}=FILE.npy, or --inputs FILE.npz"
        raise ValueError(f"the input {_listed(missing[:1])} is missing{remedy}")
    return found, others


def arrays_of(file: str, budget: VerbBudget) -> dict[str, np.ndarray]:
    """The arrays in an .npz by name. Raises ValueError where it is none, or damaged, LimitError where they take too much."""
    return _arrays_in(
        file, budget, f"{file} holds one array without a name; expected an .npz: numpy.savez('FILE.npz', NAME=array, ...) writes one"
    )


def _listed(inputs: Iterable[Value]) -> str:
    return ", ".join(f"{v.name} ({v.type})" for v in inputs) or "no inputs at all"


def _from_npz(file: str, inputs: Mapping[str, Value], budget: VerbBudget) -> tuple[dict[str, Any], list[str]]:
    others: list[str] = []
    alone = f"{file} holds one array without a name; expected an .npz, or --input {next(iter(inputs), 'NAME')}={file}"
    arrays = _arrays_in(file, budget, alone, lambda name: name in inputs or others.append(name))
    return {name: _as_declared(x, inputs[name], budget) for name, x in arrays.items()}, others


def _arrays_in(file: str, budget: VerbBudget, alone: str, wanted: Callable[[str], object] = bool) -> dict[str, np.ndarray]:
    """The arrays in an .npz of whose names `wanted` holds. alone: what to say where it is an .npy."""
    path = _existing(file)
    budget.reads(path.stat().st_size)
    found: dict[str, np.ndarray] = {}
    if not zipfile.is_zipfile(path):
        _from_npy(file, budget, "FILE.npz")
        raise ValueError(alone)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if not wanted(name):
                    continue
                with archive.open(entry) as member:
                    found[name] = _array(f"{file}: {name}", member, entry.file_size, budget)
    except _DAMAGED:
        raise ValueError(_instead(path, "FILE.npz", f"{file} holds what is no plain array, or is damaged")) from None
    return found


def _from_npy(file: str, budget: VerbBudget, wanted: str = "FILE.npy") -> np.ndarray:
    """The array in an .npy. wanted: what the file should be."""
    path = _existing(file)
    if zipfile.is_zipfile(path):
        raise ValueError(_instead(path, wanted, f"{file} holds several arrays; expected one, in an .npy, or --inputs {file}"))
    budget.reads(size := path.stat().st_size)
    try:
        with path.open("rb") as member:
            return _array(file, member, size, budget)
    except _DAMAGED:
        raise ValueError(_instead(path, wanted, f"{file} is no .npy or .npz file of plain arrays; objects are not unpickled")) from None


def _array(what: str, member: IO[bytes], size: int, budget: VerbBudget) -> np.ndarray:
    """The array in an .npy of `size` bytes, whose header is looked at before memory is asked for."""
    version = np.lib.format.read_magic(member)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_fortran_order, dtype = header(member)
    elements = math.prod(shape)
    if dtype.hasobject or elements * max(dtype.itemsize, 1) > size:
        raise ValueError("it would be unpickled, or is cut short")
    try:
        budget.room(elements * dtype.itemsize)
    except LimitError as e:
        raise LimitError(f"{what} {e}") from None
    flat = np.empty(elements, dtype)
    into = flat.view(np.uint8)
    for at in range(0, len(into), _CHUNK):
        part = into[at : at + _CHUNK]
        if member.readinto(part) != len(part):  # pyright: ignore[reportAttributeAccessIssue]  # files and members of archives have it
            raise ValueError("it is cut short")
    return budget.hold(flat.reshape(shape[::-1]).T if in_fortran_order else flat.reshape(shape))


def _from_text(value: Value, text: str, dims: Mapping[str, int], rng: np.random.Generator, budget: VerbBudget) -> Any:
    kind, colon, shape = text.partition(":")
    if kind not in DRAWN:
        if not Path(text).exists() and (remedy := _no_file(value.name, text)):
            raise ValueError(f"--input {value.name}={text}: there is no such file; {remedy}")
        return _as_declared(_from_npy(text, budget), value, budget)
    if not isinstance(value.type, TensorType):
        raise ValueError(f"input {value.name} is {value.type or 'of unknown type'}; zeros and random make tensors only")
    sizes = _shape_of(value, shape if colon else None, dims)
    wanted = math.prod(sizes) * value.type.dtype.itemsize
    if len(sizes) > _RANK:
        raise ValueError(f"input {value.name}: {len(sizes)} axes; expected at most {_RANK}")
    if math.prod(n or 1 for n in sizes) * value.type.dtype.itemsize > sys.maxsize:  # also where another axis has no elements
        raise ValueError(f"input {value.name}: no array can have the sizes {list(sizes)}")
    try:
        budget.room(wanted)
    except LimitError as e:
        raise LimitError(f"input {value.name}: {kind} of {list(sizes)} {e}") from None
    return budget.hold(_drawn(value.type, sizes, kind, rng))


def _existing(file: str) -> Path:
    if not file or Path(file).is_dir():
        raise ValueError(f"{file} is a folder; expected a file" if file else "the name of a file is empty")
    if not Path(file).is_file():
        raise ValueError(f"{file}: there is no such file{near_file(Path(file))}")
    return Path(file)


def _as_declared(array: np.ndarray, value: Value, budget: VerbBudget) -> np.ndarray:
    """The array in the declared dtype where its own is of that kind, which is noted; else as it is, and refused later.

    Where NumPy's file has no name for the element type (bfloat16 and smaller), its bytes under the declared one. Raises ValueError for what that cannot hold.
    """
    if array.dtype.kind in "US":
        return array.astype(object)
    if not isinstance(value.type, TensorType):
        return array
    dtype = value.type.dtype
    if array.dtype.kind == "V" and dtype.itemsize == array.dtype.itemsize:
        return array.view(dtype)
    given = array.dtype.newbyteorder("=")
    if given == dtype and array.dtype != dtype:
        return array.astype(dtype)  # in the byte order of another machine
    if given == dtype or not in_kind(given, dtype):
        return array
    budget.room(array.size * dtype.itemsize)
    cast = as_array(array, dtype, f"the input {value.name}")
    say_note(f"{value.name} is {given}{list(array.shape)}, and is cast to {NAMES[dtype]}")
    return budget.hold(cast)


def _no_file(name: str, text: str) -> str:
    """What may have been meant by a text that names no file."""
    kind = text.partition(":")[0]
    if parse_shape(text) is not None:
        return f"{name}=random:{text} draws numbers of that shape"
    if meant := near(kind, DRAWN).removeprefix("; ") or ("did you mean random?" if kind.lower() in _RANDOM else ""):
        return meant
    if kind.lower() in ("ones", "one", "full", "eye", "arange") or _is_number(text):
        return "expected a file, zeros, random or random:8x64; numpy.save('FILE.npy', array) writes other numbers"
    return near_file(Path(text)).removeprefix("; ")


def _is_number(text: str) -> bool:
    try:
        return all(math.isfinite(float(x)) for x in text.strip("[]() ").split(","))
    except ValueError:
        return False


def _instead(path: Path, wanted: str, otherwise: str) -> str:
    """What a file is instead of arrays, and how to make arrays of it; `otherwise` where that is not known."""
    kind = kind_of_file(path)
    if path.suffix.lower() in (".onnx", ".gir"):
        return f"{path} is called as a model is; expected arrays, in {wanted}: the model comes first"
    if kind is None or "NumPy" in kind.name:
        return otherwise
    makers = {"picture": f"numpy.asarray(PIL.Image.open({path.name!r}))", "text": f"numpy.loadtxt({path.name!r}, delimiter=',')", "PyTorch": "tensor.numpy()"}  # fmt: skip
    maker = next((how for what, how in makers.items() if what in kind.name), "array")
    call = f"numpy.save({wanted!r}, {maker})" if wanted == "FILE.npy" else f"numpy.savez({wanted!r}, NAME={maker})"
    return f"{path} holds no arrays: it is {kind.name}; write them with {call}, in the type and scale that the model takes"


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
