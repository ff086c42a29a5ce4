"""Version steps of Gemm and TopK."""

from ...ir import Node
from .rewriting import CannotSay, constant, dims_of, down, input_of, ints, make, required, scalar_like, set_inputs, up


@up(7, "Gemm")
def broadcast_c(node: Node) -> None:
    """`broadcast` said that c is broadcast, which it now always may be."""
    node.attributes.pop("broadcast", None)


@down(7, "Gemm")
def say_broadcast_c(node: Node) -> None:
    """c is the whole matrix, one row, or one number."""
    c, y = input_of(node, 2), node.outputs[0]
    dims, whole = dims_of(c), dims_of(y)
    if dims is None or whole is None or len(whole) != 2:
        raise CannotSay("the shape of c is unknown, and the older form asks whether to broadcast it")
    if dims == whole:
        return
    if not (all(d == 1 for d in dims) or dims in (whole[1:], (1, *whole[1:]))):
        raise CannotSay(f"c of shape {list(dims)} is broadcast to {list(whole)}; the older form takes a matrix, a row or a number")
    if dims == (1, *whole[1:]) and dims != (1, 1):
        set_inputs(node, *node.inputs[:2], make("Squeeze", c, ints(node.graph, [0])))  # pyright: ignore[reportArgumentType]
    node.attributes["broadcast"] = 1


@down(11, "Gemm")
def zero_c(node: Node) -> None:
    """Before 11 there is always a c."""
    a, b, c = (input_of(node, i) for i in range(3))
    assert a is not None
    set_inputs(node, a, b, c if c is not None else scalar_like(a, a.graph, 0))


@up(10, "TopK")
def k_as_input(node: Node) -> None:
    """The attribute k became an input."""
    x, k = node.inputs[0], required(node, "k")
    assert x is not None
    set_inputs(node, x, ints(x.graph, [k]))


@down(10, "TopK")
def k_as_attribute(node: Node) -> None:
    """k must be constant."""
    k = constant(node, 1, "k")
    assert k is not None
    node.attributes["k"] = int(k.reshape(-1)[0])
    set_inputs(node, node.inputs[0])
