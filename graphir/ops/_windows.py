"""Windows that slide over spatial axes: where they fall, and how what they have made gives back to what they saw."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

import graphir.ops as ops

from ..dims import Dim, Shape, ceil_div, max_, min_
from ..ir import Value
from ._constants import filled
from ._gradient import shaped_as, zeros_like
from ._layout import reshape_like, sizes_of, vector
from ._op import RuleError

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
Ints = tuple[int, ...] | None
Size = Any  # a Dim in a type rule, an int in a kernel


class Window(NamedTuple):
    """How a window slides along one axis of `size`: place o of `out` sees o * stride + tap * dilation - begin, for each tap.

    begin, end: the padding on either side. A transposed convolution goes the other way: its `out` is what the window slides over.
    """

    size: Size
    taps: Size
    stride: int
    dilation: int
    begin: Size
    end: Size
    out: Size

    @property
    def reach(self) -> Size:
        """How far the window spans."""
        return (self.taps - 1) * self.dilation + 1

    @property
    def span(self) -> Size:
        """How far all places together reach."""
        return (self.out - 1) * self.stride + self.reach


@lru_cache(1024)  # layers repeat each other's geometry
def windows(
    sizes: Shape, kernel: Shape, strides: Ints, dilations: Ints, pads: Ints, auto_pad: str, ceil_mode: int = 0
) -> tuple[Window, ...]:
    """The windows of a convolution or a pool over axes of these sizes. Raises RuleError where one does not fit."""
    rank = len(sizes)
    _check_kernel(rank, kernel, auto_pad)
    strides, dilations, pads = _each(strides, rank, 1, "strides"), _each(dilations, rank, 1, "dilations"), _each(pads, 2 * rank, 0, "pads")
    found = []
    for size, taps, stride, dilation, begin, end in zip(sizes, kernel, strides, dilations, pads[:rank], pads[rank:]):
        reach = (taps - 1) * dilation + 1
        if auto_pad.startswith("SAME"):
            out = ceil_div(size, stride)
            begin, end = _shares(max_((out - 1) * stride + reach - size, 0), auto_pad)
        else:
            if auto_pad == "VALID":
                begin = end = 0
            room = size + begin + end - reach
            out = room // stride + 1
            if ceil_mode:
                out = ceil_div(room, stride) + 1
                if not (isinstance(reach, int) and stride + end <= reach):  # else the last window might start past the axis
                    out = min_(out, (size + begin - 1) // stride + 1)
            if isinstance(out, int) and out < 1 and (size != 0 or out < 0):
                raise RuleError(f"a window that spans {reach} does not fit an axis of {size} padded by {begin} and {end}")
        found.append(Window(size, taps, stride, dilation, begin, end, out))
    return tuple(found)


@lru_cache(1024)
def transposed_windows(
    sizes: Shape, kernel: Shape, strides: Ints, dilations: Ints, pads: Ints, auto_pad: str, output_padding: Ints, output_shape: Ints
) -> tuple[Window, ...]:  # fmt: skip
    """The windows of a transposed convolution over axes of these sizes. Raises RuleError where one does not fit."""
    rank = len(sizes)
    _check_kernel(rank, kernel, auto_pad)
    strides, dilations, pads = _each(strides, rank, 1, "strides"), _each(dilations, rank, 1, "dilations"), _each(pads, 2 * rank, 0, "pads")
    output_padding = _each(output_padding, rank, 0, "output_padding")
    wanted = _each(output_shape, rank, 0, "output_shape") if output_shape else None
    found = []
    for i, (size, taps, stride, dilation, begin, end) in enumerate(zip(sizes, kernel, strides, dilations, pads[:rank], pads[rank:])):
        full = (size - 1) * stride + (taps - 1) * dilation + 1 + output_padding[i]
        if wanted is not None or auto_pad.startswith("SAME"):
            total = max_(full - (size * stride if wanted is None else wanted[i]), 0)
            begin, end = _shares(total, auto_pad)
            out = full - total if wanted is None else wanted[i]
        else:
            begin, end = (0, 0) if auto_pad == "VALID" else (begin, end)
            out = full - begin - end
        if isinstance(out, int) and out < 0:
            raise RuleError(f"an axis of {size} grows to {full} and is cut by {begin} and {end}: less than nothing is left")
        found.append(Window(size, taps, stride, dilation, begin, end, out))
    return tuple(found)


def _check_kernel(rank: int, kernel: Shape, auto_pad: str | bytes) -> None:
    if len(kernel) != rank or any(isinstance(n, int) and n < 1 for n in kernel):
        raise RuleError(f"the kernel is {list(kernel)}; expected {rank} sizes, none below 1")
    if auto_pad not in AUTO_PADS:
        raise RuleError(f"auto_pad is {auto_pad!r}; expected one of {', '.join(AUTO_PADS)}")


def _each(given: Ints, count: int, default: int, name: str) -> tuple[int, ...]:
    """An attribute that has so many numbers, none below its default."""
    if not given:
        return (default,) * count
    if len(given) != count or min(given) < default:
        raise RuleError(f"{name} is {list(given)}; expected {count} numbers, none below {default}")
    return given


def _shares(total: Dim, auto_pad: str) -> tuple[Dim, Dim]:
    """Padding in two halves; the odd one goes to the end for SAME_UPPER, else to the beginning."""
    small = total // 2
    return (small, total - small) if auto_pad == "SAME_UPPER" else (total - small, small)


# ---- how windows give back --------------------------------------------------------------------------------------------------------------


def transposed(dy: Value, w: Any, x: Value, found: Sequence[Window], group: int) -> Value:
    """What windows over x give back to its places: dy, spread by the filters w, with the spatial sizes of x."""
    over = [s.span - s.begin - s.size for s in found]  # by how much the last place reaches past x
    ends = [max(n, 0) if isinstance(n, int) else s.end for n, s in zip(over, found)]
    more = [max(-n, 0) if isinstance(n, int) else s.stride - 1 for n, s in zip(over, found)]  # no less than what is missing
    how = _geometry([s.stride for s in found], [s.dilation for s in found], [*(s.begin for s in found), *ends], group)
    dx = ops.nn.conv_transpose(dy, w, output_padding=tuple(more) if any(more) else None, **how)
    return dx if all(isinstance(n, int) for n in over) else _cut(dx, x)


def convolved(x: Value, w: Value, found: Sequence[Window], group: int, y: Value) -> Value:
    """The convolution of x in the shape of y: the gradient of y, where x is that of its transposed convolution."""
    pads, spare = _least_pads(found)
    made = ops.nn.conv(x, w, **_geometry([s.stride for s in found], [s.dilation for s in found], pads, group))
    return shaped_as(_cut(made, y) if any(n >= s.stride for n, s in zip(spare, found)) else made, y)


def filters_gradient(x: Value, dy: Value, w: Value, found: Sequence[Window], group: int) -> Value:
    """The gradient of filters that slide over x: x convolved with dy, the batches as channels, and strides and dilations exchanged."""
    if 0 in x.shape or 0 in dy.shape:
        return zeros_like(w)
    rest = tuple(range(2, x.rank))
    channels = x.shape[1] // group
    if group == 1 or channels == 1:
        images = ops.shape.transpose(x, perm=(1, 0, *rest))
        images = images if group == 1 else ops.shape.reshape(images, vector([1, -1, *sizes_of(x)]))
    else:  # the channels of a group become the batch; the groups, each beside its batch, the channels
        parts = ops.shape.reshape(x, vector([0, group, channels if isinstance(channels, int) else -1, *sizes_of(x)]))
        parts = ops.shape.transpose(parts, perm=(2, 1, 0, *(i + 1 for i in rest)))
        images = ops.shape.reshape(parts, vector([0, -1, *sizes_of(x)]))
    pads, spare = _least_pads(found)
    how = _geometry([s.dilation for s in found], [s.stride for s in found], pads, group)
    dw = ops.nn.conv(images, ops.shape.transpose(dy, perm=(1, 0, *rest)), **how)
    dw = ops.shape.transpose(dw, perm=(1, 0, *rest))
    longer = any(n >= s.dilation if isinstance(n, int) else s.stride > s.dilation for n, s in zip(spare, found))
    return shaped_as(_cut(dw, w) if longer else dw, w)


def sums_gradient(dy: Value, x: Value, found: Sequence[Window], auto_pad: str, factor: float = 1.0) -> Value:
    """The gradient of sums under windows, times a factor: each place gives dy to all that it sees."""
    wide, found, around = with_static_pads(x, dy, None, found, auto_pad)
    kernel, channels = [s.taps for s in found], x.shape[1]
    if isinstance(channels, int):
        dx = transposed(dy, filled(dy, (channels, 1, *kernel), factor), wide, found, channels)
        return shaped_as(cropped(dx, around), x)
    dy = ops.shape.reshape(dy, vector([-1, 1, *sizes_of(dy)]))  # as many images of one channel
    return reshape_like(cropped(transposed(dy, filled(dy, (1, 1, *kernel), factor), wide, found, 1), around), x)


def with_static_pads(
    x: Value, y: Value, w: Value | None, found: Sequence[Window], auto_pad: str, output_padding: Ints = None
) -> tuple[Value, Sequence[Window], Value | None]:
    """x and the windows over it, in a form in which the padding is known: where it hangs on sizes that only the run tells, x is padded beforehand.

    Then all of the padding is done, as far as windows see, and comes out, too. y: what the windows have made, with the filters w.
    output_padding: that of the transposed convolution that has made x of y.
    """
    if all(isinstance(s.begin, int) and isinstance(s.end, int) for s in found):
        return x, found, None
    add, sub, mul = ops.elementwise.add, ops.elementwise.sub, ops.elementwise.mul
    reach: Any = [s.reach for s in found]
    if not all(isinstance(n, int) for n in reach):
        reach = add(mul(sub(ops.shape.shape(w, start=2), 1), [s.dilation for s in found]), 1)
    places, sizes = (ops.shape.shape(v, start=2) for v in (y, x))
    missing = sub(add(mul(sub(places, 1), [s.stride for s in found]), reach), sizes)
    total = ops.elementwise.max_(add(missing, list(output_padding)) if output_padding else missing, 0)
    begin = ops.elementwise.div(total, 2)
    if auto_pad != "SAME_UPPER":
        begin = sub(total, begin)
    around = ops.shape.concat(begin, sub(missing, begin), axis=0)
    wide = ops.arrange.pad(x, around, None, list(range(2, x.rank)))
    return wide, [s._replace(size=s.span, begin=0, end=0) for s in found], around


def cropped(x: Value, around: Value | None) -> Value:
    """x without the padding that `with_static_pads` has put around."""
    return x if around is None else ops.arrange.pad(x, ops.elementwise.neg(around), None, list(range(2, x.rank)))


def counts_all(s: Window, padding: int, ceil_mode: int) -> bool:
    """Whether an average counts all taps at every place, those in the padding too if `padding` is set. False where that is not sure."""
    over = s.span - s.begin - s.size
    if padding:
        return not ceil_mode or (isinstance(over, int) and over <= s.end)
    return s.begin == 0 and ((s.end == 0 and not ceil_mode) or (isinstance(over, int) and over <= 0))


def counted(s: Window, padding: int) -> np.ndarray:
    """How many taps an average counts at each place."""
    first = np.arange(s.out) * s.stride - s.begin
    low, high = (-s.begin, s.size + s.end) if padding else (0, s.size)
    before, up_to = (np.clip(-((first - bound) // s.dilation), 0, s.taps) for bound in (low, high))
    return up_to - before


def _cut(x: Value, like: Value) -> Value:
    """x without what lies past the spatial sizes of `like`."""
    return ops.shape.slice_(x, [0] * (x.rank - 2), vector(sizes_of(like)), list(range(2, x.rank)))


def _geometry(strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int], group: int) -> dict[str, Any]:
    """The attributes of a convolution, without those that say nothing."""
    return {
        "strides": strides if any(s != 1 for s in strides) else None,
        "dilations": dilations if any(d != 1 for d in dilations) else None,
        "pads": pads if any(pads) else None,
        "group": group if group != 1 else None,
    }


def _least_pads(found: Sequence[Window]) -> tuple[list[int], list[Any]]:
    """The padding without what no window sees at the end, as far as that is sure; and how much x is longer than what is seen, all the same."""
    unseen = [s.size + s.begin + s.end - s.span for s in found]
    ends = [max(s.end - n, 0) if isinstance(n, int) else s.end for n, s in zip(unseen, found)]
    return [*(s.begin for s in found), *ends], [n - s.end + end for n, s, end in zip(unseen, found, ends)]
