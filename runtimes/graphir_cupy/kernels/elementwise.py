"""Kernels of graphir.ops.elementwise."""

from typing import Any

from graphir.dtypes import as_dtype
from graphir_arrays.kernel import Bound, Site, prepared
from graphir_arrays.kernels import elementwise as shared

INT64 = as_dtype("int64")


@prepared
def cast(site: Site) -> Bound:
    return _by_way_of_signed(site, as_dtype(site.attributes["to"])) or shared.cast.prepare(site)  # pyright: ignore[reportReturnType]


@prepared
def cast_like(site: Site) -> Bound:
    target: Any = site.inputs[1]
    return _by_way_of_signed(site, target.dtype) or shared.cast_like.prepare(site)  # pyright: ignore[reportReturnType]


def _by_way_of_signed(site: Site, target: Any) -> Bound | None:
    """From floats to unsigned numbers: below zero by way of int64, whose bits are then cut off. None for other casts."""
    x: Any = site.inputs[0]
    xp = site.xp
    if x.dtype.kind not in "fV" or target.kind != "u" or not xp.holds(target):
        return None
    if target.itemsize < 8:
        return Bound(lambda x, like=None: x.astype(INT64).astype(target))
    return Bound(lambda x, like=None: xp.where(x < 0, x.astype(INT64).astype(target), x.astype(target)))
