"""Signals: Fourier transforms, windows, the mel scale. A complex number is a pair along the last axis, the real part first."""

import math
from typing import Annotated, Any

import graphir.ops as ops

from ..dims import Dim
from ..dtypes import DTYPES, FLOAT32, INT64, NAMES
from ..ir import Value
from ..types import TensorType
from ._gradient import declare_none, shaped_as
from ._layout import among_zeros, size_of, vector
from ._op import T1, DType, Flag, Index, Ints, Op, RuleError, Scalar, op
from ._types import FLOAT, INDEX, INTS, axis_of, differ, known_dims, known_ints, unknowns
from .elementwise import add, cast, cos, div, mul, sub

Whole = Annotated[Any, "T1", INT64]
Hertz = Annotated[Any, "T2", FLOAT32]

# ---- Fourier transforms ----------------------------------------------------------------------------------------------------------------


@op("DFT", since=20, T1=FLOAT, Tind=INDEX)
def dft(
    input: T1, dft_length: Scalar[Index] | None = None, axis: Scalar[Ints] | None = None, *, inverse: Flag = 0, onesided: Flag = 0
) -> TensorType:
    """y[k] = sum over n of x[n] exp(-2 pi i k n / N) along an axis, or with inverse the mean over n of x[n] exp(2 pi i k n / N).

    N is dft_length, to which x is cut, or filled up with zeros. input is (..., 1) of real numbers or (..., 2) of complex ones, y is (..., 2).
    With onesided only y[0] to y[N // 2] are given, of a real x; inverse and onesided makes of these the real x again, (..., 1).
    """
    if input.rank < 2:
        raise RuleError(f"input has rank {input.rank}; expected 2 or more: the signal, and at the end 1 or 2 for real or complex numbers")
    parts = input.shape[-1]
    expected = (1, 2) if not onesided else (2,) if inverse else (1,)
    if isinstance(parts, int) and parts not in expected:
        raise RuleError(f"the last axis of input has size {parts}; expected {' or '.join(map(str, expected))}")
    pair = 1 if inverse and onesided else 2
    at = (-2,) if axis is None else known_ints(axis)
    if at is None:
        return TensorType(input.dtype, (*unknowns(input.rank - 1), pair))
    if len(at) != 1:
        raise RuleError(f"axis is {list(at)}; expected one number")
    place = _place(at[0], input.rank)
    length = _length(input.shape[place], dft_length, bool(inverse and onesided))
    made = length // 2 + 1 if onesided and not inverse else length
    return TensorType(input.dtype, (*input.shape[:place], made, *input.shape[place + 1 : -1], pair))


def _place(axis: int, rank: int) -> int:
    """The axis counted from the front. Raises RuleError for the last one, too, which holds the parts of complex numbers."""
    place = axis_of(axis, rank)
    if place == rank - 1:
        raise RuleError(f"axis is {axis}, the last one, which holds the parts of complex numbers; expected one before it")
    return place


def _length(size: Dim, dft_length: Value | None, from_half: bool) -> Dim:
    """The number N of a transform of `size` numbers. from_half: these are the first half of them."""
    if dft_length is not None:
        return (known_dims(dft_length) or unknowns(1))[0]
    return 2 * (size - 1) if from_half else size


@dft.gradient
def dft_gradient(dy, y, input, dft_length, axis, *, inverse, onesided):
    # Transposed, the transform goes in the other direction, but for the factor 1/N.
    at = (-2,) if axis is None else known_ints(axis)
    place = None if at is None else _place(at[0], input.rank)
    if inverse and onesided:
        dx = mul(dft(dy, None, axis, onesided=1), _shares_of_half(dy, axis, place))
    elif inverse:
        dx = div(dft(dy, None, axis), _number(_size(dy, axis, place), dy))
    else:
        length = _size(dy, axis, place) if not onesided else dft_length or _size(input, axis, place)
        dx = mul(dft(dy, length if onesided else None, axis, inverse=1), _number(length, dy))
    if input.shape[-1] != 2:
        dx = ops.shape.slice_(dx, [0], vector([size_of(input, input.rank - 1)]), [-1])
    return shaped_as(dx if dft_length is None else _fitted(dx, input, axis, place), input), None, None


def _size(x: Value, axis: Value | None, place: int | None) -> int | Value:
    """The size of x along an axis, whose place may show at run time only: a number, or a 0-d int64."""
    size = None if place is None else x.shape[place]
    return size if isinstance(size, int) else ops.index.gather(ops.shape.shape(x), axis if place is None else place)


def _number(size: int | Value, x: Value) -> float | Value:
    """A size as a number of the dtype of x."""
    known = (size,) if isinstance(size, int) else known_ints(size)
    return float(known[0]) if known else cast(size, to=NAMES[x.dtype])


def _shares_of_half(dy: Value, axis: Value | None, place: int | None) -> Value:
    """What along the axis each of the first half of N complex numbers gives to the real numbers dy: 1/N, and as much again where it has a mirror image."""
    size = _size(dy, axis, place)
    count = dy.graph.number(max(size, 1), INT64) if isinstance(size, int) else ops.elementwise.max_(size, 1)
    k = ops.create.range_(0, add(div(count, 2), 1), 1)
    alone = ops.logic.or_(ops.logic.equal(k, 0), ops.logic.equal(mul(k, 2), count))
    shares = div(ops.elementwise.where(alone, dy.graph.number(1.0, dy.dtype), 2.0), _number(count, dy))
    if place is not None:
        return ops.shape.reshape(shares, [-1] + [1] * (dy.rank - 1 - place))
    places = dy.graph.number(list(range(dy.rank)), INT64)
    here = ops.logic.equal(places, ops.elementwise.mod(axis, dy.rank))
    return ops.shape.reshape(shares, ops.elementwise.where(here, dy.graph.number(-1, INT64), 1))


def _fitted(dx: Value, x: Value, axis: Value | None, place: int | None) -> Value:
    """dx cut along the axis to the size of x, or filled up with zeros: the numbers that did not matter."""
    if place is not None:
        return among_zeros(dx, x, {place: (0, None)})
    missing = sub(ops.index.gather(ops.shape.shape(x), axis), ops.index.gather(ops.shape.shape(dx), axis))
    where = ops.shape.reshape(axis, [1])
    return ops.arrange.pad(dx, ops.shape.concat([0], ops.shape.reshape(missing, [1]), axis=0), None, where)


@op("STFT", since=17, T1=FLOAT, Tind=INDEX)
def stft(
    signal: T1, frame_step: Scalar[Index], window: T1 | None = None, frame_length: Scalar[Index] | None = None, *, onesided: Flag = 1
) -> TensorType:
    """The transforms of frames of a signal, each frame_step after the one before, times the window: (N, frames, frequencies, 2).

    signal is (N, length, 1) of real numbers or (N, length, 2) of complex ones. A frame is as long as frame_length says, else as the window, else as the signal.
    With onesided the frequencies end at half the length of a frame.
    """
    parts = signal.shape[-1] if signal.rank == 3 else 0
    if isinstance(parts, int) and parts not in (1, 2):
        raise RuleError(
            f"signal has shape {list(signal.shape)}; expected (N, length, 1) for real numbers or (N, length, 2) for complex ones"
        )
    if window is not None and window.rank != 1:
        raise RuleError(f"window has shape {list(window.shape)}; expected one axis")
    n, length, _ = signal.shape
    size = (known_dims(frame_length) or unknowns(1))[0] if frame_length is not None else length if window is None else window.shape[0]
    if window is not None and (window.rank != 1 or differ(window.shape, (size,))):
        raise RuleError(f"window has shape {list(window.shape)}; expected [{size}], the length of a frame")
    step = (known_dims(frame_step) or unknowns(1))[0]
    if isinstance(step, int) and step < 1:
        raise RuleError(f"frame_step is {step}; expected 1 or more")
    if isinstance(size, int) and isinstance(length, int) and not 1 <= size <= length:
        raise RuleError(f"a frame has {size} numbers and the signal {length}; expected from 1 to as many")
    return TensorType(signal.dtype, (n, (length - size) // step + 1, size // 2 + 1 if onesided else size, 2))


@stft.decompose
def _stft(signal, frame_step, window=None, frame_length=None, *, onesided):
    length, step = ops.shape.shape(signal, start=1, end=2), _whole(frame_step)
    size = (
        ops.shape.shape(window) if frame_length is None and window is not None else length if frame_length is None else _whole(frame_length)
    )
    count = ops.shape.squeeze(add(div(sub(length, size), step), 1), [0])
    starts = ops.shape.unsqueeze(mul(ops.create.range_(0, count, 1), step), [1])
    inside = ops.create.range_(0, ops.shape.squeeze(size, [0]), 1)
    frames = ops.index.gather(signal, add(starts, inside), axis=1)
    if window is not None:
        frames = mul(frames, ops.shape.unsqueeze(window, [1]))
    if onesided and signal.shape[2] == 1:
        return dft(frames, onesided=1)
    whole = dft(frames)
    return ops.shape.slice_(whole, [0], add(div(size, 2), 1), [2]) if onesided else whole


def _whole(x: Value) -> Value:
    """A number as an int64 vector of one."""
    return ops.shape.reshape(cast(x, to="int64") if x.dtype != INT64 else x, [1])


# ---- windows ---------------------------------------------------------------------------------------------------------------------------


def _window(name: str, function: str, doc: str, *weights: float) -> Op[..., Value]:
    """A window that is a sum of cosines: weights[0] - weights[1] cos(t) + weights[2] cos(2t), where t goes once round the circle."""

    def rule(size: Scalar[Whole], *, output_datatype: DType = "float32", periodic: Flag = 1) -> Value:
        if DTYPES[output_datatype] not in FLOAT | INTS:
            raise RuleError(f"output_datatype is {output_datatype}; expected a dtype of real numbers")
        count = ops.shape.reshape(cast(size, to="int64"), [])
        angle = cast(ops.create.range_(0, count, 1), to="float64")
        turn = cast(count if periodic else sub(count, 1), to="float64")
        y = sub(weights[0], mul(cos(mul(angle, div(math.tau, turn))), weights[1]))
        if len(weights) > 2:
            y = add(y, mul(cos(mul(angle, div(2 * math.tau, turn))), weights[2]))
        return cast(y, to=output_datatype)

    rule.__name__, rule.__doc__, rule.__module__ = function, doc, __name__
    return op(name, since=17, T1=INDEX)(rule)


PERIODIC = "size numbers; without periodic the last is as the first, with it the next one would be."
hann_window = _window("HannWindow", "hann_window", f"0.5 - 0.5 cos(t): {PERIODIC}", 0.5, 0.5)
hamming_window = _window("HammingWindow", "hamming_window", f"25/46 - 21/46 cos(t): {PERIODIC}", 25 / 46, 21 / 46)
blackman_window = _window("BlackmanWindow", "blackman_window", f"0.42 - 0.5 cos(t) + 0.08 cos(2t): {PERIODIC}", 0.42, 0.5, 0.08)


# ---- the mel scale ---------------------------------------------------------------------------------------------------------------------


@op("MelWeightMatrix", since=17, T1=INDEX, T2=FLOAT)
def mel_weight_matrix(
    num_mel_bins: Scalar[Whole], dft_length: Scalar[Whole], sample_rate: Scalar[Whole], lower_edge_hertz: Scalar[Hertz], upper_edge_hertz: Scalar[Hertz], *,
    output_datatype: DType = "float32",
) -> TensorType:  # fmt: skip
    """What each frequency of a onesided transform counts in each band, (dft_length // 2 + 1, num_mel_bins).

    A band is a triangle of height 1 from the middle of the band before to that of the next; on the mel scale, 2595 log10(1 + hertz / 700), all are as wide.
    """
    if DTYPES[output_datatype] not in FLOAT | INTS:
        raise RuleError(f"output_datatype is {output_datatype}; expected a dtype of real numbers")
    bands, length = ((known_dims(x) or unknowns(1))[0] for x in (num_mel_bins, dft_length))
    if any(isinstance(n, int) and n < 0 for n in (bands, length)):
        raise RuleError(f"num_mel_bins is {bands} and dft_length {length}; expected no negative number")
    return TensorType(output_datatype, (length // 2 + 1, bands))


declare_none(hann_window, hamming_window, blackman_window, mel_weight_matrix)
