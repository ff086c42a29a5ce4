"""What reaches the terminal: cleaned text, columns, progress."""

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from .process import give_up

# Control characters, those that turn the direction of text, and halves of surrogate pairs.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PARAMETER = re.compile(r"`(\w+)`")
_LONG, _ENDS = re.compile(r"\S{300,}"), 60
_LINE, _FIRST, _LAST = 4000, 2400, 800  # characters: of a line, and of what is shown where it is longer
WIDTH = 120


def clean(text: object, keep: str = "") -> str:
    """The text with control characters written as escapes, so that a file's names cannot steer the terminal."""
    return _CONTROL.sub(lambda m: m[0] if m[0] in keep else m[0].encode("unicode_escape").decode(), str(text))


def shortened(text: object) -> str:
    """The text without the middle of very long words: names of a file may have millions of letters."""
    return _LONG.sub(lambda m: f"{m[0][:_ENDS]}...{m[0][-_ENDS:]}", str(text))


def _line(text: object) -> str:
    """A line of a message without the middle of very long words, and its own where it lists very many."""
    line = shortened(text)
    return line if len(line) <= _LINE else f"{line[:_FIRST]} ... {line[-_LAST:]}"


def say(text: object = "") -> None:
    """Print one line."""
    click.echo(clean(_line(text)))


def say_error(text: object) -> None:
    """Print on stderr. Where nobody can read that, the exit status alone must say it."""
    try:
        click.echo(clean("\n".join(map(_line, str(text).split("\n"))), keep="\n"), err=True)
    except OSError:
        give_up(sys.stderr)


def say_note(text: object) -> None:
    """Print on stderr what is good to know, and no error."""
    context = click.get_current_context(silent=True)
    say_error("note: " + clean(in_options(str(text), context and context.command)))


def in_options(text: str, verb: click.Command | None) -> str:
    """The text with the options of a verb where it names parameters of Python: --wrt for `wrt`."""
    options = {p.name: max(p.opts, key=len) for p in verb.params if isinstance(p, click.Option)} if verb is not None else {}
    return _PARAMETER.sub(lambda m: options.get(m[1], m[0]), text)


def say_all(text: str) -> None:
    """Print text of many lines."""
    click.echo(clean(text, keep="\n\t"), nl=not text.endswith("\n"))


def say_json(data: Any) -> None:
    """Print data as JSON."""
    click.echo(json.dumps(data, indent=2))


def say_columns(rows: Iterable[Sequence[object]]) -> None:
    """Print rows with their columns aligned; what is too wide for the last one goes on below it."""
    rows = [[clean(shortened(x)) for x in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    indent = sum(w + 2 for w in widths[:-1])
    for row in rows:
        head = "".join(x.ljust(w + 2) for x, w in zip(row[:-1], widths))
        tail = textwrap.wrap(row[-1], max(WIDTH - indent, 40), break_long_words=False, break_on_hyphens=False) or [""]
        click.echo("\n".join([(head + tail[0]).rstrip(), *(" " * indent + line for line in tail[1:])]))


def size_text(count: float) -> str:
    """A number of bytes as people read it: 26.3 kB."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.0f} bytes" if units[0] == "bytes" else f"{count:.1f} {units[0]}"


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Say on stderr what is going on, while it does, where stderr is a terminal."""
    terminal = sys.stderr.isatty()
    if terminal:
        click.echo(f"{clean(text)} ...", nl=False, err=True)
    try:
        yield
    finally:
        if terminal:
            click.echo("\r\x1b[K", nl=False, err=True)
