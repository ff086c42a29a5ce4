"""The container: a safetensors file, which is the length of a header, the header in JSON, and the data of tensors without gaps."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..plugins import FormatError
from ..types import RANK_LIMIT
from . import data, plain

HEADER_LIMIT = 100_000_000  # bytes; safetensors refuses more, too
METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")
_ZEROS = "0" * 64


class Entry(NamedTuple):
    """A tensor in the file: its safetensors type, its shape, and where its data lies."""

    code: str
    shape: list[int]
    offset: int
    size: int


class Stored(NamedTuple):
    """A tensor to write: its safetensors type, its shape, its size in bytes, what its place is a multiple of, and the data piece by piece."""

    code: str
    shape: list[int]
    size: int
    alignment: int
    chunks: Callable[[], Iterable[Any]]


class Container:
    """The tensors of a safetensors file, by key, and the texts that its header holds. Nothing is read before it is asked for.

    buffer: bytes, or a file that is mapped. Raises FormatError where the header is not as it should be.
    """

    def __init__(self, buffer: Any):
        self.buffer = buffer
        total = len(buffer)
        if total < 8:
            raise FormatError(f"{total} bytes; expected a header's length in the first 8")
        (length,) = _LENGTH.unpack(buffer[:8])
        if length > min(HEADER_LIMIT, total - 8):
            raise FormatError(
                f"the header claims {length} bytes; expected at most {min(HEADER_LIMIT, total - 8)}: the file is cut off, or of another format"
            )
        self.header = bytes(buffer[8 : 8 + length])
        if self.header[:1] != b"{":
            raise FormatError("the header does not begin with {: the file is of another format")
        tree = plain.read(self.header)
        self.metadata: dict[str, str] = tree.pop(METADATA, {})
        if not isinstance(self.metadata, dict) or not all(isinstance(x, str) for x in self.metadata.values()):
            raise FormatError(f"{METADATA} in the header is no table of texts")
        self.entries = {key: _entry(key, x, 8 + length) for key, x in tree.items()}
        self._check_cover(8 + length, total)

    def _check_cover(self, at: int, total: int) -> None:
        """The data of the tensors follows one upon the other, up to the end of the file."""
        before = "the header"
        for key, e in sorted(self.entries.items(), key=lambda item: (item[1].offset, item[1].size)):
            if e.offset != at:
                raise FormatError(
                    f"tensor {key!r}: its data begins {abs(e.offset - at)} bytes {'behind' if e.offset > at else 'before'} the end of {before}"
                )
            at, before = e.offset + e.size, f"{key!r}"
        if at != total:
            raise FormatError(
                f"the tensors end at byte {at}, but the file at byte {total}: it is {'cut off' if at > total else 'too long'}"
            )

    def view(self, key: str) -> memoryview:
        """The bytes of a tensor."""
        e = self.entries[key]
        return memoryview(self.buffer)[e.offset : e.offset + e.size]

    def array(self, key: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor as an array, see data.read."""
        e = self.entries[key]
        return data.read(self.buffer, e.offset, e.size, dtype, shape)

    def check_header(self, name: str) -> None:
        """Compare the header with its checksum, which stands in the metadata under `name`. Raises FormatError where they differ."""
        expected = self.metadata.get(name, "")
        if len(expected) != 64 or self.header.count(expected.encode()) != 1:
            raise FormatError(f"the header has no checksum {name}")
        if expected != _header_sha256(self.header.replace(expected.encode(), _ZEROS.encode())):
            raise FormatError("the header does not match its checksum: the file is damaged")


def write(file: BinaryIO, tensors: Mapping[str, Stored], metadata: Mapping[str, str], checksum: str) -> None:
    """Write a safetensors file. The order is that of `tensors`, those of greater alignment first; the header's checksum goes into the metadata as `checksum`.

    Raises FormatError where the header would be longer than safetensors allows.
    """
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].alignment))
    header: dict[str, Any] = {METADATA: {**metadata, checksum: _ZEROS}}
    at = 0
    for key, t in ordered.items():
        header[key] = {"dtype": t.code, "shape": t.shape, "data_offsets": [at, at + t.size]}
        at += t.size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise FormatError(f"the header takes {len(text)} bytes; expected at most {HEADER_LIMIT}: the model has too many tensors")
    field = f"{json.dumps(checksum)}:"
    text = text.replace(f'{field}"{_ZEROS}"'.encode(), f'{field}"{_header_sha256(text)}"'.encode(), 1)
    file.write(_LENGTH.pack(len(text)) + text)
    for key, t in ordered.items():
        _copy(file, key, t)


def _copy(file: BinaryIO, key: str, tensor: Stored) -> None:
    written = 0
    for chunk in tensor.chunks():
        file.write(chunk)
        written += len(chunk)
    if written != tensor.size:
        raise FormatError(f"tensor {key!r}: {written} bytes of data; expected {tensor.size}")


def _header_sha256(header: bytes) -> str:
    return hashlib.sha256(_LENGTH.pack(len(header)) + header).hexdigest()


def _entry(key: str, x: Any, start: int) -> Entry:
    where = f"tensor {key!r:.80}: "
    if not isinstance(x, dict) or set(x) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{where}its entry in the header is not dtype, shape and data_offsets")
    code, shape, offsets = x["dtype"], x["shape"], x["data_offsets"]
    if not isinstance(code, str) or code not in data.CODES:
        raise FormatError(f"{where}dtype is {code!r:.40}; expected one of {', '.join(data.CODES)}")
    if not all(isinstance(part, list) and all(type(i) is int and i >= 0 for i in part) for part in (shape, offsets)) or len(offsets) != 2:
        raise FormatError(f"{where}shape and data_offsets are {shape!r:.60} and {offsets!r:.60}; expected lists of sizes, and two offsets")
    if len(shape) > RANK_LIMIT:
        raise FormatError(f"{where}the shape has {len(shape)} axes; expected at most {RANK_LIMIT}")
    begin, end = offsets
    bits = prod(shape) * data.CODES[code]
    if (end - begin) * 8 != bits:
        raise FormatError(f"{where}data_offsets span {end - begin} bytes; expected {-(-bits // 8)} for {code} of shape {shape!r:.60}")
    return Entry(code, shape, start + begin, end - begin)
