"""What is trained: the output to learn, and the weights that move."""

from collections.abc import Callable, Mapping, Sequence, Set
from fnmatch import fnmatchcase

from ..dtypes import FLOATS
from ..expect import near
from ..ir import Node, Value, Weight
from ..model import Model
from ..ops._cause import why
from ..ops._gradient import GradientError
from ..tensors import Tensor
from ..types import TensorType

_INTEGER_PRODUCTS = ("MatMulInteger", "ConvInteger")
_MOVES = ("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


def output_to_learn(model: Model, name: str | None) -> Value:
    """The output to learn. Raises ValueError where it is not told."""
    floats = {v.name: v for v in model.outputs if isinstance(v.type, TensorType) and v.dtype in FLOATS}
    if name is None and len(floats) == 1:
        return next(iter(floats.values()))
    if name is None or name not in floats:
        raise ValueError(
            f"{'the model has' if name is None else f'no output {name!r} can be learned; there are'} {len(floats)} outputs of floats"
            f" ({', '.join(floats) or 'none'}); name one with `output`{why(*model.outputs)}"
        )
    return floats[name]


def trained(model: Model, wrt: Sequence[str] | None, note: Callable[[str], object] | None = None) -> dict[str, Weight]:
    """The weights to train, by address; those that a pattern may mean, whether or not a path leads from them.

    By default those that set the scale of quantized numbers stay as they are, which `note` is told: a step of an optimizer is as large as they are.
    """
    graph = model.graph
    for weight in [w for w in graph.weights.values() if w.kind == "default"]:
        graph.close(weight)
    floats = {a: w for a, w in graph.weights.items() if w.dtype in FLOATS and w not in model.updates and isinstance(w.tensor, Tensor)}
    if wrt is None:
        floats = {a: w for a, w in floats.items() if w.shape != ()}
        scales = [a for a in _scales(model) if a in floats]
        if scales and note is not None:
            note(f"{said_of_scales(scales)} are not trained; name them in `wrt` to train them, too")
        return {a: w for a, w in floats.items() if a not in scales}
    found: dict[str, Weight] = {}
    for pattern in wrt:
        matches = {a: w for a, w in floats.items() if a == pattern or fnmatchcase(a, pattern)}
        if not matches:
            if pattern not in model.addresses():
                shown = f"{', '.join([*floats][:8])}{', ...' * (len(floats) > 8)}"
                raise KeyError(f"no value {pattern!r} in the model{near(pattern, floats) or f'; the weights are {shown}'}")
            raise GradientError(f"{pattern} is no weight of floats of the main graph; name weights to train")
        found.update(matches)
    return found


def check_paths(model: Model, loss: str, wrt: Sequence[str] | None, reached: Mapping[str, bool]) -> None:
    """Raises GradientError for a pattern of which no weight is reached, or where none is at all."""
    for pattern in ["*"] if wrt is None else wrt:
        if not any(ok for address, ok in reached.items() if address == pattern or fnmatchcase(address, pattern)):
            what = "any weight" if wrt is None else pattern
            scales = _scales(model) if wrt is None else []
            hint = f": {said_of_scales(scales)} are not trained by default; name them in `wrt` to train them" if scales else ""
            raise GradientError(f"no path leads from {loss} back to {what}, so there is nothing to train{hint}")


def said_of_scales(scales: Sequence[str]) -> str:
    """Scales, the first few by name."""
    more = f" and {len(scales) - 4} more" if len(scales) > 4 else ""
    return f"scales of quantized numbers ({', '.join(scales[:4])}{more})"


def _scales(model: Model) -> list[str]:
    """The float weights of the main graph that do nothing but set the scale of quantized numbers, by address."""
    graph = model.graph
    counts: set[Value] = set()  # products of integers, and scales that are made for them as the model runs
    for node in graph.nodes:
        name = node.op.name
        if name in _INTEGER_PRODUCTS or (name in _MOVES and not counts.isdisjoint(node.inputs[:1])):
            counts.update(v for v in node.outputs if v is not None)
        elif name == "DynamicQuantizeLinear" and len(node.outputs) > 1 and node.outputs[1] is not None:
            counts.add(node.outputs[1])
    scales: set[Value] = set()

    def is_scale(v: Value) -> bool:
        return bool(v.uses) and all(isinstance(user, Node) and _takes_scale(user, v, counts, scales) for user in v.uses)

    for node in reversed(graph.nodes):
        scales.update(v for v in node.outputs if v is not None and is_scale(v))
    return [a for a, w in graph.weights.items() if w.dtype in FLOATS and is_scale(w)]


def _takes_scale(node: Node, v: Value, counts: Set[Value], scales: Set[Value]) -> bool:
    """Whether a node takes a value for a scale, or computes nothing but scales."""
    name = node.op.name
    if name in ("QuantizeLinear", "DequantizeLinear") or name.startswith("QLinear"):
        return v is not node.inputs[0]
    if name in ("Mul", "Div") and any(x in counts for x in node.inputs if x is not v):
        return True
    made = [x for x in node.outputs if x is not None and x.uses]
    return bool(made) and all(x in scales for x in made)
