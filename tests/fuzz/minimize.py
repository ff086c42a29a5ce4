"""Makes a finding smaller, as long as what it finds stays."""

import time
from collections.abc import Callable

from .case import Campaign, Case, Outcome


def minimized(campaign: Campaign, case: Case, outcome: Outcome, check: Callable[[Case], Outcome], seconds: float) -> tuple[Case, Outcome]:
    """The smallest case of the same kind that was found in that time, and what came of it."""
    end = time.monotonic() + seconds
    shrunk = True
    while shrunk and time.monotonic() < end:
        shrunk = False
        for smaller in campaign.smaller(case):
            if time.monotonic() > end:
                break
            if len(smaller.data) >= len(case.data):
                continue
            found = check(smaller)
            if found.verdict == "finding" and found.traits == outcome.traits:
                case, outcome, shrunk = smaller, found, True
                break
    return case, outcome
