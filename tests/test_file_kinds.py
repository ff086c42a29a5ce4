"""What is no model is told by its first bytes, or by its name: what it is, and how to come to a model."""

import io
import re
import zipfile
from pathlib import Path

import pytest

import graphir
from graphir.cli import main
from graphir.plugins import FormatError
from samples import small


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return data.getvalue()


FILES: dict[str, bytes] = {  # what stands where a model was expected
    "page.onnx": b"<!DOCTYPE html>\n<html><head>",
    "page2.onnx": b"\n  <html lang='en'>",
    "lfs.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "json.onnx": b'{"error": "not found"}',
    "text.onnx": b"Not Found\n",
    "script.onnx": b"import torch\n",
    "xml.onnx": b'<?xml version="1.0"?><Error/>',
    "empty.onnx": b"",
    "torch.onnx": zipped(archive__data_pkl=b"\x80\x02}", archive__version=b"3"),
    "npz.onnx": zipped(x_npy=b"\x93NUMPY"),
    "keras.onnx": zipped(config_json=b"{}", model_weights_h5=b""),
    "zip.onnx": zipped(a_bin=b"1"),
    "pickle.onnx": b"\x80\x04\x95\x10\0\0",
    "npy.onnx": b"\x93NUMPY\x01\0",
    "h5.onnx": b"\x89HDF\r\n\x1a\n" + b"\0" * 8,
    "tflite.onnx": b"\x1c\0\0\0TFL3" + b"\0" * 8,
    "ort.onnx": b"\x1c\0\0\0ORTM" + b"\0" * 8,
    "gguf.onnx": b"GGUF\x03\0\0\0",
    "weights.onnx": (2).to_bytes(8, "little") + b"{}",
    "gzip.onnx": b"\x1f\x8b\x08\0" + b"\0" * 8,
    "picture.onnx": b"\x89PNG\r\n\x1a\n" + b"\0" * 8,
    "photo.onnx": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "page.gir": b"<html>",
    "model.pt": zipped(archive__data_pkl=b"\x80\x02}"),
    "model.pth": b"\0\1\2\3",
    "model.pb": b"\0\1\2\3",
    "model.h5": b"\0\1\2\3",
    "model.tflite": b"\0\1\2\3",
    "model.safetensors": (2).to_bytes(8, "little") + b"{}",
    "model.pkl": b"\0\1\2\3",
    "noise.onnx": bytes(range(128, 256)) * 3,
    "odd.xyz": b"\0\1\2\3",
}
SAID = {
    "page.onnx": "page.onnx: it is a web page (HTML), and no model: download the file itself",
    "page2.onnx": "a web page (HTML)",
    "lfs.onnx": "it is a Git LFS pointer, which stands for a file that was not downloaded, and no model: run `git lfs pull`",
    "json.onnx": "it is JSON",
    "text.onnx": "it is text that begins 'Not Found'",
    "script.onnx": "it is text that begins 'import torch'",
    "xml.onnx": "it is XML",
    "empty.onnx": "it is empty, and no model: it may not have been downloaded whole",
    "torch.onnx": "it is a file of PyTorch, and no model: export the model with torch.onnx.export",
    "npz.onnx": "it is a file of NumPy arrays (.npz)",
    "keras.onnx": "it is a Keras model, and no model: convert it with tf2onnx",
    "zip.onnx": "it is a zip archive, and no model: unpack it first",
    "pickle.onnx": "it is a Python pickle",
    "npy.onnx": "it is a NumPy array (.npy)",
    "h5.onnx": "it is an HDF5 file, as Keras writes them, and no model: convert it with tf2onnx",
    "tflite.onnx": "--tflite FILE",
    "ort.onnx": "ONNX Runtime's own format (.ort)",
    "gguf.onnx": "it is a GGUF file, and no model: it holds weights and no graph",
    "weights.onnx": "it is a safetensors file, and no model: it holds weights and no graph",
    "gzip.onnx": "it is a compressed archive, and no model: unpack it first",
    "picture.onnx": "it is a picture",
    "photo.onnx": "it is a picture",
    "page.gir": "it is a web page (HTML)",
    "model.pt": "it is a file of PyTorch, and no model",
    "model.pth": "it is a file of PyTorch by its name",
    "model.pb": "it is a TensorFlow model by its name, and no model: convert it with tf2onnx (python -m tf2onnx.convert); if it is ONNX, name it .onnx",
    "model.h5": "it is a Keras model by its name",
    "model.tflite": "it is a TensorFlow Lite model by its name",
    "model.safetensors": "it is a safetensors file, and no model: it holds weights and no graph",
    "model.pkl": "it is a Python pickle by its name",
    "noise.onnx": "noise.onnx: it is no ONNX model, or it is cut short",
    "odd.xyz": "odd.xyz: no format has the suffix '.xyz'",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(FILES[name])
    with pytest.raises(FormatError, match=re.escape(SAID[name])):
        graphir.load(name)
    assert main(["run", name]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {name}: ") and SAID[name] in err and err.count("\n") == 1
    assert main(["check", name]) == 1
    assert SAID[name] in capsys.readouterr().out
    if name.endswith(".onnx"):
        with pytest.raises(FormatError, match=re.escape(SAID[name].partition(": ")[2] if SAID[name].startswith(name) else SAID[name])):
            graphir.loads(FILES[name], "onnx")


def test_a_native_file_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graphir.save(small(), "m.gir")
    Path("copy.onnx").write_bytes(Path("m.gir").read_bytes())
    with pytest.raises(FormatError, match=r"copy.onnx: it is a .gir file, and no model: name it .gir"):
        graphir.load("copy.onnx")
    Path("copy.gir").write_bytes(Path("m.gir").read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"copy.gir: ") as e:
        graphir.load("copy.gir")
    assert "name it" not in str(e.value)
