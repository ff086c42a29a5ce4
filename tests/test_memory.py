"""The collector's pause where threads meet in it, and memory: flat over runs, shapes and loads.

GRAPHIR_LONG=1 in the environment: 10,000 runs, 1,000 shapes, 4,000 loads, which takes minutes.
"""

import gc
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
import graphir.collector
from crowd import LONG, at_once, network

# ---- the collector ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_it_was(was_on: bool) -> None:
    def work(i: int) -> None:
        for _ in range(300):
            with graphir.collector.collector_paused(), graphir.collector.collector_paused():
                assert not gc.isenabled()

    try:
        (gc.enable if was_on else gc.disable)()
        at_once(4, work)
        assert gc.isenabled() is was_on
        with pytest.raises(KeyError), graphir.collector.collector_paused():
            raise KeyError
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


def test_pauses_without_a_gap_leave_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread stays inside, another comes and goes, and each time leaves behind a ring that only a collection frees."""
    monkeypatch.setattr(graphir.collector, "MANY", 1000)
    inside, done = threading.Event(), threading.Event()

    class Ring:
        alive = 0

        def __init__(self):
            self.ring, Ring.alive = self, Ring.alive + 1

        def __del__(self):
            Ring.alive -= 1

    def stay() -> None:
        with graphir.collector.collector_paused():
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=stay, daemon=True)
    thread.start()
    inside.wait(60)
    try:
        for _ in range(100):
            with graphir.collector.collector_paused():
                for _ in range(100):
                    Ring()
            assert Ring.alive < 2000
    finally:
        done.set()
        thread.join()
    gc.collect()


# ---- memory -------------------------------------------------------------------------------------------------------------------------


def many_runs(path: Path, runs: int, shapes: int, loads: int) -> Iterator[Callable[[], Any]]:
    """What is done over and over: runs of one program, runs of as many shapes, loads with a compile and a run each, all in four threads."""
    program = graphir.compile(graphir.load(path))
    x = np.ones((shapes, 8), np.float32)
    yield lambda: at_once(4, lambda i: [program.run({"x": x[:5]}) for _ in range(runs // 4)])
    yield lambda: at_once(4, lambda i: [program.run({"x": x[: k + 1]}) for k in range(i, shapes, 4)])
    ort = graphir.compile(graphir.load(path), "onnxruntime")
    yield lambda: at_once(4, lambda i: [ort.run({"x": x[: k + 1]}) for k in range(i, shapes, 4)])
    yield lambda: at_once(4, lambda i: [graphir.compile(graphir.load(path)).run({"x": x[:2]}) for _ in range(loads // 4)])


def resident() -> int:
    """Bytes that the process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux how much memory the process has")
def test_memory_is_flat(tmp_path: Path) -> None:
    """The second time takes no more than the first left behind, but for what an allocator keeps."""
    graphir.save(network(size=8), tmp_path / "m.onnx")
    counts = (10_000, 1_000, 4_000) if LONG else (400, 60, 40)
    for i, work in enumerate(many_runs(tmp_path / "m.onnx", *counts)):
        work()
        gc.collect()
        before = resident()
        work()
        gc.collect()
        grown = (resident() - before) / 2**20
        print(f"{i}: {grown:+.1f} MB")
        assert grown < 8, i
