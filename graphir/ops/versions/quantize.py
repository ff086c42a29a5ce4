"""Version steps of quantization."""

import numpy as np

from ...dtypes import NAMES
from ...ir import Node
from ...tensors import Tensor
from .. import Op
from .rewriting import CannotSay, dims_of, down, dtype_of, given, input_of, set_inputs, take


@down(13, "QuantizeLinear", "DequantizeLinear")
def one_scale(node: Node) -> None:
    """One scale for the whole tensor."""
    dims = dims_of(input_of(node, 1))
    if dims is None or any(d != 1 for d in dims):
        raise CannotSay("it may have a scale for each slice along an axis, which is new")
    node.attributes.pop("axis", None)


@down(21, "QuantizeLinear")
def dtype_by_zero_point(node: Node) -> None:
    """The zero point tells the dtype of the result; one is made, where the shape of the scale is known."""
    dtype = take(node, "output_dtype")
    x, scale, zero = (input_of(node, i) for i in range(3))
    if zero is None and dtype not in (None, 0, "uint8"):
        dims = dims_of(scale)
        assert x is not None
        if dims is None or not all(isinstance(d, int) for d in dims):
            raise CannotSay("output_dtype is new, and a zero point that says the same cannot be made: the shape of the scale is unknown")
        zeros = Tensor.of(np.zeros(dims), dtype)
        set_inputs(node, x, scale, x.graph.root.weight(x.graph.fresh("zero_point"), zeros))


@down(23, "QuantizeLinear")
@down(23, "DequantizeLinear")
def dtype_of_scale(node: Node) -> None:
    """It is computed in the dtype of the scale."""
    name = "precision" if node.op.name == "QuantizeLinear" else "output_dtype"
    dtype = dtype_of(input_of(node, 1))
    said = given(node, name, None)
    if dtype is not None and said == NAMES[dtype]:
        del node.attributes[name]
    elif said is not None and isinstance(node.op, Op) and said != node.op.defaults[name]:
        raise CannotSay(f"{name} is {said}, which is new")
