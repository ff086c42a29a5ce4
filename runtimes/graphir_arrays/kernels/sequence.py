"""Kernels of graphir.ops.sequence. A sequence is a list that nobody changes, an optional value is the value or None."""

from itertools import accumulate

from ..kernel import view


@view
def sequence_construct(xp, *inputs):
    return list(inputs)


def sequence_empty(xp, *, dtype):
    return []


@view
def sequence_insert(xp, input_sequence, tensor, position=None):
    at = len(input_sequence) if position is None else _place(position, len(input_sequence), beyond=1)
    return [*input_sequence[:at], tensor, *input_sequence[at:]]


@view
def sequence_erase(xp, input_sequence, position=None):
    at = len(input_sequence) - 1 if position is None else _place(position, len(input_sequence))
    return [x for i, x in enumerate(input_sequence) if i != at]


@view
def sequence_at(xp, input_sequence, position):
    return input_sequence[_place(position, len(input_sequence))]


def sequence_length(xp, input_sequence):
    return xp.asarray(len(input_sequence), dtype="int64")


@view
def split_to_sequence(xp, input, split=None, *, axis, keepdims):
    size = input.shape[axis]
    if split is None or (split.ndim == 0 and split.item() == 1):
        pieces = xp.split(input, size, axis) if size else []
        return pieces if keepdims else [xp.squeeze(x, axis) for x in pieces]
    if split.ndim:
        sizes = split.tolist()
        if sum(sizes) != size:
            raise ValueError(f"SplitToSequence: split is {sizes}, which adds up to {sum(sizes)}; expected {size}, the size of axis {axis}")
        return xp.split(input, list(accumulate(sizes[:-1])), axis) if sizes else []
    step = split.item()
    if step < 1:
        raise ValueError(f"SplitToSequence: split is {step}; expected 1 or more")
    return xp.split(input, range(step, size, step), axis) if size else []


def concat_from_sequence(xp, input_sequence, *, axis, new_axis):
    if not input_sequence:
        raise ValueError("ConcatFromSequence: the sequence is empty; expected at least one element, whose dtype and shape count")
    rank = input_sequence[0].ndim + bool(new_axis)
    if not -rank <= axis < rank:
        raise ValueError(f"axis is {axis}; expected {-rank} to {rank - 1}, for elements of rank {input_sequence[0].ndim}")
    return (xp.stack if new_axis else xp.concatenate)(input_sequence, axis=axis)


@view
def optional(xp, input=None, *, type):
    return input


@view
def optional_get_element(xp, input):
    if input is None:
        raise ValueError("OptionalGetElement: the optional value is not there; ask OptionalHasElement first")
    return input


def optional_has_element(xp, input=None):
    return xp.asarray(input is not None)


def _place(position, length: int, beyond: int = 0) -> int:
    """Where a position lies in a sequence; `beyond`: how far past the last element it may lie."""
    at = position.item()
    if not -length <= at < length + beyond:
        raise IndexError(f"position {at} in a sequence of {length}; expected {-length} to {length - 1 + beyond}")
    return at + length if at < 0 else at
