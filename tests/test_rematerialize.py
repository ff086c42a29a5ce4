"""Computing again in place of keeping: budgets are kept, results stay the same to the bit, random numbers are drawn once."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType, Value, ops, training
from graphir.ops import Op
from graphir.passes.dedupe import RECOMPUTED
from graphir.passes.rematerialize import peak_bytes, recomputed, rematerialize
from test_gradient_models import agrees_with_onnxruntime

DEPTH, WIDTH, BATCH = 64, 32, 256
DIMS = {"N": BATCH}


def chain(depth: int = DEPTH, dropout: bool = False, width: int = WIDTH) -> Model:
    """tanh(h w), again and again, and the mean of the squares."""
    rng = np.random.default_rng(0)
    graph = Graph("chain")
    h = graph.input("x", TensorType("float32", ("N", width)))
    for i in range(depth):
        w = graph.weight(f"w{i}", (rng.standard_normal((width, width)) / width**0.5).astype(np.float32))
        h = ops.elementwise.tanh(ops.math.matmul(h, w)).named(f"h{i + 1}")
        if dropout:
            h = ops.normalization.dropout(h, 0.5, True, seed=i)[0]
    graph.output(ops.reduce.reduce_mean(ops.elementwise.mul(h, h), keepdims=0), "loss")
    return Model(graph)


def ran(model: Model, feeds: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """What a model makes, and the most bytes that a run takes."""
    program = graphir.compile(model)
    tracemalloc.start()
    made = {name: np.array(x) for name, x in program.run(feeds).items()}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return made, peak


def same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_deep_chain_fits_in_a_third() -> None:
    """64 layers keep 64 activations; with checkpoints about 2 sqrt(64) are enough. Planned and measured."""
    model, batch = graphir.gradient(chain(width=128), of="loss", wrt="x"), 1024
    dims, activation = {"N": batch}, batch * 128 * 4
    whole = peak_bytes(model, dims)
    assert DEPTH * activation <= whole <= (DEPTH + 4) * activation
    found = recomputed(model, whole // 3, dims)
    assert found.before == whole
    assert found.peak == peak_bytes(found.model, dims) <= whole // 3
    feeds = {"x": np.random.default_rng(1).standard_normal((batch, 128)).astype(np.float32)}
    (plain, before), (again, after) = ran(model, feeds), ran(found.model, feeds)
    same(plain, again)
    assert after < before / 2
    assert found.nodes <= 2 * DEPTH


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.35])
def test_a_smaller_budget_costs_more(share: float) -> None:
    model = graphir.gradient(chain(), of="loss", wrt=["x", "w0"])
    whole = peak_bytes(model, DIMS)
    found, tighter = (recomputed(model, int(s * whole), DIMS) for s in (share, share - 0.05))
    assert found.peak <= share * whole
    assert 0 < found.nodes <= tighter.nodes
    agrees_with_onnxruntime(found.model, {"x": np.random.default_rng(1).standard_normal((BATCH, WIDTH)).astype(np.float32)})


def test_a_budget_that_is_met_already_changes_nothing() -> None:
    model = graphir.gradient(chain(4), of="loss")
    assert str(rematerialize(model, peak_bytes(model, DIMS), DIMS)) == str(model)


def test_a_budget_that_cannot_be_met() -> None:
    """The error names the least that can, and that can."""
    model = graphir.gradient(chain(), of="loss", wrt="x")
    with pytest.raises(ValueError, match=r"keep to 1,000 bytes; ([\d,]+) is the least, and [\d,]+ where nothing") as e:
        rematerialize(model, 1000, DIMS)
    least = int(str(e.value).split("; ")[1].split()[0].replace(",", ""))
    assert peak_bytes(rematerialize(model, least, DIMS), DIMS) == least < 0.35 * peak_bytes(model, DIMS)


def test_a_size_that_is_not_told() -> None:
    with pytest.raises(ValueError, match=r"dims N, whose sizes are not told; give them in dims, as dims={'N': 32}"):
        rematerialize(graphir.gradient(chain(2), of="loss"), 1)


def is_again(node: Any) -> bool:
    return RECOMPUTED in ((node.carried or {}).get("metadata") or {})


def test_names_and_files() -> None:
    """What is computed again is called so, says so, and stays apart when the model is cleaned, run, written and read."""
    model = graphir.gradient(chain(), of="loss", wrt="x")
    found = recomputed(model, peak_bytes(model, DIMS) // 3, DIMS)
    again = [n for n in found.model.graph.nodes if is_again(n)]
    assert len(again) == found.nodes
    assert all(v.name.startswith("again_") for n in again for v in n.outputs if v is not None)
    assert "again_h2" in found.model.addresses()
    back = graphir.loads(graphir.dumps(found.model, "onnx"), "onnx")
    assert sum(map(is_again, back.graph.nodes)) == found.nodes
    assert peak_bytes(back, DIMS) == found.peak
    assert "again" not in str(model)


def blocks(h: Value, kind: str) -> Value:
    """One layer of each sort of network."""
    graph, rng = h.graph, np.random.default_rng(len(h.graph.nodes))

    def weight(*shape: int) -> Value:
        return graph.weight(graph.fresh("w"), (rng.standard_normal(shape) / shape[-1]).astype(np.float32))

    if kind == "convolutions":
        y = ops.nn.conv(h, weight(4, 4, 3, 3), pads=(1, 1, 1, 1))
        y = ops.normalization.batch_normalization(
            y, weight(4), weight(4), weight(4), graph.weight(graph.fresh("v"), np.ones(4, np.float32))
        )[0]
        y = ops.nn.max_pool(ops.activation.relu(y), kernel_shape=(3, 3), pads=(1, 1, 1, 1))[0]
        return ops.elementwise.add(h, y)
    if kind == "attention":
        y = ops.normalization.layer_normalization(h, weight(8), weight(8))[0]
        y = ops.attention.attention(y, ops.math.matmul(y, weight(8, 8)), y, q_num_heads=2, kv_num_heads=2)[0]
        h = ops.elementwise.add(
            h, ops.shape.reshape(ops.shape.transpose(ops.shape.transpose(y, perm=(0, 2, 1)), perm=(0, 2, 1)), [0, 0, -1])
        )
        return ops.elementwise.add(h, ops.activation.gelu(ops.math.matmul(h, weight(8, 8))))
    if kind == "dropout":
        return ops.normalization.dropout(ops.elementwise.tanh(ops.math.matmul(h, weight(8, 8))), 0.5)[0]
    then, other = Graph("then", graph), Graph("other", graph)
    with then:
        then.output(ops.elementwise.mul(ops.elementwise.sin(h), weight(8)))
    with other:
        other.output(ops.elementwise.neg(h))
    condition = ops.logic.greater(ops.reduce.reduce_sum(h, keepdims=0), -1e9)
    return ops.elementwise.add(h, ops.control.if_(condition, then_branch=then, else_branch=other)[0])


KINDS = {"convolutions": (4, 6, 6), "attention": (5, 8), "dropout": (8,), "branches": (5, 8)}


@pytest.mark.parametrize("kind", KINDS)
def test_training_steps(kind: str) -> None:
    """Steps of deep networks go the same way, to the bit: batch statistics, drawn masks, branches."""
    graph = Graph(kind)
    h = graph.input("x", TensorType("float32", ("N", *KINDS[kind])))
    for _ in range(12):
        h = blocks(h, kind)
    graph.output(ops.math.gemm(ops.shape.flatten(h), graph.weight("last", np.full((np.prod(KINDS[kind]), 3), 0.1, np.float32))), "scores")
    step = training.step(Model(graph), optimizer=training.adam(0.01))
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((32, *KINDS[kind])).astype(np.float32), "y": rng.integers(0, 3, 32)}
    dims = {"N": 32}
    found = recomputed(step, int(0.75 * peak_bytes(step, dims)), dims)
    assert found.nodes
    again = [n for n in found.model.graph.nodes if is_again(n)]
    assert not any(isinstance(n.op, Op) and n.op.random for n in again)
    programs = [graphir.compile(m, seed=3) for m in (step, found.model)]
    for _ in range(3):
        plain, other = (p.run(feeds) for p in programs)
        same(dict(plain), dict(other))
    a, b = (dict(p.state) for p in programs)
    same(a, b)
    if kind == "branches":
        assert any(n.op is ops.control.if_ for n in again)
    if kind == "dropout":
        assert any(n.op is ops.normalization.dropout for n in step.graph.nodes)
