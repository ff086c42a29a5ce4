"""What the process is given: standard streams, which may be closed or full, and signals."""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

TERMINATED = 128 + signal.SIGTERM  # the exit status that shells give


class Terminated(BaseException):
    """Raised where SIGTERM arrives, so that nothing half done is left. Its text, if it has one, is for the user."""


class _Closed(io.TextIOBase):
    """A stream that was closed before the process began. Raises OSError, which names it, where it is used."""

    def __init__(self, name: str, lack: str):
        self._name, self._lack = name, lack

    @property
    def buffer(self) -> Any:
        raise self._error()

    def write(self, text: str) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise self._error()

    def _error(self) -> OSError:
        return OSError(errno.EBADF, f"it is closed, and {self._lack}", self._name)


def take_streams() -> None:
    """Put something in the place of standard streams that are closed: what is opened later must not get their numbers."""
    stand_in = "/dev/full" if os.path.exists("/dev/full") else os.devnull  # noqa: PTH110
    while (descriptor := os.open(stand_in, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = _Closed("stdin", "there is nothing to read")
    if sys.stdout is None:
        sys.stdout = _Closed("stdout", "nothing can be printed")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def expect_stdout() -> None:
    """Raises OSError where nothing can be printed, for what is to be known before the work is done."""
    if isinstance(sys.stdout, _Closed):
        sys.stdout.write("")


def write_stdout(data: bytes) -> None:
    """Write bytes to stdout. Raises OSError, which names it."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as e:
        e.filename = "stdout"
        raise


def read_stdin() -> bytes:
    """All that comes through stdin. Raises OSError, which names it."""
    try:
        return sys.stdin.buffer.read()
    except OSError as e:
        e.filename = "stdin"
        raise


def give_up(stream: Any) -> None:
    """Let go of what a stream cannot pass on, so that nobody complains of it at the end."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise Terminated meanwhile, unless somebody else handles it. Outside of the main thread it does what it always does."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
