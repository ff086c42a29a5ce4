"""Dims from text: what `str` prints, read back."""

import json
import re

from .dims import FUNCTIONS, IDENTIFIER, LONGEST, Dim, Expr, Symbol, apply, atoms, relabel, symbol, unknown

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKEN = re.compile(rf"{_QUOTED.pattern}|[A-Za-z_][\w.]*|\?\d+|\d+|//|\S")


def as_dim(x: "Dim | str | None") -> Dim:
    """An int or expression as it is, a string parsed, None as a new unknown."""
    if x is None:
        return unknown()
    return parse(x) if isinstance(x, str) else x if isinstance(x, Expr) else int(x)


def parse(text: str, unknowns: dict[int, Dim] | None = None) -> Dim:
    """The dim that prints as `text`; a symbol of that name where no expression does. `?3` is a name too, unless `unknowns` says what it stands for."""
    if IDENTIFIER.match(text) or (len(text) > LONGEST and not _QUOTED.fullmatch(text)):
        return symbol(text)
    tokens = _TOKEN.findall(text)[::-1]
    try:
        dim = _parse_sum(tokens)
        if not tokens and isinstance(dim, Expr) and str(dim) == text:
            if unknowns is not None:
                return relabel(dim, unknowns)
            if all(isinstance(a.name, str) for a in atoms(dim)):
                return dim
    except (ValueError, IndexError, ZeroDivisionError, RecursionError):
        pass
    return symbol(text)


def _parse_sum(tokens: list[str]) -> Dim:
    """The sum with which the tokens begin, the next one last in the list; what it consists of is taken from there. So do those below."""
    negative = tokens[-1] == "-"
    if negative:
        tokens.pop()
    total = -_parse_product(tokens) if negative else _parse_product(tokens)
    while tokens and tokens[-1] in "+-":
        sign, term = tokens.pop(), _parse_product(tokens)
        total = total + term if sign == "+" else total - term
    return total


def _parse_product(tokens: list[str]) -> Dim:
    total = _parse_atom(tokens)
    while tokens and tokens[-1] in ("*", "//"):
        sign, factor = tokens.pop(), _parse_atom(tokens)
        if sign == "*" and any(isinstance(d, Expr) and len(d.terms) > 1 for d in (total, factor)):
            raise ValueError("products of sums print multiplied out")
        total = total * factor if sign == "*" else total // factor
    return total


def _parse_atom(tokens: list[str]) -> Dim:
    first = tokens.pop()
    if first == "(":
        dim = _parse_sum(tokens)
        tokens.pop()
        return dim
    if first.isdigit():
        return int(first)
    if first[0] == '"':
        return symbol(json.loads(first))
    if first in FUNCTIONS and tokens[-1:] == ["("]:
        tokens.pop()
        a = _parse_sum(tokens)
        tokens.pop()
        b = _parse_sum(tokens)
        tokens.pop()
        return apply(first, a, b)
    if not re.match(r"\?\d|[A-Za-z_]", first):
        raise ValueError(first)
    return Expr((((Symbol(int(first[1:]) if first[0] == "?" else first),), 1),))
