"""What no referee runs: indices and sizes that do not fit, and the corners in which array libraries and onnx's reference differ."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, Tensor, TensorType
from graphir.dtypes import as_dtype
from graphir.ops import OPS
from graphir.tensors import SparseTensor
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp


def run(name: str, *arrays: Any, outputs: int | None = None, **attributes: Any) -> Any:
    """What one node makes of arrays that its type rule knows nothing of but dtype and rank."""
    graph, op = Graph(), OPS["", name]
    feeds = {f"x{i}": np.asarray(x) for i, x in enumerate(arrays) if x is not None}
    inputs = [
        (x is not None and graph.input(f"x{i}", TensorType(feeds[f"x{i}"].dtype, [None] * np.ndim(x)))) or None
        for i, x in enumerate(arrays)
    ]
    made = op(*([graph] if op.takes_graph else []), *inputs, **attributes, **({"outputs": outputs} if outputs else {}))
    graph.outputs = made if isinstance(made, tuple) else [made]
    results = list(interpret(Model(graph), feeds, xp).values())
    return results if isinstance(made, tuple) else results[0]


X = np.arange(6, dtype="float32").reshape(2, 3)
UPDATE = np.ones((1, 3), "float32")

OUT_OF_RANGE = [
    ("Gather", [X, [0, 2]], {}, "index 2 is out of range for axis 0 of size 2"),
    ("Gather", [X, [-4]], {"axis": -1}, "index -4 is out of range for axis 1 of size 3"),
    ("Gather", [X[:0], [0]], {}, "index 0 is out of range for axis 0 of size 0"),
    ("GatherElements", [X, [[0, 7, 0]]], {}, "index 7 is out of range for axis 0 of size 2"),
    ("GatherElements", [X, [[0], [0], [0]]], {"axis": 1}, "indices has size 3 at axis 0, data only 2"),
    ("GatherND", [X, [[0, 3]]], {}, "index 3 is out of range for axis 1 of size 3"),
    ("GatherND", [X, [[-4], [0]]], {"batch_dims": 1}, "index -4 is out of range for axis 1 of size 3"),
    ("ScatterElements", [X, [[2, 0, 0]], UPDATE], {}, "index 2 is out of range for axis 0 of size 2"),
    ("ScatterElements", [X, [[-3, 0, 0]], UPDATE], {"reduction": "add"}, "index -3 is out of range for axis 0 of size 2"),
    ("ScatterND", [X, [[5]], UPDATE], {}, "index 5 is out of range for axis 0 of size 2"),
    ("Compress", [X, [False, False, True]], {"axis": 0}, "index 2 is out of range for axis 0 of size 2"),
    ("TensorScatter", [X[None], X[None], [1]], {}, "index 2 is out of range for axis 1 of size 2"),
    ("ReverseSequence", [X, [3, 1, 2]], {}, "sequence_lens goes from 1 to 3; expected 0 to 2"),
    ("Split", [X, [1, 2]], {"outputs": 2}, r"split is \[1, 2\]; expected 2 sizes that add up to 2"),
    ("Pad", [X[:0], [1, 0, 0, 0]], {"mode": "edge"}, "an axis of size 0 has nothing to pad with"),
    ("Range", [0, 3, 0], {}, "delta is 0"),
    ("Reshape", [X, [4, 2]], {}, "cannot reshape array of size 6"),
    ("Reshape", [X, [2, 3, 0]], {}, "a 0 at place 2"),
    ("Squeeze", [X, [0]], {}, "size not equal to one"),
    ("Slice", [X, [0], [1], [0], [0]], {}, "step cannot be zero"),
    ("ConstantOfShape", [[2, -1]], {}, "negative dimensions are not allowed"),
]


@pytest.mark.parametrize(("name", "arrays", "attributes", "message"), OUT_OF_RANGE, ids=[f"{r[0]}-{r[3]}" for r in OUT_OF_RANGE])
def test_what_does_not_fit_is_an_error(name: str, arrays: list, attributes: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        run(name, *arrays, **attributes)


CORNERS = [
    ("Reshape", [X[:, :0], [0, -1, 4]], {}, np.zeros((2, 0, 4), "float32")),
    ("Reshape", [X[:0], [0, -1]], {}, X[:0]),  # a copied 0 leaves a meaning to -1
    ("Pad", [np.float32(3), np.zeros(0, "int64")], {}, np.float32(3)),
    ("Pad", [X, [0, -2, 0, 1]], {"mode": "wrap"}, X[:, [2, 2]]),  # what a negative pad cut off does not come back
    ("Pad", [X, [-5, 0, 5, 0]], {}, np.zeros_like(X)),
    ("Pad", [np.array(["a"], object), [1, 0]], {}, np.array(["", "a"], object)),
    ("Pad", [np.array(["a"], object), [0, 1], np.array("z", object)], {}, np.array(["a", "z"], object)),
    ("CenterCropPad", [np.array(["a"], object), [3]], {}, np.array(["", "a", ""], object)),
    ("Trilu", [np.array([["a", "b"], ["c", "d"]], object)], {}, np.array([["a", "b"], ["", "d"]], object)),
    ("OneHot", [[1.0], [2], np.array(["no", "yes"], object)], {}, np.array([["no", "yes"]], object)),
    ("Gather", [np.array(["a", "b"], object), 1], {}, np.array("b", object)),
    ("GatherND", [np.array(["a", "b"], object), [1]], {}, np.array("b", object)),
    ("GatherND", [np.zeros((0, 3)), np.zeros((0, 2, 1), "int64")], {"batch_dims": 1}, np.zeros((0, 2))),
    ("ScatterElements", [np.zeros(3, bool), [1, 1], [True, True]], {"reduction": "add"}, np.array([False, True, False])),
    ("NonZero", [np.array(["", "a"], object)], {}, np.array([[1]])),
    ("Compress", [X, [True]], {}, np.array([0.0], "float32")),
    ("Split", [X[:1], None], {"num_outputs": 3, "outputs": 3}, [X[:1], X[:0], X[:0]]),
    ("ConstantOfShape", [[2]], {"value": Tensor.of(np.array([-0.0], "float32"))}, np.array([-0.0, -0.0], "float32")),
    ("Range", [0, 2**62 + 1, 2**61], {}, np.array([0, 2**61, 2**62])),  # quotients of floats would miss one
    ("Constant", [], {"sparse_value": SparseTensor(Tensor.of([5.0]), Tensor.of(np.array([[1, 0]])), (2, 2))}, np.array([[0, 0], [5, 0]], "float32")),
    ("Constant", [], {"value_string": b"\xff"}, np.array("\udcff", object)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arrays", "attributes", "expected"), CORNERS, ids=[f"{i}-{r[0]}" for i, r in enumerate(CORNERS)])
def test_corners(name: str, arrays: list, attributes: dict, expected: Any) -> None:
    made = run(name, *arrays, **attributes)
    for got, want in zip(made, expected, strict=True) if isinstance(expected, list) else [(made, expected)]:
        want = np.asarray(want)
        assert got.shape == want.shape and got.dtype == want.dtype
        assert got.tolist() == want.tolist()
        if want.dtype.kind == "f":
            assert np.array_equal(np.signbit(got), np.signbit(want))


def test_unique_keeps_the_order_of_first_occurrence_along_an_axis() -> None:
    values, first, inverse, counts = run("Unique", [[3, 1, 3], [0, 2, 0]], axis=1, sorted=0)
    assert (values.tolist(), first.tolist(), inverse.tolist(), counts.tolist()) == ([[3, 1], [0, 2]], [0, 1], [0, 1, 0], [2, 1])


def test_unique_compares_slices_of_strings() -> None:
    values, first, _, counts = run("Unique", np.array([["b", "a"], ["a", "z"], ["b", "a"]], object), axis=0)
    assert (values.tolist(), first.tolist(), counts.tolist()) == ([["a", "z"], ["b", "a"]], [1, 0], [1, 2])


RANDOM: list[tuple[str, list, dict[str, Any]]] = [
    ("RandomUniform", [], {"shape": (100, 100), "low": -2.0, "high": 3.0}),
    ("RandomNormal", [], {"shape": (100, 100), "mean": 0.5, "scale": 1.5}),
    ("Bernoulli", [np.full((100, 100), 0.5, "float32")], {}),
    ("Multinomial", [np.tile(np.log([3.0, 1e-300, 1.0]), (100, 1))], {"sample_size": 100}),
]


@pytest.mark.parametrize(("name", "arrays", "attributes"), RANDOM, ids=[r[0] for r in RANDOM])
def test_random_numbers_follow_their_distribution_and_seed(name: str, arrays: list, attributes: dict[str, Any]) -> None:
    first, again, other = (run(name, *arrays, **attributes, seed=s) for s in (0.25, 0.25, 0.75))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert abs(first.mean() - 0.5) < 0.1
    spread = {"RandomUniform": 5 / 12**0.5, "RandomNormal": 1.5, "Bernoulli": 0.5, "Multinomial": 0.75**0.5}[name]
    assert abs(first.std() - spread) < 0.1
    if name == "RandomUniform":
        assert -2 <= first.min() < -1.9 and 2.9 < first.max() <= 3


@pytest.mark.parametrize(("name", "arrays", "attributes"), RANDOM, ids=[r[0] for r in RANDOM])
def test_random_numbers_hang_on_the_seed_the_node_and_the_run(name: str, arrays: list, attributes: dict[str, Any]) -> None:
    graph, op = Graph("g"), OPS["", name]
    for address in ("a", "b"):
        graph.output(op(*([graph] if op.takes_graph else []), *(graph.weight(graph.fresh("x"), x) for x in arrays), **attributes), address)
    runs = [graphir.compile(Model(graph), seed=seed).run for seed in (1, 1, 2)]
    first, again, other = (run({}) for run in runs)
    later = runs[0]({})
    assert all(np.array_equal(first[a], again[a]) for a in "ab")
    assert not any(np.array_equal(first["a"], x) for x in (first["b"], other["a"], later["a"]))


DTYPES = ["bfloat16", "float16", "complex64", "uint64", "int8", "bool", "string", "float8_e4m3fn", "int4", "uint2"]
MOVERS: dict[str, Callable[[np.ndarray], tuple[list, dict, np.ndarray]]] = {
    "Reshape": lambda x: ([x, [2, 2]], {}, x.reshape(2, 2)),
    "Transpose": lambda x: ([x], {}, x),
    "Unsqueeze": lambda x: ([x, [0]], {}, x[None]),
    "Expand": lambda x: ([x, [2, 4]], {}, np.stack([x, x])),
    "Concat": lambda x: ([x, x], {"axis": 0}, np.concatenate([x, x])),
    "Split": lambda x: ([x, [4]], {"outputs": 1}, x),
    "Slice": lambda x: ([x, [-1], [0], [0], [-1]], {}, x[-1:0:-1]),
    "Tile": lambda x: ([x, [2]], {}, np.concatenate([x, x])),
    "Pad": lambda x: ([x, [0, 1], x[:1].reshape(())], {}, np.concatenate([x, x[:1]])),
    "Gather": lambda x: ([x, [3, 0]], {}, x[[3, 0]]),
    "ScatterElements": lambda x: ([x, [0], x[1:2]], {}, x[[1, 1, 2, 3]]),
}
ALLOWED = [(name, d) for name in MOVERS for d in DTYPES if as_dtype(d) in OPS["", name].types["T"]]


@pytest.mark.parametrize(("name", "dtype"), ALLOWED)
def test_every_dtype_goes_through(name: str, dtype: str) -> None:
    x = np.array(["a", "b", "c", ""], object) if dtype == "string" else np.array([1, 0, 1, 1]).astype(as_dtype(dtype))
    arrays, attributes, expected = MOVERS[name](x)
    made = run(name, *arrays, **attributes)
    made = made[0] if isinstance(made, list) else made
    assert made.dtype == expected.dtype and made.shape == expected.shape
    assert made.astype(object).tolist() == expected.astype(object).tolist()
