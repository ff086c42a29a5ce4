"""What goes into a run, held against what the model says of it. Runtimes share these checks, so that each says the same of the same mistake."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .dims import Expr, atoms, substitute, symbol, symbols
from .dtypes import NAMES, STRING
from .ir import Value, Weight
from .types import TensorType


def check_names(inputs: Sequence[Value], feeds: Iterable[str]) -> None:
    """Raises ValueError for a feed that no input has the name of."""
    names = {v.name for v in inputs}
    unknown = next((name for name in feeds if name not in names), None)
    if unknown is not None:
        raise ValueError(f"no input {unknown!r}; the inputs are {', '.join(map(_typed, inputs)) or 'none'}")


def missing(v: Value) -> ValueError:
    """The error for an input that was not given."""
    return ValueError(f"the input {_typed(v)} is missing")


def checked(v: Value, x: Any, sizes: dict[str, int]) -> Any:
    """A feed for a tensor input as an array, of whatever library it is; lists of numbers take the input's dtype.

    sizes: what symbols stand for; those that are met first are entered. Raises ValueError where dtype or shape differ, symbols that stand for two sizes included.
    """
    expected = v.type
    if not hasattr(x, "dtype"):
        x = np.asarray(x, None if expected.dtype == STRING else expected.dtype)
    dtype = STRING if np.dtype(x.dtype).kind in "USO" else x.dtype
    if dtype != expected.dtype:
        given = NAMES.get(dtype, str(dtype))
        raise ValueError(f"the input {_typed(v)} was given {given}{list(x.shape)}; cast it to {NAMES[expected.dtype]}")
    if expected.shape is not None and not _fits(expected.shape, x.shape, sizes):
        bound = {a.name: sizes[a.name] for d in expected.shape for a in atoms(d) if a.name in sizes}
        where = f", where {', '.join(f'{k} = {n}' for k, n in bound.items())}" if bound else ""
        raise ValueError(f"the input {_typed(v)} was given the shape {list(x.shape)}; expected {list(expected.shape)}{where}")
    return x


def no_state(address: str, states: Iterable[str], weights: Mapping[str, Weight]) -> KeyError:
    """The error for an address that is no state of a program. weights: those of the model."""
    weight = weights.get(address)
    hint = f"; it is {weight.kind}: set its `kind` to 'state' before compiling" if weight is not None else ""
    return KeyError(f"no state {address!r}; there is {', '.join(states) or 'none'}{hint}")


def other_state(address: str, was: TensorType, given: TensorType) -> ValueError:
    """The error for a state that is given another dtype or shape."""
    return ValueError(f"the state {address!r} is {was.dtype}{list(was.shape or ())}; it was given {given.dtype}{list(given.shape or ())}")


def _fits(dims: Sequence[Any], shape: Sequence[int], sizes: dict[str, int]) -> bool:
    """Whether a shape fits dims; symbols take the first size that they meet, which is entered in `sizes`."""
    if len(dims) != len(shape):
        return False
    for d, n in zip(dims, shape):
        if isinstance(d, Expr) and d.is_atom and (name := next(iter(symbols(d)), None)) is not None and str(d) == str(symbol(name)):
            sizes.setdefault(name, n)
    for d, n in zip(dims, shape):
        size = substitute(d, sizes)
        if isinstance(size, int) and size != n:
            return False
    return True


def _typed(v: Value) -> str:
    return f"{v.name}: {v.type}"
