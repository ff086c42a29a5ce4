"""Version steps of recurrent layers."""

from ...ir import Node, Value
from .rewriting import down, make, output_of, take


@down(7, "LSTM", "GRU", "RNN")
def say_output_sequence(node: Node) -> None:
    """The outputs of all steps had to be asked for."""
    if node.outputs and node.outputs[0] is not None:
        node.attributes["output_sequence"] = 1


@down(14, "LSTM", "GRU", "RNN")
def time_first(node: Node) -> tuple[Value | None, ...] | None:
    """Where the batch is the first axis, it is brought to its old place and back."""
    if not take(node, "layout", 0):
        return None
    swap = (1, 0, 2)
    inputs = [make("Transpose", v, perm=swap) if i in (0, 5, 6) and v is not None else v for i, v in enumerate(node.inputs)]
    made = make(node.op.name, *inputs, outputs=len(node.outputs), **node.attributes)
    made = made if isinstance(made, tuple) else (made,)
    back = [(2, 0, 1, 3), swap, swap]
    return tuple(make("Transpose", v, perm=p) if output_of(node, i) is not None else None for i, (v, p) in enumerate(zip(made, back)))
