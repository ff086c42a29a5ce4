"""Kernels of graphir.ops.index."""

import math


def gather(xp, data, indices, *, axis):
    axis %= data.ndim
    size = data.shape[axis]
    if xp.host is xp and indices.ndim == 0 and -size <= (at := indices.item()) < size:  # as loops take elements, one by one
        return data[(*[slice(None)] * axis, at, ...)].copy()
    _check(xp, indices, axis, size)
    taken = xp.take(data, indices.reshape(-1), axis=axis, mode="wrap")
    return taken.reshape(data.shape[:axis] + indices.shape + data.shape[axis + 1 :])


def gather_elements(xp, data, indices, *, axis):
    return xp.take(data.reshape(-1), _places_along(xp, data.shape, indices, axis))


def gather_nd(xp, data, indices, *, batch_dims):
    length = indices.shape[-1]
    batch, common = math.prod(data.shape[:batch_dims]), data.shape[batch_dims : batch_dims + length]
    places = _places(xp, common, indices, batch_dims).reshape(batch, -1) if batch else indices[..., 0].reshape(0)
    places = places + (xp.arange(batch) * math.prod(common)).reshape(-1, 1)
    rest = data.shape[batch_dims + length :]
    taken = xp.take(data.reshape(batch * math.prod(common), *rest), places.reshape(-1), axis=0)
    return taken.reshape(indices.shape[:-1] + rest)


def scatter_elements(xp, data, indices, updates, *, axis, reduction):
    out = xp.array(data, order="C")
    places = _places_along(xp, data.shape, indices, axis)
    _combine(xp, out.reshape(-1), places.reshape(-1), updates.reshape(-1), reduction)
    return out


def scatter_nd(xp, data, indices, updates, *, reduction):
    out = xp.array(data, order="C")
    length = indices.shape[-1]
    common, rest = data.shape[:length], data.shape[length:]
    places = _places(xp, common, indices).reshape(-1)
    _combine(xp, out.reshape(math.prod(common), *rest), places, updates.reshape(places.size, *rest), reduction)
    return out


def tensor_scatter(xp, past_cache, update, write_indices=None, *, axis, mode):
    axis %= past_cache.ndim
    size, steps = past_cache.shape[axis], update.shape[axis]
    start = xp.zeros(past_cache.shape[0], dtype="int64") if write_indices is None else write_indices
    places = start.reshape(-1, 1) + xp.arange(steps)
    if mode == "circular":
        places = places % size
    _check(xp, places, axis, size)
    out = xp.array(past_cache)
    xp.moveaxis(out, axis, 1)[xp.arange(out.shape[0]).reshape(-1, 1), places] = xp.moveaxis(update, axis, 1)
    return out


def non_zero(xp, x):
    if x.ndim == 0:
        return xp.zeros((0, int(bool(x))), dtype="int64")
    return xp.stack(xp.nonzero(x)).astype("int64")


def compress(xp, input, condition, *, axis):
    data = input.reshape(-1) if axis is None else input
    places = xp.asarray(xp.host.nonzero(condition)[0])
    axis = 0 if axis is None else axis % data.ndim
    _check(xp, places, axis, data.shape[axis])
    return xp.take(data, places, axis=axis)


def unique(xp, x, *, axis, sorted):
    if axis is None:
        keys = data = x.reshape(-1)
        found = xp.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    else:
        data = xp.moveaxis(x, axis, 0)
        # The ranks of the elements stand for them: slices of any dtype compare as rows of integers.
        ranks = xp.unique(data.reshape(-1), return_inverse=True)[1].reshape(data.shape[0], math.prod(data.shape[1:]))
        found = xp.unique(ranks, return_index=True, return_inverse=True, return_counts=True, axis=0)
    first, inverse, counts = found[1], found[2].reshape(-1), found[3]
    if not sorted:
        order = xp.argsort(first)
        first, counts, inverse = first[order], counts[order], xp.argsort(order)[inverse]
    values = xp.take(data, first, axis=0)
    return (values if axis is None else xp.moveaxis(values, 0, axis)), *(i.astype("int64") for i in (first, inverse, counts))


def non_max_suppression(xp, boxes, scores, max_output_boxes_per_class=None, iou_threshold=None, score_threshold=None, *, center_point_box):
    most = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class.item())
    limit = 0.0 if iou_threshold is None else iou_threshold.item()
    if center_point_box:
        middle, half = boxes[..., :2], boxes[..., 2:] / 2
        low, high = middle - half, middle + half
    else:
        low, high = xp.minimum(boxes[..., :2], boxes[..., 2:]), xp.maximum(boxes[..., :2], boxes[..., 2:])
    selected = []
    for batch in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            score = scores[batch, kind]
            left = xp.argsort(-score, kind="stable")
            if score_threshold is not None:
                left = left[score[left] > score_threshold.item()]
            for _ in range(most):
                if not left.size:
                    break
                best, left = left[0], left[1:]
                selected.append((batch, kind, int(best)))
                left = left[_overlap(xp, low[batch], high[batch], best, left) <= limit]
    return xp.asarray(selected, dtype="int64").reshape(-1, 3)


def _overlap(xp, low, high, best, others):
    """Intersection over union of one box with others; 0 where a box has no area."""
    sides = xp.maximum(xp.minimum(high[best], high[others]) - xp.maximum(low[best], low[others]), 0)
    common, area = sides.prod(-1), (high - low).prod(-1)
    return xp.where((area[best] > 0) & (area[others] > 0), common / xp.maximum(area[best] + area[others] - common, 1e-30), 0)


def _check(xp, indices, axis, size):
    """Raise ValueError for an index out of range: array libraries differ in what they do then."""

    def error(least, largest):
        return ValueError(f"index {largest if largest >= size else least} is out of range for axis {axis} of size {size}")

    xp.require_within(indices, -size, size, error)


def _places(xp, shape, indices, first=0):
    """Where the tuples along the last axis of `indices` point, in a flat array of this shape; `first` is the number of its first axis."""
    flat = xp.zeros(indices.shape[:-1], dtype="int64")
    for i, size in enumerate(shape):
        at = indices[..., i]
        _check(xp, at, first + i, size)
        flat = flat * size + xp.where(at < 0, at + size, at)
    return flat


def _places_along(xp, shape, indices, axis):
    """Where `indices` points along an axis, in a flat array of this shape; on the other axes an element keeps its place."""
    axis %= len(shape)
    _check(xp, indices, axis, shape[axis])
    flat = xp.zeros((1,) * len(shape), dtype="int64")
    for i, size in enumerate(shape):
        if i == axis:
            at = xp.where(indices < 0, indices + size, indices)
        elif indices.shape[i] > size:
            raise ValueError(f"indices has size {indices.shape[i]} at axis {i}, data only {size}")
        else:
            at = xp.arange(indices.shape[i]).reshape(-1, *(1,) * (len(shape) - 1 - i))
        flat = flat * size + at
    return flat


def _combine(xp, target, places, updates, reduction):
    """Write the updates into the target's first axis; those at one place all count."""
    if reduction == "none":
        target[places] = updates
    elif reduction == "add":
        xp.scatter_add(target, (places,), updates)
    else:
        {"mul": xp.multiply, "max": xp.maximum, "min": xp.minimum}[reduction].at(target, (places,), updates)
