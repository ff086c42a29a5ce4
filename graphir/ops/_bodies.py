"""Bodies of operators: how they are built, read and copied, and the types of what enters and leaves them."""

from collections.abc import Callable, Iterable

import graphir.ops as ops

from ..dims import Dim, Expr, atoms, unknown
from ..dtypes import BOOL, INT64
from ..ir import Graph, Node, Value, captures, home
from ..model import copy_node
from ..types import OptionalType, SequenceType, TensorType, Type, map_dims
from ._types import axis_of, join

Join = Callable[[Type | None, Type | None], Type]
Told = Callable[[Value], Value]

# ---- building and reading ---------------------------------------------------------------------------------------------------------------


def body_in(x: Value | Graph, name: str = "body") -> Graph:
    """A new body. Its parent is `x`, or where an op on the value `x` would land now."""
    return Graph(name, x if isinstance(x, Graph) else home([x]))


def yields(body: Graph, *values: Value) -> None:
    """Make `values` the outputs of a body, each through an Identity where no node of the body makes it, or where it is yielded already.

    Raises ValueError for a value that the body cannot see.
    """
    body.outputs = ()
    for v in values:
        yield_more(body, v)


def yield_more(body: Graph, v: Value) -> None:
    """Give a body one more output. See `yields`."""
    around = [body]
    while around[-1].parent is not None:
        around.append(around[-1].parent)
    if v.graph not in around:
        raise ValueError(f"{v.name} is made in {v.graph.name!r}, which is not around {body.name!r}; yield it there first")
    if v.node is None or v.graph is not body or body in v.uses:
        with body:
            v = ops.elementwise.identity(v)
    body.output(v)


# ---- copying ----------------------------------------------------------------------------------------------------------------------------


def paste(body: Graph, graph: Graph, values: dict[Value, Value], told: Told | None = None) -> list[Value]:
    """Copy the weights and nodes of a body to the end of another graph, under new names, and return what stands for its outputs.

    values: what stands for the body's inputs; it receives the copy of each value.
    told: where the copy is to say what the body said: from a value that the body draws to what it was, in the other graph.
    Raises ValueError for numbers drawn in a body of the body, of which nobody can tell.
    """
    for w in body.weights.values():
        if w not in values:
            values[w] = graph.weight(graph.fresh(w.name), w.tensor, w.kind)
    for node in body.nodes:
        if told is None:
            copy_node(node, graph, values, prefix="")
            continue
        deep = next((n for b in node.bodies.values() for g in b.walk() for n in g.nodes if _draws(n)), None)
        if deep is not None:
            raise ValueError(f"{deep.op} of node {deep.label!r} draws numbers in a body of {node.op} {node.label!r}")
        if not _draws(node):
            copy_node(node, graph, values, prefix="")
        elif node.op is ops.normalization.dropout:
            _paste_dropout(node, values, told)
        else:
            values.update((v, told(v)) for v in node.outputs if v is not None)
    return [values.get(v, v) for v in body.outputs]


def _draws(node: Node) -> bool:
    """Whether a node makes other numbers when it runs again. A Dropout may be sure not to."""
    if node.op is ops.normalization.dropout:
        training = node.inputs[2] if len(node.inputs) > 2 else None
        return training is not None and training.known != (False,)
    return ops.is_random(node)


def _paste_dropout(node: Node, values: dict[Value, Value], told: Told) -> None:
    """With its mask told, a Dropout scales and masks data just as its gradient rule does a gradient."""
    from ._gradient import ask_for_outputs

    ask_for_outputs(node)
    y, mask = node.outputs
    assert y is not None and mask is not None
    values[mask] = told(mask)
    data, *others = [v and values.get(v, v) for v in node.inputs]
    rule = ops.normalization.dropout.gradient_rule
    assert rule is not None
    values[y] = rule((data, None), (None, values[mask]), data, *others, **ops.arguments(node))[0]


def tidy(body: Graph) -> None:
    """Drop the nodes of a body that nobody reads."""
    for node in reversed(body.nodes):
        if not any(v is not None and v.uses for v in node.outputs):
            node.discard()
    body.sweep()


def discard(body: Graph) -> None:
    """Let a body that belongs to no node read nothing any more."""
    body.outputs = ()
    tidy(body)


# ---- what leaves a body, and what enters it ---------------------------------------------------------------------------------------------


def at_exit(inputs: Iterable[Value | None], *bodies: Graph) -> Join:
    """Joins types that leave bodies. A dim leaves as it is where both have it and it is known outside, else as an unknown: one for each pair of dims."""
    outer = known_outside(inputs, *bodies)
    fresh: dict[tuple[Dim, Dim], Dim] = {}

    def dim(a: Dim, b: Dim) -> Dim:
        if a == b and all(x.key in outer for x in atoms(a)):
            return a
        return fresh.setdefault((a, b), unknown())

    return lambda a, b: join(a, b, dim)  # pyright: ignore[reportReturnType]  # None only for what an untyped body makes


def known_outside(inputs: Iterable[Value | None], *bodies: Graph) -> set[tuple]:
    """The symbols and unknowns that stand outside: those in the types of the inputs and of what the bodies capture, by key."""
    found: set[tuple] = set()

    def collect(d: Dim) -> Dim:
        found.update(a.key for a in atoms(d))
        return d

    for v in (*inputs, *captures(*bodies)):
        if v is not None:
            map_dims(v.type, collect)
    return found


def body_inputs(node: Node) -> dict[str, list[Type | None]]:
    """What the inputs of each body of a node are on the first trip, given the types of the node's inputs: attribute -> types.

    After the bodies are typed so, `widened` says whether that holds on later trips.
    """
    find = _BODY_INPUTS.get(str(node.op))
    return find(node) if find is not None else {}


def _loop_inputs(node: Node) -> dict[str, list[Type | None]]:
    cond = node.inputs[1] if len(node.inputs) > 1 else None
    return {"body": [TensorType(INT64, ()), TensorType(BOOL, ()) if cond is None else cond.type, *map(_type, node.inputs[2:])]}


def _scan_inputs(node: Node) -> dict[str, list[Type | None]]:
    count, axes = _scan_states(node), node.attributes.get("scan_input_axes")
    types = [_type(v) for v in node.inputs]
    for i in range(count, len(types)):
        t = types[i]
        if isinstance(t, TensorType):
            axis = axes[i - count] if isinstance(axes, tuple) and i - count < len(axes) else 0
            axis = 0 if t.shape is None else axis_of(axis, len(t.shape), f"the axis of scan input {i - count}")
            types[i] = TensorType(t.dtype, t.shape and (*t.shape[:axis], *t.shape[axis + 1 :]))
    return {"body": types}


def _scan_states(node: Node) -> int:
    count = node.attributes.get("num_scan_inputs")
    return max(len(node.inputs) - (count if isinstance(count, int) else 0), 0)


def _map_inputs(node: Node) -> dict[str, list[Type | None]]:
    return {"body": [t.element if isinstance(t, SequenceType) else t for t in map(_type, node.inputs)]}


def _modifier_inputs(node: Node) -> dict[str, list[Type | None]]:
    q, k = node.inputs[:2]
    if q is None or k is None:
        return {}
    scores = ops.attention.scores_type(q, k, ops.arguments(node)["softmax_precision"])
    return {name: [scores] for name in node.bodies}


_BODY_INPUTS: dict[str, Callable[[Node], dict[str, list[Type | None]]]] = {
    "If": lambda node: {"then_branch": [], "else_branch": []},
    "Loop": _loop_inputs,
    "Scan": _scan_inputs,
    "SequenceMap": _map_inputs,
    "ai.onnx.preview.FlexAttention": _modifier_inputs,
}


def _type(v: Value | None) -> Type | None:
    return None if v is None else v.type


def widened(node: Node) -> dict[str, list[Type | None]]:
    """Where what a typed body makes of its state does not fit the types with which it took it: wider types to type the body with again.

    Empty when all fits. Each round makes a dim, a rank or contents unknown, or tells the elements of what began empty, so the rounds come to an end.
    """
    if node.op.domain or node.op.name not in ("Loop", "Scan"):
        return {}
    body = node.bodies["body"]
    first, count = (1, len(node.inputs) - 1) if node.op.name == "Loop" else (0, _scan_states(node))
    outer = known_outside(node.inputs, body)

    def dim(a: Dim, b: Dim) -> Dim:
        inside = any(x.key not in outer for x in atoms(a))  # what a trip makes may be another size on the next
        return a if (a == b and not inside) or (inside and is_unknown(a)) else unknown()

    types: list[Type | None] = [v.type for v in body.inputs]
    found = {i: _wider(types[i], out.type, dim) for i, out in enumerate(body.outputs[:count], first)}
    found = {i: t for i, t in found.items() if not _same(t, types[i])}
    told = {i: t for i, t in found.items() if not is_vague(t)}
    for i, t in (told or found).items():  # what is vague may be so only as long as it hangs on what began empty
        types[i] = t
    return {"body": types} if found else {}


def is_unknown(d: Dim) -> bool:
    """Whether a dim is an unknown alone."""
    return isinstance(d, Expr) and d.is_unknown


def _wider(taken: Type | None, made: Type | None, dim: Callable[[Dim, Dim], Dim]) -> Type | None:
    if made is None and isinstance(taken, TensorType):
        return TensorType(taken.dtype)
    return taken if made is None or taken is None else join(taken, made, dim)


def resumed(t: Type | None, given: Type | None, settled: Type | None) -> Type | None:
    """The type t with which a body is typed once more, with what was widened of the type that it was given before, until it settled."""
    if _same(given, settled):
        return t
    if isinstance(t, TensorType) and isinstance(given, TensorType) and isinstance(settled, TensorType):
        if t.shape is None or given.shape is None or settled.shape is None or not len(t.shape) == len(given.shape) == len(settled.shape):
            return settled
        dims = [d if a == b else b for d, a, b in zip(t.shape, given.shape, settled.shape)]
        return TensorType(t.dtype, dims, t.known if given.known == settled.known else None)
    if isinstance(t, SequenceType) and isinstance(given, SequenceType) and isinstance(settled, SequenceType):
        return SequenceType(resumed(t.element, given.element, settled.element), t.empty and settled.empty)
    return settled


def is_vague(t: Type | None) -> bool:
    """Whether not even a rank is known."""
    t = t.element if isinstance(t, SequenceType) else t
    return isinstance(t, TensorType) and t.shape is None


def _same(a: Type | None, b: Type | None) -> bool:
    """Whether two types are equal, and tell the same contents."""
    if isinstance(a, SequenceType | OptionalType) and a == b:
        return _same(a.element, b.element)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    return a == b and (not isinstance(a, TensorType) or not isinstance(b, TensorType) or a.known == b.known)
