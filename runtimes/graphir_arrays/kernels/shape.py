"""Kernels of graphir.ops.shape."""

import math

from graphir.ops.shape import reshaped, split_sizes

from ..kernel import Bound, prepared, view


def shape(xp, data, *, start, end):
    return xp.asarray(data.shape[start:end], dtype="int64")


def size(xp, data):
    return xp.asarray(data.size, dtype="int64")


@view
def reshape(xp, data, shape, *, allowzero):
    dims = shape.tolist()
    return data.reshape(reshaped(data.shape, dims, allowzero) if 0 in dims else dims)


@view
def flatten(xp, input, *, axis):
    return input.reshape(math.prod(input.shape[:axis]), math.prod(input.shape[axis:]))


@view
def transpose(xp, data, *, perm):
    return data.transpose(perm)


@view
def squeeze(xp, data, axes=None):
    return data.squeeze(axis=None if axes is None else tuple(axes.reshape(-1).tolist()))


@view
def unsqueeze(xp, data, axes):
    places = axes.reshape(-1).tolist()
    rank = data.ndim + len(places)
    at = sorted({a % rank for a in places if -rank <= a < rank})
    if len(at) < len(places):
        raise ValueError(f"axes are {places}; expected each once, from {-rank} to {rank - 1}")
    dims = list(data.shape)
    for a in at:
        dims.insert(a, 1)
    return data.reshape(dims)


@view
def expand(xp, input, shape):
    wanted = shape.tolist()
    missing = input.ndim - len(wanted)
    before, after = (1,) * -missing + input.shape, [1] * missing + wanted
    return xp.broadcast_to(input, [a if b == 1 else b for a, b in zip(before, after)])


def concat(xp, *inputs, axis, out=None):
    return xp.concatenate(inputs, axis=axis, out=out)


@prepared
def split(site):
    axis, pieces = site.attributes["axis"], len(site.outputs)

    def run(input, split=None):
        whole = input.shape[axis]
        sizes = split_sizes(whole, pieces) if split is None else split.tolist()
        if sum(sizes) != whole or len(sizes) != pieces:
            raise ValueError(f"split is {sizes}; expected {pieces} sizes that add up to {whole}, the size of axis {axis}")
        lead = (slice(None),) * (axis % input.ndim)
        made, start = [], 0
        for n in sizes:
            made.append(input[(*lead, slice(start, start + n))])
            start += n
        return made

    return Bound(run, view=True)


@view
def slice_(xp, data, starts, ends, axes=None, steps=None):
    count = starts.size
    axes = range(count) if axes is None else axes.tolist()
    steps = (None,) * count if steps is None else steps.tolist()
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps):
        index[axis] = slice(start, end, step)
    return data[tuple(index)]
