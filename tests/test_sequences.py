"""Types and runs of loops that carry sequences, or what changes its shape."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import graphir
from bodies import COUNT, FLAG, body, tensor
from graphir import Graph, Model, Value
from graphir.ops.control import if_, loop, scan
from graphir.ops.elementwise import add, mul
from graphir.ops.index import compress
from graphir.ops.logic import less
from graphir.ops.reduce import reduce_sum
from graphir.ops.sequence import sequence_at, sequence_construct, sequence_empty, sequence_erase, sequence_insert, sequence_length
from graphir.ops.shape import concat, reshape, size, slice_, transpose
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


def test_elements_of_several_sizes_that_a_file_gives_one_name() -> None:
    """As onnx's own inference does; the gradient sums over the axis along which an element was repeated."""
    graph = Graph()
    x, m = graph.input("x", tensor(3)), graph.input("m", COUNT)

    def build(i: Value, go: Value, q: Value, s: Value) -> tuple[Value, ...]:
        longer = sequence_insert(q, slice_(x, [0], reshape(add(mul(i, 2), 1), [1]), [0]))
        return go, longer, add(s, reduce_sum(mul(sequence_at(longer, 0), sequence_at(longer, -1)), keepdims=0))

    start = sequence_empty(graph, dtype="float64")
    made = body(x, [COUNT, FLAG, SequenceType(tensor(None)), tensor()], build)
    _, s = loop(m, None, start, reduce_sum(x, keepdims=0), body=made)
    graph.output(s, "y")
    plain = graphir.dumps(Model(graph), "onnx")
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(plain)).SerializeToString()
    feeds = {"x": np.array([1.5, -0.5, 2.0]), "m": np.asarray(2)}
    for data in (plain, inferred):
        report = graphir.check_gradient(graphir.loads(data), of="y", feeds=feeds)
        assert report.ok, report


def test_what_the_first_try_stumbled_over_is_no_problem() -> None:
    """A sequence that begins empty tells no rank, which Transpose must know; what is said of it does."""
    graph = Graph()
    x, m = graph.input("x", tensor(2, 3)), graph.input("m", COUNT)

    def build(i: Value, go: Value, q: Value) -> tuple[Value, ...]:
        then = body(q, [], lambda: mul(transpose(sequence_at(q, -1), perm=(1, 0)), 2.0))
        (t,) = if_(less(0, i), then_branch=then, else_branch=body(q, [], lambda: transpose(x, perm=(1, 0))))
        return go, sequence_insert(q, transpose(t, perm=(1, 0)))

    (q,) = loop(m, None, sequence_empty(graph, dtype="float64"), body=body(x, [COUNT, FLAG, SequenceType(x.type)], build))
    graph.output(sequence_at(q, -1), "y")
    model = graphir.loads(graphir.dumps(Model(graph), "onnx"))
    assert infer(model) == []
    assert graphir.check_gradient(model, of="y", wrt="x", feeds={"x": np.ones((2, 3)), "m": np.asarray(3)}).ok
