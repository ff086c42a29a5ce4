"""`python -m fuzz`: run the campaigns, or try the files of findings again."""

import argparse
import sys
from pathlib import Path

from .campaigns import CAMPAIGNS
from .case import Case
from .run import run
from .worker import Worker

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = ROOT / ".fuzz"


def main() -> int:
    """The exit status: 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Look for what the rows of the tests don't think of.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="files of findings: try these again, and nothing else")
    parser.add_argument("--minutes", type=float, default=5, metavar="M", help="how long, all campaigns together (default: 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="one seed gives one row of cases (default: 0)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="how many at a time (default: 1)")
    parser.add_argument("--campaign", action="append", choices=CAMPAIGNS, help="only this one; may be given more than once")
    parser.add_argument("--cases", type=int, metavar="N", help="stop each campaign after so many")
    options = parser.parse_args()
    if options.files:
        return _again(options.files)
    names = options.campaign or list(CAMPAIGNS)
    return run([CAMPAIGNS[n] for n in names], options.minutes * 60, options.seed, options.workers, options.cases, FINDINGS)


def _again(files: list[Path]) -> int:
    bad = 0
    for file in files:
        worker = Worker(CAMPAIGNS[file.name.partition("-")[0]])
        outcome = worker.check(Case(file.suffix, file.read_bytes()))
        worker.close()
        print(f"{file}: {outcome.verdict}", *outcome.traits, outcome.text, sep="\n  ")
        bad += outcome.verdict == "finding"
    return bad > 0


sys.exit(main())
