"""A decomposition says what the kernel does: both run on the rows of every op that has the two."""

import numpy as np
import pytest

from cases import Case
from graphir import Graph, Model
from graphir.ops import Op
from graphir.passes.expand import decompose
from graphir_arrays.interpret import interpret, type_of
from graphir_arrays.kernel import find
from graphir_numpy.namespace import xp
from test_ops import BY_NAME, ROWS

BOTH = [op for op in BY_NAME.values() if op.decomposition is not None and not op.random and find(op) is not None]
# Rows whose decomposition is not what the kernel computes, to the last digits: (op, row) -> why.
APART: dict[tuple[str, int], str] = {
    ("SVMClassifier", 6): "the kernel iterates towards the probabilities of two classes, as libsvm does, and stops near what they are",
    ("SVMClassifier", 9): "the probabilities of more classes are where an iteration ends: only the kernel has them",
}
EVERY_ROW = [
    pytest.param(op, row, id=f"{op.name}-{i}") for op in BOTH for i, row in enumerate(ROWS.get(op.name, ())) if (op.name, i) not in APART
]


@pytest.mark.parametrize(("op", "row"), EVERY_ROW)
def test_decomposition_agrees_with_kernel(op: Op, row: Case) -> None:
    graph, arrays = Graph("case"), row.arrays()
    feeds = {f"x{i}": x for i, x in enumerate(arrays) if x is not None}
    inputs = [None if x is None else graph.input(f"x{i}", type_of(x)) for i, x in enumerate(arrays)]
    taken = inputs if any(i.variadic for i in op.inputs) else inputs[: len(op.inputs)]  # the rest is for bodies to capture
    made = op(*taken, **{k: x(graph) if callable(x) else x for k, x in row.attributes.items()})
    graph.outputs = [v for v in (made if isinstance(made, tuple) else (made,)) if v is not None]
    wanted = list(interpret(Model(graph), feeds, xp).values())
    for node in graph.edit():
        if node.op is op:
            for old, new in zip(node.outputs, decompose(node)):
                if old is not None and new is not None:
                    graph.replace_uses(old, new)
            graph.drop(node)
    assert not any(node.op is op for node in graph.nodes)
    for got, want in zip(interpret(Model(graph), feeds, xp).values(), wanted, strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        if want.dtype == object:
            assert got.tolist() == want.tolist()
            continue
        tolerance = {1: 0, 2: 2e-2, 4: 1e-4, 8: 1e-9}[want.dtype.itemsize]
        np.testing.assert_allclose(got.astype("float64"), want.astype("float64"), rtol=tolerance, atol=tolerance)
