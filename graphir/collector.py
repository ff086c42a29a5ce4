"""The garbage collector finds nothing in a growing graph, and takes more time than all the rest: what builds large graphs pauses it."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from gc import collect, get_count

MANY = 100_000  # objects made since the last collection, from which on one takes place between two pauses that overlap with others

_lock = threading.RLock()  # for a signal's handler may come in between
_inside = 0  # how many threads are inside
_was_on = False  # what the first of them found
_here = threading.local()  # is_inside: whether this thread is


@contextmanager
def collector_paused() -> Iterator[None]:
    """No collections inside; afterwards as it was. Several threads may be inside: the first one pauses, the last one restores."""
    global _inside, _was_on
    if getattr(_here, "is_inside", False):
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            _was_on = gc.isenabled()
            gc.disable()
    try:
        _here.is_inside = True
        yield
    finally:
        _here.is_inside = False
        with _lock:
            if _inside == 1 and _was_on:
                gc.enable()
            _inside -= 1
        if (
            _inside and _was_on and get_count()[0] > MANY
        ):  # without this, threads that load one after another would never leave a gap for one
            collect()
