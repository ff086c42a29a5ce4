"""Dims from text: what `str` prints, read back."""

import json
import re

from .dims import FUNCTIONS, IDENTIFIER, Dim, Expr, Symbol, apply, atoms, relabel, symbol, unknown

PARSE_LIMIT = 1000  # expressions of more tokens than this are not parsed: they may come from a hostile file
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z_][\w.]*|\?\d+|\d+|//|\S')


def as_dim(x: "Dim | str | None") -> Dim:
    """An int or expression as it is, a string parsed, None as a new unknown."""
    if x is None:
        return unknown()
    return parse(x) if isinstance(x, str) else x if isinstance(x, Expr) else int(x)


def parse(text: str, unknowns: dict[int, Dim] | None = None) -> Dim:
    """The dim that prints as `text`; a symbol of that name where no expression does. `?3` is a name too, unless `unknowns` says what it stands for."""
    if IDENTIFIER.match(text):
        return symbol(text)
    tokens = _TOKEN.findall(text)
    try:
        dim, rest = _parse_sum(tokens) if len(tokens) <= PARSE_LIMIT else (0, tokens)
        if not rest and isinstance(dim, Expr) and str(dim) == text:
            if unknowns is not None:
                return relabel(dim, unknowns)
            if all(isinstance(a.name, str) for a in atoms(dim)):
                return dim
    except (ValueError, IndexError, ZeroDivisionError, RecursionError):
        pass
    return symbol(text)


def _parse_sum(tokens: list[str]) -> tuple[Dim, list[str]]:
    negative = tokens[0] == "-"
    total, tokens = _parse_product(tokens[1:] if negative else tokens)
    total = -total if negative else total
    while tokens and tokens[0] in "+-":
        term, rest = _parse_product(tokens[1:])
        total = total + term if tokens[0] == "+" else total - term
        tokens = rest
    return total, tokens


def _parse_product(tokens: list[str]) -> tuple[Dim, list[str]]:
    total, tokens = _parse_atom(tokens)
    while tokens and tokens[0] in ("*", "//"):
        factor, rest = _parse_atom(tokens[1:])
        if tokens[0] == "*" and any(isinstance(d, Expr) and len(d.terms) > 1 for d in (total, factor)):
            raise ValueError("products of sums print multiplied out, and doing that here could take for ever")
        total = total * factor if tokens[0] == "*" else total // factor
        tokens = rest
    return total, tokens


def _parse_atom(tokens: list[str]) -> tuple[Dim, list[str]]:
    first, *rest = tokens
    if first == "(":
        dim, rest = _parse_sum(rest)
        return dim, rest[1:]
    if first.isdigit():
        return int(first), rest
    if first[0] == '"':
        return symbol(json.loads(first)), rest
    if first in FUNCTIONS and rest[:1] == ["("]:
        a, rest = _parse_sum(rest[1:])
        b, rest = _parse_sum(rest[1:])
        return apply(first, a, b), rest[1:]
    if not re.match(r"\?\d|[A-Za-z_]", first):
        raise ValueError(first)
    return Expr((((Symbol(int(first[1:]) if first[0] == "?" else first),), 1),)), rest
