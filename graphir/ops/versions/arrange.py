"""Version steps of Pad and Tile."""

import numpy as np

from ...ir import Node
from ...tensors import Tensor
from .rewriting import (
    CannotSay,
    constant,
    contents,
    dims_of,
    down,
    given,
    input_of,
    ints,
    make,
    operand,
    rank_of,
    scalar_like,
    set_inputs,
    take,
    to_attribute,
    up,
)


@up(2, "Pad")
def paddings_to_pads(node: Node) -> None:
    """The attribute had another name."""
    if "paddings" in node.attributes:
        node.attributes["pads"] = node.attributes.pop("paddings")


@down(2, "Pad")
def pads_to_paddings(node: Node) -> None:
    """The inverse of `paddings_to_pads`."""
    node.attributes["paddings"] = node.attributes.pop("pads")


@up(11, "Pad")
def pads_as_input(node: Node) -> None:
    """The attributes pads and value became inputs."""
    x, value = node.inputs[0], take(node, "value")
    assert x is not None
    set_inputs(node, x, operand(node, "pads"), scalar_like(x, x.graph, value) if value else None)


@down(11, "Pad")
def pads_as_attribute(node: Node) -> None:
    """The pads and the value must be constant."""
    value = constant(node, 2, "the value")
    to_attribute(node, 1, "pads")
    if value is not None and value.reshape(-1)[0] != 0:
        node.attributes["value"] = float(value.reshape(-1)[0])
    set_inputs(node, node.inputs[0])


@down(18, "Pad")
def pads_of_all_axes(node: Node) -> None:
    """Axes that are told must be constant, and the pads with them: those of the others are zero."""
    axes = constant(node, 3, "axes")
    if axes is None:
        return
    x, _, value = (input_of(node, i) for i in range(3))
    pads, rank = constant(node, 1, "pads"), rank_of(x, "the input")
    assert pads is not None and x is not None
    whole = np.zeros((2, rank), np.int64)
    whole[:, axes] = pads.reshape(2, -1)
    set_inputs(node, x, ints(x.graph, whole.reshape(-1)), value)


@down(19, "Pad")
def no_wrap(node: Node) -> None:
    """Without the mode wrap."""
    if given(node, "mode", "constant") == "wrap":
        raise CannotSay("the mode wrap is new")


@up(6, "Tile")
def repeats_of_all_axes(node: Node) -> None:
    """Two numbers, how often and along which axis, became a list of repeats."""
    x, tiles, axis = node.inputs
    assert x is not None
    known, along, dims = contents(tiles), contents(axis), dims_of(x)
    if known is not None and along is not None and dims is not None:
        repeats = [1] * len(dims)
        repeats[int(along.reshape(-1)[0])] = int(known.reshape(-1)[0])
        set_inputs(node, x, ints(x.graph, repeats))
        return
    one = Tensor.of(np.ones(1, np.int64))
    ones = make("ConstantOfShape", make("Shape", make("Shape", x)), value=one)
    tiles, axis = (make("Cast", make("Reshape", v, ints(x.graph, [1])), to="int64") for v in (tiles, axis))
    set_inputs(node, x, make("ScatterElements", ones, axis, tiles))


@down(6, "Tile")
def repeats_of_one_axis(node: Node) -> None:
    """It repeats one axis, by a constant."""
    x, repeats = node.inputs[0], constant(node, 1, "repeats")
    assert x is not None and repeats is not None
    longer = [i for i, n in enumerate(repeats) if n != 1] or [0]
    if len(longer) > 1:
        raise CannotSay(f"it repeats {len(longer)} axes, the older form one")
    set_inputs(node, x, scalar_like(x, x.graph, int(repeats[longer[0]])), scalar_like(x, x.graph, longer[0]))
