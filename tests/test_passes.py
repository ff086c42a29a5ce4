"""Passes: text before, text after."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import graphir
from graphir import Function, Graph, Model, Tensor, TensorType, Value, ops
from graphir.nodes import Operator, Ref
from graphir.passes.dedupe import dedupe
from graphir.passes.expand import expand
from graphir.passes.fold import fold
from graphir.passes.infer import infer
from graphir.passes.prune import prune
from graphir.passes.simplify import RULES, simplify
from graphir.verify import verify
from graphir_arrays.interpret import Interpreter
from graphir_numpy.namespace import xp

E, S = ops.elementwise, ops.shape


def fold_on_numpy(model: Model) -> None:
    interpreter = Interpreter(xp)
    fold(model, lambda node, arrays: interpreter.apply(node, arrays, {}))


def built(build: Callable[[Value], Value | tuple[Value, ...]]) -> Model:
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", ("N", 4)))
    made = build(x)
    graph.outputs = made if isinstance(made, tuple) else (made,)
    return Model(graph)


def body_lines(model: Model) -> list[str]:
    return [line.strip() for line in str(model.graph).splitlines()[1:]]


def doubled(x: Value) -> Value:
    return E.mul(E.exp(x), E.add(S.reshape(E.identity(x.graph.weight("w", [1.0, 2.0])), [1, 2, 1]), 1.0))


BEFORE_AFTER = [
    ("fold", fold_on_numpy, lambda x: E.mul(x, E.add(E.exp(x.graph.weight("w", [0.0])), 1.0)),
     ["weight w: float32[1] = {0.0}", "weight c_1.0: float32[] = {1.0}", "weight exp_folded: float32[1] = {1.0}", "weight add_folded: float32[1] = {2.0}",
      "mul: float32[N, 4] = Mul(x, add_folded)"]),
    ("fold leaves random numbers alone", fold_on_numpy, lambda x: E.mul(x, ops.create.random_normal(x.graph, shape=(4,))),
     ["randomnormal: float32[4] = RandomNormal(shape=[4])", "mul: float32[N, 4] = Mul(x, randomnormal)"]),
    ("fold leaves what would be huge", fold_on_numpy, lambda x: E.mul(x, ops.create.constant_of_shape(x.graph.weight("n", np.array([30_000_000, 1])))),
     ["weight n: int64[2] = {30000000, 1}", "constantofshape: float32[30000000, 1] = ConstantOfShape(n)",
      "mul: float32[30000000, 4] = Mul(x, constantofshape)"]),
    ("dedupe", dedupe, lambda x: E.add(E.exp(x), E.exp(x)), ["exp: float32[N, 4] = Exp(x)", "add: float32[N, 4] = Add(exp, exp)"]),
    ("dedupe minds attributes", dedupe, lambda x: E.add(ops.activation.softmax(x, axis=0), ops.activation.softmax(x, axis=1)),
     ["softmax: float32[N, 4] = Softmax(x, axis=0)", "softmax_1: float32[N, 4] = Softmax(x, axis=1)", "add: float32[N, 4] = Add(softmax, softmax_1)"]),
    ("prune", prune, lambda x: (E.exp(x), E.neg(E.abs_(x)))[0], ["exp: float32[N, 4] = Exp(x)"]),
    ("identity", simplify, lambda x: E.exp(E.identity(x)), ["identity: float32[N, 4] = Identity(x)", "exp: float32[N, 4] = Exp(x)"]),
    ("two transposes are none", simplify, lambda x: E.exp(S.transpose(S.transpose(x, perm=(1, 0)), perm=(1, 0))),
     ["transpose: float32[4, N] = Transpose(x, perm=[1, 0])", "transpose_1: float32[N, 4] = Transpose(x, perm=[0, 1])",
      "transpose_2: float32[N, 4] = Transpose(transpose, perm=[1, 0])", "exp: float32[N, 4] = Exp(x)"]),
    ("of two reshapes one counts", simplify, lambda x: S.reshape(S.reshape(x, [-1]), [2, -1]),
     ["weight c_-1: int64[1] = {-1}", "weight c_2_-1: int64[2] = {2, -1}", "reshape_1: float32[4*N] = Reshape(x, c_-1)",
      "reshape: float32[2, 2*N] = Reshape(x, c_2_-1)", "reshape_2: float32[2, 2*N] = Reshape(reshape_1, c_2_-1)"]),
    ("times one", simplify, lambda x: E.exp(E.div(E.mul(1.0, x), 1.0)),
     ["weight c_1.0: float32[] = {1.0}", "mul: float32[N, 4] = Mul(c_1.0, x)", "div: float32[N, 4] = Div(x, c_1.0)", "exp: float32[N, 4] = Exp(x)"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "run", "build", "lines"), BEFORE_AFTER, ids=[row[0] for row in BEFORE_AFTER])
def test_text_before_and_after(name: str, run: Callable[[Model], None], build: Callable[[Value], Value], lines: list[str]) -> None:
    model = built(build)
    run(model)
    assert body_lines(model) == lines
    assert verify(model) == []


def part(x: Value, before: int, after: int) -> Value:
    return ops.arrange.pad(x, [0, before, 0, after])


SIMPLER = [
    ("a transpose that turns all axes round", lambda x: S.transpose(E.exp(S.transpose(S.transpose(x), perm=(1, 0)))), "Exp Transpose"),
    ("a transpose that turns one axis", lambda x: E.exp(S.transpose(ops.reduce.reduce_max(x, [0], keepdims=0))), "ReduceMax Exp"),
    ("Gemm transposes", lambda x: S.transpose(ops.math.gemm(x, E.exp(x), transA=1, alpha=2.0)), "Exp Gemm"),
    ("Gemm transposes what it has not", lambda x: S.transpose(ops.math.gemm(x, E.exp(x), transB=1), perm=(1, 0)), "Exp Gemm"),
    ("Gemm that adds", lambda x: S.transpose(ops.math.gemm(x, x, [1.0, 2.0, 3.0, 4.0], transA=1)), "Gemm Transpose"),
    ("a product that is read twice", lambda x: E.sub(S.transpose(g := ops.math.gemm(x, E.exp(x), transA=1)), g), "Exp Gemm Transpose Sub"),
    ("parts of a whole", lambda x: E.sum_(part(E.exp(x), 4, 4), part(x, 0, 8), part(E.neg(x), 8, 0)), "Exp Neg Concat"),
    ("parts at one end", lambda x: E.sum_(part(E.exp(x), 7, 1), part(x, 3, 5)), "Exp Concat Pad"),
    ("parts and others", lambda x: E.sum_(y := E.exp(part(x, 0, 8)), part(x, 3, 5), part(E.exp(x), 7, 1), y), "Pad Exp Exp Concat Pad Sum"),
    ("parts that overlap", lambda x: E.sum_(part(E.exp(x), 3, 1), part(x, 0, 4)), "Exp Pad Pad Sum"),
    ("a part that counts twice", lambda x: E.sum_(y := part(x, 0, 4), part(E.exp(x), 4, 0), y), "Pad Exp Pad Sum"),
    ("parts of two axes", lambda x: E.sum_(part(x, 0, 4), ops.arrange.pad(ops.reduce.reduce_max(S.concat(x, x, axis=1), [0]), [2, 0, 0, 0])), "Pad Concat ReduceMax Pad Sum"),
    ("parts of something that is not zero", lambda x: E.sum_(ops.arrange.pad(x, [0, 0, 0, 4], 1.0), part(E.exp(x), 4, 0)), "Pad Exp Pad Sum"),
    ("edges", lambda x: E.sum_(ops.arrange.pad(x, [0, 0, 0, 4], mode="edge"), part(E.exp(x), 4, 0)), "Pad Exp Pad Sum"),
    ("there and back", lambda x: E.exp(S.squeeze(S.unsqueeze(x, [1]), [1])), "Exp"),
    ("there and elsewhere", lambda x: E.exp(S.squeeze(S.unsqueeze(x, [1, 2]), [1])), "Unsqueeze Squeeze Exp"),
    ("a shape counts", lambda x: S.reshape(S.unsqueeze(x, [1]), [2, -1]), "Reshape"),
    ("a shape that copies", lambda x: S.reshape(S.unsqueeze(E.exp(x), [0]), [0, -1, 2]), "Exp Unsqueeze Reshape"),
    ("a shape with ones", lambda x: S.unsqueeze(S.reshape(x, [0, 2, -1]), [1, -1]), "Reshape"),
    ("a copied dim that would move", lambda x: S.unsqueeze(S.reshape(x, [0, 2, -1]), [0]), "Reshape Unsqueeze"),
    ("Sum repeats by itself", lambda x: E.sum_(S.expand(ops.reduce.reduce_max(x, [1]), S.shape(x)), x), "ReduceMax Sum"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "build", "names"), SIMPLER, ids=[row[0] for row in SIMPLER])
def test_fewer_nodes_make_the_same(name: str, build: Callable[[Value], Value], names: str) -> None:
    model, simpler = built(build), built(build)
    simplify(simpler)
    prune(simpler)
    assert " ".join(node.op.name for node in simpler.graph.nodes) == names
    assert verify(simpler) == []
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    ((before,), (after,)) = (graphir.compile(m).run(feeds).values() for m in (model, simpler))
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_what_a_body_gives_stays_its_own() -> None:
    """Though the graph around it has computed the same."""
    graph = Graph("outer")
    x = graph.input("x", TensorType("float32", (3,)))
    branches = {}
    for name in ("then_branch", "else_branch"):
        branches[name] = branch = ops.control.body_in(x, name)
        with branch:
            ops.control.yields(branch, E.exp(x) if name == "then_branch" else E.neg(E.exp(x)))
    (y,) = ops.control.if_(ops.logic.greater(ops.reduce.reduce_sum(x, keepdims=0), 0.0), **branches)
    graph.nodes.insert(0, graph.nodes.pop(graph.nodes.index(graph.output(E.exp(x), "e").node)))  # pyright: ignore[reportArgumentType]
    graph.output(y, "y")
    model = Model(graph)
    dedupe(model)
    assert verify(model) == []
    assert [[n.op.name for n in b.nodes] for b in branches.values()] == [["Exp"], ["Neg"]]
    onnx.checker.check_model(onnx.load_from_string(graphir.dumps(model, "onnx")), full_check=True)


def test_rules_name_declared_ops() -> None:
    assert {("", name) for name in RULES} <= set(ops.OPS)


def called(attributes: dict) -> Model:
    """A model that calls a function (a, b?) -> (a * alpha + b?, a), through another function."""
    inner = Graph("inner")
    a, b = inner.input("a", None), inner.input("b", None)
    scaled = inner.append(ops.OPS["", "LeakyRelu"], (a,), {"alpha": Ref("alpha", "FLOAT")}, [None], "scale", ["scaled"]).outputs[0]
    total = inner.append(ops.OPS["", "Sum"], (scaled, b), {}, [None], "", ["total"]).outputs[0]
    assert total is not None
    inner.outputs = (total, a)
    graph = Graph("main")
    x = graph.input("x", TensorType("float32", ("N", 4)))
    made = graph.append(Operator("local", "Scale"), (x, x), attributes, [None, None], "call", ["y", "same"])
    graph.outputs = [v for v in made.outputs if v is not None]
    model = Model(graph, opsets={"": 28, "local": 1})
    model.functions["local", "Scale", ""] = Function("local", "Scale", inner, attributes={"alpha": 0.25}, opsets={"": 28})
    return model


@pytest.mark.parametrize(("attributes", "alpha"), [({}, 0.25), ({"alpha": 0.5}, 0.5)])
def test_calls_are_inlined_under_the_names_that_they_had(attributes: dict, alpha: float) -> None:
    model = called(attributes)
    assert infer(model) == [] and str(model.graph.outputs[0].type) == "float32[N, 4]"
    expand(model, lambda op: True)
    infer(model)
    assert body_lines(model) == [
        f"call/scaled: float32[N, 4] = LeakyRelu(x, alpha={alpha})  # call/scale",
        "y: float32[N, 4] = Sum(call/scaled, x)",
        "same: float32[N, 4] = Identity(x)",
    ]
    assert verify(model) == []


def test_what_has_no_kernel_is_decomposed_to_any_depth() -> None:
    model = built(lambda x: ops.activation.mish(x).named("y"))
    expand(model, lambda op: op.name not in ("Mish", "Swish"))
    assert {n.op.name for n in model.graph.nodes}.isdisjoint({"Mish", "Swish"}) and model.outputs[0].name == "y"


def test_a_foreign_node_is_carried_but_not_run() -> None:
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", (2,)))
    graph.append(Operator("com.acme", "Fancy"), (x,), {}, [None], "fancy", ["y"])
    model = Model(graph)
    assert infer(model) == [] and "com.acme.Fancy(x)" in str(model)
    with pytest.raises(TypeError, match=r"com\.acme\.Fancy of fancy: no such operator is declared"):
        expand(model, lambda op: True)


def test_inference_reports_what_does_not_fit_and_goes_on() -> None:
    model = built(lambda x: E.exp(x))
    model.graph.append(
        ops.OPS["", "MatMul"], (model.graph.inputs[0], model.graph.weight("w", np.zeros((5, 2), "float32"))), {}, [None], "product"
    )
    (problem,) = infer(model)
    assert str(problem).startswith("node 'product': MatMul: ")


def test_functions_that_unfold_without_bounds_are_refused_in_time() -> None:
    model = called({})
    for i in range(40):  # each calls the one below it twice
        body = Graph(f"f{i}")
        v = body.input("v", None)
        key = ("local", f"F{i - 1}" if i else "Leaf", "")
        first = body.append(Operator(*key), (v,), {}, [None], "", ["a"]).outputs[0]
        body.outputs = [x for x in body.append(Operator(*key), (first,), {}, [None], "", ["b"]).outputs if x is not None]
        model.functions["local", f"F{i}", ""] = Function("local", f"F{i}", body, opsets={"": 28})
    leaf = Graph("leaf")
    v = leaf.input("v", None)
    leaf.outputs = [x for x in leaf.append(ops.OPS["", "Exp"], (v,), {}, [None], "", ["e"]).outputs if x is not None]
    model.functions["local", "Leaf", ""] = Function("local", "Leaf", leaf, opsets={"": 28})
    model.graph.append(Operator("local", "F39"), (model.graph.inputs[0],), {}, [None], "bomb", ["z"])
    infer(model)
    with pytest.raises(TypeError, match="unfold to more than"):
        expand(model, lambda op: True)


def test_folding_adds_no_more_than_its_limit_in_all() -> None:
    graph = Graph("bombs")
    n = graph.weight("n", np.array([8_000_000]))  # each would be 32 MB
    graph.outputs = [ops.create.constant_of_shape(n) for _ in range(30)]
    model = Model(graph)
    fold_on_numpy(model)
    assert sum(w.tensor.nbytes for w in graph.weights.values() if isinstance(w.tensor, Tensor)) <= 65 << 20


def test_an_expand_whose_shape_the_run_tells_stays() -> None:
    graph = Graph("g")
    x, shape = graph.input("x", TensorType("float32", (2, 3))), graph.input("shape", TensorType("int64", (2,)))
    graph.output(ops.shape.expand(x, shape), "y")
    program = graphir.compile(Model(graph))
    feed = np.ones((2, 3), "float32")
    assert program.run({"x": feed, "shape": [1, 3]})["y"].shape == (2, 3)
    with pytest.raises(ValueError, match=r"shapes \[2, 3\] and \[3, 3\] do not broadcast"):
        program.run({"x": feed, "shape": [3, 3]})
