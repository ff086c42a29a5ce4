"""In which dtype a kernel computes: half precision is widened to float32, all else stays as it is."""

from collections.abc import Callable
from typing import Any

from graphir.dtypes import BFLOAT16, FLOAT16, FLOAT32
from graphir.types import TensorType, Type

from .kernel import Bound, Kernel, Prepared, Site, bind

HALVES = (FLOAT16, BFLOAT16)


def widened(x: Any) -> Any:
    """An array in the dtype in which to compute on it: itself, or a float32 copy."""
    return x.astype(FLOAT32) if x.dtype in HALVES else x


def in_single(kernel: Kernel) -> Prepared:
    """The kernel, which on half precision computes in float32 and rounds once, at the end."""

    def prepare(site: Site) -> Bound:
        if not any(map(_is_half, site.inputs)):
            return bind(kernel, site)
        constants = [None if x is None else widened(x) for x in site.constants]
        inputs, outputs = ([_single(t) for t in types] for types in (site.inputs, site.outputs))
        wide = bind(kernel, site._replace(inputs=inputs, outputs=outputs, constants=constants))
        return Bound(_rounded(wide.run, [t.dtype if isinstance(t, TensorType) else None for t in site.outputs]))

    return Prepared(prepare)


def _rounded(run: Callable[..., Any], dtypes: list[Any]) -> Callable[..., Any]:
    def widely(*inputs: Any) -> Any:
        made = run(*[x if x is None else widened(x) for x in inputs])
        if isinstance(made, tuple):
            return tuple(x if x is None else x.astype(d, copy=False) for x, d in zip(made, dtypes))
        return made.astype(dtypes[0], copy=False)

    return widely


def _is_half(t: Type | None) -> bool:
    return isinstance(t, TensorType) and t.dtype in HALVES


def _single(t: Type | None) -> Type | None:
    return TensorType(FLOAT32, t.shape) if isinstance(t, TensorType) and t.dtype in HALVES else t
