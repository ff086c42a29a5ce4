"""Runs campaigns: makes cases, checks them, keeps what is new, writes down what is found, and counts."""

import hashlib
import multiprocessing
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

from .case import Campaign, Case, Outcome
from .minimize import minimized
from .worker import Worker

KEPT = 4000  # cases that further ones are made of
MINIMIZING = 60.0  # seconds for one finding
LIKE = 3  # findings of one kind that are written down: the causes may be several


class Count(NamedTuple):
    """What a campaign did."""

    name: str
    tried: int
    right: int
    rejected: int
    findings: tuple[str, ...]
    seconds: float


def run(campaigns: Sequence[Campaign], seconds: float, seed: int, workers: int, cases: int | None, folder: Path) -> int:
    """Run campaigns one after another, each for its share of the time, on so many processes. Prints a table; 1 where something was found."""
    whole = sum(c.share for c in campaigns)
    rows = []
    for campaign in campaigns:
        jobs = [(campaign, seconds * campaign.share / whole, f"{seed}.{i}", cases, folder) for i in range(workers)]
        if workers == 1:
            parts = [_campaign(*jobs[0])]
        else:
            with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:  # whose processes may have children
                parts = list(pool.map(_campaign, *zip(*jobs)))
        rows.append(_sum(parts))
    print(f"\n{'campaign':12}{'tried':>10}{'right':>10}{'rejected':>10}{'findings':>10}{'seconds':>9}")
    for r in rows:
        print(f"{r.name:12}{r.tried:>10,}{r.right:>10,}{r.rejected:>10,}{len(r.findings):>10,}{r.seconds:>9.0f}")
    return int(any(r.findings for r in rows))


def _sum(parts: Sequence[Count]) -> Count:
    findings = dict.fromkeys(f for p in parts for f in p.findings)
    tried, right, rejected = (sum(column) for column in zip(*((p.tried, p.right, p.rejected) for p in parts)))
    return Count(parts[0].name, tried, right, rejected, tuple(findings), max(p.seconds for p in parts))


def _campaign(campaign: Campaign, seconds: float, seed: str, cases: int | None, folder: Path) -> Count:
    """One campaign on one worker. Each case comes from the seed, its number, and what was new before it."""
    began = time.monotonic()
    counts: Counter[str] = Counter()
    stock: list[Case] = []
    seen: set[str] = set()
    findings: Counter[str] = Counter()
    worker = Worker(campaign)
    try:
        while time.monotonic() - began < seconds and counts.total() != cases:
            rng = Random(f"{campaign.name} {seed} {counts.total()}")
            old = stock[-1 - int(len(stock) * rng.random() ** 2)] if stock and rng.random() < 0.7 else None  # mostly a late one
            case = campaign.first(rng) if old is None else campaign.further(old, rng)
            outcome = worker.check(case)
            counts[outcome.verdict] += 1
            new = [t for t in outcome.traits if t not in seen]
            seen.update(new)
            if outcome.verdict == "finding":
                findings[outcome.traits[0]] += 1
                if findings[outcome.traits[0]] <= LIKE:
                    _write_down(campaign, case, outcome, worker, folder)
            elif new and campaign.guided:
                stock = [*stock[-KEPT:], case]
    finally:
        worker.close()
    return Count(campaign.name, counts.total(), counts["right"], counts["rejected"], tuple(findings), time.monotonic() - began)


def _write_down(campaign: Campaign, case: Case, outcome: Outcome, worker: Worker, folder: Path) -> None:
    """Make it smaller, and leave it in the folder: the file, and what came of it."""
    print(f"FOUND {campaign.name}: {outcome.traits[0]}", flush=True)
    case, outcome = minimized(campaign, case, outcome, worker.check, MINIMIZING)
    folder.mkdir(exist_ok=True)
    file = folder / f"{campaign.name}-{hashlib.sha256(case.data).hexdigest()[:8]}{case.suffix}"
    file.write_bytes(case.data)
    file.with_suffix(".txt").write_text(f"{outcome.traits[0]}\n\n{outcome.text}\n\n{case}\n", errors="replace")
    print(f"      {len(case.data)} bytes; again: python -m fuzz {shlex.quote(str(file))}", flush=True)
