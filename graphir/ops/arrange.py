"""Operators that repeat, pad, crop and rearrange elements."""

import numpy as np

import graphir.ops as ops

from ..dims import Dim, unknown
from ..ir import Value
from ..tensors import Tensor
from ..types import TensorType
from ._constants import STORED
from ._gradient import shape_of, shaped_as
from ._layout import reshaping, scatter_back, size_of, vector
from ._op import Flag, Index, Ints, RuleError, Scalar, T, Vector, op
from ._types import ANY_25, CLASSIC, FLOAT, INDEX, axis_of, expect_count, expect_vectors, kept, known_dims, known_ints, length_of, unknowns
from .elementwise import neg, where

PAD_MODES = ("constant", "reflect", "edge", "wrap")


@op("Tile", since=13, T=CLASSIC | FLOAT)
def tile(input: T, repeats: Vector[Ints]) -> TensorType:
    """input repeated `repeats[i]` times along each axis i."""
    expect_vectors(repeats=repeats)
    expect_count("repeats", repeats, input.rank, ", one for each axis of input")
    times = known_dims(repeats)
    if times is None:
        return TensorType(input.dtype, tuple(0 if d == 0 else unknown() for d in input.shape))
    if any(isinstance(n, int) and n < 0 for n in times):
        raise RuleError(f"repeats is {list(times)}; expected no negative number")
    dims = tuple(d * n for d, n in zip(input.shape, times))
    return TensorType(input.dtype, dims, kept(dims, input.known))


@tile.gradient
def tile_gradient(dy, y, input, repeats):
    times = known_ints(repeats)
    if times is None:
        # (repeats[0], size of axis 0, repeats[1], ...): the copies of each axis are an axis of their own.
        pairs = [ops.shape.unsqueeze(x, [1]) for x in (repeats, ops.shape.shape(input))]
        copies = ops.shape.reshape(dy, ops.shape.reshape(ops.shape.concat(*pairs, axis=1), [-1]), allowzero=1)
        return shaped_as(ops.reduce.reduce_sum(copies, list(range(0, 2 * input.rank, 2)), keepdims=0), input), None
    dims: list[Dim] = []
    sizes: list[int | Value] = []
    axes = []
    for i, (n, d) in enumerate(zip(times, input.shape)):
        if n != 1:
            axes.append(len(dims))
            dims.append(n)
            sizes.append(n)
        dims.append(d)
        sizes.append(size_of(input, i))
    wanted = reshaping(dy.shape, dims)
    copies = ops.shape.reshape(dy, vector(sizes), allowzero=1) if wanted is None else ops.shape.reshape(dy, wanted)
    return ops.reduce.reduce_sum(copies, axes, keepdims=0) if axes else dy, None


@op("Pad", since=25, T=ANY_25, Tind=INDEX)
def pad(
    data: T, pads: Vector[Ints], constant_value: Scalar[T] | None = None, axes: Vector[Index] | None = None, *, mode: str = "constant"
) -> TensorType:
    """data made longer at both ends of the given axes (all by default): `pads` are the numbers of elements added before, then those added after.

    mode: "constant" adds constant_value (zero by default), "reflect" mirrors at the first and last element, "edge" repeats them, "wrap" goes round.
    A negative pad removes elements.
    """
    if mode not in PAD_MODES:
        raise RuleError(f"mode is {mode!r}; expected one of {', '.join(PAD_MODES)}")
    expect_vectors(pads=pads, axes=axes)
    count = data.rank if axes is None else length_of(axes)
    if count is not None:
        expect_count("pads", pads, 2 * count, ", two for each axis")
    places = range(data.rank) if axes is None else known_ints(axes)
    if places is None:
        return TensorType(data.dtype, unknowns(data.rank))
    places = [axis_of(a, data.rank, "an axis") for a in places]
    if len(set(places)) < len(places):
        raise RuleError(f"axes are {places}; expected each once")
    dims, sizes = list(data.shape), known_dims(pads)
    if sizes is None:
        return TensorType(data.dtype, [unknown() if i in places else d for i, d in enumerate(dims)])
    for axis, before, after in zip(places, sizes, sizes[len(places) :]):
        dims[axis] = dims[axis] + before + after
        if isinstance(dims[axis], int) and dims[axis] < 0:  # pyright: ignore[reportOperatorIssue]
            raise RuleError(f"pads {before} and {after} leave nothing of axis {axis}, whose size is {data.shape[axis]}")
    return TensorType(data.dtype, dims)


@pad.gradient
def pad_gradient(dy, y, data, pads, constant_value=None, axes=None, *, mode):
    if mode != "constant":
        return scatter_back(dy, data, lambda x: pad(x, pads, None, axes, mode=mode)), None, None, None
    d_constant = None
    if constant_value is not None:
        inside = ops.create.constant_of_shape(ops.shape.shape(data), value=Tensor.of(np.ones(1, bool)))
        d_constant = ops.reduce.reduce_sum(where(pad(inside, pads, None, axes), 0.0, dy), keepdims=0)
    sizes, places = known_ints(pads), range(data.rank) if axes is None else known_ints(axes)
    if sizes is None or places is None or min(sizes, default=0) < 0:
        return shaped_as(pad(dy, neg(pads), None, axes), data), None, d_constant, None
    cuts = [(i, before, after) for i, before, after in zip(places, sizes, sizes[len(places) :]) if before or after]
    if not cuts:
        return dy, None, d_constant, None
    kept, starts, after = zip(*cuts)
    ends = [-n if n else 2**63 - 1 for n in after]
    return shaped_as(ops.shape.slice_(dy, list(starts), ends, list(kept)), data), None, d_constant, None


@op("CenterCropPad", since=18, T=CLASSIC | FLOAT, Tind=INDEX)
def center_crop_pad(input_data: T, shape: Vector[Index], *, axes: tuple[int, ...] | None = None) -> TensorType:
    """input_data cropped, or padded with zeros, to `shape` along the given axes (all by default), about its centre."""
    places = [axis_of(a, input_data.rank, "an axis") for a in (range(input_data.rank) if axes is None else axes)]
    expect_vectors(shape=shape)
    if len(set(places)) < len(places):
        raise RuleError(f"axes are {places}; expected each once")
    expect_count("shape", shape, len(places), ", one for each axis")
    known = known_dims(shape)
    if known is not None and any(isinstance(d, int) and d < 0 for d in known):
        raise RuleError(f"shape is {list(known)}; expected no negative size")
    wanted = dict(zip(places, known or unknowns(len(places))))
    return TensorType(input_data.dtype, tuple(wanted.get(i, d) for i, d in enumerate(input_data.shape)))


@center_crop_pad.gradient
def center_crop_pad_gradient(dy, y, input_data, shape, *, axes):
    if axes is None:
        return center_crop_pad(dy, shape_of(input_data)), None
    sizes = vector([size_of(input_data, axis_of(a, input_data.rank)) for a in axes])
    return center_crop_pad(dy, sizes, axes=axes), None


@op("DepthToSpace", since=28, T=CLASSIC | FLOAT)
def depth_to_space(input: T, *, blocksize: int, mode: str = "DCR") -> TensorType:
    """(N, C, H, W) to (N, C / b^2, H * b, W * b): each group of b^2 channels becomes a block of b x b pixels.

    mode: "DCR" takes the channels of a block from far apart, "CRD" from next to each other.
    """
    n, c, h, w = _image(input.shape, blocksize, mode)
    if isinstance(c, int) and c % blocksize**2:
        raise RuleError(f"input has {c} channels; expected a multiple of {blocksize**2}, for blocksize {blocksize}")
    return TensorType(input.dtype, (n, c // blocksize**2, h * blocksize, w * blocksize))


@depth_to_space.gradient
def depth_to_space_gradient(dy, y, input, *, blocksize, mode):
    channels = input.shape[1]
    if mode == "DCR" or not isinstance(channels, int) or channels > STORED:
        return space_to_depth(dy, blocksize=blocksize, mode=mode)
    # Only the newest SpaceToDepth has a mode: older ones can say this too.
    order = np.arange(channels).reshape(blocksize**2, -1).T.reshape(-1)
    return ops.index.gather(space_to_depth(dy, blocksize=blocksize), order.tolist(), axis=1)


@op("SpaceToDepth", since=28, T=CLASSIC | FLOAT)
def space_to_depth(input: T, *, blocksize: int, mode: str = "DCR") -> TensorType:
    """(N, C, H, W) to (N, C * b^2, H / b, W / b): each block of b x b pixels becomes b^2 channels. The inverse of DepthToSpace of the same mode."""
    n, c, h, w = _image(input.shape, blocksize, mode)
    if any(isinstance(d, int) and d % blocksize for d in (h, w)):
        raise RuleError(f"input has {h} x {w} pixels; expected multiples of the blocksize, {blocksize}")
    return TensorType(input.dtype, (n, c * blocksize**2, h // blocksize, w // blocksize))


@space_to_depth.gradient
def space_to_depth_gradient(dy, y, input, *, blocksize, mode):
    return depth_to_space(dy, blocksize=blocksize, mode=mode)


def _image(shape: tuple, blocksize: int, mode: str) -> tuple:
    if len(shape) != 4:
        raise RuleError(f"input has rank {len(shape)}; expected 4, for (N, C, H, W)")
    if blocksize < 1:
        raise RuleError(f"blocksize is {blocksize}; expected 1 or more")
    if mode not in ("DCR", "CRD"):
        raise RuleError(f"mode is {mode!r}; expected DCR or CRD")
    return shape


@op("Trilu", since=14, T=CLASSIC | FLOAT)
def trilu(input: T, k: Scalar[Ints] | None = None, *, upper: Flag = 1) -> TensorType:
    """The matrices in input, with zeros below diagonal k (above it, unless upper); diagonal 0 is the main one, positive ones lie above it."""
    if input.rank < 2:
        raise RuleError(f"input has rank {input.rank}; expected 2 or more")
    return TensorType(input.dtype, input.shape)


@trilu.gradient
def trilu_gradient(dy, y, input, k=None, *, upper):
    return trilu(dy, k, upper=upper), None


@op("ReverseSequence", since=28, T=CLASSIC | FLOAT)
def reverse_sequence(input: T, sequence_lens: Ints, *, batch_axis: int = 1, time_axis: int = 0) -> TensorType:
    """input with the first sequence_lens[b] steps of each sequence b in reverse order, the others as they are."""
    if input.rank < 2:
        raise RuleError(f"input has rank {input.rank}; expected 2 or more")
    if {batch_axis, time_axis} != {0, 1}:
        raise RuleError(f"batch_axis is {batch_axis} and time_axis {time_axis}; expected 0 and 1, either way round")
    return TensorType(input.dtype, input.shape)


@reverse_sequence.gradient
def reverse_sequence_gradient(dy, y, input, sequence_lens, **attributes):
    return reverse_sequence(dy, sequence_lens, **attributes), None
