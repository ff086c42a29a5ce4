"""Operands that hold a number for each axis: how many they hold is in their type, so that too many or too few are told where a node is made, whatever the
numbers will be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphir import Graph, Model, TensorType, Value, ops
from graphir.ops import OPS, RuleError
from graphir.passes.infer import infer
from test_ops import BY_NAME

Row = Callable[[Value, Callable[..., Value]], object]  # of x, float32[2, 3], and what makes an input of a shape and a dtype


def op(name: str) -> Callable[..., object]:
    return OPS["", name]


CROP = {"coordinate_transformation_mode": "tf_crop_and_resize"}
ROWS: dict[str, tuple[Row, str]] = {
    "Resize, scales": (lambda x, i: op("Resize")(x, None, i(4, dtype="float32")), "scales has 4 numbers; expected 2, one for each axis"),
    "Resize, scales of one axis": (lambda x, i: op("Resize")(x, None, i(2, dtype="float32"), axes=(1,)), "expected 1, one for each axis"),
    "Resize, sizes": (lambda x, i: op("Resize")(x, None, None, i(1)), "sizes has 1 number; expected 2, one for each axis"),
    "Resize, roi": (lambda x, i: op("Resize")(x, i(6, dtype="float32"), None, i(2), **CROP), "roi has 6 numbers; expected 4, a start and an end"),
    "Pad": (lambda x, i: op("Pad")(x, i(6)), "pads has 6 numbers; expected 4, two for each axis"),
    "Pad, one axis": (lambda x, i: op("Pad")(x, i(4), None, i(1)), "pads has 4 numbers; expected 2, two for each axis"),
    "Tile": (lambda x, i: op("Tile")(x, i(3)), "repeats has 3 numbers; expected 2, one for each axis of input"),
    "CenterCropPad": (lambda x, i: op("CenterCropPad")(x, i(1)), "shape has 1 number; expected 2, one for each axis"),
    "CenterCropPad, one axis": (lambda x, i: op("CenterCropPad")(x, i(2), axes=(1,)), "shape has 2 numbers; expected 1"),
    "ReduceSum, twice": (lambda x, i: op("ReduceSum")(x, [0, -2]), "axes are .0, -2.; expected each once"),
    "ReduceMax, thrice": (lambda x, i: op("ReduceMax")(x, [0, 1, -1], keepdims=0), "axes has 3 numbers; data has rank 2"),
    "ReduceMean, too many": (lambda x, i: op("ReduceMean")(x, i(3)), "axes has 3 numbers; data has rank 2"),
    "ReduceLogSumExp of a scalar": (lambda x, i: op("ReduceLogSumExp")(i(dtype="float32"), i(70_000)), "axes has 70000 numbers; data has rank 0"),
    "Squeeze": (lambda x, i: op("Squeeze")(x, i(3)), "axes has 3 numbers; data has rank 2"),
    "Slice": (lambda x, i: op("Slice")(x, i(3), i(3)), "there are 3 starts and ends; data has rank 2"),
    "Slice, steps": (lambda x, i: op("Slice")(x, i(2), i(2), None, i(1)), "expected as many of each"),
    "TopK": (lambda x, i: op("TopK")(x, i(2)), "k has 2 numbers; expected 1"),
    "MaxUnpool": (lambda x, i: op("MaxUnpool")(i(1, 1, 2, 2, dtype="float32"), i(1, 1, 2, 2), i(3), kernel_shape=(2, 2)), "output_shape has 3 numbers; expected 4"),
    "AffineGrid": (lambda x, i: op("AffineGrid")(i(1, 2, 3, dtype="float32"), i(5)), "expected .N, 2, 3. and 4 numbers"),
    "Col2Im": (lambda x, i: op("Col2Im")(i(1, 5, 5, dtype="float32"), i(2), i(3)), "image_shape has 2 numbers and block_shape 3"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_the_count_is_told_by_the_type(row: str) -> None:
    build, message = ROWS[row]
    graph = Graph("g")

    def given(*shape: int, dtype: str = "int64") -> Value:
        return graph.input(graph.fresh("v"), TensorType(dtype, shape))

    with graph, pytest.raises(RuleError, match=message):
        build(graph.input("x", TensorType("float32", (2, 3))), given)


@pytest.mark.parametrize("name", ["Tile", "Pad", "ReduceSum", "TopK", "CenterCropPad"])
def test_a_count_that_is_open_is_not_refused(name: str) -> None:
    graph = Graph("g")
    made: Any = op(name)(graph.input("x", TensorType("float32", (2, 3))), graph.input("n", TensorType("int64", ("N",))))
    assert (made[0] if isinstance(made, tuple) else made).rank == 2


@pytest.mark.parametrize("count", [1, 5, 6, 9])
@pytest.mark.parametrize("name", ["ReduceSum", "ReduceMax", "ReduceLogSumExp", "Squeeze"])
def test_a_rank_that_is_open_stays_open_below_more_axes(name: str, count: int) -> None:
    """So many axes are reduced over, of so many more as there may be."""
    graph = Graph("g")
    x = ops.shape.reshape(graph.input("x", TensorType("float32", ("N",))), graph.input("shape", TensorType("int64", ("R",))))
    graph.output(BY_NAME[name](x, graph.input("axes", TensorType("int64", (count,)))), "y")
    model = Model(graph)
    assert infer(model) == [] and str(model.outputs[0].type) == "float32[...]"


@pytest.mark.parametrize("shape", [(0,), (2,), (3, "N"), (0, 1)], ids=str)
@pytest.mark.parametrize(("name", "operand"), [(name, x.name) for name, op in BY_NAME.items() for x in op.inputs if x.rank == 0])
def test_one_number_is_neither_none_nor_several(name: str, operand: str, shape: tuple[int | str, ...]) -> None:
    """Whatever is known of the others; where one symbol may be 1, the run tells."""
    graph, made = Graph("g"), BY_NAME[name]
    i = [x.name for x in made.inputs].index(operand)
    dtype = next(
        (str(d) for d in ("int64", "bool", "float32") if np.dtype(d) in made.types.get(made.inputs[i].var or "", [np.dtype("int64")])),
        "int64",
    )
    others = [None if x.optional else graph.input(x.name, TensorType("float32", None)) for x in made.inputs]
    inputs = [graph.input("several", TensorType(dtype, shape)) if j == i else v for j, v in enumerate(others)]
    with graph, pytest.raises(RuleError, match=rf"{name}: {operand} has shape .*; expected a scalar"):
        made(*([graph] if made.takes_graph else []), *inputs)


@pytest.mark.parametrize(
    ("name", "operands", "rank"),
    [
        ("Tile", (7,), 7),
        ("Pad", (14,), 7),
        ("Expand", (9,), 9),
        ("CenterCropPad", (8,), 8),
        ("Resize", (None, None, 6), 6),
        ("Tile", (65,), None),
    ],
)
def test_many_axes_of_an_open_rank_are_told_by_the_operand(name: str, operands: tuple[int | None, ...], rank: int | None) -> None:
    graph = Graph("g")
    given = [None if n is None else graph.input(graph.fresh("n"), TensorType("int64", (n,))) for n in operands]
    x = graph.input("x", TensorType("float32"))
    if rank is None:
        with pytest.raises(RuleError, match="no rank"):
            BY_NAME[name](x, *given)
    else:
        assert BY_NAME[name](x, *given).rank == rank
