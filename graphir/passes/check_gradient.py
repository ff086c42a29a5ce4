"""Hold the gradients of a model against central differences, in double precision, along random directions."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Unpack

import numpy as np

from ..dims import symbols
from ..dtypes import FLOAT64, NAMES, SMALL_FLOATS, STRING
from ..expect import expect_model
from ..feeds import sizes_of
from ..ir import Value, Weight
from ..model import Model
from ..ops import is_random
from ..plugins import Budget, Limits, Program, Runtime, compile, expect_limits
from ..tensors import Tensor
from ..types import TensorType, bind
from .gradient import Differentiated, Names, differentiate
from .marks import How
from .widen import NARROW, widen

# Of a difference: a shorter one may stay on one side of a kink, a longer one loses fewer digits.
STEPS = (1e-5, 1e-7, 1e-9, 1e-6, 1e-8, 1e-11, 1e-13, 1e-4)
SHIFTS = (0.0, 1e-3, 1e-3)  # from the point that is asked for: it may lie on a kink, where a difference is no derivative
DIRECTIONS = 2
TOLERANCE = 1e-5
_SIZE = 2  # of a dim that is not known, where an input is drawn


class Row(NamedTuple):
    """One gradient, along the direction in which it is worst: by the graph, by the difference, and how far they lie apart, relative to the larger.

    checked: whether there was a number to check. note: why not, or what is wrong, where nothing could be compared.
    """

    wrt: str
    gradient: float
    difference: float
    error: float
    ok: bool
    checked: bool = True
    note: str = ""


class GradientReport(NamedTuple):
    """What a check found. of: the names of the values whose sum was differentiated."""

    of: list[str]
    rows: list[Row]

    @property
    def ok(self) -> bool:
        """Whether all gradients agree, and there was one to check."""
        return all(row.ok for row in self.rows) and any(row.checked for row in self.rows)

    def table(self) -> list[tuple[str, ...]]:
        """The rows as text, below a line of titles."""
        titles = ("with respect to", "gradient", "difference", "relative error", "")
        return [
            titles,
            *((r.wrt, f"{r.gradient:.9g}", f"{r.difference:.9g}", f"{r.error:.1e}", _verdict(r)) for r in self.rows),
        ]

    def __str__(self) -> str:
        table = self.table()
        widths = [max(map(len, column)) for column in zip(*table)]
        return "\n".join("  ".join(x.ljust(w) for x, w in zip(line, widths)).rstrip() for line in table)


def check_gradient(
    model: Model, of: Names = None, wrt: Names = None, feeds: Mapping[str, Any] | None = None, seed: int = 0,
    runtime: str | Runtime = "numpy", *, tolerance: float = TOLERANCE, limits: Limits | Budget | None = None, **how: Unpack[How],
) -> GradientReport:  # fmt: skip
    """Compare what `gradient(model, of, wrt)` gives with central differences of a float64 copy of the model, along random directions.

    feeds: inputs by name; floats may be of any width. Others are drawn: floats from the normal distribution, whole numbers 0 or 1, with 2 for a size
        that is not known.
    Where a value lies on a kink, it is moved off it by a little.
    seed: of directions, of seeds, and of what is drawn, random operators included.
    tolerance: the relative error up to which a gradient is ok.
    limits: what each run may use; by default there is no bound.
    how: marks, as `gradient` takes them. What passes one, or rounding as QuantizeLinear has it, has a gradient that is no derivative: where differences
        disagree, they cannot tell whether it is right, and the row says so.
    Raises what `gradient` raises, ValueError for feeds that do not fit, and LimitError.
    """
    expect_model(model)
    expect_limits(limits)
    found = differentiate(widen(model), of, wrt, **how)
    rng = np.random.default_rng(seed)
    values = {a: found.model.find(a) for a in found.gradients}
    for v in values.values():
        if isinstance(v, Weight) and v.kind == "constant":
            v.become("state")
    program = compile(found.model, runtime, seed=seed, limits=limits)
    with np.errstate(all="ignore"):  # where a value is no number, so is the difference
        trial = _Trial(found, _drawn(found, program, feeds or {}, rng), program)
        return GradientReport(list(found.seeds), [_row(trial, a, v, rng, tolerance) for a, v in values.items()])


def _row(trial: "_Trial", address: str, v: Value, rng: np.random.Generator, tolerance: float) -> Row:
    """The worst of all directions; along each, the best of what was tried. A gradient of another shape than its value is wrong as it is."""
    shape, expected = trial.shape(address), trial.shape_of(address, v)
    if shape != expected:
        return Row(address, np.nan, np.nan, np.inf, ok=False, note=f"its shape is {list(shape)}, expected {list(expected)}")
    if not trial.terms or 0 in trial.shape(address):
        return Row(address, 0.0, 0.0, 0.0, ok=True, checked=False, note="it is empty")
    if v.dtype in SMALL_FLOATS:
        return Row(address, 0.0, 0.0, 0.0, ok=True, checked=False, note=f"{NAMES[v.dtype]} knows no small steps")
    rows = []
    for _ in range(DIRECTIONS):
        tried: list[Row] = []
        for size in SHIFTS:
            here = size * rng.standard_normal(trial.shape(address))
            tried += _along(trial, address, v, here, rng, tolerance)
            if tried[-1].ok:
                break
        rows.append(min(tried, key=_badness))
    worst = max(rows, key=_badness)
    convention = trial.found.by_convention.get(address)
    if worst.ok or convention is None or not np.isfinite(worst.gradient):
        return worst
    return worst._replace(ok=True, checked=False, note=f"{convention}, so its gradient is a convention, of which differences say nothing")


def _along(trial: "_Trial", address: str, v: Value, here: np.ndarray, rng: np.random.Generator, tolerance: float) -> list[Row]:
    """The comparisons along a direction, step by step until one is ok. here: from where the value is changed, beyond what it is."""
    elsewhere = Row(address, np.nan, np.nan, np.inf, ok=False, note="an output has another shape a small step away")
    if here.any() and trial.loss(address, v, here) is None:
        return [elsewhere]
    direction = rng.standard_normal(here.shape)
    along = float((trial.gradient(address, v, here) * direction).sum())
    rows = []
    for h in STEPS:
        ahead, behind = (trial.loss(address, v, here + s * direction) for s in (h, -h))
        if ahead is None or behind is None:
            rows.append(elsewhere)
            continue
        difference = (ahead - behind) / (2 * h)
        scale = max(abs(along), abs(difference), 1e-3 * trial.scale)  # below that the digits of the loss say nothing
        error = abs(along - difference) / scale if scale else 0.0
        rows.append(Row(address, along, difference, error, error <= tolerance))
        if error <= tolerance:
            break
    return rows


def _verdict(row: Row) -> str:
    return f"nothing to check: {row.note}" if not row.checked else "" if row.ok else f"WRONG {row.note}".rstrip()


def _is_state(v: Value) -> bool:
    return isinstance(v, Weight) and v.kind == "state"


def _badness(row: Row) -> float:
    return row.error if np.isfinite(row.error) else np.inf


class _Trial:
    """The model near one point: its gradients, and its loss, the sum of `of` times the seeds. terms, scale: of how many terms the loss is the sum, and how large ones."""

    def __init__(self, found: Differentiated, feeds: dict[str, Any], program: Program):
        self.found = found
        self.feeds = feeds
        self._program = program
        nodes = (node for graph in found.model.graphs() for node in graph.nodes)
        self._is_random = any(map(is_random, nodes))
        outputs = self._run({}, [*found.gradients.values(), *found.seeds])
        self._shapes = {name: np.shape(outputs[name]) for name in found.seeds}
        self.terms = sum(np.size(outputs[name]) for name in found.seeds)
        self.scale = float(np.sqrt(sum(np.square(term).sum() for term in self._terms(outputs))))
        self._here = {a: np.asarray(outputs[name]) for a, name in found.gradients.items()}

    def shape(self, address: str) -> tuple[int, ...]:
        """The shape of a gradient."""
        return self._here[address].shape

    def shape_of(self, address: str, v: Value) -> tuple[int, ...]:
        """The shape of the value that is differentiated for."""
        return np.shape(self._program.state[address] if _is_state(v) else self.feeds[v.name])

    def gradient(self, address: str, v: Value, change: np.ndarray) -> np.ndarray:
        """The gradient for one value, where that value is changed."""
        if not change.any():
            return self._here[address]
        name = self.found.gradients[address]
        return np.asarray(self._changed(address, v, change, [name])[name])

    def loss(self, address: str, v: Value, change: np.ndarray) -> float | None:
        """The loss where one value is changed; None where that changes the shape of an output."""
        outputs = self._changed(address, v, change, list(self.found.seeds))
        if any(np.shape(outputs[name]) != shape for name, shape in self._shapes.items()):
            return None
        return float(sum(term.sum() for term in self._terms(outputs)))

    def _terms(self, outputs: Mapping[str, Any]) -> list[np.ndarray]:
        return [np.asarray(outputs[name]) * self.feeds.get(seed.name, 1.0) for name, seed in self.found.seeds.items()]

    def _changed(self, address: str, v: Value, change: np.ndarray, fetch: list[str]) -> dict[str, Any]:
        if not _is_state(v):
            return self._run({v.name: self.feeds[v.name] + change}, fetch)
        before = self._program.state[address]
        self._program.state[address] = before + change
        outputs = self._run({}, fetch)
        self._program.state[address] = before
        return outputs

    def _run(self, changed: Mapping[str, Any], fetch: list[str]) -> dict[str, Any]:
        program: Program = self._program.clone() if self._is_random else self._program  # a run draws other numbers than the one before
        return program.run({**self.feeds, **changed}, fetch)


def _drawn(found: Differentiated, program: Program, feeds: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """An array for each input; seeds last, in the shapes that a run gives. Raises ValueError for a name that is no input, and for an input that cannot be drawn."""
    inputs = {v.name: v for v in found.model.inputs}
    unknown = [name for name in feeds if name not in inputs]
    if unknown:
        raise ValueError(f"no input {unknown[0]!r}; the inputs are {', '.join(inputs) or 'none'}")
    drawn = {name: _wide_array(x) for name, x in feeds.items()}
    seeds = {seed.name: of for of, seed in found.seeds.items() if seed.name in inputs and seed.name not in drawn}
    told = [v for name, v in inputs.items() if name not in seeds]
    free = {s for v in told if isinstance(v.type, TensorType) for d in v.type.shape or () for s in symbols(d)}
    sizes = dict.fromkeys(free, _SIZE) | sizes_of(told, drawn)
    for name, v in inputs.items():
        if name not in drawn and name not in seeds:
            drawn[name] = _draw(v, sizes, rng)
    if seeds:
        outputs = program.clone().run(drawn, list(seeds.values()))
        drawn.update({name: rng.standard_normal(np.shape(outputs[of])) for name, of in seeds.items()})
    return drawn


def _draw(v: Value, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    if isinstance(v, Weight) and isinstance(v.tensor, Tensor):
        return v.tensor.array
    t = bind(v.type, sizes)
    if not isinstance(t, TensorType) or t.shape is None or t.dtype == STRING:
        raise ValueError(f"the input {v.name} is {v.type or 'of unknown type'}, for which no numbers can be drawn; give it in feeds")
    shape = [d if isinstance(d, int) else _SIZE for d in t.shape]
    return rng.standard_normal(shape) if t.dtype == FLOAT64 else rng.integers(0, 2, shape).astype(t.dtype)


def _wide_array(x: Any) -> Any:
    array = np.asarray(x)
    return array.astype(FLOAT64) if array.dtype in NARROW else array
