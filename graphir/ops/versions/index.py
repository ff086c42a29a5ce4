"""Version steps of operators that scatter."""

from ...ir import Node
from .rewriting import CannotSay, down, given, replace_operator, up


@up(11, "Scatter")
def scatter_elements(node: Node) -> None:
    """It goes on as ScatterElements."""
    replace_operator(node, "ScatterElements")


@down(11, "ScatterElements")
def scatter(node: Node) -> None:
    """The inverse of `scatter_elements`."""
    replace_operator(node, "Scatter")


@down(18, "ScatterElements", "ScatterND")
def older_reductions(node: Node) -> None:
    """Without the reductions max and min."""
    reduction = given(node, "reduction", "none")
    if reduction in ("max", "min"):
        raise CannotSay(f"the reduction {reduction} is new")
