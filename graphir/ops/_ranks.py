"""Which operands are one number, without axes, and which a vector. Files mix them up where there is just one element, and runtimes read many such files."""

from collections.abc import Sequence

from ..dims import product
from ..ir import Value
from ..types import TensorType, Type


def odd(types: Sequence[Type | None], told: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of the places whose rank is told, those where an input of one element has another; and the rank that is told."""
    return [(place, rank) for place, rank in told if place < len(types) and _is_odd(types[place], rank)]


def _is_odd(t: Type | None, rank: int) -> bool:
    if not isinstance(t, TensorType) or t.shape is None or len(t.shape) == rank:
        return False
    if rank == 0 and all(d == 1 or not isinstance(d, int) for d in t.shape):  # one element, for all that is known
        return True
    return product(t.shape) == 1


def not_one_number(inputs: Sequence[Value | None], told: Sequence[tuple[int, int]]) -> tuple[int, Value] | None:
    """The place and the value of the first input that should hold one number, but holds none or more; None without one."""
    for place, rank in told:
        v = inputs[place] if rank == 0 and place < len(inputs) else None
        if v is not None and isinstance(v.type, TensorType) and v.type.shape and not _is_odd(v.type, 0):
            return place, v
    return None


def in_rank(inputs: Sequence[Value | None], told: Sequence[tuple[int, int]]) -> Sequence[Value | None]:
    """The inputs, with a stand-in of the rank that is told where one that holds one element has another."""
    found = list(inputs)
    for place, rank in odd([None if v is None else v.type for v in inputs], told):
        v = found[place]
        assert v is not None
        found[place] = Value(v.name, TensorType(v.dtype, (1,) * rank, v.known))
    return found
