"""Version steps of pooling."""

from ...ir import Node
from .rewriting import CannotSay, dims_of, down, given, up


@up(2, "LpPool", "GlobalLpPool")
def whole_p(node: Node) -> None:
    """p was a float."""
    p = given(node, "p", 2.0)
    if p != int(p):
        raise CannotSay(f"p is {p}; newer versions take whole ones")
    node.attributes["p"] = int(p)


@down(2, "LpPool", "GlobalLpPool")
def float_p(node: Node) -> None:
    """The inverse of `whole_p`."""
    node.attributes["p"] = float(given(node, "p", 2))


@down(22, "AveragePool", "MaxPool", "LpPool")
def no_window_in_the_padding(node: Node) -> None:
    """With ceil_mode no window starts in the padding at the end; where one would, the padding is made smaller, unless it counts and another reads beyond it.

    Since 22 such windows are left out.
    """
    x, y = dims_of(node.inputs[0]), dims_of(node.outputs[0])
    if not given(node, "ceil_mode", 0) or x is None or y is None or given(node, "auto_pad", "NOTSET") != "NOTSET":
        return
    rank = len(x) - 2
    pads = given(node, "pads", (0,) * 2 * rank)
    strides, dilations = (given(node, name, (1,) * rank) for name in ("strides", "dilations"))
    same, ends = True, []
    for size, made, before, after, kernel, s, d in zip(
        x[2:], y[2:], pads, pads[rank:], given(node, "kernel_shape", ()), strides, dilations
    ):
        if not isinstance(size, int) or not isinstance(made, int):
            return
        window = d * (kernel - 1) + 1
        same &= made == -((window - size - before - after) // s) + 1
        ends.append(max(0, (made - 1) * s + window - size - before))
    if same:
        return
    if given(node, "count_include_pad", 0) and any(end > after for end, after in zip(ends, pads[rank:])):
        raise CannotSay("ceil_mode leaves out a window that would start in the padding, which is new")
    del node.attributes["ceil_mode"]
    node.attributes["pads"] = (*pads[:rank], *ends)
