"""The campaigns of tests/fuzz, briefly: they run, they can fail, one seed gives one row of cases, and what they found stays mended."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from fuzz.bombs import BOMBS
from fuzz.campaigns import CAMPAIGNS
from fuzz.case import Case, Finding, Outcome
from fuzz.errors import stumble
from fuzz.found import FOUND
from fuzz.run import run
from fuzz.worker import Worker
from graphir import FormatError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bounds are those of Linux")


@pytest.mark.parametrize(("campaign", "case"), [pytest.param(name, case, id=what) for name, what, case in FOUND])
def test_what_was_found(campaign: str, case: Case) -> None:
    worker = Worker(CAMPAIGNS[campaign])
    outcome = worker.check(case)
    worker.close()
    assert outcome.verdict != "finding", outcome


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_campaign(campaign: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cases = 4 if campaign == "bombs" else 20
    assert run([CAMPAIGNS[campaign]], 120, 0, 1, cases, tmp_path / "found") == 0, capfd.readouterr().out
    assert f"{campaign:12}{cases:>10}" in capfd.readouterr().out


@pytest.mark.parametrize("name", list(BOMBS)[:: 1 if os.environ.get("GRAPHIR_EVERY_CASE") else 17])
def test_bomb(name: str) -> None:
    """Answered, or refused in a line, by each verb with its default limits, in five seconds and a gigabyte."""
    worker = Worker(CAMPAIGNS["bombs"])
    outcome = worker.check(Case(".onnx", BOMBS[name]()))
    worker.close()
    assert outcome.verdict != "finding", outcome


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_one_seed_gives_one_case(campaign: str) -> None:
    made = [CAMPAIGNS[campaign].first(Random(seed)) for seed in (7, 7, 8)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("suffix", [".onnx", ".gir", ".json"])
@pytest.mark.parametrize("data", [b"", b"{", b"\xff" * 9, b"\x08"])
def test_what_is_no_file_is_changed_further(suffix: str, data: bytes) -> None:
    for seed in range(9):
        assert CAMPAIGNS["hostile"].further(Case(suffix, data), Random(seed)).suffix == suffix


class Bad:
    """A campaign that does what must not be: by the first byte of the case."""

    name, share, guided = "bad", 1.0, False

    def __init__(self, does: Callable[[], object]):
        self.does = does

    def first(self, rng: Random) -> Case:
        return Case(".txt", b"!!!")

    def further(self, case: Case, rng: Random) -> Case:
        return case

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        step("do")
        self.does()
        return Outcome("right")

    def smaller(self, case: Case):
        if len(case.data) > 1:
            yield Case(case.suffix, case.data[1:])


def forever() -> None:
    while True:
        pass


def clear() -> None:
    raise FormatError("raised here, by no line of graphir")


def in_numpy() -> None:
    np.zeros(3).reshape(7)


def greedy() -> None:
    np.ones(1 << 24)


def lost() -> None:
    raise Finding("this is it")


BAD = {
    "do: more than 0.5 s in no code of ours": forever,
    "do: FormatError in no code of ours": clear,
    "do: ValueError in no code of ours": in_numpy,
    "more than 64 MB of memory": greedy,
    "do: this is it": lost,
    "do: exit status -11": lambda: __import__("ctypes").string_at(0),
}


@pytest.mark.parametrize("said", BAD)
def test_a_campaign_can_fail(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("fuzz.worker.SECONDS", 0.5)
    monkeypatch.setattr("fuzz.worker.MEMORY", 64 << 20)
    assert run([Bad(BAD[said])], 10, 0, 1, 1, tmp_path / "found") == 1
    assert f"FOUND bad: {said}" in capsys.readouterr().out
    (file,) = (tmp_path / "found").glob("*.txt")
    assert said in file.read_text()


def test_what_is_an_answer() -> None:
    for e in (
        KeyError("x"),
        AttributeError("x"),
        RecursionError(),
        ValueError("not enough values to unpack"),
        ValueError(),
        OverflowError("x"),
    ):
        assert stumble(e)
