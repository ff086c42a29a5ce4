"""Types and runs of loops that carry sequences, or what changes its shape."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from bodies import COUNT, FLAG, body, tensor
from graphir import Graph, Model, Value
from graphir.ops.control import loop, scan
from graphir.ops.elementwise import add, mul
from graphir.ops.index import compress
from graphir.ops.logic import less
from graphir.ops.sequence import sequence_at, sequence_construct, sequence_empty, sequence_erase, sequence_insert, sequence_length
from graphir.ops.shape import concat, size
from graphir.passes.infer import infer
from graphir.types import SequenceType


def run(graph: Graph, *outputs: Value, **feeds: Any) -> list[Any]:
    """What the compiled graph makes of these feeds."""
    for v in outputs:
        graph.output(v)
    return list(graphir.compile(Model(graph)).run(feeds).values())


def test_loops_in_loops_are_typed_in_time() -> None:
    """Each needs two rounds, but those in it do not start anew in the second: 24 would take 2**24."""
    graph = Graph()
    x, m = graph.input("x", tensor("N")), graph.input("m", COUNT)

    def nested(depth: int) -> Callable[..., tuple[Value, ...]]:
        def step(i: Value, go: Value, s: Value) -> tuple[Value, ...]:
            t = concat(s, x, axis=0)
            return go, loop(m, None, t, body=body(s, [COUNT, FLAG, tensor(None)], nested(depth - 1)))[0] if depth else t

        return step

    (y,) = loop(m, None, x, body=body(x, [COUNT, FLAG, tensor(None)], nested(24)))
    graph.output(y, "y")
    start = time.perf_counter()
    infer(Model(graph))
    assert time.perf_counter() - start < 20


def test_a_sequence_that_is_read_before_it_grows() -> None:
    """What the builder says of its elements holds, where the type of an empty sequence does not tell."""
    graph = Graph()
    x = graph.input("x", tensor(3))

    def build(i: Value, go: Value, q: Value, s: Value) -> tuple[Value, ...]:
        inner = body(s, [COUNT, FLAG, x.type], lambda j, go, t: (go, mul(sequence_at(q, j), t)))
        (t,) = loop(sequence_length(q), None, s, body=inner)
        return go, sequence_insert(q, t), t

    made = body(x, [COUNT, FLAG, SequenceType(x.type), x.type], build)
    q, s = loop(2, None, sequence_empty(graph, dtype="float64"), x, body=made)
    assert infer(Model(graph)) == []
    assert [str(q.type), str(s.type)] == ["sequence(float64[3])", "float64[3]"]


@pytest.mark.parametrize("declared", ("N", "N1", 3), ids=str)
def test_what_a_file_says_of_the_elements_does_not_keep_types_from_settling(declared: Any) -> None:
    """What each trip inserts is of another size than the file says that the sequence holds."""
    graph = Graph()
    x = graph.input("x", tensor("N"))
    made = body(
        x,
        [COUNT, FLAG, SequenceType(tensor(declared))],
        lambda i, go, q: (go, sequence_insert(sequence_erase(q, 0), add(concat(x, x, axis=0), 1.0))),
    )
    (grown,) = loop(2, None, sequence_construct(x, x), body=made)
    graph.output(sequence_at(grown, -1), "y")
    loaded = graphir.loads(graphir.dumps(Model(graph), "onnx"))
    assert loaded.outputs[0].rank == 1 and str(loaded.outputs[0].shape[0]) not in ("N", "N1", "3")


def test_a_sequence_of_known_numbers_that_a_loop_replaces() -> None:
    graph = Graph()
    x = graph.input("x", tensor(3))

    def build(i: Value, go: Value, q: Value) -> tuple[Value, ...]:
        return go, sequence_insert(q, add(i, 10)), sequence_at(q, -1)

    start = sequence_construct(size(x))  # known to be 3
    _, seen = loop(3, None, start, body=body(x, [COUNT, FLAG, SequenceType(COUNT)], build))
    (made,) = run(graph, seen, x=np.ones(3, "float64"))
    assert made.tolist() == [3, 10, 11]


def test_what_a_scan_stacks_has_one_shape() -> None:
    graph = Graph()
    x = graph.input("x", tensor("N"))
    made = body(x, [tensor()], lambda a: (compress(x, less(x, a), axis=0),))
    with pytest.raises(Exception, match=r"a scan output has shape \[1\] on trip 1, and had \[0\]; expected one shape"):
        run(graph, *scan(x, body=made, num_scan_inputs=1), x=np.arange(3, dtype="float64"))
