"""Turns: one thread at a time is inside of a program, the others wait."""

import functools
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class ReentryError(RuntimeError):
    """Raised where a thread that is inside of a program enters it again, as a kernel of its run would that reads the program's state."""

    def __init__(self):
        super().__init__(
            "the program was entered by a thread that is inside of it already, in a run or at its state; "
            "what runs there needs a program of its own: program.clone() makes one"
        )


class Turn:
    """Lets one thread at a time in: `with turn`. Raises ReentryError for a thread that is in already."""

    __slots__ = ("_is_taken", "_lock")

    def __init__(self):
        self._lock = threading.RLock()  # which lets its own thread in, so that this one can be told apart from those that wait
        self._is_taken = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._is_taken:
            self._lock.release()
            raise ReentryError
        self._is_taken = True

    def __exit__(self, *exception: object) -> None:
        self._is_taken = False
        self._lock.release()


class Turns:
    """A program whose runs take turns. Methods that must not meet a run are marked `in_turn`."""

    _turn: Turn

    def run(self, feeds: Mapping[str, Any], fetch: Sequence[str] | None = None) -> dict[str, Any]:
        """The values at the addresses in `fetch` (default: the model's outputs), each a new array.

        feeds: name -> array, of the dtype and shape that the input has; lists of numbers take its dtype. Updates take place after the run, all at once, but
        for a run with `fetch`, which changes nothing; one that fails midway may have written some. Raises ValueError for feeds that do not fit and for
        values that the runtime cannot hand out, KeyError for an unknown address, ReentryError where it is called from inside of a run of this program.
        """
        if feeds.__class__ is not dict and isinstance(feeds, Mapping):
            feeds = dict(feeds)  # what looks like the state of another program may wait for that one, and so must not be read while in turn
        with self._turn:
            return self._run(feeds, fetch)

    @abstractmethod
    def _run(self, feeds: Mapping[str, Any], fetch: Sequence[str] | None) -> dict[str, Any]:
        """The run itself."""


class _InTurn(Protocol):
    _turn: Turn


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=_InTurn)


def in_turn(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that waits for the runs of a program, and that runs wait for. Raises ReentryError where it is called from inside of one."""

    @functools.wraps(method)
    def waiting(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        with self._turn:
            return method(self, *args, **kwargs)

    return waiting
