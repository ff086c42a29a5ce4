"""Shapes that hang on contents: what Shape, Gather, Concat and their kin know of the numbers that pass through them, and what Reshape and its kin make of it."""

import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest

from graphir import Graph, Tensor, TensorType, Value
from graphir.dims import Expr, atoms, max_, min_, substitute, symbol
from graphir.ops import RuleError
from graphir.ops.arrange import center_crop_pad, depth_to_space, pad, tile, trilu
from graphir.ops.create import constant, constant_of_shape, one_hot, random_normal_like, range_
from graphir.ops.elementwise import add, div, mod
from graphir.ops.index import compress, gather, gather_elements, gather_nd, non_zero, scatter_elements, scatter_nd, unique
from graphir.ops.shape import (
    concat,
    expand,
    flatten,
    reshape,
    shape,
    size,
    slice_,
    sliced,
    split,
    split_sizes,
    squeeze,
    transpose,
    unsqueeze,
)
from graphir.types import KNOWN_LIMIT

END = 2**63 - 1
Build = Callable[[Value], Value]


def dim(x: Value, axis: int) -> Value:
    """One dim of x, as a scalar."""
    return gather(shape(x), axis)


def vector(*parts: Value | int) -> Value:
    """Scalars joined to a vector, as exporters join dims and numbers."""
    graph = next(p.graph for p in parts if isinstance(p, Value))
    scalars = [constant(graph, value_int=p) if isinstance(p, int) else p for p in parts]
    return concat(*(unsqueeze(p, [0]) for p in scalars), axis=0)


def ints(x: Value, *numbers: int) -> Value:
    """A Constant node in the graph of x."""
    return constant(x.graph, value_ints=numbers)


# The dims of x, what is built on x, and the type that comes out.
ROWS: list[tuple[str, Build, str]] = [
    # Shape, Gather, Concat, Reshape
    ("N, 3, 4", lambda x: reshape(x, vector(dim(x, 0), -1)), "float32[N, 12]"),
    ("N, S, 8", lambda x: reshape(x, vector(dim(x, 0), dim(x, 1), 2, 4)), "float32[N, S, 2, 4]"),
    ("N, S, 8", lambda x: reshape(x, concat(gather(shape(x), [1, 0]), ints(x, 8), axis=0)), "float32[S, N, 8]"),
    ("N, S, 8", lambda x: reshape(x, vector(dim(x, -2), -1)), "float32[S, 8*N]"),
    ("N, 3, 4", lambda x: reshape(x, concat(shape(x, end=1), ints(x, 12), axis=0)), "float32[N, 12]"),
    ("N", lambda x: reshape(reshape(x, [-1, 1]), shape(x)), "float32[N]"),
    ("N, M", lambda x: reshape(reshape(x, [-1]), shape(x)), "float32[N, M]"),
    # 0, -1 and symbols
    ("N, S, 8", lambda x: reshape(x, [0, 0, 4, -1]), "float32[N, S, 4, 2]"),
    ("N, S, 8", lambda x: reshape(x, [-1, 8]), "float32[N*S, 8]"),
    ("N, S, 8", lambda x: reshape(x, [-1]), "float32[8*N*S]"),
    ("N, 12", lambda x: reshape(x, [0, 3, -1]), "float32[N, 3, 4]"),
    ("N, 12", lambda x: reshape(x, [-1, 5]), "float32[2*N + (2*N)//5, 5]"),
    ("0, 3", lambda x: reshape(x, [0, -1]), "float32[0, 3]"),
    ("0, N", lambda x: reshape(x, [-1, 4]), "float32[0, 4]"),
    ("0, N", lambda x: reshape(x, [5, 0], allowzero=1), "float32[5, 0]"),
    ("1, 1", lambda x: reshape(x, ints(x)), "float32[]"),
    ("N, 3", lambda x: reshape(x, unknown_ints(x, 1)), "float32[3*N]"),
    ("N, 3", lambda x: reshape(x, unknown_ints(x, 2)), "float32[?, ?]"),
    ("N, 3", lambda x: reshape(x, unknown_ints(x, None)), "float32[...]"),
    # Size, Flatten, parts of a shape
    ("N, 3, 4", lambda x: constant_of_shape(unsqueeze(size(x), [0])), "float32[12*N]"),
    ("N, 3, 4", lambda x: constant_of_shape(shape(x, start=-2)), "float32[3, 4]"),
    ("N, 3, M, 4", lambda x: flatten(x, axis=2), "float32[3*N, 4*M]"),
    # Slice of a shape, Expand
    ("N, 1, 8", lambda x: expand(x, concat(slice_(shape(x), [0], [1]), ints(x, 5, 8), axis=0)), "float32[N, 5, 8]"),
    ("N, 1, 8", lambda x: expand(constant(x.graph, value_float=1.0), slice_(shape(x), [END], [-END], [0], [-1])), "float32[8, 1, N]"),
    ("N, 1, 8", lambda x: constant_of_shape(slice_(shape(x), [-2], [END])), "float32[1, 8]"),
    ("N, 1", lambda x: expand(x, vector(dim(x, 0), dim(x, 0))), "float32[N, N]"),
    ("1, M", lambda x: expand(x, [7, 1]), "float32[7, M]"),
    ("1, M, 5", lambda x: expand(x, unknown_ints(x, 4)), "float32[?, ?, broadcast(?, M), 5]"),
    # ConstantOfShape, Range, OneHot
    ("N, S", lambda x: constant_of_shape(shape(x), value=Tensor.of(np.array([1]))), "int64[N, S]"),
    ("N, S", lambda x: constant_of_shape(constant_of_shape(shape(shape(x)), value=Tensor.of(np.array([4])))), "float32[4, 4]"),
    ("N, S", lambda x: range_(0, dim(x, 1), 1), "int64[S]"),
    ("N, S", lambda x: range_(0, dim(x, 1), 2), "int64[S - S//2]"),
    ("N, S", lambda x: range_(2, dim(x, 1), 1), "int64[max(0, S - 2)]"),
    ("N, S", lambda x: range_(dim(x, 1), 0, -1), "int64[S]"),
    ("N, 3", lambda x: constant_of_shape(range_(dim(x, 1), 6, 1)), "float32[3, 4, 5]"),
    ("N, S", lambda x: one_hot(range_(0, dim(x, 1), 1), dim(x, 0), [0.0, 1.0]), "float32[S, N]"),
    # scalars
    ("N, 12", lambda x: reshape(x, vector(squeeze(gather(shape(x), [0]), [0]), 3, 4)), "float32[N, 3, 4]"),
    ("N, 12", lambda x: constant_of_shape(unsqueeze(squeeze(gather(shape(x), [0])), [0])), "float32[N]"),
    ("N, 12", lambda x: constant_of_shape(reshape(dim(x, 0), [1])), "float32[N]"),
    ("N, 12", lambda x: constant_of_shape(transpose(expand(shape(x), [2]))), "float32[N, 12]"),
    ("N, 12", lambda x: constant_of_shape(expand(dim(x, 0), [3])), "float32[N, N, N]"),
    # Tile, Pad, CenterCropPad, DepthToSpace
    ("N, 3", lambda x: tile(x, vector(1, dim(x, 0))), "float32[N, 3*N]"),
    ("N, 3", lambda x: constant_of_shape(tile(shape(x), [2])), "float32[N, 3, N, 3]"),
    ("N, 0", lambda x: tile(x, unknown_ints(x, 2)), "float32[?, 0]"),
    ("N, 3", lambda x: pad(x, [1, 0, 2, 4]), "float32[N + 3, 7]"),
    ("N, 3", lambda x: pad(x, vector(0, dim(x, 0), 0, 0)), "float32[N, N + 3]"),
    ("N, 3", lambda x: pad(x, [-1, -1], axes=[0]), "float32[N - 2, 3]"),
    ("N, 3", lambda x: pad(x, unknown_ints(x, 2), axes=[1]), "float32[N, ?]"),
    ("N, 3, 5", lambda x: center_crop_pad(x, vector(dim(x, 0), 7), axes=(1, 2)), "float32[N, N, 7]"),
    ("N, 4*C, H, 3", lambda x: depth_to_space(x, blocksize=2), "float32[N, C, 2*H, 6]"),
    # Split
    ("N, 6", lambda x: split(x, num_outputs=2, axis=1)[1], "float32[N, 3]"),
    ("3*N, 6", lambda x: split(x, num_outputs=3)[2], "float32[N, 6]"),
    ("N, 6", lambda x: split(x, num_outputs=2)[0], "float32[N - N//2, 6]"),
    ("M + N, 6", lambda x: split(x, shape(constant_of_shape(gather(shape(x), [0]))))[0], "float32[M + N, 6]"),
    ("N, 6", lambda x: reshape(x, concat(split(shape(x), [1, 1])[0], ints(x, 2, 3), axis=0)), "float32[N, 2, 3]"),
    ("N, 6", lambda x: split(x, unknown_ints(x, 2), axis=1)[1], "float32[N, ?]"),
    # Slice of symbolic axes
    ("N, 6", lambda x: slice_(x, [0], [END]), "float32[N, 6]"),
    ("N, 6", lambda x: slice_(x, [0], [2**31 - 1]), "float32[N, 6]"),
    ("N, 6", lambda x: slice_(x, [0], [3]), "float32[min(3, N), 6]"),
    ("N, 6", lambda x: slice_(x, [1], [END]), "float32[N - min(1, N), 6]"),
    ("N, 6", lambda x: slice_(x, [0], [-1]), "float32[N - min(1, N), 6]"),
    ("N, 6", lambda x: slice_(x, [-1], [END]), "float32[min(1, N), 6]"),
    ("N, 6", lambda x: slice_(x, [END], [-END], [0], [-1]), "float32[N, 6]"),
    ("2*N, 6", lambda x: slice_(x, [0], [END], [0], [2]), "float32[N, 6]"),
    ("9, N", lambda x: slice_(x, [0], vector(dim(x, 1)), [0]), "float32[min(9, N), N]"),
    ("N, 9", lambda x: slice_(x, [0], vector(dim(x, 0)), [0]), "float32[N, 9]"),
    ("N, N + P", lambda x: slice_(x, [0], vector(dim(x, 0)), [1]), "float32[N, N]"),
    ("N, N + P", lambda x: slice_(x, vector(dim(x, 0)), [END], [1]), "float32[N, P]"),
    ("N, 6", lambda x: slice_(x, unknown_ints(x, 1), [3], [1]), "float32[N, ?]"),
    ("N, 6", lambda x: slice_(x, [0], [3], unknown_ints(x, 1)), "float32[?, ?]"),
    ("N, 6", lambda x: slice_(x, [0], vector(div(dim(x, 0), 2)), [0]), "float32[N//2, 6]"),
    ("N, 6", lambda x: slice_(x, vector(div(dim(x, 0), 2)), [END], [0]), "float32[N - N//2, 6]"),
    ("N, 6", lambda x: slice_(slice_(x, [1], [-1]), [0], [END]), "float32[max(0, N - 2*min(1, N)), 6]"),
    ("N, 6", lambda x: concat(slice_(x, [-1], [END]), slice_(x, [0], [-1]), axis=0), "float32[N, 6]"),
    ("N, 6", lambda x: concat(slice_(x, [0], [2]), slice_(x, [2], [5]), slice_(x, [5], [END]), axis=0), "float32[N, 6]"),
    ("9, K, P", lambda x: slice_(x, vector(dim(x, 1)), vector(add(dim(x, 1), dim(x, 2)))), "float32[min(9, K + P) - min(9, K), K, P]"),
    ("N, 6", lambda x: slice_(x, [0], vector(mod(constant(x.graph, value_int=-1), dim(x, 0))), [0]), "float32[N - min(1, N), 6]"),
    # conditions
    ("N, 1, 3, 1", lambda x: non_zero(x), "int64[4, ?]"),
    ("2, 1, 3, 1", lambda x: non_zero(shape(x)), "int64[1, 4]"),
    ("N, 3", lambda x: compress(x, constant(x.graph, value=Tensor.of([True, False, True])), axis=1), "float32[N, 2]"),
    # dims that must be equal: the sharper one stands
    ("N, 3", lambda x: concat(x, reshape(x, unknown_ints(x, 2)), axis=1), "float32[N, ? + 3]"),
    ("N, 3", lambda x: concat(reshape(x, unknown_ints(x, 2)), x, axis=1), "float32[N, ? + 3]"),
    ("N, 3", lambda x: gather(x, shape(x)), "float32[2, 3]"),
    ("N, 3, 5", lambda x: gather_nd(x, ints_of(x, [[0, 1], [0, 2]])), "float32[2, 5]"),
]


def unknown_ints(x: Value, count: int | None) -> Value:
    """An int64 vector of which only the length is known, or not even that."""
    return x.graph.input(x.graph.fresh("ints"), TensorType("int64", (count,)))


def ints_of(x: Value, numbers: list) -> Value:
    """A constant matrix."""
    return constant(x.graph, value=Tensor.of(np.array(numbers)))


@pytest.mark.parametrize(("dims", "build", "expected"), ROWS, ids=[f"{i}-{r[2]}" for i, r in enumerate(ROWS)])
def test_shapes_are_exact(dims: str, build: Build, expected: str) -> None:
    x = Graph().input("x", TensorType("float32", [int(d) if d.isdigit() else d for d in dims.split(", ")]))
    assert re.sub(r"\?\d+", "?", str(build(x).type)) == expected


SIZES = range(7)
BOUNDS = [-END - 1, -8, -6, -5, -2, -1, 0, 1, 2, 3, 5, 6, 7, END]


def test_slices_of_symbolic_axes_are_as_long_as_pythons() -> None:
    n = symbol("N")
    for start, end, step in itertools.product(BOUNDS, BOUNDS, (-3, -2, -1, 1, 2, 3)):
        length = sliced(n, start, end, step)
        for size_ in SIZES:
            assert substitute(length, {"N": size_}) == len(range(size_)[start:end:step]), f"[{start}:{end}:{step}] is {length}, of {size_}"


def test_slices_at_symbolic_bounds_are_as_long_as_pythons() -> None:
    n, k = symbol("N"), symbol("K")
    bounds = [0, 1, -1, -2, END, k, k + 1, -k, -k - 1, n, n - 1, n - 2, n - 3, n + k, 2 * k, k - 1]
    known = 0
    for start, end, step in itertools.product(bounds, bounds, (-2, -1, 1, 2)):
        length = sliced(n, start, end, step)
        if isinstance(length, Expr) and length.is_unknown:
            continue
        known += 1
        for sizes in ({"N": i, "K": j} for i, j in itertools.product(SIZES, range(5))):
            low, high = int(str(substitute(start, sizes))), int(str(substitute(end, sizes)))
            assert substitute(length, sizes) == len(range(sizes["N"])[low:high:step]), f"[{start}:{end}:{step}] is {length}, for {sizes}"
    assert known > 500


def test_split_sizes_add_up() -> None:
    for pieces in range(1, 6):
        symbolic = split_sizes(symbol("N"), pieces)
        for n in range(12):
            sizes = [int(str(d)) for d in split_sizes(n, pieces)]
            assert sizes == [substitute(d, {"N": n}) for d in symbolic]
            assert sum(sizes) == n and len(sizes) == pieces and min(sizes) >= 0
            assert len({s for s in sizes if s}) <= 2


def test_contents_are_not_followed_where_they_change() -> None:
    x = Graph().input("x", TensorType("float32", ("N", 3)))
    dims = shape(x)
    assert dims.known == (symbol("N"), 3)
    for changed in (
        scatter_elements(dims, [0], [5]), scatter_nd(dims, ints_of(x, [[0]]), [5]), gather_elements(dims, [1, 1]), pad(dims, [1, 1]),
        unique(dims)[0], trilu(reshape(dims, [1, 2])), random_normal_like(dims, dtype="float32"), compress(dims, constant(x.graph, value=Tensor.of([True]))),
    ):  # fmt: skip
        assert changed.known is None, changed.node


def test_contents_of_matrices_follow_their_places() -> None:
    """As in the pads of PyTorch's exporter: pairs from the last axis on, turned around."""
    n = symbol("N")
    x = Graph().input("x", TensorType("float32", (n, 3)))
    pairs = reshape(concat(shape(x), ints(x, 5, 6), axis=0), [-1, 2])
    rows = [
        (pairs, (n, 3, 5, 6)),
        (transpose(pairs), (n, 5, 3, 6)),
        (slice_(pairs, [-1], [-END - 1], [0], [-1]), (5, 6, n, 3)),
        (slice_(pairs, [0, 1], [END, 2]), (3, 6)),
        (reshape(transpose(slice_(pairs, [-1], [-END - 1], [0], [-1])), [-1]), (5, n, 6, 3)),
        (unsqueeze(shape(x), [0]), (n, 3)),
        (squeeze(unsqueeze(shape(x), [0]), [0]), (n, 3)),
        (concat(pairs, pairs, axis=0), (n, 3, 5, 6, n, 3, 5, 6)),
        (concat(pairs, pairs, axis=1), None),
        (split(pairs, [1, 1], axis=1)[0], None),
        (gather(pairs, [1]), None),
        (tile(pairs, [1, 2]), None),
        (add(pairs, pairs), None),
        (reshape(pairs, vector(dim(x, 0), -1)), None),
    ]
    for made, known in rows:
        assert made.known == known, made.node


def test_contents_are_few() -> None:
    x = Graph().input("x", TensorType("float32", ("N", 3)))
    assert constant_of_shape(ints(x, 2, 2), value=Tensor.of(np.array([1]))).known is None
    assert range_(0, constant(x.graph, value_int=KNOWN_LIMIT), 1).known == tuple(range(KNOWN_LIMIT))
    assert range_(0, constant(x.graph, value_int=KNOWN_LIMIT + 1), 1).known is None
    assert tile(shape(x), [KNOWN_LIMIT]).known is None
    assert expand(dim(x, 0), [KNOWN_LIMIT + 1]).known is None


def test_an_unknown_dim_is_shared_by_what_has_it_in_common() -> None:
    x = Graph().input("x", TensorType("float32", ("N", 3)))
    values, first, inverse, counts = unique(x)
    assert values.shape == first.shape == counts.shape
    assert inverse.shape == (3 * symbol("N"),)
    assert all(isinstance(a.name, int) for a in atoms(values.shape[0]))


ERRORS: list[tuple[str, Build, str]] = [
    ("2, 3", lambda x: reshape(x, [4, 2]), "has 6 elements, which do not fit"),
    ("2, 3", lambda x: reshape(x, [-1, 4]), "has 6 elements, which do not fit"),
    ("2, 3", lambda x: reshape(x, [-1, -1]), "more than one -1"),
    ("2, 3", lambda x: reshape(x, [-2, 3]), "a negative size"),
    ("2, 3", lambda x: reshape(x, [2, 3, 0]), "a 0 at place 2"),
    ("0, 3", lambda x: reshape(x, [-1, 0], allowzero=1), "both 0 and -1"),
    ("2, 3", lambda x: reshape(x, range_(0.0, constant(x.graph, value_float=2.0), 1.0)), "shape is float32; expected one of int32, int64"),
    ("N, 3", lambda x: squeeze(x, [1]), "axis 1 has size 3"),
    ("N, 3", lambda x: squeeze(x, [2]), "an axis is 2; expected -2 to 1"),
    ("N, 3", lambda x: unsqueeze(x, [0, 0]), "expected each once"),
    ("N, 3", lambda x: unsqueeze(x, [4]), "an axis is 4"),
    ("N, 3", lambda x: transpose(x, perm=(0, 0)), "expected each of the axes 0 to 1 once"),
    ("N, 3", lambda x: flatten(x, axis=3), "axis is 3; expected -2 to 2"),
    ("N, 3", lambda x: expand(x, [2]), "do not broadcast"),
    ("N, 3", lambda x: concat(x, transpose(reshape(x, [4, -1])), axis=0), "sizes 3 and 4 meet at axis 1"),
    ("N, 3", lambda x: concat(x, reshape(x, [-1]), axis=0), "inputs of rank 2 and 1"),
    ("4, 3", lambda x: split(x, [1, 2])[0], "do not add up to 4"),
    ("4, 3", lambda x: split(x, [1, 3], outputs=3)[0], "2 pieces come out, but 3 outputs"),
    ("4, 3", lambda x: split(x)[0], "nothing says how many pieces"),
    ("4, 3", lambda x: slice_(x, [0], [1], [0], [0]), "a step is 0"),
    ("4, 3", lambda x: slice_(x, [0], [1], [2]), "an axis is 2"),
    ("4, 3", lambda x: slice_(x, shape(x), constant(x.graph, value_floats=(1.0,))), "Tind are int64 and float32"),
    ("4, 3", lambda x: tile(x, [2]), "repeats has 1 number;"),
    ("4, 3", lambda x: tile(x, [2, -1]), "no negative number"),
    ("4, 3", lambda x: pad(x, [1, 2]), "expected 4, two for each axis"),
    ("4, 3", lambda x: pad(x, [0, -2, 0, -2]), "leave nothing of axis 1"),
    ("4, 3", lambda x: pad(x, [0, 0, 0, 0], mode="mirror"), "expected one of constant, reflect, edge, wrap"),
    ("N, 6, 2, 2", lambda x: depth_to_space(x, blocksize=2), "has 6 channels; expected a multiple of 4"),
    ("N", lambda x: trilu(x), "rank 1; expected 2 or more"),
    ("3", lambda x: gather(x, [0, 3]), "index 3 is out of range for axis 0 of size 3"),
    ("N, 3", lambda x: gather(x, [-4], axis=1), "index -4 is out of range for axis 1 of size 3"),
    ("N, 3", lambda x: gather(x, 0, axis=2), "axis is 2"),
    ("N, 3", lambda x: gather_nd(x, ints_of(x, [[0, 0, 0]])), "tuples of 3; expected 1 to 2"),
    ("N, 3", lambda x: gather_elements(x, [0, 1]), "data has rank 2 and indices 1"),
    ("4", lambda x: scatter_elements(x, [0], [1.0], reduction="sub"), "expected one of none, add, mul, max, min"),
    ("4, 3", lambda x: scatter_nd(x, ints_of(x, [[0]]), constant(x.graph, value_floats=(1.0, 2.0))), r"expected \[1, 3\]"),
    ("4", lambda x: constant_of_shape(ints(x, -1, 2)), "no negative size"),
    ("4", lambda x: constant_of_shape(shape(x), value=Tensor.of([1.0, 2.0])), "value has 2 elements"),
    ("4", lambda x: range_(0, dim(x, 0), 0), "delta is 0"),
    ("4", lambda x: constant(x.graph), "0 attributes are given"),
    ("4", lambda x: random_normal_like(x, dtype="int64"), "numbers of int64 are asked for"),
]


@pytest.mark.parametrize(("dims", "build", "message"), ERRORS, ids=[e[2] for e in ERRORS])
def test_what_cannot_be_is_refused(dims: str, build: Build, message: str) -> None:
    x = Graph().input("x", TensorType("float32", [int(d) if d.isdigit() else d for d in dims.split(", ")]))
    with pytest.raises(RuleError, match=message):
        build(x)


def test_max_and_min_are_simplified_only_where_that_is_sure() -> None:
    n, k = symbol("N"), symbol("K")
    dims = [
        0,
        3,
        n,
        k,
        n + k,
        n - 1,
        2 * n - k,
        n // 2,
        n - n // 2,
        (n + 1) // 2,
        (n - 3) // 2,
        n * k,
        min_(n, k),
        max_(n, 3),
        n - min_(1, n),
        n - max_(n, k),
    ]
    sizes = [{"N": i, "K": j} for i, j in itertools.product((0, 1, 2, 4, 7), repeat=2)]
    values = [[int(str(substitute(d, s))) for s in sizes] for d in dims]
    for (a, at_a), (b, at_b) in itertools.product(zip(dims, values), repeat=2):
        larger, smaller = max_(a, b), min_(a, b)
        assert [substitute(larger, s) for s in sizes] == list(map(max, at_a, at_b)), larger
        assert [substitute(smaller, s) for s in sizes] == list(map(min, at_a, at_b)), smaller
    assert max_(n, n // 2) == n and min_(n, n - n // 2) == n - n // 2 and max_(0, n - min_(1, n)) == n - min_(1, n)
