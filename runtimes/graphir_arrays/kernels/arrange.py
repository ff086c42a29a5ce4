"""Kernels of graphir.ops.arrange."""

from graphir.dtypes import STRING


def tile(xp, input, repeats):
    return xp.tile(input, repeats.tolist())


def pad(xp, data, pads, constant_value=None, axes=None, *, mode):
    places = range(data.ndim) if axes is None else axes.tolist()
    widths = [(0, 0)] * data.ndim
    for axis, before, after in zip(places, pads.tolist(), pads[len(places) :].tolist()):
        widths[axis] = before, after
    if mode == "constant":
        return _pad_constant(xp, data, widths, constant_value)
    out = data
    for axis, (before, after) in enumerate(widths):
        if before or after:
            out = xp.take(out, _picked(xp, out.shape[axis], before, after, mode), axis=axis)
    return data.copy() if out is data else out


def _pad_constant(xp, data, widths, value):
    dims = [n + before + after for n, (before, after) in zip(data.shape, widths)]
    out = (
        _zeros(xp, dims, data.dtype)
        if value is None
        else xp.full(dims, value.item() if data.dtype == STRING else value.reshape(()), dtype=data.dtype)
    )
    inner = tuple(slice(max(before, 0), m - max(after, 0)) for m, (before, after) in zip(dims, widths))
    kept = tuple(slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(data.shape, widths))
    out[inner] = data[kept]
    return out


def _picked(xp, n, before, after, mode):
    """Which elements of an axis of size n stand along the padded axis. Negative pads crop first, so that nothing cropped comes back."""
    skipped, n = max(-before, 0), n + min(before, 0) + min(after, 0)
    if n < 1:
        raise ValueError(f"an axis of size {n} has nothing to pad with in mode {mode!r}")
    places = xp.arange(-max(before, 0), n + max(after, 0))
    if mode == "edge":
        places = xp.clip(places, 0, n - 1)
    elif mode == "wrap":
        places = places % n
    else:
        period = max(2 * (n - 1), 1)
        places = places % period
        places = xp.where(places < n, places, period - places)
    return places + skipped


def center_crop_pad(xp, input_data, shape, *, axes):
    dims = list(input_data.shape)
    taken, placed = [slice(None)] * len(dims), [slice(None)] * len(dims)
    for axis, wanted in zip(range(len(dims)) if axes is None else axes, shape.tolist()):
        n, dims[axis] = dims[axis], wanted
        side, margin = (taken, n - wanted) if wanted < n else (placed, wanted - n)
        side[axis] = slice(margin // 2, margin // 2 + min(n, wanted))
    out = _zeros(xp, dims, input_data.dtype)
    out[tuple(placed)] = input_data[tuple(taken)]
    return out


def depth_to_space(xp, input, *, blocksize, mode):
    n, c, h, w = input.shape
    b, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        blocks = input.reshape(n, b, b, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = input.reshape(n, depth, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.copy().reshape(n, depth, h * b, w * b)


def space_to_depth(xp, input, *, blocksize, mode):
    n, c, h, w = input.shape
    b = blocksize
    blocks = input.reshape(n, c, h // b, b, w // b, b)
    blocks = blocks.transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return blocks.copy().reshape(n, c * b * b, h // b, w // b)


def trilu(xp, input, k=None, *, upper):
    k = 0 if k is None else int(k.item())
    rows, columns = input.shape[-2:]
    above = xp.arange(columns) - xp.arange(rows).reshape(-1, 1)
    return xp.where(above >= k if upper else above <= k, input, _zeros(xp, (1,), input.dtype))


def reverse_sequence(xp, input, sequence_lens, *, batch_axis, time_axis):
    steps = input.shape[time_axis]
    xp.require_within(
        sequence_lens, 0, steps + 1, lambda least, most: ValueError(f"sequence_lens goes from {least} to {most}; expected 0 to {steps}")
    )
    time, lengths = xp.arange(steps), sequence_lens.reshape(-1, 1)
    picked = xp.where(time < lengths, lengths - 1 - time, time)  # (batch, time)
    sample = xp.arange(input.shape[batch_axis]).reshape(-1, 1)
    return input[sample, picked] if batch_axis == 0 else input[picked.T, sample.T]


def _zeros(xp, shape, dtype):
    return xp.full(shape, "", dtype=dtype) if dtype == STRING else xp.zeros(shape, dtype=dtype)
