"""Operators with bodies: If, Loop, Scan. What is needed to build bodies, and to type them."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import graphir.ops as ops

from ..dims import Dim, Expr, atoms, max_, nonnegative, unknown
from ..dtypes import BOOL, INT64
from ..ir import Graph, Node, Value, home
from ..types import SequenceType, TensorType, Type, map_dims
from ._op import Bool, Ints, RuleError, op
from ._types import axis_of, join, known_dims

Join = Callable[[Type | None, Type | None], Type]


def body_in(x: Value | Graph, name: str = "body") -> Graph:
    """A new body. Its parent is `x`, or where an op on the value `x` would land now."""
    return Graph(name, x if isinstance(x, Graph) else home([x]))


def yields(body: Graph, *values: Value) -> None:
    """Make `values` the outputs of a body, each through an Identity where no node of the body makes it, or where it is yielded already.

    Raises ValueError for a value that the body cannot see.
    """
    around = [body]
    while around[-1].parent is not None:
        around.append(around[-1].parent)
    outputs: list[Value] = []
    for v in values:
        if v.graph not in around:
            raise ValueError(f"{v.name} is made in {v.graph.name!r}, which is not around {body.name!r}; yield it there first")
        if v.node is None or v.graph is not body or v in outputs:
            with body:
                v = ops.OPS["", "Identity"](v)
        outputs.append(v)
    body.outputs = outputs


def captures(*bodies: Graph) -> list[Value]:
    """The values from outside that bodies read, in order of first use."""
    found: dict[Value, None] = {}
    for body in bodies:
        inside = set(body.walk())
        found.update((v, None) for g in body.walk() for v in _read_in(g) if v.graph not in inside)
    return list(found)


def _read_in(graph: Graph) -> Iterator[Value]:
    for node in graph.nodes:
        yield from (v for v in node.inputs if v is not None)
    yield from graph.outputs


# ---- types ------------------------------------------------------------------------------------------------------------------------------


@op("If", since=25)
def if_(cond: Bool, *, then_branch: Graph, else_branch: Graph) -> list[Type]:
    """The outputs of then_branch where cond holds, else those of else_branch. A branch takes no inputs; it reads outer values."""
    taken, other = then_branch.outputs, else_branch.outputs
    if len(taken) != len(other):
        raise RuleError(f"then_branch has {len(taken)} outputs and else_branch {len(other)}; expected as many")
    if cond.known is not None:
        taken = other = taken if cond.known[0] else other
    meet = _at_exit((), then_branch, else_branch)
    return [meet(a.type, b.type) for a, b in zip(taken, other)]


@op("Loop", since=25)
def loop(m: Ints | None = None, cond: Bool | None = None, *v_initial: Value, body: Graph) -> list[Type]:
    """Runs the body at most m times, and while cond holds: (i, cond, *state) to (cond, *state, *scan outputs).

    The outputs are the last state, then the scan outputs of all trips, stacked along a new first axis. Without m or cond that limit falls away.
    """
    count = len(v_initial)
    _check_body(body, count + 2, count + 1, f"{count} states")
    _check_state(body.inputs[1:], body.outputs[: count + 1])
    meet = _at_exit((m, cond, *v_initial), body)
    final = [meet(v.type, out.type) for v, out in zip(v_initial, body.outputs[1:])]
    trips = _trips(m, cond, body)
    return final + [_stacked(meet(v.type, v.type), trips, 0) for v in body.outputs[count + 1 :]]


@op("Scan", since=25)
def scan(
    *initial_state_and_scan_inputs: Value, body: Graph, num_scan_inputs: int,
    scan_input_axes: tuple[int, ...] | None = None, scan_input_directions: tuple[int, ...] | None = None,
    scan_output_axes: tuple[int, ...] | None = None, scan_output_directions: tuple[int, ...] | None = None,
) -> list[Type]:  # fmt: skip
    """Runs the body over the elements of the scan inputs along an axis: (*state, *elements) to (*state, *scan outputs).

    The outputs are the last state, then the scan outputs stacked along an axis. Direction 1 takes elements, or stacks them, from the end.
    """
    given = initial_state_and_scan_inputs
    count = len(given) - num_scan_inputs
    if num_scan_inputs < 1 or count < 0:
        raise RuleError(f"num_scan_inputs is {num_scan_inputs}; expected 1 to {len(given)}, the number of inputs")
    _check_body(body, len(given), count, f"{count} states and {num_scan_inputs} scan inputs")
    _check_state(body.inputs[:count], body.outputs[:count])
    lengths = [x.shape[a] for x, a in zip(given[count:], _scan_axes(given[count:], scan_input_axes))]
    sure = sorted({d for d in lengths if isinstance(d, int)})
    if len(sure) > 1:
        raise RuleError(f"the scan inputs have lengths {sure}; expected one")
    meet = _at_exit(given, body)
    final = [meet(v.type, out.type) for v, out in zip(given[:count], body.outputs)]
    scanned = body.outputs[count:]
    axes = _one_each("scan_output_axes", scan_output_axes, len(scanned))
    _one_each("scan_input_directions", scan_input_directions, num_scan_inputs)
    _one_each("scan_output_directions", scan_output_directions, len(scanned))
    return final + [_stacked(meet(v.type, v.type), sure[0] if sure else lengths[0], a) for v, a in zip(scanned, axes)]


def _check_body(body: Graph, inputs: int, outputs: int, why: str) -> None:
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise RuleError(
            f"the body takes {len(body.inputs)} inputs and makes {len(body.outputs)} outputs; expected {inputs} and at least {outputs}, "
            f"for {why}"
        )


def _check_state(inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
    """Raise RuleError where the next trip surely cannot take what a trip made."""
    for v, out in zip(inputs, outputs):
        if _surely_differ(v.type, out.type):
            raise RuleError(
                f"the body takes {v.name} as {v.type} and makes {out.type} of it; give the body's input dims that hold on every trip"
            )


def _surely_differ(a: Type | None, b: Type | None) -> bool:
    """Whether what is made as `b` cannot be taken as `a`. An unknown of `a` takes any size."""
    if not isinstance(a, TensorType) or not isinstance(b, TensorType):
        return False
    if a.dtype != b.dtype or a.shape is None or b.shape is None:
        return a.dtype != b.dtype
    return len(a.shape) != len(b.shape) or any(x != y and isinstance(x - y, int) and not _is_unknown(x) for x, y in zip(a.shape, b.shape))


def _is_unknown(d: Dim) -> bool:
    return isinstance(d, Expr) and d.is_unknown


def _trips(m: Value | None, cond: Value | None, body: Graph) -> Dim:
    """How often a Loop runs: m where nothing else stops it, and never less than 0."""
    count = known_dims(m)
    stops = cond is not None and not (cond.known == (True,) and body.outputs[0].type and body.outputs[0].known == (True,))
    if not count or stops:
        return unknown()
    return count[0] if nonnegative(count[0]) else max_(count[0], 0)


def _stacked(element: Type, trips: Dim, axis: int) -> Type:
    """The type of a scan output: its elements along a new axis."""
    if not isinstance(element, TensorType):
        raise RuleError(f"a scan output is {element}; expected a tensor")
    if element.shape is None:
        return element
    axis = axis_of(axis, len(element.shape) + 1, "the axis of a scan output")
    return TensorType(element.dtype, (*element.shape[:axis], trips, *element.shape[axis:]))


def _scan_axes(scanned: Sequence[Value], axes: tuple[int, ...] | None) -> list[int]:
    given = _one_each("scan_input_axes", axes, len(scanned))
    return [axis_of(a, x.rank, f"the axis of scan input {x.name}") for x, a in zip(scanned, given)]


def _one_each(name: str, given: tuple[int, ...] | None, count: int) -> tuple[int, ...]:
    if given is not None and len(given) != count:
        raise RuleError(f"{name} has {len(given)} entries; expected {count}")
    return given or (0,) * count


# ---- what leaves a body, and what enters it ---------------------------------------------------------------------------------------------


def _at_exit(inputs: Iterable[Value | None], *bodies: Graph) -> Join:
    """Joins types that leave bodies. A dim leaves as it is where both have it and it is known outside, else as an unknown: one for each pair of dims."""
    outer = _outer(inputs, *bodies)
    fresh: dict[tuple[Dim, Dim], Dim] = {}

    def dim(a: Dim, b: Dim) -> Dim:
        if a == b and all(x.key in outer for x in atoms(a)):
            return a
        return fresh.setdefault((a, b), unknown())

    return lambda a, b: join(a, b, dim)  # pyright: ignore[reportReturnType]  # None only for what an untyped body makes


def _outer(inputs: Iterable[Value | None], *bodies: Graph) -> set[tuple]:
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
    find = _BODY_INPUTS.get(node.op.name)
    return find(node) if find is not None and not node.op.domain else {}


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


_BODY_INPUTS: dict[str, Callable[[Node], dict[str, list[Type | None]]]] = {
    "If": lambda node: {"then_branch": [], "else_branch": []},
    "Loop": _loop_inputs,
    "Scan": _scan_inputs,
    "SequenceMap": _map_inputs,
}


def _type(v: Value | None) -> Type | None:
    return None if v is None else v.type


def widened(node: Node) -> dict[str, list[Type | None]]:
    """Where what a typed body makes of its state does not fit the types with which it took it: wider types to type the body with again.

    Empty when all fits. Each round makes a dim, a rank or contents unknown, so the rounds come to an end.
    """
    if node.op is not loop and node.op is not scan:
        return {}
    body = node.bodies["body"]
    first, count = (1, len(node.inputs) - 1) if node.op is loop else (0, _scan_states(node))
    outer = _outer(node.inputs, body)

    def dim(a: Dim, b: Dim) -> Dim:
        loose = _is_unknown(a) and not any(x.key in outer for x in atoms(a))
        return a if a == b or loose else unknown()

    types: list[Type | None] = [v.type for v in body.inputs]
    for i, out in enumerate(body.outputs[:count], first):
        types[i] = _wider(types[i], out.type, dim)
    return {} if all(_same(t, v.type) for t, v in zip(types, body.inputs)) else {"body": types}


def _wider(taken: Type | None, made: Type | None, dim: Callable[[Dim, Dim], Dim]) -> Type | None:
    if made is None and isinstance(taken, TensorType):
        return TensorType(taken.dtype)
    return taken if made is None or taken is None else join(taken, made, dim)


def _same(a: Type | None, b: Type | None) -> bool:
    return a == b and (not isinstance(a, TensorType) or not isinstance(b, TensorType) or a.known == b.known)
