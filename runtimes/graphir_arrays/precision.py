"""In which dtype a kernel computes: half precision is widened to float32, all else stays as it is."""

from typing import Any

from graphir.dtypes import BFLOAT16, FLOAT16, FLOAT32

HALVES = (FLOAT16, BFLOAT16)


def computing(dtype: Any) -> Any:
    """The dtype in which to compute on `dtype`."""
    return FLOAT32 if dtype in HALVES else dtype


def widened(x: Any) -> Any:
    """An array in the dtype in which to compute on it: itself, or a float32 copy."""
    return x.astype(FLOAT32) if x.dtype in HALVES else x


def written(x: Any, dtype: Any, out: Any = None) -> Any:
    """A result as `dtype`, in `out` where that is given and `x` is not already there."""
    if out is None:
        return x.astype(dtype, copy=False)
    if x is not out:
        out[...] = x
    return out
