"""Work that several threads do at once, and a model to do it with."""

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from graphir import Graph, Model, TensorType, ops

LONG = bool(os.environ.get("GRAPHIR_LONG"))


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns in each of so many threads, which begin together. Raises what the first of them raised."""
    found: list[Any] = [None] * count
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def one(i: int) -> None:
        start.wait(60)
        try:
            found[i] = work(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * (1 + 99 * LONG))
    assert not any(t.is_alive() for t in threads), "a thread waits for ever"
    if errors:
        raise errors[0]
    return found


def network(seed: int = 0, size: int = 64) -> Model:
    rng = np.random.default_rng(seed)
    graph = Graph("network")
    v = x = graph.input("x", TensorType("float32", ("N", size)))
    for name in "ab":
        v = ops.elementwise.tanh(ops.math.matmul(v, graph.weight(name, rng.standard_normal((size, size)).astype("float32"))))
    graph.output(ops.elementwise.add(ops.elementwise.exp(v), x), "y")
    return Model(graph)
