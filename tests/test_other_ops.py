"""Operators that other packages declare: found by name, run, written and read like ours."""

from types import SimpleNamespace

import numpy as np
import pytest

import graphir
import other_ops
from graphir import Graph, Model, TensorType, ops
from graphir.ops import Op


@pytest.fixture
def installed_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ops, "installed", lambda group: {"acme": SimpleNamespace(load=lambda: other_ops)} if group == "graphir.ops" else {})
    ops.others.cache_clear()
    yield
    ops.others.cache_clear()


def model() -> Model:
    graph = Graph("g")
    graph.output(other_ops.cube(graph.input("x", TensorType("float32", ("N",))), scale=2.0), "y")
    return Model(graph, opsets={"": 28, "com.acme": 1})


def test_an_op_of_another_package_runs() -> None:
    assert graphir.compile(model()).run({"x": np.array([1.0, 2.0], "float32")})["y"].tolist() == [2, 16]


@pytest.mark.parametrize("format", ["onnx", "gir"])
def test_it_is_written_and_found_again(format: str, installed_there: None) -> None:
    again = graphir.loads(graphir.dumps(model(), format=format), format=format)
    assert isinstance(again.graph.nodes[0].op, Op) and str(again.outputs[0].type) == "float32[N]"
    assert graphir.compile(again).run({"x": np.array([3.0], "float32")})["y"].tolist() == [54]


def test_without_the_package_it_is_foreign() -> None:
    ops.others.cache_clear()
    again = graphir.loads(graphir.dumps(model(), format="onnx"), format="onnx")
    with pytest.raises(TypeError, match=r"com\.acme\.Cube of .*: no such operator is declared"):
        graphir.compile(again)
