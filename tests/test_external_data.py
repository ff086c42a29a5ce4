"""Tensor data in files beside the model: written, mapped, copied, taken in."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphir
import graphir_onnx
from graphir import FormatError, Graph, Model, Tensor
from graphir.ops import lookup


def heavy() -> Model:
    """A model with two big weights, a small one, strings, and one weight of two names."""
    graph = Graph("heavy")
    rng = np.random.default_rng(0)
    big = Tensor.of(rng.standard_normal((40, 50)).astype(np.float32))
    for name, data in (("a", big), ("b", rng.integers(0, 9, 3000)), ("again", big), ("small", [1.0])):
        graph.output(lookup("", "Identity")(graph.weight(name, data)), f"out_{name}")  # pyright: ignore[reportCallIssue]
    graph.weight("texts", np.array(["text"] * 2000, object))
    return Model(graph)


def arrays(model: Model) -> dict[str, bytes]:
    return {
        name: w.tensor.array.tobytes()
        for name, w in model.graph.weights.items()
        if isinstance(w.tensor, Tensor) and w.dtype != np.dtype(object)
    }


def test_data_goes_beside_the_model(tmp_path: Path) -> None:
    graphir.save(heavy(), tmp_path / "m.onnx", external_data=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    proto = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    entries = {t.name: {e.key: e.value for e in t.external_data} for t in proto.graph.initializer if t.external_data}
    assert set(entries) == {"a", "b", "again"} and entries["a"] == entries["again"]
    assert (entries["a"]["offset"], entries["b"]["offset"], entries["b"]["length"]) == ("0", "8192", "24000")
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)
    assert {
        t.name: numpy_helper.to_array(t).tobytes() for t in onnx.load(tmp_path / "m.onnx").graph.initializer if t.name != "texts"
    } == arrays(heavy())
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert np.asarray(session.run(["out_b"], {})[0]).tobytes() == arrays(heavy())["b"]
    model = graphir.load(tmp_path / "m.onnx")  # which verifies the checksum
    assert arrays(model) == arrays(heavy()) and model.graph.weights["a"].tensor.storage == "external"  # pyright: ignore[reportAttributeAccessIssue]


def test_what_grows_too_big_for_protobuf_goes_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphir_onnx, "ROOM", 10_000)
    graphir.save(heavy(), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx.data").exists() and arrays(graphir.load(tmp_path / "m.onnx")) == arrays(heavy())
    with pytest.raises(FormatError, match=r"its tensors take \d+ bytes, .* save with external_data=True"):
        graphir.save(heavy(), tmp_path / "m.onnx", external_data=False)
    with pytest.raises(FormatError, match="no second file"):
        graphir.dumps(heavy(), "onnx", external_data=True)


def test_data_stays_where_it_was(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    graphir.save(heavy(), tmp_path / "one" / "m.onnx", external_data=True)
    model = graphir.load(tmp_path / "one" / "m.onnx")
    graphir.save(model, tmp_path / "two" / "other.onnx")
    assert (tmp_path / "two" / "other.onnx").read_bytes() == (tmp_path / "one" / "m.onnx").read_bytes()
    assert (tmp_path / "two" / "m.onnx.data").read_bytes() == (tmp_path / "one" / "m.onnx.data").read_bytes()
    graphir.save(model, tmp_path / "one" / "m.onnx")  # over itself
    assert arrays(graphir.load(tmp_path / "one" / "m.onnx")) == arrays(heavy())
    graphir.save(model, tmp_path / "three" / "m.gir")
    graphir.save(graphir.load(tmp_path / "three" / "m.gir"), tmp_path / "three" / "m.onnx")
    assert arrays(graphir.load(tmp_path / "three" / "m.onnx")) == arrays(heavy())
    assert (tmp_path / "three" / "m.onnx").read_bytes() == (tmp_path / "one" / "m.onnx").read_bytes()


def test_data_in_a_folder_is_copied_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    data = np.arange(300, dtype=np.float32).tobytes()
    (tmp_path / "here" / "sub" / "w.bin").write_bytes(data)
    weight = TensorProto(name="w", data_type=1, dims=[300], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="sub/w.bin")
    proto = helper.make_model(helper.make_graph([], "g", [], [], [weight]))
    (tmp_path / "here" / "m.onnx").write_bytes(proto.SerializeToString())
    graphir.save(graphir.load(tmp_path / "here" / "m.onnx"), tmp_path / "there" / "m.onnx")
    assert (tmp_path / "there" / "sub" / "w.bin").read_bytes() == data
    assert (tmp_path / "there" / "m.onnx").read_bytes() == proto.SerializeToString()


def test_data_comes_back_in(tmp_path: Path) -> None:
    graphir.save(heavy(), tmp_path / "m.onnx", external_data=True)
    model = graphir.load(tmp_path / "m.onnx")
    graphir.save(model, tmp_path / "n.onnx", external_data=False)
    (tmp_path / "m.onnx.data").unlink()
    plain = graphir_onnx.to_proto(heavy())
    assert (tmp_path / "n.onnx").read_bytes() == graphir.dumps(model, "onnx") == plain.SerializeToString()


def test_a_changed_weight_comes_in_alone(tmp_path: Path) -> None:
    graphir.save(heavy(), tmp_path / "m.onnx", external_data=True)
    model = graphir.load(tmp_path / "m.onnx")
    model.graph.weights["b"].tensor = Tensor.of(np.arange(3000))
    graphir.save(model, tmp_path / "n.onnx")
    assert arrays(graphir.load(tmp_path / "n.onnx")) == {**arrays(heavy()), "b": np.arange(3000).tobytes()}
    graphir.save(model, tmp_path / "n.onnx", external_data=True)
    assert (tmp_path / "n.onnx.data").stat().st_size == 8192 + 24000


def test_data_that_was_not_given_is_carried() -> None:
    weight = TensorProto(name="w", data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="w.bin")
    data = helper.make_model(helper.make_graph([], "g", [], [], [weight])).SerializeToString()
    model = graphir.loads(data)
    assert graphir_onnx.to_proto(model).SerializeToString() == data == graphir.dumps(model, "onnx")
    for use in (lambda: model.graph.weights["w"].tensor.array, lambda: graphir.dumps(model, "gir")):  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(FormatError, match=r"'w': its data lies in the file 'w.bin', which was not given"):
            use()


def test_a_save_that_fails_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphir.save(heavy(), tmp_path / "m.onnx", external_data=True)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr("graphir_onnx.external.Layout.write", lambda self, folder: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        graphir.save(heavy(), tmp_path / "m.onnx", external_data=True)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
