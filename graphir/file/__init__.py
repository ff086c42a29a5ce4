"""The native file: a safetensors file of the weights, in which one more tensor holds the rest of the model as JSON. docs/format.md specifies it."""

import hashlib
import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..dtypes import BOOL, NAMES, STRING
from ..mapped import MappedFile, map_or_read
from ..model import Model
from ..plugins import FormatError, write_atomically
from . import data, plain
from .container import Container, Stored, write
from .message import MESSAGE, VERSION, encode
from .reader import check_version, decode

suffixes = (".gir",)

_VERSION, _HEADER_SHA256, _MODEL_SHA256 = "graphir.version", "graphir.header_sha256", "graphir.model_sha256"


def load(path: Path, *, verify: bool = False, copy: bool = False) -> Model:
    """The model in a file, which is mapped: a tensor is read when it is wanted, if the file was not changed in place meanwhile.

    The header and the message are compared with their checksums. verify: the data of every tensor too. copy: all is read now, and nothing mapped.
    Raises FormatError where the file is not what it should be.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FormatError(f"{path}: a .gir file is mapped, which pipes and devices cannot be; read the bytes and call loads")
    with path.open("rb") as file:
        buffer = map_or_read(file.fileno(), str(path), copy)
    model = _model(buffer, str(path), verify)
    if isinstance(buffer, MappedFile):
        buffer.check()
    return model


def loads(data: bytes, *, verify: bool = False) -> Model:
    """The model in the bytes of a file, which are not copied."""
    return _model(data, "the data", verify)


def recognizes(data: bytes) -> bool:
    """Whether the data looks like a safetensors file."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def save(model: Model, path: Path) -> None:
    """Write a model to a file, whole or not at all; tensors are written one after another. Raises FormatError where it cannot be written."""
    try:
        parts = _parts(model)
        write_atomically(path, lambda file: _write(file, *parts))
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None


def dumps(model: Model) -> bytes:
    """The bytes of the file."""
    file = io.BytesIO()
    _write(file, *_parts(model))
    return file.getvalue()


def _parts(model: Model) -> tuple[dict[str, Stored], dict[str, str]]:
    """What goes into the file: the tensors, of which the message comes last, and the texts of the header."""
    message, tensors = encode(model)
    stored = {}
    for key, tensor in tensors.items():
        size = data.size_of(tensor)
        stored[key] = Stored(
            data.code_of(tensor.dtype),
            data.stored_shape(tensor.dtype, tensor.shape, size),
            size,
            data.alignment(tensor.dtype),
            lambda t=tensor: data.chunks(t),
        )
    stored[MESSAGE] = Stored("U8", [len(message)], len(message), 1, lambda: [message])
    return stored, {_VERSION: str(VERSION), _MODEL_SHA256: hashlib.sha256(message).hexdigest()}


def _write(file: BinaryIO, stored: dict[str, Stored], metadata: dict[str, str]) -> None:
    write(file, stored, metadata, _HEADER_SHA256)


def _model(buffer: Any, name: str, verify: bool) -> Model:
    try:
        container = Container(buffer)
        tree = _message(container)
        if verify:
            _verify(container, tree["sha256"])
        return decode(tree, lambda key, dtype, shape: _reading(container, name, key, dtype, shape, verify))
    except FormatError as e:
        text = str(e).replace(f"{name}: ", "")  # what reads a tensor says so, too
        raise FormatError(f"{name}: {text}") from None


def _message(container: Container) -> dict[str, Any]:
    """The message of a file, after the checks that its header calls for."""
    version = container.metadata.get(_VERSION)
    if version is None or MESSAGE not in container.entries:
        raise FormatError(f"a safetensors file without {MESSAGE}: it holds tensors, but no model")
    if version != str(VERSION):
        raise FormatError(f"the file is of format version {version!r:.20}; this graphir reads {VERSION}: upgrade graphir")
    container.check_header(_HEADER_SHA256)
    message = container.view(MESSAGE)
    if hashlib.sha256(message).hexdigest() != container.metadata.get(_MODEL_SHA256):
        raise FormatError(f"tensor {MESSAGE!r} does not match its checksum: the file is damaged")
    tree = check_version(plain.read(bytes(message)))
    listed = tree["sha256"]
    odd = next((k for k in {**listed, **container.entries} if k != MESSAGE and (k in listed) != (k in container.entries)), None)
    if odd is not None or MESSAGE in listed:
        raise FormatError(f"tensor {odd or MESSAGE!r:.80} stands in the header or in the message, and not in the other")
    return tree


def _verify(container: Container, sha256: dict[str, Any]) -> None:
    for key, expected in sha256.items():
        if hashlib.sha256(container.view(key)).hexdigest() != expected:
            raise FormatError(f"tensor {key!r:.80} does not match its checksum: the file is damaged")


def _reading(container: Container, name: str, key: str, dtype: np.dtype, shape: tuple[int, ...], verify: bool) -> Callable[[], np.ndarray]:
    """What reads a tensor. Raises FormatError where the header has another type for it. verify: also where its bytes are no elements of that type."""
    entry = container.entries.get(key) if key != MESSAGE else None
    if entry is None:
        raise FormatError("the file does not hold it")
    if entry.code != data.code_of(dtype) or entry.shape != data.stored_shape(dtype, shape, entry.size):
        raise FormatError(f"the header has it as {entry.code} of shape {entry.shape!r:.60}, but the message as {NAMES[dtype]}{list(shape)}")

    def read() -> np.ndarray:
        if isinstance(container.buffer, MappedFile):
            container.buffer.check()
        try:
            return container.array(key, dtype, shape)
        except FormatError as e:
            raise FormatError(f"{name}: tensor {key!r:.80}: {e}") from None

    if verify and dtype in (BOOL, STRING):  # of all others any bytes will do
        read()
    return read
