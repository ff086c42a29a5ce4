"""What a campaign is: a maker of cases, their check, and what is smaller than a case."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol


class Case(NamedTuple):
    """A file, by its suffix and its bytes: all that a check needs, and all that is kept of a finding."""

    suffix: str
    data: bytes


class Finding(Exception):
    """What must not be. kind: what two findings of one cause have in common; the text says the rest."""

    def __init__(self, kind: str, text: str = ""):
        super().__init__(kind, text)
        self.kind = kind
        self.text = text


class Outcome(NamedTuple):
    """What came of a case. verdict: "right", "rejected" or "finding". traits: what tells it from the outcomes of others, by which new cases are known."""

    verdict: str
    traits: tuple[str, ...] = ()
    text: str = ""


class Campaign(Protocol):
    """A kind of case. share: of the time, relative to the others'. guided: whether cases with a new trait are the stock of further ones."""

    name: str
    share: float
    guided: bool

    def first(self, rng: Random) -> Case:
        """A case from nothing but chance."""
        ...

    def further(self, case: Case, rng: Random) -> Case:
        """A case made of another."""
        ...

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        """Try it, in an empty folder. step: is told what begins, which starts the clock anew. Raises Finding, or what it did not expect."""
        ...

    def smaller(self, case: Case) -> Iterator[Case]:
        """Cases that are a little smaller, the much smaller ones first."""
        ...
