"""No pass takes quadratic time: no line of the house runs sixteen times as often where a model is four times as large.

Executions of lines are counted, not seconds, so that nothing hangs on the machine.
"""

import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import graphir
from graphir.info import facts
from graphir.model import Model
from graphir.passes.check import check

ROOT = str(Path(__file__).parent.parent) + "/"
N, MORE = 30, 4
node = helper.make_node


def info(name: str, shape: Any = (3,), kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, x: Any = (1.0, 2.0, 3.0)) -> TensorProto:
    return numpy_helper.from_array(np.asarray(x, None if isinstance(x, int) else np.float32), name)


def model(nodes: list, inputs: Any = None, outputs: Any = ("y",), weights: Any = (), functions: Any = ()) -> ModelProto:
    listed = [helper.make_empty_tensor_value_info(o) for o in outputs]
    graph = helper.make_graph(nodes, "g", [info("x")] if inputs is None else inputs, listed, list(weights))
    opsets = [helper.make_opsetid("", 20), *([helper.make_opsetid("f", 1)] if functions else [])]
    return helper.make_model(graph, functions=list(functions), ir_version=10, opset_imports=opsets)


def body(nodes: list, outputs: list[str], inputs: Any = ()) -> Any:
    return helper.make_graph(nodes, "b", list(inputs), [helper.make_empty_tensor_value_info(o) for o in outputs])


def names(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(n)]


def loop(n: int) -> ModelProto:
    """A Loop of n states."""
    s, t = names("s", n), names("t", n)
    inner = body(
        [node("Identity", ["go"], ["on"]), *(node("Sigmoid", [a], [b]) for a, b in zip(s, t))], ["on", *t],
        [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), *map(helper.make_empty_tensor_value_info, s)],
    )  # fmt: skip
    return model(
        [node("Loop", ["m", "", *["x"] * n], names("z", n), body=inner), node("Sum", names("z", n), ["y"])], weights=[weight("m", 2)]
    )


def branches(n: int) -> ModelProto:
    """An If whose branches read and make n values each."""
    v = names("v", n)
    then, other = (body([node(op, [a], [f"{a}_{op}"]) for a in v], [f"{a}_{op}" for a in v]) for op in ("Exp", "Neg"))
    nodes = [node("Sigmoid", ["x"], [a]) for a in v] + [node("If", ["c"], names("z", n), then_branch=then, else_branch=other)]
    return model([*nodes, node("Sum", names("z", n), ["y"])], [info("x"), info("c", [], TensorProto.BOOL)])


def functions(n: int) -> ModelProto:
    made = [
        helper.make_function("f", f"F{i}", ["a"], ["b"], [node("Sigmoid", ["a"], ["b"])], [helper.make_opsetid("", 20)]) for i in range(n)
    ]
    steps = ["x", *names("v", n - 1), "y"]
    return model([node(f"F{i}", [steps[i]], [steps[i + 1]], domain="f") for i in range(n)], functions=made)


def chain(n: int, op: str, *more: str, **attributes: Any) -> list:
    steps = ["x", *names("v", n - 1), "y"]
    return [node(op, [a, *more], [b], **attributes) for a, b in pairwise(steps)]


MODELS: dict[str, Callable[[int], ModelProto]] = {
    "a Sum of one value": lambda n: model([node("Sum", ["x"] * n, ["y"])]),
    "a Sum of inputs": lambda n: model([node("Sum", names("x", n), ["y"])], [info(v) for v in names("x", n)]),
    "a Sum of readers": lambda n: model([*(node("Exp", ["x"], [v]) for v in names("v", n)), node("Sum", names("v", n), ["y"])]),
    "a Sum of expanded values": lambda n: model(
        [*(node("Expand", ["x", "k"], [v]) for v in names("v", n)), node("Sum", names("v", n), ["y"])], [info("x", [1])],
        weights=[numpy_helper.from_array(np.array([3]), "k")],
    ),
    "a Sum of padded parts": lambda n: model(
        [*(node("Pad", ["x", f"p{v}"], [v]) for v in names("v", n)), node("Sum", names("v", n), ["y"])], [info("x", [1])],
        weights=[numpy_helper.from_array(np.array([i, n - 1 - i]), f"pv{i}") for i in range(n)],
    ),
    "constants": lambda n: model(
        [*(node("Constant", [], [v], value=weight("", [i, 1, 2])) for i, v in enumerate(names("k", n))), node("Sum", ["x", *names("k", n)], ["y"])]
    ),
    "identities": lambda n: model([*(node("Identity", ["x"], [v]) for v in names("v", n)), node("Sum", names("v", n), ["y"])]),
    "a chain": lambda n: model(chain(n, "Sigmoid")),
    "one weight read by all": lambda n: model(chain(n, "Mul", "w"), weights=[weight("w")]),
    "weights that are inputs": lambda n: model(
        [node("Sum", ["x", *names("w", n)], ["y"])], [info("x"), *map(info, names("w", n))], weights=[weight(v) for v in names("w", n)]
    ),
    "outputs": lambda n: model([node("Sigmoid", ["x"], [v]) for v in names("y", n)], outputs=names("y", n)),
    "a sequence that grows": lambda n: model(
        [node("SequenceEmpty", [], ["q0"]), *(node("SequenceInsert", [f"q{i}", "x"], [f"q{i + 1}"]) for i in range(n)),
         node("SequenceAt", [f"q{n}", "k"], ["y"])],
        weights=[weight("k", 0)],
    ),
    "states of a Loop": loop,
    "branches of an If": branches,
    "functions": functions,
}  # fmt: skip


def gradient(loaded: Model, data: bytes, feeds: dict[str, Any]) -> None:
    graphir.gradient(loaded, of=loaded.outputs[0].name)


VERBS: dict[str, Callable[[Model, bytes, dict[str, Any]], Any]] = {
    "load": lambda loaded, data, feeds: graphir.loads(data),
    "info": lambda loaded, data, feeds: (facts(loaded), str(loaded)),
    "check": lambda loaded, data, feeds: check(loaded),
    "run": lambda loaded, data, feeds: graphir.compile(loaded).run(feeds),
    "grad": gradient,
    "export": lambda loaded, data, feeds: (graphir.dumps(loaded, "onnx"), graphir.loads(graphir.dumps(loaded, "gir"), "gir")),
}


def lines_run(verb: str, proto: ModelProto) -> Counter[tuple[CodeType, int]]:
    """How often each line of the house runs."""
    data = proto.SerializeToString()
    loaded = graphir.loads(data)
    feeds = {v.name: np.ones(v.shape, v.dtype) for v in loaded.inputs if v.tensor is None}  # pyright: ignore[reportCallIssue, reportArgumentType]
    found: Counter[tuple[CodeType, int]] = Counter()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            found[frame.f_code, frame.f_lineno] += 1
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, event, _: line if frame.f_code.co_filename.startswith(ROOT) else None)
    try:
        VERBS[verb](loaded, data, feeds)
    finally:
        sys.settrace(before)
    return found


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("row", MODELS)
def test_no_line_runs_quadratically_often(row: str, verb: str) -> None:
    lines_run(verb, MODELS[row](2))  # imports, tables, what is remembered
    few, many = (lines_run(verb, MODELS[row](n)) for n in (N, MORE * N))
    steep = {at: n for at, n in many.items() if n > 20 * MORE * N and n > 7 * few[at]}
    assert not steep, "\n".join(
        f"{code.co_filename}:{number} ({code.co_name}): {few[code, number]} -> {n}" for (code, number), n in steep.items()
    )
