"""Small files that ask for much: ranks out of sizes, dims and types that double. Each ends in time, with one clear problem or none."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

import graphir
from graphir import Graph, Model, TensorType
from graphir.info import facts
from graphir.ops import OPS
from graphir.passes.check import check
from graphir.plugins import FormatError, LimitError
from graphir.tensors import SparseTensor, Tensor
from graphir.types import RANK_LIMIT, OptionalType, SequenceType, ShapeError, SparseTensorType
from patience import within

node = helper.make_node
BIG = 10**9


def info(name: str, shape: Sequence[Any] | None = (3,), kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def ints(name: str, *shape: Any) -> ValueInfoProto:
    return info(name, shape, TensorProto.INT64)


def bare(name: str) -> ValueInfoProto:
    return helper.make_empty_tensor_value_info(name)


def constant(name: str, x: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(x), name)


def model(
    nodes: list[NodeProto], inputs: Sequence[ValueInfoProto] = (info("x"),), output: str = "y", weights: Sequence[TensorProto] = (),
    functions: Sequence[Any] = (), opset: int = 20,
) -> ModelProto:  # fmt: skip
    graph = helper.make_graph(nodes, "g", list(inputs), [bare(output)], list(weights))
    domains = [helper.make_opsetid("f", 1)] if functions else []
    return helper.make_model(graph, functions=list(functions), ir_version=10, opset_imports=[helper.make_opsetid("", opset), *domains])


def chain(n: int, step: Callable[[str, str], list[NodeProto]], start: str = "x") -> list[NodeProto]:
    """Nodes that make v0 of `start`, v1 of v0, ... and y of the last one."""
    names = [start, *(f"v{i}" for i in range(n - 1)), "y"]
    return [made for a, b in pairwise(names) for made in step(a, b)]


def shapes(n: int, step: Callable[[str, str], list[NodeProto]], weights: Sequence[TensorProto] = ()) -> ModelProto:
    """Arithmetic on the shape of x, and a tensor of the shape that comes out."""
    nodes = [node("Shape", ["x"], ["s"]), *chain(n, step, "s"), node("ConstantOfShape", ["y"], ["z"])]
    return model(nodes, [info("x", ["N"])], "z", weights)


# ---- ranks ----------------------------------------------------------------------------------------------------------------------------------

TOO_MANY = "axes; expected at most 64"
K = constant("k", np.array([BIG]))
RANKS: dict[str, tuple[Callable[[], ModelProto], str]] = {
    **{
        op: (lambda op=op: model([node(op, ["x", "a"], ["y"])], [info("x"), ints("a", BIG)]), f"{op}: .*{TOO_MANY}")
        for op in ("Unsqueeze", "Reshape", "Expand")
    },
    "ConstantOfShape": (lambda: model([node("ConstantOfShape", ["a"], ["y"])], [ints("a", BIG)]), TOO_MANY),
    "Col2Im": (lambda: model([node("Col2Im", ["x", "a", "a"], ["y"])], [info("x", [1, 1, 1]), ints("a", BIG)]), TOO_MANY),
    "Range, then Reshape": (
        lambda: model(
            [node("Range", ["o", "n", "p"], ["r"]), node("Reshape", ["x", "r"], ["y"])],
            weights=[constant("o", 0), constant("n", BIG), constant("p", 1)],
        ),
        TOO_MANY,
    ),
    "Tile, then Expand": (
        lambda: model([node("Shape", ["x"], ["s"]), node("Tile", ["s", "k"], ["r"]), node("Expand", ["x", "r"], ["y"])], weights=[K]), TOO_MANY
    ),
    "Squeeze": (lambda: model([node("Squeeze", ["x", "a"], ["y"])], [info("x"), ints("a", BIG)]), "axes has 1000000000 numbers; data has rank 1"),
    "Squeeze of a constant": (
        lambda: model([node("Squeeze", ["x", "a"], ["y"])], weights=[constant("a", np.arange(10**5))]), "axes has 100000 numbers; data has rank 1"
    ),
    "Slice": (lambda: model([node("Slice", ["x", "a", "a"], ["y"])], [info("x"), ints("a", BIG)]), "data has rank 1"),
    "Pad": (lambda: model([node("Pad", ["x", "a", "", "a"], ["y"])], [info("x"), ints("a", BIG)]), "pads has .* two for each axis"),
    "ReduceSum": (lambda: model([node("ReduceSum", ["x", "a"], ["y"], keepdims=0)], [info("x"), ints("a", BIG)]), "ReduceSum: axes has .* numbers; data has rank|no rank of the inputs"),
    "Split": (lambda: model([node("Split", ["x", "a"], ["y"])], [info("x"), ints("a", BIG)]), "but 1 outputs are asked for"),
    "Gather": (lambda: model(chain(9, lambda a, b: [node("Gather", [a, a], [b])]), [ints("x", 1, 1)]), TOO_MANY),
    "Unsqueeze, 100 times": (
        lambda: model(chain(100, lambda a, b: [node("Unsqueeze", [a, "k"], [b])]), weights=[constant("k", np.array([0]))]), TOO_MANY
    ),
    "OneHot, 100 times": (
        lambda: model(
            chain(100, lambda a, b: [node("OneHot", [a, "d", "v"], [b])]), [ints("x", 2)], weights=[constant("d", 2), constant("v", [0, 1])]
        ),
        TOO_MANY,
    ),
    "Einsum": (lambda: model([node("Einsum", ["x"], ["y"], equation="...->..." + "ab" * 40)]), "Einsum"),
    "Transpose": (lambda: model([node("Transpose", ["x"], ["y"], perm=range(10**6))]), "expected each of the axes 0 to 0 once"),
    "MaxPool": (lambda: model([node("MaxPool", ["x"], ["y"], kernel_shape=[1] * 10**5)]), "expected a positive number for each axis"),
    "Reshape of opset 1": (lambda: model([node("Reshape", ["x"], ["y"], shape=[1] * 10**5)], opset=1), TOO_MANY),
    "Unsqueeze of opset 11": (lambda: model([node("Unsqueeze", ["x"], ["y"], axes=range(10**5))], opset=11), TOO_MANY),
    "sizes that double": (lambda: model(chain(3000, lambda a, b: [node("Concat", [a, a], [b], axis=0)])), "a dim is more than 2"),
    "Tile": (lambda: model(chain(3000, lambda a, b: [node("Tile", [a, "k"], [b])]), weights=[constant("k", [2**62])]), "a dim is more than 2"),
    "a function": (
        lambda: model(
            [node("F", ["x", "a"], ["y"], domain="f")],
            [info("x"), ints("a", BIG)],
            functions=[helper.make_function("f", "F", ["p", "q"], ["r"], [node("Expand", ["p", "q"], ["r"])], [helper.make_opsetid("", 20)])],
        ),
        "",
    ),
}  # fmt: skip


def named(lines: Sequence[str]) -> str:
    """The problems in one text; none is endless."""
    assert all(len(line) < 3000 for line in lines)
    return "\n".join(lines)


def problems_of(data: bytes) -> str:
    with within(5):
        loaded = graphir.loads(data)
        assert facts(loaded)["nodes"]
        return named(check(loaded).problems)


@pytest.mark.parametrize("row", RANKS)
def test_a_size_is_no_rank_without_bounds(row: str) -> None:
    build, said = RANKS[row]
    found = problems_of(build().SerializeToString())
    assert re.search(said, found) if said else not found


@pytest.mark.parametrize("count", [65, 100_000])
@pytest.mark.parametrize("where", ["input", "output", "value_info", "sequence", "sparse"])
def test_types_of_too_many_axes_are_refused(where: str, count: int) -> None:
    """Also beside an operator that nobody knows."""
    proto = model([node("Foo", ["x"], ["t"], domain="foreign"), node("Foo", ["t"], ["y"], domain="foreign")])
    graph, wide = proto.graph, info("t", [1] * count)
    if where in ("input", "sequence", "sparse"):
        wide.name = "x"
        if where == "sequence":
            wide = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1] * count)
        if where == "sparse":
            wide = helper.make_sparse_tensor_value_info("x", TensorProto.FLOAT, [1] * count)
        graph.input[0].CopyFrom(wide)
    elif where == "output":
        wide.name = "y"
        graph.output[0].CopyFrom(wide)
    else:
        graph.value_info.append(wide)
    with within(5), pytest.raises(FormatError, match=rf"graph 'g': the type of '{wide.name}' is a shape of {count:,} {TOO_MANY}"):
        graphir.loads(proto.SerializeToString())


@pytest.mark.parametrize(
    ("dims", "said"),
    [([1] * 65, TOO_MANY), ([2**62] * 10**6, TOO_MANY), ([0, 2**62, 2**62], "multiply to more than"), ([2**62] * 2, "expected")],
)
@pytest.mark.parametrize("sparse", [False, True])
def test_tensors_that_no_array_holds_are_refused(dims: list[int], said: str, sparse: bool) -> None:
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    proto = model([node("Neg", ["w"], ["y"])], [])
    if sparse:
        proto.graph.sparse_initializer.add(dims=dims)
        proto.graph.sparse_initializer[0].values.CopyFrom(constant("w", np.zeros(0, np.float32)))
        proto.graph.sparse_initializer[0].indices.CopyFrom(constant("", np.zeros(0, np.int64)))
        said = f"{said}|multiply"
    else:
        proto.graph.initializer.append(made)
    with within(5), pytest.raises(FormatError, match=f"tensor 'w': .*({said})"):
        graphir.loads(proto.SerializeToString())


@pytest.mark.parametrize(
    "make", [TensorType, SparseTensorType, lambda d, s: SequenceType(TensorType(d, s)), lambda d, s: OptionalType(TensorType(d, s))]
)
@pytest.mark.parametrize("shape", [[1] * 65, ["N"] * 65, (1,) * 65, [2**63], (2**100,), [10**5000]])
def test_no_type_has_a_shape_that_no_tensor_has(make: Any, shape: Any) -> None:
    with pytest.raises(ShapeError, match=r"axes; expected at most 64|more than 2\^63"):
        make("float32", shape)


def test_the_largest_shapes_are_types() -> None:
    assert len(TensorType("float32", [1] * RANK_LIMIT).shape or ()) == RANK_LIMIT
    assert TensorType("float32", [2**63 - 1]).shape == (2**63 - 1,)
    for make in (lambda: Tensor(np.dtype("float32"), (2**62,), list), lambda: SparseTensor(Tensor.of([1.0]), Tensor.of([0]), (2**62,))):  # pyright: ignore[reportArgumentType]
        with pytest.raises(ShapeError, match="multiply to more"):
            make()


def test_the_native_format_refuses_them_too() -> None:
    graph = Graph("g")
    graph.output(OPS["", "Neg"](graph.input("x", TensorType("float32", ["Marker"]))), "y")  # pyright: ignore[reportCallIssue]
    data = graphir.dumps(Model(graph), "json")
    assert b"float32[Marker]" in data
    for shape in (b", ".join([b"1"] * 65), b"9223372036854775808"):
        with within(5), pytest.raises(FormatError, match=r"axes; expected at most 64|more than 2\^63"):
            graphir.loads(data.replace(b"Marker", shape), "json")


# ---- dims -----------------------------------------------------------------------------------------------------------------------------------


def pairs(n: int) -> ModelProto:
    """(A0 + A1) * (A2 + A3) * ..."""
    nodes: list[NodeProto] = []
    for i in range(n):
        nodes += [node("Shape", [f"x{i}"], [f"s{i}"]), node("Shape", [f"w{i}"], [f"t{i}"]), node("Add", [f"s{i}", f"t{i}"], [f"p{i}"])]
        nodes.append(node("Mul", [f"k{i - 1}" if i else f"p{i}", f"p{i}"], [f"k{i}"]))
    return model(
        [*nodes, node("ConstantOfShape", [f"k{n - 1}"], ["y"])], [info(f"{a}{i}", [f"{a.upper()}{i}"]) for i in range(n) for a in "xw"]
    )


def outer(a: str, b: str) -> list[NodeProto]:
    return [
        node("Reshape", [a, "flat"], [f"{b}f"]), node("Unsqueeze", [f"{b}f", "zero"], [f"{b}u"]), node("Unsqueeze", [f"{b}f", "one"], [f"{b}w"]),
        node("Mul", [f"{b}u", f"{b}w"], [b]),
    ]  # fmt: skip


def branches(a: str, b: str) -> list[NodeProto]:
    """The double or the square, as a condition says."""
    bodies = [helper.make_graph([node(op, [a, a], [f"{b}{op}"])], op, [], [bare(f"{b}{op}")]) for op in ("Add", "Mul")]
    return [node("If", ["c"], [b], then_branch=bodies[0], else_branch=bodies[1])]


ONE, TWO, HUGE = constant("k", np.array([1])), constant("k", np.array([2])), constant("k", np.array([2**62]))
MANY = [info(f"x{i}", [f"N{i}"]) for i in range(500)]
NAMES = [v.name for v in MANY]
DIMS: dict[str, Callable[[], ModelProto]] = {
    "s += s // 2": lambda: shapes(60, lambda a, b: [node("Div", [a, "k"], [f"{b}h"]), node("Add", [a, f"{b}h"], [b])], [TWO]),
    "s *= s + 1": lambda: shapes(60, lambda a, b: [node("Add", [a, "k"], [f"{b}h"]), node("Mul", [a, f"{b}h"], [b])], [ONE]),
    "s *= s": lambda: shapes(200, lambda a, b: [node("Mul", [a, a], [b])]),
    "s = s * s * 2^62": lambda: shapes(200, lambda a, b: [node("Mul", [a, a], [f"{b}h"]), node("Mul", [f"{b}h", "k"], [b])], [HUGE]),
    "s = max(s, s * s - s)": lambda: shapes(
        60, lambda a, b: [node("Mul", [a, a], [f"{b}h"]), node("Sub", [f"{b}h", a], [f"{b}g"]), node("Max", [a, f"{b}g"], [b])]
    ),
    "s = max(min(s, 7) + s // 2, 3)": lambda: shapes(
        60,
        lambda a, b: [
            node("Min", [a, "seven"], [f"{b}m"]), node("Div", [a, "k"], [f"{b}h"]), node("Add", [f"{b}m", f"{b}h"], [f"{b}g"]),
            node("Max", [f"{b}g", "three"], [b]),
        ],
        [TWO, constant("seven", np.array([7])), constant("three", np.array([3]))],
    ),
    "products of sums": lambda: pairs(20),
    "outer products": lambda: model(
        chain(40, outer), [info("x", ["N", "M"])],
        weights=[constant("flat", np.array([-1])), constant("zero", np.array([0])), constant("one", np.array([1]))],
    ),
    "double or square": lambda: model(
        [node("Shape", ["x"], ["s"]), *chain(60, branches, "s"), node("ConstantOfShape", ["y"], ["z"])],
        [info("x", ["N"]), info("c", [], TensorProto.BOOL)], "z",
    ),
    "Concat of many": lambda: model([node("Concat", NAMES, ["y"], axis=0)], MANY),
    "Sum of many": lambda: model([node("Sum", NAMES, ["y"])], MANY),
    "Split and Concat": lambda: model(
        chain(60, lambda a, b: [node("Split", [a], [f"{b}p", f"{b}q"], num_outputs=2), node("Concat", [f"{b}q", f"{b}p", f"{b}q"], [b], axis=0)]),
        [info("x", ["N"])],
    ),
    "pools": lambda: model(
        chain(200, lambda a, b: [node("MaxPool", [a], [b], kernel_shape=[3], strides=[2], pads=[1, 1])]), [info("x", [1, 1, "N"])]
    ),
    "halves by Slice": lambda: model(
        chain(60, lambda a, b: [node("Shape", [a], [f"{b}s"]), node("Div", [f"{b}s", "k"], [f"{b}h"]), node("Slice", [a, f"{b}h", f"{b}s"], [f"{b}t"]),
                                node("Concat", [f"{b}t", a], [b], axis=0)]),
        [info("x", ["N"])], weights=[TWO],
    ),
    "a name of 1 MB": lambda: model([node("Concat", ["x", "x", "w"], ["y"], axis=0)], [info("x", ["N" * 10**6]), info("w", ["M" * 10**6])]),
    "a name of parentheses": lambda: model([node("Concat", ["x", "x", "w"], ["y"], axis=0)], [info("x", ["(" * 10**5]), info("w")]),
    "names of 900 characters": lambda: model(
        [node("Sum", [f"x{i}" for i in range(50)], ["y"])], [info(f"x{i}", [f"N{i} * " * 100 + "(K + 1)"]) for i in range(50)]
    ),
    "names of nested functions": lambda: model([node("Neg", ["x"], ["y"])], [info("x", ["max(N, " * 120 + "1" + ")" * 120, "(" * 450 + "N" + ")" * 450])]),
    "a name of a number": lambda: model([node("Size", ["x"], ["y"])], [info("x", ["9" * 5000 + "*N"])]),
}  # fmt: skip


@pytest.mark.parametrize("row", DIMS)
def test_dims_do_not_grow_without_bounds(row: str) -> None:
    proto = DIMS[row]()
    assert not problems_of(proto.SerializeToString())
    with within(8):
        loaded = graphir.loads(proto.SerializeToString())
        assert len(str(loaded.outputs[0].type)) < 2500
        for kind in ("onnx", "gir"):
            again = graphir.loads(graphir.dumps(loaded, kind), kind)
            assert len(str(again.outputs[0].type)) < 2500


# ---- steps of inference ------------------------------------------------------------------------------------------------------------------


def loops(depth: int, inner: Callable[[int], list[NodeProto]], states: int = 1, first: Sequence[NodeProto] = ()) -> ModelProto:
    """Loops within each other. inner: what a body makes of its states, s<depth>_<i>, or those of the loop in it, u<depth>_<i>: t<depth>_<i>."""

    def body(at: int) -> GraphProto:
        s, u, t = ([f"{c}{at}_{i}" for i in range(states)] for c in "sut")
        loop = [node("Loop", ["m", "", *s], u, body=body(at - 1))] if at else [node("Identity", [a], [b]) for a, b in zip(s, u)]
        nodes = [node("Identity", [f"c{at}"], [f"d{at}"]), *loop, *inner(at)]
        return helper.make_graph(
            nodes, "b", [ints(f"i{at}"), info(f"c{at}", [], TensorProto.BOOL), *map(bare, s)], [*map(bare, [f"d{at}", *t])]
        )

    start = ["x"] * states if not first else ["q"] * states
    made = [node("Loop", ["m", "", *start], ["y", *(f"y{i}" for i in range(1, states))], body=body(depth - 1))]
    return model([*first, *made], [info("x"), ints("m")], weights=[constant("zero", np.array([0]))])


def ifs(depth: int) -> ModelProto:
    def branch(at: int, name: str) -> GraphProto:
        inner = (
            [node("If", ["c"], [name], then_branch=branch(at - 1, name + "t"), else_branch=branch(0, name + "e"))]
            if at
            else [node("Size", ["x"], [name])]
        )
        return helper.make_graph(inner, "b", [], [bare(name)])

    return model(
        [node("If", ["c"], ["y"], then_branch=branch(depth, "t"), else_branch=branch(0, "e"))], [info("x"), info("c", [], TensorProto.BOOL)]
    )


def functions(depth: int, calls: int, leaf: str = "Neg", in_ifs: bool = False) -> ModelProto:
    """Functions of which each calls the one below it so many times; in_ifs: in both branches of an If."""
    made = []
    for i in range(depth):
        op, domain = (f"F{i - 1}", "f") if i else (leaf, "")
        names = ["a", *(f"b{j}" for j in range(calls))]
        nodes = [node(op, [a], [b], domain=domain) for a, b in pairwise(names)]
        if in_ifs:
            bodies = [helper.make_graph([node(op, ["a"], [n], domain=domain)], n, [], [bare(n)]) for n in ("p", "q")]
            nodes = [node("Cast", ["a"], ["c"], to=9), node("If", ["c"], [names[-1]], then_branch=bodies[0], else_branch=bodies[1])]
        made.append(
            helper.make_function("f", f"F{i}", ["a"], names[-1:], nodes, [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)])
        )
    return model([node(f"F{depth - 1}", ["x"], ["y"], domain="f")], functions=made)


def grows(states: int) -> Callable[[int], list[NodeProto]]:
    return lambda at: [node("Concat", [f"u{at}_{i}", f"u{at}_{(i + 1) % states}"], [f"t{at}_{i}"], axis=0) for i in range(states)]


UNFOLDS, DEEP = "unfold to more than 50,000 nodes", "nest more than 100 deep"
STEPS: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "Ifs": (lambda: ifs(28), ""),
    "Loops whose states widen": (lambda: loops(28, grows(1)), ""),
    "Loops of many states that widen": (lambda: loops(20, grows(6), 6), ""),
    "Loops whose ranks widen": (lambda: loops(28, lambda at: [node("Unsqueeze", [f"u{at}_0", "zero"], [f"t{at}_0"])]), ""),
    "Loops that fill sequences": (
        lambda: loops(28, lambda at: [node("SequenceInsert", [f"u{at}_0", "x"], [f"t{at}_0"])], first=[node("SequenceEmpty", [], ["q"])]), ""
    ),
    "functions that double": (lambda: functions(40, 2), UNFOLDS),
    "functions that unfold to a million": (lambda: functions(6, 10), UNFOLDS),
    "functions whose results nobody knows": (lambda: functions(11, 2, "NonZero"), ""),
    "functions in branches": (lambda: functions(40, 1, in_ifs=True), UNFOLDS),
    "a chain of functions": (lambda: functions(2000, 1), DEEP),
    "a short chain of functions": (lambda: functions(90, 1), ""),
}  # fmt: skip


@pytest.mark.parametrize("row", STEPS)
def test_types_take_a_bounded_number_of_steps(row: str) -> None:
    build, said = STEPS[row]
    data = build().SerializeToString()
    found = problems_of(data)
    assert said in found if said else not found
    with within(8):
        if said:
            with pytest.raises((TypeError, ValueError), match=said):
                graphir.compile(graphir.loads(data))
        else:
            graphir.compile(graphir.loads(data))


def test_what_takes_more_steps_has_the_types_that_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphir.passes import infer

    proto = loops(20, grows(6), 6)
    proto.graph.output[0].CopyFrom(info("y", ["K"]))
    data = proto.SerializeToString()
    monkeypatch.setattr(infer, "STEPS", 500)
    monkeypatch.setattr(infer, "STEPS_EACH", 1)
    loaded = graphir.loads(data)
    assert str(loaded.outputs[0].type) == "float32[K]" and graphir.dumps(loaded, "onnx") == data
    (problem,) = check(loaded).problems
    assert "takes more than" in problem and "steps" in problem
    with pytest.raises(LimitError, match=r"takes more than .* steps"):
        graphir.compile(loaded)
    with pytest.raises(LimitError, match=r"takes more than .* steps"):
        graphir.gradient(loaded)
