"""The .json format: the message of the native file alone, for people and tools to read. A model that has tensors cannot be loaded from it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..dtypes import NAMES
from ..model import Model
from ..plugins import FormatError, write_atomically
from . import plain
from .message import encode
from .reader import decode

suffixes = (".json",)
textual = True


def load(path: Path) -> Model:
    """The model in a file. Raises FormatError where it needs tensors, which are not there."""
    try:
        return loads(path.read_bytes())
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None


def loads(data: bytes) -> Model:
    """The model in a text. Raises FormatError where it needs tensors, which are not there."""
    return decode(plain.read(data), _missing)


def recognizes(data: bytes) -> bool:
    """Whether the data looks like JSON."""
    return data.lstrip()[:1] == b"{"


def save(model: Model, path: Path) -> None:
    """Write the message of a model."""
    try:
        text = dumps(model)
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None
    write_atomically(path, lambda file: file.write(text))


def dumps(model: Model) -> bytes:
    """The message of a model, in UTF-8."""
    return encode(model)[0]


def _missing(key: str, dtype: np.dtype, shape: tuple[int, ...]) -> Callable[[], np.ndarray]:
    raise FormatError(
        f"the data of this {NAMES[dtype]}{list(shape)} is missing: a .json file is the model without its tensors; load the .gir or .onnx file"
    )
