"""ONNX in and out: `from_proto`, `to_proto`, and the format that `graphir.load` and `graphir.save` use for .onnx files.

A file comes back byte for byte as it was parsed, where nothing was changed in between; a change changes nothing else.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto, TrainingInfoProto

from graphir.dtypes import nbytes
from graphir.mapped import MappedFile, map_or_read
from graphir.model import Model
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor, Tensor

from .attributes import children
from .carried import expect_carried
from .elements import quoted, reason
from .external import Folder, Layout, entries_of, external_tensors, fits_outside
from .lowest import Note, nobody, placed
from .pair import data_name, write_with_data, write_with_data_where_it_was
from .read import read
from .tensors import Absent, decode_tensor
from .write import write

suffixes = (".onnx",)
LIMIT = 2**31 - 1  # bytes of a protobuf message
ROOM = 2**31 - 2**27  # bytes of tensor data in one; the rest is for the graph


def load(path: Path, *, copy: bool = False) -> Model:
    """The model in a file, which is mapped: big tensors are read when they are wanted, those in files beside it too, if these were not changed meanwhile.

    copy: all is read now, and nothing mapped. Raises FormatError, which names the file, the graph, the node or tensor.
    """
    path = Path(path)
    folder = Folder(path, copy)
    with path.open("rb") as file:
        data = map_or_read(file.fileno(), str(path), copy)
    try:
        model = read(memoryview(data), folder.find)
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None
    folder.check()
    if isinstance(data, MappedFile):
        data.check()
    return model


def loads(data: bytes) -> Model:
    """The model in these bytes. Data that lies in other files is carried along, and cannot be read."""
    return read(data)


def from_proto(proto: ModelProto | bytes) -> Model:
    """The model in a ModelProto, or in its bytes. Data that lies in other files is carried along, and cannot be read."""
    if isinstance(proto, bytes):
        return loads(proto)
    try:
        return loads(proto.SerializeToString())
    except ValueError as e:
        if isinstance(e, FormatError):
            raise
        raise FormatError(f"the message cannot be serialized: {e}") from None


def to_proto(
    model: Model, *, opset: int | None = None, ir_version: int | None = None, sort: bool = False, note: Note = nobody
) -> ModelProto:  # fmt: skip
    """The model as a ModelProto. Tensors that came from other files keep pointing there.

    opset: the version of ai.onnx to write in; by default that of the file it came from, else as low as can be; raised as far as the nodes need it.
    ir_version: likewise. sort: write nodes in topological order, even where nothing was changed in a file that has them in another. note: is called with a sentence that names the operator where the file's own version had to be raised, as `note=print`.
    Raises FormatError for what ONNX, or the version that was asked for, cannot say.
    """
    expect_carried(model)
    return _to_proto(model, opset, ir_version, entries_of, note, sort)


def dumps(
    model: Model, *, opset: int | None = None, ir_version: int | None = None, external_data: bool | None = None, without: Collection[str] = (),
    sort: bool = False, note: Note = nobody,
) -> bytes:  # fmt: skip
    """The bytes of an .onnx file, with all data in it that is at hand. opset, ir_version, sort, note: see `to_proto`.

    without: names of weights of the main graph whose data is left out, as if it lay in another file: for those who hand it over by themselves.
    """
    if external_data:
        raise FormatError("bytes alone hold no second file; save to a path for external_data=True")
    expect_carried(model)
    elsewhere = {id(t): t for name in without if isinstance(t := model.graph.weights[name].tensor, Tensor)}
    embed = _embed if external_data is None else _embed_all

    def place(tensor: Tensor) -> Mapping[str, str] | None:
        if id(tensor) not in elsewhere:
            return embed(tensor)
        return {"location": "elsewhere", "offset": "0", "length": str(nbytes(tensor.dtype, tensor.elements))}

    return _serialized(_to_proto(model, opset, ir_version, place, note, sort))


def save(
    model: Model, path: Path, *, opset: int | None = None, ir_version: int | None = None, external_data: bool | None = None,
    sort: bool = False, note: Note = nobody,
) -> None:  # fmt: skip
    """Write an .onnx file, whole or not at all. opset, ir_version, sort, note: see `to_proto`.

    external_data: True puts the data of big tensors into NAME.onnx.data beside it; False puts all data into the file;
    None leaves each where it was, in files of the same names as before, unless the file would grow too big for protobuf.
    """
    path = Path(path)
    try:
        expect_carried(model)
        _save(model, path, lambda place: _to_proto(model, opset, ir_version, place, note, sort), external_data, note)
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None


def _save(model: Model, path: Path, proto: Callable[[Any], ModelProto], external_data: bool | None, note: Note) -> None:
    tensors = dict(named_tensors(model))
    outside = {name: t for name, t in tensors.items() if _in_file(name, t)}
    inside = sum(t.nbytes for name, t in tensors.items() if external_data is False or name not in outside)
    if inside > ROOM and external_data is False:
        raise FormatError(f"its tensors take {inside} bytes, and a protobuf file holds {LIMIT}; save with external_data=True")
    find = Folder(path).find
    for t in external_tensors(TrainingInfoProto.FromString(said["origin"]) for said in model.training):
        decode_tensor(t, find)  # it stays in its file, which must be there
    if external_data or inside > ROOM:
        layout = Layout(data_name(path), (t for t in tensors.values() if fits_outside(t)))
        write_with_data(path, lambda place: _serialized(proto(place)), layout, note)
        return
    data = _serialized(proto(_embed_all if external_data is False else entries_of))
    write_with_data_where_it_was(path, data, {} if external_data is False else outside)


def _to_proto(model: Model, opset: int | None, ir_version: int | None, place: Any, note: Note, sort: bool) -> ModelProto:
    try:
        model, opsets, ir_version = placed(model, opset, ir_version, note)
        return write(model, opsets, ir_version, place, sort)
    except RecursionError:
        raise FormatError("its graphs are nested too deep for an ONNX file") from None
    except UnicodeEncodeError as e:
        raise FormatError(reason(e)) from None


def _serialized(proto: ModelProto) -> bytes:
    try:
        data = proto.SerializeToString()
    except Exception as e:  # protobuf raises its own kinds, which differ between its implementations
        raise FormatError(f"protobuf cannot write it: {e}") from None
    if len(data) > LIMIT:
        raise FormatError(f"it takes {len(data)} bytes, and a protobuf file holds {LIMIT}; save with external_data=True")
    return data


def _in_file(name: str, tensor: Tensor) -> bool:
    """Whether a tensor came from another file. Raises FormatError where what it says of that file must not be written."""
    try:
        return entries_of(tensor) is not None
    except FormatError as e:
        raise FormatError(f"tensor {name}: {e}") from None


def _embed(tensor: Tensor) -> Mapping[str, str] | None:
    """A tensor stays in another file only where its data is not at hand."""
    return entries_of(tensor) if isinstance(tensor, Absent) else None


def _embed_all(tensor: Tensor) -> None:
    """Every tensor goes into the model."""


def named_tensors(model: Model) -> Any:
    """The tensors of a model, each under a name to report it by: weights, and those in attributes."""
    for graph in model.graphs():
        for name, weight in graph.weights.items():
            yield from _parts(f"{quoted(graph.name)}: {quoted(name)}", weight.tensor)
        for node in graph.nodes:
            for name, x in node.attributes.items():
                for i, t in enumerate(children(x)):
                    yield from _parts(f"{quoted(graph.name)}, node {quoted(node.label)}: {name}[{i}]", t)
    for function in model.functions.values():
        for name, x in function.attributes.items():
            for i, t in enumerate(children(x)):
                yield from _parts(f"function {quoted(function.name)}: {name}[{i}]", t)


def _parts(name: str, x: Any) -> Any:
    if isinstance(x, Tensor):
        yield name, x
    elif isinstance(x, SparseTensor):
        yield f"{name} (values)", x.values
        yield f"{name} (indices)", x.indices
