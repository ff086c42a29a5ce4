"""What the campaigns begin with."""

import functools
from pathlib import Path

import graphir
from graphir import Model
from samples import everything, small
from test_ops import BY_NAME, ROWS, applied
from torture import torture

HERE = Path(__file__).parent
BIG = 60_000  # bytes; larger files are too slow to try often


@functools.cache
def models() -> list[Model]:
    """A model of each row, and those that the tests make and keep."""
    kept = [p for p in sorted([*HERE.glob("../../models/*.onnx"), *HERE.glob("../data/**/*.onnx")]) if p.stat().st_size < BIG]
    found = [small(), everything(), graphir.loads(torture().SerializeToString(), "onnx"), *map(graphir.load, kept)]
    for name, rows in ROWS.items():
        found += [Model(applied(BY_NAME[name], row, row.arrays(), constant=i % 2 == 0)[0]) for i, row in enumerate(rows)]
    return found
