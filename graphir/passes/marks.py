"""Marks on values that say how gradients pass them: not at all, times a factor, or straight through the node that makes them.

While gradients are built, a mark is a node behind the value; rules that copy bodies copy it along. Afterwards it is taken out again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TypedDict, Unpack

from ..dtypes import SMALL_FLOATS
from ..expect import near
from ..ir import Graph, Node, Value
from ..model import Model
from ..ops._gradient import CARRYING, TIED, TIES, GradientError, declare_none, is_float
from ..ops._op import T, op
from ..ops.elementwise import identity, mul
from ..types import TensorType

Names = str | Sequence[str] | None
DOMAIN = "ai.graphir"


@op("StopGradient", since=1, domain=DOMAIN)
def stop_gradient(x: Value) -> TensorType:
    """x, which no gradient passes."""
    return x.type


@op("ScaleGradient", since=1, domain=DOMAIN)
def scale_gradient(x: T, *, factor: float) -> TensorType:
    """x, where gradients are multiplied by the factor."""
    return x.type


@scale_gradient.gradient
def _scaled(dy, y, x, *, factor):
    return mul(dy, factor)


@op("StraightThrough", since=1, domain=DOMAIN)
def straight_through(y: Value, x: Value) -> TensorType:
    """y, whose gradient is that of x."""
    return y.type


@straight_through.gradient
def _straight(dz, z, y, x):
    return None, dz


declare_none(stop_gradient)
MARKS = (stop_gradient, scale_gradient, straight_through)


class How(TypedDict, total=False):
    """How gradients pass.

    stop: values that no gradient passes; scale: by how much gradients are multiplied where they pass a value; straight_through: values whose gradient
    becomes, unchanged, that of the input of the same type of the node that makes them. Each by address, or by a pattern with `*` and `?`.
    ties: "pytorch", or "even" to share the gradient of MaxPool and GlobalMaxPool equally among the largest, as that of Max, Min, ReduceMax, ReduceMin is.
    """

    stop: Names
    scale: Mapping[str, float] | None
    straight_through: Names
    ties: str


class Marks(dict[Value, Value]):
    """The marks of a model while they stand: value -> what its readers read in its place."""

    def of(self, v: Value) -> Value:
        """What stands for a value."""
        return self.get(v, v)


@contextmanager
def marked(model: Model, **how: Unpack[How]) -> Iterator[Marks]:
    """Let gradients pass so for a while. Raises KeyError for a name that nothing has, GradientError for what cannot be marked so, ValueError."""
    if odd := how.keys() - How.__annotations__:
        raise TypeError(f"there is no option {min(odd)!r}; expected {', '.join(How.__annotations__)}{near(min(odd), How.__annotations__)}")
    ties = how.get("ties", "pytorch")
    if ties not in TIES:
        raise ValueError(f"ties is {ties!r}; expected {' or '.join(TIES)}")
    scale = how.get("scale") or {}
    given = [("straight_through", how.get("straight_through")), ("scale", list(scale)), ("stop", how.get("stop"))]
    patterns = [(kind, p) for kind, names in given for p in ([names] if isinstance(names, str) else names or ())]
    chosen = [(v, kind, scale.get(pattern, 1.0)) for kind, pattern in patterns for v in _meant(model, pattern, kind)]
    marks = Marks()
    token = TIED.set(ties)
    try:
        for v, kind, factor in chosen:
            _mark(v, kind, factor, marks)
        yield marks
    finally:
        TIED.reset(token)
        for graph in list(model.graph.walk()):
            _unmark(graph)


def by_convention(graph: Graph, targets: Iterable[Value]) -> dict[Value, str]:
    """The values from which a path leads to targets that gradients pass by convention, not as derivatives: rounding, and marks that stand. And which."""
    found: dict[Value, str] = {}
    if not any(_convention(node) for inner in graph.walk() for node in inner.nodes):
        return found
    behind = set(targets)
    for node in reversed(graph.nodes):
        made = [v for v in node.outputs if v in behind and v is not None]
        if not made:
            continue
        told = next((found[v] for v in made if v in found), None) or next(filter(None, map(_convention, (node, *node.inner()))), None)
        for v in node.reads():
            behind.add(v)
            if told is not None:
                found.setdefault(v, told)
    return found


def _convention(node: Node) -> str | None:
    """What a node does to gradients by convention, where it does."""
    if node.op in MARKS:
        x = node.inputs[0] if node.inputs else None
        return None if x is None else f"{x.name} is marked"
    if node.op.name in ("Cast", "CastLike"):
        y = node.outputs[0] if node.outputs else None
        rounds = y is not None and isinstance(y.type, TensorType) and y.dtype in SMALL_FLOATS
    else:
        rounds = node.op in CARRYING
    return f"{node.op} of node {node.label!r} rounds" if rounds else None


def _meant(model: Model, pattern: str, kind: str) -> list[Value]:
    """The values that a mark of a kind is for."""
    table = model.addresses()
    found = [table[pattern]] if pattern in table else [v for a, v in table.items() if fnmatchcase(a, pattern)]
    found = found or [model.find(pattern)]
    fit = [v for v in found if is_float(v) and (v.node is not None or kind != "straight_through")]
    if not fit:
        what = "what a node makes" if kind == "straight_through" else "values"
        raise GradientError(f"{kind} names {pattern}, which is {found[0].type or 'of unknown type'}; name {what}, of floats")
    return fit


def _mark(v: Value, kind: str, factor: float, marks: Marks) -> None:
    """Put a mark behind a value, and behind the marks that it has."""
    at, graph = marks.of(v), v.graph
    with graph.after(at.node), graph:
        if kind == "straight_through":
            new = straight_through(at, _passed(v))
        else:
            new = stop_gradient(at) if kind == "stop" else scale_gradient(at, factor=float(factor))
    marks[v] = new
    for user in [u for u in at.uses if u is not new.node]:
        if isinstance(user, Node):
            user.set_inputs([new if x is at else x for x in user.inputs])
        elif isinstance(user, Graph) and user.parent is not None:
            user.outputs = [new if x is at else x for x in user.outputs]


def _passed(y: Value) -> Value:
    """The input whose gradient that of y becomes: the first of y's type."""
    node = y.node
    assert node is not None
    for x in node.inputs:
        if (
            x is not None
            and isinstance(x.type, TensorType)
            and (x.dtype, x.type.shape) == (y.dtype, y.type.shape)
            and x.type.shape is not None
        ):
            return x
    raise GradientError(f"{y.name} is {y.type}, and no input of {node.op} {node.label!r} surely is; no gradient passes straight through it")


def _unmark(graph: Graph) -> None:
    """Let readers read what a mark marks; where an output must have a name of its own, the mark becomes an Identity."""
    for node in list(graph.nodes):
        if node.op not in MARKS:
            continue
        x, y = node.inputs[0], node.outputs[0]
        assert x is not None and y is not None
        for user in list(y.uses):
            if isinstance(user, Node):
                user.set_inputs([x if v is y else v for v in user.inputs])
            elif isinstance(user, Graph) and user.parent is not None and x.node is not None and x.graph is user and x not in user.outputs:
                user.outputs = [x if v is y else v for v in user.outputs]
        node.op, node.attributes = identity, {}
        node.set_inputs((x,))
        if not y.uses:
            graph.drop(node)
