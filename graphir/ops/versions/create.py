"""Version steps of Constant."""

import math

from ...dtypes import nbytes
from ...ir import Node, Ref
from ...nodes import Attribute
from ...tensors import SparseTensor, Tensor
from .rewriting import CannotSay, constant_tensor, down

DENSE = 64 << 20  # bytes up to which a sparse tensor is written out


@down(12, "Constant")
def one_tensor(node: Node) -> None:
    """Numbers and strings are written as tensors; those that are attributes of a function cannot be."""
    values: dict[str, Attribute] = node.attributes
    if any(isinstance(x, Ref) for x in values.values()):
        raise CannotSay("its value is an attribute of the enclosing function")
    if not values.keys() & {"value", "sparse_value"}:
        found = constant_tensor(node)
        assert found is not None
        values.clear()
        values["value"] = Tensor.of(found)


@down(11, "Constant")
def dense_tensor(node: Node) -> None:
    """A sparse tensor is written out."""
    sparse = node.attributes.pop("sparse_value", None)
    if isinstance(sparse, SparseTensor):
        if (size := nbytes(sparse.dtype, math.prod(sparse.shape))) > DENSE:
            raise CannotSay(f"its sparse tensor, filled in, takes {size:,} bytes")
        node.attributes["value"] = Tensor.of(sparse.dense())
