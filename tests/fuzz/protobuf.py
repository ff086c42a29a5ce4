"""Protobuf messages as trees of fields, which can say what no message of the standard may: wrong wire types, lengths, numbers, and any depth."""

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from onnx import GraphProto, ModelProto

from graphir_onnx.wire import encoded_varint, fields, varint

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIRES = (VARINT, FIXED64, BYTES, 3, 4, FIXED32, 6, 7)
GRAPH = GraphProto.DESCRIPTOR


class Field:
    """One field. value: a number, bytes, or the fields of a message; descriptor: the standard's word on it, None where it has none."""

    __slots__ = ("descriptor", "number", "value", "wire")

    def __init__(self, number: int, wire: int, value: Any, descriptor: Any = None):
        self.number = number
        self.wire = wire
        self.value = value
        self.descriptor = descriptor

    @property
    def name(self) -> str:
        """What the standard calls it."""
        return self.descriptor.name if self.descriptor is not None else ""

    @property
    def kind(self) -> str:
        """The name of the message that it holds, or of its type."""
        if self.descriptor is None:
            return ""
        return self.descriptor.message_type.name if self.descriptor.message_type is not None else str(self.descriptor.type)


Message = list[Field]


def parse(data: bytes, descriptor: Any = ModelProto.DESCRIPTOR) -> Message:
    """The fields of a message. Raises ValueError where it is none."""
    view, found = memoryview(data), []
    for f in fields(view, 0, len(view)):
        known = descriptor.fields_by_number.get(f.number) if descriptor is not None else None
        if f.kind == VARINT:
            value: Any = varint(view, f.content)[0]
        elif f.kind == BYTES and known is not None and known.message_type is not None:
            value = parse(bytes(view[f.content : f.end]), known.message_type)
        else:
            value = bytes(view[f.content : f.end])
        found.append(Field(f.number, f.kind, value, known))
    return found


def serialize(message: Message) -> bytes:
    """The bytes of a message, made without recursion, for it may be nested deep."""
    done: dict[int, bytes] = {}
    stack: list[tuple[Message, bool]] = [(message, False)]
    while stack:
        current, ready = stack.pop()
        inner = [f.value for f in current if isinstance(f.value, list)]
        if not ready:
            stack.append((current, True))
            stack += [(m, False) for m in inner]
            continue
        done[id(current)] = b"".join(_encoded(f, done) for f in current)
        for m in inner:
            done.pop(id(m), None)
    return done[id(message)]


def _encoded(f: Field, done: dict[int, bytes]) -> bytes:
    tag = encoded_varint(f.number << 3 | f.wire)
    content = done.get(id(f.value), b"") if isinstance(f.value, list) else f.value
    if f.wire == VARINT:
        return tag + (encoded_varint(content) if isinstance(content, int) else bytes(content)[:9] + b"\0")
    if isinstance(content, int):
        content = content.to_bytes(10, "little")
    if f.wire == BYTES:
        return tag + encoded_varint(len(content)) + content
    size = {FIXED64: 8, FIXED32: 4}.get(f.wire, 0)
    return tag + content[:size].ljust(size, b"\0")


def messages(message: Message) -> Iterator[Message]:
    """A message and all those in it, outer ones first."""
    stack = [message]
    while stack:
        current = stack.pop()
        yield current
        stack += [f.value for f in reversed(current) if isinstance(f.value, list)]


def places(message: Message, want: Callable[[Field], bool] = lambda f: True) -> list[tuple[Message, int]]:
    """Where the fields are that are wanted: the message that holds each, and its place there."""
    return [(m, i) for m in messages(message) for i, f in enumerate(m) if want(f)]


# ---- mutations -------------------------------------------------------------------------------------------------------------------------

NUMBERS = [
    0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 21, 22, 63, 64, 65, 127, 128, 255, 1000, 65536, 10**6, 2**31 - 1, 2**31, 2**32 - 1, 10**9, 10**12,
    2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2, 2**64 - 2**31,
]  # fmt: skip
TEXTS = [
    b"", b"x", b"y", b"N", b"N*N", b"N // 2", b"2*N + 1", b"N*M - M", b"max(N, 3)", b"-1", b"../x", b"/etc/passwd", b"a/b", b"\xff\xfe", b"\0", b"\x1b[2J",
    "\u202e\u2028".encode(), b"(" * 500, b"a" * 5000, b"ai.onnx", b"ai.onnx.ml", b"ai.onnx.preview.training", b"com.microsoft", b"local", b"location", b"offset",
    b"length", b"checksum", b"ij,jk->ik", b"nan", b"%s{}", b"then_branch", b"else_branch", b"body", b"value", b"axes", b"axis", b"to", b"unk__0",
]  # fmt: skip


def mutate(message: Message, other: Message, rng: Random) -> None:
    """Change one thing. other: a message from which parts are taken."""
    at = places(message)
    if at:
        rng.choice(MUTATIONS)(message, at, other, rng)


Places = list[tuple[Message, int]]


def _drop(message: Message, at: Places, other: Message, rng: Random) -> None:
    parent, i = rng.choice(at)
    del parent[i]


def _double(message: Message, at: Places, other: Message, rng: Random) -> None:
    parent, i = rng.choice(at)
    times = rng.choice([1, 1, 1, 2, 3, 70, 1000] if len(at) < 500 else [1, 2])
    parent[i:i] = [copy.deepcopy(parent[i]) if times < 9 else parent[i] for _ in range(times)]


def _swap(message: Message, at: Places, other: Message, rng: Random) -> None:
    parent, i = rng.choice(at)
    j = rng.randrange(len(parent))
    parent[i], parent[j] = parent[j], parent[i]


def _splice(message: Message, at: Places, other: Message, rng: Random) -> None:
    """A part of another message in the place of one of its kind, or beside it."""
    parent, i = rng.choice(at)
    same = places(other, lambda f: f.kind == parent[i].kind)
    if same:
        their, j = rng.choice(same)
        made = copy.deepcopy(their[j])
        made.number, made.descriptor = parent[i].number, parent[i].descriptor
        parent[i : i + rng.randrange(2)] = [made]


def _wire(message: Message, at: Places, other: Message, rng: Random) -> None:
    parent, i = rng.choice(at)
    parent[i].wire = rng.choice(WIRES)


def _renumber(message: Message, at: Places, other: Message, rng: Random) -> None:
    parent, i = rng.choice(at)
    parent[i].number = rng.choice([*range(1, 32), 1000, 2**29 - 1])


def _number(message: Message, at: Places, other: Message, rng: Random) -> None:
    numbers = [(m, i) for m, i in at if m[i].wire == VARINT]
    if numbers:
        parent, i = rng.choice(numbers)
        old = parent[i].value
        parent[i].value = rng.choice(NUMBERS) if rng.random() < 0.7 or not isinstance(old, int) else (old + rng.choice([-1, 1])) % 2**64


def _text(message: Message, at: Places, other: Message, rng: Random) -> None:
    texts = [(m, i) for m, i in at if isinstance(m[i].value, bytes)]
    if not texts:
        return
    parent, i = rng.choice(texts)
    old = parent[i].value
    how = rng.randrange(6)
    if how < 2:
        their, j = rng.choice([(m, j) for m, j in texts if m[j].kind == parent[i].kind])
        parent[i].value = their[j].value  # a name that is another's
    elif how == 2:
        parent[i].value = rng.choice(TEXTS)
    elif how == 3 and old:
        k = rng.randrange(len(old))
        parent[i].value = old[:k] + bytes([rng.randrange(256)]) + old[k + 1 :]
    else:
        parent[i].value = old[: rng.randrange(len(old) + 1)] if how == 4 else old + bytes(rng.choice([1, 4, 8, 64]))


def _operator(message: Message, at: Places, other: Message, rng: Random) -> None:
    """Another operator in a node's place."""
    mine, theirs = ([(m, i) for m, i in a if m[i].name == "op_type"] for a in (at, places(other)))
    if mine and theirs:
        (parent, i), (their, j) = rng.choice(mine), rng.choice(theirs)
        parent[i].value = their[j].value


def _deepen(message: Message, at: Places, other: Message, rng: Random) -> None:
    """A message within itself, many times."""
    inner = [(m, i) for m, i in at if isinstance(m[i].value, list) and m[i].descriptor is not None]
    if not inner:
        return
    parent, i = rng.choice(inner)
    chain = next((c for d in (parent[i].descriptor.message_type,) if (c := _way_back(d))), None)
    if chain is None:
        return
    content = parent[i].value
    for _ in range(rng.choice([1, 2, 5, 40, 99, 300])):
        made = content
        for descriptor in reversed(chain):
            made = [Field(descriptor.number, BYTES, made, descriptor)]
        content = [*copy.copy(parent[i].value)[:3], *made]
    parent[i].value = content


def _way_back(descriptor: Any) -> list[Any] | None:
    """The fields that lead from a kind of message to one of the same kind within it."""
    ways: list[tuple[Any, list[Any]]] = [(descriptor, [])]
    for here, way in ways:
        for f in here.fields:
            if f.message_type is descriptor and len(way) < 4:
                return [*way, f]
            if f.message_type is not None and len(way) < 3:
                ways.append((f.message_type, [*way, f]))
    return None


MUTATIONS = [*[_number] * 12, *[_text] * 8, *[_drop, _double, _splice, _operator] * 5, *[_swap] * 3, _wire, _renumber, _deepen]


# ---- smaller ---------------------------------------------------------------------------------------------------------------------------


def smaller(message: Message) -> Iterator[Message]:
    """The message less one of its parts: halves and quarters of what a message holds first, then single fields; then shorter bytes and smaller numbers."""
    for count in (2, 4, 8, 1 << 30):
        for m in list(messages(message)):
            if count <= len(m) or count > 8:
                size = max(1, len(m) // count)
                for i in range(0, len(m), size):
                    cut = m[i : i + size]
                    m[i : i + size] = []
                    yield message
                    m[i:i] = cut
    for m, i in places(message):
        f, old = m[i], m[i].value
        if isinstance(old, bytes) and len(old) > 16:
            f.value = old[: len(old) // 2]
            yield message
        elif isinstance(old, int) and old > 1:
            f.value = old // 2
            yield message
        f.value = old
