"""What goes into a run, held against what the model says of it. Runtimes share these checks, so that each says the same of the same mistake."""

import math
import reprlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from .dims import Expr, Symbol, atoms, substitute
from .dtypes import COMPLEX, FLOATS, INTEGERS, NAMES, STRING
from .expect import brief, near
from .ir import Value, Weight
from .turns import Turn, in_turn
from .types import MapType, OptionalType, SequenceType, TensorType, Type


def check_call(inputs: Sequence[Value], feeds: Any, fetch: Any) -> None:
    """Raises TypeError for a call of `run` that does not name its inputs, and says how to."""
    if isinstance(feeds, Mapping):
        return
    names = [v.name for v in inputs if v.tensor is None] or [v.name for v in inputs]
    call = f"run({{{', '.join(f'{name!r}: ...' for name in names[:4])}{', ...' * (len(names) > 4)}}})"
    if isinstance(fetch, Mapping):
        raise TypeError(f"the feeds come first, then what to fetch: {call}")
    raise TypeError(f"the feeds are {brief(feeds)}; expected a mapping from names to arrays: {call}")


def check_names(inputs: Sequence[Value], feeds: Iterable[str]) -> None:
    """Raises ValueError for a feed that no input has the name of."""
    names = {v.name for v in inputs}
    if not names.issuperset(feeds):
        unknown = next(name for name in feeds if name not in names)
        raise ValueError(f"no input {unknown!r}; the inputs are {', '.join(map(_typed, inputs)) or 'none'}{near(str(unknown), names)}")


def missing(v: Value) -> ValueError:
    """The error for an input that was not given."""
    return ValueError(f"the input {_typed(v)} is missing")


def received(x: Any) -> Any:
    """What a user gave as an array: one of another library through DLPack, all else as it is."""
    return np.from_dlpack(x) if hasattr(x, "__dlpack__") and not isinstance(x, np.ndarray | np.generic) else x


def checked(v: Value, x: Any, sizes: dict[str, int], place: str = "", expected: TensorType | None = None) -> Any:
    """A feed for a tensor input as an array, of whatever library it is; lists of numbers take the input's dtype.

    sizes: what symbols stand for; those that are met first are entered. place, expected: of a part of an input, which it is, and its type. Raises ValueError
    where dtype or shape differ, symbols that stand for two sizes included.
    """
    if expected is None:
        expected = v.type
    if not hasattr(x, "dtype"):
        x = as_array(x, expected.dtype, f"{place}the input {_typed(v)}")
    if x.dtype != expected.dtype and isinstance(x, np.ndarray) and x.dtype.newbyteorder("=") == expected.dtype:
        x = x.astype(expected.dtype)  # in the byte order of another machine
    if x.dtype != expected.dtype and (expected.dtype != STRING or getattr(x.dtype, "kind", "f") not in "US"):
        given = "string" if getattr(x.dtype, "kind", "f") in "US" else NAMES.get(x.dtype, str(x.dtype))
        raise ValueError(f"{place}the input {_typed(v)} was given {given}{list(x.shape)}; cast it to {NAMES[expected.dtype]}")
    if expected.shape is not None and not _fits(expected.shape, x.shape, sizes):
        bound = {a.name: sizes[a.name] for d in expected.shape for a in atoms(d) if a.name in sizes}
        where = f", where {', '.join(f'{k} = {n}' for k, n in bound.items())}" if bound else ""
        raise ValueError(
            f"{place}the input {_typed(v)} was given the shape {list(x.shape)}; expected {list(expected.shape)}{where}{shape_hint(expected.shape, x.shape)}"
        )
    return x


def shape_hint(dims: Sequence[Any], shape: Sequence[int]) -> str:
    """What an error adds of an array of another shape than dims say, where it may be brought to them: by a batch of one, in another order of axes, reshaped."""
    rank = len(dims)

    def fits(sizes: Sequence[int]) -> bool:
        return len(sizes) == rank and all(not isinstance(d, int) or d == n for d, n in zip(dims, sizes))

    orders = {"(0, 3, 1, 2)": (0, 3, 1, 2), "(0, 2, 3, 1)": (0, 2, 3, 1), "(2, 0, 1)": (2, 0, 1), "(1, 2, 0)": (1, 2, 0), "(1, 0)": (1, 0)}
    ways = [("x[None]", (1, *shape))]
    for text, order in orders.items():
        if len(order) == len(shape):
            sizes = tuple(shape[i] for i in order)
            ways += [(f"x.transpose{text}", sizes), (f"x.transpose{text}[None]", (1, *sizes))]
    inner = [d for d in dims[1:] if isinstance(d, int)]
    if rank and len(inner) == rank - 1 and len(shape) > 1 and math.prod(inner) == math.prod(shape[1:]):
        ways.append((f"x.reshape({', '.join(map(str, (-1, *inner)))})", (shape[0], *inner)))
    return next((f"; for an array x, {text} is {list(sizes)}" for text, sizes in ways if fits(sizes)), "")


def checked_parts(v: Value, x: Any, sizes: dict[str, int], received: Callable[[Any], Any] = lambda x: x) -> Any:
    """A feed for a sequence, optional or map: a list of arrays, None or an array, a dict. received: what is done to each part before it is looked at.

    Raises ValueError for what the type has no room for; names the part. Types that the file leaves open take anything.
    """
    return _part(v, "", v.type, x, sizes, received)


def as_array(x: Any, dtype: np.dtype, whose: str) -> np.ndarray:
    """The array that Python's numbers, or lists of them, make in a dtype. Raises ValueError for a number that the dtype has no place for.

    Whole numbers are what they are, or refused; floats are rounded, and stay as finite as they are. whose: what the error begins with.
    """
    try:
        given = np.asarray(x, object if dtype == STRING else None)
        if dtype in FLOATS and given.dtype == object and all(isinstance(e, int) for e in given.flat):
            given = given.astype(np.float64)  # beyond 64 bits
    except OverflowError:
        raise ValueError(f"{whose} was given {_repr(x)}, which {NAMES[dtype]} cannot hold") from None
    except ValueError:
        raise ValueError(f"{whose} was given {_repr(x)}, which is no array: its parts differ in length") from None
    if not given.size:
        return given.astype(dtype)
    if dtype == STRING:
        wrong = [e for e in given.flat if not isinstance(e, str | bytes)]
        if wrong:
            raise ValueError(f"{whose} was given {_repr(wrong[0])}; expected text")
        return given
    if given.dtype == STRING or given.dtype not in NAMES or (given.dtype in COMPLEX and dtype not in COMPLEX):
        raise ValueError(f"{whose} was given {_repr(x)}; expected {NAMES[dtype]} numbers")
    with np.errstate(all="ignore"):
        made = given.astype(dtype)
        if dtype in FLOATS or dtype in COMPLEX:
            lost = (np.isnan(given) != np.isnan(made)) | (np.isinf(given) != np.isinf(made))
        else:
            lost = (made.astype(np.int64) if dtype.kind == "V" else made) != given
    if lost.any():
        raise ValueError(f"{whose} was given {_repr(given[lost].flat[0].item())}, which {NAMES[dtype]} cannot hold")
    return made


def in_kind(given: np.dtype, dtype: np.dtype) -> bool:
    """Whether two dtypes are of one kind, floats or integers: numbers may be brought from one to the other with `as_array`, which refuses what is lost."""
    return any(given in kind and dtype in kind for kind in (FLOATS, INTEGERS, COMPLEX))


def sizes_of(inputs: Iterable[Value], feeds: Mapping[str, Any]) -> dict[str, int]:
    """What the symbols in the types of inputs stand for, as far as the feeds tell."""
    found: dict[str, int] = {}
    for v in inputs:
        if v.name in feeds and isinstance(v.type, TensorType) and v.type.shape is not None:
            x = feeds[v.name]
            _enter(v.type.shape, x.shape if hasattr(x, "shape") else as_array(x, v.type.dtype, f"the input {_typed(v)}").shape, found)
    return found


def no_state(address: str, states: Iterable[str], weights: Mapping[str, Weight]) -> KeyError:
    """The error for an address that is no state of a program. weights: those of the model."""
    weight = weights.get(address)
    hint = f"; it is {weight.kind}: set its `kind` to 'state' before compiling" if weight is not None else ""
    return KeyError(f"no state {address!r}; there is {', '.join(states) or 'none'}{hint}")


class States(MutableMapping[str, Any]):
    """The states of a program by address. Reading copies, writing checks, both in turn; a runtime says what it holds, and how that is read and set.

    turn: the program's. weights: those of the model.
    """

    def __init__(self, turn: Turn, weights: Mapping[str, Weight]):
        self._turn = turn
        self.weights = weights

    @abstractmethod
    def held(self) -> dict[str, Any]:
        """The states as the runtime has them."""

    @abstractmethod
    def read(self, x: Any) -> Any:
        """What is held, as it is handed out: a copy."""

    @abstractmethod
    def received(self, x: Any, old: Any, place: str) -> Any:
        """What is given for `old`, as it is held: a copy. place: what to call it. Raises what `as_array` raises."""

    @abstractmethod
    def type_of(self, x: Any) -> TensorType:
        """The type of what is held."""

    @in_turn
    def __getitem__(self, address: str) -> Any:
        return self.read(self._one(address))

    @in_turn
    def __setitem__(self, address: str, x: Any) -> None:
        self.replace(address, x)

    def replace(self, address: str, x: Any) -> None:
        """Set a state, for who is in turn already. Raises ValueError where the type differs, KeyError."""
        old = self._one(address)
        new = self.received(x, old, f"the state {address!r}")
        if self.type_of(new) != self.type_of(old):
            raise other_state(address, self.type_of(old), self.type_of(new))
        self.held()[address] = new

    def _one(self, address: str) -> Any:
        state = self.held()
        if address not in state:
            raise no_state(address, state, self.weights)
        return state[address]

    def __delitem__(self, address: str) -> None:
        raise TypeError("state cannot be removed")

    def __contains__(self, address: object) -> bool:
        return address in self.held()

    def __iter__(self) -> Iterator[str]:
        return iter(self.held())

    def __len__(self) -> int:
        return len(self.held())


def other_state(address: str, was: TensorType, given: TensorType) -> ValueError:
    """The error for a state that is given another dtype or shape."""
    return ValueError(f"the state {address!r} is {was.dtype}{list(was.shape or ())}; it was given {given.dtype}{list(given.shape or ())}")


def _part(v: Value, place: str, expected: Type | None, x: Any, sizes: dict[str, int], received: Callable[[Any], Any]) -> Any:
    """A value of any type, for an input or a part of one. Elements of a sequence may differ in what symbols stand for."""
    if isinstance(expected, OptionalType):
        return None if x is None else _part(v, place, expected.element, x, sizes, received)
    if isinstance(expected, TensorType):
        x = checked(v, received(x), sizes, place, expected)
        return np.asarray(x, object) if expected.dtype == STRING else x
    if isinstance(expected, SequenceType):
        if not isinstance(x, list | tuple):
            raise ValueError(f"{place}the input {_typed(v)} was given {_repr(x)}; expected a list")
        return [_part(v, f"element {i} of {place}", expected.element, e, {}, received) for i, e in enumerate(x)]
    if isinstance(expected, MapType):
        return _map(v, place, expected, x, received)
    return [_part(v, place, None, e, sizes, received) for e in x] if isinstance(x, list | tuple) else received(x)


def _map(v: Value, place: str, expected: MapType, x: Any, received: Callable[[Any], Any]) -> dict[Any, Any]:
    """A dict whose keys and values are what a map's type says; single numbers and texts stay Python's."""
    if not isinstance(x, dict):
        raise ValueError(f"{place}the input {_typed(v)} was given {_repr(x)}; expected a dict")
    found = {}
    for key, e in x.items():
        if not isinstance(key, str if expected.key == STRING else int | np.integer) or isinstance(key, bool):
            raise ValueError(f"{place}the input {_typed(v)} was given the key {_repr(key)}; expected {NAMES[expected.key]}")
        where = f"the value at {_repr(key)} of {place}"
        if isinstance(expected.value, TensorType) and np.ndim(e) == 0:
            as_array(e, expected.value.dtype, f"{where}the input {_typed(v)}")
            found[key] = e
        else:
            found[key] = _part(v, where, expected.value, e, {}, received)
    return found


def _fits(dims: Sequence[Any], shape: Sequence[int], sizes: dict[str, int]) -> bool:
    """Whether a shape fits dims; symbols take the first size that they meet, which is entered in `sizes`."""
    if len(dims) != len(shape):
        return False
    _enter(dims, shape, sizes)
    for d, n in zip(dims, shape):
        size = substitute(d, sizes)
        if isinstance(size, int) and size != n:
            return False
    return True


def _enter(dims: Sequence[Any], shape: Sequence[int], sizes: dict[str, int]) -> None:
    """Enter in `sizes` what a shape says of the symbols that stand alone in dims. Who is there stays; unknowns have no name to enter."""
    for d, n in zip(dims, shape):
        if isinstance(d, Expr) and d.is_atom and isinstance(atom := d.terms[0][0][0], Symbol) and isinstance(atom.name, str):
            sizes.setdefault(atom.name, n)


_REPR = reprlib.Repr()
_REPR.maxother = 60


def _repr(x: Any) -> str:
    """What was given, in a few words."""
    return _REPR.repr(x)


def _typed(v: Value) -> str:
    return f"{v.name}: {v.type}"
