"""Operators with bodies: If, Loop, Scan."""

from collections.abc import Sequence

import graphir.ops as ops

from ..dims import Dim, max_, nonnegative, unknown
from ..dtypes import BOOL, INT64
from ..ir import Graph, Node, Value, captures
from ..types import TensorType, Type
from ._backward import Backward, typed_as, types_of
from ._bodies import at_exit, body_in, is_unknown, paste, yield_more, yields
from ._gradient import zeros_like
from ._op import Bool, Ints, RuleError, op
from ._trips import Scanned, Trips
from ._types import axis_of, known_dims


@op("If", since=25)
def if_(cond: Bool, *, then_branch: Graph, else_branch: Graph) -> list[Type]:
    """The outputs of then_branch where cond holds, else those of else_branch. A branch takes no inputs; it reads outer values."""
    taken, other = then_branch.outputs, else_branch.outputs
    if len(taken) != len(other):
        raise RuleError(f"then_branch has {len(taken)} outputs and else_branch {len(other)}; expected as many")
    if cond.known is not None:
        taken = other = taken if cond.known[0] else other
    meet = at_exit((), then_branch, else_branch)
    return [meet(a.type, b.type) for a, b in zip(taken, other)]


@if_.gradient
def if_gradient(dys, ys, cond, *, then_branch, else_branch, needed):
    """An If whose branches run the forward ones again, and yield the gradients of what they capture."""
    node = _made_by(ys)
    outer = [v for v in captures(then_branch, else_branch) if v in needed]
    branches = [
        Backward(node, branch, lambda v: typed_as(ops.elementwise.identity(_handed_out(node, v)), v))
        for branch in (then_branch, else_branch)
    ]
    for back, branch in zip(branches, (then_branch, else_branch)):
        back.sweep(zip(branch.outputs, dys), outer)
    found = [v for v in outer if any(v in back.gradients for back in branches)]
    for back in branches:
        back.finish(*(back.gradient(v) for v in found))
    with branches[0].outside:
        made = if_(cond, then_branch=branches[0].body, else_branch=branches[1].body) if found else ()
    totals = {v: typed_as(dv, v) for v, dv in zip(found, made)}
    return [None, *(totals.get(v) for v in captures(then_branch, else_branch))]


def _handed_out(node: Node, v: Value) -> Value:
    """A value that one branch of an If makes, as an output of the If; the other branch yields some value of its dtype and rank."""
    for branch in node.bodies.values():
        with branch:
            yield_more(branch, v if v.graph is branch else zeros_like(v, [0] * v.rank))
    types = types_of(node)
    return node.add_output(len(types) - 1, types[-1])


@op("Loop", since=25)
def loop(m: Ints | None = None, cond: Bool | None = None, *v_initial: Value, body: Graph) -> list[Type]:
    """Runs the body at most m times, and while cond holds: (i, cond, *state) to (cond, *state, *scan outputs).

    The outputs are the last state, then the scan outputs of all trips, stacked along a new first axis. Without m or cond that limit falls away.
    """
    count = len(v_initial)
    _check_body(body, count + 2, count + 1, f"{count} states")
    _check_state(body.inputs[1:], body.outputs[: count + 1])
    meet = at_exit((m, cond, *v_initial), body)
    final = [meet(v.type, out.type) for v, out in zip(v_initial, body.outputs[1:])]
    trips = _trips(m, cond, body)
    return final + [_stacked(meet(v.type, v.type), trips, 0) for v in body.outputs[count + 1 :]]


@loop.gradient
def loop_gradient(dys, ys, m=None, cond=None, *v_initial, body, needed):
    node = _made_by(ys)
    limits = len(node.inputs[:2])  # the way back may give the node more inputs
    trips = Trips(node, v_initial, [], [(0, 0)] * (len(body.outputs) - 1 - len(v_initial)))
    found = trips.back(dys, needed)
    return [*[None] * limits, *_of(found, trips.taken, v_initial), *_of(found, captures(body))]


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
    meet = at_exit(given, body)
    final = [meet(v.type, out.type) for v, out in zip(given[:count], body.outputs)]
    scanned = body.outputs[count:]
    axes = _one_each("scan_output_axes", scan_output_axes, len(scanned))
    _one_each("scan_input_directions", scan_input_directions, num_scan_inputs)
    _one_each("scan_output_directions", scan_output_directions, len(scanned))
    return final + [_stacked(meet(v.type, v.type), sure[0] if sure else lengths[0], a) for v, a in zip(scanned, axes)]


@scan.gradient
def scan_gradient(
    dys, ys, *given, body, num_scan_inputs, scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions, needed
):
    count = len(given) - num_scan_inputs
    elements = [*map(Scanned, given[count:], scan_input_axes or [0] * num_scan_inputs, scan_input_directions or [0] * num_scan_inputs)]
    none = [0] * (len(body.outputs) - count)
    trips = Trips(_made_by(ys), given[:count], elements, [*zip(scan_output_axes or none, scan_output_directions or none)])
    found = trips.back(dys, needed)
    return [*_of(found, body.inputs, given), *_of(found, captures(body))]


def _made_by(ys: Sequence[Value | None]) -> Node:
    return next(y.node for y in ys if y is not None and y.node is not None)


def _of(found: dict[Value, Value], inside: Sequence[Value], outside: Sequence[Value] | None = None) -> list[Value | None]:
    """What was found under values in a body, as gradients of those outside."""
    return [typed_as(found[v], x) if v in found else None for v, x in zip(inside, outside or inside)]


@scan.decompose
def scan_by_loop(
    *initial_state_and_scan_inputs, body, num_scan_inputs, scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions
):
    """A Loop that picks the elements by the number of the trip. It may have no trips, and its state need not keep its shape."""
    given = initial_state_and_scan_inputs
    count = len(given) - num_scan_inputs
    axes, ends = scan_input_axes or [0] * num_scan_inputs, scan_input_directions or [0] * num_scan_inputs
    length = ops.index.gather(ops.shape.shape(given[count]), axis_of(axes[0], given[count].rank))
    last = ops.elementwise.sub(length, 1) if any(ends) else None
    trip = body_in(body.parent or body, body.name)
    i, go = trip.input(trip.fresh("i"), TensorType(INT64, ())), trip.input(trip.fresh("cond"), TensorType(BOOL, ()))
    values: dict[Value, Value] = {v: trip.input(trip.fresh(v.name), v.type) for v in body.inputs[:count]}
    with trip:
        from_end = ops.elementwise.sub(last, i) if last is not None else i
        for v, x, axis, end in zip(body.inputs[count:], given[count:], axes, ends):
            values[v] = ops.index.gather(x, from_end if end else i, axis=axis)
        yields(trip, go, *paste(body, trip, values))
    made = list(loop(length, None, *given[:count], body=trip))
    none = [0] * (len(made) - count)
    for k, axis, end in zip(range(count, len(made)), scan_output_axes or none, scan_output_directions or none):
        if end:
            made[k] = ops.shape.slice_(made[k], [-1], [-(2**63)], [0], [-1])
        if axis:
            perm = list(range(1, made[k].rank))
            perm.insert(axis_of(axis, made[k].rank), 0)
            made[k] = ops.shape.transpose(made[k], perm=tuple(perm))
    return made


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
    return len(a.shape) != len(b.shape) or any(x != y and isinstance(x - y, int) and not is_unknown(x) for x, y in zip(a.shape, b.shape))


def _trips(m: Value | None, cond: Value | None, body: Graph) -> Dim:
    """How often a Loop runs: m where nothing else stops it, and never less than 0."""
    count = known_dims(m)
    stops = cond is not None and not (cond.known == (True,) and body.outputs[0].type and body.outputs[0].known == (True,))
    if not count or stops:
        return unknown()
    return count[0] if nonnegative(count[0]) else max_(count[0], 0)


def _stacked(element: Type | None, trips: Dim, axis: int) -> Type:
    """The type of a scan output: its elements along a new axis."""
    if not isinstance(element, TensorType):
        raise RuleError("the type of a scan output is not known" if element is None else f"a scan output is {element}; expected a tensor")
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
