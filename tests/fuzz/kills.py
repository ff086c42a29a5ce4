"""Saves that are killed at any line of what writes: the old or the new is there, whole, and the next save leaves nothing else. tests/kills.py has the saves."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from kills import SAVES, contents, killed, prepared, trial

from .case import Case, Finding, Outcome


class Kills:
    """The campaign."""

    name, share, guided = "kills", 0.6, False

    def first(self, rng: Random) -> Case:
        """A kind of save, and how far it comes."""
        return Case(".json", json.dumps({"save": rng.choice(list(SAVES)), "at": round(rng.random(), 6)}).encode())

    def further(self, case: Case, rng: Random) -> Case:
        """Another."""
        return self.first(rng)

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        """Kill it there."""
        wanted = json.loads(case.data)
        step(wanted["save"])
        old, new, total = _whole(wanted["save"])
        try:
            return Outcome("right", (trial(SAVES[wanted["save"]], 1 + int(wanted["at"] * total), old, new, total),))
        except AssertionError as e:
            raise Finding("neither the old nor the new, whole, and nothing else", str(e)) from e

    def smaller(self, case: Case) -> Iterator[Case]:
        """There is none."""
        return iter(())


@functools.cache
def _whole(name: str) -> tuple[Any, Any, int]:
    """What is there before a save and after it, and its number of lines."""
    with prepared(SAVES[name].before) as folder:
        old = contents(folder)
        total = killed(SAVES[name].save, folder, -1)
        return old, contents(folder), total
