"""Kernels of graphir.ops.create."""

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from graphir.dtypes import BFLOAT16, DTYPES, FLOAT16
from graphir.ops.create import constant_tensor, count_steps

from ..kernel import Bound, Prepared, Site


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
    if not indices.size:
        at = axis if axis >= 0 else indices.ndim + 1 + axis
        return xp.full((*indices.shape[:at], size, *indices.shape[at:]), values[0], values.dtype)
    places = xp.expand_dims(xp.where(indices < 0, indices + size, indices), axis)
    after = indices.ndim - axis if axis >= 0 else -1 - axis
    here = places == xp.arange(size).reshape(-1, *(1,) * after)
    return xp.where(here, values[1:2], values[0:1])


# ---- random numbers ----------------------------------------------------------------------------------------------------------------------


def _drawing(kernel: Callable[..., Any]) -> Prepared:
    """The kernel `kernel(xp, generator, *inputs, **attributes)`, with the generator of the node and the run.

    A node that gives a seed has one of its own, the same in each run: the seed is a float32, of which every bit counts.
    """

    def prepare(site: Site) -> Bound:
        attributes = dict(site.attributes)
        seed = attributes.pop("seed")
        draw = site.draw or site.xp.random_generator
        if seed is not None:
            draw = partial(site.xp.random_generator, struct.unpack("I", struct.pack("f", seed))[0])
        return Bound(lambda *inputs: kernel(site.xp, draw(), *inputs, **attributes))

    return Prepared(prepare)


@_drawing
def random_normal(xp, generator, *, shape, dtype, mean, scale):
    return (mean + scale * generator.standard_normal(shape)).astype(DTYPES[dtype])


@_drawing
def random_normal_like(xp, generator, input, *, dtype, mean, scale):
    return (mean + scale * generator.standard_normal(input.shape)).astype(_dtype(dtype, input))


@_drawing
def random_uniform(xp, generator, *, shape, dtype, low, high):
    return (low + (high - low) * generator.random(shape)).astype(DTYPES[dtype])


@_drawing
def random_uniform_like(xp, generator, input, *, dtype, low, high):
    return (low + (high - low) * generator.random(input.shape)).astype(_dtype(dtype, input))


@_drawing
def bernoulli(xp, generator, input, *, dtype):
    return (generator.random(input.shape) < input.astype("float64")).astype(_dtype(dtype, input))


@_drawing
def multinomial(xp, generator, input, *, dtype, sample_size):
    """Where a number between 0 and 1 falls among the probabilities added up: one search for all rows, each a step of 1 above the one before."""
    batch, classes = input.shape
    x = input.astype("float64")
    shares = xp.exp(x - xp.max(x, axis=1, keepdims=True))
    sums = xp.cumsum(shares, axis=1)
    steps = xp.arange(batch)[:, None]
    places = xp.searchsorted((sums / sums[:, -1:] + steps).reshape(-1), generator.random((batch, sample_size)) + steps, side="right")
    last = classes - 1 - xp.argmax(xp.flip(shares, 1) > 0, axis=1)  # rounding must not lead past the last class that is possible
    return xp.minimum(places - steps * classes, last[:, None]).astype(DTYPES[dtype])


def _dtype(name, input):
    return input.dtype if name is None else DTYPES[name]
