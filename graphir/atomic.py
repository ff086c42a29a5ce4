"""Files that are written whole or not at all, whatever becomes of the process that writes them.

The contents go to a temporary file beside the destination, which takes its place once it is on the disk. A process that is killed leaves that file behind;
the next one that writes to the same destination removes it. A lock tells it from the file of a process that is still at work.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and so nothing is removed
    fcntl = None

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_LEFT = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with a file whose contents become those of `path`, whole or not at all.

    The contents go to a temporary file in the same folder, which takes the place of `path`, with its permissions, once it is on the disk.
    Where `write` raises, or the process is killed, what was at `path` stays. A link is followed; a pipe or device is written to directly.
    Raises OSError, which names `path`.
    """
    target = Path(os.path.realpath(path))
    with _naming(path):
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode):
            with target.open("wb") as file:  # raises for a folder
                write(file)
            return
    _check_folder(target)
    remove_left(target)
    temporary, descriptor = _temporary(path, target, mode)
    with _naming(path, temporary):
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  # Path.open takes no descriptor
                write(file)
                file.flush()
                os.fsync(descriptor)
                if mode is not None:
                    temporary.chmod(stat.S_IMODE(mode))
                if fcntl is None:
                    file.close()  # Windows moves no open file
                temporary.replace(target)  # before the lock goes with the file
        except BaseException:  # an interrupt too: nothing half written stays
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def expect_writable(path: str | os.PathLike[str]) -> None:
    """Raises the OSError, which names `path`, that keeps anything from being written there: as far as can be known before there is anything to write."""
    target = Path(os.path.realpath(path))
    with _naming(path):
        mode = _mode(target)
    if mode is None or stat.S_ISREG(mode):
        _check_folder(target)
        temporary, descriptor = _temporary(path, target, mode)
        os.close(descriptor)
        temporary.unlink()
    elif stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; expected a file", str(path))
    elif not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def remove_left(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote to `path`. Those of processes that still write stay."""
    if fcntl is None:
        return
    prefix = _prefix(path)
    with suppress(OSError), os.scandir(path.parent) as entries:  # a folder may be written to, and not listed
        for left in [entry.path for entry in entries if entry.name.startswith(prefix)]:
            with suppress(OSError):
                _remove_unlocked(left)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process, or thread, is at this point for the same folder, where the system knows such locks."""
    descriptor = _opened(folder)
    try:
        _lock(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Let new names reach the disk. Windows cannot open folders, and needs no such call."""
    descriptor = _opened(folder)
    if descriptor is not None:
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _opened(folder: Path) -> int | None:
    """A folder to lock or to sync; None where it cannot be opened, as one that may be written to and not listed."""
    try:
        return os.open(folder, os.O_RDONLY) if os.name == "posix" else None
    except PermissionError:
        return None


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _check_folder(target: Path) -> None:
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent))


def _prefix(path: Path) -> str:
    """How the names of temporary files for `path` begin: short, however long its own name is."""
    return f".graphir-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"


def _temporary(path: str | os.PathLike[str], target: Path, mode: int | None) -> tuple[Path, int]:
    """A new temporary file, open and locked. It is nobody else's to read where a file with permissions of its own stands at `target`."""
    while True:
        temporary = target.parent / f"{_prefix(target)}{secrets.token_hex(8)}.tmp"
        with _naming(path, temporary):
            descriptor = os.open(temporary, _NEW, 0o666 if mode is None else 0o600)
            _lock(descriptor)
            if os.fstat(descriptor).st_nlink:
                return temporary, descriptor
        os.close(descriptor)  # taken for one that was left, before it was locked


def _lock(descriptor: int | None) -> None:
    if fcntl is not None and descriptor is not None:
        with suppress(OSError):  # where a file system has no locks, nothing is taken for left behind either
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove_unlocked(path: str) -> None:
    assert fcntl is not None
    descriptor = os.open(path, _LEFT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)  # noqa: PTH108
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: str | os.PathLike[str], temporary: Path | None = None) -> Iterator[None]:
    """Let an OSError name the file that is asked for, where it names none, or the temporary one."""
    try:
        yield
    except OSError as e:
        if e.filename is None or (temporary is not None and os.fspath(e.filename) == str(temporary)):
            e.filename, e.filename2 = os.fspath(path), None
        raise
