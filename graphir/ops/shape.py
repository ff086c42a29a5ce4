"""Operators that tell a shape, change it, and join, split and slice along an axis."""

from collections.abc import Sequence

from ..dims import Dim, Expr, ceil_div, max_, min_, product, unknown
from ..types import Known, TensorType, Type
from ._gradient import declare_none, shaped_as, zeros_like
from ._layout import among_zeros, reshape_like, scatter_back, size_of, vector
from ._op import Flag, Index, Ints, RuleError, T, Vector, op
from ._slices import slice_cuts, sliced, spread
from ._types import (
    ANY_25,
    CLASSIC,
    FLOAT,
    INDEX,
    axis_of,
    broadcast,
    expect_axes,
    expect_vectors,
    int_vector,
    kept,
    known_dims,
    known_ints,
    length_of,
    moved,
    unknowns,
)


@op("Shape", since=25, T=ANY_25)
def shape(data: T, *, start: int = 0, end: int | None = None) -> TensorType:
    """The dims of data from axis `start` to axis `end`, as an int64 vector; axes past the ends are clamped."""
    dims = data.shape[start:end]
    return int_vector(len(dims), dims)


@op("Size", since=25, T=ANY_25)
def size(data: T) -> TensorType:
    """The number of elements of data, an int64 scalar."""
    return TensorType("int64", (), (product(data.shape),))


declare_none(shape, size)


@op("Reshape", since=25, T=ANY_25)
def reshape(data: T, shape: Vector[Ints], *, allowzero: Flag = 0) -> TensorType:
    """data in another shape with as many elements: -1 stands for what is left over, 0 for the dim of data at the same place (unless allowzero)."""
    expect_vectors(shape=shape)
    wanted = known_dims(shape)
    if wanted is None:
        count = length_of(shape)
        return TensorType(data.dtype, None if count is None else (product(data.shape),) if count == 1 else unknowns(count))
    dims = reshaped(data.shape, wanted, allowzero)
    return TensorType(data.dtype, dims, kept(dims, data.known))


def reshaped(shape: Sequence[Dim], wanted: Sequence[Dim], allowzero: int) -> tuple[Dim, ...]:
    """The dims that Reshape makes of `shape` when it is asked for `wanted`. Raises RuleError where it cannot."""
    if wanted.count(-1) > 1:
        raise RuleError(f"the shape {list(wanted)} has more than one -1")
    if allowzero and 0 in wanted and -1 in wanted:
        raise RuleError(f"the shape {list(wanted)} has both 0 and -1; with allowzero it is open what -1 stands for")
    if any(isinstance(d, int) and d < -1 for d in wanted):
        raise RuleError(f"the shape {list(wanted)} has a negative size")
    copied = set() if allowzero else {i for i, d in enumerate(wanted) if d == 0}
    if copied and max(copied) >= len(shape):
        raise RuleError(f"the shape {list(wanted)} has a 0 at place {max(copied)}, which data of rank {len(shape)} has not")
    # Copied dims are left out on both sides, so that -1 has a meaning beside a copied 0.
    there = product(d for i, d in enumerate(shape) if i not in copied)
    asked = product(d for i, d in enumerate(wanted) if i not in copied and d != -1)
    rest = 0 if asked == 0 else there // asked
    dims = tuple(shape[i] if i in copied else rest if d == -1 else d for i, d in enumerate(wanted))
    total = asked * rest if -1 in wanted else asked
    if isinstance(there, int) and isinstance(total, int) and there != total:
        raise RuleError(f"{list(shape)} has {product(shape)} elements, which do not fit the shape {list(wanted)}")
    return dims


@reshape.gradient
def reshape_gradient(dy, y, data, shape, **attributes):
    return reshape_like(dy, data), None


@op("Flatten", since=25, T=ANY_25)
def flatten(input: T, *, axis: int = 1) -> TensorType:
    """input as a matrix: the axes before `axis` make its rows, the others its columns."""
    if not -input.rank <= axis <= input.rank:
        raise RuleError(f"axis is {axis}; expected {-input.rank} to {input.rank}, for rank {input.rank}")
    axis = axis + input.rank if axis < 0 else axis
    return TensorType(input.dtype, (product(input.shape[:axis]), product(input.shape[axis:])))


@flatten.gradient
def flatten_gradient(dy, y, input, **attributes):
    return reshape_like(dy, input)


@op("Transpose", since=25, T=ANY_25)
def transpose(data: T, *, perm: tuple[int, ...] | None = None) -> TensorType:
    """data with its axes in the order `perm`, reversed by default."""
    order = tuple(reversed(range(data.rank))) if perm is None else perm
    if sorted(order) != list(range(data.rank)):
        raise RuleError(f"perm is {list(order)}; expected each of the axes 0 to {data.rank - 1} once")
    return TensorType(data.dtype, tuple(data.shape[i] for i in order), moved(data, lambda x: x.transpose(order)))


@transpose.gradient
def transpose_gradient(dy, y, data, *, perm):
    return transpose(dy) if perm is None else transpose(dy, perm=tuple(perm.index(i) for i in range(len(perm))))


@op("Squeeze", since=25, T=ANY_25)
def squeeze(data: T, axes: Vector[Ints] | None = None) -> TensorType:
    """data without the given axes, which must have size 1; without all axes of size 1 if none are given."""
    expect_vectors(axes=axes)
    places = known_ints(axes)
    if axes is None:
        if any(isinstance(d, Expr) for d in data.shape):
            return TensorType(data.dtype)
        gone = {i for i, d in enumerate(data.shape) if d == 1}
    elif places is None:
        expect_axes(axes, data.rank)
        count = length_of(axes)
        return TensorType(data.dtype, None if count is None else unknowns(data.rank - count))
    else:
        gone = {axis_of(a, data.rank, "an axis") for a in places}
    wide = next((i for i in gone if isinstance(data.shape[i], int) and data.shape[i] != 1), None)
    if wide is not None:
        raise RuleError(f"axis {wide} has size {data.shape[wide]}; only an axis of size 1 can be removed")
    return TensorType(data.dtype, tuple(d for i, d in enumerate(data.shape) if i not in gone), data.known)


@squeeze.gradient
def squeeze_gradient(dy, y, data, axes=None):
    return reshape_like(dy, data) if axes is None else shaped_as(unsqueeze(dy, axes), data), None


@op("Unsqueeze", since=25, T=ANY_25)
def unsqueeze(data: T, axes: Vector[Ints]) -> TensorType:
    """data with axes of size 1 inserted, so that they are `axes` of the result."""
    expect_vectors(axes=axes)
    places = known_ints(axes)
    if places is None:
        count = length_of(axes)
        return TensorType(data.dtype, None if count is None else unknowns(data.rank + count))
    rank = data.rank + len(places)
    new = {axis_of(a, rank, "an axis") for a in places}
    if len(new) != len(places):
        raise RuleError(f"axes are {list(places)}; expected each once")
    old = iter(data.shape)
    dims = tuple(1 if i in new else next(old) for i in range(rank))
    return TensorType(data.dtype, dims, kept(dims, data.known))


@unsqueeze.gradient
def unsqueeze_gradient(dy, y, data, axes):
    return shaped_as(squeeze(dy, axes), data), None


@op("Expand", since=13, T=CLASSIC | FLOAT)
def expand(input: T, shape: Vector[Ints]) -> TensorType:
    """input repeated along axes of size 1, until it has the shape in which it and `shape` meet by broadcasting."""
    expect_vectors(shape=shape)
    wanted = known_dims(shape)
    if wanted is None:
        count = length_of(shape)
        if count is None:
            return TensorType(input.dtype)
        wanted = unknowns(count)
    dims = broadcast(input.shape, wanted)
    return TensorType(input.dtype, dims, kept(dims, input.known))


@expand.gradient
def expand_gradient(dy, y, input, shape):
    return dy, None


@op("Concat", since=13, T=CLASSIC | FLOAT)
def concat(*inputs: T, axis: int) -> TensorType:
    """The inputs one after another along an axis; their other dims are equal."""
    first = inputs[0]
    axis = axis_of(axis, first.rank)
    dims = list(first.shape)
    known: Known | None = first.known if axis == 0 else None
    for x in inputs[1:]:
        if x.rank != first.rank:
            raise RuleError(f"inputs of rank {first.rank} and {x.rank} meet; expected one rank")
        for i, d in enumerate(x.shape):
            if i == axis:
                dims[i] = dims[i] + d
            elif d is dims[i]:
                continue
            elif isinstance(dims[i], int) and isinstance(d, int) and dims[i] != d:
                raise RuleError(f"sizes {dims[i]} and {d} meet at axis {i}; only along axis {axis} may they differ")
            else:
                dims[i] = _sharper(dims[i], d)
        known = None if known is None or x.known is None else known + x.known
    return TensorType(first.dtype, dims, kept(dims, known))


@concat.gradient
def concat_gradient(dy, y, *inputs, axis):
    at = axis_of(axis, y.rank)
    return split(dy, vector([size_of(x, at) for x in inputs]), axis=axis) if len(inputs) > 1 else [dy]


def _sharper(a: Dim, b: Dim) -> Dim:
    """Of two dims that must be equal, the one that says more."""
    return b if isinstance(a, Expr) and (isinstance(b, int) or a.is_unknown) else a


@op("Split", since=18, T=CLASSIC | FLOAT)
def split(
    input: T, split: Vector[Ints] | None = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int | None = None
) -> list[Type]:
    """input cut along an axis, into pieces of the sizes in `split`, else into `num_outputs` of one size, of which the last may be smaller.

    outputs: how many pieces there are, where neither says.
    """
    expect_vectors(split=split)
    axis = axis_of(axis, input.rank)
    whole, sizes = input.shape[axis], known_dims(split)
    if sizes is not None and any(isinstance(d, int) and d < 0 for d in sizes):
        raise RuleError(f"the sizes are {list(sizes)}; expected no negative one")
    if split is None:
        sizes = split_sizes(whole, _agreed(num_outputs, outputs))
    elif sizes is None:
        sizes = tuple(unknown() for _ in range(_agreed(length_of(split), outputs)))
    else:
        _agreed(len(sizes), outputs)
        if isinstance(whole, int) and isinstance(sum(sizes), int) and sum(sizes) != whole:
            raise RuleError(f"the sizes {list(sizes)} do not add up to {whole}, the size of axis {axis}")
    types: list[Type] = []
    start = 0
    for d in sizes:
        known = None
        if input.known is not None and input.rank == 1 and isinstance(start, int) and isinstance(d, int):
            known, start = input.known[start : start + d], start + d
        types.append(TensorType(input.dtype, (*input.shape[:axis], d, *input.shape[axis + 1 :]), known))
    return types


@split.gradient
def split_gradient(dys, ys, input, split=None, *, axis, **attributes):
    at, there = axis_of(axis, input.rank), [i for i, dy in enumerate(dys) if dy is not None]
    first, end = there[0], there[-1] + 1
    before, after = (sum(y.shape[at] for y in left_out) for left_out in (ys[:first], ys[end:]))
    if not isinstance(before, int) and not isinstance(after, int):
        first, end, before = 0, len(ys), 0
    pieces = [zeros_like(y) if dy is None else dy for dy, y in zip(dys[first:end], ys[first:end])]
    part = concat(*pieces, axis=axis) if len(pieces) > 1 else pieces[0]
    if len(pieces) == len(ys):
        return shaped_as(part, input) if len(ys) > 1 else part, None
    return among_zeros(part, input, {at: (before, None) if isinstance(before, int) else (None, after)}), None


def split_sizes(whole: Dim, pieces: int) -> tuple[Dim, ...]:
    """The sizes of `pieces` equal parts of an axis, of which the last may be smaller."""
    size = ceil_div(whole, pieces)
    if size * pieces == whole:
        return (size,) * pieces
    return (size, *(min_(size, max_(whole - size * i, 0)) for i in range(1, pieces - 1)), max_(whole - size * (pieces - 1), 0))


def _agreed(count: int | None, outputs: int | None) -> int:
    """The number of pieces, from what the node says and what its caller counts."""
    if count is not None and outputs is not None and count != outputs:
        raise RuleError(f"{count} pieces come out, but {outputs} outputs are asked for")
    found = count if count is not None else outputs
    if not found:
        raise RuleError("nothing says how many pieces there are; give `split`, num_outputs or outputs")
    return found


@op("Slice", since=13, T=CLASSIC | FLOAT, Tind=INDEX)
def slice_(
    data: T, starts: Vector[Index], ends: Vector[Index], axes: Vector[Index] | None = None, steps: Vector[Index] | None = None
) -> TensorType:
    """data[starts:ends:steps] along the given axes (the first ones by default), with Python's meaning of negative and too large bounds."""
    counts = {n for n in map(length_of, filter(None, (starts, ends, axes, steps))) if n is not None}
    if len(counts) > 1:
        raise RuleError(f"starts, ends, axes and steps have {' and '.join(map(str, sorted(counts)))} numbers; expected as many of each")
    count = counts.pop() if counts else None
    if count is not None and count > data.rank:
        raise RuleError(f"there are {count} starts and ends; data has rank {data.rank}")
    places = range(count) if axes is None and count is not None else known_ints(axes)
    if count is None or places is None:
        return TensorType(data.dtype, unknowns(data.rank))
    if len({axis_of(a, data.rank, "an axis") for a in places}) < count:
        raise RuleError(f"axes are {list(places)}; expected each once")
    dims = list(data.shape)
    bounds = [known_dims(x) or (None,) * count for x in (starts, ends)]
    strides = (1,) * count if steps is None else known_ints(steps) or (None,) * count
    cuts = [slice(None)] * data.rank
    for at, start, end, step in zip(places, *bounds, strides):
        axis = axis_of(at, data.rank, "an axis")
        dims[axis], cuts[axis] = sliced(dims[axis], start, end, step), slice(start, end, step)
    sure = all(isinstance(k, int) for row in (*bounds, strides) for k in row)
    return TensorType(data.dtype, dims, moved(data, lambda x: x[tuple(cuts)]) if sure else None)


@slice_.gradient
def slice_gradient(dy, y, data, starts, ends, axes=None, steps=None):
    cuts = slice_cuts(data, y, starts, ends, axes, steps)
    if cuts is None:
        return scatter_back(dy, data, lambda x: slice_(x, starts, ends, axes, steps)), None, None, None, None
    dy = spread(dy, {axis: abs(step) for axis, (_, step) in cuts.items() if abs(step) > 1})
    dx = among_zeros(dy, data, {axis: margins for axis, (margins, _) in cuts.items()})
    turned = [axis for axis, (_, step) in cuts.items() if step < 0]
    if turned:
        dx = shaped_as(slice_(dx, [-1] * len(turned), [-(2**63)] * len(turned), turned, [-1] * len(turned)), data)
    return dx, None, None, None, None
