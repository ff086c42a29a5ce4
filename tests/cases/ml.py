"""Rows of graphir.ops.ml."""

from typing import Any

import numpy as np

from cases import array, case
from graphir import Tensor


def words(*x) -> np.ndarray:
    return np.array(x, dtype=object)


def keeps_zero(x, size):
    return (x / np.where(size == 0, 1, size)).astype("float32")


MISSING = np.array([[1, np.nan, 3], [np.nan, 5, 0]], "float32")
ROWS = np.array([[1, -2, 3], [0, 0, 0], [-3, -4, -1]], "float32")
NAMES = {"cats_strings": ("a", "b", "c"), "cats_int64s": (3, 7, -1)}
STRINGS_TO_INTS = {"keys_strings": ("a", "b", "c"), "values_int64s": (0, 1, 2), "default_int64": 42}
TENSORS: dict[str, Any] = {
    "keys_tensor": Tensor.of(words("a", "b", "c")), "values_tensor": Tensor.of(np.array([0, 1, 2], "int16")), "default_tensor": Tensor.of(np.array([42], "int16")),
}  # fmt: skip

CASES = {
    "ArrayFeatureExtractor": [
        case(array(3, 4), np.array([[1, 3]])),
        case(array(3, 4), np.array([3, 0, 3])),
        case(array(4), np.array([2])),
        case(array(2, 3, 4, dtype="int64"), np.array([[1], [0]])),
        case(words("a", "b", "c").reshape(1, 3), np.array([2, 0])),
        case(array(0, 3, dtype="float64"), np.array([2, 0])),
        case(array(2, 3, dtype="int32"), np.array(1), referee=lambda x, y: x[:, 1:2]),
    ],
    "Binarizer": [
        case(array(3, 4)),
        case(array(3, 4), threshold=1.0),
        case(array(5, dtype="int64"), threshold=0.5),
        case(array(2, dtype="float64"), threshold=-1.0),
        case(array(2, 2, dtype="int32")),
    ],
    "CastMap": [
        case({2: 1.5, 0: -2.25, 7: 1e10}, referee=lambda m: np.array([[-2.25, 1.5, 1e10]], "float32")),
        case({2: 1.5, 0: -2.25}, cast_to="TO_INT64", referee=lambda m: np.array([[-2, 1]])),
        case({2: 1.5, 0: -2.25}, cast_to="TO_STRING", referee=lambda m: words("-2.250000", "1.500000").reshape(1, 2)),
        case({2: 1.5, 0: -2.25}, map_form="SPARSE", max_map=4, referee=lambda m: np.array([[-2.25, 0, 1.5, 0]], "float32")),
        case({2: "7", 0: "-2.5"}, cast_to="TO_INT64", map_form="SPARSE", max_map=3, referee=lambda m: np.array([[-2, 0, 7]])),
        case({1: "x", 0: "y"}, cast_to="TO_STRING", referee=lambda m: words("y", "x").reshape(1, 2)),
    ],
    "CategoryMapper": [
        case(words("a", "c", "q"), **NAMES, referee="ort"),
        case(words("a", "c", "q").reshape(3, 1), **NAMES, default_int64=9, referee="ort"),
        case(np.array([[3, 7], [-1, 2]]), **NAMES, default_string="none", referee="ort"),
        case(np.empty((0,), "int64"), **NAMES, referee="ort"),
    ],
    "DictVectorizer": [
        case({"a": 4.0, "c": 8.0, "q": 1.0}, string_vocabulary=("a", "c", "b", "z")),
        case({3: 4.0}, int64_vocabulary=(1, 3)),
        case({"a": 5}, string_vocabulary=("z", "a")),
        case({3: "x"}, int64_vocabulary=(1, 3), referee=lambda m: words("", "x")),
    ],
    "FeatureVectorizer": [
        case(array(3, 2), array(3, 1), inputdimensions=(2, 1)),
        case(array(3, 2), array(3, 3), inputdimensions=(1, 4)),
        case(array(2, 2, dtype="int64"), inputdimensions=(2,)),
        case(array(2), array(3), inputdimensions=(2, 3), referee="ort"),
        case(array(2, 3), array(2, 1), referee=lambda *x: np.concatenate(x, axis=1)),
        case(array(3, 2, dtype="float64"), array(3, 1, dtype="float64"), inputdimensions=(3, 1)),
    ],
    "Imputer": [
        case(MISSING, imputed_value_floats=(7.0,), replaced_value_float=float("nan")),
        case(MISSING, imputed_value_floats=(7.0, 8.0, 9.0), replaced_value_float=float("nan")),
        case(MISSING, imputed_value_floats=(7.0,)),
        case(array(3, 2, dtype="int64"), imputed_value_int64s=(7, 8), replaced_value_int64=1, referee="ort"),
        case(MISSING.astype("float64"), imputed_value_floats=(0.5,), replaced_value_float=3.0, referee=lambda x: np.where(x == 3, 0.5, x)),
        case(array(2, 3, 2, low=0, high=1, dtype="int32"), imputed_value_int64s=(7, 8), referee=lambda x: np.where(x == 0, [7, 8], x)),
    ],
    "LabelEncoder": [
        case(words("b", "q", "a"), **STRINGS_TO_INTS),
        case(words("b", "q").reshape(2, 1), **TENSORS, referee=lambda x: np.array([[1], [42]], "int16")),
        case(np.array([2, 9]), keys_int64s=(1, 2), values_strings=("x", "y")),
        case(np.array([2, 9]), keys_int64s=(1, 2), values_floats=(0.5, 1.5), default_float=-9.0),
        case(np.array([2, 2]), keys_int64s=(2, 2), values_int64s=(5, 6)),
        case(np.array([1, np.nan, 0.5], "float32"), keys_floats=(1.0, float("nan")), values_strings=("one", "nan"), default_string="none",
             referee=lambda x: words("one", "nan", "none")),
        case(np.array([1, np.nan, 0.5]), keys_tensor=Tensor.of(np.array([0.5, np.nan])), values_tensor=Tensor.of(np.array([2, 3], "int32")),
             referee=lambda x: np.array([-1, 3, 2], "int32")),
        case(np.empty((0, 2), object), **STRINGS_TO_INTS),
    ],
    "Normalizer": [
        *(case(ROWS, norm=norm, referee="ort") for norm in ("MAX", "L1", "L2")),
        case(array(4), norm="L2", referee="ort"),
        case(array(2, 3, low=1, high=5, dtype="int64"), norm="L1", referee="ort"),
        case(array(2, 3, dtype="float64"), norm="MAX", referee=lambda x: keeps_zero(x, x.max(1, keepdims=True))),
    ],
    "OneHotEncoder": [
        case(np.array([1, 3, 2]), cats_int64s=(1, 2, 4)),
        case(words("a", "q").reshape(2, 1), cats_strings=("a", "b")),
        case(np.array([1.7, -0.5, 9], "float32"), cats_int64s=(1, 0), referee="ort"),
        case(np.array([1, 2]), cats_int64s=(1, 2), zeros=0),
        case(np.array([[[1]]], "int32"), cats_int64s=(1, 1), referee=lambda x: np.array([[[[0, 1]]]], "float32")),
        case(np.empty((0, 2)), cats_int64s=(1, 2), referee=lambda x: np.empty((0, 2, 2), "float32")),
    ],
    "Scaler": [
        case(array(3, 2), offset=(1.0, -1.0), scale=(2.0, 0.5)),
        case(array(3), offset=(1.0,), scale=(2.0,)),
        case(array(2, 2, dtype="int64"), offset=(1.0, 0.5), scale=(2.0, 1.0), referee="ort"),
        case(array(2, 3, 2, dtype="float64"), scale=(2.0, 0.5), referee=lambda x: x * [2.0, 0.5]),
        case(array(2, 2), offset=(3.0, 4.0), referee=lambda x: x - np.array([3, 4], "float32")),
    ],
    "ZipMap": [
        case(array(2, 3), classlabels_strings=("a", "b", "c"), referee="ort"),
        case(array(2, 2), classlabels_int64s=(7, -1), referee="ort"),
        case(array(2), classlabels_int64s=(7, 8), referee="ort"),
        case(array(0, 2), classlabels_int64s=(7, 8), referee=lambda x: ([],)),
    ],
}  # fmt: skip
