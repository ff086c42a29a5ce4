"""Dim arithmetic: exact, canonical, printable and parsed back."""

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphir.dim_text import parse
from graphir.dims import (
    DEGREE,
    LONGEST,
    TERMS,
    Dim,
    Expr,
    broadcast_dim,
    ceil_div,
    max_,
    min_,
    nonnegative,
    product,
    relabel,
    substitute,
    symbol,
    symbols,
    unknown,
)

N, M = symbol("N"), symbol("M")

TEXTS = [
    (N + 0, "N"),
    (N - N, "0"),
    (N * 2 + 3 - N, "N + 3"),
    (3 - N, "-N + 3"),
    ((N + 1) * (N - 1), "N*N - 1"),
    (N * M * 2, "2*M*N"),
    (12 * N // 4, "3*N"),
    (12 * N // (4 * N), "3"),
    ((2 * N + 3) // 2, "N + 1"),
    ((N + 3) // 2, "(N + 1)//2 + 1"),
    (2 * ((N + 1) // 2), "2*((N + 1)//2)"),
    ((4 * N + M) // 4, "N + M//4"),
    ((2 * N * M + 4 * M) // (2 * M), "N + 2"),
    (N // (M + 1), "N//(M + 1)"),
    (ceil_div(N, 2), "N - N//2"),
    (max_(N, N + 2), "N + 2"),
    (min_(N, N + 2), "N"),
    (max_(N, 3), "max(3, N)"),
    (min_(max_(N, 3), M), "min(M, max(3, N))"),
    (broadcast_dim(N, 1), "N"),
    (broadcast_dim(N, 7), "7"),
    (broadcast_dim(N, M), "broadcast(M, N)"),
    (broadcast_dim(broadcast_dim(N, M), N), "broadcast(M, N)"),
    (broadcast_dim(N, broadcast_dim(symbol("K"), M)), "broadcast(broadcast(K, M), N)"),
    (max_(max_(M, N), M), "max(M, N)"),
    (symbol("batch size") + 1, '"batch size" + 1'),
    (product([N, 2, 3]), "6*N"),
]


@pytest.mark.parametrize(("dim", "text"), TEXTS, ids=[t for _, t in TEXTS])
def test_canonical_text_and_back(dim: Dim, text: str) -> None:
    assert str(dim) == text
    if not isinstance(dim, int):
        assert parse(text) == dim


@pytest.mark.parametrize("text", ["floor(N/2) + 1", "", "N +", "a b", "?3", "1N", "2", "N//0", "((((", "*"])
def test_what_is_no_expression_is_a_symbol_of_that_name(text: str) -> None:
    assert symbols(parse(text)) == {text}


def test_unknowns_equal_themselves_only() -> None:
    a, b = unknown(), unknown()
    assert a == a and a != b and a + 1 - a == 1
    table: dict[int, Dim] = {}
    assert relabel(a * 2, table) == relabel(a, table) * 2 != a * 2


def test_sizes_that_cannot_meet() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        broadcast_dim(2, 3)


LEAVES = st.one_of(st.integers(-5, 9), st.sampled_from([N, M]))
STEPS = {
    "+": (operator.add,) * 2,
    "-": (operator.sub,) * 2,
    "*": (operator.mul,) * 2,
    "//": (operator.floordiv,) * 2,
    "max": (max_, max),
    "min": (min_, min),
}


@given(st.lists(st.tuples(st.sampled_from(list(STEPS)), LEAVES), max_size=6), LEAVES, st.integers(1, 9), st.integers(1, 9))
def test_substitution_commutes_with_arithmetic(steps: list[tuple[str, Dim]], start: Dim, n: int, m: int) -> None:
    sizes = {"N": n, "M": m}
    dim, number = start, substitute(start, sizes)
    for step, other in steps:
        value = substitute(other, sizes)
        assert isinstance(number, int) and isinstance(value, int)
        if step == "//" and value <= 0:
            continue
        on_dims, on_numbers = STEPS[step]
        dim, number = on_dims(dim, other), on_numbers(number, value)
    assert substitute(dim, sizes) == number
    if not isinstance(dim, int):
        assert parse(str(dim)) == dim


# ---- bounds -----------------------------------------------------------------------------------------------------------------------------

GROWING: dict[str, Callable[[Dim, Dim], tuple[Dim, Dim]]] = {
    "terms": lambda a, b: (a + a // 3 * M, b),
    "products of sums": lambda a, b: (a * (a + 1), b),
    "degree": lambda a, b: (a * a, b),
    "coefficients": lambda a, b: (a * 2**40, b),
    "depth": lambda a, b: (a // 2 + 1, b),
    "max and min": lambda a, b: (max_(a, b) + min_(a, b) * 2, max_(a, b) * min_(a, b)),
    "broadcasts": lambda a, b: (broadcast_dim(a, unknown()), b),
    "differences": lambda a, b: (max_(a * N - b, b) - a, b + a),
    "sums of names": lambda a, b: (a + symbol(f"K{str(a)[-3:]}") * b, b + symbol("L" * 300)),
}


@pytest.mark.parametrize("row", GROWING)
def test_expressions_are_small(row: str) -> None:
    a, b = N, M + 0
    sizes = []
    for _ in range(200):
        a, b = GROWING[row](a, b)
        sizes += [len(str(a)), len(str(b))]
        nonnegative(a - b)
        substitute(a, {"N": 3})
        relabel(b, {})
    assert max(sizes) <= LONGEST
    assert all(len(d.terms) <= TERMS and max(len(m) for m, _ in d.terms) <= DEGREE for d in (a, b) if isinstance(d, Expr))


def test_what_is_too_large_is_a_number_that_may_be_negative() -> None:
    """A size may be taken to be 0 or more; a difference that is cut short may not."""
    whole = sum((symbol(f"N{i}") * (-1) ** i for i in range(TERMS)), 0)
    assert str(whole).count("N") == TERMS
    cut = whole + symbol("one_more")
    assert isinstance(cut, Expr) and cut.is_unknown and not nonnegative(cut) and nonnegative(unknown())
    assert max_(cut, 0) != cut and max_(cut, 0) - cut != 0 and cut - cut == 0
    assert not nonnegative(relabel(cut, {}))


def test_a_name_alone_may_be_long() -> None:
    for name in ("N" * 5000, "(" * 5000, 'a "quoted" name ' * 500):
        long = symbol(name)
        assert parse(str(long)) == long and substitute(long, {name: 3}) == 3 and long - long == 0
        assert isinstance(long + 1, Expr) and (long + 1).is_unknown  # pyright: ignore[reportAttributeAccessIssue]
    assert parse("N + " * 400 + "N") == symbol("N + " * 400 + "N")


@pytest.mark.parametrize("a", [1, 2, M, max_(M, 4)])
def test_numbers_among_the_largest_are_one(a: Dim) -> None:
    """In canonical form, which can be parsed again."""
    for function in (max_, min_):
        dim = function(function(N, 3), a)
        assert parse(str(dim)) == dim and dim == function(N, function(3, a))


def test_what_cannot_decide_a_min_or_max_is_left_out() -> None:
    n = symbol("N")
    for function, dim in ((min_, min_(min_(1 - n, n), 0)), (max_, max_(max_(n - 1, -n), 0))):
        assert parse(str(dim)) == dim
        assert dim == function(1 - n if function is min_ else n - 1, 0)
