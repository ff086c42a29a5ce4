"""Kernels of graphir.ops.logic."""

from typing import Any

from graphir.dtypes import STRING

from ..kernel import Bound, Site, prepared, ufunc


@prepared
def equal(site: Site) -> Bound:
    a: Any = site.inputs[0]
    if a.dtype == STRING:
        return Bound(lambda a, b: site.xp.equal(a, b).astype(bool))
    return Bound(site.xp.equal, out=True, inplace=True)


greater = ufunc("greater")
greater_or_equal = ufunc("greater_equal")
less = ufunc("less")
less_or_equal = ufunc("less_equal")

and_ = ufunc("logical_and")
or_ = ufunc("logical_or")
xor = ufunc("logical_xor")
not_ = ufunc("logical_not")

bitwise_and = ufunc("bitwise_and")
bitwise_or = ufunc("bitwise_or")
bitwise_xor = ufunc("bitwise_xor")
bitwise_not = ufunc("invert")


@prepared
def bit_shift(site: Site) -> Bound:
    x: Any = site.inputs[0]
    xp, bits = site.xp, x.dtype.itemsize * 8
    left = site.attributes["direction"] == "LEFT"

    def run(x: Any, y: Any) -> Any:
        stays = (y >= 0) & (y < bits)
        nothing = xp.zeros((), x.dtype)
        if left:
            return xp.where(stays, xp.left_shift(x, xp.where(stays, y, 0)), nothing)
        # The sign that fills up is all that is left after a shift by all bits but one.
        shifted = xp.right_shift(x, xp.where(stays, y, bits - 1))
        return shifted if x.dtype.kind == "i" else xp.where(stays, shifted, nothing)

    return Bound(run)
