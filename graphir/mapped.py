"""Files that are mapped: their data is read when it is wanted, if the file is still what it was."""

import errno
import mmap
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

SMALL = 1 << 20  # bytes; smaller files are read at once
TICK = 20_000_000  # nanoseconds, in which two changes of a file may leave it with one time
_CHANGED = (
    "the file was changed after the model was loaded from it, so its weights cannot be trusted; load it again, "
    "with graphir.load(path, copy=True) where it may change while the model is in use, or let its writer replace it by renaming"
)


class FileChangedError(OSError):
    """Raised where data is wanted of a file that was written to after it was mapped. Names the file."""

    def __init__(self, name: str):
        super().__init__(errno.ESTALE, _CHANGED, name)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class MappedFile(mmap.mmap):
    """The bytes of a file, and what the file was when it was mapped.

    A file that another takes the place of stays as it is for those who have it, as long as they do. One that is changed in place does not: to read what was cut
    off ends the process, and what was written over are other numbers. `check` is to be called before each use; what happens in between it cannot see.
    """

    _descriptor: int
    _status: tuple[int, int]
    _name: str

    def __new__(cls, descriptor: int, name: str) -> "MappedFile":
        """Map an open file, which may be closed afterwards. Raises OSError, and ValueError for one that is empty or cannot be mapped."""
        size, modified = _status(descriptor)
        if 0 <= (age := time.time_ns() - modified) < TICK:
            time.sleep((TICK - age) / 1e9)  # a change from now on has another time
            size, modified = _status(descriptor)
        untracked: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
        self = super().__new__(cls, descriptor, size, access=mmap.ACCESS_READ, **untracked)
        self._status = size, modified
        self._name = name
        self._descriptor = os.dup(descriptor)
        return self

    def check(self) -> None:
        """Raises FileChangedError where the file was changed in place since it was mapped."""
        if _status(self._descriptor) != self._status:
            raise FileChangedError(self._name)

    def __del__(self):
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)


def map_or_read(descriptor: int, name: str, copy: bool = False) -> MappedFile | bytes:
    """The bytes of an open file, from its start: mapped, or read where it is small, cannot be mapped, or a copy is wanted. Raises OSError."""
    if not copy and os.fstat(descriptor).st_size > SMALL:
        try:
            return MappedFile(descriptor, name)
        except (ValueError, OSError):  # a pipe or a device
            pass
    with open(descriptor, "rb", closefd=False) as file:  # Path.open takes no descriptor
        return file.read()


def mapped_file(x: Any) -> MappedFile | None:
    """The file whose bytes an array or memoryview looks into; None where they are in memory of its own."""
    while not isinstance(x, MappedFile):
        if isinstance(x, memoryview):
            x = x.obj
        elif isinstance(x, np.ndarray):
            x = x.base
        else:
            return None
    return x


def check_files(files: Iterable[MappedFile]) -> None:
    """Raises FileChangedError where one of the files was changed since it was mapped."""
    for file in files:
        file.check()


def _status(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns
