"""Products of matrices and tensors, sums along an axis, sorting."""

from functools import lru_cache

from ..dims import Dim, Shape, broadcast_dim, unknown
from ..dtypes import INT64
from ..types import TensorType
from ._elementwise import same_type
from ._op import T1, T2, Index, Ints, RuleError, T, op
from ._types import FLOAT, INDEX, NUMERIC, WIDE_INTS, axis_of, broadcast, dtypes, fits, known_dims, known_ints


@op("MatMul", since=13, T=FLOAT | WIDE_INTS)
def matmul(a: T, b: T) -> TensorType:
    """a @ b, as NumPy has it: the last axis of a meets the one before the last of b; earlier axes broadcast; a vector stands for a row or a column."""
    return TensorType(a.dtype, _multiplied(a.shape, b.shape))


@op("MatMulInteger", since=10, T1=dtypes("int8 uint8"), T2=dtypes("int8 uint8"))
def matmul_integer(a: T1, b: T2, a_zero_point: T1 | None = None, b_zero_point: T2 | None = None) -> TensorType:
    """(a - a_zero_point) @ (b - b_zero_point) in int32; the zero points are one number, or one for each row of a and each column of b."""
    return TensorType("int32", _multiplied(a.shape, b.shape))


def _multiplied(a: Shape, b: Shape) -> Shape:
    """The shape of a product of matrices. Raises RuleError where they do not fit."""
    if not a or not b:
        raise RuleError("a scalar cannot be multiplied as a matrix; expected one axis or more")
    _check_inner(a[-1], b[-2:][0], a, b)
    return broadcast(a[:-2], b[:-2]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())


def _check_inner(k: Dim, l: Dim, a: Shape, b: Shape) -> None:
    if isinstance(k, int) and isinstance(l, int) and k != l:
        raise RuleError(f"shapes {list(a)} and {list(b)} do not multiply: the inner sizes are {k} and {l}")


@op("Gemm", since=13, T=FLOAT | WIDE_INTS)
def gemm(a: T, b: T, c: T | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0) -> TensorType:
    """alpha * a' @ b' + beta * c, where ' transposes if transA or transB is set; a' is (M, K), b' (K, N), c broadcasts to (M, N)."""
    if a.rank != 2 or b.rank != 2:
        raise RuleError(f"a and b have {a.rank} and {b.rank} axes; expected matrices")
    m, k = a.shape[::-1] if transA else a.shape
    l, n = b.shape[::-1] if transB else b.shape
    _check_inner(k, l, (m, k), (l, n))
    if c is not None and not fits(c.shape, (m, n)):
        raise RuleError(f"c has shape {list(c.shape)}, which does not broadcast to {[m, n]}")
    return TensorType(a.dtype, (m, n))


@op("Einsum", since=28, T=NUMERIC)
def einsum(*inputs: T, equation: str) -> TensorType:
    """The sum of products that `equation` spells: one letter for each axis, letters that do not stand after -> are summed over, "..." broadcasts."""
    terms, result = parse_equation(equation)
    if len(terms) != len(inputs):
        raise RuleError(f"the equation {equation!r} has {len(terms)} terms for {len(inputs)} inputs")
    sizes: dict[str, Dim] = {}
    rest: tuple[Dim, ...] = ()
    for term, x in zip(terms, inputs):
        before, dots, after = term.partition("...")
        letters = before + after
        if x.rank < len(letters) or (x.rank > len(letters) and not dots):
            raise RuleError(f"the term {term!r} does not fit an input with {x.rank} axes")
        end = x.rank - len(after)
        if dots:
            rest = broadcast(rest, x.shape[len(before) : end])
        for letter, d in zip(letters, x.shape[: len(before)] + x.shape[end:]):
            sizes[letter] = _common_size(letter, sizes.get(letter, 1), d)
    before, dots, after = result.partition("...")
    unheard = [letter for letter in before + after if letter not in sizes]
    if unheard:
        raise RuleError(f"the equation {equation!r} has {unheard[0]!r} after ->, but in no term")
    return TensorType(inputs[0].dtype, (*(sizes[i] for i in before), *(rest if dots else ()), *(sizes[i] for i in after)))


@lru_cache(256)
def parse_equation(equation: str) -> tuple[tuple[str, ...], str]:
    """The terms of an einsum equation, and its result: without "->" the dots, then the letters that stand once, in the order of their codes."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = tuple(left.split(","))
    letters = left.replace(",", "").replace(".", "")
    if not arrow:
        result = ("..." if "..." in left else "") + "".join(sorted(i for i in set(letters) if letters.count(i) == 1))
    odd = (letters + result.replace("...", "")).strip()
    if odd and not (odd.isascii() and odd.isalpha()):
        raise RuleError(f"the equation {equation!r} has more than letters, commas, dots and ->")
    return terms, result


def _common_size(letter: str, a: Dim, b: Dim) -> Dim:
    try:
        return broadcast_dim(a, b)
    except ValueError:
        raise RuleError(f"the letter {letter!r} stands for sizes {a} and {b}") from None


@op("Det", since=22, T=FLOAT)
def det(x: T) -> TensorType:
    """The determinants of the square matrices in the last two axes of x."""
    if x.rank < 2 or (isinstance(x.shape[-1], int) and isinstance(x.shape[-2], int) and x.shape[-1] != x.shape[-2]):
        raise RuleError(f"x has shape {list(x.shape)}; expected square matrices in its last two axes")
    return TensorType(x.dtype, x.shape[:-2])


@op("CumSum", since=14, T=FLOAT | WIDE_INTS, Tind=INDEX)
def cum_sum(x: T, axis: Index, *, exclusive: int = 0, reverse: int = 0) -> TensorType:
    """The sums of the elements of x up to each one along an axis, without that one if exclusive, from the end if reverse."""
    for a in known_ints(axis) or ():
        axis_of(a, x.rank)
    return same_type(x)


@op("TopK", since=24, T=NUMERIC)
def top_k(x: T, k: Ints, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[TensorType, TensorType]:
    """The k largest (or smallest) elements along an axis, in order, and where they were; of equal ones the first comes first."""
    axis = axis_of(axis, x.rank)
    count = known_dims(k)
    if count is not None and len(count) != 1:
        raise RuleError(f"k has {len(count)} numbers; expected one")
    wanted, there = unknown() if count is None else count[0], x.shape[axis]
    if isinstance(wanted, int) and (wanted < 0 or (isinstance(there, int) and wanted > there)):
        raise RuleError(f"k is {wanted}; axis {axis} has {there} elements")
    shape = (*x.shape[:axis], wanted, *x.shape[axis + 1 :])
    return TensorType(x.dtype, shape), TensorType(INT64, shape)
