"""Rows of graphir.ops.create."""

import numpy as np

from . import array, case
from .shape import ints


def number(x: float, dtype: str = "int64") -> np.ndarray:
    """A scalar."""
    return np.array(x, dtype)


SURE = np.array(
    [[-np.inf, 3.0, -np.inf], [0.5, -np.inf, -np.inf], [-np.inf, -np.inf, -9.0]], "float32"
)  # one class is possible in each row
CASES = {
    "Constant": [
        case(value=np.arange(6, dtype="float32").reshape(2, 3)),
        case(value=ints(1, 2, 3)),
        case(value=np.array(["a", "b"], object)),
        case(value=np.zeros((0, 2), "float16")),
        case(value_float=0.1),
        case(value_floats=(1.0, 2.5)),
        case(value_int=7),
        case(value_ints=(1, 2, 3)),
        case(value_string="text"),
        case(value_strings=("a", "bc")),
    ],
    "ConstantOfShape": [
        case(ints(2, 3)),
        case(ints(2, 3), value=np.array([7], "int64")),
        case(ints(3), value=np.array([-1], "int64")),
        case(ints(), value=np.array([2.5], "float64")),
        case(ints(0, 2), value=np.array([True])),
        case(ints(4), value=np.array([-0.0], "float32")),
    ],
    "Range": [
        case(number(3), number(9), number(3)),
        case(number(3), number(10), number(3)),
        case(number(10), number(4), number(-2)),
        case(number(4), number(4), number(1)),
        case(number(4), number(1), number(1)),
        case(number(0, "float32"), number(1, "float32"), number(0.3, "float32")),
        case(number(1, "float64"), number(0, "float64"), number(-0.25, "float64")),
        case(number(1, "int32"), number(5, "int32"), number(1, "int32")),
        case(number(5, "int16"), number(-5, "int16"), number(-3, "int16")),
        case(number(0, "float16"), number(5, "float16"), number(0.5, "float16")),
        case(number(250, "bfloat16"), number(262, "bfloat16"), number(1, "bfloat16")),
    ],
    "EyeLike": [
        case(array(3, 3)),
        case(array(3, 4), k=1),
        case(array(4, 3), k=-2),
        case(array(3, 3, dtype="int32"), dtype="float64"),
        case(array(2, 2), dtype="bool"),
        case(array(2, 3), k=7, dtype="bfloat16"),
        case(array(0, 3)),
    ],
    "OneHot": [
        case(ints(0, 2, -1, 7, -9), number(3), np.array([0.0, 1.0], "float32")),
        case(array(2, 3, low=0, high=4, dtype="int64"), number(5), ints(2, 5), axis=0),
        case(array(2, 3, low=0, high=4, dtype="int64"), number(5), ints(2, 5), axis=1),
        case(array(2, 3, low=0, high=4, dtype="int64"), number(5), ints(2, 5), axis=-2),
        case(number(1), number(3), np.array([0.0, 1.0], "float32")),
        case(np.array([0.0, 2.0], "float32"), number(3), np.array([0, 1], "int32")),
        case(ints(0, 1), number(3, "float32"), np.array([0.0, 1.0], "float16")),
        case(np.zeros((2, 0), "int64"), number(3), np.array([0.0, 1.0], "float32")),
        case(ints(1), number(0), np.array([0.0, 1.0], "float32")),
    ],
    # Of random numbers only what does not hang on chance is compared: no spread, an empty range, certainty.
    "RandomNormal": [
        case(shape=(2, 3), mean=1.5, scale=0.0),
        case(shape=(2,), mean=1.5, scale=0.0, dtype="float64", seed=3.0),
    ],
    "RandomNormalLike": [
        case(array(2, 3), mean=-1.0, scale=0.0),
        case(array(2, 3, dtype="int64"), mean=-1.0, scale=0.0, dtype="float16"),
    ],
    "RandomUniform": [
        case(shape=(2, 3), low=0.5, high=0.5),
        case(shape=(2,), low=-1.0, high=-1.0, dtype="float16", seed=0.5),
    ],
    "RandomUniformLike": [
        case(array(2, 3), low=0.5, high=0.5),
        case(array(2, dtype="bool"), low=0.5, high=0.5, dtype="float64"),
    ],
    "Multinomial": [  # of one class alone; what is drawn of several is held against its distribution in tests/test_bounds.py
        case(SURE, sample_size=4, referee=lambda x: np.array([[1, 1, 1, 1], [0, 0, 0, 0], [2, 2, 2, 2]], "int32")),
        case(SURE.astype("float64"), dtype="int64", seed=1.0, referee=lambda x: np.array([[1], [0], [2]])),
        case(array(2, 3), sample_size=0, referee=lambda x: np.zeros((2, 0), "int32")),
        *(case(SURE.astype(d), referee=lambda x: np.array([[1], [0], [2]], "int32")) for d in ("float16", "bfloat16")),
    ],
    "Bernoulli": [
        case(np.array([0.0, 1.0, 1.0, 0.0], "float32")),
        case(np.array([[0.0, 1.0]], "float64"), dtype="int32", seed=1.0),
        case(np.array([0.0, 1.0], "float16"), dtype="bool"),
    ],
}
