"""The protobuf wire format, as far as one must read it by hand: to leave big tensors where they lie in the file, and floats to the bit.

ModelProto.FromString copies all data once, and a Python float does not keep the payload of a signaling NaN.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
GRAPH = 7  # ModelProto.graph
INITIALIZER = 5  # GraphProto.initializer
RAW_DATA = 9  # TensorProto.raw_data
FIELDS = 1000  # of an initializer, which has a dozen and one for each axis
BIG = 4096  # bytes; smaller data is parsed like everything else


class Field(NamedTuple):
    """One field: its number and wire type, where it starts with its tag, where its content starts and ends."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message that lies between start and end. Raises ValueError where there is none, or one with groups."""
    at = start
    while at < end:
        begin = at
        tag, at = varint(data, at)
        kind = tag & 7
        content = at
        if kind == BYTES:
            size, content = varint(data, at)
            at = content + size
        elif kind == VARINT:
            _, at = varint(data, at)
        elif kind in (FIXED32, FIXED64):
            at += 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at > end:
            raise ValueError("the data ends within a field")
        yield Field(tag >> 3, kind, begin, content, at)


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it. Raises ValueError where none is."""
    try:
        x = data[at]
        if x < 0x80:
            return x, at + 1
        x &= 0x7F
        for i in range(1, 10):
            b = data[at + i]
            x |= (b & 0x7F) << (7 * i)
            if b < 0x80:
                return x, at + i + 1
    except IndexError:
        pass
    raise ValueError("no number where one should be")


def encoded_varint(x: int) -> bytes:
    """A number as the wire has it."""
    out = bytearray()
    while x >= 0x80:
        out.append(x & 0x7F | 0x80)
        x >>= 7
    out.append(x)
    return bytes(out)


def message(number: int, content: bytes | memoryview) -> bytes:
    """A field of bytes: its tag, its length, its content."""
    return b"".join((encoded_varint(number << 3 | BYTES), encoded_varint(len(content)), content))


def packed(data: bytes, number: int) -> memoryview:
    """The content of the packed field `number` of a serialized message; empty where it is not there."""
    view = memoryview(data)
    return next((view[f.content : f.end] for f in fields(view, 0, len(view)) if f.number == number), view[:0])


def without_big_data(data: memoryview) -> tuple[bytes, dict[int, memoryview]]:
    """A serialized ModelProto less the big raw_data of the graph's initializers, and that data by the initializer's number, as views.

    Raises ValueError where the message is not laid out as all writers do it.
    """
    big: dict[int, memoryview] = {}
    parts: list[bytes | memoryview] = []
    graphs = 0
    for f in fields(data, 0, len(data)):
        if f.number == GRAPH and f.kind == BYTES:
            graphs += 1
            parts.append(message(GRAPH, _graph(data, f, big)))
        else:
            parts.append(data[f.start : f.end])
    if graphs != 1:
        raise ValueError(f"{graphs} graphs")
    return b"".join(parts), big


def _graph(data: memoryview, graph: Field, big: dict[int, memoryview]) -> bytes:
    parts: list[bytes | memoryview] = []
    kept, initializers = graph.content, 0  # from `kept` on nothing is copied yet
    for f in fields(data, graph.content, graph.end):
        if f.number != INITIALIZER:
            continue
        if f.kind != BYTES:
            raise ValueError("an initializer that is no message")
        if f.end - f.content > BIG:
            found = list(islice(fields(data, f.content, f.end), FIELDS))
            raw = [x for x in found if x.number == RAW_DATA]
            if len(found) == FIELDS:
                raise ValueError("numbers that are not packed")
            if len(raw) > 1 or any(x.kind != BYTES for x in raw):
                raise ValueError("raw_data is given twice")
            if raw and raw[0].end - raw[0].content > BIG:
                big[initializers] = data[raw[0].content : raw[0].end]
                parts.append(data[kept : f.start])
                parts.append(message(INITIALIZER, b"".join((data[f.content : raw[0].start], data[raw[0].end : f.end]))))
                kept = f.end
        initializers += 1
    parts.append(data[kept : graph.end])
    return b"".join(parts)
