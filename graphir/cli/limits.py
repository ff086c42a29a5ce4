"""What a verb may use: options, defaults that follow the size of the files that it reads, and a guard that holds whatever the code does."""

import _thread
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import click
from click.core import ParameterSource

from ..budget import Budget, LimitError, Limits
from .options import Bytes, Number, Whole
from .terminal import clean, say_error, say_note

# By default a verb may use so much, and more for each byte of the files that it reads: a file may cost what its size promises, and not more.
BASE = Limits(memory=512 << 20, trips=1_000_000, seconds=3.0)
MEMORY_PER_BYTE = 8
SECONDS_PER_BYTE = 2e-6

SLACK = 192 << 20  # bytes beside arrays: libraries, the graph itself, what kernels set aside
PER_PROCESSOR = 80 << 20  # of which each has a thread in some libraries, with memory of its own, most of it never touched
GRACE = 1.0  # seconds until a verb that does not stop is ended


class VerbBudget(Budget):
    """What one call of a verb may use in all, reading and compiling included. memory, seconds: as the user says, or None for the default.

    By default the seconds are of the processor, so that a busy machine and a slow pipe count for nothing; the user's are those on the wall.
    """

    __slots__ = ("_memory", "_seconds", "given", "on_change")

    def __init__(self, memory: int | None, trips: int, seconds: float | None):
        super().__init__(clock=_clock_of_this_thread() if seconds is None else time.monotonic)
        self._memory, self._seconds = memory, seconds
        self.limits = Limits(trips=trips)
        self.given = 0  # bytes of the files that were read
        self.on_change: Callable[[], None] = lambda: None
        self.reads(0)

    def remedy(self, limit: str) -> str:
        """How to raise a limit: by its option."""
        return f"--limit-{limit} raises it if that is meant"

    def reads(self, size: int) -> None:
        """Note that files of so many bytes are read."""
        self.given += size
        memory = (BASE.memory or 0) + MEMORY_PER_BYTE * self.given if self._memory is None else self._memory
        seconds = (BASE.seconds or 0) + SECONDS_PER_BYTE * self.given if self._seconds is None else self._seconds
        self.limits = self.limits._replace(memory=memory, seconds=seconds)
        self.on_change()


def _clock_of_this_thread() -> Callable[[], float]:
    """The seconds for which this thread has had a processor, told in any thread; where the system cannot tell, those on the wall."""
    find = getattr(time, "pthread_getcpuclockid", None)
    return time.monotonic if find is None else functools.partial(time.clock_gettime, find(threading.get_ident()))


def limit_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Bounds on what a verb uses: it is given `budget`. Those on the command line that its runtime does not keep are noted."""

    @functools.wraps(verb)
    def limited(*args: Any, limit_memory: int | None, limit_trips: int, limit_seconds: float | None, **options: Any) -> Any:
        runtimes = list(filter(None, dict.fromkeys((options.get("runtime"), options.get("against")))))
        on_device = _say_unkept(runtimes)
        budget = VerbBudget(limit_memory, limit_trips, limit_seconds)
        return _guarded(budget, lambda: verb(*args, budget=budget, **options), bound_memory=not on_device)

    for option in reversed(OPTIONS):
        limited = option(limited)
    return limited


OPTIONS = (
    click.option(
        "--limit-memory", type=Bytes(), metavar="BYTES", help="What all arrays may take together. [default: 512M, and 8 for each byte that is read]"
    ),
    click.option(
        "--limit-trips", type=Whole(1), default=BASE.trips, show_default=True, metavar="N", help="Iterations of loops, in all."
    ),
    click.option(
        "--limit-seconds",
        type=Number(0, min_open=True),
        metavar="S",
        help="Wall time; of train and gradcheck, that of one step. [default: 3 of the processor, and 2 for each MB that is read]",
    ),
)  # fmt: skip


def _guarded(budget: VerbBudget, work: Callable[[], Any], bound_memory: bool = True) -> Any:
    """Do the work of a verb, held to its budget even where it asks for nothing on the way: the system refuses memory, and another thread looks at the clock."""
    watch = _Watch(budget)
    try:
        with _memory_bound(budget) if bound_memory else nullcontext():
            watch.begin()
            try:
                return work()
            finally:
                watch.end()
    except KeyboardInterrupt:
        watch.end()  # which may itself be what was interrupted
        if watch.fired:
            raise LimitError(budget.out_of_time()) from None
        raise
    except MemoryError as e:
        what = str(e) if type(e) is MemoryError and str(e) else "it takes more memory than there is"  # NumPy's own kind is no user's matter
        raise LimitError(f"{what}; the limit is {budget.limits.memory:,} bytes; {budget.remedy('memory')}") from None


class _Watch:
    """Interrupts the main thread when time is up; ends the process where that does not help, as in the midst of a long product of matrices."""

    def __init__(self, budget: Budget):
        self.budget = budget
        self.fired = False
        self._done = threading.Event()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Look at the clock from now on."""
        if threading.current_thread() is threading.main_thread():  # else there is nobody to interrupt
            threading.Thread(target=self._wait, daemon=True).start()

    def end(self) -> None:
        """Look no more. An interrupt that is under way comes before this returns."""
        self._done.set()
        with self._lock:
            pass

    def _wait(self) -> None:
        while (left := self.budget.left()) is None or left > 0:
            if self._done.wait(max(left or 0, 0.05)):
                return
        with self._lock:
            if self._done.is_set():
                return
            self.fired = True
            _thread.interrupt_main()
        if not self._done.wait(GRACE):
            try:
                say_error(clean(f"error: {self.budget.out_of_time()}"))
            finally:
                os._exit(1)


@contextmanager
def _memory_bound(budget: VerbBudget) -> Iterator[None]:
    """Let the system refuse memory beyond the budget and some slack, where it can: on Linux."""
    used = _bytes_of_data()
    if used is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)

    def bound() -> None:
        wanted = used + (budget.limits.memory or 0) + SLACK + PER_PROCESSOR * (os.cpu_count() or 1)
        known = [n for n in (wanted, soft, hard) if n != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(known), hard))

    budget.on_change = bound
    bound()
    try:
        yield
    finally:
        budget.on_change = lambda: None
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _bytes_of_data() -> int | None:
    """The bytes of memory of its own that the process has; None where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123  # start-up does not load pathlib
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmData:")), None)
    except OSError:
        return None


def _say_unkept(runtimes: Iterable[str]) -> bool:
    """Note which of the limits on the command line a runtime does not keep. Returns whether one maps memory of a device.

    Raises ValueError for a runtime that is not there.
    """
    from ..plugins import kept_limits, maps_devices

    context = click.get_current_context()
    given = [n for n in Limits._fields if context.get_parameter_source(f"limit_{n}") is ParameterSource.COMMANDLINE]
    for runtime in runtimes:
        kept = kept_limits(runtime)
        for name in given:
            if name not in kept:
                say_note(f"{runtime} does not keep --limit-{name}")
    return any(map(maps_devices, runtimes))
