"""Operators that move, cut, join and repeat elements, and those that tell or make shapes."""

from ..dims import Expr, product
from ..dtypes import DTYPES
from ..types import TensorType
from ._op import Ints, RuleError, T, op
from ._types import ANY, int_vector, known_dims, length_of, unknowns


@op("Shape", since=25, T=ANY)
def shape(data: T, *, start: int = 0, end: int | None = None) -> TensorType:
    """The dims of data from axis `start` to axis `end`, as an int64 vector; axes past the ends are clamped."""
    dims = data.shape[slice(start, end)]
    return int_vector(len(dims), dims)


@op("Reshape", since=25, T=ANY)
def reshape(data: T, shape: Ints, *, allowzero: int = 0) -> TensorType:
    """data in another shape with as many elements: -1 stands for what is left over, 0 for the dim of data at the same place (unless allowzero)."""
    wanted = known_dims(shape)
    if wanted is None:
        count = length_of(shape)
        return TensorType(data.dtype, None if count is None else unknowns(count))
    dims = [data.shape[i] if d == 0 and not allowzero and i < data.rank else d for i, d in enumerate(wanted)]
    if dims.count(-1) > 1:
        raise RuleError(f"the shape {dims} has more than one -1")
    if -1 in dims:
        rest = product(d for d in dims if d != -1)
        dims[dims.index(-1)] = product(data.shape) // rest if rest != 0 else 0
    if isinstance(product(dims), int) and isinstance(product(data.shape), int) and product(dims) != product(data.shape):
        raise RuleError(f"{list(data.shape)} has {product(data.shape)} elements; the shape {dims} has {product(dims)}")
    return TensorType(data.dtype, dims, data.known)
