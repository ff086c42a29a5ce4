"""The loop: batches of the data, shuffled, run through the step; after each epoch the validation data through the model."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import FLOATS
from ..expect import expect, expect_model
from ..model import Model
from ..plugins import Budget, Limits, Program, Runtime, compile, expect_limits
from .examples import Arrays, Examples, Target
from .losses import Loss, loss_of
from .names import Names, names
from .optimizers import Optimizer
from .step import apply, measured, step


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

    state: the weights and the memory of the optimizer, by name. batch_size: how many examples a step took.
    """

    model: Model
    history: list[dict[str, float]]
    state: dict[str, np.ndarray]
    batch_size: int | None = None


def fit(
    model: Model, data: Arrays, loss: str | Loss = "cross_entropy", optimizer: Optimizer | None = None, *, epochs: int = 5,
    batch_size: int | None = None, validation: Arrays | float | None = None, seed: int = 0, runtime: str | Runtime = "numpy",
    wrt: str | Sequence[str] | None = None, output: str | None = None, target: str = "y",
    progress: Callable[[Progress], object] | None = None, limits: Limits | Budget | None = None, resume: Result | None = None,
    checkpoint: Callable[[Result], object] | None = None, note: Callable[[str], object] | None = None,
) -> Result:  # fmt: skip
    """Train a model. loss, optimizer, wrt, output, target: see `step`.

    data: arrays by the names of the model's inputs, and the target; their first axis counts the examples. Numbers are cast within their kind,
        labels that are whole floats to integers, and an axis of size 1 that one side has alone is no hindrance.
    batch_size: 32 by default, or the one that the model's inputs have; the last batch of an epoch is smaller, and left out where the model cannot take it.
    validation: data to measure with after each epoch, or the share of `data`, drawn at random, that is set apart for that.
    seed: of the order of the examples, which is another one in each epoch, and of random operators. One seed gives one result.
    limits: what each step may use; by default there is no bound. progress: called after each batch. note: is told, in a sentence, what
        was done with the data, or left alone in the model, that was not asked for.
    checkpoint: called after each epoch with the result so far. resume: such a result, after whose last epoch training goes on, to the same end as if it had
        never stopped, where all else is as it was (on ONNX Runtime, but for random operators). Its model is not read.
    Raises ValueError for data that does not suit, for a result of another training, and where the loss is no longer finite; see `step` for more.
    """
    expect_model(model)
    _check_call(data, epochs, limits)
    stepping = step(model, loss, optimizer, wrt=wrt, output=output, target=target, note=note)
    called = names(stepping)
    rng = np.random.default_rng(seed)
    examples, held = _examples(Target(stepping, called.target, target, loss_of(loss)), data, validation, rng, note)
    size = examples.batch_size(batch_size)
    program = compile(stepping, runtime, seed=seed, limits=limits)
    evaluate = None if held is None else _Evaluation(held, measured(model, loss, output=output, target=target), runtime, limits)
    history: list[dict[str, float]] = [] if resume is None else list(resume.history)

    def result() -> Result:
        state = {name: np.asarray(x) for name, x in program.state.items()}
        return Result(apply(model, {a: state[a] for a in model.weights if a in state}), list(history), state, size)

    if resume is not None:
        _go_on(program, resume, len(examples.batches(size)), epochs)
        if evaluate is not None:
            _count_runs(evaluate.program, evaluate.batches(size) * len(resume.history))
    for _ in history:
        rng.permutation(examples.count)  # so that the next orders are what they would be
    for epoch in range(len(history) + 1, epochs + 1):
        totals = _Totals()
        batches = examples.batches(size, rng.permutation(examples.count), called.target)
        for i, (count, feeds) in enumerate(batches, 1):
            metrics = totals.add(program.run(feeds), called, count)
            if not math.isfinite(value := next(iter(metrics.values()))):
                raise ValueError(f"the loss became {value} in epoch {epoch}, batch {i}; try a smaller learning rate")
            summary = None
            if i == len(batches):
                summary = totals.means()
                if evaluate is not None:
                    summary |= {f"validation_{k}": x for k, x in evaluate(size, program.state).items()}
                history.append({"epoch": epoch, **summary})
            if progress is not None:
                progress(Progress(epoch, epochs, i, len(batches), metrics, summary))
        if checkpoint is not None:
            checkpoint(result())
    return result()


def _check_call(data: Any, epochs: Any, limits: Any) -> None:
    """Raises TypeError and ValueError for what `fit` cannot take."""
    expect(epochs, int, "epochs", "a whole number")
    expect(data, Mapping, "the data", "a mapping from names to arrays")
    expect_limits(limits)
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; expected 1 or more")


def _examples(
    wanted: Target, data: Arrays, validation: Arrays | float | None, rng: np.random.Generator, note: Callable[[str], object] | None
) -> tuple[Examples, Examples | None]:
    """What to train with, and what to measure with."""
    examples = Examples(wanted, data, "the data", note)
    if validation is None:
        return examples, None
    if isinstance(validation, Mapping):
        return examples, Examples(wanted, validation, "the validation data", note)
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


class _Totals:
    """Means of metrics over batches of several sizes."""

    def __init__(self):
        self.count = 0
        self.sums: dict[str, float] = {}

    def add(self, results: Mapping[str, Any], called: Names, count: int) -> dict[str, float]:
        """Add what a batch gave, and return it as numbers."""
        metrics = {name: float(results[output]) for name, output in called.metrics.items()}
        self.count += count
        for name, x in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + x * count
        return metrics

    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: x / self.count for name, x in self.sums.items()}


class _Evaluation:
    """Measures a model whose outputs are the loss and metrics, as it works outside of training, on examples, with weights as they are."""

    def __init__(self, examples: Examples, measuring: Model, runtime: str | Runtime, limits: Limits | Budget | None):
        for w in [w for w in measuring.graph.weights.values() if w.kind == "default"]:
            measuring.graph.close(w)  # as the step has it
        for w in measuring.weights.values():
            if w.kind == "constant" and w.dtype in FLOATS:
                w.become("state")
        self.examples = examples
        self.called = names(measuring)
        self.program: Program = compile(measuring, runtime, limits=limits)

    def batches(self, size: int) -> int:
        """How many runs it takes to measure."""
        return len(self.examples.batches(size))

    def __call__(self, size: int, state: Mapping[str, Any]) -> dict[str, float]:
        for name in self.program.state:
            if name in state:
                self.program.state[name] = state[name]
        totals = _Totals()
        for count, feeds in self.examples.batches(size, target=self.called.target):
            totals.add(self.program.run(feeds), self.called, count)
        return totals.means()
