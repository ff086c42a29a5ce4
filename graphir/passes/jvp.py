"""Forward mode: the Jacobian times a vector, as a model, by going back twice.

What reverse mode gives, J^T s, is linear in the seed s; its gradient with respect to s, times v, is J v. So every gradient rule is a forward rule, too, and
the nodes of the way back that hang on s are read by nobody afterwards (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .. import ops
from ..collector import collector_paused
from ..expect import expect_names
from ..ir import Value
from ..model import Model
from ..ops._gradient import GradientError, gradients, sum_up, zeros_like
from ..types import TensorType
from .gradient import (
    Names,
    check_types,
    cleaned,
    find_sources,
    find_targets,
    hand_out,
    is_float_tensor,
    no_path,
    prepared,
)  # fmt: skip
from .lift import lift_choices

__all__ = ["GradientError", "PushedForward", "jvp", "push_forward", "tangents"]


def jvp(model: Model, of: Names = None, wrt: Names = None) -> Model:
    """A copy of the model with an input `v_<name>` for each value in `wrt`, and an output `t_<name>` for each in `of`.

    The output is how fast the value changes where all of `wrt` move along the inputs: the Jacobian times these (the tangents).
    of: names of float values; by default all float outputs that hang on `wrt`.
    wrt: addresses or patterns of inputs and weights, as for `gradient`; by default all float inputs from which a path leads to `of`.
    The first free one of v_<name>, v2_<name>, ... is taken, as of t_<name>. All else is as `gradient` has it, the errors too.
    """
    return push_forward(model, of, wrt).model


class PushedForward(NamedTuple):
    """A model with tangents. inputs: address of wrt -> name of the input; outputs: what is differentiated -> name of the output."""

    model: Model
    inputs: dict[str, str]
    outputs: dict[str, str]


def push_forward(model: Model, of: Names = None, wrt: Names = None) -> PushedForward:
    """`jvp`, with what there is to know about the result."""
    with collector_paused():
        model, problems = prepared(model)
        targets = find_targets(model, expect_names(of, "of") or [v.name for v in model.outputs if is_float_tensor(v)] or None)
        check_types(model, targets.values(), problems)
        choices = find_sources(model, targets, expect_names(wrt, "wrt"), inputs_alone=True)
        sources, targets = lift_choices(model, choices, targets)
        kept = {v for g in model.graph.walk() for v in g.values()}
        taken = {a: model.graph.input(model.graph.first_free("v", a), TensorType(v.dtype, v.type.shape)) for a, v in sources.items()}
        made = tangents(list(targets.values()), {v: taken[a] for a, v in sources.items()})
        moved = {name: t for name, t in zip(targets, made) if t is not None}
        still = [name for name in targets if name not in moved]
        if not moved or (of is not None and still):
            raise no_path(sources, still)
        names = {name: hand_out(model, "t", name, targets[name], t, kept) for name, t in moved.items()}
        cleaned(model, kept)
        _rename(model, kept)
    unread = [a for a, v in taken.items() if not v.uses]
    for named in choices:
        if all(a in unread for a in named):
            raise no_path(named, targets)
    for a in unread:
        model.graph.drop_input(taken.pop(a))
    return PushedForward(model, {a: v.name for a, v in taken.items()}, names)


def tangents(of: Sequence[Value], wrt: Mapping[Value, Value]) -> list[Value | None]:
    """How fast each of `of` changes where those of `wrt` move as fast as the values under them say; None for what stays.

    All values live in one graph, and the new nodes are built at its end. Raises GradientError for an operator on the way that has no rule.
    """
    seeds = {v: zeros_like(v) for v in dict.fromkeys(of)}
    directions: dict[Value, Value] = {}
    for dv, direction in zip(gradients(seeds, list(wrt)), wrt.values()):
        if dv is not None:
            directions[dv] = sum_up(directions[dv], direction) if dv in directions else direction
    found = gradients(directions, list(seeds.values())) if directions else [None] * len(seeds)
    for seed in seeds.values():
        _read_shapes_elsewhere(seed)
    moved = dict(zip(seeds, found))
    return [moved[v] for v in of]


def _read_shapes_elsewhere(seed: Value) -> None:
    """Let nodes that ask for the shape of something that hangs on the seed ask something else of that shape, so that the seed is not needed for it."""
    hanging, others = {seed}, {v.type.shape: v for v in reversed(list(seed.graph.values())) if isinstance(v.type, TensorType)}
    for node in seed.graph.nodes:
        if hanging.isdisjoint(node.inputs):
            continue
        x = node.inputs[0]
        other = others.get(x.type.shape) if node.op is ops.shape.shape and x is not None and x.type.shape is not None else None
        if other is not None and other not in hanging:
            node.set_inputs((other,))
        else:
            hanging.update(v for v in node.outputs if v is not None)


def _rename(model: Model, kept: set[Value]) -> None:
    """Call what the second way back has named `d_<value>` by what it is: the tangent `t_<value>`."""
    for node in model.graph.nodes:
        for v in node.outputs:
            found = re.fullmatch(r"d\d*_(?:d\d*_)?(.+)", v.name) if v is not None and v not in kept and not v.is_output else None
            if v is not None and found:
                v.named(model.graph.first_free("t", found[1]))
