"""Arithmetic on dimensions: an int, or an expression over symbols in canonical form.

An expression is a sum of products with integer coefficients. What is not a sum or a product (floor division, `max`, `min`, `broadcast`) is an atom of its own.
Two expressions are equal when their canonical forms are, so `a == b` is a proof and `a != b` is not a disproof.

Expressions are small: one that would have more than TERMS terms, DEGREE factors in one of them, functions within functions more than DEPTH deep, a
coefficient beyond COEFFICIENT, or a text longer than LONGEST is an unknown number instead. So arithmetic takes microseconds, whatever a file asks for.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial, reduce

TERMS, DEGREE, DEPTH, COEFFICIENT, LONGEST = 64, 64, 16, 2**63, 1000
IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*\Z")
_serial = itertools.count()


class Symbol:
    """A named size, or (with a serial number in place of a name) a size that nobody else has. signed: a number that may be below zero."""

    __slots__ = ("key", "length", "name", "signed")
    depth = 0

    def __init__(self, name: str | int, signed: bool = False):
        self.name = name
        self.signed = signed
        self.key = (0, name, 0) if isinstance(name, str) else (1, "", name)
        self.length = len(str(self)) if isinstance(name, str) else 8

    def __str__(self) -> str:
        if isinstance(self.name, int):
            return f"?{self.name}"
        return self.name if IDENTIFIER.match(self.name) else json.dumps(self.name, ensure_ascii=False)


class Apply:
    """A function of dims that sums and products cannot say: one of FUNCTIONS. depth: how deep functions stand within each other, this one included."""

    __slots__ = ("args", "depth", "function", "key", "length")

    def __init__(self, function: str, args: tuple["Dim", ...], depth: int):
        self.function = function
        self.args = args
        self.depth = depth
        self.key = (2, self._text(), 0)
        self.length = len(self.key[1])

    def _text(self) -> str:
        if self.function == "floordiv":
            return "//".join(
                str(a) if (isinstance(a, int) and a >= 0) or (isinstance(a, Expr) and a.is_name) else f"({a})" for a in self.args
            )
        return f"{self.function}({', '.join(map(str, self.args))})"

    def __str__(self) -> str:
        return self.key[1]


Atom = Symbol | Apply
Monomial = tuple[Atom, ...]


class Expr:
    """A sum of products of atoms, never a constant: `terms` maps each product, as sorted atoms, to its coefficient."""

    __slots__ = ("_hash", "key", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]):
        self.terms = terms
        self.key = tuple((tuple(a.key for a in monomial), coefficient) for monomial, coefficient in terms)
        self._hash = hash(self.key)

    @property
    def is_atom(self) -> bool:
        """Whether this is one atom alone: a symbol, an unknown, a function of dims."""
        return len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1

    @property
    def is_name(self) -> bool:
        """Whether this prints as one word: a symbol, or a function by name."""
        return self.is_atom and not (isinstance(self.terms[0][0][0], Apply) and self.terms[0][0][0].function == "floordiv")

    @property
    def is_unknown(self) -> bool:
        """Whether this is an unknown alone."""
        return self.is_atom and isinstance(self.terms[0][0][0], Symbol) and not isinstance(self.terms[0][0][0].name, str)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Expr) and self._hash == other._hash and self.key == other.key)

    def __add__(self, other: "Dim") -> "Dim":
        return _sum((*self.terms, *_terms(other)))

    __radd__ = __add__

    def __neg__(self) -> "Dim":
        return self * -1

    def __sub__(self, other: "Dim") -> "Dim":
        return self + other * -1

    def __rsub__(self, other: "Dim") -> "Dim":
        return self * -1 + other

    def __mul__(self, other: "Dim") -> "Dim":
        if isinstance(other, Expr) and len(self.terms) * len(other.terms) > 4 * TERMS:
            return _some_number()
        return _sum((_product(m, n), a * b) for m, a in self.terms for n, b in _terms(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: "Dim") -> "Dim":
        return _floordiv(self, other)

    def __rfloordiv__(self, other: "Dim") -> "Dim":
        return _floordiv(other, self)

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            body = "*".join(_factor(a, len(monomial) > 1 or abs(coefficient) != 1) for a in monomial)
            size = abs(coefficient)
            body = str(size) if not body else body if size == 1 else f"{size}*{body}"
            sign = "-" if coefficient < 0 else "+"
            text += f" {sign} {body}" if text else body if sign == "+" else f"-{body}"
        return text

    __repr__ = __str__


Dim = int | Expr
Shape = tuple[Dim, ...]


def symbol(name: str) -> Expr:
    """The dim called `name`."""
    return _alone(Symbol(name))


def unknown() -> Expr:
    """A dim that equals itself only."""
    return _alone(Symbol(serial()))


def _some_number() -> Expr:
    """What stands for an expression that is too large: an unknown that may be below zero."""
    return _alone(Symbol(serial(), signed=True))


def serial() -> int:
    """A number that no unknown has. Two that follow each other tell that none was made between."""
    return next(_serial)


def max_(a: Dim, b: Dim) -> Dim:
    """The larger of two dims."""
    return apply("max", a, b)


def min_(a: Dim, b: Dim) -> Dim:
    """The smaller of two dims."""
    return apply("min", a, b)


def broadcast_dim(a: Dim, b: Dim) -> Dim:
    """The size of an axis on which sizes a and b meet by NumPy's broadcasting. Raises ValueError where they cannot."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        raise ValueError(f"sizes {a} and {b} do not broadcast")
    if isinstance(a, int):
        return a
    if isinstance(b, int):
        return b
    return apply("broadcast", a, b)


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dims: the number of elements of a shape."""
    total: Dim = 1
    for d in dims:
        total = total * d
    return total


def ceil_div(a: Dim, b: Dim) -> Dim:
    """a / b, rounded up."""
    return -((-a) // b)


@lru_cache(4096)
def nonnegative(dim: Dim, depth: int = 5) -> bool:
    """Whether `dim` is surely 0 or more, whatever sizes its symbols stand for. `depth` bounds how many of its atoms are looked into."""
    alone = [(m[0], c) for m, c in _terms(dim) if len(m) == 1 and isinstance(m[0], Apply)] if depth else []
    for atom, c in sorted(alone, key=lambda x: (x[0].function == "max") == (x[1] > 0)):  # first those of which both cases must hold
        rest, (a, b) = dim - Expr((((atom,), c),)), atom.args
        if atom.function in ("max", "min"):
            enough = any if (atom.function == "max") == (c > 0) else all
            return enough(nonnegative(rest + x * c, depth - 1) for x in (a, b))
        if atom.function == "floordiv" and c < 0 and isinstance(b, int) and nonnegative(a, depth - 1):  # a // b is at most a / b
            return nonnegative(rest * b + a * c, depth - 1)
    return all(coefficient > 0 and all(map(_is_size, monomial)) for monomial, coefficient in _terms(dim))


def _is_size(atom: Atom) -> bool:
    if isinstance(atom, Symbol):
        return not atom.signed
    return (any if atom.function == "max" else all)(nonnegative(a, 1) for a in atom.args)


def substitute(dim: Dim, sizes: Mapping[str, Dim]) -> Dim:
    """`dim` with the symbols named in `sizes` replaced. Raises ZeroDivisionError and ValueError where the sizes do not fit."""
    if isinstance(dim, int):
        return dim
    if dim.is_atom and isinstance(atom := dim.terms[0][0][0], Symbol):
        return sizes.get(atom.name, dim) if isinstance(atom.name, str) else dim
    return _exchanged(dim, lambda s: sizes.get(s.name) if isinstance(s.name, str) else None)


def symbols(dim: Dim) -> set[str]:
    """The names of the symbols in `dim`; unknowns have none."""
    return {a.name for a in atoms(dim) if isinstance(a.name, str)}


def atoms(dim: Dim) -> Iterable[Symbol]:
    """The symbols and unknowns in `dim`, from left to right."""
    if isinstance(dim, Expr):
        for monomial, _ in dim.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    yield atom
                else:
                    for arg in atom.args:
                        yield from atoms(arg)


def relabel(dim: Dim, fresh: dict[int, Dim]) -> Dim:
    """`dim` with each unknown replaced by what `fresh` holds for its number; a new unknown is entered where nothing is held."""
    if isinstance(dim, int) or not any(isinstance(a.name, int) for a in atoms(dim)):
        return dim
    return _exchanged(dim, lambda s: fresh.setdefault(s.name, _alone(Symbol(serial(), s.signed))) if isinstance(s.name, int) else None)


def _exchanged(dim: Dim, exchange: Callable[[Symbol], Dim | None]) -> Dim:
    """`dim` with `exchange(symbol)` in place of each symbol for which that is not None."""
    total: Dim = 0
    for monomial, coefficient in _terms(dim):
        term: Dim = coefficient
        for atom in monomial:
            if isinstance(atom, Apply):
                term = term * apply(atom.function, *(_exchanged(a, exchange) for a in atom.args))
            else:
                new = exchange(atom)
                term = term * (_alone(atom) if new is None else new)
        total = total + term
    return total


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return dim.terms if isinstance(dim, Expr) else (((), dim),) if dim else ()


def _product(m: Monomial, n: Monomial) -> Monomial:
    return tuple(sorted((*m, *n), key=lambda a: a.key))


def _sum(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[tuple, int] = {}
    monomials: dict[tuple, Monomial] = {}
    for monomial, coefficient in terms:
        key = tuple(a.key for a in monomial)
        total[key] = total.get(key, 0) + coefficient
        monomials[key] = monomial
    keys = sorted((k for k, c in total.items() if c), key=lambda k: (not k, k))  # the constant comes last
    if not keys or keys == [()]:
        return total.get((), 0)
    terms = tuple([(monomials[k], total[k]) for k in keys])
    return Expr(terms) if _is_small(terms) else _some_number()


def _is_small(terms: tuple[tuple[Monomial, int], ...]) -> bool:
    """Whether these terms are within the bounds. A name alone may be as long as it likes."""
    length = 0
    for monomial, coefficient in terms:
        if len(monomial) > DEGREE or not -COEFFICIENT < coefficient < COEFFICIENT:
            return False
        length += 4 + coefficient.bit_length() // 3 + sum([3 + atom.length for atom in monomial])
    return (length <= LONGEST and len(terms) <= TERMS) or (len(terms) == 1 and len(terms[0][0]) == 1)


def _alone(atom: Atom) -> Expr:
    return Expr((((atom,), 1),))


def _applied(function: str, *args: Dim) -> Expr:
    """A function of dims as an expression."""
    inside = [a for d in args for m, _ in _terms(d) for a in m]
    depth = 1 + max([a.depth for a in inside], default=0)
    if depth > DEPTH or sum([a.length for a in inside]) > LONGEST:
        return _some_number()
    made = Apply(function, args, depth)
    return _alone(made) if made.length <= LONGEST else _some_number()


def _factor(atom: Atom, beside_others: bool) -> str:
    text = str(atom)
    return f"({text})" if beside_others and isinstance(atom, Apply) and atom.function == "floordiv" else text


def _floordiv(a: Dim, b: Dim) -> Dim:
    """a // b, done term by term where b divides: floor((b*q + r) / b) = q + floor(r / b). Sizes that stand in b are taken to be positive."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    divisor = _terms(b)
    if not divisor:
        raise ZeroDivisionError(f"{a} // 0")
    if a == b:
        return 1
    if a == 0 or (a == -1 and nonnegative(b)):
        return a
    if len(divisor) > 1:
        return apply("floordiv", a, b)
    below, size = next(iter(divisor))
    if size < 0:
        return _floordiv(-a, -b)
    quotient, rest = [], []
    for monomial, coefficient in _terms(a):
        left = _without(monomial, below)
        whole, remainder = divmod(coefficient, size) if left is not None else (0, coefficient)
        if left is not None and (remainder == 0 or not below):
            quotient.append((left, whole))
            rest.append((monomial, remainder))
        else:
            rest.append((monomial, coefficient))
    floor = _sum(rest)
    if isinstance(floor, int) and isinstance(b, int):
        floor //= b
    elif floor != 0 and not (floor == -1 and nonnegative(b)):
        floor = _applied("floordiv", floor, b)
    return _sum([*quotient, *_terms(floor)])


def _without(monomial: Monomial, below: Monomial) -> Monomial | None:
    """`monomial` divided by `below`, or None."""
    left = list(monomial)
    for atom in below:
        match = next((i for i, a in enumerate(left) if a.key == atom.key), None)
        if match is None:
            return None
        del left[match]
    return tuple(left)


@lru_cache(4096)
def apply(function: str, a: Dim, b: Dim) -> Dim:
    """One of FUNCTIONS of two dims, in canonical form."""
    if function == "floordiv" and not (isinstance(b, Expr) and len(b.terms) > 1):
        return a // b
    if isinstance(a, int) and isinstance(b, int):
        return FUNCTIONS[function](a, b)
    if a == b:
        return 1 if function == "floordiv" else a
    if function in ("max", "min"):
        for larger, smaller in ((a, b), (b, a)):
            if nonnegative(larger - smaller):
                return larger if function == "max" else smaller
    if function == "broadcast" and (isinstance(a, int) or isinstance(b, int)):
        return broadcast_dim(a, b)
    both = _applied(function, a, b)
    if function == "floordiv" or both.is_unknown:
        return both
    parts = {*_parts_of(function, a), *_parts_of(function, b)}  # in any order, and as often as one likes, they are the same
    return reduce(partial(_applied, function), sorted(_binding(function, parts), key=str))


def _binding(function: str, parts: set[Dim]) -> set[Dim]:
    """The parts of a max or min that may decide it: without those that never lie beyond another."""
    sign = {"min": 1, "max": -1}.get(function, 0)
    for part in sorted(parts, key=str) if sign else ():
        if any(nonnegative((part - other) * sign) for other in parts if other is not part):
            parts = parts - {part}
    return parts


def _parts_of(function: str, dim: Dim) -> Iterator[Dim]:
    """What `function` is taken of, where the dim is just that; else the dim itself."""
    if isinstance(dim, Expr) and dim.is_atom and isinstance(atom := dim.terms[0][0][0], Apply) and atom.function == function:
        for part in atom.args:
            yield from _parts_of(function, part)
    else:
        yield dim


FUNCTIONS = {"floordiv": lambda a, b: a // b, "max": max, "min": min, "broadcast": broadcast_dim}
