"""Threads: in one program they take turns; each in its own, and loading, compiling and differentiating at once, they do not meet.

GRAPHIR_LONG=1 in the environment runs as often as it takes to believe it, which takes minutes.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
import graphir.plugins
from crowd import LONG, at_once, network
from graphir import Graph, Model, TensorType, ops, training
from graphir.ops._op import T, op
from graphir.ops._types import FLOAT
from graphir.turns import ReentryError

RUNTIMES = ("numpy", "onnxruntime")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def counter() -> Model:
    """y is how many runs there were, as a state has it, in every element of a vector: a state that two runs read would show as a number twice."""
    graph = Graph("counter")
    n = graph.weight("n", np.zeros(500, np.float32), "state")
    more = ops.elementwise.add(n, 1.0)
    graph.output(more, "y")
    model = Model(graph)
    model.update(n, more)
    return model


# ---- one program --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_four_threads_in_one_program(runtime: str) -> None:
    program = graphir.compile(network(), runtime)
    feeds = [{"x": RNG.standard_normal((n, 64)).astype("float32")} for n in (64, 64, 64, 7)]
    expected = [graphir.compile(network(), runtime).run(f)["y"] for f in feeds]

    def work(i: int) -> int:
        return sum(not np.array_equal(program.run(feeds[i])["y"], expected[i]) for _ in range(5000 if LONG else 300))

    assert at_once(4, work) == [0] * 4


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_state_moves_run_by_run(runtime: str) -> None:
    """Runs, reads, writes of another's value and clones meet nothing half done, and no run is lost."""
    program, runs = graphir.compile(counter(), runtime), 200

    def work(i: int) -> list[float]:
        seen = []
        for _ in range(runs):
            y = (program.run({})["y"], program.run({})["y"], program.state["n"], program.clone().run({})["y"])[i]
            assert np.ptp(y) == 0
            seen.append(float(y[0]))
        return seen

    found = at_once(4, work)
    assert len({*found[0], *found[1]}) == 2 * runs, "two runs began with one state"
    assert all(seen == sorted(seen) for seen in found)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_fetches_and_shapes_change_between_threads(runtime: str) -> None:
    """More of both than are remembered, so that plans are dropped while another thread looks for one."""
    program = graphir.compile(network(size=4), runtime)
    names = ["tanh", "matmul", "exp", "y", "a", "b"]

    def work(i: int) -> None:
        for k in range(60):
            x = np.full((k % 23 + 1, 4), i, np.float32)
            name = names[(i + k) % len(names)]
            assert program.run({"x": x}, [name, "x"])["x"].shape == x.shape

    at_once(4, work)


def test_random_numbers_of_a_run() -> None:
    """`runs` counts each run once, and the numbers are those of that run."""
    graph = Graph("random")
    graph.output(ops.create.random_uniform(graph, shape=(50,)), "y")
    alone, together = graphir.compile(Model(graph), seed=7), graphir.compile(Model(graph), seed=7)
    expected = {alone.run({})["y"].tobytes() for _ in range(80)}
    found = [y for ys in at_once(4, lambda i: [together.run({})["y"].tobytes() for _ in range(20)]) for y in ys]
    assert set(found) == expected and together.runs == 80  # pyright: ignore[reportAttributeAccessIssue]


# ---- entered twice ------------------------------------------------------------------------------------------------------------------

INSIDE: dict[str, Callable[[], Any]] = {}


@op("Callback", since=1, domain="com.example", T=FLOAT)
def callback(x: T) -> TensorType:
    """The identity, which calls what a test wants called."""
    return x.type


@callback.kernel
def _callback(xp: Any, x: Any) -> Any:
    INSIDE["call"]()
    return x + 0


def calling() -> Any:
    graph = Graph("calling")
    x = graph.input("x", TensorType("float32", (2,)))
    w = graph.weight("w", np.zeros(2, np.float32), "state")
    y = ops.elementwise.add(callback(x), w)
    graph.output(y, "y")
    model = Model(graph)
    model.update(w, y)
    return graphir.compile(model)


ENTRIES: dict[str, Callable[[Any], Any]] = {
    "run": lambda p: p.run({"x": np.ones(2, np.float32)}),
    "fetch": lambda p: p.run({"x": np.ones(2, np.float32)}, ["w"]),
    "read state": lambda p: p.state["w"],
    "all of the state": lambda p: dict(p.state),
    "set state": lambda p: p.state.__setitem__("w", np.ones(2, np.float32)),
    "clone": lambda p: p.clone(),
    "read runs": lambda p: p.runs,
    "set runs": lambda p: setattr(p, "runs", 3),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_who_is_inside_does_not_enter_again(entry: str) -> None:
    """It is told so, and what follows runs as if nothing had been."""
    program = calling()
    INSIDE["call"] = lambda: ENTRIES[entry](program)
    for _ in range(2):
        with pytest.raises(ReentryError, match=r"inside of it already.*program\.clone\(\) makes one"):
            program.run({"x": np.ones(2, np.float32)})
    INSIDE["call"] = lambda: None
    assert program.run({"x": np.ones(2, np.float32)})["y"].tolist() == [1, 1]
    ENTRIES[entry](program)


def test_what_is_inside_may_use_a_clone() -> None:
    program = calling()
    other = program.clone()
    depth = [0]

    def call() -> None:
        depth[0] += 1
        if depth[0] == 1:
            assert other.run({"x": np.ones(2, np.float32)})["y"].tolist() == [1, 1]

    INSIDE["call"] = call
    assert program.run({"x": np.full(2, 3, np.float32)})["y"].tolist() == [3, 3]


class Feeds(Mapping[str, Any]):
    """Feeds that look into another program."""

    def __init__(self, program: Any):
        self.program = program

    def __getitem__(self, name: str) -> Any:
        return self.program.state["n"]

    def __iter__(self) -> Iterator[str]:
        return iter(["x"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_programs_that_feed_each_other(runtime: str) -> None:
    """No two of them wait for each other, and a program may be fed its own state."""
    graph = Graph("fed")
    x = graph.input("x", TensorType("float32", (3,)))
    n = graph.weight("n", np.ones(3, np.float32), "state")
    y = ops.elementwise.add(x, n)
    graph.output(y, "y")
    model = Model(graph)
    model.update(n, ops.elementwise.mul(n, 1.0))
    a, b = graphir.compile(model, runtime), graphir.compile(model, runtime)
    pairs = [(a, b), (b, a), (a, a), (b, b)]

    def work(i: int) -> None:
        for _ in range(50):
            assert pairs[i][0].run(Feeds(pairs[i][1]))["y"].tolist() == [2, 2, 2]

    at_once(4, work)


# ---- programs, models and files at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_clones_run_at_once(runtime: str) -> None:
    """They share constants, and nothing that is written to; one that has yet to plan may share what another has planned."""
    program = graphir.compile(network(), runtime)
    x = RNG.standard_normal((64, 64)).astype("float32")
    expected = [graphir.compile(network(), runtime).run({"x": x * i})["y"] for i in range(4)]

    def work(i: int) -> None:
        mine = program.clone()
        for _ in range(20):
            assert np.array_equal(mine.run({"x": x * i})["y"], expected[i])
            assert mine.run({"x": x[: i + 1]}, ["tanh", "exp"])["exp"].shape == (i + 1, 64)

    at_once(4, work)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_limits_are_each_clones_own(runtime: str) -> None:
    """What one clone uses, and when it began, counts for no other; what it brings is counted once."""
    limits = graphir.plugins.Limits(memory=2**22, trips=5, seconds=30)
    program = graphir.compile(network(), runtime, limits=limits)
    x = RNG.standard_normal((64, 64)).astype("float32")
    expected = program.run({"x": x})["y"]

    def work(i: int) -> None:
        mine = program.clone()
        for _ in range(40):
            assert np.array_equal(mine.run({"x": x})["y"], expected)

    at_once(4, work)
    assert np.array_equal(program.run({"x": x})["y"], expected)


def test_random_numbers_follow_the_seed_of_each() -> None:
    """ONNX Runtime has one seed for all sessions."""
    graph = Graph("random")
    graph.output(ops.create.random_normal(graph, shape=(8,)), "y")

    def draw(i: int) -> bytes:
        return graphir.compile(Model(graph), "onnxruntime", seed=i).run({})["y"].tobytes()

    expected = [draw(i) for i in range(4)]
    for _ in range(5):
        assert at_once(4, draw) == expected


VERBS: dict[str, Callable[[Model], Any]] = {
    "show": str,
    "write .gir": lambda m: graphir.dumps(m, "gir"),
    "write .onnx": lambda m: graphir.dumps(m, "onnx"),
    "run": lambda m: graphir.compile(m).run({"x": np.ones((2, 8), np.float32)}, ["tanh"])["tanh"].tobytes(),
    "run on ONNX Runtime": lambda m: graphir.compile(m, "onnxruntime").run({"x": np.ones((2, 8), np.float32)}, ["tanh"])["tanh"].tobytes(),
    "differentiate": lambda m: str(graphir.gradient(m, ties="even")) + str(graphir.gradient(m)),
    "differentiate twice": lambda m: str(graphir.gradient(graphir.gradient(m), of="d_a", wrt="a")),
    "derive forward": lambda m: str(graphir.jvp(m, wrt="x")),
    "train": lambda m: str(training.step(m, loss="mean_squared_error", target="t")),
}


@pytest.mark.parametrize("verb", VERBS)
def test_one_model_in_four_threads(verb: str) -> None:
    """Whoever reads a model leaves it as it is, and finds what one alone finds. A model that was just built has values that take their names only now."""
    work = VERBS[verb]
    expected = work(branching())
    for _ in range(5):
        model = branching()
        assert at_once(4, lambda i: work(model)) == [expected] * 4  # noqa: B023  # the threads end within the iteration


def branching() -> Model:
    """The network with a Max behind it, which shares its gradient as `ties` says."""
    model = network(size=8)
    y = model.outputs[0]
    model.graph.outputs = [ops.elementwise.max_(y, ops.elementwise.mul(ops.reduce.reduce_max(y, [1]), 0.5))]
    return model


START = """
import sys, threading
sys.setswitchinterval(1e-5)
start, found = threading.Barrier(4), []
def work(i):
    start.wait()
    import numpy, graphir
    model = graphir.load(sys.argv[1 + i % 2])
    gradient = graphir.gradient(model, wrt="*")
    feeds = {v.name: numpy.ones([n if isinstance(n, int) else 2 for n in v.shape], v.dtype) for v in gradient.inputs}
    results = graphir.compile(gradient).run(feeds)
    assert all(numpy.isfinite(x).all() for x in results.values())
    found.append((i % 2, str(gradient), [x.tobytes() for x in results.values()], graphir.dumps(gradient, "onnx")))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
found.sort(key=lambda x: x[0])
assert len(found) == 4 and found[0] == found[1] and found[2] == found[3]
"""


@pytest.mark.parametrize("attempt", range(20 if LONG else 2))
def test_the_first_that_a_process_does(attempt: int) -> None:
    """Modules, tables and caches are made by whoever comes first, and four come."""
    files = [str(Path(__file__).parent.parent / "models" / name) for name in ("digits_cnn.onnx", "digits_mlp.onnx")]
    done = subprocess.run([sys.executable, "-c", START, *files], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_tensor_is_read_by_all_who_come_first(tmp_path: Path) -> None:
    graphir.save(network(), tmp_path / "m.gir")
    for _ in range(30):
        model = graphir.load(tmp_path / "m.gir")
        at_once(4, lambda i: [w.tensor.array.sum() for w in model.weights.values()])  # noqa: B023  # pyright: ignore[reportAttributeAccessIssue]
