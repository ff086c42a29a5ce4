"""From a model to a graph that is ready to run: the list of stages, each a pass, that can be printed."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from graphir.budget import Budget
from graphir.ir import Value
from graphir.model import Model
from graphir.passes.dedupe import dedupe
from graphir.passes.expand import expand
from graphir.passes.fold import fold
from graphir.passes.infer import Inference
from graphir.passes.misfit import misfit
from graphir.passes.prune import prune
from graphir.passes.simplify import simplify
from graphir.passes.upgrade import upgrade
from graphir.readers import release, use

from .interpret import Interpreter
from .kernel import find


class Stage(NamedTuple):
    """What a model was after a stage: its name, and the graph as text."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"--- {self.name} ---\n{self.text}"


class Pins:
    """The values that a program must hand out, by address. They count as read, and follow when a pass replaces them."""

    def __init__(self, values: Mapping[str, Value]):
        self.values = dict(values)
        self._asked: dict[Value, list[str]] = {}  # by value, the addresses where it was asked for
        for address, v in self.values.items():
            self._asked.setdefault(v, []).append(address)
            use(v, self)  # a user like a Model: it has `redirect`

    def redirect(self, old: Value, new: Value) -> None:
        """Hand out `new` where `old` was asked for."""
        addresses = self._asked.pop(old, [])
        self._asked.setdefault(new, []).extend(addresses)
        for address in addresses:
            self.values[address] = new
            release(old, self)
            use(new, self)


NESTED = 64  # bodies within bodies: the program is Python, which takes a hundred


def check_depth(model: Model) -> None:
    """Raises ValueError where bodies are nested too deep to be walked, copied and written out."""
    level, depth = [model.graph], 0
    while level:
        level = [body for graph in level for node in graph.nodes if node.attributes for body in node.bodies.values()]
        depth += 1
        if depth > NESTED and level:
            raise ValueError(f"graph {level[0].name!r}: bodies are nested more than {NESTED} deep; a model like that cannot be run")


def prepare(
    model: Model, overrides: str | None, budget: Budget, watch: Callable[[str, Model], None] = lambda name, model: None
) -> None:  # fmt: skip
    """Raise a model to the declared forms, and replace what has no kernel, in place. Values keep their names."""
    watch("as given", model)
    upgrade(model)
    budget.tick()
    watch("upgrade", model)
    _infer(model)
    budget.tick()
    expand(model, lambda op: find(op, overrides) is not None)
    check_depth(model)
    _check_nodes(model)
    budget.tick()
    _infer(model)
    budget.tick()
    watch("expand", model)


def _check_nodes(model: Model) -> None:
    """Raises ValueError for a node whose inputs or attributes are not as its op declares them: no rule and no kernel asks that again."""
    for graph in model.graph.walk():
        for node in graph.nodes:
            if why := misfit(node):
                raise ValueError(f"node {node.label!r}: {why}")


def _infer(model: Model) -> None:
    """Type the values by the rules alone: what a file declares of them is no proof."""
    Inference(model, trust_declared=False).graph(model.graph, model.opsets)


def optimize(
    model: Model, wanted: Mapping[str, Value], xp: Any, overrides: str | None, budget: Budget,
    watch: Callable[[str, Model], None] = lambda name, model: None,
) -> Pins:  # fmt: skip
    """Keep what these values need, and make it cheaper, in place.

    wanted: by whatever the caller calls them.
    """
    pins = Pins(wanted)
    model.graph.outputs = ()
    prune(model)
    watch("prune", model)
    interpreter = Interpreter(xp, overrides, model, budget)

    def evaluate(node: Any, arrays: list[Any]) -> Any:
        budget.tick()
        return [xp.to_numpy(x) for x in interpreter.apply(node, [None if x is None else xp.asarray(x) for x in arrays], {})]

    for name, run in (
        ("fold", lambda m: fold(m, evaluate, budget.limits.memory)),
        ("simplify", simplify),
        ("dedupe", dedupe),
        ("prune again", prune),
    ):
        run(model)
        budget.tick()
        watch(name, model)
    return pins
