"""Every kernel, gradient and training step on CuPy's runtime, over a stand-in that refuses what CuPy refuses; and over CuPy itself where there is a GPU."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import graphir
import graphir_cupy
import strict
from cases import Case
from graphir import Model, training
from test_gradients import KINKS, Problem, _differentiable
from test_ops import BY_NAME, EVERY_ROW, _check_close, applied
from test_training import batch, convolutional, small

STAND_IN: Any = graphir_cupy.CupyRuntime(strict.libraries)
ROWS: dict[str, list[Case]] = {}
for p in EVERY_ROW:
    ROWS.setdefault(p.values[0], []).append(p.values[1])  # pyright: ignore[reportArgumentType]

# Ops that wait for the device in the middle of a run: what they ask it (besides a transfer, which is a node of its own), and why.
WAITS: dict[str, tuple[set[str], str]] = {
    "MaxRoiPool": ({"bool", "int"}, "the bounds of a region say what is read"),
    "NonZero": ({"nonzero", "bool"}, "what it finds is the shape"),
    "OneHotEncoder": ({"bool"}, "with zeros=0 what is no category is an error at once"),
    "RoiAlign": ({"bool", "int", "unique", "tolist", "nonzero"}, "the size of a region says at how many places it is read"),
    "TopK": ({"nonzero"}, "of whole numbers the few largest are found without a sort of all"),
}


def gpu() -> Any:
    """CuPy's own runtime. Skips where it cannot run."""
    reason = graphir_cupy.runtime.unavailable()
    if reason is not None:
        pytest.skip(reason)
    return graphir_cupy.runtime


def problems_of(runtime: Any, name: str) -> list[str]:
    """What goes wrong with the rows of an op, each with its operands such as shapes and axes fed, and, where it has any, known."""
    found = []
    for i, row in enumerate(ROWS[name]):
        arrays = row.arrays()
        operands = any(isinstance(x, np.ndarray) and x.dtype.kind in "iub" and x.ndim <= 1 for x in arrays)
        for constant in (False, True)[: 1 + operands]:
            try:
                _compare(runtime, name, row, arrays, constant)
            except Exception as e:  # all rows are tried, and what failed is told together
                found.append(f"{name}-{i}, operands {'known' if constant else 'fed'}: {type(e).__name__}: {e}")
    return found


def _compare(runtime: Any, name: str, row: Case, arrays: list[Any], constant: bool) -> None:
    op = BY_NAME[name]
    graph, feeds = applied(op, row, arrays, constant)
    model = Model(graph)
    expected = graphir.compile(model).run(feeds)
    with strict.counted() as waits:
        made = graphir.compile(model, runtime, outputs="device").run(feeds)
    assert waits.keys() <= {"get"} | WAITS.get(name, (set(), ""))[0], (
        f"it waits for the device: {dict(waits)}; name the input that is read in graphir_arrays/place.py, or the op in WAITS"
    )
    for key, want in expected.items():
        got = _on_host(runtime, made[key])
        if op.random:
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
        else:
            _same_dtype(got, want)
            _check_close(got, want, max(row.tolerance, 1e-6))


def _on_host(runtime: Any, x: Any) -> Any:
    if isinstance(x, list):
        return [_on_host(runtime, y) for y in x]
    return x if x is None or isinstance(x, dict) else runtime.xp.to_numpy(x)


def _same_dtype(got: Any, want: Any) -> None:
    if isinstance(want, list):
        for g, w in zip(got, want, strict=True):
            _same_dtype(g, w)
    elif hasattr(want, "dtype"):
        assert got.dtype == want.dtype


@pytest.mark.parametrize("name", ROWS)
def test_kernels_on_the_stand_in(name: str) -> None:
    with np.errstate(all="ignore"):
        assert not problems_of(STAND_IN, name)


@pytest.mark.gpu
def test_kernels_on_a_gpu() -> None:
    runtime = gpu()
    assert not [line for name in ROWS for line in problems_of(runtime, name)]


def test_waits_are_real() -> None:
    """What WAITS says of an op happens in one of its rows."""
    for name, (kinds, _) in WAITS.items():
        seen: set[str] = set()
        for row in ROWS[name]:
            graph, feeds = applied(BY_NAME[name], row, row.arrays(), False)
            model = Model(graph)
            with strict.counted() as waits:
                graphir.compile(model, STAND_IN, outputs="device").run(feeds)
            seen |= set(waits)
        assert kinds <= seen, f"{name} asks {seen}"


# ---- gradients ------------------------------------------------------------------------------------------------------------------------

FEW = 2  # rows of each op whose gradients are tried


def _problems(name: str) -> Iterator[Problem]:
    """The first differentiable rows of an op, in float64, with the derivative of a loss along a direction."""
    tried = 0
    for i, row in enumerate(ROWS[name]):
        if tried < FEW and (name, i) not in KINKS and _differentiable(name, row):
            problem = Problem(BY_NAME[name], row, "operands")
            if problem.inputs and problem.first is not None:
                tried += 1
                yield problem


def check_gradients(runtime: Any, name: str) -> None:
    """First derivatives are those of the NumPy runtime, for the same graph."""
    for problem in _problems(name):
        assert problem.first is not None
        problem.graph.outputs = [problem.loss, problem.first]
        model = Model(problem.graph)
        expected, made = (graphir.compile(model, r).run(problem.feeds) for r in ("numpy", runtime))
        for key, want in expected.items():
            np.testing.assert_allclose(made[key], want, rtol=1e-9, atol=1e-9)


DIFFERENTIABLE = [name for name in ROWS if BY_NAME[name].gradient_rule is not None or BY_NAME[name].decomposition is not None]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_on_the_stand_in(name: str) -> None:
    with np.errstate(all="ignore"):
        check_gradients(STAND_IN, name)


@pytest.mark.gpu
def test_gradients_on_a_gpu() -> None:
    runtime = gpu()
    for name in DIFFERENTIABLE:
        check_gradients(runtime, name)


# ---- training -------------------------------------------------------------------------------------------------------------------------

STEPS: dict[str, Any] = {
    "adam": lambda: training.step(small(), loss="cross_entropy", optimizer=training.adam(0.01)),
    "sgd": lambda: training.step(small(), loss="cross_entropy", optimizer=training.sgd(0.1, momentum=0.9)),
    "convolutional": lambda: training.step(_without_dropout(), loss="cross_entropy", optimizer=training.adam(0.01)),
}


def _without_dropout() -> Model:
    """The convolutional network, of which random numbers are not the same on a GPU."""
    model = convolutional()
    for node in model.graph.edit():
        if node.op.name == "Dropout":
            model.graph.replace_uses(node.outputs[0], node.inputs[0])  # pyright: ignore[reportArgumentType]
            model.graph.drop(node)
    return model


def check_training(runtime: Any, name: str) -> None:
    """Three steps give the losses and the weights of the NumPy runtime."""
    step = STEPS[name]()
    here, there = graphir.compile(step), graphir.compile(step, runtime)
    for seed in range(3):
        feeds = batch(step, seed=seed)
        expected, made = here.run(feeds), there.run(feeds)
        for key, want in expected.items():
            np.testing.assert_allclose(made[key], want, rtol=1e-4, atol=1e-5)
    for address in here.state:
        np.testing.assert_allclose(there.state[address], here.state[address], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", STEPS)
def test_training_on_the_stand_in(name: str) -> None:
    check_training(STAND_IN, name)


@pytest.mark.gpu
def test_training_on_a_gpu() -> None:
    runtime = gpu()
    for name in STEPS:
        check_training(runtime, name)


def test_a_training_step_waits_once() -> None:
    """Weights, their updates and the batch stay on the device; the labels that were checked there are asked for once, when the step is done."""
    step = STEPS["adam"]()
    program = graphir.compile(step, STAND_IN, outputs="device")
    feeds = {k: STAND_IN.xp.asarray(x) for k, x in batch(step).items()}
    program.run(feeds)
    with strict.counted() as waits:
        made = program.run(feeds)
    assert dict(waits) == {"get": 1}
    assert all(isinstance(x, strict.Array) for x in (*made.values(), *program.state.values()))
