"""What goes into a run is what the input says, or it is refused, with the input's name, by each runtime in the same words."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, OptionalType, SequenceType, TensorType, ops
from graphir.cli import main
from graphir.cli.feeds import feeds
from graphir.dims import unknown
from graphir.feeds import as_array, checked_parts, sizes_of
from graphir.types import MapType, Type

F32 = TensorType("float32", None)
FLOATS, CHOICE, NUMBERS = SequenceType(F32), OptionalType(F32), MapType("int64", TensorType("float32", ()))
ONE = np.float32(1)

# A dtype, what is given, and what becomes of it: an array's contents, or words of the error.
GIVEN: list[tuple[str, Any, Any]] = [
    ("float32", [1, 2], [1, 2]),
    ("float32", [0.5, np.inf], [0.5, np.inf]),
    ("float32", [1e-50, True], [0, 1]),
    ("float32", 2**100, 2.0**100),
    ("float16", 65519.0, 65504),
    ("bfloat16", 1.5, 1.5),
    ("int32", [1.0, 2], [1, 2]),
    ("uint64", 2**64 - 1, 2**64 - 1),
    ("bool", [1, False], [True, False]),
    ("int4", [-8, 7], [-8, 7]),
    ("complex64", 1j, 1j),
    ("int64", [], []),
    ("string", [["a", "b"]], [["a", "b"]]),
    ("float32", None, "was given None; expected float32 numbers"),
    ("float32", [[1], [1, 2]], r"was given \[\[1\], \[1, 2\]\], which is no array: its parts differ in length"),
    ("float32", {"a": 1}, r"was given \{'a': 1\}; expected float32 numbers"),
    ("float32", 1j, "was given 1j; expected float32 numbers"),
    ("float32", "abc", "was given 'abc'; expected float32 numbers"),
    ("float32", 1e300, r"was given 1e\+300, which float32 cannot hold"),
    ("float32", 10**400, "which float32 cannot hold"),
    ("float8_e4m3fn", 1e6, "was given 1000000.0, which float8_e4m3fn cannot hold"),
    ("int32", [1.7, 2.9], "was given 1.7, which int32 cannot hold"),
    ("int32", 2**40, "was given 1099511627776, which int32 cannot hold"),
    ("int32", np.nan, "was given nan, which int32 cannot hold"),
    ("int64", 2.0**63, "cannot hold"),
    ("uint8", -1, "was given -1, which uint8 cannot hold"),
    ("uint64", -1, "was given -1, which uint64 cannot hold"),
    ("int4", 8, "was given 8, which int4 cannot hold"),
    ("bool", ["no", ""], r"was given \['no', ''\]; expected bool numbers"),
    ("bool", 2, "was given 2, which bool cannot hold"),
    ("string", ["a", 1], "was given 1; expected text"),
    ("string", [None], "was given None; expected text"),
]


@pytest.mark.parametrize(("dtype", "x", "expected"), GIVEN, ids=str)
def test_numbers_fit_or_are_refused(dtype: str, x: Any, expected: Any) -> None:
    dtype_ = graphir.dtypes.as_dtype(dtype)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"^the input x {expected}|^the input x .*{expected}"):
            as_array(x, dtype_, "the input x")
    else:
        made = as_array(x, dtype_, "the input x")
        assert made.dtype == dtype_ and made.tolist() == expected


# An input's type, what is given, and words of the error.
WRONG: list[tuple[Type, Any, str]] = [
    (F32, [1.0, None], r"the input x: float32\[\.\.\.\] was given \[1.0, None\]; expected float32 numbers"),
    (TensorType("int32", ()), 1.5, r"the input x: int32\[\] was given 1.5, which int32 cannot hold"),
    (FLOATS, "abc", "was given 'abc'; expected a list"),
    (FLOATS, None, "was given None; expected a list"),
    (FLOATS, {"a": 1}, r"was given \{'a': 1\}; expected a list"),
    (FLOATS, [None], "element 0 of the input x.* was given None; expected float32 numbers"),
    (FLOATS, [ONE, np.arange(3)], r"element 1 of the input x: .* was given int64\[3\]; cast it to float32"),
    (SequenceType(TensorType("float32", ("N", 2))), [np.ones((1, 3), np.float32)], r"the shape \[1, 3\]; expected \[N, 2\]"),
    (CHOICE, np.arange(3), r"the input x: optional\(float32\[\.\.\.\]\) was given int64\[3\]"),
    (CHOICE, "abc", "was given 'abc'; expected float32 numbers"),
    (NUMBERS, [1.0], r"was given \[1.0\]; expected a dict"),
    (NUMBERS, {"a": 1.0}, "was given the key 'a'; expected int64"),
    (NUMBERS, {True: 1.0}, "was given the key True; expected int64"),
    (NUMBERS, {1: "b"}, "the value at 1 of the input x.* was given 'b'; expected float32 numbers"),
    (MapType("string", TensorType("float32", ())), {1: 1.0}, "was given the key 1; expected string"),
]


@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
@pytest.mark.parametrize(("type_", "x", "words"), WRONG, ids=str)
def test_what_does_not_fit_is_refused(type_: Type, x: Any, words: str, runtime: str) -> None:
    graph = Graph("g")
    given: Any = graph.input("x", type_)
    if isinstance(type_, SequenceType):
        graph.output(ops.sequence.sequence_length(given), "y")
    elif isinstance(type_, OptionalType):
        graph.output(ops.sequence.optional_has_element(given), "y")
    elif isinstance(type_, MapType):
        vocabulary: Any = {"string_vocabulary": ("a",)} if type_.key == graphir.dtypes.STRING else {"int64_vocabulary": (1,)}
        graph.output(ops.ml.dict_vectorizer(given, **vocabulary), "y")
    else:
        graph.output(ops.elementwise.identity(given), "y")
    with pytest.raises(ValueError, match=words):
        graphir.compile(Model(graph), runtime).run({"x": x})


def test_what_fits_goes_in() -> None:
    graph = Graph("g")
    rows: list[tuple[Type, Any, Any]] = [
        (FLOATS, [[1, 2], ONE], [[1, 2], 1]),
        (FLOATS, [], []),
        (SequenceType(TensorType("float32", ("N",))), ([1.0], [1.0, 2.0]), [[1], [1, 2]]),
        (OptionalType(FLOATS), [1.0], [1]),
        (CHOICE, None, None),
        (NUMBERS, {1: 2, np.int64(3): 0.5}, {1: 2, 3: 0.5}),
        (MapType("string", None), {"a": 1.0}, {"a": 1.0}),
    ]
    for i, (type_, x, expected) in enumerate(rows):
        arrays = found = checked_parts(graph.input(f"x{i}", type_), x, {})
        if isinstance(found, list):
            assert all(array.dtype == np.float32 for array in arrays)
            found = [array.tolist() for array in arrays]
        assert found == expected


def test_states_take_what_fits() -> None:
    for runtime in ("numpy", "onnxruntime"):
        graph = Graph("g")
        w = graph.weight("w", np.zeros(2, np.int32), "state")
        graph.output(ops.elementwise.identity(w), "y")
        program = graphir.compile(Model(graph), runtime)
        program.state["w"] = [3, 4.0]
        assert dict(program.state)["w"].tolist() == [3, 4]
        with pytest.raises(ValueError, match=r"the state 'w' was given 1\.5, which int32 cannot hold"):
            program.state["w"] = [1.5, 2]


def test_symbols_take_the_sizes_of_feeds() -> None:
    graph = Graph("g")
    x = graph.input("x", TensorType("float32", (unknown(), "N", 3, "an odd name")))
    y = graph.input("y", TensorType("float32", ("2*N", "N")))
    assert sizes_of([x, y], {"x": np.zeros((7, 5, 3, 1), np.float32), "y": [[1.0, 2.0]]}) == {"N": 5, "an odd name": 1}
    graph.output(ops.elementwise.neg(x), "z")
    model = Model(graph)
    programs = {name: graphir.compile(model, name) for name in ("numpy", "onnxruntime")}
    assert graphir.compare(model, {"x": np.ones((1, 2, 3, 4), np.float32)}, programs, fetch=["z"]).ok
    assert graphir.check_gradient(model, "z", "x", {"x": np.ones((1, 2, 3, 4))}).ok


# ---- on the command line ------------------------------------------------------------------------------------------------------------


def negative() -> Model:
    """y = -x."""
    graph = Graph("negative")
    graph.output(ops.elementwise.neg(graph.input("x", TensorType("float32", ("N", 3)))), "y")
    return Model(graph)


def test_inputs_are_drawn_without_much_memory() -> None:
    """What is drawn is what NumPy draws, and its wider numbers are not all held at once."""
    n = 2_000_000
    tracemalloc.start()
    (x,) = feeds(negative(), None, ["x=random"], {"N": n}, 0)[0].values()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.8 * x.nbytes
    np.testing.assert_array_equal(x, np.random.default_rng(0).standard_normal((n, 3)).astype("float32"))


LIMITS = ("--limit-memory", "1G", "--limit-trips", "7", "--limit-seconds", "60")
BOTH = [f"note: onnxruntime does not keep --limit-{name}" for name in ("memory", "trips")]


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        (("--runtime", "onnxruntime"), []),
        (("--runtime", "onnxruntime", *LIMITS), BOTH),
        (("--against", "onnxruntime", *LIMITS), BOTH),
        (LIMITS, []),
    ],
    ids=str,
)
def test_limits_that_a_runtime_does_not_keep(options: tuple[str, ...], notes: list[str], tmp_path: Path, capsys: Any) -> None:
    graphir.save(negative(), tmp_path / "m.onnx")
    assert main(["run", str(tmp_path / "m.onnx"), "--input", "x=zeros", "--dim", "N=1", *options]) == 0
    assert capsys.readouterr().err.splitlines() == notes
