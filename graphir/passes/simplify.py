"""Local rewrites: what does nothing goes, what undoes itself goes. One table: op -> functions from a node to what its output may be read from instead."""

from collections.abc import Callable, Set
from typing import NamedTuple

from ..ir import Graph, Node, Value, Weight
from ..model import Model
from ..ops import Op, arguments
from ..ops._types import known_ints
from ..ops.arrange import pad
from ..ops.shape import concat
from ..tensors import Tensor
from ..types import TensorType
from .misfit import STUMBLES, misfit

Rule = Callable[[Node], Value | None]


def simplify(model: Model, keep: Set[Value] = frozenset()) -> None:
    """Apply the rules of the table until none fits. keep: values that stay, and keep their names."""
    for graph in list(model.graph.walk()):
        while _simplify(graph, keep):
            pass


def _simplify(graph: Graph, keep: Set[Value]) -> bool:
    changed = False
    with graph:  # also where a node of a body reads outer values alone
        for node in graph.edit():
            for rule in RULES.get(node.op.name, ()) if node.outputs and _is_standard(node) else ():
                old = node.outputs[0]
                if old is None or not old.uses or old in keep:
                    continue
                try:
                    new = rule(node)
                except STUMBLES:
                    if _fits(node):
                        raise
                    break
                if new is not None and new is not old and _may_replace(old, new, keep) and _fits(node):
                    graph.replace_uses(old, new, keep_name=not new.uses)  # a node that was just built takes the name, too
                    changed = True
                    break
    return changed


def _fits(node: Node) -> bool:
    """Whether a node, and those before it that rules look at, are as their ops declare them, which rules take for granted. Others are for the runtime to refuse."""
    makers = [v.node for v in node.inputs if v is not None and v.node is not None and v.node.op.name in _LOOKED_AT]
    for n in (node, *filter(_is_standard, makers)):
        if any(v is not None and v.type is None for v in (*n.inputs, *n.outputs)) or (n.attributes and misfit(n) is not None):
            return False
        try:
            n.op.infer(n.inputs, n.attributes, len(n.outputs))  # pyright: ignore[reportAttributeAccessIssue]  # a declared op
        except STUMBLES:
            return False
    return True


def _is_standard(node: Node) -> bool:
    return isinstance(node.op, Op) and not node.op.domain


def _may_replace(old: Value, new: Value, keep: Set[Value]) -> bool:
    """An output takes its name along, and no value is two outputs: what is read in its place must be made by a node of the graph, and be free to change its name."""
    if not old.is_output:
        return True
    return new.graph is old.graph and new.node is not None and new not in keep and not new.is_output


def input_itself(node: Node) -> Value | None:
    """The node does nothing: Identity."""
    return node.inputs[0]


def only_input(node: Node) -> Value | None:
    """An op over many inputs has one alone."""
    return node.inputs[0] if len(node.inputs) == 1 else None


def same_type(node: Node) -> Value | None:
    """The output's dtype and shape are those of the first input, for certain: Cast to the same dtype, Reshape or Expand to the same shape."""
    x, y = node.inputs[0], node.outputs[0]
    return (
        x if x is not None and y is not None and isinstance(x.type, TensorType) and x.type.shape is not None and x.type == y.type else None
    )


def expanded_to_its_own_shape(node: Node) -> Value | None:
    """Expand that changes nothing. A shape that only the run tells may not fit, which is for the run to say."""
    shape = node.inputs[1]
    return same_type(node) if shape is not None and shape.known is not None else None


def identity_permutation(node: Node) -> Value | None:
    """Transpose by (0, 1, 2, ...)."""
    perm, x = _permutation(node), node.inputs[0]
    known = x is not None and isinstance(x.type, TensorType) and x.type.shape is not None
    return x if x is not None and known and perm == tuple(range(x.rank)) else None


def transpose_of_transpose(node: Node) -> Value | None:
    """Two transposes are one."""
    inner = _maker(node.inputs[0], "Transpose")
    p, q = _permutation(node), _permutation(inner) if inner is not None else None
    if inner is None or p is None or q is None:
        return None
    return _op(node)(inner.inputs[0], perm=tuple(q[i] for i in p))


def transpose_of_gemm(node: Node) -> Value | None:
    """The transpose of a product is the product of the transposes, the other way round: Gemm itself can read them so."""
    inner = _maker(node.inputs[0], "Gemm")
    if inner is None or not _read_once(node.inputs[0]) or any(v is not None for v in inner.inputs[2:]) or _permutation(node) != (1, 0):
        return None
    a, b = inner.inputs[:2]
    given = arguments(inner)
    turned = {"transA": 1 - given["transB"], "transB": 1 - given["transA"], "alpha": given["alpha"]}
    return _op(inner)(b, a, **{name: x for name, x in turned.items() if x != {"alpha": 1.0}.get(name, 0)})


def there_and_back(node: Node) -> Value | None:
    """What only groups the elements otherwise, as did the node before it, gives the shape that there was."""
    inner, y = _grouping(node.inputs[0]), node.outputs[0]
    x = inner.inputs[0] if inner is not None else None
    return (
        x if x is not None and y is not None and isinstance(x.type, TensorType) and x.type.shape is not None and x.type == y.type else None
    )


def reshape_of_reshape(node: Node) -> Value | None:
    """Of two nodes that group the elements otherwise a Reshape counts, unless it copies a dim of its input (a 0 in its shape)."""
    inner = _grouping(node.inputs[0])
    shape = node.inputs[1]
    if inner is None or shape is None or not (arguments(node)["allowzero"] or (shape.known and 0 not in shape.known)):
        return None
    return _op(node)(inner.inputs[0], shape, **node.attributes)


def unsqueeze_of_reshape(node: Node) -> Value | None:
    """Reshape can make the axes of size 1, too, unless it copies a dim of its input that would come to lie elsewhere."""
    inner, y, axes = _maker(node.inputs[0], "Reshape"), node.outputs[0], known_ints(node.inputs[1])
    asked = None if inner is None else known_ints(inner.inputs[1])
    if inner is None or y is None or axes is None or asked is None or not _read_once(node.inputs[0]) or arguments(inner)["allowzero"]:
        return None
    rest = iter(asked)
    places = {axis % (len(asked) + len(axes)) for axis in axes}
    dims = [1 if i in places else next(rest) for i in range(len(asked) + len(axes))]
    if 0 in dims[min(places, default=0) :]:
        return None
    made = _op(inner)(inner.inputs[0], dims)
    made.type = y.type
    return made


def times_one(node: Node) -> Value | None:
    """x * 1, 1 * x, x / 1, of the same type as x."""
    a, b = node.inputs
    for x, one in ((a, b), (b, a)) if node.op.name == "Mul" else ((a, b),):
        y = node.outputs[0]
        if x is not None and y is not None and _is_number(one, 1) and x.type.shape is not None and x.type == y.type:
            return x
    return None


def expanded_without_need(node: Node) -> Value | None:
    """Inputs are expanded to the shape that another one has anyway: broadcasting does it."""
    y = node.outputs[0]
    if y is None or y.type.shape is None:
        return None
    makers = [_maker(v, "Expand") for v in node.inputs]
    whole = [v is not None and v.type.shape == y.type.shape for v in node.inputs]
    if not any(makers) or not any(whole):
        return None
    if not any(w and m is None for w, m in zip(whole, makers)):  # one has to stay
        makers[whole.index(True)] = None
    if not any(makers):
        return None
    return _op(node)(*(v if maker is None else maker.inputs[0] for v, maker in zip(node.inputs, makers)), **node.attributes)


def sum_of_pads(node: Node) -> Value | None:
    """Neighbours along an axis, each padded with zeros to the whole and then added up, are put side by side: what Slice and Gather took apart."""
    y = node.outputs[0]
    runs: list[list[_Part]] = []
    for part in sorted(filter(None, (_part(v) for v in node.inputs)), key=lambda part: part[:2]):
        if runs and (part.axis, part.start) == (runs[-1][-1].axis, runs[-1][-1].end):
            runs[-1].append(part)
        else:
            runs.append([part])
    rows = [row for row in runs if len(row) > 1 and y is not None and all(part.padded.type == y.type for part in row)]
    if not rows or y is None:
        return None
    taken = {part.padded for row in rows for part in row}
    parts = [*(v for v in node.inputs if v is not None and v not in taken), *(_side_by_side(row, y) for row in rows)]
    return _op(node)(*parts) if len(parts) > 1 else parts[0]


def _side_by_side(row: list["_Part"], y: Value) -> Value:
    """Parts that touch each other as one, with the zeros around them."""
    first, last = row[0], row[-1]
    joined = concat(*(part.inner for part in row), axis=first.axis)
    if first.start or last.after:
        pads = [0] * (2 * y.rank)
        pads[first.axis], pads[y.rank + first.axis] = first.start, last.after
        joined = pad(joined, pads)
    joined.type = y.type
    return joined


def dropout_outside_training(node: Node) -> Value | None:
    """Dropout passes its input on where it does not train and nobody asks for the mask."""
    x, mode = node.inputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    mask_read = len(node.outputs) > 1 and node.outputs[1] is not None and node.outputs[1].uses
    return x if not mask_read and (mode is None or _is_number(mode, 0)) else None


GROUPING = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")  # the elements and their order stay

RULES: dict[str, tuple[Rule, ...]] = {
    "Identity": (input_itself,),
    "Concat": (only_input,),
    "Sum": (only_input, sum_of_pads, expanded_without_need),
    "Mean": (only_input,),
    "Max": (only_input,),
    "Min": (only_input,),
    "Cast": (same_type,),
    "CastLike": (same_type,),
    "Reshape": (same_type, there_and_back, reshape_of_reshape),
    "Expand": (expanded_to_its_own_shape,),
    "Squeeze": (same_type, there_and_back),
    "Unsqueeze": (same_type, there_and_back, unsqueeze_of_reshape),
    "Flatten": (same_type, there_and_back),
    "Transpose": (identity_permutation, transpose_of_transpose, transpose_of_gemm),
    "Mul": (times_one, expanded_without_need),
    "Div": (times_one, expanded_without_need),
    "Add": (expanded_without_need,),
    "Sub": (expanded_without_need,),
    "Where": (expanded_without_need,),
    "Dropout": (dropout_outside_training,),
}


_LOOKED_AT = frozenset((*RULES, "Gemm", "Pad"))


def _grouping(v: Value | None) -> Node | None:
    """The node that makes a value by grouping the elements of its input otherwise."""
    return v.node if v is not None and v.node is not None and v.node.op.name in GROUPING and _is_standard(v.node) else None


def _permutation(node: Node) -> tuple[int, ...] | None:
    """By what a Transpose permutes; None where the rank is not known."""
    perm, x = node.attributes.get("perm"), node.inputs[0]
    if isinstance(perm, tuple):
        return perm
    return tuple(reversed(range(x.rank))) if x is not None and isinstance(x.type, TensorType) and x.type.shape is not None else None


def _read_once(v: Value | None) -> bool:
    return v is not None and list(v.uses.values()) == [1] and not v.is_output


class _Part(NamedTuple):
    """What lies from start to end along an axis, zeros before and after it. padded: with the zeros."""

    axis: int
    start: int
    end: int
    after: int
    inner: Value
    padded: Value


def _part(v: Value | None) -> _Part | None:
    """What Pad makes of a part of an axis, where that is certain and nobody else reads it."""
    maker = _maker(v, "Pad")
    if v is None or maker is None or not _read_once(v) or maker.attributes.get("mode", "constant") != "constant":
        return None
    x, pads, fill, axes = (*maker.inputs, None, None)[:4]
    if x is None or pads is None or axes is not None or not (fill is None or _is_number(fill, 0)) or x.type.shape is None:
        return None
    sizes = [n for n in pads.known or () if isinstance(n, int)]
    padded = {i % x.rank for i, n in enumerate(sizes) if n}
    if len(sizes) != 2 * x.rank or len(padded) != 1 or min(sizes) < 0:
        return None
    (axis,) = padded
    n = x.shape[axis]
    return _Part(axis, sizes[axis], sizes[axis] + n, sizes[x.rank + axis], x, v) if isinstance(n, int) else None


def _maker(v: Value | None, name: str) -> Node | None:
    node = None if v is None else v.node
    return node if node is not None and node.op.name == name and _is_standard(node) else None


def _op(node: Node) -> Callable[..., Value]:
    return node.op  # pyright: ignore[reportReturnType]  # a declared op is called


def _is_number(v: Value | None, number: float) -> bool:
    if not isinstance(v, Weight) or v.kind != "constant" or not isinstance(v.tensor, Tensor) or v.tensor.elements != 1:
        return False
    return v.tensor.array.dtype.kind in "iufb" and bool(v.tensor.array.reshape(-1)[0] == number)
