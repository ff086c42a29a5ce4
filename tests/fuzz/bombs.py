"""Bombs: small files that ask for much. Those with a name, and what a grammar makes of their parts; each answers, or says which limit it met."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

from graphir.cli.limits import SECONDS_PER_BYTE

from . import verbs
from .bomb_amounts import MEMORY
from .bomb_grammar import grown
from .bomb_sizes import DIMS, RANKS
from .bomb_text import Row
from .bomb_times import TIME
from .case import Case, Finding, Outcome
from .hostile import smaller_onnx

SECONDS = 5  # of the processor, for a verb, in its own thread: threads of OpenBLAS that wait do not count
BUSY = 10  # on the wall, where others use the processors, too
BOMBS: dict[str, Row] = {**RANKS, **DIMS, **MEMORY, **TIME}


class Bombs:
    """The campaign."""

    name, share, guided = "bombs", 3.0, False

    def first(self, rng: Random) -> Case:
        """One with a name, or one that the grammar makes."""
        return Case(".onnx", BOMBS[rng.choice(list(BOMBS))]() if rng.random() < 0.2 else grown(rng))

    def further(self, case: Case, rng: Random) -> Case:
        """Another."""
        return self.first(rng)

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        """All verbs."""
        file = folder / f"model{case.suffix}"
        file.write_bytes(case.data)
        took: list[tuple[str, float, float]] = []

        def timed(name: str) -> None:
            took.append((name, time.thread_time(), time.monotonic()))
            step(name)

        traits = verbs.check(file, folder, timed)
        took.append(("", time.thread_time(), time.monotonic()))
        for (name, *begin), (_, *end) in pairwise(took):
            for most, seconds in zip((SECONDS, BUSY), (b - a for a, b in zip(begin, end))):
                if seconds > most + SECONDS_PER_BYTE * len(case.data):
                    raise Finding(f"{name}: more than {most} s", f"{seconds:.1f} s")
        return Outcome("right" if any(t.endswith(": 0") for t in traits[2:]) else "rejected", traits)

    def smaller(self, case: Case) -> Iterator[Case]:
        """The file less one of its parts."""
        return smaller_onnx(case.data)
