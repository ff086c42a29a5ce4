"""A compiled model: takes feeds, returns fetches, holds the weights."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from graphir.budget import Budget, Limits
from graphir.collector import collector_paused
from graphir.dtypes import STRING, as_dtype
from graphir.feeds import States, as_array, check_call, check_names, checked, checked_parts, missing
from graphir.ir import Node, Value, Weight
from graphir.mapped import MappedFile, check_files, mapped_file
from graphir.model import Model
from graphir.passes.lift import lift_states
from graphir.tensors import Tensor
from graphir.turns import ReentryError, Turn, Turns, in_turn
from graphir.types import OptionalType, TensorType

from .directory import Directory
from .draws import Draws
from .interpret import dense
from .limits import LimitError, NodeError, of_node
from .place import Held, Places, place
from .plan import Plan
from .source import Source
from .stages import Pins, Stage, check_depth, optimize, prepare

PLANS = 16  # how many sets of input types and fetches are remembered


class _Graph(NamedTuple):
    """What is run for one set of fetches: the model cut down to it, the values to hand out, those to pass in: inputs, then states with their addresses.

    drawing: the nodes that draw numbers, with theirs.
    """

    model: Model
    pins: Pins
    arguments: list[Value]
    needed: frozenset[str]
    states: Sequence[tuple[str, Value]]
    places: Places
    drawing: Mapping[Node, str]


class _Ready(NamedTuple):
    """A plan written out. files: those that constants lie in."""

    function: Any
    source: Source
    plan: Plan
    files: tuple[MappedFile, ...]


class Program(Turns):
    """Runs one model on one namespace. Threads take turns; `clone` gives another that shares its constants, to run at the same time.

    state: the weights of kind "state" by address: read it, assign to it.
    deliver: makes of an array of the namespace what users are handed; by default the array itself.
    """

    def __init__(
        self, model: Model, xp: Any, overrides: str | None = None, limits: Limits | Budget | None = None, seed: int = 0,
        deliver: Callable[[Any], Any] | None = None,
    ):  # fmt: skip
        self._budget = Budget.of(limits)
        with collector_paused():
            check_depth(model)
            self._given = model.copy()
            self._model = self._given.copy()
            lift_states(self._model, self._model.addresses())
            self._directory = Directory(self._given, self._model)
            prepare(self._model, overrides, self._budget)
            self._directory.settle(self._model)
        self._xp = xp
        self._held = Held(xp, self._budget)
        self._deliver = deliver or xp.asarray
        self._overrides = overrides
        self._on_host = overrides if xp.host is xp else None  # what is folded is folded there
        self._draws = Draws(xp, seed)
        self._graphs: dict[tuple[str, ...], _Graph] = {}
        self._plans: dict[Any, _Ready] = {}
        self._last: _Ready | None = None
        self._state = {
            a: self._budget.hold(xp.fresh(xp.asarray(dense(w, self._budget))))
            for a, w in self._model.graph.weights.items()
            if w.kind == "state"
        }
        self._outputs = tuple(v.name for v in self._model.outputs)
        self._updates = [w.name for w in self._model.updates]
        self._turn = Turn()
        self.state = _State(self)

    @property
    @in_turn
    def runs(self) -> int:
        """How many runs there were. Random numbers hang on it and on the seed, so that who sets it can go on where another program stopped."""
        return self._draws.run

    @runs.setter
    @in_turn
    def runs(self, count: int) -> None:
        self._draws.go_on(count)

    # ---- running --------------------------------------------------------------------------------------------------------------------

    def _run(self, feeds: Mapping[str, Any], fetch: Sequence[str] | None) -> dict[str, Any]:
        if feeds.__class__ is not dict:
            check_call(self._model.inputs, feeds, fetch)
        fetch = [fetch] if isinstance(fetch, str) else fetch
        addresses = tuple(dict.fromkeys(fetch)) if fetch is not None else self._outputs
        updates = self._updates if fetch is None else ()
        self._budget.begin_run()
        graph = self._graph(addresses + tuple([f"\0{a}" for a in updates]))
        values, key = self._feed(graph, feeds)
        ready = self._plans.get(key)
        if ready is None:
            with collector_paused(), self._xp.quiet():
                ready = self._plan(key, graph, values)
        self._last = ready
        if ready.files:
            check_files(ready.files)
        results = self._call(ready, [values[v] for v in graph.arguments])
        if ready.files:
            check_files(ready.files)  # what was written over meanwhile may have come in
        for address, x in zip(updates, results[len(addresses) :]):
            if x is not None:  # else it was written in place
                self._adopt(address, x)
        self._draws.run += 1
        found = dict(zip(addresses, results))
        for address, x in found.items():
            if x is None and isinstance(graph.pins.values[address].type, TensorType):
                raise KeyError(f"{address} was not computed: the body that makes it did not run")
        return {a: self._delivered(x) for a, x in found.items()}

    def _delivered(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self._delivered(y) for y in x]
        return x if x is None or isinstance(x, dict) else self._deliver(x)

    def _adopt(self, address: str, x: Any) -> None:
        """Let a new array be the state."""
        x = self._xp.asarray(x)
        old = self._state[address]
        if x.dtype == old.dtype and x.shape == old.shape:
            self._state[address] = x
        else:
            self.state.replace(address, x)  # says what does not fit

    def _call(self, ready: _Ready, arguments: list[Any]) -> list[Any]:
        try:
            with self._xp.quiet():
                return self._budget.hold(ready.function(*arguments))
        except (NodeError, ReentryError):
            raise
        except (LimitError, MemoryError) as e:
            node = ready.source.node_of(e)
            raise e if node is None else of_node(node, e) from None
        except Exception as e:  # of whatever kind a kernel raises: the error names the node
            named = ready.source.blame(e)
            if named is None:
                raise
            raise named from named.__cause__ or e

    def _graph(self, addresses: tuple[str, ...]) -> _Graph:
        found = self._graphs.get(addresses)
        if found is None:
            if len(self._graphs) >= PLANS:
                self._graphs, self._plans, self._held = {}, {}, Held(self._xp, self._budget)
            model = self._model.copy()
            updates = {f"\0{w.name}": v for w, v in model.updates.items()}
            asked = self._directory.values(model, [a for a in addresses if a not in updates])
            drawing = self._directory.random_nodes(model)
            pinned = {a: updates[a] if a in updates else asked[a] for a in addresses}
            pins = optimize(model, pinned, self._xp.host, self._on_host, self._budget)
            states = [(w.name, w) for w in model.graph.weights.values() if w.kind == "state"]
            needed = frozenset(v.name for v in model.inputs if v.uses)
            places = place(model, self._xp)
            found = self._graphs[addresses] = _Graph(model, pins, [*model.inputs, *(w for _, w in states)], needed, states, places, drawing)
        return found

    def _plan(self, key: Any, graph: _Graph, values: dict[Value, Any]) -> _Ready:
        types = {
            v.name: TensorType(as_dtype(x.dtype), x.shape) for v, x in values.items() if x is not None and isinstance(v.type, TensorType)
        }
        for v in graph.model.inputs:
            if isinstance(v, Weight) and isinstance(v.tensor, Tensor) and v.name not in key[2]:
                types[v.name] = v.tensor.type  # a default that is not fed: its contents are known
        pinned = list(graph.pins.values.values())
        plan = Plan(
            graph.model,
            types,
            pinned,
            self._xp,
            self._overrides,
            self._budget,
            partial(self._drawn, graph),
            self._heirs(graph),
            graph.places,
            self._held,
        )
        source = Source(plan, graph.arguments, pinned, self._budget)
        if len(self._plans) >= PLANS:
            self._plans.pop(next(iter(self._plans)))
        defaults = [x for v, x in values.items() if isinstance(v, Weight)]
        ready = self._plans[key] = _Ready(source.function(), source, plan, _files(plan, defaults))
        return ready

    def _drawn(self, graph: _Graph, node: Node, xp: Any) -> Callable[[], Any]:
        """What gives a node of a graph that draws numbers its generator."""
        return self._draws.at(graph.drawing[node], xp)

    def _heirs(self, graph: _Graph) -> dict[Value, Value]:
        """The values that one weight takes after the run, and that nobody else is handed."""
        states = {f"\0{address}": w for address, w in graph.states}
        handed = Counter(graph.pins.values.values())
        return {v: states[key] for key, v in graph.pins.values.items() if key in states and handed[v] == 1}

    # ---- feeds ----------------------------------------------------------------------------------------------------------------------

    def _feed(self, graph: _Graph, feeds: Mapping[str, Any]) -> tuple[dict[Value, Any], Any]:
        """The arrays for a graph's arguments, and the key of the plan that suits them. Raises ValueError for what does not fit."""
        check_names(self._model.inputs, feeds)
        values: dict[Value, Any] = {}
        sizes: dict[str, int] = {}
        for v, shown in zip(graph.model.inputs, self._model.inputs):
            if v.name in feeds:
                values[v] = self._checked(shown, feeds[v.name], sizes, v in graph.places.values)
            elif isinstance(v, Weight):
                values[v] = self._held(v, v in graph.places.values)
            elif v.name in graph.needed and not isinstance(v.type, OptionalType):
                raise missing(shown)
            else:
                values[v] = None
        for address, v in graph.states:
            values[v] = self._state[address]
        shapes = tuple(None if x is None or not hasattr(x, "shape") else x.shape for x in values.values())
        return values, (id(graph), shapes, tuple(v.name for v in graph.model.inputs if isinstance(v, Weight) and v.name in feeds))

    def _checked(self, v: Value, x: Any, sizes: dict[str, int], on_host: bool) -> Any:
        """A feed as an array of the runtime. Raises ValueError where dtype or shape differ, symbols that stand for two sizes included."""
        if not isinstance(v.type, TensorType):
            return self._element(checked_parts(v, x, sizes, self._xp.received), on_host)
        x = checked(v, self._xp.received(x), sizes)
        return self._brought(x, on_host) if v.type.dtype != STRING else np.asarray(x, object)

    def _element(self, x: Any, on_host: bool) -> Any:
        """A sequence's, optional's or map's content as the runtime holds it."""
        if isinstance(x, list | tuple):
            return [self._element(y, on_host) for y in x]
        return self._brought(x, on_host) if hasattr(x, "dtype") and x.dtype != STRING else x

    def _brought(self, x: Any, on_host: bool) -> Any:
        return self._xp.to_numpy(x) if on_host else self._xp.asarray(x)

    # ---- looking inside -------------------------------------------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The Python text of the program that ran last. Empty before the first run: it is written for the types of the feeds."""
        return self._last.source.text if self._last is not None else ""

    @property
    def stages(self) -> list[Stage]:
        """The model after each stage of compiling, for the model's outputs."""
        found: list[Stage] = []
        model = self._given.copy()

        def watch(name: str, model: Model) -> None:
            found.append(Stage(name, str(model)))

        prepare(model, self._overrides, Budget(), watch)
        optimize(model, {v.name: v for v in model.outputs}, self._xp.host, self._on_host, Budget(), watch=watch)
        if self._xp.host is not self._xp:
            place(model, self._xp)
            watch("place", model)
        return found

    @in_turn
    def clone(self) -> "Program":
        """Another program for the same model, with its own buffers and its own state, which starts as this one's is now."""
        other = object.__new__(Program)
        other.__dict__.update(self.__dict__)
        other._plans, other._graphs, other._last = {}, {}, None
        other._turn = Turn()
        other._draws = Draws(self._xp, self._draws.seed, self._draws.run)
        other._budget = self._budget.for_clone()
        other._held = self._held.for_clone(other._budget)
        other._state = {a: other._budget.hold(self._xp.fresh(x)) for a, x in self._state.items()}
        other.state = _State(other)
        return other


def _files(plan: Plan, defaults: list[Any]) -> tuple[MappedFile, ...]:
    """The files that constants, defaults, and the attributes that kernels are bound to lie in."""
    nodes = (node for graph in plan.model.graph.walk() for node in graph.nodes)
    attributes = (x.file for node in nodes for x in node.attributes.values() if isinstance(x, Tensor))
    found = chain(map(mapped_file, chain(plan.constants.values(), defaults)), attributes)
    return tuple({file: None for file in found if file is not None})


class _State(States):
    def __init__(self, program: Program):
        super().__init__(program._turn, program._directory.weights)
        self._program = program
        self._xp = program._xp

    def held(self) -> dict[str, Any]:
        return self._program._state

    def read(self, x: Any) -> Any:
        return self._program._delivered(self._xp.fresh(x))

    def received(self, x: Any, old: Any, place: str) -> Any:
        x = self._xp.received(x)
        return self._xp.fresh(self._xp.asarray(x if hasattr(x, "dtype") else as_array(x, old.dtype, place)))

    def type_of(self, x: Any) -> TensorType:
        return TensorType(as_dtype(x.dtype), x.shape)
