"""The option --dim: sizes for what a model leaves open."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .options import is_whole

if TYPE_CHECKING:
    from ..ir import Value
    from ..model import Model


class Dim(click.ParamType):
    """A size for a symbol, N=8, or for an axis of an input, x:0=8."""

    name = "dim"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """What has the size, and the size."""
        name, _, size = str(value).rpartition("=")
        return (name, int(size)) if name and is_whole(size) else self.fail(f"{value!r} is no size, such as N=8, or x:0=8", param, ctx)


_option = functools.partial(click.option, "--dim", "dims", type=Dim(), multiple=True, metavar="N=8")
drawn_dim_option = _option(help="A size for a symbol, or for an axis of an input (x:0=8), where zeros or random fill an input.")
dim_option = _option(help="A size for a symbol of the inputs, or for an axis of an input: x:0=8.")


def known_sizes(model: "Model", dims: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The sizes by symbol; those of axes that have no symbol are entered in the types of the inputs. A usage error for what no input has."""
    found: dict[str, int] = {}
    for name, size in dims:
        symbol = _symbol(model, name, size)
        if symbol is not None and found.setdefault(symbol, size) != size:
            raise click.UsageError(f"--dim {name}={size}: {symbol} is {found[symbol]} already")
    return found


def with_sizes(model: "Model", dims: Sequence[tuple[str, int]]) -> "Model":
    """The model, or where there are sizes a copy of it that has them, wherever it left them open. Raises ValueError where the types do not fit then."""
    from ..passes.infer import bind_sizes

    if not dims:
        return model
    model = model.copy()
    problems = bind_sizes(model, known_sizes(model, dims))
    if problems:
        raise ValueError(f"with {', '.join(f'--dim {name}={size}' for name, size in dims)} the types do not fit: {problems[0]}")
    return model


def _symbol(model: "Model", name: str, size: int) -> str | None:
    """The symbol that a name means; None where it means an axis without one, which gets the size."""
    from ..dims import symbols
    from ..expect import near
    from ..types import TensorType

    inputs = {v.name: v for v in model.inputs if isinstance(v.type, TensorType) and v.type.shape is not None}
    free = sorted({s for v in inputs.values() for d in v.type.shape or () for s in symbols(d)})
    if name in free:
        return name
    whose, _, axis = name.rpartition(":")
    if whose in inputs and is_whole(axis):
        return _symbol_of_axis(inputs[whose], int(axis), name, size)
    if any(v.name == whose for v in model.inputs):
        v = next(v for v in model.inputs if v.name == whose)
        raise click.UsageError(f"--dim {name}={size}: the input {whose} is {v.type or 'of unknown type'}, whose axes are not known")
    raise click.UsageError(f"--dim {name}: no input has a dim of that name; {_expected(inputs, free)}{near(name, free)}")


def _symbol_of_axis(v: "Value", axis: int, name: str, size: int) -> str | None:
    from ..dims import Expr, Symbol
    from ..types import TensorType

    shape = v.shape
    d = shape[axis] if axis < len(shape) else None
    if d is None or (isinstance(d, int) and d != size):
        what = f"axis {axis} is {d}" if d is not None else f"there is no axis {axis}"
        raise click.UsageError(f"--dim {name}={size}: the input {v.name} is {v.type}, and {what}; only open sizes can be given")
    if isinstance(d, int):
        return None
    assert isinstance(d, Expr)
    only = d.terms[0][0][0] if d.is_atom else None
    if isinstance(only, Symbol) and isinstance(only.name, str):
        return only.name
    if not isinstance(only, Symbol):
        raise click.UsageError(f"--dim {name}={size}: that axis is {d}; give its symbols")
    v.type = v.declared = TensorType(v.dtype, [*shape[:axis], size, *shape[axis + 1 :]])
    return None


def _expected(inputs: "Mapping[str, Value]", free: list[str]) -> str:
    if free:
        return f"expected one of {', '.join(free)}"
    axes = [f"{v.name}:{i}" for v in inputs.values() for i, d in enumerate(v.shape) if not isinstance(d, int)]
    return f"expected one of {', '.join(axes)}" if axes else "expected none, for all sizes are fixed"
