"""Gradient of ai.onnx.preview.training: what a node says of the graph around it is put in its place."""

from typing import Any

import numpy as np
import onnx
import pytest

import graphir
import graphir_onnx
from graphir.cli import main
from graphir.passes.gradient import gradient
from graphir.passes.gradient_nodes import replace_gradient_nodes
from graphir.passes.upgrade import upgrade
from graphir.verify import verify

HEAD = '<ir_version: 8, opset_import: ["": 17, "ai.onnx.preview.training": 1, "own": 1]>'
GRADIENT = "ai.onnx.preview.training.Gradient"
W, X, Z = (np.asarray(v, np.float32) for v in ([0.5, -1, 2], [1, 2, 3], [-0.5, 0.25, 1]))
FEEDS = {"w": W, "x": X, "z": Z}

# h = sin(w * x), y = h * z * z, summed: a model, and what its gradients are.
FORWARD = "p = Mul (w, x)  h = Sin (p)  q = Mul (h, z)  y = Mul (q, z)"
ENDS = "(float[3] w, float[3] x, float[3] z)"
ROWS: dict[str, tuple[str, Any]] = {
    "weights": (f'dw, dz = {GRADIENT} <xs=["w", "z"], zs=["x"], y="y"> (w, z, x)', {"dw": np.cos(W * X) * X * Z**2, "dz": 2 * np.sin(W * X) * Z}),
    "one of them": (f'dz, = {GRADIENT} <xs=["z"], y="y"> (z)', {"dz": 2 * np.sin(W * X) * Z}),
    "an intermediate value": (f'dh, dz = {GRADIENT} <xs=["h", "z"], y="y"> (h, z)', {"dh": Z**2, "dz": 2 * np.sin(W * X) * Z}),
    "what is held hides what is behind it": (f'dw, = {GRADIENT} <xs=["w"], zs=["h"], y="y"> (w, h)', {"dw": 0 * W}),
    "no path": (f'dw, = {GRADIENT} <xs=["w"], y="z"> (w)', {"dw": 0 * W}),
    "of itself": (f'dw, dx = {GRADIENT} <xs=["w", "x"], y="w"> (w, x)', {"dw": 1 + 0 * W, "dx": 0 * W}),
    "one output left out": (f', dx = {GRADIENT} <xs=["w", "x"], y="p"> (w, x)', {"dx": W}),
    "at another place": (f'o = Neg (z)  dh, dz = {GRADIENT} <xs=["h", "z"], y="y"> (x, o)', {"dh": Z**2, "dz": -2 * X * Z}),
    "at another place of another shape": (
        f'o = Concat <axis=0> (z, x)  dh, dz = {GRADIENT} <xs=["h", "z"], y="y"> (o, o)',
        {"dh": np.concatenate([Z, X]) ** 2, "dz": 2 * np.concatenate([Z, X]) ** 2},
    ),
    "twice": (
        f'dw, dx = {GRADIENT} <xs=["w", "x"], zs=["z"], y="y"> (w, x, z)  d2w, dwdx = {GRADIENT} <xs=["w", "x"], zs=["z"], y="dw"> (w, x, z)',
        {"d2w": -np.sin(W * X) * X**2 * Z**2, "dwdx": Z**2 * (np.cos(W * X) - W * X * np.sin(W * X))},
    ),
    "in a branch": (
        f't = Constant <value: tensor = bool {{1}}> ()  dw = If (t) <then_branch = a () => (float[3] da) {{ s = Exp (p) da, = {GRADIENT} <xs=["w"], y="s"> (w) }},'
        " else_branch = b () => (float[3] db) { db = Identity (w) }>",
        {"dw": np.exp(W * X) * X},
    ),
    "through a loop": (
        "n = Constant <value: tensor = int64 {2}> ()  l = Loop (n, , w) <body = b (int64 i, bool c, float[3] s) => (bool d, float[3] r)"
        f' {{ d = Identity (c) r = Mul (s, x) }}>  dw, dx = {GRADIENT} <xs=["w", "x"], y="l"> (w, x)',
        {"dw": X**2, "dx": 2 * W * X},
    ),
    "in a loop": (
        "n = Constant <value: tensor = int64 {2}> ()  l = Loop (n, , w) <body = b (int64 i, bool c, float[3] s) => (bool d, float[3] r)"
        f' {{ d = Identity (c) u = Mul (s, s) r, = {GRADIENT} <xs=["s"], y="u"> (s) }}>',
        {"l": 4 * W},
    ),
    "through a function": (f'f = own.twice_sine (p)  dw, = {GRADIENT} <xs=["w"], y="f"> (w)', {"dw": 2 * np.cos(W * X) * X}),
    "in a function": ("c = own.twice_cosine (p)", {"c": 2 * np.cos(W * X)}),
}  # fmt: skip
FUNCTIONS = f"""<domain: "own", opset_import: ["": 17]> twice_sine (a) => (b) {{ s = Sin (a)  b = Add (s, s) }}
<domain: "own", opset_import: ["": 17, "own": 1, "ai.onnx.preview.training": 1]> twice_cosine (a) => (c) {{
    b = own.twice_sine (a)  c, = {GRADIENT} <xs=["a"], y="b"> (a)
}}"""


def proto(row: str) -> onnx.ModelProto:
    """The model of a row."""
    text, expected = ROWS[row]
    outputs = ", ".join(f"float[K] {name}" for name in expected)
    return onnx.parser.parse_model(f"{HEAD} g {ENDS} => ({outputs}) {{ {FORWARD} {text} }} {FUNCTIONS}")


@pytest.mark.parametrize("runtime", ["numpy", "onnxruntime"])
@pytest.mark.parametrize("row", ROWS)
def test_nodes_are_replaced(row: str, runtime: str) -> None:
    model = graphir_onnx.from_proto(proto(row))
    assert verify(model) == []
    got = graphir.compile(model, runtime).run(FEEDS)
    for name, want in ROWS[row][1].items():
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", ROWS)
def test_nodes_are_exported_as_they_are(row: str) -> None:
    written = proto(row)
    assert graphir_onnx.to_proto(graphir_onnx.from_proto(written)) == written


def test_gradients_of_gradients() -> None:
    """The pass differentiates what stands for a Gradient node, and leaves nothing of its domain."""
    model = gradient(graphir_onnx.from_proto(proto("one of them")), of="dz", wrt=["w", "z"])
    assert verify(model) == []
    assert {node.op.domain for node in model.graph.nodes} == {""} and "ai.onnx.preview.training" not in model.opsets
    seed = np.asarray([1, -1, 2], np.float32)
    found = graphir.compile(model).run({**FEEDS, "seed_dz": seed})
    got = {wrt: found[name] for (_, wrt), name in model.gradients.items()}
    np.testing.assert_allclose(got["z"], 2 * np.sin(W * X) * seed, rtol=1e-5)
    np.testing.assert_allclose(got["w"], 2 * np.cos(W * X) * X * Z * seed, rtol=1e-5)


def test_what_was_drawn_is_not_drawn_again() -> None:
    model = graphir_onnx.from_proto(onnx.parser.parse_model(
        f"""{HEAD} g (float[64] x) => (float[64] y, float[64] dx) {{ r = RandomNormalLike (x)  y = Mul (x, r)  dx, = {GRADIENT} <xs=["x"], y="y"> (x) }}"""
    ))  # fmt: skip
    got = graphir.compile(model).run({"x": np.full(64, 2, np.float32)})
    assert len(set(got["dx"].tolist())) > 60
    np.testing.assert_allclose(got["dx"] * 2, got["y"])


def test_a_model_without_them_is_left_alone() -> None:
    model = graphir_onnx.from_proto(onnx.parser.parse_model(f"{HEAD} g (float[3] x) => (y) {{ y = own.twice_sine (x) }} {FUNCTIONS}"))
    replace_gradient_nodes(model)
    assert [str(n.op) for n in model.graph.nodes] == ["own.twice_sine"] or model.functions == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<xs=["w"], y="y1"> (w)', r"Gradient node 'a' names 'y1', which is not made before it; did you mean y"),
        ('<xs=["w", "x"], y="y"> (w)', "names 2 xs and 0 zs and has 1 inputs"),
        ('<xs=["w"], y="later"> (w)', "names 'later', which is not made before it"),
        ('<xs=["n"], y="y"> (n)', r"n of xs is int64\[1\]; gradients are with respect to tensors of floats"),
        ('<xs=["w"], y="odd"> (w)', "the type of odd, which Gradient node 'a' names, is not known"),
        ('<xs=["w"], y="n"> (w)', r"the type of n, which Gradient node 'a' names, is int64\[1\]"),
        ('<xs=["q"], zs=["z"], y="y"> (w, n)', "what Gradient is given does not fit the values that it names: node .*: Mul"),
    ],
)
def test_what_cannot_be_replaced_says_why(text: str, said: str) -> None:
    odd = "n = Shape (w)  odd = com.example.Odd (w)"
    model = graphir_onnx.from_proto(
        onnx.parser.parse_model(f"{HEAD} g {ENDS} => (float[3] a) {{ {FORWARD} {odd} a = {GRADIENT} {text}  later = Neg (y) }}")
    )
    with pytest.raises(TypeError, match=said):
        replace_gradient_nodes(upgrade(model))


def test_the_verbs_take_such_models(tmp_path: Any, capsys: Any) -> None:
    file, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    onnx.save(proto("one of them"), file)
    np.savez(tmp_path / "in.npz", **FEEDS)  # pyright: ignore[reportArgumentType]
    for verb in (["info", file], ["check", file], ["run", file, "--inputs", tmp_path / "in.npz"], ["export", file, out]):
        assert main([str(x) for x in verb]) == 0, verb
    assert out.read_bytes() == file.read_bytes()
    assert main(["grad", str(file), str(out), "--of", "dz"]) == 0
    told = capsys.readouterr().out
    assert "foreign" not in told and "with respect to z" in told
    onnx.checker.check_model(str(out), full_check=True)
