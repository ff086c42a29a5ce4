"""Straight-through gradients: rounding is passed as if it were not there, and what was cut to the range of a dtype has none.

Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons", 2013.
"""

import ml_dtypes
import numpy as np

import graphir.ops as ops

from ..dtypes import FLOATS
from ..ir import Value


def within(x: Value, dtype: np.dtype) -> Value:
    """Where x, rounded for whole numbers, lies in the range of a dtype. Bool, of the shape of x."""
    limits = ml_dtypes.finfo(dtype) if dtype in FLOATS else ml_dtypes.iinfo(dtype)
    return ops.logic.equal(ops.elementwise.clip(x, float(limits.min), float(limits.max)), x)


def where_within(dy: Value, x: Value, dtype: np.dtype) -> Value:
    """dy where x lies in the range of a dtype, else 0."""
    return ops.elementwise.where(within(x, dtype), dy, 0.0)
