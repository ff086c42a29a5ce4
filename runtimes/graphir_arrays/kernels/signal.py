"""Kernels of graphir.ops.signal."""

import math
from typing import Any

from graphir.dtypes import DTYPES, FLOAT32

from ..precision import in_single

# ---- Fourier transforms ----------------------------------------------------------------------------------------------------------------


@in_single
def dft(xp, input, dft_length=None, axis=None, *, inverse, onesided):
    place = -2 if axis is None else int(axis.reshape(()))
    place += input.ndim if place < 0 else 0
    if not 0 <= place < input.ndim - 1:
        raise ValueError(f"axis is {axis}; expected one before the last, which holds the parts of complex numbers")
    x = _complex(xp, input)
    half, size = inverse and onesided, x.shape[place]
    n = int(dft_length.reshape(())) if dft_length is not None else 2 * (size - 1) if half else size
    if n < 1 or not x.size:
        return _of_nothing(xp, input, place, n, inverse, onesided)
    if half:
        return xp.fft.irfft(x, n, place)[..., None]
    if inverse:
        return _pairs(xp, xp.fft.ifft(x, n, place))
    return _pairs(xp, xp.fft.rfft(x, n, place) if onesided else xp.fft.fft(x, n, place))


def _of_nothing(xp: Any, input: Any, place: int, n: int, inverse: int, onesided: int) -> Any:
    """The transform of no numbers: zeros."""
    if n < 0:
        raise ValueError(f"the transform is of {n} numbers; expected none or more")
    shape = list(input.shape)
    shape[place] = n // 2 + 1 if onesided and not inverse else n
    shape[-1] = 1 if onesided and inverse else 2
    return xp.zeros(shape, input.dtype)


def _complex(xp: Any, x: Any) -> Any:
    """(..., 1) or (..., 2) without its last axis, of which it makes real or complex numbers."""
    if x.shape[-1] == 1:
        return x[..., 0]
    return xp.ascontiguousarray(x).view(xp.complex64 if x.dtype == FLOAT32 else xp.complex128)[..., 0]


def _pairs(xp: Any, y: Any) -> Any:
    """Complex numbers as pairs along a new last axis."""
    return xp.ascontiguousarray(y).view(y.real.dtype).reshape(*y.shape, 2)


@in_single
def stft(xp, signal, frame_step, window=None, frame_length=None, *, onesided):
    """All frames are one strided view of the signal."""
    x, step = xp.ascontiguousarray(_complex(xp, signal)), int(frame_step.reshape(()))
    batch, length = x.shape
    size = int(frame_length.reshape(())) if frame_length is not None else length if window is None else window.shape[0]
    if step < 1 or not 1 <= size <= length or (window is not None and window.shape != (size,)):
        shape = None if window is None else list(window.shape)
        raise ValueError(f"frames of {size}, each {step} after the other, with a window of shape {shape}, of a signal of {length} numbers")
    frames = xp.as_strided(x, (batch, (length - size) // step + 1, size), (x.strides[0], x.strides[1] * min(step, length), x.strides[1]))
    if window is not None:
        frames = frames * window
    if onesided and x.dtype.kind == "f":
        return _pairs(xp, xp.fft.rfft(frames))
    made = xp.fft.fft(frames)
    return _pairs(xp, made[..., : size // 2 + 1] if onesided else made)


# ---- the mel scale ---------------------------------------------------------------------------------------------------------------------


def mel_weight_matrix(xp, num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz, *, output_datatype):
    bands, length, rate = (int(x.reshape(())) for x in (num_mel_bins, dft_length, sample_rate))
    low, high = (math.log1p(float(x.reshape(())) / 700) for x in (lower_edge_hertz, upper_edge_hertz))
    steps = low + xp.arange(bands + 2) * ((high - low) / (bands + 2))  # the mel scale, but for its unit
    edges = (length + 1) * (700 * xp.expm1(steps)) // rate
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    at = xp.arange(length // 2 + 1)[:, None]
    rising = xp.where(left == middle, 1, (at - left) / xp.maximum(middle - left, 1))
    falling = (right - at) / xp.maximum(right - middle, 1)
    y = xp.where((at >= middle) & (at < right), falling, xp.where((at >= left) & (at <= middle), rising, 0))
    return y.astype(DTYPES[output_datatype])
