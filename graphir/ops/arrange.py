"""Operators that repeat, pad, crop and rearrange elements."""

from ..dims import unknown
from ..types import TensorType
from ._op import Index, Ints, RuleError, T, op
from ._types import ANY_25, CLASSIC, FLOAT, INDEX, axis_of, kept, known_dims, known_ints, unknowns

PAD_MODES = ("constant", "reflect", "edge", "wrap")


@op("Tile", since=13, T=CLASSIC | FLOAT)
def tile(input: T, repeats: Ints) -> TensorType:
    """input repeated `repeats[i]` times along each axis i."""
    times = known_dims(repeats)
    if times is None:
        return TensorType(input.dtype, tuple(0 if d == 0 else unknown() for d in input.shape))
    if len(times) != input.rank:
        raise RuleError(f"repeats has {len(times)} numbers; expected one for each of the {input.rank} axes of input")
    if any(isinstance(n, int) and n < 0 for n in times):
        raise RuleError(f"repeats is {list(times)}; expected no negative number")
    dims = tuple(d * n for d, n in zip(input.shape, times))
    return TensorType(input.dtype, dims, kept(dims, input.known))


@op("Pad", since=25, T=ANY_25, Tind=INDEX)
def pad(data: T, pads: Ints, constant_value: T | None = None, axes: Index | None = None, *, mode: str = "constant") -> TensorType:
    """data made longer at both ends of the given axes (all by default): `pads` are the numbers of elements added before, then those added after.

    mode: "constant" adds constant_value (zero by default), "reflect" mirrors at the first and last element, "edge" repeats them, "wrap" goes round.
    A negative pad removes elements.
    """
    if mode not in PAD_MODES:
        raise RuleError(f"mode is {mode!r}; expected one of {', '.join(PAD_MODES)}")
    places = range(data.rank) if axes is None else known_ints(axes)
    if places is None:
        return TensorType(data.dtype, unknowns(data.rank))
    places = [axis_of(a, data.rank, "an axis") for a in places]
    dims, sizes = list(data.shape), known_dims(pads)
    if sizes is None:
        return TensorType(data.dtype, [unknown() if i in places else d for i, d in enumerate(dims)])
    if len(sizes) != 2 * len(places):
        raise RuleError(f"pads has {len(sizes)} numbers; expected two for each of {len(places)} axes")
    for axis, before, after in zip(places, sizes, sizes[len(places) :]):
        dims[axis] = dims[axis] + before + after
        if isinstance(dims[axis], int) and dims[axis] < 0:  # pyright: ignore[reportOperatorIssue]
            raise RuleError(f"pads {before} and {after} leave nothing of axis {axis}, whose size is {data.shape[axis]}")
    return TensorType(data.dtype, dims)


@op("CenterCropPad", since=18, T=CLASSIC | FLOAT, Tind=INDEX)
def center_crop_pad(input_data: T, shape: Index, *, axes: tuple[int, ...] | None = None) -> TensorType:
    """input_data cropped, or padded with zeros, to `shape` along the given axes (all by default), about its centre."""
    places = [axis_of(a, input_data.rank, "an axis") for a in (range(input_data.rank) if axes is None else axes)]
    sizes = known_dims(shape) or unknowns(len(places))
    if len(sizes) != len(places):
        raise RuleError(f"shape has {len(sizes)} numbers; expected one for each of {len(places)} axes")
    wanted = dict(zip(places, sizes))
    return TensorType(input_data.dtype, tuple(wanted.get(i, d) for i, d in enumerate(input_data.shape)))


@op("DepthToSpace", since=28, T=CLASSIC | FLOAT)
def depth_to_space(input: T, *, blocksize: int, mode: str = "DCR") -> TensorType:
    """(N, C, H, W) to (N, C / b^2, H * b, W * b): each group of b^2 channels becomes a block of b x b pixels.

    mode: "DCR" takes the channels of a block from far apart, "CRD" from next to each other.
    """
    n, c, h, w = _image(input.shape, blocksize, mode)
    if isinstance(c, int) and c % blocksize**2:
        raise RuleError(f"input has {c} channels; expected a multiple of {blocksize**2}, for blocksize {blocksize}")
    return TensorType(input.dtype, (n, c // blocksize**2, h * blocksize, w * blocksize))


@op("SpaceToDepth", since=28, T=CLASSIC | FLOAT)
def space_to_depth(input: T, *, blocksize: int, mode: str = "DCR") -> TensorType:
    """(N, C, H, W) to (N, C * b^2, H / b, W / b): each block of b x b pixels becomes b^2 channels. The inverse of DepthToSpace of the same mode."""
    n, c, h, w = _image(input.shape, blocksize, mode)
    if any(isinstance(d, int) and d % blocksize for d in (h, w)):
        raise RuleError(f"input has {h} x {w} pixels; expected multiples of the blocksize, {blocksize}")
    return TensorType(input.dtype, (n, c * blocksize**2, h // blocksize, w // blocksize))


def _image(shape: tuple, blocksize: int, mode: str) -> tuple:
    if len(shape) != 4:
        raise RuleError(f"input has rank {len(shape)}; expected 4, for (N, C, H, W)")
    if blocksize < 1:
        raise RuleError(f"blocksize is {blocksize}; expected 1 or more")
    if mode not in ("DCR", "CRD"):
        raise RuleError(f"mode is {mode!r}; expected DCR or CRD")
    return shape


@op("Trilu", since=14, T=CLASSIC | FLOAT)
def trilu(input: T, k: Ints | None = None, *, upper: int = 1) -> TensorType:
    """The matrices in input, with zeros below diagonal k (above it, unless upper); diagonal 0 is the main one, positive ones lie above it."""
    if input.rank < 2:
        raise RuleError(f"input has rank {input.rank}; expected 2 or more")
    return TensorType(input.dtype, input.shape)


@op("ReverseSequence", since=28, T=CLASSIC | FLOAT)
def reverse_sequence(input: T, sequence_lens: Ints, *, batch_axis: int = 1, time_axis: int = 0) -> TensorType:
    """input with the first sequence_lens[b] steps of each sequence b in reverse order, the others as they are."""
    if input.rank < 2:
        raise RuleError(f"input has rank {input.rank}; expected 2 or more")
    if {batch_axis, time_axis} != {0, 1}:
        raise RuleError(f"batch_axis is {batch_axis} and time_axis {time_axis}; expected 0 and 1, either way round")
    return TensorType(input.dtype, input.shape)
