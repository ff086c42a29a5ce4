"""docs/operators.md is what docs/make_tables.py writes, and tells of every operator."""

import re
import runpy
from pathlib import Path

from graphir.ops import OPS

DOCS = Path(__file__).parent.parent / "docs"
MAKER = runpy.run_path(str(DOCS / "make_tables.py"))
TEXT = (DOCS / "operators.md").read_text()


def test_the_page_is_up_to_date() -> None:
    assert MAKER["page"]() == TEXT, "run `make docs`"


def test_every_operator_is_told_once() -> None:
    rows = re.findall(r"^\| (\w+) \| [\d ]+ \| (\d+\*?)(?:, in parts)? \| ([\w ,]+) \| ([\w ]+) \| (.+) \|$", TEXT, re.MULTILINE)
    assert sorted(row[0] for row in rows) == sorted(op.name for op in OPS.values())
    assert not [row for row in rows if "missing" in row]


# What the page says of an operator: its row but for its meaning.
TOLD = {
    "Relu": "1 6 13 14 | 1 | shared | rule",
    "LayerNormalization": "17 | 17, in parts | shared | rule",
    "Gelu": "20 | 20, in parts | shared | rule",
    "Scan": "8 9 11 16 19 21 23 24 25 | 9 | shared | rule",
    "Slice": "1 10 11 13 | 1* | shared | rule",
    "Shape": "1 13 15 19 21 23 24 25 | 1 | shared, host | none",
    "StringConcat": "20 | 20 | shared, host | none",
    "ScatterND": "11 13 16 18 | 11* | shared, host with reduction mul | rule",
    "Cast": "1 6 9 13 19 21 23 24 25 28 | 1* | shared, CuPy | rule",
    "Adam": "1 | 1 | in parts | in parts",
    "Gradient": "1 | 1 | replaced first | replaced first",
    "QuantizeLinear": "10 13 19 21 23 24 25 28 | 10* | shared | straight through",
}


def test_what_is_told() -> None:
    for name, row in TOLD.items():
        assert re.findall(rf"^\| {name} \| (.*?) \| [^|]+ \|$", TEXT, re.MULTILINE) == [row]
    assert "| 13 | ReduceSum, Squeeze, Unsqueeze | The axes must be constant. |" in TEXT
    assert "| 24 | Cast, CastLike | Without `round_mode`. |" in TEXT
