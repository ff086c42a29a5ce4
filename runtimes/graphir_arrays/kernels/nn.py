"""Kernels of graphir.ops.nn.

Convolution is a strided view of all windows, copied block by block, times the filters: one matrix product a block. Pools go axis by axis, one pass over
the map for each tap of the kernel. Both see what the window of a place covers through `spans`.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from graphir.ops._windows import Window, transposed_windows, windows

from ..kernel import Bound, Site, prepared
from ..precision import in_single

EMPTY = 64  # how many times as large as what is in it a padded map may be
BLOCK = 1 << 20  # elements of windows that are copied at a time: few enough to stay in cache, enough for a good matrix product

Span = tuple[slice, slice]
Taps = list[tuple[int, Span]]  # those that fall on something: which, and where
Slide = tuple[Window, Taps]


# ---- convolution ----------------------------------------------------------------------------------------------------------------------


@in_single
@prepared
def conv(site: Site) -> Bound:
    """Windows as columns, times the filters. Constant filters are laid out once."""
    x, w = site.inputs[:2]
    return Bound(convolution(site.xp, x, w, site.attributes, site.constants[1]), out=True)


def convolution(xp: Any, x: Any, w: Any, attributes: dict[str, Any], constant: Any = None) -> Callable[..., Any]:
    """The function `(x, w, b=None, out=None)` that convolves arrays of the types x and w. constant: w's array where it is known."""
    group = attributes["group"]
    slides = _windows(x, w.shape[2:], attributes)
    shape = (x.shape[0], w.shape[0], *(s.out for s in slides))
    depth = math.prod(w.shape[1:])

    def laid_out(w: Any) -> Any:
        return w.reshape(group, w.shape[0] // group, depth)

    filters = None if constant is None else laid_out(constant)
    blocks = _blocks(slides, shape, group * depth)
    if math.prod(s.span for s in slides) > EMPTY * math.prod(s.size + s.out for s in slides):
        return partial(_by_taps, xp, slides, shape, group, constant)

    def run(x: Any, w: Any, b: Any = None, out: Any = None) -> Any:
        y = xp.empty(shape, x.dtype) if out is None else out
        rows = y.reshape(shape[0], group, shape[1] // group, math.prod(shape[2:]))
        columns = _columns(xp, _padded(xp, x, slides), slides, group)
        by = laid_out(w) if filters is None else filters
        bias = None if b is None else b.reshape(group, -1, 1)
        for images, places, flat in blocks:
            part = columns[(images, *(slice(None),) * (2 + len(slides)), places)]
            block = rows[images, :, :, flat]
            xp.matmul(by, part.reshape(part.shape[0], group, depth, block.shape[-1]), out=block)
            if bias is not None:
                block += bias
        return y

    return run


def _by_taps(
    xp: Any, slides: tuple[Window, ...], shape: tuple[int, ...], group: int, constant: Any, x: Any, w: Any, b: Any = None, out: Any = None
) -> Any:  # fmt: skip
    """The convolution, a matrix product for each tap, of what it falls on: where windows see so little that x is not worth padding."""
    y = xp.empty(shape, x.dtype) if out is None else out
    y[...] = 0 if b is None else b.reshape(-1, *(1 for _ in slides))
    w = w if constant is None else constant
    for tap, at in _taps([spans(s, s.out, s.size) for s in slides]):
        places, elements = zip(*at)
        part = x[(..., *elements)]
        flat = part.reshape(x.shape[0], group, x.shape[1] // group, -1)
        by = w[(slice(None), slice(None), *tap)].reshape(group, w.shape[0] // group, w.shape[1])
        y[(..., *places)] += xp.matmul(by, flat).reshape(*shape[:2], *part.shape[2:])
    return y


def _windows(x: Any, kernel: tuple[int, ...], a: dict[str, Any]) -> tuple[Window, ...]:
    return windows(x.shape[2:], kernel, a["strides"], a["dilations"], a["pads"], a["auto_pad"], a.get("ceil_mode", 0))


def _blocks(slides: tuple[Window, ...], shape: tuple[int, ...], depth: int) -> list[tuple[slice, slice, slice]]:
    """Cuts the work: for each block its images, its places along the first spatial axis, and these places in the flat map."""
    row = math.prod(shape[3:])
    images, places = shape[0], shape[2]
    if any(s.taps != 1 or s.stride != 1 or s.begin or s.end for s in slides):  # else nothing is copied
        places = max(1, min(places, BLOCK // max(1, depth * row)))
        images = max(1, min(images, BLOCK // max(1, depth * row * places))) if places == shape[2] else 1
    return [
        (slice(n, n + images), slice(p, p + places), slice(p * row, min(p + places, shape[2]) * row))
        for n in range(0, shape[0], max(1, images))
        for p in range(0, shape[2], max(1, places))
    ]


def _padded(xp: Any, x: Any, slides: tuple[Window, ...]) -> Any:
    """x with zeros around it, as far as windows reach; x itself where they stay inside."""
    needed = [(s.out - 1) * s.stride + s.reach for s in slides]
    if all(s.begin == 0 and n <= s.size for s, n in zip(slides, needed)):
        return x
    y = xp.zeros((*x.shape[:2], *needed), x.dtype)
    inner = [(s.begin, max(0, min(s.size, n - s.begin))) for s, n in zip(slides, needed)]
    y[(..., *(slice(b, b + n) for b, n in inner))] = x[(..., *(slice(n) for _, n in inner))]
    return y


def _columns(xp: Any, x: Any, slides: tuple[Window, ...], group: int) -> Any:
    """All windows of a padded x: a view (N, group, C/group, taps..., places...)."""
    n, c = x.strides[:2]
    taps = [(s.taps, step * s.dilation) for s, step in zip(slides, x.strides[2:])]
    places = [(s.out, step * s.stride) for s, step in zip(slides, x.strides[2:])]
    size = x.shape[1] // group
    axes = [(x.shape[0], n), (group, c * size), (size, c), *taps, *places]
    return xp.as_strided(x, [a for a, _ in axes], [s for _, s in axes])


@in_single
@prepared
def conv_transpose(site: Site) -> Bound:
    """One matrix product makes what each place adds, for every tap; a pass a tap adds it up."""
    xp, a = site.xp, site.attributes
    x: Any = site.inputs[0]
    w: Any = site.inputs[1]
    group = a["group"]
    sizes, kernel = x.shape[2:], w.shape[2:]
    slides = transposed_windows(
        sizes, kernel, a["strides"], a["dilations"], a["pads"], a["auto_pad"], a["output_padding"], a["output_shape"]
    )
    shape = (x.shape[0], w.shape[1] * group, *(s.out for s in slides))
    depth = math.prod(w.shape[1:])
    steps = [(t, *zip(*at)) for t, at in _taps([spans(s, s.size, s.out) for s in slides])]

    def laid_out(w: Any) -> Any:
        return w.reshape(group, w.shape[0] // group, depth).swapaxes(1, 2)

    filters = None if site.constants[1] is None else laid_out(site.constants[1])

    def run(x: Any, w: Any, b: Any = None, out: Any = None) -> Any:
        y = xp.empty(shape, x.dtype) if out is None else out
        y[...] = 0 if b is None else b.reshape(-1, *(1 for _ in kernel))
        flat = x.reshape(x.shape[0], group, x.shape[1] // group, math.prod(sizes))
        parts = xp.matmul(laid_out(w) if filters is None else filters, flat).reshape(*shape[:2], *kernel, *sizes)
        for tap, places, targets in steps:
            y[(..., *targets)] += parts[(slice(None), slice(None), *tap, *places)]
        return y

    return Bound(run, out=True)


# ---- windows, tap by tap --------------------------------------------------------------------------------------------------------------


def spans(window: Window, places: int, size: int) -> Taps:
    """For each tap of a window that falls on the axis of `size`: at which places, and on which elements."""
    found: Taps = []
    least = -((places - 1) * window.stride - window.begin) // window.dilation  # taps before it fall short even at the last place
    for tap in range(max(0, least), min(window.taps, (size - 1 + window.begin) // window.dilation + 1)):
        offset = tap * window.dilation - window.begin
        first = max(0, -(offset // window.stride))
        last = min(places, (size - 1 - offset) // window.stride + 1)
        start = first * window.stride + offset
        if last > first:
            found.append((tap, (slice(first, last), slice(start, start + (last - first - 1) * window.stride + 1, window.stride))))
    return found


def _taps(axes: list[Taps]) -> list[tuple[tuple[int, ...], list[Span]]]:
    """Every tap of a window of several axes that falls on something, with its spans."""
    return [(tuple(t for t, _ in taps), [at for _, at in taps]) for taps in itertools.product(*axes)]


def slide(xp: Any, x: Any, axis: int, window: Window, taps: Taps, combine: Callable[..., Any], start: Any) -> Any:
    """x combined along one axis over the taps of a window, given by their spans; `start` stands where none falls. The result may be a view of x."""
    lead, everywhere = (slice(None),) * axis, slice(0, window.out)
    parts = [(places, x[(*lead, elements)]) for _, (places, elements) in taps]
    whole = [part for places, part in parts if places == everywhere]
    edges = [(places, part) for places, part in parts if places != everywhere]
    if len(whole) > 1:
        y = combine(whole[0], whole[1])
        for part in whole[2:]:
            combine(y, part, out=y)
    elif whole:
        y = whole[0].copy() if edges else whole[0]
    else:
        y = xp.full((*x.shape[:axis], window.out, *x.shape[axis + 1 :]), start, x.dtype)
    for places, part in edges:
        target = y[(*lead, places)]
        combine(target, part, out=target)
    return y


# ---- pools ----------------------------------------------------------------------------------------------------------------------------


def _dtype(site: Site) -> Any:
    x: Any = site.inputs[0]
    return x.dtype


def _slides(site: Site) -> list[Slide]:
    """The windows of a pool, each with its spans."""
    return [(w, spans(w, w.out, w.size)) for w in _windows(site.inputs[0], site.attributes["kernel_shape"], site.attributes)]


def _pool(xp: Any, x: Any, slides: list[Slide], combine: Callable[..., Any], start: Any) -> Any:
    """x combined over windows of all spatial axes. The result may be a view of x."""
    for axis, (window, taps) in enumerate(slides, 2):
        x = slide(xp, x, axis, window, taps, combine, start)
    return x


@in_single
@prepared
def max_pool(site: Site) -> Callable[..., Any]:
    """The maximum axis by axis, with the positions only where they are read."""
    xp, a = site.xp, site.attributes
    slides, lowest = _slides(site), _lowest(xp, _dtype(site))
    indexed = len(site.outputs) > 1 and site.outputs[1] is not None

    def run(x: Any) -> tuple[Any, Any]:
        if indexed:
            return _max_with_indices(xp, x, slides, lowest, a["storage_order"])
        y = _pool(xp, x, slides, xp.maximum, lowest)
        return (y.copy() if xp.may_share_memory(y, x) else y), None

    return run


def _lowest(xp: Any, dtype: Any) -> Any:
    return xp.iinfo(dtype).min if dtype.kind in "iu" else -xp.inf


def _max_with_indices(xp: Any, x: Any, slides: list[Slide], lowest: Any, storage_order: int) -> tuple[Any, Any]:
    """Maxima and where they stand: the first in row-major order, or the last NaN where there is one."""
    sizes = x.shape[2:]
    count = math.prod(sizes)
    at = xp.arange(count).reshape(sizes[::-1]).T if storage_order else xp.arange(count).reshape(sizes)
    y, at = x, xp.broadcast_to(at, x.shape)
    # The last axis first, and on each the last tap first: of equals the first in memory stays.
    for axis, (window, taps) in reversed(list(enumerate(slides, 2))):
        shape = (*y.shape[:axis], window.out, *y.shape[axis + 1 :])
        best, best_at = xp.full(shape, lowest, x.dtype), xp.zeros(shape, xp.int64)
        lead = (slice(None),) * axis
        for _, (places, elements) in reversed(taps):
            part, old = y[(*lead, elements)], best[(*lead, places)]
            better = (part >= old) | (part != part)
            best[(*lead, places)] = xp.where(better, part, old)
            best_at[(*lead, places)] = xp.where(better, at[(*lead, elements)], best_at[(*lead, places)])
        y, at = best, best_at
    starts = xp.arange(x.shape[0] * x.shape[1]) * count
    return y, at + starts.reshape(*x.shape[:2], *(1 for _ in sizes))


@in_single
@prepared
def average_pool(site: Site) -> Callable[..., Any]:
    """Sums axis by axis, divided by how much each window covers, which is told once."""
    xp, a = site.xp, site.attributes
    slides, dtype = _slides(site), _dtype(site)
    covered = xp.ones((1,) * len(slides), dtype)
    for i, (window, _) in enumerate(slides):
        covered = covered * _covered(xp, window, a["count_include_pad"]).astype(dtype).reshape(-1, *(1 for _ in slides[i + 1 :]))

    def run(x: Any) -> Any:
        return _pool(xp, x, slides, xp.add, 0) / covered

    return run


def _covered(xp: Any, window: Window, padding: bool) -> Any:
    """At each place, how many taps fall on the axis, or with `padding` on the padded axis."""
    if padding:
        window = window._replace(size=window.begin + window.size + window.end, begin=0)
    starts = xp.arange(window.out) * window.stride - window.begin
    first = xp.maximum(-(starts // window.dilation), 0)
    last = xp.minimum((window.size - 1 - starts) // window.dilation, window.taps - 1)
    return xp.maximum(last - first + 1, 0)


@in_single
@prepared
def lp_pool(site: Site) -> Callable[..., Any]:
    """Sums of powers axis by axis, then the root."""
    xp, a = site.xp, site.attributes
    slides = _slides(site)

    def run(x: Any) -> Any:
        return _root(xp, _pool(xp, _power(xp, x, a["p"]), slides, xp.add, 0), a["p"])

    return run


def _power(xp: Any, x: Any, p: int) -> Any:
    return xp.abs(x) if p == 1 else x * x if p == 2 else xp.abs(x) ** p


def _root(xp: Any, x: Any, p: int) -> Any:
    return x if p == 1 else xp.sqrt(x) if p == 2 else x ** (1 / p)


def average(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """The mean over these axes, which stay with size 1; NaN where there is nothing."""
    return xp.add.reduce(x, axis=axes, keepdims=True) / x.dtype.type(math.prod(x.shape[a] for a in axes))


def _spatial(x: Any) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@in_single
def global_average_pool(xp: Any, x: Any) -> Any:
    return average(xp, x, _spatial(x))


@in_single
def global_max_pool(xp: Any, x: Any) -> Any:
    return xp.max(x, axis=_spatial(x), keepdims=True, initial=_lowest(xp, x.dtype))


@in_single
def global_lp_pool(xp: Any, x: Any, *, p: int) -> Any:
    return _root(xp, xp.sum(_power(xp, x, p), axis=_spatial(x), keepdims=True), p)
