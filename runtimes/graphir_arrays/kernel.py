"""What a kernel is: a function of arrays, found by its op's family and name, and what the executor may know of it."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from graphir.budget import Budget
from graphir.ops import Op
from graphir.ops._ranks import odd
from graphir.types import TensorType, Type


def extra(module: str, operator: str, package: str) -> Any:
    """A module that an operator needs and graphir installs only if asked. Raises ModuleNotFoundError that names the package to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{operator} needs the package {package}; pip install {package}") from None


class Bound(NamedTuple):
    """What runs each time. out: takes `out=`; view: the result may share memory with an input; inplace: `out` may be an input of its type."""

    run: Callable[..., Any]
    out: bool = False
    view: bool = False
    inplace: bool = False


class Site(NamedTuple):
    """Where a kernel will run: all attributes, concrete types, and the arrays of those inputs that are constant.

    draw: gives a random node its generator for the run that goes on; None where numbers need not be the same again.
    budget: what the run may use. A kernel asks for `room` where no type rule tells what it takes, and calls `tick` wherever it may take long.
    """

    xp: Any
    attributes: dict[str, Any]
    inputs: list[Type | None]
    outputs: list[Type | None]
    constants: list[Any]
    draw: Callable[[], Any] | None = None
    budget: Budget = Budget()


class Prepared:
    """A kernel with a preparing half: from a Site to what runs each time."""

    def __init__(self, prepare: Callable[[Site], Callable[..., Any] | Bound]):
        self.prepare = prepare
        self.__doc__ = prepare.__doc__


Kernel = Callable[..., Any] | Prepared


def prepared(prepare: Callable[[Site], Callable[..., Any] | Bound]) -> Prepared:
    """Mark a function as the preparing half of a kernel."""
    return Prepared(prepare)


def view(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a kernel whose result may share memory with an input."""
    kernel.is_view = True  # pyright: ignore[reportFunctionMemberAccess]
    return kernel


def ufunc(name: str) -> Prepared:
    """The kernel that is the namespace's own function of that name, which takes `out` and may write onto an input."""
    function = attrgetter(name)
    return Prepared(lambda site: Bound(function(getattr(site.xp, "untimed", site.xp)), out=True, inplace=True))


def find(op: Op, overrides: str | None = None) -> Kernel | None:
    """The kernel of a declared op: in the package `overrides`, at the mirrored path, or the op's own. None where there is none."""
    family = op.module.rpartition(".")[2]
    if op.module.startswith("graphir.ops."):
        for package in filter(None, (overrides, "graphir_arrays.kernels")):
            try:
                module = importlib.import_module(f"{package}.{family}")
            except ModuleNotFoundError as e:
                if e.name != f"{package}.{family}":
                    raise
                continue
            if (kernel := getattr(module, op.function, None)) is not None:
                return kernel
    return op.own_kernel


def bind(kernel: Kernel, site: Site, ranks: Sequence[tuple[int, int]] = ()) -> Bound:
    """What runs each time at this site. ranks: the places of inputs that must be a number or a vector, where one element may come in another rank."""
    places = [(i, rank) for i, rank in ranks if i < len(site.inputs) and _may_differ(site.inputs[i], rank)]
    return _bind(kernel, site) if not places else _in_rank(kernel, site, places)


def _may_differ(t: Type | None, rank: int) -> bool:
    return isinstance(t, TensorType) and (t.shape is None or len(t.shape) != rank)


def _in_rank(kernel: Kernel, site: Site, places: Sequence[tuple[int, int]]) -> Bound:
    """A kernel that is given operands of one element in the rank that they must have."""

    def settled(arrays: Sequence[Any]) -> list[Any]:
        found = list(arrays)
        for i, rank in places:
            x = found[i]
            if x is not None and x.ndim != rank and x.size == 1:
                found[i] = x.reshape((1,) * rank)
        return found

    types = list(site.inputs)
    for i, rank in odd(types, places):
        types[i] = TensorType(types[i].dtype, (1,) * rank)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    bound = _bind(kernel, site._replace(inputs=types, constants=settled(site.constants)))
    return bound._replace(run=lambda *arrays, **how: bound.run(*settled(arrays), **how))


def _bind(kernel: Kernel, site: Site) -> Bound:
    if isinstance(kernel, Prepared):
        made = kernel.prepare(site)
        return made if isinstance(made, Bound) else Bound(made)
    takes_out = "out" in inspect.signature(kernel).parameters
    return Bound(partial(kernel, site.xp, **site.attributes), out=takes_out, view=getattr(kernel, "is_view", False))
