"""What a file is that was taken for another kind, told by its first bytes and its suffix, and how people come from it to what they want."""

import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .expect import near

HEAD = 4096  # bytes that tell what a file is

_TORCH = "export the model with torch.onnx.export"
_TENSORFLOW = "convert it with tf2onnx (python -m tf2onnx.convert)"
_UNPACK = "unpack it first"
_WEIGHTS = "it holds weights and no graph; export the model that they belong to as ONNX"
_EXPECTED = "expected an .onnx or .gir file"
_PICTURE = "a picture"


class Kind(NamedTuple):
    """What a file is, with its article, and what to do where a model was wanted."""

    name: str
    remedy: str


_MARKS: list[tuple[bytes, Kind]] = [  # how the first bytes begin
    (rb"version https://git-lfs", Kind("a Git LFS pointer, which stands for a file that was not downloaded", "run `git lfs pull`")),
    (rb"\s*(<!doctype html|<html|<head|<body)", Kind("a web page (HTML)", "download the file itself: on GitHub the raw file, on other hubs the link to download")),
    (rb"\s*<\?xml", Kind("XML", "it may be what a server said in place of the file, or a model of OpenVINO: take the ONNX file that it was made from")),
    (rb"\x80[\x02-\x05]", Kind("a Python pickle, as of PyTorch, joblib or scikit-learn", f"it is never unpickled here: {_TORCH}, or with skl2onnx")),
    (rb"\x93NUMPY", Kind("a NumPy array (.npy)", _EXPECTED)),
    (rb"\x89HDF\r\n", Kind("an HDF5 file, as Keras writes them", _TENSORFLOW)),
    (rb"(?s:....)TFL3", Kind("a TensorFlow Lite model", "convert it with tf2onnx (python -m tf2onnx.convert --tflite FILE)")),
    (rb"(?s:....)ORTM", Kind("a model in ONNX Runtime's own format (.ort)", "take the ONNX file that it was made from")),
    (rb"GGUF", Kind("a GGUF file", _WEIGHTS)),
    (rb"ML\xefR", Kind("MLIR bytecode", "export the model as ONNX")),
    (rb"ftrt|ptrt", Kind("a TensorRT engine", "take the ONNX file that it was made from")),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM(?s:..)..\0\0\0\0|II\*\0|MM\0\*|RIFF(?s:....)WEBP", Kind(_PICTURE, _EXPECTED)),
    (rb"%PDF", Kind("a PDF", _EXPECTED)),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd|Rar!|(?s:.{257})ustar", Kind("a compressed archive", _UNPACK)),
]  # fmt: skip
_ZIPPED: list[tuple[bytes, Kind]] = [  # what stands in the first bytes of a zip
    (rb"data\.pkl|constants\.pkl|/version", Kind("a file of PyTorch", _TORCH)),
    (rb"\.npy", Kind("a file of NumPy arrays (.npz)", _EXPECTED)),
    (rb"model\.weights\.h5|config\.json", Kind("a Keras model", _TENSORFLOW)),
]
_SUFFIXES = {
    ".pt .pth .ckpt .pt2 .torchscript": Kind("a file of PyTorch by its name", _TORCH),
    ".pb .pbtxt .savedmodel": Kind("a TensorFlow model by its name", f"{_TENSORFLOW}; if it is ONNX, name it .onnx"),
    ".h5 .hdf5 .keras": Kind("a Keras model by its name", _TENSORFLOW),
    ".tflite .lite": Kind("a TensorFlow Lite model by its name", "convert it with tf2onnx (python -m tf2onnx.convert --tflite FILE)"),
    ".safetensors": Kind("a safetensors file by its name", _WEIGHTS),
    ".pkl .pickle .joblib": Kind("a Python pickle by its name", "export the model as ONNX, those of scikit-learn with skl2onnx"),
    ".mlmodel .mlpackage": Kind("a Core ML model by its name", "take the ONNX file that it was made from"),
    ".engine .trt .plan": Kind("a TensorRT engine by its name", "take the ONNX file that it was made from"),
    ".pdmodel .pdiparams": Kind("a PaddlePaddle model by its name", "convert it with paddle2onnx"),
    ".caffemodel .prototxt": Kind("a Caffe model by its name", "export the model as ONNX"),
    ".npz .npy": Kind("a file of NumPy arrays by its name", _EXPECTED),
}


def kind_of_bytes(data: bytes) -> Kind | None:
    """What data is, by its first bytes; None where they do not tell."""
    head = bytes(data[:HEAD])
    if not head:
        return Kind("empty", "it may not have been downloaded whole")
    if head[:4] == b"PK\3\4":
        return next((kind for mark, kind in _ZIPPED if re.search(mark, head)), Kind("a zip archive", _UNPACK))
    found = next((kind for mark, kind in _MARKS if re.match(mark, head, re.IGNORECASE)), None)
    if found is not None:
        return found
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 1 << 40:
        native = b"graphir." in head
        return Kind("a .gir file", "name it .gir") if native else Kind("a safetensors file", _WEIGHTS)
    return _text(head)


def kind_of_file(path: Path) -> Kind | None:
    """What a file is, by its first bytes, else by its suffix; None where neither tells."""
    try:
        with path.open("rb") as file:
            found = kind_of_bytes(file.read(HEAD))
    except OSError:
        found = None
    suffix = path.suffix.lower()
    return found or next((kind for suffixes, kind in _SUFFIXES.items() if suffix and suffix in suffixes.split()), None)


def near_file(path: Path) -> str:
    """What an error adds about a file that is not there: those of its folder that are called nearly so."""
    try:
        return near(path.name, islice((p.name for p in path.parent.iterdir()), 1000))
    except OSError:
        return ""


def _text(head: bytes) -> Kind | None:
    """What text is; None for bytes that are none."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        if e.start < len(head) - 4:  # else it is a letter that the end cuts
            return None
        text = head[: e.start].decode("utf-8-sig")
    if any(c < " " and c not in "\t\n\r\f" for c in text):
        return None
    if text.lstrip()[:1] in ("{", "["):
        return Kind("JSON", f"a .json file of graphir is for reading; {_EXPECTED}")
    line = text.strip().partition("\n")[0]
    return Kind(f"text that begins {line[:40]!r}", f"it may be what a server said in place of the file; {_EXPECTED}")
