"""What depends on what in a body that runs again and again: one walk over its values, however long it takes a state to act upon another one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..ir import Node, Value
from ._gradient import is_coded, is_float, passes_codes, read_by

X = TypeVar("X")


def reached(nodes: Sequence[Node], wrt: Iterable[Value], again: Iterable[tuple[Value, Value]]) -> set[Value]:
    """As `depending_on`. again: what the body makes, and as what the next trip takes it."""
    taken = _by_first(again)
    readers = _by_first((v, node) for node in nodes for v in dict.fromkeys(read_by(node)) if v is not None)
    left = {node: [y for y in node.outputs if y is not None] for node in nodes}

    def more(v: Value) -> Iterator[Value]:
        yield from taken.get(v, ())
        for node in readers.get(v, ()):
            waiting, left[node] = left[node], []
            for y in waiting:
                if is_float(y) or passes_codes(node, v, y):
                    yield y
                else:
                    left[node].append(y)

    return _closure(wrt, more)


def reaching(nodes: Sequence[Node], of: Iterable[Value], again: Iterable[tuple[Value, Value]]) -> set[Value]:
    """As `leading_to`. again: what a trip takes, and what the trip before it made."""
    made, left = _by_first(again), set(nodes)

    def more(v: Value) -> Iterator[Value]:
        yield from made.get(v, ())
        if v.node is not None and v.node in left:
            left.discard(v.node)
            yield from (x for x in read_by(v.node) if x is not None and (is_float(x) or is_coded(x)))

    return _closure(of, more)


def _closure(start: Iterable[Value], more: Callable[[Value], Iterable[Value]]) -> set[Value]:
    waiting = list(start)
    found: set[Value] = set()
    while waiting:
        v = waiting.pop()
        if v not in found:
            found.add(v)
            waiting += more(v)
    return found


def _by_first(pairs: Iterable[tuple[Value, X]]) -> dict[Value, list[X]]:
    found: dict[Value, list[X]] = {}
    for a, b in pairs:
        found.setdefault(a, []).append(b)
    return found
