"""Files that mean harm, and files that are broken: each is refused with one error that names the file and the tensor, on load and on save."""

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper

import graphir
import graphir_onnx
from graphir import FormatError, Model, Tensor
from graphir.ops.elementwise import add
from graphir_onnx.read import read
from graphir_onnx.wire import message
from torture import torture

DATA = np.arange(8, dtype=np.float32).tobytes()
SHA1 = hashlib.sha1(DATA).hexdigest()


def tensor(entries: dict[str, str], dims: tuple[int, ...] = (8,)) -> TensorProto:
    """A tensor whose data lies where the entries say."""
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        made.external_data.add(key=key, value=value)
    return made


def model_with(weight: TensorProto) -> ModelProto:
    """y = x + w."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def external(path: Path, **entries: str) -> Path:
    """A model file with external data."""
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(model_with(tensor(entries)).SerializeToString())
    return path


def folder(tmp_path: Path) -> Path:
    """A folder with a model's data, good and bad, and a secret beside the folder."""
    inside = tmp_path / "models"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(DATA)
    (inside / "data").write_bytes(DATA)
    (inside / "sub" / "data").write_bytes(DATA)
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "inner_link").symlink_to(inside / "data")
    (inside / "up").symlink_to(tmp_path, target_is_directory=True)
    os.link(tmp_path / "secret", inside / "hard")
    os.mkfifo(inside / "pipe")
    return inside


# What a tensor says of its data -> what the error says.
ATTACKS: dict[str, tuple[dict[str, str], str]] = {
    "upwards": ({"location": "../secret"}, "leads upwards"),
    "down and upwards": ({"location": "sub/../../secret"}, "leads upwards"),
    "absolute": ({"location": "/etc/passwd"}, "an absolute path"),
    "device": ({"location": "/dev/zero"}, "an absolute path"),
    "empty": ({"location": ""}, "no name"),
    "none": ({}, "no name"),
    "a dot": ({"location": "."}, "no name"),
    "NUL": ({"location": "data\0.bin"}, "a NUL"),
    "drive": ({"location": "C:secret"}, "a backslash or a drive"),
    "UNC": ({"location": "\\\\host\\share"}, "a backslash or a drive"),
    "negative offset": ({"location": "data", "offset": "-4"}, "the offset of its external data is '-4'; expected a number"),
    "odd offset": ({"location": "data", "offset": "0x10"}, "expected a number"),
    "digits of other scripts": ({"location": "data", "offset": "\u0664"}, "expected a number"),
    "endless offset": ({"location": "data", "offset": "9" * 5000}, "expected a number"),
    "negative length": ({"location": "data", "length": "-32"}, "the length of its external data is '-32'"),
    "other length": ({"location": "data", "length": "28"}, "length 28; expected 32"),
    "unknown key": ({"location": "data", "mode": "w"}, "unknown key 'mode'"),
}
# What only the folder shows.
FOUND: dict[str, tuple[dict[str, str], str]] = {
    "symlink out": ({"location": "link"}, "'link' is a link"),
    "symlink within": ({"location": "inner_link"}, "'inner_link' is a link"),
    "folder symlink": ({"location": "up/secret"}, "'up' is a link"),
    "hard link": ({"location": "hard"}, r"2 names \(hard links\)"),
    "folder": ({"location": "sub"}, "not a plain file"),
    "pipe": ({"location": "pipe"}, "not a plain file"),
}
LOADED: dict[str, tuple[dict[str, str], str]] = {
    "missing": ({"location": "nothing"}, "cannot be opened"),
    "past the end": ({"location": "data", "offset": "4"}, "32 bytes at 4 of 'data', which has 32"),
    "far past the end": ({"location": "data", "offset": "9223372036854775807"}, "which has 32"),
    "wrong checksum": ({"location": "data", "checksum": "00" * 20}, f"SHA-1 of 'data' is {SHA1}"),
}


@pytest.mark.parametrize("row", [*ATTACKS, *FOUND, *LOADED])
@pytest.mark.parametrize("relative", [False, True])
def test_external_data_is_refused_on_load(row: str, relative: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries, said = {**ATTACKS, **FOUND, **LOADED}[row]
    path = external(folder(tmp_path) / "m.onnx", **entries)
    if relative:  # with a bare file name there is no folder in the path to check against
        monkeypatch.chdir(path.parent)
        path = Path("m.onnx")
    with pytest.raises(FormatError, match=said) as e:
        graphir.load(path)
    assert str(e.value).startswith(f"{path}: graph 'g': tensor 'w': ")


@pytest.mark.parametrize("row", ATTACKS)
def test_entries_are_checked_without_a_folder_too(row: str) -> None:
    entries, said = ATTACKS[row]
    with pytest.raises(FormatError, match=said):
        graphir_onnx.from_proto(model_with(tensor(entries)))


def test_training_info_is_checked_too(tmp_path: Path) -> None:
    proto = dense(raw_data=DATA)
    node = helper.make_node("Constant", [], ["c"], value=tensor({"location": "../secret"}))
    proto.training_info.add().algorithm.CopyFrom(helper.make_graph([node], "step", [], []))
    with pytest.raises(FormatError, match=r"tensor 'w': .* leads upwards"):
        graphir_onnx.from_proto(proto)
    proto.training_info[0].algorithm.node[0].attribute[0].t.external_data[0].value = "data"
    model = graphir_onnx.from_proto(proto)
    assert graphir_onnx.to_proto(model) == proto
    with pytest.raises(FormatError, match=r"tensor 'w': .*'data' cannot be opened"):
        graphir.save(model, tmp_path / "m.onnx")
    (tmp_path / "data").write_bytes(DATA)
    graphir.save(model, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == proto.SerializeToString()


def test_an_origin_points_nowhere_else() -> None:
    """A native file may hold an origin that no ONNX file ever had."""
    model = built({"location": "data"})
    weight = model.graph.weights["w"].tensor
    assert isinstance(weight, Tensor)
    weight.carried["origin"] = tensor({"location": "../secret"}).SerializeToString()
    weight.carried["encoded"] = tensor({"location": "data"}).SerializeToString()
    (written,) = graphir_onnx.to_proto(model).graph.initializer
    assert [e.value for e in written.external_data] == ["data"]
    (embedded,) = ModelProto.FromString(graphir.dumps(model, "onnx")).graph.initializer
    assert embedded.raw_data == DATA and not embedded.external_data and not embedded.data_location


def built(entries: dict[str, str], data: bytes = DATA) -> Model:
    """A model whose weight claims to have come from another file."""
    graph = graphir.Graph("g")
    x = graph.input("x", graphir.TensorType("float32", (8,)))
    array = np.frombuffer(data, np.float32)
    w = graph.weight("w", Tensor(array.dtype, array.shape, lambda: array, "external", {"external": entries}))
    graph.output(add(x, w), "y")
    return Model(graph)


@pytest.mark.parametrize("row", [*ATTACKS, *FOUND])
def test_external_data_is_refused_on_save(row: str, tmp_path: Path) -> None:
    entries, said = {**ATTACKS, **FOUND}[row]
    target = folder(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()}
    with pytest.raises(FormatError, match=said) as e:
        graphir.save(built(entries), target / "out.onnx")
    assert str(e.value).startswith(f"{target / 'out.onnx'}: tensor ") and "w" in str(e.value)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()}
    if row in ATTACKS:
        with pytest.raises(FormatError, match=said):
            graphir_onnx.to_proto(built(entries))


def test_other_data_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"\0" * 64)
    with pytest.raises(FormatError, match=r"'precious', which is there already and holds other data; .* external_data=True"):
        graphir.save(built({"location": "precious"}), tmp_path / "m.onnx")
    assert (tmp_path / "precious").read_bytes() == b"\0" * 64 and not (tmp_path / "m.onnx").exists()


def test_data_in_the_models_own_file_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="lies in the model's own file"):
        graphir.save(built({"location": "m.onnx"}), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_gaps_between_tensors_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="spread over 1000000000032 bytes"):
        graphir.save(built({"location": "data", "offset": str(10**12)}), tmp_path / "m.onnx")
    assert not (tmp_path / "data").exists()


def test_own_data_file_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"keep")
    (tmp_path / "m.onnx.data").symlink_to(tmp_path / "elsewhere")
    graph = graphir.Graph("g")
    graph.output(add(graph.input("x", graphir.TensorType("float32", (4096,))), graph.weight("w", np.zeros(4096, "f"))))
    with pytest.raises(FormatError, match=r"'m.onnx.data' is a link"):
        graphir.save(Model(graph), tmp_path / "m.onnx", external_data=True)
    assert (tmp_path / "elsewhere").read_bytes() == b"keep" and not (tmp_path / "m.onnx").exists()


# ---- tensors ------------------------------------------------------------------------------------------------------------------------


def dense(**fields: Any) -> ModelProto:
    return model_with(TensorProto(name="w", **{"data_type": TensorProto.FLOAT, "dims": [8], **fields}))


SIZES: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "dims of 2^60": (lambda: dense(dims=[1 << 60], raw_data=b"abcd"), "holds 4 bytes of raw data; expected 4611686018427387904"),
    "dims whose product overflows": (lambda: dense(dims=[1 << 62, 1 << 62], raw_data=b""), "holds 0 bytes of raw data"),
    "external dims of 2^60": (lambda: model_with(tensor({"location": "data"}, (1 << 60,))), "which has 32"),
    "negative dims": (lambda: dense(dims=[-8, -1], raw_data=DATA), "none below zero"),
    "too little raw data": (lambda: dense(raw_data=DATA[:-1]), "holds 31 bytes of raw data; expected 32, for float32\\[8\\]"),
    "too much raw data": (lambda: dense(raw_data=DATA + b"\0"), "holds 33 bytes"),
    "too few numbers": (lambda: dense(float_data=[1.0]), "holds 1 numbers in float_data; expected 8"),
    "nothing": (dense, "holds 0 numbers"),
    "numbers of another field": (lambda: dense(int64_data=[1] * 8), "holds 0 numbers in float_data"),
    "raw strings": (lambda: dense(data_type=TensorProto.STRING, raw_data=b"\0" * 64), "strings stand in raw_data"),
    "an unknown type": (lambda: dense(data_type=99, raw_data=DATA), "element type is 99; expected one of 1 to 28"),
    "no type": (lambda: dense(data_type=0, raw_data=DATA), "element type is 0"),
}


@pytest.mark.parametrize("row", SIZES)
def test_sizes_are_checked_before_anything_is_made(row: str, tmp_path: Path) -> None:
    make, said = SIZES[row]
    path = folder(tmp_path) / "m.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(FormatError, match=f"^{path}: graph 'g': tensor 'w': .*{said}"):
        graphir.load(path)


def sparse_model(dims: list[int], indices: np.ndarray) -> ModelProto:
    made = dense(raw_data=DATA)
    proto = made.graph.sparse_initializer.add(dims=dims)
    proto.values.CopyFrom(onnx.numpy_helper.from_array(np.ones(2, np.float32), "s"))
    proto.indices.CopyFrom(onnx.numpy_helper.from_array(indices))
    return made


@pytest.mark.parametrize(
    ("dims", "indices", "said"),
    [
        ([4], np.array([1, 4]), "an index outside"),
        ([4], np.array([-1, 0]), "an index outside"),
        ([2, 2], np.array([[0, 0], [2, 0]]), "an index outside"),
        ([4], np.array([1]), r"values of shape \[2\] at int64\[1\]"),
        ([4], np.array([0, 1], np.int32), "at int32"),
        ([-4], np.array([0, 1]), "none below zero"),
        ([1 << 62, 1 << 62], np.array([0, -1]), "an index outside"),
    ],
)
def test_sparse_tensors_are_checked(dims: list[int], indices: np.ndarray, said: str) -> None:
    with pytest.raises(FormatError, match=f"sparse tensor 's': .*{said}"):
        graphir_onnx.from_proto(sparse_model(dims, indices))


# ---- structure ----------------------------------------------------------------------------------------------------------------------


def broken(change: Callable[[GraphProto], Any]) -> ModelProto:
    made = dense(raw_data=DATA)
    change(made.graph)
    return made


def calls(*names: tuple[str, str]) -> ModelProto:
    """Functions, each with what it calls."""
    made = dense(raw_data=DATA)
    for name, called in names:
        node = helper.make_node(called, ["a"], ["b"], domain="local")
        body = helper.make_graph([node], "branch", [], [onnx.ValueInfoProto(name="b")])
        inner = helper.make_node("If", ["a"], ["b"], then_branch=body, else_branch=body)
        made.functions.append(helper.make_function("local", name, ["a"], ["b"], [inner], [helper.make_opsetid("local", 1)]))
    return made


STRUCTURE: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "unknown input": (lambda: broken(lambda g: g.node[0].input.append("ghost")), r"node 'y' \(Add\): the input 'ghost' is not made before it"),
    "cycle by way of another": (
        lambda: broken(lambda g: [g.node.insert(0, helper.make_node("Neg", ["y"], ["n"])), g.node[1].input.append("n")]),
        r"the input 'y' is not made before it, .* 'n' -> 'y' -> 'n'",
    ),
    "cycle": (lambda: broken(lambda g: g.node[0].input.append("y")), "the input 'y' is not made before it"),
    "made twice": (lambda: broken(lambda g: g.node.append(helper.make_node("Neg", ["x"], ["y"]))), "the output 'y' is defined already"),
    "made over an input": (lambda: broken(lambda g: g.node.append(helper.make_node("Neg", ["x"], ["x"]))), "the output 'x' is defined already"),
    "input twice": (lambda: broken(lambda g: g.input.append(g.input[0])), "the input 'x' is listed twice"),
    "default input twice": (lambda: broken(lambda g: g.input.extend([onnx.ValueInfoProto(name="w")] * 2)), "the input 'w' is listed twice"),
    "initializer twice": (lambda: broken(lambda g: g.initializer.append(g.initializer[0])), "the initializer 'w' is defined already"),
    "no name": (lambda: broken(lambda g: g.input.append(onnx.ValueInfoProto())), "an input has no name"),
    "unknown output": (lambda: broken(lambda g: g.output.append(onnx.ValueInfoProto(name="z"))), "the output 'z' is made by no node"),
    "attribute twice": (lambda: broken(lambda g: g.node[0].attribute.extend([helper.make_attribute("a", 1)] * 2)), "'a' is given twice"),
    "empty attribute": (lambda: broken(lambda g: g.node[0].attribute.add(name="a", type=5)), "its kind is GRAPH, but it holds none"),
    "calls itself": (lambda: calls(("f", "f")), "function 'f' calls itself"),
    "calls itself by way of others": (lambda: calls(("f", "g"), ("g", "h"), ("h", "f")), "calls itself"),
    "function twice": (lambda: calls(("f", "Relu"), ("f", "Relu")), "function 'f' is defined twice"),
    "no graph": (lambda: ModelProto(ir_version=8), "holds no graph"),
}  # fmt: skip


@pytest.mark.parametrize("row", STRUCTURE)
def test_structure_is_checked(row: str, tmp_path: Path) -> None:
    make, said = STRUCTURE[row]
    path = tmp_path / "m.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(FormatError, match=f"^{path}: .*{said}"):
        graphir.load(path)


def test_control_characters_do_not_reach_the_terminal() -> None:
    name = "\x1b[2J\x07" + "long" * 1000
    with pytest.raises(FormatError) as e:
        graphir_onnx.from_proto(broken(lambda g: g.node[0].input.append(name)))
    assert "\x1b" not in str(e.value) and "\x07" not in str(e.value) and len(str(e.value)) < 500


def nested(depth: int) -> bytes:
    """Ifs inside Ifs, written by hand: the parser would refuse them while they are built."""
    graph = b""
    for _ in range(depth):
        graph = message(1, message(5, message(6, graph)))  # in an attribute of a node of a graph
    return message(7, graph)


@pytest.mark.parametrize("depth", [50, 5000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(FormatError, match="nested too deep"):
        graphir.loads(nested(depth), format="onnx")


def test_deep_nesting_is_refused_on_save() -> None:
    graph = graphir.Graph("g")
    condition = graph.input("c", graphir.TensorType("bool", ()))
    body = graph
    for _ in range(400):
        inner = graphir.Graph("b", body)
        body.append(graphir.ops.lookup("", "If"), (condition,), {"then_branch": inner}, [None])
        body = inner
    with pytest.raises(FormatError, match=r"too deep|cannot write"):
        graphir.dumps(Model(graph), "onnx")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = torture().SerializeToString()
    path = tmp_path / "m.onnx"
    for length in [*range(200), *range(200, len(whole), 97)]:
        path.write_bytes(whole[:length])
        try:
            model = graphir.load(path)
        except FormatError as e:
            assert str(e).startswith(f"{path}: ")  # most cuts leave no message; a few leave a smaller one
        else:
            assert graphir_onnx.to_proto(model) == ModelProto.FromString(whole[:length])


def test_a_big_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = dense(dims=[1 << 20], raw_data=bytes(4 << 20)).SerializeToString()
    path = tmp_path / "m.onnx"
    for cut in (1, 100, 1 << 20, len(whole) - 60):
        path.write_bytes(whole[:-cut])
        with pytest.raises(FormatError, match=f"^{path}: it is no ONNX model, or it is cut short"):
            graphir.load(path)


def test_damaged_files_give_one_kind_of_error() -> None:
    whole = torture().SerializeToString()
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        try:
            model = read(bytes(data))
        except FormatError:
            continue
        assert graphir_onnx.to_proto(model).SerializeToString() == ModelProto.FromString(bytes(data)).SerializeToString()


@pytest.mark.parametrize("data", [b"", b"\0", b"not a model at all", b"\x08\x08", struct.pack("<64d", *range(64))])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(FormatError):
        graphir.load(tmp_path / "m.onnx")
