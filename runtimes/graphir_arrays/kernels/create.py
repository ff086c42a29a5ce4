"""Kernels of graphir.ops.create."""

import struct

from graphir.dtypes import BFLOAT16, DTYPES, FLOAT16
from graphir.ops.create import constant_tensor, count_steps


def constant(xp, **attributes):
    return xp.asarray(constant_tensor(**attributes).array)


def constant_of_shape(xp, input, *, value):
    if value is None:
        return xp.zeros(input.tolist(), dtype="float32")
    filling = value.array.reshape(-1)
    if not any(filling.tobytes()):
        return xp.zeros(input.tolist(), dtype=value.dtype)  # which costs no memory until it is written to
    return xp.full(input.tolist(), filling[0], dtype=value.dtype)


def range_(xp, start, limit, delta, *, stash_type):
    first, last, step, dtype = start.item(), limit.item(), delta.item(), start.dtype
    if step == 0:
        raise ValueError("delta is 0")
    count = count_steps(first, last, step)
    counted = "int64" if dtype.kind == "i" else DTYPES[stash_type] if dtype in (FLOAT16, BFLOAT16) else "float64"
    return (first + xp.arange(count, dtype=counted) * step).astype(dtype)


def eye_like(xp, input, *, dtype, k):
    return xp.eye(*input.shape, k=k, dtype=_dtype(dtype, input))


def one_hot(xp, indices, depth, values, *, axis):
    indices, size = indices.astype("int64"), int(depth.item())
    places = xp.expand_dims(xp.where(indices < 0, indices + size, indices), axis)
    after = indices.ndim - axis if axis >= 0 else -1 - axis
    here = places == xp.arange(size).reshape(-1, *(1,) * after)
    return xp.where(here, values[1:2], values[0:1])


def random_normal(xp, *, shape, dtype, mean, scale, seed):
    return _normal(xp, shape, DTYPES[dtype], mean, scale, seed)


def random_normal_like(xp, input, *, dtype, mean, scale, seed):
    return _normal(xp, input.shape, _dtype(dtype, input), mean, scale, seed)


def random_uniform(xp, *, shape, dtype, low, high, seed):
    return _uniform(xp, shape, DTYPES[dtype], low, high, seed)


def random_uniform_like(xp, input, *, dtype, low, high, seed):
    return _uniform(xp, input.shape, _dtype(dtype, input), low, high, seed)


def bernoulli(xp, input, *, dtype, seed):
    return (_generator(xp, seed).random(input.shape) < input.astype("float64")).astype(_dtype(dtype, input))


def _normal(xp, shape, dtype, mean, scale, seed):
    return (mean + scale * _generator(xp, seed).standard_normal(shape)).astype(dtype)


def _uniform(xp, shape, dtype, low, high, seed):
    return (low + (high - low) * _generator(xp, seed).random(shape)).astype(dtype)


def _generator(xp, seed):
    """The runtime's source of random numbers, or one of this node's own where it gives a seed: a float32, of which every bit counts."""
    return xp.random_generator() if seed is None else xp.random_generator(struct.unpack("I", struct.pack("f", seed))[0])


def _dtype(name, input):
    return input.dtype if name is None else DTYPES[name]
