"""Version steps of Fourier transforms."""

from ...ir import Node
from .rewriting import constant, down, input_of, scalar, set_inputs, take, up


@up(20, "DFT")
def axis_as_input(node: Node) -> None:
    """The attribute axis, by default 1, became an input, by default -2."""
    x, axis = node.inputs[0], take(node, "axis", 1)
    assert x is not None
    set_inputs(node, x, input_of(node, 1), scalar(x.graph, int(axis)))


@down(20, "DFT")
def axis_as_attribute(node: Node) -> None:
    """The axis must be constant."""
    axis = constant(node, 2, "axis")
    node.attributes["axis"] = -2 if axis is None else int(axis.reshape(-1)[0])
    set_inputs(node, node.inputs[0], input_of(node, 1))
