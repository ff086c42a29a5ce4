"""Equal shares for the largest numbers under a window, where the gradient is not to go to the first of them alone."""

from math import prod

import graphir.ops as ops

from ..dtypes import NAMES
from ..ir import Value
from ._constants import unit_matrix
from ._gradient import TIED, GradientError, gradients, zeros_like
from ._layout import reshape_like, sizes_of, vector
from ._windows import Ints, windows


def are_even() -> bool:
    """Whether the gradients that are built now are to be shared equally."""
    return TIED.get() == "even"


def shared_gradient(
    dy: Value, y: Value, x: Value, *, kernel_shape: tuple[int, ...], auto_pad: str, ceil_mode: int, dilations: Ints, pads: Ints, strides: Ints
) -> Value | None:  # fmt: skip
    """The gradient of MaxPool for x (N, C, ...): each place of dy is shared by the elements under the window that are as large as y.

    The windows are laid out by a convolution with filters that each pick one element, so the numbers must be finite. Raises GradientError where windows
    reach past a size that is not known.
    """
    found = windows(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    over = [s.span - s.begin - s.size for s in found]
    if ceil_mode and not all(isinstance(n, int) for n in over):
        raise GradientError(f"the gradient of MaxPool of {x.name}, {x.type}, is to be shared, and with ceil_mode that needs known sizes")
    if ceil_mode:
        pads, auto_pad = (*(s.begin for s in found), *(max(n, 0) for n in over)), "NOTSET"
    padded = auto_pad.startswith("SAME") or any(pads or ())
    before = len(dy.graph.nodes)
    images = ops.shape.reshape(x, vector([-1, 1, *sizes_of(x)]))
    taps = prod(kernel_shape)
    filters = unit_matrix(x, taps, x.dtype, [taps, 1, *kernel_shape])
    how = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads or None, "strides": strides}
    seen = ops.nn.conv(images, filters, **how)  # pyright: ignore[reportArgumentType]
    passed = dy.graph.nodes[before:]
    y, dy = (ops.shape.reshape(v, vector([-1, 1, *sizes_of(y)])) for v in (y, dy))
    among = ops.logic.equal(seen, y)
    if padded:
        ones = zeros_like(x, vector([1, 1, *sizes_of(x)]), fill=1)
        among = ops.logic.and_(among, ops.logic.greater(ops.nn.conv(ones, filters, **how), 0.5))  # pyright: ignore[reportArgumentType]
    count = ops.reduce.reduce_sum(ops.elementwise.cast(among, to=NAMES[x.dtype]), [1])
    shares = ops.elementwise.where(among, ops.elementwise.div(dy, count), 0.0)
    dx = gradients({seen: shares}, [x], passed, named=False)[0]
    return None if dx is None else reshape_like(dx, x)
