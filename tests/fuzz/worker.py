"""A child process that checks cases within bounds of memory and time, and the parent's end of the pipe to it."""

import contextlib
import faulthandler
import gc
import multiprocessing
import os
import re
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .case import Campaign, Case, Finding, Outcome
from .errors import OURS, place, stumble

SECONDS = 10  # of the processor, for one step of a check; what else runs on the machine does not count
PATIENCE = 90.0  # seconds on the wall for one, where it waits and uses no processor
MEMORY = 1 << 30  # bytes that a step may have in use beyond the size of the file
ROOM = 3 << 30  # bytes of address space, beyond which requests fail
CASES = 2000  # after which a child is replaced, so that what earlier cases leave behind stays small

SAID = "said.txt"  # what a verb prints, in the folder of the check
REFEREE = "referee"  # a step in which another program runs: that it dies or hangs is no finding

_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')


class Worker:
    """Checks the cases of a campaign in a child, which is replaced where it ends or hangs."""

    def __init__(self, campaign: Campaign):
        self._campaign = campaign
        self._folder = Path(tempfile.mkdtemp(prefix="graphir-fuzz-"))
        self._child: Any = None
        self._pipe: Any = None
        self._left = 0

    def check(self, case: Case) -> Outcome:
        """What came of a case."""
        if self._child is None or not self._left:
            self._begin()
        assert self._pipe is not None
        self._left -= 1
        step = "start"
        try:
            self._pipe.send(case)
            while self._pipe.poll(PATIENCE):
                answer = self._pipe.recv()
                if isinstance(answer, Outcome):
                    return answer
                step = answer
        except (EOFError, ConnectionError):
            return self._died(step)
        return self._hung(step)

    def close(self) -> None:
        """End the child and remove its folder."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        self._end()
        context = multiprocessing.get_context("fork")  # all modules are there already
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._campaign, theirs, self._folder), daemon=True)
        process.start()
        theirs.close()
        self._child, self._left = process, CASES

    def _end(self) -> int | None:
        """Kill the child; its exit status."""
        if self._child is None or self._pipe is None:
            return None
        if self._child.is_alive() and not self._pipe.closed:
            self._child.kill()
        self._child.join()
        self._pipe.close()
        status, self._child, self._pipe = self._child.exitcode, None, None
        return status

    def _died(self, step: str) -> Outcome:
        assert self._child is not None
        self._child.join(PATIENCE)
        where, status = _traced(self._folder / "trace"), self._end()
        if step == REFEREE:
            return Outcome("right", ("the referee died",))
        if status == 1 and _said(self._folder / "work" / SAID).startswith("error: the work took more than"):
            return Outcome("rejected", (f"{step}: ended where its time was up",))
        why = f"more than {SECONDS} s" if status == -signal.SIGPROF else f"exit status {status}"
        return Outcome("finding", (f"{step}: {why} in {where[0]}",), where[1])

    def _hung(self, step: str) -> Outcome:
        assert self._child is not None and self._child.pid is not None
        os.kill(self._child.pid, signal.SIGABRT)
        self._child.join(5)
        where = _traced(self._folder / "trace")
        self._end()
        if step == REFEREE:
            return Outcome("right", ("the referee hangs",))
        return Outcome("finding", (f"{step}: no answer for {PATIENCE:.0f} s in {where[0]}",), where[1])


def _traced(file: Path) -> tuple[str, str]:
    """The innermost function of ours in a dump of a thread's frames, and the dump."""
    text = _said(file)
    frames = [f"{Path(path).name}:{function}" for path, _, function in _FRAME.findall(text) if path.startswith(OURS)]
    return frames[0] if frames else "no code of ours", text


def _said(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


# ---- in the child ----------------------------------------------------------------------------------------------------------------------


def _serve(campaign: Campaign, pipe: Connection, folder: Path) -> None:
    gc.freeze()  # garbage of the parent is left alone: to free a session of ONNX Runtime is to wait for threads that no child has
    with (folder / "trace").open("w") as trace:
        faulthandler.enable(trace, all_threads=False)
        faulthandler.register(signal.SIGPROF, trace, all_threads=False, chain=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        room = _in_use("VmSize") + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        os.setsid()  # an interrupt from the terminal is the parent's; one of a verb to itself must work
        warnings.simplefilter("error")
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(_checked(campaign, pipe.recv(), folder, pipe.send))


def _checked(campaign: Campaign, case: Case, folder: Path, tell: Callable[[str], None]) -> Outcome:
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    steps = ["start"]

    def step(name: str) -> None:
        steps.append(name)
        tell(name)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _in_use("VmRSS")
    try:
        step("start")
        outcome = campaign.check(case, work, step)
    except Finding as e:
        return Outcome("finding", (f"{steps[-1]}: {e.kind}",), e.text or "".join(traceback.format_exception(e.__cause__ or e)))
    except Exception as e:  # whatever it is
        return Outcome("finding", (f"{steps[-1]}: {stumble(e) or f'{type(e).__name__} in {place(e)}'}",), traceback.format_exc())
    taken = _in_use("VmHWM") - before
    if taken > MEMORY + len(case.data):
        return Outcome("finding", (f"more than {MEMORY >> 20} MB of memory",), f"{taken >> 20} MB in {', '.join(steps)}")
    return outcome


def _in_use(what: str) -> int:
    """Bytes of memory of this process, as the system calls them."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{what}:\s*(\d+) kB", text, re.MULTILINE)[1]) << 10  # pyright: ignore[reportOptionalSubscript]
