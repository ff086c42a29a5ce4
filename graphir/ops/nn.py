"""Convolution and pooling: operators that slide a window over the spatial axes of (N, C, D1, ...)."""

from functools import lru_cache
from typing import Any, NamedTuple

from ..dims import Dim, Shape, ceil_div, max_, min_
from ..types import TensorType
from ._op import MayOmit, Op, RuleError, T, op
from ._types import FLOAT, differ, dtypes, expect_shape

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


@lru_cache(1024)  # layers repeat each other's geometry
def windows(
    sizes: Shape, kernel: Shape, strides: Ints, dilations: Ints, pads: Ints, auto_pad: str, ceil_mode: int = 0
) -> tuple[Window, ...]:
    """The windows of a convolution or a pool over axes of these sizes. Raises RuleError where one does not fit."""
    rank = len(sizes)
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


def _filters(x: Any, w: Any, b: Any, kernel_shape: Ints, group: int, transposed: bool = False) -> tuple[Dim, Shape]:
    """The number of channels that a convolution makes, and its kernel's sizes. Raises RuleError where its inputs do not fit each other."""
    if x.rank < 3 or w.rank != x.rank:
        raise RuleError(f"x has rank {x.rank} and w {w.rank}; expected one rank, 3 or more")
    taken, made = (w.shape[0], w.shape[1] * group) if transposed else (w.shape[1] * group, w.shape[0])
    if differ(x.shape[1:2], (taken,)):
        raise RuleError(f"x has {x.shape[1]} channels; w takes {taken}")
    parted = taken if transposed else made
    if group < 1 or (isinstance(parted, int) and parted % group):
        raise RuleError(f"group is {group}; expected a divisor of {parted}")
    expect_shape(b, (made,), "b")
    kernel = w.shape[2:]
    if kernel_shape and differ(kernel_shape, kernel):
        raise RuleError(f"kernel_shape is {list(kernel_shape)}; that of w is {list(kernel)}")
    return made, kernel_shape or kernel


@op("Conv", since=22, T=FLOAT)
def conv(
    x: T, w: T, b: T | None = None, *, auto_pad: str = "NOTSET", dilations: tuple[int, ...] | None = None, group: int = 1,
    kernel_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """Slides the filters w (M, C/group, ...) over x (N, C, ...), a dot product at each place, and adds b (M): (N, M, ...)."""
    m, kernel = _filters(x, w, b, kernel_shape, group)
    found = windows(x.shape[2:], kernel, strides, dilations, pads, auto_pad)
    return TensorType(x.dtype, (x.shape[0], m, *(w.out for w in found)))


@op("ConvTranspose", since=22, T=FLOAT)
def conv_transpose(
    x: T, w: T, b: T | None = None, *, auto_pad: str = "NOTSET", dilations: tuple[int, ...] | None = None, group: int = 1,
    kernel_shape: tuple[int, ...] | None = None, output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """Adds up the filters w (C, M/group, ...), at each place of x (N, C, ...) times what stands there, and b (M): the transpose of Conv."""
    m, kernel = _filters(x, w, b, kernel_shape, group, transposed=True)
    found = transposed_windows(x.shape[2:], kernel, strides, dilations, pads, auto_pad, output_padding, output_shape)
    return TensorType(x.dtype, (x.shape[0], m, *(w.out for w in found)))


def _pooled(x: Any, kernel_shape: tuple[int, ...], *how: Any) -> Shape:
    """The shape of x after a pool. how: what `windows` takes after the kernel."""
    if x.rank < 3 or len(kernel_shape) != x.rank - 2 or min(kernel_shape) < 1:
        raise RuleError(f"kernel_shape is {list(kernel_shape)}; expected a positive number for each axis of x after (N, C)")
    return (*x.shape[:2], *(w.out for w in windows(x.shape[2:], kernel_shape, *how)))


@op("MaxPool", since=22, T=FLOAT | dtypes("int8 uint8"))
def max_pool(
    x: T, *, kernel_shape: tuple[int, ...], auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None, storage_order: int = 0, strides: tuple[int, ...] | None = None,
) -> tuple[TensorType, MayOmit]:  # fmt: skip
    """The largest number under each window, padding left out, and where it stands in the flat x (with the spatial axes reversed if storage_order is 1)."""
    shape = _pooled(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return TensorType(x.dtype, shape), TensorType("int64", shape)


@op("AveragePool", since=22, T=FLOAT)
def average_pool(
    x: T, *, kernel_shape: tuple[int, ...], auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The mean under each window, of what is not padding, or with count_include_pad of zeros there too."""
    shape = _pooled(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return TensorType(x.dtype, shape)


@op("LpPool", since=22, T=FLOAT)
def lp_pool(
    x: T, *, kernel_shape: tuple[int, ...], auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: tuple[int, ...] | None = None,
    p: int = 2, pads: tuple[int, ...] | None = None, strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The p-norm under each window: the p-th root of the sum of |x|^p."""
    shape = _pooled(x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
    return TensorType(x.dtype, shape)


def _global(x: Any) -> TensorType:
    if x.rank < 2:
        raise RuleError(f"x has rank {x.rank}; expected (N, C, ...)")
    return TensorType(x.dtype, (*x.shape[:2], *(1 for _ in x.shape[2:])))


def _global_pool(name: str, function: str, doc: str) -> Op:
    def rule(x: T) -> TensorType:
        return _global(x)

    rule.__name__, rule.__doc__ = function, doc
    return op(name, since=22, T=FLOAT)(rule)


global_average_pool = _global_pool("GlobalAveragePool", "global_average_pool", "The mean over all spatial axes, which stay with size 1.")
global_max_pool = _global_pool("GlobalMaxPool", "global_max_pool", "The largest number over all spatial axes, which stay with size 1.")


@op("GlobalLpPool", since=22, T=FLOAT)
def global_lp_pool(x: T, *, p: int = 2) -> TensorType:
    """The p-norm over all spatial axes, which stay with size 1."""
    return _global(x)
