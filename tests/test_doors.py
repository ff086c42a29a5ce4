"""What callers hand in by mistake is said at the door: what was found, what was expected, what to do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, ops, training
from graphir.passes.rematerialize import peak_bytes, rematerialize
from graphir.plugins import LimitError, Limits
from graphir.verify import verify
from samples import small

X = TensorType("float32", ("N", 4))
A_MODEL = "expected a Model; graphir.load('m.onnx') reads one"


def linear(rows: int = 4) -> Model:
    """x @ w, on weights of this many rows: 4 fit."""
    graph = Graph("linear")
    x, w = graph.input("x", X), graph.weight("w", np.ones((rows, 3), np.float32))
    node = graph.append(ops.OPS["", "MatMul"], (x, w), {}, [TensorType("float32", ("N", 3))], "product", ["h"])
    node.outputs[0].declared = TensorType("float32", ("N", 3))  # pyright: ignore[reportOptionalMemberAccess]
    graph.output(ops.elementwise.mul(node.outputs[0], 2.0), "y")  # pyright: ignore[reportArgumentType]
    return Model(graph)


def endless() -> Model:
    """A loop that no condition ends."""
    graph = Graph("endless")
    x = graph.input("x", X)
    body = Graph("body", graph)
    body.input("i", TensorType("int64", ()))
    go, h = body.input("go", TensorType("bool", ())), body.input("h", X)
    ops.control.yields(body, ops.elementwise.identity(go), ops.elementwise.mul(h, 0.5))
    (h,) = ops.control.loop(None, True, ops.math.gemm(x, graph.weight("w", np.ones((4, 4), np.float32))), body=body)
    graph.output(h, "y")
    return Model(graph)


DATA = {"x": np.ones((8, 4), np.float32), "y": np.ones((8, 3), np.float32)}
HANDED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # a model
    "compile": (lambda: graphir.compile("m.onnx"), TypeError, f"the model is 'm.onnx'; {A_MODEL}"),  # pyright: ignore[reportArgumentType]
    "gradient": (lambda: graphir.gradient(Path("m.onnx")), TypeError, A_MODEL),  # pyright: ignore[reportArgumentType]
    "jvp": (lambda: graphir.jvp("m.onnx"), TypeError, A_MODEL),  # pyright: ignore[reportArgumentType]
    "step": (lambda: training.step("m.onnx"), TypeError, A_MODEL),  # pyright: ignore[reportArgumentType]
    "fit": (lambda: training.fit("m.onnx", DATA), TypeError, A_MODEL),  # pyright: ignore[reportArgumentType]
    "check_gradient": (lambda: graphir.check_gradient("m.onnx"), TypeError, A_MODEL),  # pyright: ignore[reportArgumentType]
    "swapped": (lambda: graphir.save("m.onnx", small()), TypeError, "the model, which comes first, is 'm.onnx'"),  # pyright: ignore[reportArgumentType]
    "a graph": (lambda: graphir.compile(Graph()), TypeError, "expected a Model; graphir.Model(graph) makes one of a graph"),  # pyright: ignore[reportArgumentType]
    "nothing": (lambda: graphir.dumps(None, "gir"), TypeError, "the model is None; expected a Model"),  # pyright: ignore[reportArgumentType]
    # what goes with it
    "runtime": (lambda: graphir.compile(small(), None), TypeError, "the runtime is None; expected the name of one"),  # pyright: ignore[reportArgumentType]
    "limits": (lambda: graphir.compile(small(), limits={}), TypeError, "limits is {}; expected a Limits"),
    "limits of fit": (lambda: training.fit(linear(), DATA, limits={}), TypeError, "limits is {}; expected a Limits"),  # pyright: ignore[reportArgumentType]
    "optimizer": (lambda: training.step(linear(), optimizer="adam"), TypeError, "the optimizer is 'adam'; expected what"),  # pyright: ignore[reportArgumentType]
    "of": (lambda: graphir.gradient(linear(), 3), TypeError, "of is 3; expected a name, or a list of names"),  # pyright: ignore[reportArgumentType]
    "wrt": (lambda: graphir.gradient(m := linear(), wrt=[m.inputs[0]]), TypeError, "expected the name of a value, such as value.name"),  # pyright: ignore[reportArgumentType]
    "epochs": (lambda: training.fit(linear(), DATA, epochs="2"), TypeError, "epochs is '2'; expected a whole number"),  # pyright: ignore[reportArgumentType]
    "data": (lambda: training.fit(linear(), [1]), TypeError, "the data is [1]; expected a mapping"),  # pyright: ignore[reportArgumentType]
    "bytes": (lambda: graphir.loads("text"), TypeError, "the data is 'text'; expected the bytes of a file"),  # pyright: ignore[reportArgumentType]
    "opset": (lambda: graphir.dumps(small(), "onnx", opset="13"), TypeError, "opset is '13'; expected a version of ai.onnx"),
    # states and sizes
    "state": (lambda: graphir.compile(training.step(linear(), "mean_squared_error")).state["nope"], KeyError, "no state 'nope'; there is w"),
    "state on onnxruntime": (lambda: graphir.compile(training.step(linear(), "mean_squared_error"), "onnxruntime").state["nope"], KeyError, "no state 'nope'; there is w"),
    "unknown address": (lambda: training.apply(linear(), {"w": np.ones((4, 3), np.float32), "nope": 1}), ValueError, "the state has 'nope', and the model no weight of that address; its weights are w"),
    "no mapping": (lambda: training.apply(linear(), [1]), TypeError, "the state is [1]; expected a mapping"),  # pyright: ignore[reportArgumentType]
    "negative dim": (lambda: peak_bytes(linear(), {"N": -4}), ValueError, "the size of N is -4; expected 0 or more"),
    "unknown dim": (lambda: rematerialize(linear(), 9, {"N": 4, "M": 4}), ValueError, "dims has 'M', and no input a dim of that name; expected one of N"),
    # types that do not fit
    "misfit": (lambda: graphir.gradient(linear(5)), graphir.GradientError, "node 'product': MatMul: shapes [N, 4] and [5, 3] do not multiply"),
    "misfit forward": (lambda: graphir.jvp(linear(5)), graphir.GradientError, "node 'product': MatMul: shapes [N, 4] and [5, 3] do not multiply"),
    # runs without end
    "gradcheck": (lambda: graphir.check_gradient(endless(), limits=Limits(trips=50)), LimitError, "more than 50 times"),
    "limits of a step": (lambda: training.fit(endless(), {"x": DATA["x"], "y": DATA["x"]}, "mean_squared_error", limits=Limits(trips=50)), LimitError, "more than 50 times"),
}  # fmt: skip


@pytest.mark.parametrize("row", HANDED)
def test_what_is_handed_in(row: str) -> None:
    call, error, words = HANDED[row]
    with pytest.raises(error, match=re.escape(words)) as e:
        call()
    assert "\n" not in str(e.value)


def test_the_memory_of_an_optimizer_is_left_out() -> None:
    for optimizer in (training.adam(), training.sgd(momentum=0.9)):
        program = graphir.compile(training.step(linear(), "mean_squared_error", optimizer))
        program.run(DATA)
        w = training.apply(linear(), program.state).weights["w"].tensor
        np.testing.assert_array_equal(w.array, program.state["w"])  # pyright: ignore[reportAttributeAccessIssue]


def test_a_type_that_is_declared_otherwise_does_no_harm() -> None:
    model = linear()
    model.outputs[0].declared = TensorType("float32", ("N", 9))
    assert "d_x" in {v.name for v in graphir.gradient(model, wrt="x").outputs}


def twice(graph: Graph) -> None:
    y = ops.elementwise.add(graph.inputs[0], 1.0)
    graph.output(y, "a")
    graph.output(y, "b")


a_type: Any = TensorType  # type checkers would refuse what is tried here
BUILT: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "input twice": (lambda g: g.input("x", X), ValueError, "cannot name the input x: graph 'g' has an input or a weight of that name"),
    "weight twice": (lambda g: g.weight("x", [1.0]), ValueError, "cannot name the weight x"),
    "no name": (lambda g: g.input("", X), ValueError, "the name of the input is ''; expected a text that is not empty"),
    "a name that is none": (lambda g: g.weight(3, [1.0]), TypeError, "the name of the weight is 3"),
    "an output without a name": (lambda g: g.output(ops.elementwise.exp(g.inputs[0]), ""), ValueError, "to ''; expected a text"),
    "type as text": (lambda g: g.input("z", "float32[3]"), TypeError, "the type of the input z is 'float32[3]'; expected a type, such as"),
    "no data": (lambda g: g.weight("w", None), TypeError, "the data of the weight w is None"),
    "kind": (lambda g: setattr(g.weight("w", [1.0]), "kind", "foo"), ValueError, "the kind of the weight w is 'foo'; expected constant, state or default"),
    "kind of a new one": (lambda g: g.weight("w", [1.0], "foo"), ValueError, "the kind of the weight w is 'foo'"),
    "output of none": (lambda g: g.output(None), TypeError, "the output of graph 'g' is None; expected a value"),
    "output of another graph": (lambda g: g.output(Graph("other").input("z", X)), ValueError, "z belongs to graph 'other', which does not enclose 'g'"),
    "two names": (twice, ValueError, "a is an output already; give ops.elementwise.identity(a) the name 'b'"),
    "missing input": (lambda g: ops.elementwise.add(g.inputs[0], None), TypeError, "Add: b is missing"),
    "missing among many": (lambda g: ops.shape.concat(g.inputs[0], None, axis=0), TypeError, "Concat: one of inputs is None"),
    "negative size": (lambda g: a_type("float32", (2, -1)), ValueError, "a dim is -1; expected 0 or more"),
    "half a size": (lambda g: a_type("float32", (1.5,)), TypeError, "a dim is 1.5; expected a whole number"),
    "shape as text": (lambda g: a_type("float32", "N3"), TypeError, "the shape is 'N3'; expected dims"),
    "shape as number": (lambda g: a_type("float32", 3), TypeError, "the shape is 3; expected dims"),
}  # fmt: skip


@pytest.mark.parametrize("row", BUILT)
def test_what_is_built(row: str) -> None:
    build, error, words = BUILT[row]
    graph = Graph("g")
    graph.input("x", X)
    with pytest.raises(error, match=re.escape(words)):
        build(graph)
    assert not verify(Model(graph))


def test_what_is_allowed() -> None:
    """Sibling bodies use one name twice, an input may be left out, and files may say what `verify` then finds."""
    graph = Graph("g")
    x = graph.input("x", X)
    bodies = [Graph(name, graph) for name in ("then", "else")]
    for body in bodies:
        assert body.weight("w", [1.0]).name == "w"
        assert body.output(x) is x
    assert ops.elementwise.clip(x, None, 3.0).type == X
    assert a_type("float32", [np.int64(2), None, "N"]).shape[0] == 2
    graph.add_input("x", X)
    assert "the name 'x' is taken already" in " ".join(verify(Model(graph)))


@pytest.mark.parametrize(("at", "order"), [(None, ["Mul", "Tanh", "Exp"]), (0, ["Tanh", "Mul", "Exp"]), (1, ["Tanh", "Exp", "Mul"])])
def test_after_inserts_behind_a_node(at: int | None, order: list[str]) -> None:
    graph = Graph("g")
    x = graph.input("x", X)
    graph.output(ops.elementwise.exp(ops.elementwise.tanh(x)), "y")
    with graph.after(None if at is None else graph.nodes[at]):
        ops.elementwise.mul(x, 3.0)
    assert [n.op.name for n in graph.nodes] == order and not verify(Model(graph))
