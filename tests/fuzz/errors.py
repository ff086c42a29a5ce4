"""Which errors are answers, and which are stumbles: the one place that says so."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import click

import graphir

OURS = tuple(str(Path(graphir.__file__).parent.parent / folder) for folder in ("graphir/", "runtimes/", "exporters/"))
ANSWERS = (ValueError, TypeError, LookupError, ImportError, RuntimeError, OSError, click.ClickException)
# Kinds that say nothing of the model, though some are kinds of the above.
STUMBLES = (
    AttributeError, AssertionError, ArithmeticError, UnicodeError, UnboundLocalError, MemoryError, RecursionError, NotImplementedError,
    StopIteration, BufferError, SystemError, Warning,
)  # fmt: skip
# Words that say nothing of what is wrong: Python's own, and those of a rule that stumbled.
RAW = (
    "list index out of range", "tuple index out of range", "values to unpack", "division by zero", "NoneType", "object is not", "operand type",
    "object has no attribute", "must be real number", "could not broadcast", "invalid literal for", "maximum recursion", "codec can't",
    "pop from empty", "cannot fit", "too large to convert", "unhashable type", "positional argument", "keyword-only argument", "unexpected keyword",
)  # fmt: skip
_TEXTS = re.compile(r"""/\S+/|'[^']*'|"[^"]*"|\d[\d.,e+-]*""")  # paths, what is quoted, numbers


def stumble(e: BaseException) -> str | None:
    """What makes an error no answer; None where it is one: of a kind that is documented, and raised on purpose."""
    if isinstance(e, click.ClickException):
        return None
    kind = type(e).__name__
    if not isinstance(e, ANSWERS) or isinstance(e, STUMBLES):
        return f"{kind} in {place(e)}"
    if not str(e):
        return f"{kind} without a word in {place(e)}"
    said = raw(str(e))
    if said is not None:
        return f"{kind} that says {said!r} in {place(e)}"
    cause = e.__cause__
    if isinstance(cause, STUMBLES) or type(cause) is KeyError:
        return f"{kind} because of {type(cause).__name__} in {place(cause)}"
    return None if isinstance(e, OSError) or _on_purpose(e) else f"{kind} in {place(e)}"


def raw(text: str) -> str | None:
    """Words in a text that say nothing of what is wrong."""
    return next((words for words in RAW if words in text), None)


def trait(e: BaseException) -> str:
    """What errors of one cause have in common: the text, less paths, what is quoted, and numbers."""
    return f"{type(e).__name__}: {_TEXTS.sub('#', str(e))[:200]}"


def place(e: BaseException) -> str:
    """Where an error arose: the innermost function of ours."""
    frames = [f"{file.name}:{function}" for file, function, _ in _frames(e.__traceback__) if str(file).startswith(OURS)]
    return frames[-1] if frames else "no code of ours"


def _frames(trace: TracebackType | None) -> Iterator[tuple[Path, str, int]]:
    while trace is not None:
        code = trace.tb_frame.f_code
        yield Path(code.co_filename), code.co_name, trace.tb_lineno
        trace = trace.tb_next


def _on_purpose(e: BaseException) -> bool:
    """Whether the innermost line is a raise statement of ours."""
    innermost = [*_frames(e.__traceback__)][-1:]
    return any(str(file).startswith(OURS) and line in _raises(file) for file, _, line in innermost)


@functools.cache
def _raises(file: Path) -> frozenset[int]:
    """The lines of a file in which it raises."""
    found = (n for n in ast.walk(ast.parse(file.read_bytes())) if isinstance(n, ast.Raise))
    return frozenset(line for n in found for line in range(n.lineno, (n.end_lineno or n.lineno) + 1))
