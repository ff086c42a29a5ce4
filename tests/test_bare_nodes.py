"""Nodes of any operator and opset with any number of inputs and no attributes: types, upgrade, compiling and gradients either take them or say what is wrong."""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import graphir
from fuzz.build import KNOWN, plain
from fuzz.errors import raw, stumble
from graphir import Graph, Model, TensorType, Value
from graphir.dtypes import STRING
from graphir.ops import OPS, Op, RuleError, lookup
from graphir.passes.infer import infer
from graphir.passes.upgrade import upgrade
from graphir.types import OptionalType, SequenceType
from test_ops import BY_NAME, ROWS

NAMES = sorted({op.name for op in OPS.values() if not op.domain} | {"Upsample", "Scatter"})
OPSETS = (1, 9, 12, 28)
TYPES = (TensorType("float32", None), TensorType("float32", (2, 3)), TensorType("int64", ()))
VERBS: dict[str, Callable[[Model], object]] = {"upgrade": upgrade, "compile": graphir.compile, "gradient": graphir.gradient}


def bare(name: str, opset: int, count: int, given: TensorType) -> Model:
    graph = Graph("bare")
    inputs = tuple(graph.input(f"x{i}", given) for i in range(count))
    graph.outputs = graph.append(lookup("", name), inputs, {}, [None], names=["y"]).outputs  # pyright: ignore[reportAttributeAccessIssue]
    graph.needs_upgrade = True
    return Model(graph, opsets={"": opset})


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_node_is_taken_or_told(name: str) -> None:
    for opset, count, given in itertools.product(OPSETS, range(5), TYPES):
        model = bare(name, opset, count, given)
        told = [str(problem) for problem in infer(model)]
        assert not any(map(raw, told)), (opset, count, given, told)
        for verb, run in VERBS.items():
            try:
                run(model.copy())
            except Exception as e:
                assert stumble(e) is None, (verb, opset, count, given, str(e))


OTHERS = (SequenceType(TensorType("float32", (2,))), OptionalType(TensorType("int64", ())), SequenceType(TensorType("int64", None)))


@pytest.mark.parametrize("op", BY_NAME.values(), ids=str)
def test_a_list_in_the_place_of_a_tensor_is_taken_or_told(op: Op) -> None:
    for row in [row for row in ROWS[op.name][:3] if plain(row)]:
        arrays = row.arrays()
        given = arrays if any(i.variadic for i in op.inputs) else arrays + [None] * (len(op.inputs) - len(arrays))
        outputs = {"outputs": row.outputs} if op.counts_outputs and row.outputs is not None else {}
        for place, other in itertools.product(range(len(given)), OTHERS):
            graph = Graph("g")
            inputs: list[Value | None] = [None if x is None else graph.weight(f"w{i}", x) for i, x in enumerate(given)]
            inputs[place] = graph.input("other", other)
            try:
                op(*([graph] if op.takes_graph else []), *inputs, **row.attributes, **outputs)
            except Exception as e:
                assert stumble(e) is None, (place, other, str(e))


def test_a_sequence_is_an_operand_where_the_operator_says_so_alone():
    """Whether or not its type rule looks at the operand."""
    taken = set()
    for op, row in KNOWN.rows:
        for i, x in enumerate(row.arrays()):
            graph = Graph("g")
            types = [None if y is None else TensorType(STRING if y.dtype.kind in "OUS" else y.dtype, y.shape) for y in row.arrays()]
            inputs: list[Any] = [t and graph.input(f"x{j}", SequenceType(t) if j == i else t) for j, t in enumerate(types)]
            counted = {"outputs": row.outputs} if op.counts_outputs and row.outputs is not None else {}
            with contextlib.suppress(RuleError, TypeError, ValueError):
                op(*([graph] if op.takes_graph else []), *inputs, **row.attributes, **counted)
                taken.update([op.name] if x is not None else [])
    assert taken == {"Identity", "Optional", "OptionalGetElement", "OptionalHasElement"}
