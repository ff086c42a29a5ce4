"""A model compiled for ONNX Runtime: takes feeds, returns fetches, holds the state."""

import tempfile
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

import graphir
from graphir.collector import collector_paused
from graphir.dtypes import as_dtype
from graphir.feeds import States, as_array, check_call, check_names, checked, checked_parts, missing, other_state, received
from graphir.ir import Weight
from graphir.mapped import MappedFile, check_files, mapped_file
from graphir.model import Model
from graphir.ops import is_random
from graphir.plugins import Budget, LimitError, Limits
from graphir.tensors import Tensor
from graphir.turns import Turn, Turns, in_turn
from graphir.types import OptionalType, TensorType

from .session import DOMAINS, Refusal, cut, dense, expand, explained, is_plain, open_session, options, say_otherwise, states_to_inputs
from .values import copied, from_ort, to_ort

SESSIONS = 16  # how many sets of fetches are remembered


class _Ready(NamedTuple):
    """A session for one set of values. inputs, outputs: their names there; plain: whether all of them are tensors that OrtValues hold. files: those that weights lie in."""

    model: Model
    session: onnxruntime.InferenceSession
    inputs: list[str]
    outputs: list[str]
    plain: bool
    files: tuple[MappedFile, ...]


class OrtProgram(Turns):
    """Runs one model through ONNX Runtime. Threads take turns; `clone` gives another that shares its constants, to run at the same time.

    state: the weights of kind "state" by address: read it, assign to it.
    """

    def __init__(self, model: Model, limits: Limits | Budget | None, seed: int, threads: int | None):
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        self._given = model.copy()
        self._model = model.copy()
        self._budget = Budget.of(limits)
        self._seed = seed
        self._threads = threads
        self._is_random = any(is_random(n) for g in model.graphs() for n in g.nodes)
        self._held: dict[str, onnxruntime.OrtValue] = {}
        self._sessions: dict[tuple[str, ...], _Ready] = {}
        self._last: _Ready | None = None
        with collector_paused():
            say_otherwise(self._model)
            inputs, updates, states = states_to_inputs(self._model)
            self._state = {a: to_ort(np.array(dense(w))) for a, w in states.items()}
            expand(self._model, lambda op: op.domain not in DOMAINS)
        self._state_inputs = {a: v.name for a, v in inputs.items()}
        self._updates = {a: v.name for a, v in updates.items()}
        self._outputs = tuple(v.name for v in model.outputs)
        self._found = {a: self._find(a) for a in dict.fromkeys(self._outputs)}  # what addresses stand for
        self._turn = Turn()
        self.state: MutableMapping[str, Any] = _State(self)
        self._ready([*(v.name for v in self._model.outputs), *self._updates.values()])  # what is refused is refused now

    # ---- running --------------------------------------------------------------------------------------------------------------------

    def _run(self, feeds: Mapping[str, Any], fetch: Sequence[str] | None) -> dict[str, Any]:
        if feeds.__class__ is not dict:
            check_call(self._given.inputs, feeds, fetch)
        fetch = [fetch] if isinstance(fetch, str) else fetch
        for a in fetch or ():
            if a not in self._found:
                self._found[a] = self._find(a)
        found = {a: self._found[a] for a in (self._outputs if fetch is None else fetch)}
        wanted = {a: x for a, x in found.items() if isinstance(x, str)}
        updates = self._updates if fetch is None else {}
        ready = self._ready([*wanted.values(), *updates.values()])
        given = self._feed(feeds, {*(ready.inputs if ready else ()), *wanted.values(), *updates.values()})
        made = self._call(ready, given) if ready else {}
        check_files(ready.files if ready else ())  # what was written over meanwhile may have come in
        state = self._state
        self._state = {**state, **{a: self._as_state(a, name, made, given) for a, name in updates.items()}}
        kept = {*updates.values()}
        return {a: self._handed_out(x, made, given, x in kept) if isinstance(x, str) else copied(dense(x)) for a, x in found.items()}

    def _find(self, address: str) -> str | Weight:
        """The value at an address: its name in the graph that is run, or a constant of a body."""
        address, v = self._given.locate(address)
        if address in self._state_inputs:
            return self._state_inputs[address]
        if v.graph is self._given.graph:
            return v.name
        if isinstance(v, Weight):
            return v
        raise ValueError(
            f"{address} is made in a body, and ONNX Runtime hands out values of the main graph only; "
            "fetch it with runtime numpy, or fetch what the node with the body makes"
        )

    def _feed(self, feeds: Mapping[str, Any], needed: set[str]) -> dict[str, Any]:
        """What goes in, by name: OrtValues for tensors, but for those of strings. Raises ValueError for what does not fit."""
        check_names(self._given.inputs, feeds)
        sizes: dict[str, int] = {}
        found: dict[str, Any] = {}
        for v in self._given.inputs:
            if v.name in feeds:
                x = feeds[v.name]
                found[v.name] = (
                    self._tensor(checked(v, received(x), sizes)) if isinstance(v.type, TensorType) else checked_parts(v, x, sizes, received)
                )
            elif isinstance(v, Weight):
                continue  # the session has the default
            elif isinstance(v.type, OptionalType):
                found[v.name] = None
            elif v.name in needed:
                raise missing(v)
        found.update((name, self._state[a]) for a, name in self._state_inputs.items())
        return found

    def _tensor(self, x: Any) -> Any:
        array = np.asarray(x)
        return np.asarray(array, object) if array.dtype.kind in "USO" else to_ort(array)

    def _call(self, ready: _Ready, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a session makes, by name: OrtValues, or where not all is plain, arrays, lists and None."""
        inputs = {name: given[name] for name in ready.inputs if name in given}
        run_options = onnxruntime.RunOptions()
        run_options.log_severity_level = 4
        self._budget.begin_run()
        left = self._budget.left()
        stop = threading.Timer(left or 0, lambda: setattr(run_options, "terminate", True))
        if left is not None:
            stop.start()
        self._last = ready
        check_files(ready.files)
        try:
            run = ready.session.run_with_ort_values if ready.plain else ready.session.run
            return dict(zip(ready.outputs, run(ready.outputs, inputs, run_options), strict=True))  # pyright: ignore[reportArgumentType]
        except Exception as e:  # ONNX Runtime raises kinds of its own, which have no common base
            if run_options.terminate:
                raise LimitError(self._budget.out_of_time()) from None
            raise ValueError(explained(ready.model, e)) from e
        finally:
            stop.cancel()

    def _value(self, name: str, made: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """A value as it is held: made by the run, given to it, or a weight."""
        if name in made:
            return made[name]
        if name in given:
            return given[name]
        return dense(self._model.graph.weights[name])

    def _handed_out(self, name: str, made: Mapping[str, Any], given: Mapping[str, Any], kept: bool) -> Any:
        x = self._value(name, made, given)
        array = from_ort(x) if isinstance(x, onnxruntime.OrtValue) else x
        return array if name in made and not kept and not isinstance(array, np.generic) else copied(array)

    def _as_state(self, address: str, name: str, made: Mapping[str, Any], given: Mapping[str, Any]) -> onnxruntime.OrtValue:
        """What a state becomes. Raises ValueError where it is of another type."""
        x = self._value(name, made, given)
        old = self._state[address]
        new = x if isinstance(x, onnxruntime.OrtValue) else to_ort(np.array(x))
        if (new.shape(), new.element_type()) != (old.shape(), old.element_type()):
            raise other_state(address, _type_of(from_ort(old)), _type_of(from_ort(new)))
        if name in given and x is given[name] and name not in self._state_inputs.values():
            return to_ort(np.array(from_ort(new)))  # the caller may write to what was fed
        return new

    # ---- sessions -------------------------------------------------------------------------------------------------------------------

    def _ready(self, names: Sequence[str]) -> _Ready | None:
        """The session that makes the values of these names; None where none of them is made by a node."""
        made = {v.name for node in self._model.graph.nodes for v in node.outputs if v is not None}
        key = tuple(dict.fromkeys(name for name in names if name in made))
        if not key or key in self._sessions:
            return self._sessions.get(key)
        if len(self._sessions) >= SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        model = cut(self._model, key)
        try:
            with collector_paused():
                session = open_session(model, options(self._threads), self._held, self._seed if self._is_random else None)
        except Refusal as e:
            lacks, expanded = e.lacks, self._model.copy()  # a clone in another thread may be reading this one
            if lacks is None or not (expand(expanded, lambda op: op.name == lacks) or expand(expanded, lambda op: True)):
                raise  # the second: the operator may come out of one that ONNX Runtime itself decomposes
            self._model, self._sessions, self._held = expanded, {}, {}
            return self._ready(names)
        inputs = {v.name: v.type for v in session.get_inputs()} | {v.name: v.type for v in session.get_overridable_initializers()}
        arrays = (w.tensor.array for w in model.graph.weights.values() if isinstance(w.tensor, Tensor))
        files = {file: None for file in map(mapped_file, arrays) if file is not None}
        kinds = inputs | {v.name: v.type for v in session.get_outputs()}
        ready = self._sessions[key] = _Ready(model, session, list(inputs), list(key), is_plain(kinds), tuple(files))
        return ready

    # ---- looking inside -------------------------------------------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The graph that ran last, as it was handed to ONNX Runtime. Empty before the first run."""
        return str(self._last.model) if self._last is not None else ""

    @property
    @in_turn
    def stages(self) -> list[str]:
        """The model as given, as it is handed to ONNX Runtime, and what ONNX Runtime makes of it, for the model's outputs."""
        ready = self._ready([*(v.name for v in self._model.outputs), *self._updates.values()])
        found = [_stage("as given", self._given)]
        if ready is None:
            return found
        found.append(_stage("for ONNX Runtime", ready.model))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"
            wanted = options(self._threads)
            wanted.optimized_model_filepath = str(path)
            open_session(cut(self._model, ready.outputs), wanted, self._held)
            return [*found, _stage("optimized by ONNX Runtime", graphir.load(path))]

    @in_turn
    def clone(self) -> "OrtProgram":
        """Another program for the same model, with its own state, which starts as this one's is now; random numbers start anew."""
        other = object.__new__(OrtProgram)
        other.__dict__.update(self.__dict__)
        other._sessions = {} if self._is_random else dict(self._sessions)
        other._last = None
        other._turn = Turn()
        other._budget = self._budget.for_clone()
        other._held = dict(self._held)
        other._state = dict(self._state)  # the values themselves are never written to
        other.state = _State(other)
        return other


class _State(States):
    def __init__(self, program: OrtProgram):
        super().__init__(program._turn, program._given.weights)
        self._program = program

    def held(self) -> dict[str, Any]:
        return self._program._state

    def read(self, x: Any) -> Any:
        return np.array(from_ort(x))

    def received(self, x: Any, old: Any, place: str) -> Any:
        return to_ort(np.array(x if hasattr(x, "dtype") else as_array(x, self.type_of(old).dtype, place)))

    def type_of(self, x: Any) -> TensorType:
        return _type_of(from_ort(x))


def _type_of(array: np.ndarray) -> TensorType:
    return TensorType(as_dtype(array.dtype), array.shape)


def _stage(name: str, model: Model) -> str:
    return f"--- {name} ---\n{model}"
