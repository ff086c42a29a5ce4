"""Operators that pick elements by index or by condition, and those that write at indices."""

from collections.abc import Callable

import graphir.ops as ops

from ..dims import Dim, Expr, product, unknown
from ..dtypes import INT64
from ..ir import Value
from ..types import TensorType
from ._gradient import declare_none, expand_to, shape_of, shaped_as, zeros_like
from ._layout import Margins, added_up, among_zeros, positions, reshape_like, scatter_back, size_of, vector
from ._op import Bool, Flag, Floats, Index, Ints, MayOmit, RuleError, T, Vector, op
from ._types import ANY_25, CLASSIC, FLOAT, INDEX, axis_of, dtypes, expect_vectors, int_vector, kept, known_ints, unknowns
from .elementwise import add, cast, cast_like, div, mod, mul, sub, where
from .logic import equal

REDUCTIONS = ("none", "add", "mul", "max", "min")


@op("Gather", since=13, T=CLASSIC | FLOAT, Tind=INDEX)
def gather(data: T, indices: Index, *, axis: int = 0) -> TensorType:
    """The slices of data at `indices` along an axis; the dims of indices take the place of that axis. Negative indices count from the end."""
    axis = axis_of(axis, data.rank)
    dims = data.shape[:axis] + indices.shape + data.shape[axis + 1 :]
    places, size = known_ints(indices), data.shape[axis]
    if places is not None and isinstance(size, int):
        outside = next((i for i in places if not -size <= i < size), None)
        if outside is not None:
            raise RuleError(f"index {outside} is out of range for axis {axis} of size {size}")
    known = None
    if places is not None and data.known is not None and data.rank == 1:
        known = tuple(data.known[i] for i in places)
    return TensorType(data.dtype, dims, kept(dims, known))


@gather.gradient
def gather_gradient(dy, y, data, indices, *, axis):
    axis = axis_of(axis, data.rank)
    places, n = known_ints(indices), data.shape[axis]
    if places is not None and len(places) == 1:
        at = places[0] + n if isinstance(n, int) and places[0] < 0 else places[0]
        margins: Margins = (at, None) if at >= 0 else (None, -1 - at)
        return among_zeros(dy if indices.rank else ops.shape.unsqueeze(dy, [axis]), data, {axis: margins}), None
    if indices.rank == 1 and places is not None and len(places) == n and sorted(i % n for i in places) == list(range(n)):
        order = [i % n for i in places]
        return gather(dy, [order.index(i) for i in range(n)], axis=axis), None
    return add_along(dy, data, indices, axis), None


def add_along(dy: Value, data: Value, indices: Value, axis: int) -> Value:
    """Zeros in the shape of data, to which the slices of dy are added at `indices` along an axis, counted from the front."""
    if indices.dtype != INT64:
        indices = cast(indices, to="int64")
    tuples = ops.shape.unsqueeze(indices, [-1])
    if axis == 0:
        return added_up(dy, data, tuples)
    # ScatterND writes along the first axis: that of data comes to the front, and goes back.
    order = (axis, *(i for i in range(data.rank) if i != axis))
    picked = tuple(range(axis, axis + indices.rank))
    updates = ops.shape.transpose(dy, perm=picked + tuple(i for i in range(data.rank - 1 + indices.rank) if i not in picked))
    dims = shape_of(data)
    dims = [dims[i] for i in order] if isinstance(dims, list) else gather(dims, list(order))
    added = added_up(updates, data, tuples, dims=dims)
    return ops.shape.transpose(added, perm=tuple(order.index(i) for i in range(data.rank)))


@op("GatherElements", since=13, T=CLASSIC | FLOAT, Tind=INDEX)
def gather_elements(data: T, indices: Index, *, axis: int = 0) -> TensorType:
    """For each place in indices, the element of data at the same place but for `axis`, along which the index says where."""
    _check_along(data.shape, indices.shape, axis)
    return TensorType(data.dtype, indices.shape)


@gather_elements.gradient
def gather_elements_gradient(dy, y, data, indices, *, axis):
    return added_up(dy, data, indices, axis), None


@op("GatherND", since=13, T=CLASSIC | FLOAT)
def gather_nd(data: T, indices: Ints, *, batch_dims: int = 0) -> TensorType:
    """The slices of data at the tuples along the last axis of indices. The first batch_dims axes are common to both, and a tuple starts after them."""
    if indices.rank < 1 or not 0 <= batch_dims < min(indices.rank, data.rank):
        raise RuleError(
            f"batch_dims is {batch_dims}; expected 0 or more, less than the ranks of data ({data.rank}) and indices ({indices.rank})"
        )
    length = indices.shape[-1]
    if not isinstance(length, int):
        return TensorType(data.dtype)
    if not 1 <= length <= data.rank - batch_dims:
        raise RuleError(f"indices holds tuples of {length}; expected 1 to {data.rank - batch_dims} numbers")
    return TensorType(data.dtype, indices.shape[:-1] + data.shape[batch_dims + length :])


@gather_nd.gradient
def gather_nd_gradient(dy, y, data, indices, *, batch_dims):
    if batch_dims:
        return scatter_back(dy, data, lambda x: gather_nd(x, indices, batch_dims=batch_dims)), None
    return added_up(dy, data, indices), None


@op("ScatterElements", since=18, T=CLASSIC | FLOAT, Tind=INDEX)
def scatter_elements(data: T, indices: Index, updates: T, *, axis: int = 0, reduction: str = "none") -> TensorType:
    """data, with each update written to its own place but for `axis`, along which the index says where.

    reduction: what happens to the element that is there: "none" replaces it, "add", "mul", "max" and "min" combine it with the update.
    """
    _check_along(data.shape, indices.shape, axis)
    _check_reduction(reduction)
    if all(isinstance(d, int) for d in indices.shape + updates.shape) and indices.shape != updates.shape:
        raise RuleError(f"indices has shape {list(indices.shape)} and updates {list(updates.shape)}; expected one shape")
    return TensorType(data.dtype, data.shape)


@scatter_elements.gradient
def scatter_elements_gradient(dy, y, data, indices, updates, *, axis, reduction):
    def write(x, u, reduction):
        return scatter_elements(x, indices, u, axis=axis, reduction=reduction)

    def pick(x):
        return shaped_as(gather_elements(x, indices, axis=axis), updates)

    return _scatter_gradient(dy, y, data, updates, reduction, write, pick)


@op("ScatterND", since=18, T=CLASSIC | FLOAT)
def scatter_nd(data: T, indices: Ints, updates: T, *, reduction: str = "none") -> TensorType:
    """data, with each slice of updates written where the tuple along the last axis of indices says.

    reduction: what happens to the elements that are there: "none" replaces them, "add", "mul", "max" and "min" combine them with the update.
    """
    _check_reduction(reduction)
    if indices.rank < 1 or data.rank < 1:
        raise RuleError(f"data has rank {data.rank} and indices {indices.rank}; expected 1 or more")
    length = indices.shape[-1]
    if isinstance(length, int):
        if length > data.rank:
            raise RuleError(f"indices holds tuples of {length}; data has rank {data.rank}")
        expected = indices.shape[:-1] + data.shape[length:]
        if len(expected) != updates.rank or any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(expected, updates.shape)
        ):
            raise RuleError(f"updates has shape {list(updates.shape)}; expected {list(expected)}")
    return TensorType(data.dtype, data.shape)


@scatter_nd.gradient
def scatter_nd_gradient(dy, y, data, indices, updates, *, reduction):
    def write(x, u, reduction):
        return scatter_nd(x, indices, u, reduction=reduction)

    def pick(x):
        return shaped_as(gather_nd(x, indices), updates)

    return _scatter_gradient(dy, y, data, updates, reduction, write, pick)


def _scatter_gradient(
    dy: Value, y: Value, data: Value, updates: Value, reduction: str, write: Callable[..., Value], pick: Callable[[Value], Value]
) -> tuple[Value, None, Value]:
    """The gradients of data and updates in y = write(data, updates, reduction); pick(x) reads where the updates go."""
    if reduction == "none":
        return write(dy, zeros_like(updates), "none"), None, pick(dy)
    if reduction == "add":
        return dy, None, pick(dy)
    if reduction == "mul":
        # y / update; but where an update is the only zero at its place, the product of the others. Of two, it is the rest times the other
        # one: 0, but not its derivative. Of more it is 0.
        zero = equal(updates, 0.0)
        others = where(zero, 1.0, updates)
        zeros = pick(write(zeros_like(data), cast_like(zero, updates), "add"))
        other = sub(pick(write(zeros_like(data), where(zero, updates, 0.0), "add")), updates)
        rest = where(equal(zeros, 1.0), 1.0, where(equal(zeros, 2.0), other, 0.0))
        factor = where(zero, mul(pick(write(data, others, "mul")), rest), div(pick(y), others))
        return mul(dy, write(zeros_like(data, fill=1), updates, "mul")), None, mul(pick(dy), factor)
    # All that reach the extreme share evenly.
    kept, reached = equal(data, y), equal(updates, pick(y))
    share = div(dy, write(cast_like(kept, dy), cast_like(reached, dy), "add"))
    return where(kept, share, 0.0), None, where(reached, pick(share), 0.0)


def _check_along(shape: tuple[Dim, ...], indices: tuple[Dim, ...], axis: int) -> None:
    at = axis_of(axis, len(shape))
    if len(indices) != len(shape):
        raise RuleError(f"data has rank {len(shape)} and indices {len(indices)}; expected one rank")
    for i, (d, n) in enumerate(zip(shape, indices)):
        if i != at and isinstance(d, int) and isinstance(n, int) and n > d:
            raise RuleError(f"indices has size {n} at axis {i}, data only {d}")


def _check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise RuleError(f"reduction is {reduction!r}; expected one of {', '.join(REDUCTIONS)}")


@op("TensorScatter", since=24, T=ANY_25 - dtypes("int2 uint2"))
def tensor_scatter(past_cache: T, update: T, write_indices: Ints | None = None, *, axis: int = -2, mode: str = "linear") -> TensorType:
    """past_cache, with update written along `axis` from step write_indices[b] on in each sample b of the batch; mode "circular" goes round at the end."""
    if axis_of(axis, past_cache.rank) == 0:
        raise RuleError("axis is 0, which is the batch; expected another one")
    if mode not in ("linear", "circular"):
        raise RuleError(f"mode is {mode!r}; expected linear or circular")
    if update.rank != past_cache.rank:
        raise RuleError(f"past_cache has rank {past_cache.rank} and update {update.rank}; expected one rank")
    return TensorType(past_cache.dtype, past_cache.shape)


@tensor_scatter.gradient
def tensor_scatter_gradient(dy, y, past_cache, update, write_indices=None, *, axis, mode):
    at = axis_of(axis, update.rank)
    d_past = tensor_scatter(dy, zeros_like(update), write_indices, axis=axis, mode=mode)
    if write_indices is None:
        return d_past, shaped_as(ops.shape.slice_(dy, [0], vector([size_of(update, at)]), [at]), update), None
    places = add(ops.shape.unsqueeze(write_indices, [1]), positions(update, at))
    if mode == "circular":
        places = mod(places, size_of(past_cache, at))
    places = ops.shape.unsqueeze(places, [i for i in range(update.rank) if i not in (0, at)])
    return d_past, gather_elements(dy, expand_to(places, update), axis=at), None


@op("NonZero", since=13, T=CLASSIC | FLOAT)
def non_zero(x: T) -> TensorType:
    """The indices of the elements that are not zero, one column for each, in row-major order."""
    sure = x.known is not None and not any(isinstance(k, Expr) for k in x.known)
    return TensorType(INT64, (x.rank, sum(k != 0 for k in x.known or ()) if sure else unknown()))


@op("Compress", since=28, T=CLASSIC | FLOAT)
def compress(input: T, condition: Vector[Bool], *, axis: int | None = None) -> TensorType:
    """The slices of input along an axis where the condition holds; its elements, as a vector, where no axis is given. A short condition ends early."""
    expect_vectors(condition=condition)
    truths = known_ints(condition)
    count = unknown() if truths is None else sum(truths)
    if axis is None:
        return TensorType(input.dtype, (count,))
    at = axis_of(axis, input.rank)
    return TensorType(input.dtype, (*input.shape[:at], count, *input.shape[at + 1 :]))


@compress.gradient
def compress_gradient(dy, y, input, condition, *, axis):
    places = ops.shape.reshape(non_zero(condition), [-1])
    if axis is not None:
        return add_along(dy, input, places, axis_of(axis, input.rank)), None
    flat = zeros_like(input, ops.shape.reshape(ops.shape.size(input), [1]))
    return reshape_like(scatter_elements(flat, places, dy), input), None


@op("Unique", since=28, T=CLASSIC | FLOAT)
def unique(x: T, *, axis: int | None = None, sorted: Flag = 1) -> tuple[TensorType, MayOmit, MayOmit, MayOmit]:
    """The distinct elements of x, or slices along an axis; where each occurs first; which of them each element of x is; how often each occurs.

    sorted: in ascending order; 0 leaves them in the order of their first occurrence.
    """
    count = unknown()
    if axis is None:
        return TensorType(x.dtype, (count,)), int_vector(count), int_vector(product(x.shape)), int_vector(count)
    at = axis_of(axis, x.rank)
    slices = TensorType(x.dtype, (*x.shape[:at], count, *x.shape[at + 1 :]))
    return slices, int_vector(count), int_vector(x.shape[at]), int_vector(count)


@unique.gradient
def unique_gradient(dys, ys, x, *, axis, **attributes):
    """Of equal elements the first one counts."""
    if axis is not None:
        return add_along(dys[0], x, ys[1], axis_of(axis, x.rank))
    flat = zeros_like(x, ops.shape.reshape(ops.shape.size(x), [1]))
    return reshape_like(scatter_elements(flat, ys[1], dys[0]), x)


@op("NonMaxSuppression", since=11)
def non_max_suppression(
    boxes: Floats,
    scores: Floats,
    max_output_boxes_per_class: Ints | None = None,
    iou_threshold: Floats | None = None,
    score_threshold: Floats | None = None,
    *,
    center_point_box: Flag = 0,
) -> TensorType:
    """The best boxes of each batch and class, by score: one that overlaps a better one by more than iou_threshold, or scores too low, is left out.

    boxes: (batch, box, 4), as corners (y1, x1, y2, x2), or as (x, y, width, height) about the centre with center_point_box. scores: (batch, class, box).
    The result is (selected, 3): batch, class, box.
    """
    if boxes.rank != 3 or scores.rank != 3:
        raise RuleError(f"boxes has rank {boxes.rank} and scores {scores.rank}; expected 3 and 3")
    return TensorType(INT64, (*unknowns(1), 3))


declare_none(non_zero, non_max_suppression)
