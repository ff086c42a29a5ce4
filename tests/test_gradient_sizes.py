"""Gradients of models that declare huge sizes are built by few nodes and small constants, or refused by name, whatever the sizes are."""

import resource
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir
from cases import Case
from graphir import Graph, Tensor, TensorType, Value, ops
from graphir.ops import OPS, Op, RuleError
from graphir.ops._gradient import GradientError, gradients, none
from graphir_numpy.namespace import xp
from test_ops import ROWS

FACTORS = (10**5, 10**9)
BYTES = 4 << 20  # that building a gradient takes at most
SECONDS = 2.0
ROWS_EACH = 3
SKIPPED = (
    "If",
    "Loop",
    "Scan",
    "SequenceMap",
    "FlexAttention",
    "CastMap",
    "DictVectorizer",
)  # their bodies, and maps, have sizes of their own


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """What asks for gigabytes gets a MemoryError, and no machine is brought down."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def larger(shape: tuple[int, ...], which: str, factor: int) -> list[int]:
    """A shape with all axes but those of size 1 longer by a factor, or the last one alone."""
    return [d * factor if d > 1 and (which == "all" or i == len(shape) - 1) else d for i, d in enumerate(shape)]


def raised(x: Any, factor: int) -> Any:
    """An attribute with its whole numbers larger by a factor."""
    if isinstance(x, tuple):
        return tuple(raised(n, factor) for n in x)
    return x * factor if isinstance(x, int) and not isinstance(x, bool) and x > 1 else x


def build(op: Op, row: Case, which: str, factor: int, attributes: bool) -> None:
    """Build the gradients of a row whose inputs, or attributes too, are larger."""
    graph = Graph("sizes")
    wrt: list[Value] = []

    def place(x: Any, name: str) -> Value | None:
        if x is None:
            return None
        if isinstance(x, list):
            return ops.sequence.sequence_construct(*(place(y, f"{name}_{i}") for i, y in enumerate(x)))
        if x.dtype.kind in "iub" and x.ndim <= 1:
            return graph.weight(name, x)
        v = graph.input(name, TensorType(np.dtype(object if x.dtype.kind in "OUS" else x.dtype), larger(x.shape, which, factor)))
        wrt.extend([v] if x.dtype.kind == "f" else [])
        return v

    inputs = [place(x, f"x{i}") for i, x in enumerate(row.arrays())]
    given = {k: raised(x, factor) if attributes else x for k, x in row.attributes.items()}
    if row.outputs is not None and op.counts_outputs:
        given["outputs"] = row.outputs
    made: Any = op(*([graph] if op.takes_graph else []), *inputs, **given)
    floats = [
        v
        for v in (made if isinstance(made, tuple) else (made,))
        if v is not None and isinstance(v.type, TensorType) and v.dtype.kind == "f"
    ]
    if floats and wrt:
        gradients({v: graph.input(graph.fresh("seed"), TensorType(v.dtype, v.type.shape)) for v in floats}, wrt)


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.gradient_rule is not none and op.name not in SKIPPED], ids=str)
def test_rows_of_huge_sizes(op: Op) -> None:
    """Each op's gradient is built of little, or refused."""
    tracemalloc.start()
    for row in ROWS[op.name][:ROWS_EACH]:
        if any(isinstance(x, list) and not x for x in row.arrays()):
            continue
        for which, factor, attributes in [(w, f, a) for w in ("all", "last", "none") for f in FACTORS for a in (False, True)]:
            tracemalloc.reset_peak()
            before, start = tracemalloc.get_traced_memory()[0], time.process_time()
            try:
                build(op, row, which, factor, attributes)
            except (RuleError, GradientError, TypeError) as e:
                assert isinstance(e, RuleError | GradientError) or "cannot hold" in str(e), e
            took, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1] - before
            assert peak < BYTES and took < SECONDS, (which, factor, attributes, peak, took)
    tracemalloc.stop()


# ---- whole models -----------------------------------------------------------------------------------------------------------------------

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
FIRST = 2**31 - 1


def proto(op: str, inputs: dict[str, Any], opset: int = 20, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
    """A model of one node. inputs: by name the shape of a float input, a pair of dtype and shape, or an array."""
    given, weights = [], []
    for name, x in inputs.items():
        if isinstance(x, np.ndarray | np.generic):
            weights.append(numpy_helper.from_array(np.asarray(x), name))
        elif x is not None:
            kind, shape = x if isinstance(x, tuple) else (FLOAT, x)
            given.append(helper.make_tensor_value_info(name, kind, shape))
    names = [name if x is not None else "" for name, x in inputs.items()]
    made = ["y", *(f"y{i}" for i in range(1, outputs))]
    graph = helper.make_graph(
        [helper.make_node(op, names, made, domain=domain, **attributes)], "g", given, [helper.make_empty_tensor_value_info("y")], weights
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid(domain, opset)])


F32: Any = np.float32
MODELS: dict[str, Any] = {
    "SAME_LOWER": proto("AveragePool", {"x": [1, 3, 32, FIRST]}, auto_pad="SAME_LOWER", kernel_shape=[2, 2]),
    "a window of 10^8": proto("AveragePool", {"x": [1, 1, 10**5, 10**5]}, kernel_shape=[10**4] * 2, pads=[1] * 4),
    "an old AveragePool": proto("AveragePool", {"x": [1, 1, 10**5, 10**5]}, 6, kernel_shape=[10**4] * 2, pads=[1] * 4),
    "LpPool": proto("LpPool", {"x": [1, 10**5, 10**5, 10**5]}, kernel_shape=[10**4] * 2),
    "Resize": proto("Resize", {"x": [1, 1, 4, 10**8], "roi": None, "s": F32([1, 1, 2, 2])}, mode="linear"),
    "Resize in three axes": proto("Resize", {"x": [1, 1, 10**6, 10**6, 10**6], "roi": None, "s": F32([1, 1, 2, 3, 2])}, mode="linear"),
    "Upsample": proto("Upsample", {"x": [1, 1, 10**5, 10**6], "s": F32([1, 1, 1e5, 2])}, 9),
    "Det": proto("Det", {"x": [10**6, 10**6]}),
    "Det of many": proto("Det", {"x": [10**9, 300, 300]}),
    "a diagonal": proto("Einsum", {"x": [10**8, 10**8]}, equation="ii->i"),
    "a diagonal of two": proto("Einsum", {"x": [10**5, 10**5, 7], "z": [7, 10**9]}, equation="iij,jk->ik"),
    "LRN": proto("LRN", {"x": [1, FIRST, 1, 1]}, size=10**9),
    "Slice": proto("Slice", {"x": [3], "a": (INT64, [10**9]), "b": (INT64, [10**9])}),
    "Squeeze": proto("Squeeze", {"x": [3], "a": (INT64, [10**9])}),
    "DepthToSpace": proto("DepthToSpace", {"x": [1, 10**8, 1, 1]}, blocksize=10**4, mode="CRD"),
    "blocks": proto("DequantizeLinear", {"x": (TensorProto.INT8, [16 * 10**8]), "s": [10**8]}, 21, axis=0, block_size=16),
    "RoiAlign": proto("RoiAlign", {"x": [1, 1, 8, 8], "r": [1, 4], "i": (INT64, [1])}, output_height=10**9, sampling_ratio=10**9),
    "MaxRoiPool": proto("MaxRoiPool", {"x": [1, 1, 8, 8], "r": [1, 5]}, pooled_shape=[10**9, 10**6]),
    "Col2Im": proto("Col2Im", {"x": [1, 10**8, 1], "i": np.array([10**4] * 2), "b": np.array([10**4] * 2)}),
    "groups": proto("GroupNormalization", {"x": [1, 10**9, 4], "s": [10**9], "b": [10**9]}, 18, num_groups=10**9),
    "MaxPool": proto("MaxPool", {"x": [1, 1, 10**9, 10**9]}, kernel_shape=[10**5] * 2),
    "more than int64 holds": proto("MaxPool", {"x": [10**9] * 4}, kernel_shape=[2, 2]),
}  # fmt: skip


@pytest.mark.parametrize("ties", ["pytorch", "even"])
@pytest.mark.parametrize("name", MODELS)
def test_models_of_huge_sizes(name: str, ties: Any) -> None:
    """As a user has them: from the file to the file."""
    start = time.process_time()
    try:
        made = graphir.dumps(
            graphir.gradient(graphir.loads(MODELS[name].SerializeToString(), format="onnx"), of="y", ties=ties), format="onnx"
        )
    except (TypeError, ValueError) as e:
        assert isinstance(e, GradientError) or "cannot be written" in str(e) or "opset" in str(e), e
        assert "'y'" in str(e) or " y" in str(e), e
    else:
        assert len(made) < 1 << 20
    assert time.process_time() - start < SECONDS


def test_duels_of_many_classes_are_refused() -> None:
    """A machine of n classes and m vectors decides n^2 / 2 duels by m numbers each: more than the file holds."""
    classes, vectors = 400, 400
    svm = proto(
        "SVMClassifier", {"x": [1, 2]}, 1, "ai.onnx.ml", classlabels_ints=list(range(classes)), vectors_per_class=[1] * classes, kernel_type="RBF",
        kernel_params=[0.1, 0.0, 0.0], coefficients=[0.5] * ((classes - 1) * vectors), rho=[0.0] * (classes * (classes - 1) // 2),
        support_vectors=[0.5] * (2 * vectors), outputs=2,
    )  # fmt: skip
    with pytest.raises(GradientError, match=r"node 'y1?'.*79,800 duels|79,800 duels"):
        graphir.gradient(graphir.loads(svm.SerializeToString(), format="onnx"), of="y1")


# ---- what nodes make in place of constants is the same ------------------------------------------------------------------------------------

SMALL: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "AveragePool": ("AveragePool", [(2, 3, 7, 6)], {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "strides": (2, 1), "ceil_mode": 1}),
    "padding counts": ("AveragePool", [(1, 2, 7, 6)], {"kernel_shape": (3, 2), "pads": (1, 1, 1, 1), "strides": (2, 2), "ceil_mode": 1, "count_include_pad": 1}),
    "SAME_LOWER": ("AveragePool", [(1, 2, 7)], {"kernel_shape": (4,), "auto_pad": "SAME_LOWER", "dilations": (2,)}),
    "LpPool": ("LpPool", [(1, 2, 7, 6)], {"kernel_shape": (3, 2), "p": 3}),
    "LRN": ("LRN", [(2, 7, 3, 2)], {"size": 3}),
    "Resize": ("Resize", [(1, 2, 5, 6), None, None, np.array([1, 2, 7, 9])], {"mode": "cubic"}),
    "Det": ("Det", [(2, 4, 4)], {}),
    "Einsum": ("Einsum", [(4, 4, 3)], {"equation": "iij->ij"}),
    "DepthToSpace": ("DepthToSpace", [(1, 12, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    "Col2Im": ("Col2Im", [(1, 8, 9), np.array([4, 4]), np.array([2, 2])], {}),
    "blocks": ("DequantizeLinear", [np.arange(-6, 6, dtype=np.int8), (3,)], {"axis": 0, "block_size": 4}),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_what_is_made_by_nodes_is_what_is_stored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients with constants, and with nodes in their place, are equal."""
    found = [made_with(*SMALL[name])]
    for module in ("_constants", "nn", "arrange", "quantize"):
        monkeypatch.setattr(f"graphir.ops.{module}.STORED", 1)
    found.append(made_with(*SMALL[name]))
    (stored, few), (made, many) = found
    assert few != many, "nothing was made by nodes"
    for a, b in zip(stored, made, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def made_with(name: str, given: list[Any], attributes: dict[str, Any]) -> tuple[list[np.ndarray], int]:
    """The gradients of an op for its float inputs, and how many nodes make them."""
    from graphir import Model
    from graphir_arrays.interpret import interpret

    rng, graph, feeds, inputs = np.random.default_rng(0), Graph("small"), {}, []
    for i, x in enumerate(given):
        if isinstance(x, tuple):
            feeds[f"x{i}"] = rng.standard_normal(x).astype(np.float32)
            inputs.append(graph.input(f"x{i}", TensorType("float32", x)))
        else:
            inputs.append(None if x is None else graph.weight(f"x{i}", Tensor.of(x)))
    op: Any = next(op for op in OPS.values() if op.name == name and not op.domain)
    y = op(*inputs, **attributes)
    seed = graph.weight("seed", rng.standard_normal(y.shape).astype(np.float32))
    outputs = [v for v in gradients({y: seed}, [v for v in inputs if v is not None and v.name in feeds]) if v is not None]
    graph.outputs = outputs
    return list(interpret(Model(graph), feeds, xp).values()), len(graph.nodes)
