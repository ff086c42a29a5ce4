"""Budgets: what arrays count, that programs and kernels keep to memory and time, and that verbs do so by default."""

import _thread
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType
from graphir import ops as O
from graphir.budget import Budget, LimitError, Limits
from graphir.cli import limits as cli_limits
from graphir.cli import main
from graphir.ops import OPS, Op
from graphir.ops._bodies import body_in, yields
from graphir.tensors import SparseTensor, Tensor
from graphir_arrays import timed
from graphir_numpy.namespace import xp
from test_ops import ROWS, applied

MB = 10**6

# ---- the account ------------------------------------------------------------------------------------------------------------------------


def test_arrays_count_as_long_as_they_live_and_once() -> None:
    budget = Budget(Limits(memory=10 * MB))
    x = budget.hold(np.zeros(MB, np.uint8))
    views = budget.hold([x[10:], x.reshape(10, -1), {"a": x}])
    assert budget.used == MB
    del x
    budget.room(9 * MB)
    assert budget.used == MB  # the views keep it
    del views
    budget.room(10 * MB)
    assert budget.used == 0


def test_strings_count_and_mapped_files_do_not(tmp_path: Path) -> None:
    budget = Budget(Limits(memory=10 * MB))
    same = "a" * 1000
    kept = [budget.hold(np.array([same] * 100, object)), budget.hold(np.array([f"{i:01000}" for i in range(100)], object))]
    assert budget.used == 2 * 800 + 101 * 1049 and kept
    (tmp_path / "x").write_bytes(bytes(MB))
    budget.hold(np.memmap(tmp_path / "x", np.uint8, "r"))
    budget.hold(np.frombuffer(bytes(MB), np.uint8))
    assert budget.used == 2 * 800 + 101 * 1049


def test_many_small_arrays_take_more_than_their_elements() -> None:
    budget, kept = Budget(Limits(memory=MB)), []
    with pytest.raises(LimitError, match="the limit is 1,000,000"):
        for _ in range(100_000):
            kept.append(budget.hold(np.zeros(1, np.uint8)))
    assert 4000 < len(kept) < 6000


def test_what_is_said() -> None:
    budget = Budget(Limits(memory=1000, trips=1, seconds=1), clock=iter([0.0, 0.5, 0.5, 2.0]).__next__)
    held = budget.hold(np.zeros(500, np.uint8))
    with pytest.raises(LimitError, match=r"makes 501 bytes beside 500 that are in use, and the limit is 1,000; raise the limit on memory"):
        budget.room(501)
    budget.trip()
    with pytest.raises(LimitError, match="bodies ran more than 1 times"):
        budget.trip()
    assert budget.left() == 0.5
    with pytest.raises(LimitError, match="took more than 1 s; raise the limit on seconds"):
        budget.tick()
    assert held.size


# ---- programs ---------------------------------------------------------------------------------------------------------------------------


def loop_of(trips: int, build: Callable[[Graph, Any], Any], first: Callable[[Graph], Any]) -> Graph:
    """A loop that carries a value: build(body, value) makes the next one."""
    graph = Graph("g")
    start = first(graph)
    body = body_in(graph)
    _, go, taken = body.input("i", TensorType("int64", ())), body.input("go", TensorType("bool", ())), body.input("s", start.type)
    with body:
        yields(body, go, build(body, taken))
    graph.output(O.control.loop(trips, True, start, body=body)[0], "y")
    return graph


def growing(element: Callable[[Graph], Any], dtype: str = "float32") -> Graph:
    """A loop that adds an element to a sequence."""
    return loop_of(
        10_000, lambda body, s: O.sequence.sequence_insert(s, element(body)), lambda g: O.sequence.sequence_empty(g, dtype=dtype)
    )


def noise(graph: Graph) -> Any:
    return O.create.random_normal(graph, shape=(100_000,))


def many_outputs() -> Graph:
    graph = Graph("g")
    for i in range(100):
        graph.output(noise(graph), f"y{i}")
    return graph


def stacked_capture() -> Graph:
    """A loop that stacks 10,000 times what it did not make."""
    graph = Graph("g")
    x, body = noise(graph), body_in(graph)
    body.input("i", TensorType("int64", ()))
    with body:
        yields(body, body.input("go", TensorType("bool", ())), x)
    graph.output(O.control.loop(10_000, True, body=body)[0], "y")
    return graph


def scanned() -> Graph:
    graph = Graph("g")
    x, body = O.shape.expand(graph.weight("one", np.ones(1, "float32")), [10_000]), body_in(graph)
    element = body.input("e", TensorType("float32", ()))
    with body:
        yields(body, O.elementwise.add(noise(body), element))
    graph.output(O.control.scan(x, body=body, num_scan_inputs=1)[0], "y")
    return graph


def sparse(count: int) -> Graph:
    graph = Graph("g")
    for i in range(count):
        tensor = SparseTensor(Tensor.of(np.ones(1, "float32")), Tensor.of(np.zeros(1, "int64")), (1000, 1000))
        graph.output(O.elementwise.neg(graph.add_weight(f"w{i}", tensor)), f"y{i}")
    return graph


def late_sizes() -> Graph:
    """Values whose sizes show when they are made, and which all live to the end."""
    graph = Graph("g")
    for i in range(100):
        mask = O.logic.greater(noise(graph), 0.0)
        graph.output(O.index.non_zero(mask), f"y{i}")
    return graph


def strings() -> Graph:
    """Strings that double, 40 times."""
    return loop_of(40, lambda body, s: O.string.string_concat(s, s), lambda g: g.weight("s", np.array(["ab"], object)))


def doubled_tensor() -> Graph:
    def some(graph: Graph) -> Any:
        mask = O.logic.greater(O.create.random_uniform(graph, shape=(1000,)), 0.5)
        return O.index.compress(graph.weight("x", np.ones(1000, "float32")), mask)

    return loop_of(40, lambda body, s: O.shape.concat(s, s, axis=0), some)


BEYOND: dict[str, Callable[[], Graph]] = {
    "a sequence that grows": lambda: growing(noise),
    "a sequence of strings": lambda: growing(lambda body: O.elementwise.cast(noise(body), to="string"), "string"),
    "many outputs": many_outputs,
    "many sparse weights": lambda: sparse(10),
    "outputs of sizes that show late": late_sizes,
    "a loop that stacks what it captures": stacked_capture,
    "a scan that stacks": scanned,
    "strings that double": strings,
    "a tensor that doubles": doubled_tensor,
}  # fmt: skip


@pytest.mark.parametrize("name", BEYOND)
def test_a_run_keeps_to_its_memory_in_all(name: str) -> None:
    limit = 8 * MB
    program_of = BEYOND[name]
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match=r"the limit is 8,000,000; raise the limit on memory"):
            graphir.compile(Model(program_of()), limits=Limits(memory=limit, trips=10**6, seconds=60)).run({})
        assert tracemalloc.get_traced_memory()[1] < 4 * limit
    finally:
        tracemalloc.stop()


def test_what_a_run_lets_go_is_free_again() -> None:
    graph = loop_of(100, lambda body, s: O.elementwise.add(s, 1.0), lambda g: O.shape.reshape(noise(g), [-1]))
    program = graphir.compile(Model(graph), limits=Limits(memory=2 * MB))  # each array takes 400 kB
    for _ in range(5):
        assert program.run({})["y"].shape == (100_000,)
    assert program._budget.used < 2 * MB  # pyright: ignore[reportAttributeAccessIssue]


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, "float32")


LONG: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "product": ("MatMul", [ones(5000, 5000), ones(5000, 5000)], {}),
    "product of integers": ("MatMul", [np.ones((1500, 1500), "int32")] * 2, {}),
    "products": ("MatMul", [ones(2000, 200, 200), ones(200, 200)], {}),
    "gemm": ("Gemm", [ones(5000, 5000), ones(5000, 5000)], {}),
    "sum of products": ("Einsum", [ones(70, 70, 70)] * 4, {"equation": "abc,ade,bdf,cef->"}),
    "convolution": ("Conv", [ones(1, 1, 600, 600), ones(1, 1, 200, 200)], {"pads": (100,) * 4}),
    "transposed convolution": ("ConvTranspose", [ones(1, 1, 400, 400), ones(1, 1, 300, 300)], {}),
    "pool": ("AveragePool", [ones(1, 1, 3000, 3000)], {"kernel_shape": (1500, 1500)}),
    "recurrence": ("LSTM", [ones(50_000, 1, 8), ones(1, 32, 8), ones(1, 32, 8)], {"hidden_size": 8}),
    "boxes": ("NonMaxSuppression", [np.random.default_rng(0).random((1, 40_000, 4), "float32"), np.random.default_rng(0).random((1, 1, 40_000), "float32"), np.array(40_000), np.array(0.99, "float32")], {}),
    "attention": ("Attention", [ones(1, 16, 4000, 64)] * 3, {}),
    "quantized convolution": ("ConvInteger", [np.ones((1, 32, 256, 256), "uint8"), np.ones((32, 32, 15, 15), "uint8")], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_the_clock_is_looked_at_inside_of_kernels(name: str) -> None:
    op, arrays, attributes = LONG[name]
    graph = Graph("g")
    made: Any = OPS["", op](*(graph.input(f"x{i}", TensorType(x.dtype, x.shape)) for i, x in enumerate(arrays)), **attributes)
    graph.output(made[0] if isinstance(made, tuple) else made, "y")
    program = graphir.compile(Model(graph), limits=Limits(seconds=0.05))
    before = time.perf_counter()
    with pytest.raises(LimitError, match=rf"node .*{op}.*: the work took more than 0.05 s; raise the limit on seconds"):
        program.run({f"x{i}": x for i, x in enumerate(arrays)})
    assert time.perf_counter() - before < 5  # the whole takes from 2 s to minutes; a block some tenths of one, on a quiet machine


def test_compiling_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", ("N",)))
    for _ in range(3000):
        x = O.elementwise.neg(x)
    graph.output(x, "y")
    with pytest.raises(LimitError, match="took more than"):
        graphir.compile(Model(graph), limits=Limits(seconds=0.001))


# ---- blocks -----------------------------------------------------------------------------------------------------------------------------

PRODUCTS = [
    ((50, 60), (60, 70)), ((3, 50, 60), (60, 70)), ((100, 5, 6), (100, 6, 7)), ((50, 6, 7), (7, 8)), ((1, 50, 6), (40, 6, 7)),
    ((2, 30, 5, 6), (30, 6, 7)), ((5, 6), (40, 6, 7)), ((200, 1, 5, 6), (3, 6, 7)), ((60,), (60, 70)), ((0, 6), (6, 7)),
]  # fmt: skip
SUMS = [
    ("abc,ade,bdf,cef->", [(8, 9, 10), (8, 7, 6), (9, 7, 5), (10, 6, 5)]), ("ij,jk", [(20, 30), (30, 40)]), ("ii->i", [(30, 30)]),
    ("ij,jk,kl->il", [(20, 30), (30, 40), (40, 5)]), ("bij,bjk->bik", [(1, 20, 30), (6, 30, 4)]), ("ij->", [(40, 50)]),
    ("i,j->ij", [(50,), (60,)]), ("ab,ab->", [(40, 50), (40, 50)]), ("iij,jk->ik", [(9, 9, 20), (20, 30)]), ("ij->ji", [(50, 40)]),
    ("...ij,...jk->...ik", [(3, 20, 30), (3, 30, 4)]), ("a,a,b->ab", [(20,), (20,), (30,)]), ("ba", [(40, 50)]),
]  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> timed.Timed:
    monkeypatch.setattr(timed, "BLOCK", 1000)
    monkeypatch.setattr(timed, "PAIR", 700)
    monkeypatch.setattr(timed, "SLOW", 500)
    return timed.Timed(xp, Budget(Limits(seconds=1000)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_products_in_blocks_are_the_products(shapes: Any, dtype: str, small_blocks: timed.Timed) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 9, shape).astype(dtype) for shape in shapes)  # whole numbers, whose sums are exact
    whole = a @ b
    found, out = small_blocks.matmul(a, b), np.empty_like(whole)
    assert found.dtype == whole.dtype and np.array_equal(found, whole)
    assert small_blocks.matmul(a, b, out=out) is out and np.array_equal(out, whole)


@pytest.mark.parametrize(("equation", "shapes"), SUMS, ids=[e for e, _ in SUMS])
def test_sums_of_products_in_blocks_are_the_sums(equation: str, shapes: Any, small_blocks: timed.Timed) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-3, 4, shape).astype("float64") for shape in shapes]
    path = np.einsum_path(equation, *inputs, optimize="greedy")[0]
    assert np.array_equal(small_blocks.einsum(equation, *inputs, optimize=path), np.einsum(equation, *inputs))


@pytest.mark.parametrize("op", [op for op in OPS.values() if not op.random], ids=str)
def test_kernels_are_the_same_under_limits(op: Op) -> None:
    for row in ROWS[op.name][:3]:
        graph, feeds = applied(op, row, row.arrays(), constant=True)
        free, bound = (graphir.compile(Model(graph), limits=limits).run(feeds) for limits in (None, Limits(10**9, 10**4, 60)))
        assert {name: kinds(x) for name, x in bound.items()} == {name: kinds(x) for name, x in free.items()}


def kinds(x: Any) -> Any:
    """A result as what can be compared to the bit."""
    if isinstance(x, np.ndarray):
        return str(x.dtype), x.shape, x.tobytes() if x.dtype.kind != "O" else x.tolist()
    return [kinds(y) for y in x] if isinstance(x, list) else x


# ---- verbs ------------------------------------------------------------------------------------------------------------------------------


def test_limits_follow_the_files_unless_they_are_given() -> None:
    found = cli_limits.VerbBudget(None, 7, None)
    assert found.limits == cli_limits.BASE._replace(trips=7)
    found.reads(100 * MB)
    assert found.limits == Limits(memory=(512 << 20) + 800 * MB, trips=7, seconds=203.0)
    given = cli_limits.VerbBudget(5, 7, 0.5)
    given.reads(100 * MB)
    assert given.limits == Limits(5, 7, 0.5)


def call(code: str, tmp_path: Path) -> tuple[int, str, float]:
    """Exit status, errors and seconds of a verb whose work is this code."""
    text = f"import sys, time, click, numpy as np\nimport graphir.cli as cli\nfrom graphir.cli.limits import limit_options\n@cli.graphir.command()\n@limit_options\ndef work(budget):\n    {code}\nsys.exit(cli.main(['work', *sys.argv[1:]]))"
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", text, "--limit-seconds", "0.5", "--limit-memory", "100M"], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=os.environ
    )  # fmt: skip
    return done.returncode, done.stderr, time.perf_counter() - before


WORK = {
    "Python that does not end": ("while True: pass", "the work took more than 0.5 s; --limit-seconds raises it"),
    "a call that does not end": (
        "np.linalg.eig(np.random.default_rng(0).random((1600, 1600)))",
        "the work took more than 0.5 s; --limit-seconds raises it",
    ),
    "memory at once": ("np.ones(10**9)", "it takes more memory than there is; the limit is 100,000,000 bytes; --limit-memory raises it"),
    "memory bit by bit": ("x = [np.ones(10**6) for _ in range(10**4)]", "it takes more memory than there is; the limit is 100,000,000"),
    "lists": ("x = [[i] for i in range(10**9)]", "the limit is 100,000,000 bytes" if sys.platform == "linux" else ""),
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound memory")
@pytest.mark.parametrize("name", WORK)
def test_a_verb_is_stopped_whatever_it_does(name: str, tmp_path: Path) -> None:
    code, said = WORK[name]
    status, err, seconds = call(code, tmp_path)
    assert (status, err.count("\n")) == (1, 1), err
    assert err.startswith("error: ") and (said in err or "the work took more than" in err)
    assert seconds < 20


def test_a_verb_leaves_the_bounds_of_the_process_as_they_were(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    graphir.save(Model(Graph("g")), tmp_path / "m.onnx")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert main(["info", str(tmp_path / "m.onnx")]) == 0
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("error", [None, ValueError("its own")], ids=["a result", "an error"])
def test_time_that_is_up_as_the_work_ends(error: Exception | None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The interrupt comes when the work is done already: it is told as any other, and nothing ends the process afterwards."""
    ended: list[int] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    begun, interrupt = threading.Event(), _thread.interrupt_main
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr(cli_limits, "GRACE", 0.1)
    monkeypatch.setattr("_thread.interrupt_main", lambda: (begun.set(), time.sleep(0.1), interrupt()))

    def work() -> None:
        assert begun.wait(10)
        if error is not None:
            raise error

    with pytest.raises(LimitError, match="the work took more than"):
        cli_limits._guarded(cli_limits.VerbBudget(None, 1, 0.01), work)
    time.sleep(0.3)
    assert not ended
