"""Two programs held against each other: the first value that differs is found, wherever it lies, and said with its node and what went in."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, ops, plugins, training
from graphir.results import difference, tolerance, worst

X = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


def chain(length: int) -> Model:
    """x + 1 + 1 ..., with the values v0, v1, ...; the output is the last."""
    graph = Graph("chain")
    v = graph.input("x", TensorType("float32", ("N", 4)))
    for i in range(length):
        v = ops.elementwise.add(v, graph.weight(f"w{i}", np.float32(1))).named(f"v{i}")
        graph.nodes[-1].name = f"n{i}"
    graph.output(v)
    return Model(graph)


class Spoilt:
    """A program that runs another, and changes values on the way out, and what hangs on them, as a wrong kernel would. It notes what it was asked for."""

    def __init__(self, program, wrong: dict):
        self.program = program
        self.wrong = wrong
        self.asked: list[list[str]] = []

    def run(self, feeds, fetch):
        self.asked.append(list(fetch))
        found = self.program.run(feeds, fetch)
        return {a: self.wrong[a](x) if a in self.wrong else x for a, x in found.items()}


def spoilt(model: Model, wrong: dict) -> dict:
    program = graphir.compile(model)
    return {"numpy": program, "other": Spoilt(program.clone(), wrong)}


def from_value(k: int, length: int) -> dict:
    return {f"v{i}": lambda x: x + np.float32(0.5) for i in range(k, length)}


@pytest.mark.parametrize("k", [0, 1, 63, 64, 65, 129])
def test_the_first_value_that_differs(k):
    found = graphir.compare(chain(130), {"x": X}, spoilt(chain(130), from_value(k, 130)))
    assert not found.ok and found.first is not None
    assert (found.first.gap.name, found.first.node, found.first.operator) == (f"v{k}", f"n{k}", "Add")
    assert [gap.name for gap, _ in found.first.inputs] == ["x" if k == 0 else f"v{k - 1}", f"w{k}"]
    assert "the first value that differs is" in str(found) and f"node 'n{k}' (Add)" in str(found)


def test_programs_that_agree():
    found = graphir.compare(
        chain(3), {"x": X}, {"numpy": graphir.compile(chain(3)), "onnxruntime": graphir.compile(chain(3), "onnxruntime")}
    )
    assert found.ok and found.first is None and found.lines() == []
    assert [gap.name for gap in found.outputs] == ["v2"]


def test_what_the_wrong_value_is_told_with():
    def wrong(x):
        x = x.copy()
        x[2, 1] += 7
        return x

    lines = graphir.compare(chain(2), {"x": X}, spoilt(chain(2), {"v0": wrong, "v1": wrong})).lines()
    assert lines[0] == "the first value that differs is v0, made by node 'n0' (Add): at [2, 1] 1.63636363 on numpy, 8.63636398 on other"
    assert lines[1] == "its largest difference is 7; expected at most 0.0002"
    assert lines[2] == "input x: float32[3, 4]  min -1  mean 0  max 1  largest difference 0"


def test_memory_is_bounded():
    """Values are fetched in parts that fit, each once."""
    programs = spoilt(chain(40), {"v39": lambda x: x + 1})
    graphir.compare(chain(40), {"x": X}, programs, memory=5 * X.nbytes)
    asked = programs["other"].asked
    searched = asked[1:-2]  # after the outputs, before the place is told
    assert max(map(len, searched)) == 5
    assert [a for part in searched for a in part] == [f"v{i}" for i in range(40)]


def test_only_what_the_wrong_output_hangs_on_is_searched():
    model = chain(3)
    graph = model.graph
    other = graph.output(ops.elementwise.mul(graph.inputs[0], 3.0), "other")
    assert other.node is not None
    wrong = {"v1": lambda x: x + 1, "v2": lambda x: x + 1, "other": lambda x: x + 1}
    assert graphir.compare(model, {"x": X}, spoilt(model, wrong), fetch=["other"]).first.gap.name == "other"  # pyright: ignore[reportOptionalMemberAccess]


def test_a_difference_that_no_single_value_shows():
    """A runtime that computes the output wrong only where nothing else is fetched, as one that joins nodes."""
    program = graphir.compile(chain(3))

    class Joins:
        def run(self, feeds, fetch):
            found = program.run(feeds, fetch)
            return {"v2": found["v2"] + 1} if list(fetch) == ["v2"] else found

    found = graphir.compare(chain(3), {"x": X}, {"numpy": program, "joins": Joins()})  # pyright: ignore[reportArgumentType]
    assert not found.ok and found.first is None
    assert found.lines() == [
        "no value before the outputs differs when it is fetched: the difference lies in how a runtime joins nodes into one"
    ]


def random_then(add_wrong: bool) -> Model:
    graph = Graph("random")
    x = graph.input("x", TensorType("float32", ("N", 4)))
    noise = ops.create.random_normal_like(x).named("noise")
    late = ops.elementwise.add(ops.elementwise.neg(x).named("sure"), noise).named("late")
    graph.output(late)
    return Model(graph)


def test_random_numbers_are_named_as_such():
    model = random_then(False)
    programs = {"numpy": graphir.compile(model), "onnxruntime": graphir.compile(model, "onnxruntime")}
    found = graphir.compare(model, {"x": X}, programs)
    assert not found.ok and found.first is not None
    assert found.first.gap.name == "noise" and found.first.random
    assert "the node draws random numbers, and each runtime draws others" in found.lines()
    programs["onnxruntime"] = Spoilt(programs["onnxruntime"], {"sure": lambda x: x + 1})  # pyright: ignore[reportArgumentType]
    found = graphir.compare(model, {"x": X}, programs)
    assert found.first is not None and found.first.gap.name == "sure" and not found.first.random


def test_training_steps_are_compared_with_what_their_weights_become():
    graph = Graph("linear")
    graph.output(
        ops.math.matmul(graph.input("x", TensorType("float32", ("N", 4))), graph.weight("w", np.ones((4, 3), np.float32))), "logits"
    )
    step = training.step(Model(graph), optimizer=training.sgd(0.1))
    feeds = {"x": X, "y": np.array([0, 1, 2])}
    programs = {"numpy": graphir.compile(step), "onnxruntime": graphir.compile(step, "onnxruntime")}
    before = programs["numpy"].state["w"]
    found = graphir.compare(step, feeds, programs)
    assert found.ok and len(found.outputs) == len({*step.outputs, *step.updates.values()}) > len(step.outputs)
    np.testing.assert_array_equal(programs["numpy"].state["w"], before)


@pytest.mark.parametrize(
    ("x", "y", "gap"),
    [
        (X, X, 0),
        (X, X.astype("float64"), np.inf),
        (X, X[:2], np.inf),
        (np.array([1, np.nan], "float32"), np.array([1, np.nan], "float32"), 0),
        (np.array([1, np.inf], "float32"), np.array([1, 2], "float32"), np.inf),
        (np.array([2**62]), np.array([2**62 + 1]), np.finfo("float64").tiny),
        ([X, X], [X, X + 2], 2),
        ([X], [X, X], np.inf),
        (None, X, np.inf),
        (np.array(["a"], object), np.array(["b"], object), np.inf),
        ({"a": 0.5, "b": 1.0}, {"b": 1.25, "a": 0.5}, 0.25),
        ({0: 0.5, 1: np.nan}, {0: np.float32(0.5), 1: np.float32(np.nan)}, 0),
        ({0: 0.5}, {0: 0.5, 1: 0.0}, np.inf),
        ({0: 0.5}, {1: 0.5}, np.inf),
        ({0: 0.5}, {"0": 0.5}, np.inf),
        ({0: 1}, {0: 2}, 1),
        ({0: 1}, {0: 1.0}, np.inf),
        ({"a": "one"}, {"a": "two"}, np.inf),
        ({"a": "one"}, {"a": b"one"}, np.inf),
        ({}, {}, 0),
        ({}, {0: 1.0}, np.inf),
        ({0: X}, {0: X + np.float32(2)}, 2),
        ({0: X}, {0: X[:2]}, np.inf),
        ({0: [X, X]}, {0: [X, X]}, 0),
        ({0: 1.0}, [1.0], np.inf),
        ({0: 1.0}, np.ones(1, np.float32), np.inf),
        ([{0: 0.5}, {0: 0.25}], [{0: 0.5}, {0: 0.75}], 0.5),
        ([{0: 0.5}], None, np.inf),
        ([[{0: 0.5}], []], [[{0: 0.75}], []], 0.25),
        ([[X], [X, X]], [[X], [X, X + np.float32(1)]], 1),
        ([[X]], [[X, X]], np.inf),
        ([None, X], [X, X], np.inf),
        ("a", "b", np.inf),
        ({0: "a"}, {0: np.array("b")}, np.inf),
        (np.array(["a", "b"]), np.array(["a", "b"], object), 0),
        (["a", np.array(["a"])], ["a", np.array(["ab"])], np.inf),
    ],
)
def test_differences(x, y, gap):
    assert difference(x, y) == pytest.approx(gap)
    assert (difference(x, y) == 0) == (gap == 0)
    assert all(isinstance(text, str) for text in worst(x, y))


ROWS = [{0: 0.25, 7: 0.75}, {0: 0.5, 7: 0.5}]


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (ROWS, [ROWS[0], {0: 0.5, 7: 0.625}], "element 1, key 7, 0.5|0.625"),
        (ROWS, [ROWS[0], {0: 0.5}], "element 1, keys that the other lacks: 7|none"),
        ({"a": 1.0, "c": 1.0}, {"b": 2.0, "c": 1.0}, "keys that the other lacks: 'a'|'b'"),
        (dict.fromkeys(range(20), 0.0), {}, "keys that the other lacks: 0, 1, 2, 3, 4, 5, 6, 7, ...|none"),
        ({"a": "x", "b": "y"}, {"a": "x", "b": "z"}, "key 'b', y|z"),
        ({"a": X}, {"a": X + np.eye(3, 4, dtype=np.float32)}, "key 'a', at [0, 0] -1|0"),
        ([[X], [X, X]], [[X], [X, X + np.eye(3, 4, dtype=np.float32)]], "element 1, element 1, at [0, 0] -1|0"),
        ([{0: 1.0}], [None], "element 0, map of 1|optional"),
    ],
)
def test_where_maps_and_sequences_differ_most(x, y, text):
    found = worst(x, y)
    assert f"{found.place}{found.first}|{found.second}" == text


@pytest.mark.parametrize("labels", [{"classlabels_int64s": (0, 3, 9)}, {"classlabels_strings": ("a", "b", "a/c")}])
@pytest.mark.parametrize("optional", [False, True])
def test_a_classifier_agrees_on_two_runtimes(labels, optional):
    """Its probabilities are maps of single numbers, of which ONNX Runtime makes Python's; they have the digits of float32. Its labels are compared exactly."""
    graph = Graph("classifier")
    x = graph.input("x", TensorType("float32", ("N", 4)))
    names: Any = {"classlabels_ints": (0, 3, 9)} if "classlabels_int64s" in labels else labels
    rng = np.random.default_rng(0)
    label, scores = ops.ml_linear.linear_classifier(
        x,
        coefficients=tuple(rng.standard_normal(12).tolist()),
        intercepts=(0.1, 0.2, 0.3),
        multi_class=1,
        post_transform="SOFTMAX",
        **names,
    )
    graph.output(label, "label")
    maps = ops.ml.zip_map(scores, **labels)
    graph.output(ops.sequence.optional(graph, maps) if optional else maps, "maps")
    model, feeds = Model(graph), {"x": rng.standard_normal((50, 4)).astype("float32")}
    if not optional:
        found = graphir.compare(model, feeds, {"numpy": graphir.compile(model), "onnxruntime": graphir.compile(model, "onnxruntime")})
        assert found.ok and {gap.name: gap.allowed for gap in found.outputs}["label"] == 0, str(found)
        assert 0 < max(gap.largest for gap in found.outputs) < 1e-6, "the two runtimes round alike: the test shows nothing"

    def wrong(x):
        return [{**row, next(iter(row)): 5.0} if i == 3 else row for i, row in enumerate(x)]

    def lacking(x):
        return [dict(list(row.items())[1:]) for row in x]

    for change, text in ((wrong, "element 3, key "), (lacking, "element 0, keys that the other lacks: ")):
        found = graphir.compare(model, feeds, spoilt(model, {"maps": change}))
        assert not found.ok and text in str(found)
    assert not graphir.compare(model, feeds, spoilt(model, {"label": lambda x: x[::-1]})).ok


def test_tolerances_follow_the_narrowest_float_on_the_way():
    assert [tolerance(np.ones(2, d)) for d in ("float64", "float32", "float16", "int32", "bool")] == [1e-6, 1e-4, 1e-2, 0, 0]
    assert tolerance([{0: 1.0, 1: 100.0}], least=1e-4) == pytest.approx(1e-2) and tolerance([{0: 5}, {0: "text"}, None, {}]) == 0
    assert tolerance(X * 100) == pytest.approx(1e-2)
    assert tolerance(X * 100, rtol=0.5, atol=7) == pytest.approx(50) and tolerance(X, rtol=0.5, atol=7) == 7
    graph = Graph("narrow")
    x = graph.input("x", TensorType("float32", (4,)))
    h = ops.elementwise.cast(ops.elementwise.tanh(ops.elementwise.cast(x, to="float16")), to="float32")
    graph.output(h, "through16")
    graph.output(ops.elementwise.neg(x), "straight")
    model = Model(graph)
    program = graphir.compile(model)
    found = graphir.compare(model, {"x": X[0]}, {"a": program, "b": program.clone()})
    assert {gap.name: gap.allowed for gap in found.outputs} == {"through16": 1e-2, "straight": 1e-4}


# ---- a runtime of somebody else's ---------------------------------------------------------------------------------------------------

THEIRS = '''
"""A runtime of another package: it runs chains of Add, node by node. The model may ask it to be wrong."""

import numpy as np


class Program:
    state, stages, source = {}, [], "node by node"

    def __init__(self, model):
        self.model = model.copy()

    def run(self, feeds, fetch=None):
        graph = self.model.graph
        values = {**{name: w.tensor.array for name, w in graph.weights.items()}, **feeds}
        for node in graph.nodes:
            if str(node.op) != "Add":
                raise TypeError(f"abacus adds, and cannot {node.op}")
            values[node.outputs[0].name] = sum(np.asarray(values[v.name]) for v in node.inputs) * (0.5 if node.name == "n3" else 1)
        return {name: values[name] for name in fetch or [v.name for v in graph.outputs]}

    def clone(self):
        return self


class Abacus:
    name = "abacus"

    def unavailable(self):
        return None

    def version(self):
        return "abacus 9.1"

    def compile(self, model, *, limits=None, seed=0):
        return Program(model)


runtime = Abacus()
'''


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A package of somebody else's is installed, that has a runtime."""
    info = tmp_path / "site/theirs-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[graphir.runtimes]\nabacus = their_runtime:runtime\n")
    (tmp_path / "site/their_runtime.py").write_text(THEIRS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()
    sys.modules.pop("their_runtime", None)


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "graphir", *arguments], capture_output=True, text=True)


def test_a_runtime_of_another_package_runs(theirs, tmp_path):
    found = graphir.compile(chain(3), "abacus").run({"x": X})
    np.testing.assert_allclose(found["v2"], X + 3, rtol=1e-6)
    facts = {f.name: f for f in plugins.runtime_facts()}
    assert facts["abacus"] == ("abacus", "theirs 1.2", "abacus 9.1", True, None)
    np.save(tmp_path / "x.npy", X)

    def run(n: int, *more: str) -> subprocess.CompletedProcess:
        return command("run", str(tmp_path / f"{n}.onnx"), "--input", f"x={tmp_path / 'x.npy'}", *more)

    for n in (3, 6):
        graphir.save(chain(n), tmp_path / f"{n}.onnx")
    listed = next(line for line in command("runtimes").stdout.splitlines() if line.startswith("abacus"))
    assert listed.split("  ")[-1] == "can run here" and "theirs 1.2" in listed and "abacus 9.1" in listed
    assert run(3, "--runtime", "abacus").stdout.startswith("v2  float32[3, 4]")
    assert run(3, "--against", "abacus").returncode == 0
    done = run(6, "--against", "abacus")
    assert done.returncode == 1 and done.stderr == ""
    assert "the first value that differs is v3, made by node 'n3' (Add)" in done.stdout
    assert run(6, "--against", "abacus", "--atol", "100").returncode == 0


def test_tolerances_need_something_to_compare(tmp_path):
    graphir.save(chain(1), tmp_path / "m.onnx")
    done = command("run", str(tmp_path / "m.onnx"), "--rtol", "1")
    assert done.returncode == 2 and "give --against too" in done.stderr
