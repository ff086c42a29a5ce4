"""The gradient of a model is a model: the same values and outputs, and one output more for each gradient that was asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import NamedTuple, Unpack

import numpy as np

from ..collector import collector_paused
from ..dims import product
from ..dtypes import FLOATS
from ..expect import expect_model, expect_names
from ..ir import Graph, Value, Weight
from ..model import Model
from ..ops import Op
from ..ops._cause import why
from ..ops._gradient import GradientError, gradients
from ..ops.elementwise import identity
from ..types import TensorType
from .dedupe import dedupe
from .expand import inline_calls
from .gradient_nodes import replace_gradient_nodes
from .infer import Problem, infer
from .left_out import NUMBERS, blocked, first_output, in_attributes, notes, passed, quantized, why_none
from .lift import lift_choices
from .marks import How, Names, by_convention, marked
from .misfit import misfit
from .prune import prune
from .settle_ranks import settle_ranks
from .simplify import simplify

__all__ = ["GradientError", "Names", "gradient"]

BARRIERS = 32  # nodes that cannot be differentiated, at most, around which the default finds its way


def gradient(
    model: Model, of: Names = None, wrt: Names = None, *, note: Callable[[str], object] | None = None, **how: Unpack[How]
) -> Model:  # fmt: skip
    """A copy of the model with an output `d_<name>` for each value in `wrt`: the gradient of `of` with respect to it.

    of: names of float values; their sum is differentiated. One with more than one element takes a seed input `seed_<name>` of its type.
        By default the only float output.
    wrt: addresses or patterns (`*`, `?`) of inputs and weights, those in bodies and in Constant nodes included. By default all inputs, and all weights
        but single numbers, from which paths lead to `of`, none of them through what cannot be differentiated; a pattern leaves out those from which none leads.
    note: is told, for the default, what was left out, and why.
    how: `stop`, `scale`, `straight_through` mark values that gradients pass not at all, times a factor, unchanged; `ties` says who gets the gradient of
        the largest of several. See `graphir.passes.marks.How`.
    All values keep their addresses; a weight of a body, or of a Constant node, becomes a weight of the main graph under the address that it had.
    `gradients` of the result maps (of, wrt) to the output's name; the nodes are standard operators in the declared versions.
    Raises KeyError for an unknown name, GradientError (a TypeError) where no gradient is to be had.
    """
    found = differentiate(model, of, wrt, **how)
    for text in notes(found.left_out) if note is not None else ():
        note(text)  # pyright: ignore[reportOptionalCall]
    return found.model


class Differentiated(NamedTuple):
    """A model with gradients. seeds: what is differentiated -> its seed, a weight of 1 or an input; gradients: address of wrt -> name of the output.

    left_out: what the default left out though values hang on it, by address, and why.
    by_convention: those of wrt whose gradients pass rounding or a mark, so that they are no derivatives, and which.
    """

    model: Model
    seeds: dict[str, Value]
    gradients: dict[str, str]
    left_out: dict[str, str]
    by_convention: dict[str, str]


def differentiate(model: Model, of: Names = None, wrt: Names = None, **how: Unpack[How]) -> Differentiated:
    """`gradient`, with what there is to know about the result."""
    barriers: dict[str, str] = {}
    first: GradientError | None = None
    while True:
        try:
            return _differentiated(model, of, wrt, barriers, how)
        except GradientError as e:
            first = first or e
            name = "" if e.node is None else first_output(e.node)
            if wrt is not None or not name or name in barriers or len(barriers) == BARRIERS:
                raise first from None
            barriers[name] = f"since {str(e).partition('; it lies on')[0]}"


def _differentiated(model: Model, of: Names, wrt: Names, barriers: Mapping[str, str], how: How) -> Differentiated:
    """barriers: nodes that cannot be differentiated, by their first output, and why: what leads there is left out by default."""
    with collector_paused():
        model, problems = prepared(model)
        targets = find_targets(model, expect_names(of, "of"))
        check_types(model, targets.values(), problems)
        choices = find_sources(model, targets, expect_names(wrt, "wrt"))
        left_out = _left_out(model, targets, choices[0], barriers) if wrt is None else {}
        sources, targets = lift_choices(model, choices, targets)
        kept = {v for g in model.graph.walk() for v in g.values()}
        seeds = {name: _seed(model.graph, name, v) for name, v in targets.items()}
        with marked(model, **how) as marks:
            forward = set(model.graph.nodes)
            conventions = by_convention(model.graph, [marks.of(v) for v in targets.values()])
            found = gradients({marks.of(v): seeds[name] for name, v in targets.items()}, list(sources.values()))
            flowing = {name: dv for name, dv in zip(sources, found) if dv is not None}
            if wrt is None and len(flowing) < len(sources):
                reached = passed(model.graph, targets.values())
                left_out |= {a: why_none(v, reached, forward) for a, v in sources.items() if a not in flowing}
            for named in choices:
                if not named.keys() & flowing.keys():
                    raise no_path(named, targets)
            names = {name: hand_out(model, "d", name, sources[name], dv, kept) for name, dv in flowing.items()}
        model.gradients.update({("+".join(targets), name): output for name, output in names.items()})
        cleaned(model, kept)
    return Differentiated(model, seeds, names, left_out, {a: conventions[v] for a, v in sources.items() if v in conventions})


def _left_out(model: Model, targets: dict[str, Value], chosen: dict[str, Value], barriers: Mapping[str, str]) -> dict[str, str]:
    """What the default leaves out, and why. Takes out of `chosen` what leads to a barrier. Raises GradientError where that is all."""
    sources, behind = model.addresses(), _behind(model.graph, targets.values())
    sources = {a: v for a, v in sources.items() if _is_source(v)}
    stopped = blocked(model.graph, barriers) if barriers else {}
    left_out = {a: stopped[v] for a, v in chosen.items() if v in stopped}
    for address in left_out:
        del chosen[address]
    if not chosen:
        raise GradientError("every path leads through what cannot be differentiated")
    numbers = {a: v for a, v in sources.items() if is_float_tensor(v) and v in behind and a not in chosen and a not in left_out}
    return {**left_out, **dict.fromkeys(numbers, NUMBERS), **quantized(sources, behind), **in_attributes(model, behind)}


def prepared(model: Model) -> tuple[Model, list[Problem]]:
    """A flat copy of the model in the declared versions, with a type for every value, and what does not fit."""
    from .upgrade import upgrade  # whose tables take long to load: not before they are used

    expect_model(model)
    model = model.copy()
    upgrade(model)
    inline_calls(model)
    problems = infer(model)
    settle_ranks(model)
    replace_gradient_nodes(model)
    return model, problems


def check_types(model: Model, targets: Iterable[Value], problems: Iterable[Problem]) -> None:
    """Raises GradientError for a problem of a node that the targets hang on. Another type than the file declares does no harm."""
    behind = _behind(model.graph, targets)
    for problem in problems:
        if not problem.declared and any(v in behind for v in problem.node.outputs if v is not None):
            raise GradientError(f"the types do not fit, so there is no gradient: {problem}")
    for node in {v.node for v in behind if v.node is not None}:
        if wrong := misfit(node):
            raise GradientError(f"node {node.label!r} is not as its operator is declared, so there is no gradient: {wrong}")


def cleaned(model: Model, kept: Set[Value]) -> Model:
    """The model without what nobody reads, does nothing, or is computed twice. kept: values that stay all the same."""
    simplify(model, keep=kept)
    dedupe(model, keep=kept)
    prune(model, keep=kept)
    return model


def find_targets(model: Model, of: Sequence[str] | None) -> dict[str, Value]:
    """The values to differentiate, by name. Raises KeyError and GradientError where they cannot be."""
    if of is None:
        floats = [v for v in model.outputs if is_float_tensor(v)]
        if len(floats) != 1:
            names = f" ({', '.join(v.name for v in floats)})" if floats else ""
            told = "" if floats else why(*model.outputs)
            raise GradientError(f"the model has {len(floats)} float outputs{names}; say with `of` which is meant{told}")
        return {floats[0].name: floats[0]}
    if not of:
        raise GradientError("`of` is empty; name at least one value that is to be differentiated")
    found = {name: model.find(name) for name in of}
    for name, v in found.items():
        if not is_float_tensor(v):
            raise GradientError(f"{name} is {v.type or 'of unknown type'}; only a tensor of floats can be differentiated{why(v)}")
        if v.graph is not model.graph:
            raise GradientError(f"{name} is made in a body; only values of the main graph can be differentiated")
    return found


def find_sources(model: Model, targets: dict[str, Value], wrt: Sequence[str] | None, inputs_alone: bool = False) -> list[dict[str, Value]]:
    """The values to differentiate for, by address: for each entry of `wrt` those from which a path may lead to the targets.

    inputs_alone: by default, without the weights. Raises KeyError and GradientError where there are none.
    """
    sources = {a: v for a, v in model.addresses().items() if _is_source(v)}
    behind = _behind(model.graph, targets.values())
    if wrt is not None and not wrt:
        raise GradientError("`wrt` is empty; name at least one input or weight, or leave it out for all")
    if wrt is not None:
        return [_matching(model, sources, behind, pattern, targets) for pattern in wrt]
    found = {a: v for a, v in sources.items() if v in behind and is_float_tensor(v)}
    inputs = set(model.inputs)
    found = {a: v for a, v in found.items() if v in inputs or not (inputs_alone or v.type.shape == ())}
    if not found:
        what = "no input that is a float; name weights in wrt" if inputs_alone else "no input and no weight that is a float"
        raise GradientError(f"{', '.join(targets)} hangs on {what}")
    return [found]


def _matching(model: Model, sources: dict[str, Value], behind: set[Value], pattern: str, targets: dict[str, Value]) -> dict[str, Value]:
    """What an address or a pattern of `wrt` stands for. Raises KeyError and GradientError where it is nothing that has a gradient."""
    exact = sources.get(pattern)
    matches = {a: v for a, v in sources.items() if fnmatchcase(a, pattern)} if exact is None else {pattern: exact}
    if not matches:
        v = model.find(pattern)  # raises KeyError with near misses
        matches = {a: x for a, x in sources.items() if x is v}
        if not matches:
            raise GradientError(
                f"{pattern} is made by {v.node.op if v.node else 'a body'}; gradients are with respect to inputs and weights of the model"
            )
    floats = {a: v for a, v in matches.items() if is_float_tensor(v)}
    if not floats:
        name, v = next(iter(matches.items()))
        raise GradientError(f"{name} is {v.type or 'of unknown type'}; gradients are with respect to tensors of floats{why(v)}")
    reached = {a: v for a, v in floats.items() if v in behind}
    if not reached:
        raise no_path(floats, targets)
    return reached


def no_path(names: Iterable[str], targets: Iterable[str]) -> GradientError:
    """The error where nothing flows."""
    return GradientError(f"no path leads from {', '.join(names)} to {', '.join(targets)}, so there is no gradient; leave it out of wrt")


def is_float_tensor(v: Value) -> bool:
    """Whether a value is a tensor of floats, for certain."""
    return isinstance(v.type, TensorType) and v.dtype in FLOATS


def _is_source(v: Value) -> bool:
    if v.node is not None:
        return isinstance(v.node.op, Op) and v.node.op.name == "Constant" and not v.node.op.domain
    return v.graph.parent is None or (isinstance(v, Weight) and v.kind != "default")


def _behind(graph: Graph, values: Iterable[Value]) -> set[Value]:
    """The values that these hang on; of a node with bodies all that is in them."""
    found: set[Value] = set(values)
    for node in reversed(graph.nodes):
        if any(v in found for v in node.outputs if v is not None):
            found.update(v for v in node.inputs if v is not None)
            for g in (g for body in node.bodies.values() for g in body.walk()):
                found.update(g.values())
                found.update(v for n in g.nodes for v in n.inputs if v is not None)
                found.update(g.outputs)
    return found


def _seed(graph: Graph, name: str, v: Value) -> Value:
    """What the gradient of a value starts from: one, or an input where it has more than one element."""
    if v.type.shape is not None and product(v.shape) == 1:
        return graph.weight(graph.fresh(f"one_{name}"), np.ones([1] * v.rank, v.dtype))
    return graph.input(graph.fresh(f"seed_{name}"), TensorType(v.dtype, v.type.shape))


def hand_out(model: Model, prefix: str, name: str, v: Value, dv: Value, kept: set[Value]) -> str:
    """Make `dv`, which has the shape of v, an output, and return its name: the first free of <prefix>_<name>, <prefix>2_<name>, ..."""
    graph = model.graph
    if graph in dv.uses or dv.node is None or dv in kept:
        dv = identity(dv)
    name = graph.first_free(prefix, name, but=dv.name)
    graph.output(dv, name)
    if dv.type.shape is None:
        dv.type = v.type
    return name
