"""Kernels of graphir.ops.control. What they return may be an input, or what a body captures.

A body is a function of arrays that returns a list; `outputs` are its types, and `budget` is what the run may use.
"""

from typing import Any

from graphir.types import TensorType, Type

from ..kernel import view


@view
def if_(xp, cond, *, then_branch, else_branch):
    return then_branch() if cond else else_branch()


@view
def loop(xp, m=None, cond=None, *v_initial, body):
    limit, conditional = None if m is None else m.item(), cond is not None
    go = xp.host.asarray(True) if cond is None else cond
    state, count = list(v_initial), len(v_initial)
    scanned: list[list[Any]] = [[] for _ in body.outputs[count + 1 :]]
    trip = stacked = 0
    while (go or not conditional) and (limit is None or trip < limit):
        go, *made = body(xp.host.asarray(trip, dtype="int64"), go, *state)
        state = made[:count]
        for elements, x in zip(scanned, made[count:]):
            elements.append(x)
            stacked += x.nbytes
        body.budget.room(stacked)
        trip += 1
    return [*state, *(xp.stack(x) if x else _nothing(xp, t) for x, t in zip(scanned, body.outputs[count + 1 :]))]


@view
def scan(xp, *inputs, body, num_scan_inputs, scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions):
    count = len(inputs) - num_scan_inputs
    state, sources = list(inputs[:count]), inputs[count:]
    sources = [xp.moveaxis(x, a, 0) for x, a in zip(sources, scan_input_axes or [0] * len(sources))]
    sources = [x[::-1] if d else x for x, d in zip(sources, scan_input_directions or [0] * len(sources))]
    types = body.outputs[count:]
    directions = scan_output_directions or [0] * len(types)
    trips = len(sources[0])
    stacks = [] if trips else [_nothing(xp, t) for t in types]
    for trip in range(trips):
        made = body(*state, *(x[trip, ...] for x in sources))
        state = made[:count]
        if trip == 0:
            body.budget.room(trips * sum(x.nbytes for x in made[count:]))
            stacks = [xp.empty((trips, *x.shape), x.dtype) for x in made[count:]]
        for stack, x, d in zip(stacks, made[count:], directions):
            if x.shape != stack.shape[1:]:
                raise ValueError(
                    f"Scan: a scan output has shape {list(x.shape)} on trip {trip}, and had {list(stack.shape[1:])}; expected one shape"
                )
            stack[trips - 1 - trip if d else trip] = x
    return [*state, *(xp.moveaxis(x, 0, a) for x, a in zip(stacks, scan_output_axes or [0] * len(types)))]


def _nothing(xp: Any, element: Type) -> Any:
    """What is stacked when there was no trip: dims that only a trip would tell are 0."""
    assert isinstance(element, TensorType)
    return xp.empty((0, *(d if isinstance(d, int) else 0 for d in element.shape or ())), element.dtype)
