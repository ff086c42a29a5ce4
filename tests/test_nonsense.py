"""Nonsense for every operator: wrong ranks, sizes, dtypes, indices, attributes. It gives the standard's answer, or one error that names the node.

GRAPHIR_NONSENSE=1000 tries that many for each operator.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphir
import graphir_onnx
from cases import Case
from fuzz.errors import STUMBLES, raw
from graphir import FormatError, Graph, Model, Tensor, TensorType
from graphir.dtypes import DTYPES, STRING
from graphir.ir import Value
from graphir.ops import OPS, Op
from graphir.plugins import Limits
from graphir.types import SequenceType
from graphir_arrays import LimitError
from graphir_arrays.kernel import find
from graphir_arrays.limits import NodeError
from nonsense_referee import answer
from test_ops import ROWS, _type

WITH_ROWS = [op for op in OPS.values() if ROWS.get(op.name)]  # that all have rows is another test
EXAMPLES = int(os.environ.get("GRAPHIR_NONSENSE", "6"))
LIMITS = Limits(memory=64 << 20, trips=1000, seconds=5)
PATIENCE = 5.0  # seconds for one model, compiling and all
ROOM = 8 * (64 << 20)  # bytes of address space for one model: its outputs, and what it takes to make them

Pick = Callable[[Sequence[Any]], Any]
Attributes = dict[str, Any]

BIG = [2**31 - 1, 2**31, 10**9, 10**12, 2**62, 2**63 - 1, -(2**63), -(2**31)]
WHOLE = [0, 1, -1, 2, 3, 5, -2, -4, 7, 100, -100, *BIG]
REAL = [0.0, 1.0, -1.0, 0.5, 3.7, -0.0, 1e-30, 1e30, -1e30, 1e12, float("nan"), float("inf"), float("-inf")]
TEXT = ["", "nonsense", "SAME", "same_upper", "VALID", "constant", "linear", "tanh", "ij,jk->ik", "i...->...j", "\xe9\0", "9" * 30]
WORDS = ["", "a", "\xe9\0", "nan", "inf", "1e999", "99999999999999999999", "-1", "0x10", " 1 "]
DTYPE_NAMES = ["float32", "float64", "float16", "bfloat16", "int32", "int64", "int8", "uint8", "uint64", "bool", "string", "complex64", "float8_e4m3fn", "int4"]  # fmt: skip


class Trial(NamedTuple):
    """A row, mutated: what is given to the one node called `suspect`. route: how its inputs reach it."""

    op: Op
    row: Case
    arrays: list[Any]
    changed: Attributes
    route: str

    def __str__(self) -> str:
        inputs = ", ".join(map(_shown, self.arrays))
        attributes = ", ".join(f"{k}={'<body>' if callable(x) else repr(x)}" for k, x in {**self.row.attributes, **self.changed}.items())
        return f"{self.op.name}({inputs}; {attributes}), {self.route}"


def _shown(x: Any) -> str:
    if isinstance(x, np.ndarray):
        return f"{x.dtype}{list(x.shape)}" + (f"={x.tolist()!r:.120}" if x.size <= 12 else "")
    return f"[{', '.join(map(_shown, x))}]" if isinstance(x, list) else repr(x)


# ---- mutations -------------------------------------------------------------------------------------------------------------------------


def trial(op: Op, pick: Pick) -> Trial:
    """A row of an op, with one to three things wrong."""
    row = pick(ROWS[op.name])
    made = Trial(op, row, row.arrays(), {}, pick(["fed"] if _has_bodies(row) else ["fed", "hidden", "constant"]))
    for _ in range(pick([1, 1, 2, 3])):
        pick(MUTATIONS)(made, pick)
    return made


def _has_bodies(row: Case) -> bool:
    return any(map(callable, row.attributes.values()))


def mutate_input(trial: Trial, pick: Pick) -> None:
    """Another shape, other values, or another dtype."""
    if trial.arrays:
        i = pick(range(len(trial.arrays)))
        trial.arrays[i] = _mutated(trial.arrays[i], pick)


def mutate_attribute(trial: Trial, pick: Pick) -> None:
    """Another value of the attribute's kind, or none."""
    specs = [a for a in trial.op.attributes.values() if a.kind in VALUES]
    if specs:
        spec = pick(specs)
        old = trial.changed.get(spec.name, trial.row.attributes.get(spec.name, spec.default))
        kind = pick([spec.kind] * 9 + ["other"])
        if kind == "other":
            old, kind = None, pick([k for k in VALUES if k != spec.kind])
        trial.changed[spec.name] = None if pick([False] * 7 + [True]) else VALUES[kind](old, pick)


def omit_input(trial: Trial, pick: Pick) -> None:
    """None in an input's place."""
    own = range(len(trial.arrays) if any(i.variadic for i in trial.op.inputs) else len(trial.op.inputs))  # bodies capture the rest
    if own and trial.arrays:
        trial.arrays[pick(own[: len(trial.arrays)])] = None


MUTATIONS = [mutate_input] * 5 + [mutate_attribute] * 4 + [omit_input]


def _mutated(x: Any, pick: Pick) -> Any:
    if x is None or isinstance(x, dict):
        return x and pick([{}, dict([*x.items()][1:])])
    if isinstance(x, list):
        return pick([[], x[:1], [*x, *x]]) if not x or pick([True, False]) else [_mutated(x[0], pick), *x[1:]]
    return pick([_reshaped, _reshaped, _poked, _poked, _poked, _cast])(x, pick)


def _reshaped(x: np.ndarray, pick: Pick) -> np.ndarray:
    shape = list(x.shape)
    change = pick(["drop", "add", "scalar", "resize", "resize", "resize"])
    if change == "add" or not shape:
        shape.insert(pick([0, len(shape)]), pick([1, 1, 2, 0]))
    elif change == "drop":
        shape.pop(pick([0, -1]))
    elif change == "scalar":
        shape = []
    else:
        axis = pick(range(len(shape)))
        shape[axis] = pick([0, 1, 2, shape[axis] + 1, 2 * shape[axis], 7])
    return np.resize(x, shape) if x.size else np.full(shape, "" if x.dtype == STRING else 0).astype(x.dtype)


def _poked(x: np.ndarray, pick: Pick) -> np.ndarray:
    """One element, or all, of another value."""
    kind = x.dtype.kind
    if kind in "iu":
        limits = np.iinfo(x.dtype)
        value = pick([n for n in WHOLE if limits.min <= n <= limits.max])
    else:
        value = pick([True, False] if kind == "b" else WORDS if x.dtype.kind in "OUS" else REAL)
    x = x.astype(object) if kind in "US" else x.copy()
    with np.errstate(all="ignore"):
        if kind not in "OUS":
            value = np.asarray(value).astype("float32" if kind == "V" else x.dtype).astype(x.dtype)
        x.reshape(-1)[slice(None) if not x.size or pick([False, True]) else pick(range(x.size))] = value
    return x


def _cast(x: np.ndarray, pick: Pick) -> np.ndarray:
    dtype = DTYPES[pick(DTYPE_NAMES)]
    if dtype == STRING:
        return np.array([str(v) for v in x.reshape(-1).tolist()], object).reshape(x.shape)
    if x.dtype.kind in "OUS":
        return np.zeros(x.shape, dtype)
    with np.errstate(all="ignore"):
        wide = x.astype(np.complex128).real if x.dtype.kind == "c" else x
        return (wide if wide.dtype.isbuiltin == 1 else wide.astype("float32")).astype(dtype)


def _listed(values: list[Any]) -> Callable[[Any, Pick], Any]:
    """A list with another element, one more, one less, or none."""

    def change(old: Any, pick: Pick) -> list[Any]:
        x = list(old if isinstance(old, list | tuple) and old else pick([[], values[:1], values[:2]]))
        how = pick(["replace", "replace", "replace", "append", "drop", "clear", "fill"])
        if how == "clear" or (how != "append" and not x):
            return []
        if how == "append":
            return [*x, pick(values)]
        if how == "drop":
            return x[:-1]
        at = pick(range(len(x)))
        value = pick(values)
        return [value if how == "fill" or i == at else y for i, y in enumerate(x)]

    return change


VALUES: dict[str, Callable[[Any, Pick], Any]] = {
    "int": lambda old, pick: pick(WHOLE),
    "float": lambda old, pick: pick(REAL),
    "str": lambda old, pick: pick(TEXT),
    "dtype": lambda old, pick: pick(DTYPE_NAMES),
    "ints": _listed(WHOLE),
    "floats": _listed(REAL),
    "strs": _listed(TEXT),
    "tensor": lambda old, pick: Tensor.of(pick([np.zeros(0, "f"), np.zeros(2, "f"), np.asarray(["a"], object), np.asarray(7), np.ones((1, 1))])),
}  # fmt: skip


# ---- models ----------------------------------------------------------------------------------------------------------------------------


def build(trial: Trial) -> tuple[Model, dict[str, Any]]:
    """The model and its feeds. The node is made for the row as it was, where all is right; then it is given what is wrong, unseen by its rule."""
    graph, feeds = Graph("nonsense"), {}
    given = trial.row.arrays()
    inputs = [None if x is None else graph.input(f"x{i}", _type(x)) for i, x in enumerate(given)]
    attributes = {k: x(graph) if callable(x) else x for k, x in trial.row.attributes.items()}
    if trial.op.counts_outputs and trial.row.outputs is not None:
        attributes["outputs"] = trial.row.outputs
    op: Any = trial.op
    taken = inputs if any(i.variadic for i in op.inputs) else inputs[: len(op.inputs)]  # the rest is for bodies to capture
    op(*([graph] if op.takes_graph else []), *taken, **attributes)
    node = next(n for n in graph.nodes if n.op is op)
    node.name = "suspect"
    changed = {k: tuple(x) if isinstance(x, list) else x for k, x in trial.changed.items()}
    node.attributes = {k: x for k, x in {**node.attributes, **changed}.items() if x is not None}
    graph.outputs = [v for v in node.outputs if v is not None]
    for v in graph.outputs:
        v.type = None  # pyright: ignore[reportAttributeAccessIssue]
    for _ in (n for n in graph.edit() if n is node):
        runs = find(op) is not None  # else it is run as other ops, which do not know of its rule: that must see all beforehand
        wrong = [
            _place(graph, i, v, x, trial.route if runs or trial.route == "constant" else "fed", runs, feeds)
            for i, (v, x) in enumerate(zip(inputs, trial.arrays))
        ]
        node.set_inputs(wrong[: len(taken)])
    graph.inputs = [v for v in graph.inputs if v.name in feeds]
    return Model(graph), feeds


def _place(graph: Graph, i: int, v: Value | None, x: Any, route: str, runs: bool, feeds: dict[str, Any]) -> Value | None:
    """The value that brings x to the node: an input of unknown rank, an element of a sequence, of which no rule knows the shape, or a weight."""
    if x is None or v is None:
        return None
    if isinstance(x, list | dict) or route == "fed":
        if isinstance(x, list):
            v.type = SequenceType(TensorType(_dtype(x[0]), None) if x else None)  # pyright: ignore[reportAttributeAccessIssue]
        elif not isinstance(x, dict):
            v.type = TensorType(_dtype(x), None if runs else x.shape)
        feeds[v.name] = x
        return v
    if route == "constant":
        return graph.weight(f"w{i}", np.asarray(x))
    sequence = graph.input(f"s{i}", SequenceType(TensorType(_dtype(x), None)))
    feeds[sequence.name] = [x]
    return OPS["", "SequenceAt"](sequence, 0)


def _dtype(x: np.ndarray) -> np.dtype:
    return STRING if x.dtype.kind in "OUS" else x.dtype


# ---- what may come of it ---------------------------------------------------------------------------------------------------------------


class Unclear(AssertionError):
    """An outcome that is neither an answer nor a clear error."""


def outcome(trial: Trial) -> dict[str, Any] | str:
    """The outputs, or the error's message. Raises Unclear where it is none of graphir's, or names no node, or where it took too long or too much."""
    model, feeds = build(trial)
    began = time.monotonic()
    try:
        with bounded():
            return graphir.compile(model, limits=LIMITS).run(feeds)
    except (ValueError, TypeError, LimitError) as e:
        if not any(text in str(e) for text in ("node '", "limit on", " of the input ")):  # the last: what was fed is refused
            raise Unclear(f"{trial}: the error names no node: {type(e).__name__}: {e}") from e
        cause = e.__cause__ or e
        if isinstance(cause, (KeyError, *STUMBLES)) or (isinstance(e, NodeError) and type(cause) is TypeError) or raw(str(e)):
            raise Unclear(f"{trial}: the error is a stumble: {type(cause).__name__}: {e}") from e
        return str(e)
    except Exception as e:  # any other kind is what the test is after
        raise Unclear(f"{trial}: {type(e).__name__}: {e}") from e
    finally:
        if time.monotonic() - began > PATIENCE:
            raise Unclear(f"{trial}: it took {time.monotonic() - began:.1f} s")


@contextmanager
def bounded() -> Iterator[None]:
    """Makes a request for too much memory fail, where the system can."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as f:  # noqa: PTH123  # quicker than Path.open, and done for each example
        used = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# ---- the referee -----------------------------------------------------------------------------------------------------------------------


OTHERWISE = {  # where ONNX Runtime's answer is not the standard's, or not that of the standard's reference
    "AffineGrid": "with align_corners a single place lies at the edge, not in the middle",
    "Attention": "of queries before the first key that counts, it sees some",
    "BlackmanWindow HammingWindow HannWindow": "windows of whole numbers are cut, where rounding decides",
    "Cast CastLike": "other text for numbers and truths",
    "Celu": "it loses what is left of small numbers divided by a large alpha",
    "DFT": "it knows no onesided inverse",
    "DictVectorizer": "it leaves out the axis of examples",
    "DynamicQuantizeLinear": "of zeros alone it makes the scale 1, not 1 / 255",
    "LabelEncoder": "it does not find a key that is NaN",
    "LinearClassifier": "of two labels with one row, it scores the first 1 less the score, not its negative",
    "LinearRegressor TreeEnsemble": "other post_transform",
    "Loop Scan": "after no trip it stacks shapes that the body declares, be they true or not",
    "MatMulInteger ConvInteger QLinearConv QLinearMatMul": "its sums of uint8 times int8 saturate",
    "MaxUnpool": "it counts indices through output_shape",
    "NonZero": "the standard says that a number has no axis: (0, N)",
    "Pow": "whole numbers to negative powers",
    "RNN": "an Affine without alpha is 0",
    "RegexFullMatch StringConcat": "bytes that are no text",
    "Resize": "align_corners counts whole places, not size times scale",
    "Size": "it takes an element of a sequence for a number",
    "Squeeze": "no axes are all axes",
    "StringSplit": "it finds no part in an empty text, not one",
    "TopK": "unsorted, the order is free",
    "Unique": "to it all NaN are one, or none",
}
UNCOMPARED = set(" ".join(OTHERWISE).split())


def referee(trial: Trial) -> list[Any] | None:
    """What ONNX Runtime makes of it; None where it refuses, or where ONNX has no words for it."""
    model, feeds = build(trial)
    try:
        proto = graphir_onnx.to_proto(model).SerializeToString()
    except (FormatError, UnicodeError):
        return None
    return answer(proto, feeds)


def disagreement(got: Any, want: Any, sane: bool) -> str | None:
    """How two results differ: in length, dtype, shape, or in numbers where both are finite. sane: all numbers that were given are finite, and none is huge."""
    if isinstance(got, list) and isinstance(want, list):
        if len(got) != len(want):
            return f"{len(got)} elements, not {len(want)}"
        return next(filter(None, (disagreement(g, w, sane) for g, w in zip(got, want))), None)
    if got is None or want is None or isinstance(got, dict):
        return None if type(got) is type(want) else f"{got!r}, not {want!r}"
    got, want = np.asarray(got), np.asarray(want)
    native = got.dtype.isbuiltin == 1  # it gives the bits of others
    if got.shape != want.shape or (native and _dtype(got) != _dtype(want)):
        return f"{got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if (
        not native or not sane
    ):  # what numbers become of NaN, or of sums that they cannot hold, and where NaN is sorted to, each runtime decides
        return None
    if got.dtype.kind in "OUS":
        return None if got.tolist() == want.tolist() else f"{got.tolist()!r:.200}, not {want.tolist()!r:.200}"
    got, want = (x.astype("complex128" if x.dtype.kind == "c" else "float64") for x in (got, want))
    both = np.isfinite(got) & np.isfinite(want)
    far = np.abs(got - want)[both] > 1e-2 * max(1.0, np.abs(want[both]).max(initial=0))
    return f"{got[both][far][:3]}, not {want[both][far][:3]}" if far.any() else None


def _is_sane(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return all(map(_is_sane, x))
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "OUScb" or bool((np.abs(x.astype("float64")) < 1e6).all())
    return not isinstance(x, int | float) or abs(x) < 1e6


@pytest.mark.parametrize("op", WITH_ROWS, ids=str)
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_nonsense(op: Op, seed: int) -> None:
    """The seed makes all choices: hundreds of draws of hypothesis' own would take ten times as long as what is tested."""
    tried = trial(op, Random(seed).choice)
    made = outcome(tried)
    if isinstance(made, str) or op.random or op.name in UNCOMPARED:
        return
    wanted = referee(tried)
    with np.errstate(all="ignore"):
        sane = all(_is_sane(x) for x in [*tried.arrays, *tried.changed.values()])
        differs = wanted and disagreement(list(made.values()), wanted, sane)
    assert not differs, f"{tried}: {differs}"
