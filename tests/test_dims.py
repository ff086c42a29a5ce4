"""Dim arithmetic: exact, canonical, printable and parsed back."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphir.dim_text import parse
from graphir.dims import Dim, broadcast_dim, ceil_div, max_, min_, product, relabel, substitute, symbol, symbols, unknown

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
