"""What a piece of work may use: limits, and the account of what was used."""

import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

OBJECT = 256  # bytes that an array takes beside its elements, and its entry in the account; counted where there are more than FEW
FEW = 1000
STRING = 49  # bytes that a string takes beside its letters


class Limits(NamedTuple):
    """What a run may use. None: no bound.

    memory: bytes of all arrays that are alive at one time, but for those that the caller holds; trips: how often bodies may run, in all;
    seconds: wall time, compiling included.
    """

    memory: int | None = None
    trips: int | None = None
    seconds: float | None = None


class LimitError(RuntimeError):
    """Raised when a run goes beyond a limit. Says which, and what was asked for."""


class Budget:
    """The account of one piece of work under limits.

    Whoever does a part of the work asks it: `room(n)` before n bytes are taken, `hold(x)` for arrays that were made, `tick()` wherever much time
    may pass, `trip()` in each iteration of a body. Each raises LimitError. The limits may be changed on the way.
    per_run: whether each run of a program begins again with time and iterations; else all runs share them.
    clock: tells the seconds; by default those on the wall.
    """

    __slots__ = ("_freed", "_held", "_start", "clock", "limits", "per_run", "trips", "used")

    def __init__(self, limits: Limits | None = None, per_run: bool = False, clock: Callable[[], float] = time.monotonic):
        self.limits = limits or Limits()
        self.per_run = per_run
        self.clock = clock
        self.used = 0  # bytes that are held
        self._held: dict[int, _Held] = {}  # by id
        self._freed: deque[int] = deque()  # bytes of those that died, in whatever thread
        self.restart()

    @classmethod
    def of(cls, limits: "Limits | Budget | None") -> "Budget":
        """The budget that a program keeps to: one of its own for Limits, begun again in each run, or that of a larger piece of work."""
        return limits if isinstance(limits, Budget) else cls(limits, per_run=True)

    def for_clone(self) -> "Budget":
        """The budget of a clone of the program that keeps to this one: of its own, for another thread, where each run begins anew."""
        return Budget(self.limits, per_run=True, clock=self.clock) if self.per_run else self

    def begin_run(self) -> None:
        """A run of a program begins."""
        if self.per_run:
            self.restart()

    def remedy(self, limit: str) -> str:
        """How to raise a limit, for messages."""
        return f"raise the limit on {limit} if that is meant"

    @property
    def is_bound(self) -> bool:
        """Whether there is any limit."""
        return self.limits != Limits()

    def restart(self) -> None:
        """Begin again with time and iterations; what is held is held."""
        self.trips = 0
        self._start = self.clock()

    # ---- time -----------------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look at the clock."""
        if self.limits.seconds is not None and self.clock() - self._start > self.limits.seconds:
            raise LimitError(self.out_of_time())

    def left(self) -> float | None:
        """The seconds that are left, at least 0; None where there is no limit."""
        return None if self.limits.seconds is None else max(self._start + self.limits.seconds - self.clock(), 0.0)

    def out_of_time(self) -> str:
        """What to say where time is up."""
        return f"the work took more than {self.limits.seconds:.4g} s; {self.remedy('seconds')}"

    def trip(self) -> None:
        """Count one run of a body."""
        self.trips += 1
        if self.limits.trips is not None and self.trips > self.limits.trips:
            raise LimitError(f"bodies ran more than {self.limits.trips} times; {self.remedy('trips')}")
        self.tick()

    # ---- memory ---------------------------------------------------------------------------------------------------------------------

    def room(self, size: int) -> None:
        """Whether so many bytes more may be taken."""
        if self.limits.memory is None:
            return
        self._settle()
        used = self.used + OBJECT * max(len(self._held) - FEW, 0)
        if used + size > self.limits.memory:
            held = f" beside {used:,} that are in use" if used else ""
            raise LimitError(f"makes {size:,} bytes{held}, and the limit is {self.limits.memory:,}; {self.remedy('memory')}")

    def hold(self, x: Any) -> Any:
        """Count what an array takes as long as it lives, or each of a list or map of arrays; views count as what they look into. Returns x."""
        if self.limits.memory is not None:
            self._count(x)
            self.room(0)
        return x

    def _count(self, x: Any) -> None:
        """Enter what is not held yet."""
        if isinstance(x, list | tuple | dict):
            for y in x.values() if isinstance(x, dict) else x:
                self._count(y)
            return
        owner = owner_of(x)
        if owner is not None and id(owner) not in self._held:
            try:
                held = _Held(owner, self._let_go)
            except TypeError:  # an array of a library whose arrays cannot be watched
                return
            held.key, held.size = id(owner), bytes_in(owner)
            self._held[held.key] = held
            self.used += held.size

    def _let_go(self, held: "_Held") -> None:
        if self._held.pop(held.key, None) is not None:
            self._freed.append(held.size)

    def _settle(self) -> None:
        while self._freed:
            self.used -= self._freed.popleft()


class _Held(weakref.ref):
    """An array that is held: its id, and its bytes."""

    __slots__ = ("key", "size")
    key: int
    size: int


def owner_of(x: Any) -> Any:
    """The array whose memory x looks into. None for what is no array, and for an array over memory that is none's, such as a mapped file."""
    while hasattr(base := getattr(x, "base", None), "nbytes") and hasattr(base, "dtype"):
        x = base
    return x if hasattr(x, "nbytes") and hasattr(x, "dtype") and base is None else None


def bytes_in(x: Any) -> int:
    """The bytes of an array, those of the strings in it included."""
    if x.dtype.kind != "O":
        return x.nbytes
    return x.nbytes + sum({id(s): len(s) + STRING for s in x.flat if isinstance(s, str | bytes)}.values())
