"""What a file, or a caller, says wrongly is told in words: no error of Python's own, whatever stands in the place of whatever."""

import copy
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir
import graphir_onnx
from fuzz.errors import raw, stumble
from fuzz.native import File, places, text
from graphir import FormatError
from graphir.passes.check import check
from graphir_onnx.carried import ENTRIES

node = helper.make_node


def info(name: str, shape: Any = (3,), kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def proto(
    nodes: list[onnx.NodeProto], outputs: Any = ("y",), weights: Any = (), functions: Any = (), inputs: Any = ("x",)
) -> onnx.ModelProto:
    ends = [o if not isinstance(o, str) else helper.make_empty_tensor_value_info(o) for o in outputs]
    tensors = [numpy_helper.from_array(np.asarray(x), name) for name, x in dict(weights).items()]
    graph = helper.make_graph(nodes, "g", [info(i) if isinstance(i, str) else i for i in inputs], ends, tensors)
    domains = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_model(graph, functions=list(functions), ir_version=10, opset_imports=domains)


def load(message: onnx.ModelProto) -> graphir.Model:
    return graphir.loads(message.SerializeToString(), "onnx")


def function(name: str, outputs: list[str], nodes: list[onnx.NodeProto]) -> onnx.FunctionProto:
    return helper.make_function("f", name, ["a", "b"], outputs, nodes, [helper.make_opsetid("", 20)])


def answers(call: Callable[[], object]) -> str:
    """What comes of a call: its error's text, or nothing. Fails where the error is Python's own."""
    try:
        call()
    except Exception as e:
        why = stumble(e)
        assert why is None, f"{why}: {e}"
        return str(e)
    return ""


def rich() -> graphir.Model:
    """A model with a bit of all that a message can hold: weights, bodies, functions, updates, sparse tensors, notes, what ONNX files need to come back."""
    body = helper.make_graph([node("Mul", ["x", "w"], ["t"], doc_string="inner")], "then", [], [info("t")])
    other = helper.make_graph([node("Neg", ["x"], ["e"])], "else", [], [info("e")])
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("s", TensorProto.FLOAT, [1], [2.0]), helper.make_tensor("i", TensorProto.INT64, [1], [1]), [3]
    )
    nodes = [
        node("F", ["x"], ["h"], domain="f", name="call"),
        node("If", ["c"], ["r"], then_branch=body, else_branch=other, name="if"),
        node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(3, np.float32), "named")),
        node("Constant", [], ["z"], sparse_value=sparse),
        node("Other", ["r", "", "k"], ["o", ""], domain="f", mixed=[1.5, 2.0], words=["a", "b"], where=7),
        node("Sum", ["h", "r", "k", "z"], ["y"]),
    ]
    inner = function("F", ["q"], [node("Elu", ["a"], ["q"], alpha=0.5)])
    message = proto(nodes, [info("y"), "o"], {"w": np.full(3, 2, np.float32)}, [inner], [info("x"), info("c", (), TensorProto.BOOL)])
    message.metadata_props.add(key="k", value="v")
    model = load(message)
    model.graph.weights["w"].become("state")
    model.update(model.graph.weights["w"], next(v for v in model.graph.values() if v.name == "k"))
    return model


# What stands in the place of anything: nothing, each kind of value, and what is too large for its kind.
INSTEAD: list[Any] = [
    None,
    True,
    7,
    -1,
    2**63,
    10**30,
    0.5,
    "x",
    "\ud800",
    [],
    {},
    [1, "x"],
    {"bytes": "AA=="},
    {"float": "nan"},
    {"graph": {}},
]


def mutants(tree: Any) -> Iterator[tuple[str, Any]]:
    """The tree with each of its parts replaced, left out, given twice."""
    for holder, key in places(tree):
        old = holder[key]
        for new in INSTEAD:
            holder[key] = copy.deepcopy(new)
            yield f"{key} is {new!r} in place of {old!r:.60}", tree
        holder[key] = old
        kept = copy.copy(holder)
        if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(old))
            yield f"{old!r:.60} twice", tree
            holder[:] = kept
        del holder[key]
        yield f"without {key}: {old!r:.60}", tree
        holder.clear()
        holder.extend(kept) if isinstance(holder, list) else holder.update(kept)


def test_each_part_of_a_message_may_be_anything() -> None:
    file = File(graphir.dumps(rich(), "gir"))
    read = tried = 0
    for what, _ in islice(mutants(file.tree), 0, None, 2):  # all of them are right, too, and take as long again
        try:
            model = graphir.loads(file.bytes(), "gir")
        except Exception as e:
            assert isinstance(e, FormatError), f"{what}: {type(e).__name__}: {e}"
            tried += 1
            continue
        read, tried = read + 1, tried + 1
        model.updates.clear()
        for use in (check, lambda m: graphir.dumps(m, "gir"), lambda m: graphir.dumps(m, "onnx"), graphir.compile):
            try:
                use(model)
            except Exception as e:
                why = stumble(e)
                assert why is None, f"{what}: {why}: {e}"
    assert tried > 1000 and read > 150


WRONG: dict[str, list[Any]] = {
    "text": [7, None, b"x", ["x"]], "a list of texts": ["x", [7], {"x": "y"}, 7], "a table of texts": [7, "x", {"x": 7}, ["x"]],
    "bytes": ["x", 7, None], "an integer of 64 bits": ["x", True, 2**63, 0.5, None], "true or false": ["x", 1, None],
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_carried_is_held_to_its_kind(name: str) -> None:
    for wrong in WRONG[ENTRIES[name].words]:
        for holder in ("model", "graph", "node", "function", "tensor"):
            model = rich()
            x = {
                "model": model, "graph": model.graph, "node": model.graph.nodes[0], "function": next(iter(model.functions.values())),
                "tensor": model.graph.weights["w"].tensor,
            }[holder]  # fmt: skip
            model.updates.clear()
            x.carried = {**(x.carried or {}), name: wrong}  # pyright: ignore[reportAttributeAccessIssue]
            said = answers(lambda model=model: graphir.dumps(model, "onnx"))
            assert name in said and ENTRIES[name].words in said, (holder, wrong, said)
            assert holder not in ("node", "function") or {"node": "'call'", "function": "'F'"}[holder] in said


@pytest.mark.parametrize("wrong", [7, "x", b"abc", [], [{}], True])
def test_what_is_carried_is_a_table(wrong: Any) -> None:
    base = {"version": 1, "graph": {"name": "g"}, "sha256": {}}
    shown = {"bytes": "YWJj"} if isinstance(wrong, bytes) else wrong
    with pytest.raises(FormatError):
        graphir.loads(json.dumps({**base, "carried": shown}).encode(), "json")
    model = rich()
    model.updates.clear()
    model.graph.nodes[0].carried = wrong
    assert "node 'call': what is carried is" in answers(lambda: graphir.dumps(model, "onnx"))
    for training in ([wrong], [{"origin": wrong}], [{}]):
        model = graphir.Model(graphir.Graph("g"))
        model.training = training
        assert "training[0]" in answers(lambda model=model: graphir.dumps(model, "onnx")) or isinstance(wrong, bytes)


@pytest.mark.parametrize("origin", [b"\xff\xff", b"\x0a\xff", b"\x08"])
def test_an_origin_that_is_no_message(origin: bytes) -> None:
    for pick in (lambda m: m, lambda m: m.graph, lambda m: m.graph.nodes[0], lambda m: m.graph.weights["w"].tensor):
        for said in ({"origin": origin, "encoded": b""}, {"origin": b"", "encoded": origin}, {"origin": b""}, {"encoded": b""}):
            model = rich()
            model.updates.clear()
            pick(model).carried = said
            assert "carried" in answers(lambda model=model: graphir.dumps(model, "onnx"))


def test_an_empty_graph_comes_back() -> None:
    for name in ("", "g"):
        for kind in ("gir", "json"):
            data = graphir.dumps(graphir.Model(graphir.Graph(name)), kind)
            assert graphir.dumps(graphir.loads(data, kind), kind) == data


def test_graphs_where_none_can_be() -> None:
    body = helper.make_graph([node("Neg", ["x"], ["q"])], "b", [], [info("q")])
    for attribute in (body, [body, body]):
        odd = load(proto([node("Neg", ["x"], ["y"], name="n", body=attribute)]))
        for kind in ("gir", "json"):
            assert "'n/body" in answers(lambda odd=odd, kind=kind: graphir.dumps(odd, kind))
        assert "Neg has no attribute 'body'" in answers(lambda odd=odd: graphir.compile(odd))


TWO = function("Two", ["n", "s"], [node("Neg", ["a"], ["n"]), node("Shape", ["a"], ["s"])])
PASS = function("Pass", ["a", "m"], [node("Neg", ["b"], ["m"])])


def test_calls_name_the_outputs_that_there_are() -> None:
    many = load(proto([node("Two", ["x"], ["y", "s", "t"], name="call", domain="f")], ["y"], functions=[TWO]))
    said = "f.Two makes 2 outputs; the node names 3"
    assert [f"node 'call': {said}"] == check(many).problems and said in answers(lambda: graphir.compile(many))
    trailing = load(proto([node("Two", ["x"], ["y", "s", ""], domain="f")], ["y"], functions=[TWO]))
    assert not check(trailing).problems


def test_an_output_has_the_type_of_its_own_place() -> None:
    """Also where a call leaves out the one before it, or the function does not make that."""
    second = load(proto([node("Two", ["x"], ["", "y"], domain="f")], functions=[TWO]))
    assert str(second.graph.outputs[0].type) == "int64[1] = (3)" or str(second.graph.outputs[0].type).startswith("int64[1]")
    assert graphir.compile(second).run({"x": np.ones(3, np.float32)})["y"].tolist() == [3]
    missing = load(proto([node("Pass", ["", "x"], ["", "y"], domain="f")], functions=[PASS]))
    assert str(missing.graph.outputs[0].type) == "float32[3]"
    read = load(proto([node("Pass", ["", "x"], ["z", "y"], domain="f")], ["y", "z"], functions=[PASS]))
    assert "z is read, but the function does not make it" in answers(lambda: graphir.compile(read))


X, W = np.ones(3, np.float32), {"w": np.ones((2, 3), np.float32)}
I = {"i": np.array([2, 3]), "one": np.float32(1), "twice": np.array([0, 0]), "f": np.ones(2, np.float32), "far": np.array([9])}
# Nodes that are not as their operators are declared, in the middle of what would be simplified.
MISFITS: dict[str, list[onnx.NodeProto]] = {
    "no output": [node("Neg", ["x"], ["y"]), node("Unsqueeze", ["x", "far"], [])],
    "too many outputs": [node("Identity", ["x"], ["y", "z"])],
    "too many inputs": [node("Identity", ["x", "x"], ["y"])],
    "no input": [node("Identity", [], ["y"])],
    "one input of two": [node("Mul", ["x"], ["y"])],
    "an input that is left out": [node("Div", ["", "one"], ["y"])],
    "a permutation of too many": [node("Transpose", ["w"], ["t"], perm=[1, 0]), node("Transpose", ["t"], ["y"], perm=[2, 1, 0])],
    "a permutation out of range": [node("Transpose", ["w"], ["t"], perm=[0, 7]), node("Transpose", ["t"], ["y"], perm=[1, 0])],
    "a permutation of text": [node("Transpose", ["w"], ["t"], perm=["a", "b"]), node("Transpose", ["t"], ["y"], perm=[1, 0])],
    "axes given twice": [node("Reshape", ["w", "i"], ["r"]), node("Unsqueeze", ["r", "twice"], ["y"])],
    "axes out of range": [node("Reshape", ["w", "i"], ["r"]), node("Unsqueeze", ["r", "far"], ["y"])],
    "a shape of floats": [node("Reshape", ["w", "f"], ["r"]), node("Reshape", ["r", "i"], ["y"])],
    "a shape that does not fit": [node("Reshape", ["x", "i"], ["r"]), node("Reshape", ["r", "i"], ["y"])],
    "no shape": [node("Reshape", ["w", "i"], ["r"]), node("Reshape", ["r"], ["y"])],
    "a flag of text": [node("Reshape", ["w", "i"], ["r"]), node("Reshape", ["r", "i"], ["y"], allowzero="yes")],
    "a sum of nothing": [node("Sum", [], ["y"])],
    "a sum of two sizes": [node("Sum", ["x", "f"], ["s"]), node("Mul", ["s", "one"], ["y"])],
    "a constant of nothing": [node("Constant", [], ["s"]), node("Unsqueeze", ["x", "s"], ["u"]), node("Squeeze", ["u", "s"], ["y"])],
    "a Gemm of one": [node("Gemm", ["w"], ["t"]), node("Transpose", ["t"], ["y"], perm=[1, 0])],
    "pads of floats": [node("Pad", ["w", "f"], ["p"]), node("Sum", ["p", "p"], ["y"])],
    "Dropout of nothing": [node("Dropout", [], ["y"])],
    "a cast to nothing": [node("Cast", ["x"], ["y"])],
    "a sequence in place of a tensor": [node("SequenceConstruct", ["x"], ["s"]), node("Div", ["s", "one"], ["y"])],
    "a sequence in place of a shape": [node("SequenceConstruct", ["i"], ["s"]), node("Reshape", ["w", "s"], ["y"])],
    "an optional in place of a tensor": [node("Optional", ["x"], ["o"]), node("Transpose", ["o"], ["y"])],
    "a reference outside of functions": [node("Selu", ["x"], ["y"])],
}


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("declared", [(), (2, 3), (3,)], ids=str)
def test_misfits_are_told(name: str, declared: tuple[int, ...]) -> None:
    nodes = copy.deepcopy(MISFITS[name])
    if name == "a reference outside of functions":
        nodes[0].attribute.add(name="gamma", type=onnx.AttributeProto.FLOAT, ref_attr_name="g")
    model = load(proto(nodes, [info("y", declared) if declared else "y"], {**W, **I}))
    problems = check(model).problems
    assert problems and not any(map(raw, problems)), "the check tells, too"
    for use in (
        lambda: graphir.compile(model).run({"x": X}),
        lambda: graphir.gradient(model, of="y"),
        lambda: graphir.training.step(model),
    ):
        answers(use)
    assert answers(lambda: graphir.compile(model).run({"x": X})), "it does not run"


def test_integers_beyond_64_bits() -> None:
    base = {"version": 1, "opsets": {"": 20}, "graph": {"inputs": [{"name": "x", "type": "float32[3]"}], "outputs": ["y"]}, "sha256": {}}
    for attributes in ({"axis": 2**63}, {"axis": 2**64 - 1}):
        base["graph"]["nodes"] = [{"op": "Softmax", "inputs": ["x"], "outputs": ["y"], "attributes": attributes}]
        model = graphir.loads(json.dumps(base).encode(), "json")
        assert "axis holds an integer beyond 64 bits" in answers(lambda model=model: graphir.compile(model))
        assert answers(lambda model=model: graphir.dumps(model, "onnx"))


def test_names_that_are_not_unicode() -> None:
    for holder in ("name", "doc", "metadata"):
        model = rich()
        model.updates.clear()
        if holder == "name":
            model.graph.nodes[0].name = "\ud800"
        elif holder == "doc":
            model.graph.nodes[0].carried = {"doc": "\ud800"}
        else:
            model.metadata["\ud800"] = "x"
        assert "is not UTF-8" in answers(lambda model=model: graphir_onnx.to_proto(model))
        assert graphir.dumps(model, "txt")
        assert graphir.loads(graphir.dumps(model, "gir"), "gir")


def test_a_message_is_read_as_it_stands() -> None:
    """The mutants are mutants of a file that can be read."""
    file = File(graphir.dumps(rich(), "gir"))
    assert graphir.dumps(graphir.loads(file.bytes(), "gir"), "gir") == graphir.dumps(rich(), "gir")
    assert json.loads(text(file.tree)) == file.tree
