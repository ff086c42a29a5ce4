"""Version steps of reductions: axes as an attribute until 18, for ReduceSum until 13."""

from ...dtypes import INTEGERS
from ...ir import Node, Value
from .rewriting import CannotSay, cast_like, constant, down, dtype_of, input_of, make, operand, set_inputs, take, up

REDUCTIONS = tuple(f"Reduce{n}" for n in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"))


@up(13, "ReduceSum")
@up(18, *REDUCTIONS)
def axes_as_input(node: Node) -> None:
    """The attribute axes became an input."""
    set_inputs(node, node.inputs[0], operand(node, "axes"))


@down(13, "ReduceSum")
@down(18, *REDUCTIONS)
def axes_as_attribute(node: Node) -> None:
    """The axes must be constant."""
    axes = constant(node, 1, "axes")
    if take(node, "noop_with_empty_axes", 0) and (axes is None or not len(axes)):
        raise CannotSay("it reduces over no axis (noop_with_empty_axes), which is new")
    if axes is not None and len(axes):
        node.attributes["axes"] = tuple(map(int, axes))
    set_inputs(node, node.inputs[0])


@up(28, "ReduceLogSum", "ReduceLogSumExp")
def logarithm_of_integers(node: Node) -> tuple[Value, ...] | None:
    """Since 28 there is none."""
    x = node.inputs[0]
    if dtype_of(x) not in INTEGERS:
        return None
    assert x is not None
    y = make(node.op.name, make("Cast", x, to="float64"), input_of(node, 1), **node.attributes)
    return (cast_like(y, x),)


@down(28, "ReduceLogSum", "ReduceLogSumExp")
def logarithm(node: Node) -> None:
    """What 28 says, 18 says too."""
