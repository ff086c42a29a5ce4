"""Hostile files: real ones with a few things changed, through all verbs. Each answers, or says in a line what is wrong, quickly and in little memory."""

import contextlib
import copy
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import onnx

import graphir
import graphir_onnx

from . import native, protobuf, verbs
from .case import Case, Finding, Outcome
from .stock import models


class Hostile:
    """The campaign."""

    name, share, guided = "hostile", 4.0, True

    def first(self, rng: Random) -> Case:
        """A file of the stock, changed."""
        return self.further(rng.choice(_files()), rng)

    def further(self, case: Case, rng: Random) -> Case:
        """A file with one to four more changes; seldom to its bytes as such."""
        other = rng.choice([c for c in _files() if c.suffix == case.suffix])
        changes = rng.choice([1, 1, 2, 3, 4])
        if rng.random() < 0.04:
            return Case(case.suffix, _damaged(case.data, rng))
        try:
            return Case(case.suffix, CHANGES[case.suffix](case.data, other.data, changes, rng))
        except Exception:  # what was changed before is no tree any more, in one of many ways
            return Case(case.suffix, _damaged(case.data, rng))

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        """All verbs; and a file that is read comes back byte for byte."""
        file = folder / f"model{case.suffix}"
        file.write_bytes(case.data)
        traits = verbs.check(file, folder, step)
        step("round trip")
        if case.suffix == ".onnx" and "export: 0" in traits:
            _same(case.data, file, folder)
        return Outcome("right" if any(t.endswith(": 0") for t in traits[2:]) else "rejected", traits)

    def smaller(self, case: Case) -> Iterator[Case]:
        """The file less one of its parts."""
        try:
            yield from SMALLER[case.suffix](case.data)
        except (ValueError, KeyError, AssertionError, RecursionError):
            for size in (len(case.data) // 2, len(case.data) // 4, 64, 8, 1):
                yield from (Case(case.suffix, case.data[:i] + case.data[i + size :]) for i in range(0, len(case.data), size or 1))


def _same(data: bytes, file: Path, folder: Path) -> None:
    """What was read is what protobuf reads, on both ways."""
    parsed = onnx.ModelProto.FromString(data)
    if any(t.data_location for t in parsed.graph.initializer):
        return
    expected = parsed.SerializeToString(deterministic=True)
    ways = {"read and written": file, "through .gir": folder / "out.gir"}
    for way, path in ways.items():
        if path.exists():
            got = graphir_onnx.dumps(graphir.load(path))
            if onnx.ModelProto.FromString(got).SerializeToString(deterministic=True) != expected:
                raise Finding(f"another message when {way}")


def _damaged(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    how, at = rng.randrange(4), rng.randrange(len(changed) + 1)
    return bytes(changed[:at] if how == 0 else changed[:at] + bytes(rng.choice([1, 8, 4096])) + changed[at:] if how == 1 else changed)


def _onnx(data: bytes, other: bytes, changes: int, rng: Random) -> bytes:
    message, theirs = protobuf.parse(data), protobuf.parse(other)
    for _ in range(changes):
        protobuf.mutate(message, theirs, rng)
    return protobuf.serialize(message)


def _gir(data: bytes, other: bytes, changes: int, rng: Random) -> bytes:
    file, theirs = native.File(data), native.File(other)
    for _ in range(changes):
        file.mutate(theirs, rng)
    return file.bytes()


def _json(data: bytes, other: bytes, changes: int, rng: Random) -> bytes:
    tree, theirs = json.loads(data), json.loads(other)
    for _ in range(changes):
        tree = native.mutated(tree, theirs, rng)
    return native.text(tree)


CHANGES: dict[str, Callable[[bytes, bytes, int, Random], bytes]] = {".onnx": _onnx, ".gir": _gir, ".json": _json}


def smaller_onnx(data: bytes) -> Iterator[Case]:
    """An ONNX file less one of its parts."""
    return (Case(".onnx", protobuf.serialize(m)) for m in protobuf.smaller(protobuf.parse(data)))


def _smaller_gir(data: bytes) -> Iterator[Case]:
    file = native.File(data)
    for tree in native.smaller(file.tree):
        made = copy.copy(file)
        made.tree = tree
        yield Case(".gir", made.bytes())


SMALLER: dict[str, Callable[[bytes], Iterator[Case]]] = {
    ".onnx": smaller_onnx,
    ".gir": _smaller_gir,
    ".json": lambda data: (Case(".json", native.text(tree)) for tree in native.smaller(json.loads(data))),
}


@functools.cache
def _files() -> list[Case]:
    """What is changed: the stock in each format that can hold it."""
    found = []
    for model in models():
        for kind in ("onnx", "gir", "json"):
            with contextlib.suppress(ValueError):  # what such a file cannot say
                if kind != "json" or not any(graph.weights for graph in model.graphs()):
                    found.append(Case(f".{kind}", graphir.dumps(model, kind)))
    return found
