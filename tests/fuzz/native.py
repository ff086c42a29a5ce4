"""Native files and JSON texts as trees, to change one thing and put the right checksums on it."""

import copy
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

from graphir.file.message import MESSAGE

ZEROS = "0" * 64
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 64, 65, 1000, 10**9, 2**31, 2**63 - 1, -(2**63), 2**63, 10**30, 0.5, 1e300, -0.0, "", "x", "y", "w", "N", "N*N",
    "float32", "float32[N, 3]", "float32[" + ", ".join(["1"] * 70) + "]", "int64[]", "string", "seq(float32)", "optional(seq(int4[2]))", "map(string, float32)",
    "graphir.model", "__metadata__", "\x1b[2J\u202e", "\ud800", "a" * 5000, "Add", "If", "ai.onnx.ml", "com.example.Foreign", "../x", [], {}, [[]], {"bytes": "AA=="},
    {"bytes": "?"}, {"float": "nan"}, {"float": "7ff8000000000123"}, {"object": {}}, {"tensor": "w"}, {"ref": "alpha"}, {"type": "float32[2]"}, {"graph": {}},
]  # fmt: skip
DEEP = "\ue000deep"  # becomes lists within lists in the text
TWICE = "\ue000twice:"  # before a key, makes it the key that follows


class File:
    """A .gir file: the tree of its header, that of its message, and the data behind the header."""

    def __init__(self, data: bytes):
        (length,) = struct.unpack("<Q", data[:8])
        self.header: dict[str, Any] = json.loads(data[8 : 8 + length])
        begin, end = self.header[MESSAGE]["data_offsets"]
        self.data = data[8 + length :]
        self.tree: Any = json.loads(self.data[begin:end])
        self.data = self.data[:begin]
        assert end == len(data) - 8 - length, "the message is the last tensor"

    def bytes(self) -> bytes:
        """The file, with checksums that are right wherever the header has a place for them."""
        message = text(self.tree)
        header = copy.deepcopy(self.header)
        if isinstance(header.get(MESSAGE), dict) and header[MESSAGE].get("shape") is not None:
            header[MESSAGE] |= {"shape": [len(message)], "data_offsets": [len(self.data), len(self.data) + len(message)]}
        notes = header.get("__metadata__")
        if isinstance(notes, dict):
            notes |= {k: hashlib.sha256(message).hexdigest() for k in notes if k == "graphir.model_sha256"}
            notes |= {k: ZEROS for k in notes if k == "graphir.header_sha256"}
        head = text(header)
        head += b" " * (-len(head) % 8)
        length = struct.pack("<Q", len(head))
        head = head.replace(ZEROS.encode(), hashlib.sha256(length + head).hexdigest().encode(), 1)
        return length + head + self.data + message

    def mutate(self, other: "File", rng: Random) -> None:
        """Change one thing in the message, in the header, or in the data."""
        where = rng.randrange(12)
        if where < 9:
            self.tree = mutated(self.tree, other.tree, rng)
        elif where < 11:
            self.header = mutated(self.header, other.header, rng)
        elif self.data:
            k = rng.randrange(len(self.data))
            self.data = self.data[:k] + bytes([rng.randrange(256)]) + self.data[k + 1 :]
            self._sign()

    def _sign(self) -> None:
        """The right checksums of tensors, in the message."""
        for key, entry in self.header.items():
            if isinstance(entry, dict) and isinstance(entry.get("data_offsets"), list) and key in self.tree.get("sha256", {}):
                begin, end = entry["data_offsets"]
                self.tree["sha256"][key] = hashlib.sha256(self.data[begin:end]).hexdigest()


def text(tree: Any) -> bytes:
    """A tree as JSON, with what a tree cannot hold."""
    made = json.dumps(tree, ensure_ascii=True, separators=(",", ":"))
    made = re.sub(rf'"{json.dumps(DEEP)[1:-1]}(\d+)"'.replace("\\", "\\\\"), lambda m: "[" * int(m[1]) + "]" * int(m[1]), made)
    return made.replace(json.dumps(TWICE)[1:-1], "").encode()


def places(tree: Any) -> list[tuple[Any, Any]]:
    """The lists and objects of a tree with each of their keys."""
    found, stack = [], [tree]
    while stack:
        x = stack.pop()
        keys = range(len(x)) if isinstance(x, list) else x if isinstance(x, dict) else ()
        for key in keys:
            found.append((x, key))
            stack.append(x[key])
    return found


def mutated(tree: Any, other: Any, rng: Random) -> Any:
    """A tree with one thing changed. other: from which parts are taken."""
    at = places(tree)
    if not at:
        return rng.choice(VALUES)
    holder, key = rng.choice(at)
    old = holder[key]
    how = rng.randrange(12)
    if how < 4:
        holder[key] = _value(old, at, rng)
    elif how < 6:
        del holder[key]
    elif how < 8:
        theirs, k = rng.choice(places(other) or at)
        holder[key] = copy.deepcopy(theirs[k])
    elif isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(old) for _ in range(rng.choice([1, 1, 2, 70]))]
    elif how == 8:
        holder[TWICE + key] = copy.deepcopy(old)
    elif how == 9:
        holder[rng.choice(["", "x", "tensor", "bytes", "object", "value", "name", "\ud800", MESSAGE])] = copy.deepcopy(old)
    elif how == 10:
        holder[key] = f"{DEEP}{rng.choice([50, 99, 101, 990, 100_000])}"
    else:
        holder[rng.choice([k for _, k in at if isinstance(k, str)])] = holder.pop(key)
    return tree


def _value(old: Any, at: list[tuple[Any, Any]], rng: Random) -> Any:
    """Another value, mostly one of the same kind that stands elsewhere."""
    same = [h[k] for h, k in at if type(h[k]) is type(old) and not isinstance(old, dict | list)]
    if same and rng.random() < 0.4:
        return rng.choice(same)
    if isinstance(old, str) and old and rng.random() < 0.5:
        k = rng.randrange(len(old))
        return old[:k] + rng.choice(["", ",", "[", "]", "(", "*", "9" * 30, "N", "\0", " // "]) + old[k + rng.randrange(2) :]
    if type(old) is int and rng.random() < 0.5:
        return old + rng.choice([-1, 1])
    return copy.deepcopy(rng.choice(VALUES))


def smaller(tree: Any) -> Iterator[Any]:
    """The tree less one of its parts: runs of a list first, then single entries."""
    for x in [h[k] for h, k in places({"": tree}) if isinstance(h[k], list)]:
        size = len(x) // 2
        while size > 1:
            for i in range(0, len(x), size):
                cut = x[i : i + size]
                x[i : i + size] = []
                yield tree
                x[i:i] = cut
            size //= 2
    for holder, key in places(tree):
        kept = copy.copy(holder)
        del holder[key]
        yield tree
        holder.clear()
        holder.extend(kept) if isinstance(holder, list) else holder.update(kept)
