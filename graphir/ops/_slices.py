"""What a Slice takes of each axis, and how its gradient is brought back: among what it leaves out at both ends and between its steps."""

import graphir.ops as ops

from ..dims import Dim, ceil_div, max_, min_, nonnegative, unknown
from ..ir import Value
from ._layout import Margins, reshaping, size_of, vector
from ._op import RuleError
from ._types import axis_of, known_dims, known_ints, length_of

ENDLESS = 2**31 - 1  # what exporters write for "to the end": from here on a bound lies past every axis
WIDEST_SPREAD = 64  # a gradient fills steps up to this one with zeros, where only the run tells how long the axis is


def sliced(n: Dim, start: Dim | None, end: Dim | None, step: int | None) -> Dim:
    """The size of [start:end:step] of an axis of size n; None for what is not known. Raises RuleError for step 0."""
    if step == 0:
        raise RuleError("a step is 0")
    if start is None or end is None or step is None:
        return unknown()
    if isinstance(n, int) and isinstance(start, int) and isinstance(end, int):
        return ops.create.count_steps(*slice(start, end, step).indices(n))
    first, last = (0, n) if step > 0 else (-1, n - 1)
    low, high = _position(n, start, first, last), _position(n, end, first, last)
    if low is None or high is None:
        return unknown()
    return ceil_div(max_(high - low if step > 0 else low - high, 0), abs(step))


def _position(n: Dim, bound: Dim, first: Dim, last: Dim) -> Dim | None:
    """Where a bound lies on an axis of size n, between `first` and `last`; None where its sign is open.

    All is said in terms of min, so that what is cut apart adds up again: x[:k] is min(k, n) long, and x[k:] n - min(k, n).
    """
    if isinstance(bound, int) and abs(bound) >= ENDLESS:
        return last if bound > 0 else first
    if nonnegative(bound):
        return min_(bound, last)
    if nonnegative(-bound - 1):
        return n - min_(-bound, n - first)
    gap = n - bound
    return n - min_(gap, n) if first == 0 and isinstance(gap, int) and 0 <= gap <= 2 else None


def slice_cuts(
    data: Value, y: Value, starts: Value, ends: Value, axes: Value | None, steps: Value | None
) -> dict[int, tuple[Margins, int]] | None:
    """The margins and the step by each axis that a Slice cuts; with a negative step, counted from the last element. None where they are not known."""
    count = length_of(starts)
    places = range(count or 0) if axes is None else known_ints(axes)
    strides = [1] * (count or 0) if steps is None else known_ints(steps)
    if count is None or places is None or strides is None:
        return None
    cuts: dict[int, tuple[Margins, int]] = {}
    lows, highs = (known_dims(x) or (None,) * count for x in (starts, ends))
    for at, low, high, step in zip(places, lows, highs, strides):
        axis = axis_of(at, data.rank)
        n, m = data.shape[axis], y.shape[axis]
        if step == 1 and n == m:
            continue
        if isinstance(m, int) and m <= 1:
            step = 1 if step > 0 else -1
        margins = _margins(n, low, high, step)
        if margins is None or (not isinstance(m, int) and abs(step) > WIDEST_SPREAD):
            return None
        cuts[axis] = margins, step
    return cuts


def _margins(n: Dim, start: Dim | None, end: Dim | None, step: int) -> Margins | None:
    """What [start:end:step] leaves out before it and after it. Beyond an empty axis a margin may reach: the other one is then negative."""
    if isinstance(n, int) and isinstance(start, int):
        first = slice(start, None, step).indices(n)[0]
        return (first if step > 0 else n - 1 - first), None
    if step == 1 and start != 0 and isinstance(end, int) and (end >= ENDLESS or -ENDLESS < end < 0):
        return None, (0 if end > 0 else -end)
    if not isinstance(start, int):
        return None
    if step > 0:
        return (start, None) if 0 <= start < ENDLESS else None
    return (max(-1 - start, 0), None) if start >= ENDLESS or -ENDLESS < start < 0 else None


def spread(v: Value, steps: dict[int, int]) -> Value:
    """v with step - 1 zeros after each element along these axes."""
    axes = sorted(steps)
    if not axes:
        return v
    wide = ops.shape.unsqueeze(v, [axis + 1 + i for i, axis in enumerate(axes)])
    pads = [0] * (2 * wide.rank)
    for i, axis in enumerate(axes):
        pads[wide.rank + axis + 1 + i] = steps[axis] - 1
    padded = ops.arrange.pad(wide, pads)
    wanted = reshaping(padded.shape, [d * steps.get(i, 1) for i, d in enumerate(v.shape)])
    if wanted is not None:
        return ops.shape.reshape(padded, wanted)
    sizes = [size_of(v, i) for i in range(v.rank)]
    for axis, step in steps.items():
        n = sizes[axis]
        sizes[axis] = n * step if isinstance(n, int) else ops.elementwise.mul(n, step)
    return ops.shape.reshape(padded, vector(sizes), allowzero=1)
