"""Kernels of graphir.ops.fold."""

import itertools
import math
from typing import Any

from graphir.ops.fold import columns, unpooled

from ..precision import in_single
from .nn import spans


@in_single
def col2_im(xp: Any, input: Any, image_shape: Any, block_shape: Any, *, dilations: Any, pads: Any, strides: Any) -> Any:
    """A pass for each tap of the block adds up what it holds for all places."""
    image, block = image_shape.tolist(), block_shape.tolist()
    found = columns(input.shape[2], image, block, strides, dilations, pads)
    shape = (input.shape[0], input.shape[1] // math.prod(block))
    parts = input.reshape(*shape, *block, *(w.out for w in found))
    y = xp.zeros((*shape, *image), input.dtype)
    for taps in itertools.product(*(spans(w, w.out, w.size) for w in found)):
        places, elements = zip(*(at for _, at in taps))
        y[(..., *elements)] += parts[(slice(None), slice(None), *(k for k, _ in taps), *places)]
    return y


def max_unpool(xp: Any, x: Any, i: Any, output_shape: Any = None, *, kernel_shape: Any, pads: Any, strides: Any) -> Any:
    shape = unpooled(x.shape, kernel_shape, strides, pads)
    total = math.prod(shape)

    def error(least: int, largest: int) -> ValueError:
        return ValueError(
            f"i holds the index {least if least < 0 else largest}; expected 0 to {total - 1}, for a tensor of shape {list(shape)}"
        )

    xp.require_within(i, 0, total, error)
    y = xp.zeros(total, x.dtype)
    y[i.reshape(-1)] = x.reshape(-1)
    y = y.reshape(shape)
    if output_shape is None or tuple(output_shape.tolist()) == shape:
        return y
    wanted = output_shape.tolist()
    if len(wanted) != len(shape) or any(a < b for a, b in zip(wanted, shape)):
        raise ValueError(f"output_shape is {wanted}; expected no less than {list(shape)}, which the windows cover")
    made = xp.zeros(wanted, x.dtype)
    made[tuple(slice(d) for d in shape)] = y
    return made
