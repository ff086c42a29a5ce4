"""The loop: batches of the data, shuffled, run through the step; after each epoch the validation data through the model."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..dtypes import FLOATS, NAMES
from ..expect import expect, expect_model
from ..ir import Value
from ..model import Model
from ..plugins import Limits, Program, Runtime, compile, expect_limits
from ..types import TensorType
from .losses import Loss
from .optimizers import Optimizer
from .step import apply, measured, step

Arrays = Mapping[str, Any]
BATCH = 32


class Progress(NamedTuple):
    """Where training is: epoch and batch, from 1, of how many; the metrics of the batch; after the last batch of an epoch those of the epoch, else None."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    metrics: dict[str, float]
    summary: dict[str, float] | None


class Result(NamedTuple):
    """What training made. model: the one that was given, with trained weights. history: of each epoch its number, loss and metrics, JSON-able.

    state: the weights and the memory of the optimizer, by name.
    """

    model: Model
    history: list[dict[str, float]]
    state: dict[str, np.ndarray]


def fit(
    model: Model, data: Arrays, loss: str | Loss = "cross_entropy", optimizer: Optimizer | None = None, *, epochs: int = 5,
    batch_size: int | None = None, validation: Arrays | float | None = None, seed: int = 0, runtime: str | Runtime = "numpy",
    wrt: str | Sequence[str] | None = None, output: str | None = None, target: str = "y",
    progress: Callable[[Progress], object] | None = None, limits: Limits | None = None, resume: Result | None = None,
    checkpoint: Callable[[Result], object] | None = None,
) -> Result:  # fmt: skip
    """Train a model. loss, optimizer, wrt, output, target: see `step`.

    data: arrays by the names of the model's inputs, and the target; their first axis counts the examples. Numbers are cast within their kind.
    batch_size: 32 by default, or the one that the model's inputs have; the last batch of an epoch is smaller, and left out where the model cannot take it.
    validation: data to measure with after each epoch, or the share of `data`, drawn at random, that is set apart for that.
    seed: of the order of the examples, which is another one in each epoch, and of random operators. One seed gives one result.
    limits: what each step may use; by default there is no bound. progress: called after each batch.
    checkpoint: called after each epoch with the result so far. resume: such a result, after whose last epoch training goes on, to the same end as if it had
        never stopped, where all else is as it was (on ONNX Runtime, but for random operators). Its model is not read.
    Raises ValueError for data that does not suit, for a result of another training, and where the loss is no longer finite; see `step` for more.
    """
    expect_model(model)
    expect(epochs, int, "epochs", "a whole number")
    expect(data, Mapping, "the data", "a mapping from names to arrays")
    expect_limits(limits)
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; expected 1 or more")
    stepping = step(model, loss, optimizer, wrt=wrt, output=output, target=target)
    rng = np.random.default_rng(seed)
    examples, held = _examples(stepping, data, validation, rng)
    size = examples.batch_size(batch_size)
    program = compile(stepping, runtime, seed=seed, limits=limits)
    evaluate = None if held is None else _Evaluation(model, loss, output, target, runtime, limits)
    history: list[dict[str, float]] = [] if resume is None else list(resume.history)

    def result() -> Result:
        state = {name: np.asarray(x) for name, x in program.state.items()}
        return Result(apply(model, {a: state[a] for a in model.weights if a in state}), list(history), state)

    if resume is not None:
        _go_on(program, resume, len(examples.batches(size)), epochs)
        if evaluate is not None and held is not None:
            _count_runs(evaluate.program, len(held.batches(size)) * len(resume.history))
    for _ in history:
        rng.permutation(examples.count)  # so that the next orders are what they would be
    for epoch in range(len(history) + 1, epochs + 1):
        totals = _Totals()
        batches = examples.batches(size, rng.permutation(examples.count))
        for i, (count, feeds) in enumerate(batches, 1):
            metrics = totals.add(program.run(feeds), count)
            if not math.isfinite(next(iter(metrics.values()))):
                raise ValueError(f"the loss became {next(iter(metrics.values()))} in epoch {epoch}, batch {i}; try a smaller learning rate")
            summary = None
            if i == len(batches):
                summary = totals.means()
                if held is not None and evaluate is not None:
                    summary |= {f"validation_{k}": x for k, x in evaluate(held, size, program.state).items()}
                history.append({"epoch": epoch, **summary})
            if progress is not None:
                progress(Progress(epoch, epochs, i, len(batches), metrics, summary))
        if checkpoint is not None:
            checkpoint(result())
    return result()


def _examples(
    step: Model, data: Arrays, validation: Arrays | float | None, rng: np.random.Generator
) -> "tuple[Examples, Examples | None]":  # fmt: skip
    """What to train with, and what to measure with."""
    examples = Examples(step, data, "the data")
    if validation is None:
        return examples, None
    if isinstance(validation, Mapping):
        return examples, Examples(step, validation, "the validation data")
    return examples.split(validation, rng)


def _go_on(program: Program, resume: Result, batches: int, epochs: int) -> None:
    """Bring a program to where a training stood. Raises ValueError where that was another one, or is past the last epoch."""
    if len(resume.history) > epochs:
        raise ValueError(
            f"the training to resume has {len(resume.history)} epochs behind it; expected {epochs}, the number of epochs, or fewer"
        )
    missing, odd = sorted(program.state.keys() - resume.state.keys()), sorted(resume.state.keys() - program.state.keys())
    if missing or odd:
        what = f"lacks {missing[0]!r}" if missing else f"has {odd[0]!r}, which this one has not"
        raise ValueError(f"the training to resume {what}; resume with the model, the optimizer and the weights that it began with")
    for name, x in resume.state.items():
        program.state[name] = x
    _count_runs(program, batches * len(resume.history))


def _count_runs(program: Program, runs: int) -> None:
    """Let a program draw random numbers as after so many runs, where it can."""
    if hasattr(program, "runs"):
        program.runs = runs  # pyright: ignore[reportAttributeAccessIssue]  # asked for above


class Examples:
    """Data that suits a step. Raises ValueError where it does not, naming `what` it is."""

    def __init__(self, step: Model, data: Arrays, what: str):
        self.what = what
        wanted = {v.name: v for v in step.inputs if v.tensor is None or v.name in data}
        missing = [v for v in wanted.values() if v.name not in data]
        if missing:
            raise ValueError(f"{what} lacks {missing[0].name} ({missing[0].type}); it holds {', '.join(data) or 'nothing'}")
        self.arrays = {name: _cast(v, data[name], what) for name, v in wanted.items()}
        counts = {name: len(x) for name, x in self.arrays.items()}
        self.count = next(iter(counts.values()), 0)
        if not self.count:
            raise ValueError(f"{what} is empty; expected examples along the first axis")
        other = next((name for name, n in counts.items() if n != self.count), None)
        if other is not None:
            raise ValueError(f"{what} has {self.count} examples in {next(iter(counts))} and {counts[other]} in {other}; expected as many")
        for name, x in self.arrays.items():
            _check_numbers(name, x, what)
        self.fixed = next((d for v in wanted.values() for d in (v.type.shape or ())[:1] if isinstance(d, int)), None)
        _check_labels(step, self.arrays, what)

    def split(self, share: float, rng: np.random.Generator) -> "tuple[Examples, Examples]":
        """The examples without a share drawn at random, and that share. Raises ValueError where nothing is left on one side."""
        count = round(self.count * share) if 0 < share < 1 else 0
        if not 0 < count < self.count:
            raise ValueError(
                f"validation is {share} of {self.count} examples; expected a share between 0 and 1 that leaves some on both sides"
            )
        order = rng.permutation(self.count)
        return self.taken(np.sort(order[count:])), self.taken(np.sort(order[:count]))

    def taken(self, places: np.ndarray) -> "Examples":
        """These examples alone."""
        other = object.__new__(Examples)
        other.__dict__.update(self.__dict__)
        other.arrays = {name: x[places] for name, x in self.arrays.items()}
        other.count = len(places)
        return other

    def batch_size(self, asked: int | None) -> int:
        """The size of batches. Raises ValueError for one that the model does not take."""
        if asked is not None and asked < 1:
            raise ValueError(f"batch size is {asked}; expected 1 or more")
        if self.fixed is None:
            return asked or BATCH
        if asked not in (None, self.fixed):
            raise ValueError(f"batch size is {asked}; the model takes batches of {self.fixed}")
        if self.count < self.fixed:
            raise ValueError(f"{self.what} has {self.count} examples; the model takes batches of {self.fixed}")
        return self.fixed

    def batches(self, size: int, order: np.ndarray | None = None) -> "_Batches":
        """The examples in batches, in this order; where the model takes whole batches only, without those that are left over."""
        return _Batches(self, size, order)


class _Batches:
    def __init__(self, examples: Examples, size: int, order: np.ndarray | None):
        self.examples = examples
        self.size = size
        self.order = order
        self.end = examples.count if examples.fixed is None else examples.count // size * size

    def __len__(self) -> int:
        return -(-self.end // self.size)

    def __iter__(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for i in range(0, self.end, self.size):
            places = slice(i, min(i + self.size, self.end))
            rows = places if self.order is None else self.order[places]
            yield places.stop - i, {name: x[rows] for name, x in self.examples.arrays.items()}


class _Totals:
    """Means of metrics over batches of several sizes."""

    def __init__(self):
        self.count = 0
        self.sums: dict[str, float] = {}

    def add(self, results: Mapping[str, Any], count: int) -> dict[str, float]:
        """Add what a batch gave, and return it as numbers."""
        metrics = {name: float(x) for name, x in results.items()}
        self.count += count
        for name, x in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + x * count
        return metrics

    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: x / self.count for name, x in self.sums.items()}


class _Evaluation:
    """Measures the model as it works outside of training, with weights as they are."""

    def __init__(self, model: Model, loss: str | Loss, output: str | None, target: str, runtime: str | Runtime, limits: Limits | None):
        measuring = measured(model, loss, output=output, target=target)
        for w in measuring.weights.values():
            if w.kind == "constant" and w.dtype in FLOATS:
                w.become("state")
        self.program: Program = compile(measuring, runtime, limits=limits)

    def __call__(self, examples: Examples, size: int, state: Mapping[str, Any]) -> dict[str, float]:
        for name in self.program.state:
            if name in state:
                self.program.state[name] = state[name]
        totals = _Totals()
        for count, feeds in examples.batches(size):
            totals.add(self.program.run(feeds), count)
        return totals.means()


# ---- what data may not be -----------------------------------------------------------------------------------------------------------


def _cast(v: Value, x: Any, what: str) -> np.ndarray:
    """The array in the dtype of an input. Raises ValueError where dtype or shape do not suit."""
    x = np.asarray(x)
    if not isinstance(v.type, TensorType):
        raise ValueError(f"the input {v.name} is {v.type or 'of unknown type'}; only tensors come in batches")
    if x.dtype != v.dtype and not (x.dtype in NAMES and np.can_cast(x.dtype, v.dtype, "same_kind")):
        raise ValueError(f"{what} has {v.name} as {x.dtype}{list(x.shape)}; expected {v.type}")
    dims = v.type.shape
    fits = dims is None or (len(dims) == x.ndim and not any(isinstance(d, int) and d != n for d, n in zip(dims[1:], x.shape[1:])))
    if not fits or not x.ndim:
        raise ValueError(f"{what} has {v.name} as {x.dtype}{list(x.shape)}; expected {v.type}, with the examples along the first axis")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is found
        return x.astype(v.dtype, copy=False)


def _check_numbers(name: str, x: np.ndarray, what: str) -> None:
    """Raises ValueError for what is no finite number."""
    if x.dtype not in FLOATS:
        return
    bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if bad.any():
        i = int(bad.argmax())
        odd = x[i][~np.isfinite(x[i])].reshape(-1)[0] if x.ndim > 1 else x[i]
        raise ValueError(f"{what} has {odd} in {name}[{i}]; expected finite numbers ({int(bad.sum())} of {len(x)} examples are not)")


def _check_labels(step: Model, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Raises ValueError for a label that is no class of the model."""
    for node in step.graph.nodes:
        if node.op is not ops.loss.softmax_cross_entropy_loss:
            continue
        scores, labels = node.inputs[0], node.inputs[1]
        x = None if labels is None else arrays.get(labels.name)
        if x is None or scores is None or scores.shape[1].__class__ is not int:
            continue
        classes, ignored = scores.shape[1], node.attributes.get("ignore_index")
        bad = ((x < 0) | (x >= classes)) & (x != ignored) if ignored is not None else (x < 0) | (x >= classes)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{what} has the label {x[at]} in {labels.name}[{', '.join(map(str, at))}]; the model has {classes} classes, 0 to {classes - 1}"  # pyright: ignore[reportOptionalMemberAccess, reportOperatorIssue]
            )
