"""Operators that make tensors: of constants, of ranges, of random numbers, one-hot."""

import math
from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim, Expr, ceil_div, max_, unknown
from ..dtypes import DTYPES, FLOAT32, INT64, STRING
from ..ir import Graph, Value
from ..tensors import SparseTensor, Tensor
from ..types import KNOWN_LIMIT, TensorType
from ._gradient import declare_none
from ._layout import added_up
from ._op import T1, DType, Ints, RuleError, Scalar, T, Vector, op
from ._types import (
    BOOLEAN,
    CLASSIC,
    FLOAT,
    IEEE,
    INDEX,
    INTS,
    NUMERIC,
    axis_of,
    dtypes,
    expect_float,
    expect_vectors,
    kept,
    known_dims,
    length_of,
    unknowns,
)

Depth = Annotated[Any, "T2", INT64]
OffOn = Annotated[Any, "T3", FLOAT32]


@op("Constant", since=25)
def constant(
    graph: Graph,
    *,
    value: Tensor | None = None,
    value_float: float | None = None,
    value_floats: tuple[float, ...] | None = None,
    value_int: int | None = None,
    value_ints: tuple[int, ...] | None = None,
    value_string: str | None = None,
    value_strings: tuple[str, ...] | None = None,
    sparse_value: SparseTensor | None = None,
) -> TensorType:
    """The one attribute that is given, as a tensor: numbers of float32 or int64, strings, 0-d or 1-d; a sparse tensor is filled in."""
    given = {
        "value": value, "value_float": value_float, "value_floats": value_floats, "value_int": value_int, "value_ints": value_ints,
        "value_string": value_string, "value_strings": value_strings, "sparse_value": sparse_value,
    }  # fmt: skip
    if sparse_value is not None and sum(x is not None for x in given.values()) == 1:
        return TensorType(sparse_value.dtype, sparse_value.shape)
    return constant_tensor(**given).type


def constant_tensor(**attributes: Any) -> Tensor:
    """The tensor that a Constant's attributes say. Raises RuleError unless just one is given."""
    given = [(name, x) for name, x in attributes.items() if x is not None]
    if len(given) != 1:
        raise RuleError(f"{len(given)} attributes are given; expected one of {', '.join(attributes)}")
    name, x = given[0]
    if isinstance(x, SparseTensor):
        return Tensor.of(x.dense())
    if isinstance(x, Tensor):
        return x
    dtype = {"value_float": FLOAT32, "value_floats": FLOAT32, "value_int": INT64, "value_ints": INT64}.get(name, STRING)
    if dtype is STRING:
        x = _text(x) if name == "value_string" else [_text(s) for s in x]
    return Tensor.of(np.array(x, dtype), dtype)


def _text(x: str | bytes) -> str:
    return x if isinstance(x, str) else x.decode(errors="surrogateescape")


@op("ConstantOfShape", since=25)
def constant_of_shape(input: Vector[Ints], *, value: Tensor | None = None) -> TensorType:
    """A tensor of the shape that `input` says, filled with the one number in `value`, float32 zero by default."""
    filling = TensorType("float32", (1,), (0.0,)) if value is None else value.type
    if value is not None and value.elements != 1:
        raise RuleError(f"value has {value.elements} elements; expected one")
    expect_vectors(input=input)
    dims = known_dims(input)
    if dims is None:
        count = length_of(input)
        return TensorType(filling.dtype, None if count is None else unknowns(count))
    if any(isinstance(d, int) and d < 0 for d in dims):
        raise RuleError(f"input is {list(dims)}; expected no negative size")
    return TensorType(filling.dtype, dims, kept(dims, filling.known))


@op("Range", since=27, T=FLOAT | dtypes("int16 int32 int64"))
def range_(start: Scalar[T], limit: Scalar[T], delta: Scalar[T], *, stash_type: DType = "float32") -> TensorType:
    """start, start + delta, start + 2 * delta, ... up to limit, which is left out.

    stash_type: in which float16 and bfloat16 are counted.
    """
    expect_float("stash_type", stash_type)
    first, last, step = (_number(x) for x in (start, limit, delta))
    if first is None or last is None or step is None:
        return TensorType(start.dtype, unknowns(1))
    if step == 0:
        raise RuleError("delta is 0")
    if not (isinstance(first, Expr) or isinstance(last, Expr) or isinstance(step, Expr)):
        count = count_steps(first, last, step)
    elif isinstance(first, float) or isinstance(last, float) or isinstance(step, float | Expr):
        count = unknown()
    else:
        count = max_(ceil_div(last - first, step) if step > 0 else ceil_div(first - last, -step), 0)
    known = None
    if start.dtype.kind == "i" and isinstance(count, int) and count <= KNOWN_LIMIT:
        known = tuple(first + i * step for i in range(count))  # pyright: ignore[reportOperatorIssue]
    return TensorType(start.dtype, (count,), known)


def count_steps(first: float, last: float, step: float) -> int:
    """How many numbers lie from `first` to `last`, which is left out, at a distance of `step`."""
    if isinstance(first, int) and isinstance(last, int) and isinstance(step, int):
        return max(-((first - last) // step), 0)  # exact, where a quotient would round
    count = (last - first) / step
    if not math.isfinite(count):
        raise RuleError(f"from {first} to {last} there is no end of steps of {step}; expected finite numbers")
    return max(math.ceil(count), 0)


def _number(x: Value) -> int | float | Dim | None:
    """The one number or dim in x, where it is known; a whole one as an int."""
    number = x.known[0] if x.known is not None and len(x.known) == 1 else None
    return int(number) if isinstance(number, float) and number.is_integer() else number


@range_.gradient
def range_gradient(dy, y, start, limit, delta, **attributes):
    steps = ops.elementwise.cast_like(range_(0, ops.shape.size(dy), 1), dy)
    return (
        ops.reduce.reduce_sum(dy, keepdims=0),
        None,
        ops.reduce.reduce_sum(ops.elementwise.mul(dy, steps), keepdims=0),
    )


@op("EyeLike", since=22, T1=NUMERIC | BOOLEAN)
def eye_like(input: T1, *, dtype: DType | None = None, k: int = 0) -> TensorType:
    """Zeros in the shape of a matrix, with ones on diagonal k; diagonal 0 is the main one, positive ones lie above it. dtype: that of input by default."""
    if input.rank != 2:
        raise RuleError(f"input has rank {input.rank}; expected 2")
    return TensorType(dtype or input.dtype, input.shape)


@op("OneHot", since=28, T1=INTS | IEEE, T2=INTS | IEEE, T3=CLASSIC | FLOAT)
def one_hot(indices: T1, depth: Depth, values: OffOn, *, axis: int = -1) -> TensorType:
    """A new axis of size `depth`: values[1] at each index, values[0] elsewhere. A negative index counts from the end; one outside gives values[0] alone."""
    if any(isinstance(n, int | float) and not 0 <= n < math.inf for n in depth.known or ()):
        raise RuleError(f"depth is {list(depth.known)}; expected a size")
    size = known_dims(depth) or unknowns(1)
    if len(size) != 1:
        raise RuleError(f"depth has {len(size)} numbers; expected one")
    if values.shape != (2,) and all(isinstance(d, int) for d in values.shape):
        raise RuleError(f"values has shape {list(values.shape)}; expected [2]: off, on")
    at = axis_of(axis, indices.rank, beyond=1)
    return TensorType(values.dtype, (*indices.shape[:at], size[0], *indices.shape[at:]))


@one_hot.gradient
def one_hot_gradient(dy, y, indices, depth, values, *, axis):
    off_on = np.array([0, 1], values.dtype)  # runtimes have but few combinations of dtypes: that of values is one
    chosen = one_hot(indices, depth, off_on, axis=axis)
    chosen = ops.shape.reshape(ops.elementwise.cast(chosen, to="int64"), [-1])
    return None, None, added_up(ops.shape.reshape(dy, [-1]), values, chosen, axis=0)


@op("RandomNormal", since=22, random=True)
def random_normal(
    graph: Graph, *, shape: tuple[int, ...], dtype: DType = "float32", mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> TensorType:
    """Normally distributed numbers of this mean and standard deviation (`scale`)."""
    return TensorType(_float(dtype), shape)


@op("RandomNormalLike", since=22, random=True, T1=CLASSIC | FLOAT)
def random_normal_like(
    input: T1, *, dtype: DType | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> TensorType:
    """Normally distributed numbers of this mean and standard deviation (`scale`), in the shape of input. dtype: that of input by default."""
    return TensorType(_float(dtype or input.dtype), input.shape)


@op("RandomUniform", since=22, random=True)
def random_uniform(
    graph: Graph, *, shape: tuple[int, ...], dtype: DType = "float32", low: float = 0.0, high: float = 1.0, seed: float | None = None
) -> TensorType:
    """Numbers drawn evenly from [low, high)."""
    return TensorType(_float(dtype), shape)


@op("RandomUniformLike", since=22, random=True, T1=CLASSIC | FLOAT)
def random_uniform_like(
    input: T1, *, dtype: DType | None = None, low: float = 0.0, high: float = 1.0, seed: float | None = None
) -> TensorType:
    """Numbers drawn evenly from [low, high), in the shape of input. dtype: that of input by default."""
    return TensorType(_float(dtype or input.dtype), input.shape)


@op("Bernoulli", since=22, random=True, T1=FLOAT)
def bernoulli(input: T1, *, dtype: DType | None = None, seed: float | None = None) -> TensorType:
    """1 with the probability that input holds at each place, 0 otherwise. dtype: that of input by default."""
    return TensorType(dtype or input.dtype, input.shape)


@op("Multinomial", since=22, random=True, T1=FLOAT)
def multinomial(input: T1, *, dtype: DType = "int32", sample_size: int = 1, seed: float | None = None) -> TensorType:
    """Classes drawn by their probabilities, of which input (N, classes) holds the logarithms, up to a constant: (N, sample_size)."""
    if input.rank != 2:
        raise RuleError(f"input has rank {input.rank}; expected 2: batch, classes")
    if DTYPES[dtype] not in INDEX:
        raise RuleError(f"dtype is {dtype}; expected int32 or int64")
    if sample_size < 0:
        raise RuleError(f"sample_size is {sample_size}; expected 0 or more")
    return TensorType(dtype, (input.shape[0], sample_size))


def _float(dtype: Any) -> np.dtype:
    made = TensorType(dtype).dtype
    if made not in FLOAT:
        raise RuleError(f"numbers of {dtype} are asked for; expected float16, bfloat16, float32 or float64: give dtype")
    return made


declare_none(
    constant, constant_of_shape, eye_like, random_normal, random_normal_like, random_uniform, random_uniform_like, bernoulli, multinomial
)
