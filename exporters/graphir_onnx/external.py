"""Tensor data in files beside the model. A model file is hostile until checked: nothing outside of its folder is read or written, and no link is followed."""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from google.protobuf.message import Message
from onnx import TensorProto

from graphir.atomic import write_atomically
from graphir.dtypes import STRING, nbytes
from graphir.mapped import check_files, map_or_read, mapped_file
from graphir.plugins import FormatError
from graphir.tensors import Tensor

from .elements import quoted
from .tensors import Absent, file_bytes

KEYS = ("location", "offset", "length", "checksum", "basepath")
PAGE = 4096  # offsets are multiples of it, so that readers can map the data
SMALL = 1024  # bytes; smaller data stays in the model
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Entries(NamedTuple):
    """What a tensor says of its data: the file, relative to the model's folder; where in it; the file's SHA-1."""

    parts: tuple[str, ...]
    offset: int
    length: int
    checksum: str | None

    @property
    def location(self) -> str:
        """The file's name, in one form."""
        return "/".join(self.parts)


def check_entries(entries: Mapping[str, str], size: int) -> Entries:
    """Read the entries of a tensor of `size` bytes. Raises FormatError for a place that is not plainly inside the model's folder, and for odd numbers."""
    for key in entries:
        if key not in KEYS:
            raise FormatError(f"its external data has the unknown key {quoted(key)}; expected {', '.join(KEYS)}")
    offset, length = (_number(entries, key) for key in ("offset", "length"))
    if length is not None and length != size:
        raise FormatError(f"its external data has length {length}; expected {size}, as its type and dims say")
    return Entries(_parts(entries.get("location", "")), offset or 0, size, entries.get("checksum") or None)


def _number(entries: Mapping[str, str], key: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,19}", text):
        raise FormatError(f"the {key} of its external data is {quoted(text)}; expected a number of bytes, not below zero")
    return int(text)


def _parts(location: str) -> tuple[str, ...]:
    parts = tuple(p for p in location.split("/") if p not in ("", "."))
    wrong = (
        "no name" if not parts
        else "an absolute path" if location.startswith("/")
        else "a path that leads upwards" if ".." in parts
        else "a NUL" if "\0" in location
        else "a backslash or a drive" if "\\" in location or ":" in parts[0]
        else None
    )  # fmt: skip
    if wrong:
        raise FormatError(f"its external data lies in {quoted(location)}, which is {wrong}; expected a file in the model's folder")
    return parts


class Folder:
    """The folder of a model: finds, checks and maps the files of tensor data in it. Each is mapped once, or read once where copies are wanted."""

    def __init__(self, model: Path, copy: bool = False):
        self.path = Path(os.path.realpath(model.parent))
        self._copy = copy
        self._maps: dict[str, memoryview] = {}
        self._checked: dict[str, str] = {}

    def find(self, entries: Mapping[str, str], size: int) -> Callable[[], memoryview]:
        """What gives the `size` bytes of a tensor. Everything is checked now. Raises FormatError."""
        e = check_entries(entries, size)
        data = self.map(e)
        if e.offset + e.length > len(data):
            found = f"{e.length} bytes at {e.offset} of {quoted(e.location)}, which has {len(data)}"
            raise FormatError(f"its external data is {found}; the file is cut short, or belongs to another model")
        if e.checksum is not None:
            self._check_sum(e, data)
        return lambda: data[e.offset : e.offset + e.length]

    def map(self, e: Entries) -> memoryview:
        """The contents of a file, which must be a plain one, reached without links."""
        if e.location not in self._maps:
            descriptor = self._open(e.parts)
            try:
                _check_plain(os.fstat(descriptor), e.location)
                self._maps[e.location] = memoryview(map_or_read(descriptor, str(self.path.joinpath(*e.parts)), self._copy))
            except OSError as error:
                raise FormatError(f"its external data in {quoted(e.location)} cannot be read: {error.strerror}") from None
            finally:
                os.close(descriptor)
        return self._maps[e.location]

    def check(self) -> None:
        """Raises FileChangedError where one of the files was changed since it was mapped."""
        check_files(file for file in map(mapped_file, self._maps.values()) if file is not None)

    def _open(self, parts: tuple[str, ...]) -> int:
        """Open a file step by step from the folder, so that no step can be a link."""
        location = "/".join(parts)
        try:
            if os.open not in os.supports_dir_fd:  # Windows: look at each step first
                for i in range(len(parts)):
                    _refuse_link(self.path.joinpath(*parts[: i + 1]), location)
                return os.open(self.path.joinpath(*parts), _READ)
            at = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for part in parts[:-1]:
                    above, at = at, os.open(part, _READ | os.O_DIRECTORY, dir_fd=at)
                    os.close(above)
                return os.open(parts[-1], _READ, dir_fd=at)
            finally:
                os.close(at)
        except OSError as error:
            for i in range(len(parts)):
                _refuse_link(self.path.joinpath(*parts[: i + 1]), location)
            raise FormatError(f"its external data in {quoted(location)} cannot be opened: {error.strerror}") from None

    def _check_sum(self, e: Entries, data: memoryview) -> None:
        if e.location not in self._checked:
            self._checked[e.location] = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        if self._checked[e.location] != str(e.checksum).lower():
            found = self._checked[e.location]
            raise FormatError(
                f"the SHA-1 of {quoted(e.location)} is {found}; expected {quoted(e.checksum)}: the file was changed or damaged"
            )

    def destination(self, e: Entries) -> Path:
        """Where to write a file: folders on the way are made. Raises FormatError where a link, or anything but a plain file, stands in the way."""
        path = self.path
        for part in e.parts[:-1]:
            path = path / part
            _refuse_link(path, e.location)
            path.mkdir(exist_ok=True)
        path = path / e.parts[-1]
        _refuse_link(path, e.location)
        if path.exists():
            _check_plain(path.stat(), e.location)
        return path


def _refuse_link(path: Path, location: str) -> None:
    if path.is_symlink():
        raise FormatError(f"its external data lies in {quoted(location)}, where {quoted(path.name)} is a link; expected a plain file")


def _check_plain(status: os.stat_result, location: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(f"its external data lies in {quoted(location)}, which is not a plain file")
    if status.st_nlink > 1:
        raise FormatError(f"its external data lies in {quoted(location)}, which has {status.st_nlink} names (hard links); expected one")


def entries_of(tensor: Tensor) -> dict[str, str] | None:
    """What a tensor that came from another file says of its place, checked; None for others. Raises FormatError."""
    entries = (tensor.carried or {}).get("external") if tensor.storage == "external" else None
    if entries is not None:
        check_entries(entries, nbytes(tensor.dtype, tensor.elements))
    return entries


def external_tensors(messages: Iterable[Message]) -> Iterator[TensorProto]:
    """The tensors with external data in messages, to any depth: for those parts of a file that are carried as they are."""
    for message in messages:
        if isinstance(message, TensorProto):
            if message.data_location == TensorProto.EXTERNAL:
                yield TensorProto.FromString(message.SerializeToString())
            continue
        for field, x in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                yield from external_tensors((x,) if isinstance(x, Message) else x)


def find_nothing(entries: Mapping[str, str], length: int) -> None:
    """Stands for `Folder.find` where no folder is given: what can be checked of the entries is."""
    check_entries(entries, length)


# ---- writing ------------------------------------------------------------------------------------------------------------------------


class Layout:
    """Tensors laid out in one new file, equal data once: where each lies, and what the file holds. False where there are none."""

    def __init__(self, name: str, tensors: Iterable[Tensor]):
        self.name = name
        self._places: dict[int, tuple[int, int]] = {}  # a tensor's id -> where its data starts and ends
        self._tensors: list[Tensor] = []
        digest, seen, end = hashlib.sha1(usedforsecurity=False), {}, 0
        for t in tensors:
            data = file_bytes(t.array)
            key = hashlib.sha256(data).digest()
            if key not in seen:
                start = -(-end // PAGE) * PAGE
                digest.update(bytes(start - end))
                digest.update(data)
                seen[key] = start, (end := start + len(data))
                self._tensors.append(t)
            self._places[id(t)] = seen[key]
        self.size = end
        self.checksum = digest.hexdigest()

    def __bool__(self) -> bool:
        return bool(self._tensors)

    def named(self, name: str) -> "Layout":
        """The same in a file of another name."""
        other = object.__new__(Layout)
        other.__dict__.update(self.__dict__, name=name)
        return other

    def entries(self, tensor: Tensor) -> dict[str, str] | None:
        """What a tensor's message says of its place; None where it stays in the model."""
        if id(tensor) not in self._places:
            return None
        start, end = self._places[id(tensor)]
        return {"location": self.name, "offset": str(start), "length": str(end - start), "checksum": self.checksum}

    def chunks(self) -> Iterator[bytes]:
        """The contents of the file."""
        at = 0
        for t in self._tensors:
            start, end = self._places[id(t)]
            yield bytes(start - at)
            yield file_bytes(t.array)
            at = end

    def is_in(self, path: Path) -> bool:
        """Whether a file holds just this."""
        try:
            with path.open("rb") as file:
                return os.fstat(file.fileno()).st_size == self.size and all(file.read(len(c)) == c for c in self.chunks())
        except OSError:
            return False

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all, where it does not hold just this already."""
        if not self.is_in(path):
            write_atomically(path, lambda file: file.writelines(self.chunks()))


def fits_outside(tensor: Tensor) -> bool:
    """Whether a tensor is worth a place in another file, and can have one."""
    return tensor.dtype != STRING and tensor.nbytes >= SMALL


def write_where_it_was(tensors: Iterable[tuple[str, Tensor]], folder: Folder, model: str) -> None:
    """Write the files that named tensors with external data came from, under the same names in this folder, each tensor at its place.

    model: the name of the file that the model goes to. A file that has the data already is left alone, and one that holds other data is not overwritten. Raises FormatError.
    """
    files: dict[str, list[tuple[Entries, Tensor]]] = {}
    for name, tensor in tensors:
        try:
            entries, size = tensor.carried["external"], nbytes(tensor.dtype, tensor.elements)
            if isinstance(tensor, Absent):
                folder.find(entries, size)
                continue
            e = check_entries(entries, size)
            if e.location == model:
                raise FormatError("its data lies in the model's own file; save under another name, or with external_data=False")
            path = folder.destination(e)
            if path.exists():
                _check_same(e, tensor, path)
            else:
                files.setdefault(e.location, []).append((e, tensor))
        except FormatError as error:
            raise FormatError(f"tensor {quoted(name)}: {error}") from None
    for placed in files.values():
        _check_spread(placed)
        write_atomically(folder.destination(placed[0][0]), lambda file, placed=placed: _fill(file, placed))


def _check_same(e: Entries, tensor: Tensor, path: Path) -> None:
    with path.open("rb") as file:
        file.seek(e.offset)
        if file.read(e.length) != file_bytes(tensor.array):
            other = "remove it, or save with external_data=True, to a file named after the model, or with external_data=False"
            raise FormatError(f"its data belongs in {quoted(e.location)}, which is there already and holds other data; {other}")


def _check_spread(placed: list[tuple[Entries, Tensor]]) -> None:
    """Gaps as large as no writer leaves them would make a file as large as someone likes."""
    end = max(e.offset + e.length for e, _ in placed)
    if end > 16 * sum(e.length for e, _ in placed) + (1 << 30):
        raise FormatError(f"the tensors of {quoted(placed[0][0].location)} lie spread over {end} bytes; save with external_data=True")


def _fill(file: BinaryIO, placed: list[tuple[Entries, Any]]) -> None:
    for e, tensor in sorted(placed, key=lambda p: p[0].offset):
        file.seek(e.offset)
        file.write(file_bytes(tensor.array))
