"""Files whose nodes stand in no topological order, as converters write them: they load sorted, and go out as they came."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper as oh
from onnx import numpy_helper

import graphir
import graphir_onnx
import test_gradient_nodes
from graphir import FormatError
from graphir.cli import main
from graphir.ops import lookup
from graphir.passes.check import check
from graphir.passes.upgrade import upgrade
from graphir.verify import verify
from shuffled import shuffled

X = np.array([1, 2, 3], np.float32)
HEAD = '<ir_version: 8, opset_import: ["": 17, "own": 1]> g (bool c, float[3] x) => (float[3] y)'
FUNCTIONS = """<domain: "own", opset_import: ["": 17, "own": 1]> f (a) => (b) { d = own.g (e) b = Neg (d) e = Sin (a) }
<domain: "own", opset_import: ["": 17]> g (a) => (b) { b = Add (s, a) s = Cos (a) }"""
ROWS = {
    "casts at the end": "h = Mul (a, k) y = Cast <to = 1> (h) a = Cast <to = 11> (x) k = Constant <value = double {2}> ()",
    "backwards": "y = Sin (d) d = Cos (e) e = Neg (f) f = Exp (x)",
    "a value of a branch made later": "y = If (c) <then_branch = t () => (ty) { ty = Mul (x, late) }, else_branch = e () => (ey) { ey = Neg (x) }> late = Sin (x)",
    "a value of a branch in a branch": "y = If (c) <then_branch = t () => (ty) { ty = If (c) <then_branch = t2 () => (z) { z = Mul (x, late) },"
    " else_branch = e2 () => (z2) { z2 = Identity (late) }> }, else_branch = e () => (ey) { ey = Neg (x) }> late = Sin (x)",
    "within branches": "y = If (c) <then_branch = t () => (ty) { ty = Sin (p) p = Cos (x) }, else_branch = e () => (ey) { ey = Mul (q, r) r = Exp (x) q = Neg (r) }>",
    "a branch that yields what is made later": "y = If (c) <then_branch = t () => (ty) { ty = Identity (late) }, else_branch = e () => (ey) { ey = Neg (x) }> late = Sin (x)",
    "in a loop": "n = Constant <value = int64 {3}> () y = Loop (m, , x) <body = b (int64 i, bool g, float[3] s) => (bool go, float[3] r)"
    " { r = Mul (u, late) u = Sin (s) go = Identity (g) }> late = Cos (x) m = Identity (n)",
    "in functions": "y = own.f (d) d = Neg (x)",
    "named twice in bodies": "y = Add (p, q) p = If (c) <then_branch = t () => (o) { o = Sin (v) v = Cos (x) }, else_branch = e () => (o2) { o2 = Neg (x) }>"
    " q = If (c) <then_branch = t2 () => (o3) { o3 = Exp (v2) v2 = Abs (x) }, else_branch = e2 () => (o4) { o4 = Neg (p) }>",
}  # fmt: skip
SORTED = "h = Sin (x) y = Cos (h)"


def proto(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEAD} {{ {text} }} {FUNCTIONS if 'own.' in text else ''}")


def run_elsewhere(data: bytes, feeds: dict[str, Any]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}
    return np.asarray(session.run(None, {k: x for k, x in feeds.items() if k in names})[0])


@pytest.mark.parametrize("text", ROWS.values(), ids=ROWS)
def test_they_load_sorted_and_go_out_as_they_came(text: str) -> None:
    data = proto(text).SerializeToString()
    model = graphir.loads(data)
    assert verify(model) == []
    problems = check(model).problems
    assert problems and all("its nodes are in no topological order: '" in p for p in problems)
    kinds = [model, model.copy(), graphir.loads(graphir.dumps(model, "gir"))]
    assert [graphir.dumps(m, "onnx") == data for m in kinds] == [True] * 3
    for c in (True, False):
        feeds = {"c": np.array(c), "x": X}
        want = run_elsewhere(graphir.dumps(model, "onnx", sort=True), feeds)
        for m, runtime in [*((m, "numpy") for m in kinds), (model, "onnxruntime")]:
            np.testing.assert_allclose(graphir.compile(m, runtime).run(feeds)["y"], want, rtol=1e-5)
        assert graphir.check_gradient(model, of="y", wrt="x", feeds=feeds).ok


CHANGES: dict[str, Any] = {
    "renamed": lambda m: m.graph.rename(m.graph.nodes[0].outputs[0], "other"),
    "an output more": lambda m: m.graph.output(
        m.graph.append(lookup("", "Neg"), (m.graph.inputs[1],), {}, [m.graph.inputs[1].type], names=["more"]).outputs[0]
    ),
    "raised": lambda m: m.graph.append(lookup("", "Neg"), (m.graph.inputs[1],), {}, [None]) and upgrade(m),
}


@pytest.mark.parametrize("change", [*CHANGES, "sort", "opset", "gradient"])
@pytest.mark.parametrize("row", ROWS)
def test_what_was_changed_goes_out_sorted(row: str, change: str) -> None:
    model = graphir.loads(proto(ROWS[row]).SerializeToString())
    if change in CHANGES:
        CHANGES[change](model)
    model = graphir.gradient(model, of="y", wrt="x") if change == "gradient" else model
    made = graphir_onnx.to_proto(model, opset=20 if change == "opset" else None, sort=change == "sort")
    onnx.checker.check_model(made)
    assert check(graphir_onnx.from_proto(made)).problems == []


def test_a_maker_comes_right_before_its_first_reader() -> None:
    model = graphir.loads(
        proto("a = Sin (x) h = Mul (a, late) b = Neg (h) y = Add (b, late2) late = Cos (x) late2 = Exp (late)").SerializeToString()
    )
    assert [n.label for n in model.graph.nodes] == ["a", "late", "h", "b", "late2", "y"]
    assert [n.label for n in graphir.loads(proto(SORTED).SerializeToString()).graph.nodes] == ["h", "y"]


CYCLES = {
    "two": ("a = Sin (y) y = Cos (a)", r"node 'a' \(Sin\): the input 'y' is not made before it, .* 'a' -> 'y' -> 'a'; expected no cycle"),
    "itself": ("y = Add (x, y)", "'y' -> 'y'; expected no cycle"),
    "three, behind others": ("p = Sin (x) q = Add (p, s) r = Neg (q) s = Exp (r) y = Identity (s)", "'q' -> 's' -> 'r' -> 'q'"),
    "by way of a branch": (
        "late = Neg (y) y = If (c) <then_branch = t () => (ty) { ty = Mul (x, late) }, else_branch = e () => (ey) { ey = Neg (x) }>",
        "'late' -> 'y' -> 'late'",
    ),
    "in a branch": ("y = If (c) <then_branch = t () => (ty) { ty = Mul (x, p) p = Sin (ty) }, else_branch = e () => (ey) { ey = Neg (x) }>", "graph 't'.* 'ty' -> 'p' -> 'ty'"),
    "a name that nothing makes": ("y = Sin (h) h = Add (x, ghost)", r"node 'h' \(Add\): the input 'ghost' is not made before it"),
    "of a branch": ("y = If (c) <then_branch = t () => (ty) { ty = Mul (x, ghost) }, else_branch = e () => (ey) { ey = Neg (x) }>", "the input 'ghost' is not made before it"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), CYCLES.values(), ids=CYCLES)
def test_cycles_and_what_is_missing(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        graphir.loads(proto(text).SerializeToString())


def test_a_long_chain_backwards_takes_linear_time() -> None:
    nodes = [oh.make_node("Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(4_000)]
    graph = oh.make_graph(
        nodes[::-1], "g", [oh.make_tensor_value_info("v0", 1, [1])], [oh.make_tensor_value_info("v4000", 1, [1])],
    )  # fmt: skip
    model = oh.make_model(graph, ir_version=8, opset_imports=[oh.make_opsetid("", 17)])
    began = time.perf_counter()
    loaded = graphir.loads(model.SerializeToString())
    assert [n.label for n in loaded.graph.nodes[:2]] == ["v1", "v2"]
    assert graphir.dumps(loaded, "onnx") == model.SerializeToString()
    assert time.perf_counter() - began < 8
    nodes[0].input[0] = "v4000"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(FormatError, match=r"'v1' -> 'v4000' -> .* \.\.\.; expected no cycle"):
        graphir.loads(model.SerializeToString())


@pytest.mark.parametrize("row", test_gradient_nodes.ROWS)
def test_what_a_gradient_node_names_is_made_before_it(row: str) -> None:
    made = test_gradient_nodes.proto(row)
    made.graph.node.extend([oh.make_node("Neg", ["unsorted"], ["unread"]), oh.make_node("Neg", ["w"], ["unsorted"])])
    for seed in range(3):
        other = shuffled(made, seed, allowed=False)
        other.graph.node.sort(key=lambda n: n.output[0] == "unsorted")
        model = graphir_onnx.from_proto(other)
        assert verify(model) == []
        assert graphir.dumps(model, "onnx") == other.SerializeToString()
        got = graphir.compile(model).run(test_gradient_nodes.FEEDS)
        for name, want in test_gradient_nodes.ROWS[row][1].items():
            np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6)


def test_files_with_big_data_and_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data that stays where it lies in a big file is found again when the file is read once more."""
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.standard_normal((400, 400)).astype(np.float32) for i in range(3)}
    nodes = [oh.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"]) for i in range(3)]
    ends = [oh.make_tensor_value_info(name, 1, [2, 400]) for name in ("h0", "h3")]
    graph = oh.make_graph(nodes[::-1], "g", ends[:1], ends[1:], [numpy_helper.from_array(w, name) for name, w in weights.items()])
    path = tmp_path / "unsorted.onnx"
    onnx.save(oh.make_model(graph, ir_version=8, opset_imports=[oh.make_opsetid("", 17)]), path)
    model = graphir.load(path)
    x = rng.standard_normal((2, 400)).astype(np.float32)
    want = x @ weights["w0"] @ weights["w1"] @ weights["w2"]
    np.testing.assert_allclose(graphir.compile(model).run({"h0": x})["h3"], want, rtol=1e-3, atol=1e-2)
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "graph 'g': its nodes are in no topological order: 'h3' stands before 'h1', on which it depends" in said
    graphir.save(model, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    assert main(["export", str(path), str(tmp_path / "sorted.onnx"), "--sort"]) == 0
    assert main(["check", str(tmp_path / "sorted.onnx")]) == 0


NONSENSE: list[Any] = [
    None, 7, {}, {"places": [[0, 1, 0]]}, {"places": "10"}, {"places": [[0, 1, 1]]}, {"places": [[0, 1.0, 0.0]]}, {"places": [[0, True, False]]},
    {"places": [[0, 2, 1, 0]]}, {"places": [[7, 1, 0]]}, {"places": [[-1, 1, 0]]}, {"places": [[]]}, {"places": [7]}, {"places": [["0", 1, 0]]},
]  # fmt: skip


@pytest.mark.parametrize("said", NONSENSE, ids=str)
def test_an_order_that_is_none_is_passed_over(said: Any) -> None:
    model = graphir.loads(proto("y = Cos (h) h = Sin (x)").SerializeToString())
    had = model.carried["order"]
    model.carried = {**model.carried, "order": {"of": had["of"], **said} if isinstance(said, dict) else said}
    places = [n.op_type for n in graphir_onnx.to_proto(model).graph.node]
    assert places == (["Cos", "Sin"] if said is NONSENSE[3] else ["Sin", "Cos"])
