"""Operators that pick elements by index or by condition, and those that write at indices."""

from ..dims import Dim, Expr, product, unknown
from ..dtypes import INT64
from ..types import TensorType
from ._op import Bool, Floats, Index, Ints, MayOmit, RuleError, T, op
from ._types import ANY_25, CLASSIC, FLOAT, INDEX, axis_of, dtypes, int_vector, kept, known_ints, unknowns

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


@op("GatherElements", since=13, T=CLASSIC | FLOAT, Tind=INDEX)
def gather_elements(data: T, indices: Index, *, axis: int = 0) -> TensorType:
    """For each place in indices, the element of data at the same place but for `axis`, along which the index says where."""
    _check_along(data.shape, indices.shape, axis)
    return TensorType(data.dtype, indices.shape)


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


@op("NonZero", since=13, T=CLASSIC | FLOAT)
def non_zero(x: T) -> TensorType:
    """The indices of the elements that are not zero, one column for each, in row-major order."""
    sure = x.known is not None and not any(isinstance(k, Expr) for k in x.known)
    return TensorType(INT64, (x.rank, sum(k != 0 for k in x.known or ()) if sure else unknown()))


@op("Compress", since=28, T=CLASSIC | FLOAT)
def compress(input: T, condition: Bool, *, axis: int | None = None) -> TensorType:
    """The slices of input along an axis where the condition holds; its elements, as a vector, where no axis is given. A short condition ends early."""
    truths = known_ints(condition)
    count = unknown() if truths is None else sum(truths)
    if axis is None:
        return TensorType(input.dtype, (count,))
    at = axis_of(axis, input.rank)
    return TensorType(input.dtype, (*input.shape[:at], count, *input.shape[at + 1 :]))


@op("Unique", since=28, T=CLASSIC | FLOAT)
def unique(x: T, *, axis: int | None = None, sorted: int = 1) -> tuple[TensorType, MayOmit, MayOmit, MayOmit]:
    """The distinct elements of x, or slices along an axis; where each occurs first; which of them each element of x is; how often each occurs.

    sorted: in ascending order; 0 leaves them in the order of their first occurrence.
    """
    count = unknown()
    if axis is None:
        return TensorType(x.dtype, (count,)), int_vector(count), int_vector(product(x.shape)), int_vector(count)
    at = axis_of(axis, x.rank)
    slices = TensorType(x.dtype, (*x.shape[:at], count, *x.shape[at + 1 :]))
    return slices, int_vector(count), int_vector(x.shape[at]), int_vector(count)


@op("NonMaxSuppression", since=11)
def non_max_suppression(
    boxes: Floats,
    scores: Floats,
    max_output_boxes_per_class: Ints | None = None,
    iou_threshold: Floats | None = None,
    score_threshold: Floats | None = None,
    *,
    center_point_box: int = 0,
) -> TensorType:
    """The best boxes of each batch and class, by score: one that overlaps a better one by more than iou_threshold, or scores too low, is left out.

    boxes: (batch, box, 4), as corners (y1, x1, y2, x2), or as (x, y, width, height) about the centre with center_point_box. scores: (batch, class, box).
    The result is (selected, 3): batch, class, box.
    """
    if boxes.rank != 3 or scores.rank != 3:
        raise RuleError(f"boxes has rank {boxes.rank} and scores {scores.rank}; expected 3 and 3")
    return TensorType(INT64, (*unknowns(1), 3))
