"""Version steps of operators that sample images."""

from ...ir import Node
from .rewriting import CannotSay, down, given, rank_of, up


@up(20, "GridSample")
def modes_of_any_rank(node: Node) -> None:
    """The modes lost the prefix that told the rank."""
    mode = given(node, "mode", None)
    if mode in ("bilinear", "bicubic"):
        node.attributes["mode"] = mode[2:]


@down(20, "GridSample")
def modes_of_images(node: Node) -> None:
    """It samples images, of rank 4."""
    if rank_of(node.inputs[0], "the input") != 4:
        raise CannotSay("it samples no image of rank 4, which is new")
    mode = given(node, "mode", "linear")
    node.attributes["mode"] = f"bi{mode}" if mode in ("linear", "cubic") else mode
