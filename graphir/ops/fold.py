"""Operators that put back what windows have taken: columns into images, and maxima to where they stood."""

from typing import Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim, product, unknown
from ..dtypes import STRING
from ..ir import Value
from ..types import TensorType
from ._constants import unit_matrix
from ._corners import count, reshaped, times
from ._gradient import shaped_as, zeros_like
from ._layout import size_of, sizes_of, vector
from ._op import T1, Ints, RuleError, T, Vector, op
from ._types import CLASSIC, FLOAT, differ, expect_count, expect_shape, known_dims, known_ints, length_of, unknowns
from ._windows import windows


@op("Col2Im", since=18, T=CLASSIC | FLOAT)
def col2_im(
    input: T, image_shape: Vector[Ints], block_shape: Vector[Ints], *, dilations: tuple[int, ...] | None = None, pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """Adds up the columns of input (N, C * taps, L), each where the block that slides over the image to L places had taken it: (N, C, D1, ...).

    image_shape: the sizes of the image. block_shape: those of the block, `taps` in all.
    """
    if input.rank != 3:
        raise RuleError(f"input has rank {input.rank}; expected 3, for (N, C * taps, L)")
    if input.dtype == STRING:
        raise RuleError("input holds strings, which do not add up; expected numbers")
    image, block = known_dims(image_shape), known_dims(block_shape)
    ranks = {r for r in (length_of(image_shape), length_of(block_shape)) if r is not None}
    if len(ranks) > 1:
        raise RuleError(f"image_shape has {length_of(image_shape)} numbers and block_shape {length_of(block_shape)}; expected as many")
    if not ranks:
        return TensorType(input.dtype)
    channels = unknown() if block is None else _channels(input, block)
    if image is not None and block is not None:
        columns(input.shape[2], image, block, strides, dilations, pads)
    return TensorType(input.dtype, (input.shape[0], channels, *(unknowns(ranks.pop()) if image is None else image)))


def _channels(input: Value, block: tuple[Dim, ...]) -> Dim:
    """How many channels the image has. Raises RuleError where the columns do not have a number for each tap of the block."""
    if any(isinstance(d, int) and d < 1 for d in block):
        raise RuleError(f"block_shape is {list(block)}; expected positive numbers")
    rows, taps = input.shape[1], product(block)
    if not isinstance(taps, int):
        return unknown()
    if isinstance(rows, int) and rows % taps:
        raise RuleError(f"input has columns of {rows} numbers; expected a multiple of {taps}, the taps of the block")
    return rows // taps


def columns(length: Any, image: Any, block: Any, strides: Any, dilations: Any, pads: Any) -> tuple[Any, ...]:
    """How a block slides over an image. Raises RuleError where it surely has not as many places as there are columns."""
    found = windows(tuple(image), tuple(block), strides, dilations, pads, "NOTSET")
    places = product([w.out for w in found])
    if differ((length,), (places,)):
        raise RuleError(f"input has {length} columns; the block has {places} places in the image: {' x '.join(str(w.out) for w in found)}")
    return found


@col2_im.gradient
def col2_im_gradient(dy, y, input, image_shape, block_shape, *, dilations, pads, strides):
    known = known_ints(block_shape)
    rank = dy.rank - 2
    taps: Any = np.prod(known, dtype=int).item() if known is not None else ops.reduce.reduce_prod(block_shape)
    unit = unit_matrix(dy, taps, dy.dtype, [taps, 1, *(known or [block_shape])])
    if known is None:
        unit.type = TensorType(dy.dtype, (unknown(), 1, *unknowns(rank)))
    image = reshaped(dy, times(size_of(dy, 0), size_of(dy, 1)), 1, *sizes_of(dy, 2))
    made = ops.nn.conv(image, unit, dilations=dilations, pads=pads, strides=strides)
    rows = times(size_of(dy, 1), taps)
    return shaped_as(reshaped(made, size_of(dy, 0), rows, count(made, 2)), input), None, None


@op("MaxUnpool", since=22, T1=FLOAT)
def max_unpool(
    x: T1, i: Ints, output_shape: Vector[Ints] | None = None, *, kernel_shape: tuple[int, ...], pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> TensorType:  # fmt: skip
    """Zeros, with each number of x (N, C, ...) where the index beside it says, counted through the whole tensor that MaxPool would have pooled.

    That tensor is the least that it could be; where output_shape is more, there are zeros after it along each axis.
    """
    if x.rank < 3 or len(kernel_shape) != x.rank - 2:
        raise RuleError(f"kernel_shape is {list(kernel_shape)}; expected a number for each axis of x after (N, C), but x has rank {x.rank}")
    expect_shape(i, x.shape, "i")
    shape = unpooled(x.shape, kernel_shape, strides, pads)
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise RuleError(f"the tensor that was pooled would have shape {list(shape)}; expected no negative size")
    expect_count("output_shape", output_shape, x.rank, ", one for each axis")
    wanted = known_dims(output_shape)
    if wanted is not None and any(isinstance(a, int) and isinstance(b, int) and a < b for a, b in zip(wanted, shape)):
        raise RuleError(f"output_shape is {list(wanted)}; expected no less than {list(shape)}, which the windows cover")
    return TensorType(x.dtype, shape if output_shape is None else unknowns(x.rank) if wanted is None else wanted)


def unpooled(shape: Any, kernel_shape: Any, strides: Any, pads: Any) -> tuple[Any, ...]:
    """The least shape that windows pool to `shape`. Raises RuleError where strides or pads are too few or too many."""
    rank = len(kernel_shape)
    strides, pads = strides or (1,) * rank, pads or (0,) * 2 * rank
    if len(strides) != rank or len(pads) != 2 * rank:
        raise RuleError(f"strides is {list(strides)} and pads {list(pads)}; expected {rank} and {2 * rank} numbers")
    ends = zip(shape[2:], kernel_shape, strides, pads[:rank], pads[rank:])
    return (*shape[:2], *((d - 1) * stride + taps - begin - end for d, taps, stride, begin, end in ends))


@max_unpool.decompose
def _max_unpool(x, i, output_shape=None, *, kernel_shape, pads, strides):
    sizes: list[Any] = [size_of(x, axis) for axis in range(x.rank)]
    first = unpooled([0, 0, *(1 for _ in kernel_shape)], kernel_shape, strides, pads)[2:]  # of one window
    for axis, (least, stride) in enumerate(zip(first, strides or (1,) * len(kernel_shape)), 2):
        if isinstance(sizes[axis], int):
            sizes[axis] = (sizes[axis] - 1) * stride + least
        else:
            sizes[axis] = ops.elementwise.add(ops.elementwise.mul(sizes[axis], stride), least - stride)
    shape = vector(sizes)
    total = [np.prod(shape, dtype=int).item()] if isinstance(shape, list) else ops.reduce.reduce_prod(shape)
    flat = ops.index.scatter_elements(zeros_like(x, total), ops.shape.reshape(i, [-1]), ops.shape.reshape(x, [-1]))
    y = reshaped(flat, *sizes)
    if output_shape is None:
        return y
    known = known_ints(output_shape)
    if known is not None and isinstance(shape, list):
        after: Any = [a - b for a, b in zip(known, shape)]
    else:
        after = ops.elementwise.sub(output_shape, shape)
    return ops.arrange.pad(y, vector([0] * x.rank + (after if isinstance(after, list) else [after])))
