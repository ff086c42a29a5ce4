"""Products of matrices and tensors, sums along an axis, sorting."""

from functools import lru_cache
from string import ascii_letters

import graphir.ops as ops

from ..dims import Dim, Expr, Shape, broadcast_dim, unknown
from ..dtypes import INT64, NAMES
from ..ir import Value
from ..types import TensorType
from ._bodies import body_in, yields
from ._constants import diagonal
from ._elementwise import same_type
from ._gradient import non_default, shape_of, shaped_as, zeros_like
from ._layout import middle_axis, reshape_like, size_of, vector
from ._op import T1, T2, Flag, Index, Ints, RuleError, Scalar, T, Vector, op
from ._types import FLOAT, INDEX, NUMERIC, WIDE_INTS, axis_of, broadcast, dtypes, expect_count, fits, known_dims, known_ints
from .elementwise import add, cast, mul


@op("MatMul", since=13, T=FLOAT | WIDE_INTS)
def matmul(a: T, b: T) -> TensorType:
    """a @ b, as NumPy has it: the last axis of a meets the one before the last of b; earlier axes broadcast; a vector stands for a row or a column."""
    return TensorType(a.dtype, _multiplied(a.shape, b.shape))


@matmul.gradient
def matmul_gradient(dy, y, a, b):
    if a.type.shape is None and b.rank == 2:  # rows in however many axes, or one: a matrix of all of them tells the gradient of b
        rows, dys = (ops.shape.reshape(v, vector([-1, size_of(b, i)])) for v, i in ((a, 0), (dy, 1)))
        return matmul(dy, _transposed(b)), shaped_as(gemm(rows, dys, transA=1), b)
    if a.rank == b.rank == 1:
        return shaped_as(mul(dy, b), a), shaped_as(mul(dy, a), b)
    rows, columns = a, b
    if a.rank == 1:
        rows, dy = ops.shape.unsqueeze(a, [0]), ops.shape.unsqueeze(dy, [-2])
    if b.rank == 1:
        columns, dy = ops.shape.unsqueeze(b, [1]), ops.shape.unsqueeze(dy, [-1])
    da, db = _matmul_gradient_a(dy, rows, columns), _matmul_gradient_b(dy, rows, columns)
    return ops.shape.squeeze(da, [-2]) if a.rank == 1 else da, ops.shape.squeeze(db, [-1]) if b.rank == 1 else db


def _matmul_gradient_a(dy: Value, a: Value, b: Value) -> Value:
    """dy @ b', for matrices and stacks of them."""
    made = gemm(dy, b, transB=1) if dy.rank == 2 else matmul(dy, _transposed(b))
    return _with_matrices_as(made, a)


def _matmul_gradient_b(dy: Value, a: Value, b: Value) -> Value:
    """a' @ dy, for matrices and stacks of them; what meets one matrix is one matrix of all its rows."""
    if b.rank > 2:
        return _with_matrices_as(matmul(_transposed(a), dy), b)
    if a.rank > 2:
        a, dy = ops.shape.flatten(a, axis=-1), ops.shape.flatten(dy, axis=-1)
    return _with_matrices_as(gemm(a, dy, transA=1), b)


def _transposed(x: Value) -> Value:
    """The matrices in the last two axes of x, transposed."""
    return ops.shape.transpose(x, perm=(*range(x.rank - 2), x.rank - 1, x.rank - 2))


def _with_matrices_as(v: Value, x: Value) -> Value:
    """v, whose matrices have the shape of those of x, as the type rule need not know where sizes are symbols."""
    v.type = TensorType(v.dtype, v.shape[:-2] + x.shape[-2:])
    return v


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
def gemm(a: T, b: T, c: T | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: Flag = 0, transB: Flag = 0) -> TensorType:
    """alpha * a' @ b' + beta * c, where ' transposes if transA or transB is set; a' is (M, K), b' (K, N), c broadcasts to (M, N)."""
    left, right = a.shape, b.shape
    if len(left) != 2 or len(right) != 2:
        raise RuleError(f"a and b have {len(left)} and {len(right)} axes; expected matrices")
    m, k = left[::-1] if transA else left
    l, n = right[::-1] if transB else right
    if k != l:
        _check_inner(k, l, (m, k), (l, n))
    if c is not None and not fits(c.shape, (m, n)):
        raise RuleError(f"c has shape {list(c.shape)}, which does not broadcast to {[m, n]}")
    return TensorType(a.dtype, (m, n))


@gemm.gradient
def gemm_gradient(dy, y, a, b, c, *, alpha, beta, transA, transB):
    def product(a: Value, b: Value, transA: bool, transB: bool) -> Value:
        return gemm(a, b, **non_default(gemm, alpha=alpha, transA=int(transA), transB=int(transB)))

    da = product(b, dy, transB, True) if transA else product(dy, b, False, not transB)
    db = product(dy, a, True, transA) if transB else product(a, dy, not transA, False)
    return shaped_as(da, a), shaped_as(db, b), None if c is None or beta == 0 else dy if beta == 1 else mul(dy, beta)


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


@einsum.gradient
def einsum_gradient(dy, y, *inputs, equation):
    terms, result = _without_dots(equation, [x.rank for x in inputs])
    entries = list(zip(terms, inputs))
    return [_einsum_gradient(dy, result, *entry, entries[:i] + entries[i + 1 :]) for i, entry in enumerate(entries)]


def _einsum_gradient(dy: Value, result: str, term: str, x: Value, others: list[tuple[str, Value]]) -> Value:
    """The product of dy and the others, summed to the letters of `term`; then repeated along letters that stand nowhere else, 0 off the diagonals."""
    heard = set(result).union(*(letters for letters, _ in others))
    wanted = "".join(i for i in dict.fromkeys(term) if i in heard)
    dx = dy
    if others or wanted != result:
        dx = einsum(dy, *(v for _, v in others), equation=",".join([result, *(letters for letters, _ in others)]) + "->" + wanted)
    first = [term.index(i) for i in term]
    missing = [i for i, letter in enumerate(term) if first[i] < i or letter not in heard]
    if missing:
        dx = ops.shape.unsqueeze(dx, missing)
    for i in missing:
        if first[i] < i:
            dx = ops.elementwise.where(diagonal(x, i, first[i] - x.rank, i - x.rank), dx, 0.0)
    # A letter that is summed over may have size 1 in all the others: for certain, or as the run may tell.
    summed = [letter not in result for letter in term]
    if any(n != 1 and (d == 1 or (s and isinstance(d, Expr) and d != n)) for d, n, s in zip(dx.shape, x.shape, summed)):
        return ops.shape.expand(dx, shape_of(x))
    return dx


def _without_dots(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The terms and the result of an equation, with letters of their own in place of the dots."""
    terms, result = parse_equation(equation)
    spare = [i for i in ascii_letters if i not in equation]
    counts = [max(rank - len(term) + 3, 0) if "..." in term else 0 for term, rank in zip(terms, ranks)]
    rest = "".join(spare[: max(counts)])
    return [term.replace("...", rest[len(rest) - count :]) for term, count in zip(terms, counts)], result.replace("...", rest)


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


@det.gradient
def det_gradient(dy, y, x):
    # The determinants with row i replaced by the unit vector j, for all i and j: right for singular matrices too.
    units = cast(diagonal(x, -1, -3, -1), to=NAMES[x.dtype])
    replaced = ops.elementwise.where(diagonal(x, -1, -4, -2), units, ops.shape.unsqueeze(x, [-4, -3]))
    return mul(ops.shape.unsqueeze(dy, [-2, -1]), _with_matrices_as(det(replaced), x))


@op("CumSum", since=14, T=FLOAT | WIDE_INTS, Tind=INDEX)
def cum_sum(x: T, axis: Scalar[Index], *, exclusive: Flag = 0, reverse: Flag = 0) -> TensorType:
    """The sums of the elements of x up to each one along an axis, without that one if exclusive, from the end if reverse."""
    return _accumulated(x, axis)


@op("CumProd", since=26, T=FLOAT | WIDE_INTS, Tind=INDEX)
def cum_prod(x: T, axis: Scalar[Index], *, exclusive: Flag = 0, reverse: Flag = 0) -> TensorType:
    """The products of the elements of x up to each one along an axis, without that one if exclusive, from the end if reverse."""
    return _accumulated(x, axis)


def _accumulated(x: Value, axis: Value) -> TensorType:
    for a in known_ints(axis) or ():
        axis_of(a, x.rank)
    return same_type(x)


@cum_sum.gradient
def cum_sum_gradient(dy, y, x, axis, *, exclusive, reverse):
    return cum_sum(dy, axis, **non_default(cum_sum, exclusive=exclusive, reverse=int(not reverse))), None


@cum_prod.gradient
def cum_prod_gradient(dy, y, x, axis, *, exclusive, reverse):
    # An element is multiplied by what stands before it, and weighs what comes after it. Nothing is divided by it: it may be 0.
    before = y if exclusive else cum_prod(x, axis, **non_default(cum_prod, exclusive=1, reverse=reverse))
    places = known_ints(axis)
    if places is not None:
        return mul(before, _products_after(dy, x, axis_of(places[0], x.rank), exclusive, reverse)), None
    wide = middle_axis(x, axis)  # the axis shows at run time: in the middle of three it stands where it is known
    after = _products_after(reshape_like(dy, wide), wide, 1, exclusive, reverse)
    return mul(before, reshape_like(after, x)), None


def _products_after(dy: Value, x: Value, axis: int, exclusive: int, reverse: int) -> Value:
    """At each element the sum of dy of all later ones, each times the elements between; if not exclusive, those with the later one itself, and dy here."""
    body = body_in(x)
    others = (*x.shape[:axis], *x.shape[axis + 1 :])
    later, d, element = (body.input(body.fresh(name), TensorType(x.dtype, others)) for name in ("later", "d", "element"))
    with body:
        if exclusive:
            yields(body, add(d, mul(element, later)), later)
        else:
            here = add(d, later)
            yields(body, mul(element, here), here)
    start = zeros_like(x, vector([size_of(x, i) for i in range(x.rank) if i != axis]))
    direction = int(not reverse)
    found = ops.control.scan(
        start, dy, x, body=body, num_scan_inputs=2, scan_input_axes=(axis, axis), scan_input_directions=(direction, direction),
        scan_output_axes=(axis,), scan_output_directions=(direction,),
    )[1]  # fmt: skip
    return shaped_as(found, x)


@op("TopK", since=24, T=NUMERIC)
def top_k(x: T, k: Vector[Ints], *, axis: int = -1, largest: Flag = 1, sorted: Flag = 1) -> tuple[TensorType, TensorType]:
    """The k largest (or smallest) elements along an axis, in order, and where they were; of equal ones the first comes first."""
    axis = axis_of(axis, x.rank)
    expect_count("k", k, 1)
    count = known_dims(k)
    wanted, there = unknown() if count is None else count[0], x.shape[axis]
    if isinstance(wanted, int) and (wanted < 0 or (isinstance(there, int) and wanted > there)):
        raise RuleError(f"k is {wanted}; axis {axis} has {there} elements")
    shape = (*x.shape[:axis], wanted, *x.shape[axis + 1 :])
    return TensorType(x.dtype, shape), TensorType(INT64, shape)


@top_k.gradient
def top_k_gradient(dys, ys, x, k, *, axis, **attributes):
    (dy, _), (_, places) = dys, ys
    return ops.index.scatter_elements(zeros_like(x), places, dy, axis=axis), None
