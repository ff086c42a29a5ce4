"""Constants whose sizes come from shapes and attributes: a few numbers are stored in the graph, many are made by nodes when it runs.

A file of a hundred bytes may declare sizes of billions, and a graph that is built of it must not hold as many numbers.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

import graphir.ops as ops

from ..dtypes import BOOL, FLOAT32, FLOAT64, INT64
from ..ir import Value
from ._gradient import zeros_like
from ._layout import vector

STORED = 1 << 16  # numbers that one constant holds at most


def filled(like: Value, shape: Sequence[int], number: float) -> Any:
    """An operand of this shape, in which every element is one number, of the dtype of `like`."""
    if prod(shape) <= STORED:
        return np.full(shape, number, like.dtype)
    return zeros_like(like, list(shape), fill=number)


def unit_matrix(like: Value, size: int | Value, dtype: np.dtype, shape: Sequence[int | Value] | None = None) -> Value:
    """The unit matrix. size: of each side; a Value is an int64 vector of one. shape: another one for its elements, in their order."""
    if isinstance(size, int) and size * size <= STORED and all(isinstance(d, int) for d in shape or ()):
        eye = np.eye(size, dtype=dtype)
        return like.graph.root.weight(like.graph.fresh("eye"), eye if shape is None else eye.reshape(shape))  # pyright: ignore[reportArgumentType, reportCallIssue]
    made = dtype if dtype in (FLOAT32, FLOAT64, INT64) else FLOAT32  # what every runtime makes
    eye = ops.elementwise.cast_to(ops.create.eye_like(zeros_like(like, vector([size, size]), dtype=made)), dtype)
    return eye if shape is None else ops.shape.reshape(eye, vector(shape))


def diagonal(x: Value, axis: int, p: int, q: int) -> Value:
    """Whether the indices along axes p and q, which are counted from the back, are the same: booleans that broadcast. `axis` of x is as long as they are."""
    n = x.shape[axis]
    if isinstance(n, int) and n * n <= STORED:
        equal = np.eye(n, dtype=BOOL).reshape([n if i in (p, q) else 1 for i in range(p, 0)])
        return x.graph.root.weight(x.graph.fresh("diagonal"), equal)
    index = counting(x, n if isinstance(n, int) else ops.shape.shape(x, start=axis, end=axis + 1 or None), INT64)
    return ops.logic.equal(*(index if i == -1 else ops.shape.unsqueeze(index, list(range(1, -i))) for i in (p, q)))


def counting(like: Value, count: int | Value, dtype: np.dtype) -> Value:
    """0, 1, 2, ..., so many, made by nodes; a Value is an int64 vector of one."""
    limit = like.graph.number(count, INT64) if isinstance(count, int) else ops.shape.squeeze(count, [0])
    return ops.elementwise.cast_to(ops.create.range_(0, limit, 1), dtype)
