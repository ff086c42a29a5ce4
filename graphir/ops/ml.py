"""Features and labels of ai.onnx.ml: numbers, strings and maps there and back."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np

import graphir.ops as ops

from ..dims import Dim, product, unknown
from ..dtypes import FLOAT32, FLOAT64, INT64, NAMES, STRING
from ..ir import Value
from ..tensors import Tensor
from ..types import MapType, SequenceType, TensorType, Type
from ._gradient import GradientError, declare_none
from ._op import T1, RuleError, T, op
from ._types import STRINGS, dtypes, known_ints
from .ml_linear import DOMAIN, NUMBERS, labels_of, one_of

Places = Annotated[Any, "T1", INT64]
LABELS = dtypes("int64") | STRINGS
CASTS = {"TO_FLOAT": FLOAT32, "TO_STRING": STRING, "TO_INT64": INT64}
_ml = partial(op, since=1, domain=DOMAIN)


# ---- numbers ------------------------------------------------------------------------------------------------------------------------------


@_ml("ArrayFeatureExtractor", T=dtypes("float32 float64 int32 int64") | STRINGS, T1=dtypes("int64"))
def array_feature_extractor(x: T, y: Places) -> TensorType:
    """The elements of x at the places y along the last axis. A vector is one row."""
    if x.rank == 0:
        raise RuleError("x is a number; expected one axis or more")
    size = x.shape[-1]
    outside = [i for i in known_ints(y) or () if isinstance(size, int) and not -size <= i < size]
    if outside:
        raise RuleError(f"y holds {outside[0]}; the last axis of x has size {x.shape[-1]}")
    return TensorType(x.dtype, (*(x.shape[:-1] or (1,)), product(y.shape)))


@array_feature_extractor.decompose
def _array_feature_extractor(x, y):
    picked = ops.index.gather(x, y if y.rank == 1 else ops.shape.reshape(y, [-1]), axis=-1)
    return picked if x.rank > 1 else ops.shape.unsqueeze(picked, [0])


@_ml("Binarizer", T=NUMBERS)
def binarizer(x: T, *, threshold: float = 0.0) -> TensorType:
    """1 where x is more than the threshold, else 0."""
    return TensorType(x.dtype, x.shape)


@binarizer.decompose
def _binarizer(x, *, threshold):
    wide = x if x.dtype in (FLOAT32, FLOAT64) else ops.elementwise.cast(x, to="float64")
    return ops.elementwise.cast(ops.logic.greater(wide, threshold), to=NAMES[x.dtype])


@_ml("FeatureVectorizer", T1=NUMBERS)
def feature_vectorizer(*x: T1, inputdimensions: tuple[int, ...] | None = None) -> TensorType:
    """The inputs next to each other as float32, each cut or filled up with zeros to its number in inputdimensions. Vectors are rows."""
    if not x:
        raise RuleError("no inputs were given; expected one or more")
    if inputdimensions is not None and (len(inputdimensions) != len(x) or min(inputdimensions) < 0):
        raise RuleError(f"inputdimensions is {list(inputdimensions)}; expected a size for each of {len(x)} inputs")
    sizes: list[Dim] = []
    rows: Dim = unknown()
    for v in x:
        if v.rank not in (1, 2):
            raise RuleError(f"{v.name} has shape {list(v.shape)}; expected [N, C] or [C]")
        count = v.shape[0] if v.rank == 2 else 1
        if isinstance(rows, int) and isinstance(count, int) and rows != count:
            raise RuleError(f"{v.name} has {count} rows, and one before it {rows}; expected as many")
        rows = count if not isinstance(rows, int) else rows
        sizes.append(v.shape[-1])
    return TensorType(FLOAT32, (rows, sum(inputdimensions or sizes)))


@feature_vectorizer.decompose
def _feature_vectorizer(*x, inputdimensions):
    made = []
    for i, v in enumerate(x):
        v = ops.elementwise.cast_to(v, FLOAT32)
        v = ops.shape.unsqueeze(v, [0]) if v.rank == 1 else v
        if inputdimensions is not None and v.shape[1] != inputdimensions[i]:
            size = inputdimensions[i]
            v = ops.arrange.pad(v, [0, size], axes=[1]) if not isinstance(v.shape[1], int) or v.shape[1] < size else v
            v = ops.shape.slice_(v, [0], [size], [1])
        made.append(v)
    return made[0] if len(made) == 1 else ops.shape.concat(*made, axis=1)


@_ml("Imputer", T=NUMBERS)
def imputer(
    x: T, *, imputed_value_floats: tuple[float, ...] | None = None, imputed_value_int64s: tuple[int, ...] | None = None,
    replaced_value_float: float = 0.0, replaced_value_int64: int = 0,
) -> TensorType:  # fmt: skip
    """x with another number, one for all or one for each place on the last axis, wherever it holds the one to replace, which may be NaN."""
    values = imputed_value_floats if x.dtype.kind == "f" else imputed_value_int64s
    if not values:
        raise RuleError(f"{'imputed_value_floats' if x.dtype.kind == 'f' else 'imputed_value_int64s'} is left out; x is {NAMES[x.dtype]}")
    if x.dtype.kind in "iu" and not np.iinfo(x.dtype).min <= replaced_value_int64 <= np.iinfo(x.dtype).max:
        raise RuleError(f"replaced_value_int64 is {replaced_value_int64}, which {NAMES[x.dtype]} does not hold")
    if len(values) > 1 and (not x.rank or (isinstance(x.shape[-1], int) and x.shape[-1] != len(values))):
        raise RuleError(f"{len(values)} values are given; expected one, or one for each place on the last axis of {list(x.shape)}")
    return TensorType(x.dtype, x.shape)


@imputer.decompose
def _imputer(x, *, imputed_value_floats, imputed_value_int64s, replaced_value_float, replaced_value_int64):
    is_float = x.dtype.kind == "f"
    values = np.asarray(imputed_value_floats if is_float else imputed_value_int64s, x.dtype)
    if is_float and np.isnan(replaced_value_float):
        missing = ops.elementwise.is_nan(x)
    else:
        missing = ops.logic.equal(x, np.asarray(replaced_value_float if is_float else replaced_value_int64, x.dtype))
    return ops.elementwise.where(missing, values if len(values) > 1 else values[0], x)


@_ml("Normalizer", T=NUMBERS)
def normalizer(x: T, *, norm: str = "MAX") -> TensorType:
    """Each row over its largest element (MAX), the sum of its magnitudes (L1) or its length (L2), as float32; as it is where that is 0."""
    one_of(norm, ("MAX", "L1", "L2"), "norm")
    if x.rank not in (1, 2):
        raise RuleError(f"x has shape {list(x.shape)}; expected [N, C] or [C]")
    return TensorType(FLOAT32, x.shape)


@normalizer.decompose
def _normalizer(x, *, norm):
    x = x if x.dtype == FLOAT64 else ops.elementwise.cast_to(x, FLOAT32)
    measure = {"MAX": ops.reduce.reduce_max, "L1": ops.reduce.reduce_l1, "L2": ops.reduce.reduce_l2}[norm]
    size = measure(x, [-1], keepdims=1)
    return ops.elementwise.cast_to(ops.elementwise.div(x, ops.elementwise.where(ops.logic.equal(size, 0.0), 1.0, size)), FLOAT32)


@_ml("Scaler", T=NUMBERS)
def scaler(x: T, *, offset: tuple[float, ...] | None = None, scale: tuple[float, ...] | None = None) -> TensorType:
    """(x - offset) * scale as float32; either has one number, or one for each place on the last axis."""
    for name, values in (("offset", offset), ("scale", scale)):
        if values and len(values) > 1 and (not x.rank or (isinstance(x.shape[-1], int) and x.shape[-1] != len(values))):
            raise RuleError(f"{name} has {len(values)} numbers; expected one, or one for each place on the last axis of {list(x.shape)}")
    return TensorType(FLOAT32, x.shape)


@scaler.decompose
def _scaler(x, *, offset, scale):
    x = x if x.dtype == FLOAT64 else ops.elementwise.cast_to(x, FLOAT32)
    for apply, values in ((ops.elementwise.sub, offset), (ops.elementwise.mul, scale)):
        if values:
            x = apply(x, np.asarray(values if len(values) > 1 else values[0], x.dtype))
    return ops.elementwise.cast_to(x, FLOAT32)


# ---- labels -------------------------------------------------------------------------------------------------------------------------------


@_ml("CategoryMapper", T1=LABELS)
def category_mapper(
    x: T1, *, cats_int64s: tuple[int, ...] | None = None, cats_strings: tuple[str, ...] | None = None, default_int64: int = -1,
    default_string: str = "_Unused",
) -> TensorType:  # fmt: skip
    """For each string the number at its place in the list, for each number the string; the default for those that are not in it."""
    if not cats_int64s or not cats_strings or len(cats_int64s) != len(cats_strings):
        raise RuleError(
            f"there are {len(cats_int64s or ())} cats_int64s and {len(cats_strings or ())} cats_strings; expected as many, one or more"
        )
    return TensorType(INT64 if x.dtype == STRING else STRING, x.shape)


CODES = dtypes("float32 float64 int16 int32 int64") | STRINGS


@op("LabelEncoder", since=4, domain=DOMAIN, T1=CODES)
def label_encoder(
    x: T1, *, default_float: float = -0.0, default_int64: int = -1, default_string: str = "_Unused", default_tensor: Tensor | None = None,
    keys_floats: tuple[float, ...] | None = None, keys_int64s: tuple[int, ...] | None = None, keys_strings: tuple[str, ...] | None = None,
    keys_tensor: Tensor | None = None, values_floats: tuple[float, ...] | None = None, values_int64s: tuple[int, ...] | None = None,
    values_strings: tuple[str, ...] | None = None, values_tensor: Tensor | None = None,
) -> TensorType:  # fmt: skip
    """For each element the value at the place of its key, the default where it has none. NaN is a key as others are; of equal keys the last counts."""
    keys, key = one_list(keys_floats, keys_int64s, keys_strings, keys_tensor, "keys")
    values, value = one_list(values_floats, values_int64s, values_strings, values_tensor, "values")
    if keys != values:
        raise RuleError(f"there are {keys} keys and {values} values; expected as many")
    if key != x.dtype:
        raise RuleError(f"the keys are {NAMES[key]}; expected {NAMES[x.dtype]}, as x is")
    if default_tensor is not None and (default_tensor.dtype != value or default_tensor.elements != 1):
        raise RuleError(f"default_tensor is {default_tensor.type}; expected one {NAMES[value]}, as the values are")
    return TensorType(value, x.shape)


def one_list(floats: Any, ints: Any, strings: Any, tensor: Tensor | None, name: str) -> tuple[int, np.dtype]:
    """How many entries the one list has that is given, and of what dtype they are. Raises RuleError where there is none, or several."""
    given = [(x.elements if isinstance(x, Tensor) else len(x), x.dtype if isinstance(x, Tensor) else dtype)
             for x, dtype in ((floats, FLOAT32), (ints, INT64), (strings, STRING), (tensor, FLOAT32)) if x is not None and (isinstance(x, Tensor) or x)]  # fmt: skip
    if len(given) != 1:
        raise RuleError(f"{len(given)} lists of {name} are given; expected one")
    return given[0]


@_ml("OneHotEncoder", T=NUMBERS | STRINGS)
def one_hot_encoder(
    x: T, *, cats_int64s: tuple[int, ...] | None = None, cats_strings: tuple[str, ...] | None = None, zeros: int = 1
) -> TensorType:  # fmt: skip
    """Zeros along a new last axis, and 1 at the place that each element has in the list of categories; of equal categories the last counts.

    Floats are cut to whole numbers. zeros=0: an element that is no category is an error.
    """
    labels = labels_of(cats_int64s, cats_strings)
    if bool(cats_strings) != (x.dtype == STRING):
        raise RuleError(f"x is {NAMES[x.dtype]}; its categories are {'strings' if cats_strings else 'numbers'}")
    return TensorType(FLOAT32, (*x.shape, len(labels)))


# ---- maps ---------------------------------------------------------------------------------------------------------------------------------


def _map(x: Value, keys: Sequence[np.dtype]) -> tuple[np.dtype, np.dtype]:
    """The dtypes of a map's keys and values. Raises RuleError for what is no map of that kind."""
    if not isinstance(x.type, MapType) or not isinstance(x.type.value, TensorType) or x.type.key not in keys:
        raise RuleError(f"x is {x.type}; expected a map from {' or '.join(NAMES[k] for k in keys)} to tensors of numbers or strings")
    return x.type.key, x.type.value.dtype


@_ml("CastMap")
def cast_map(x: Value, *, cast_to: str = "TO_FLOAT", map_form: str = "DENSE", max_map: int = 1) -> TensorType:
    """The values of a map with whole numbers as keys, in the order of their keys, as one row of float32, strings or int64.

    SPARSE: each at the place of its key, in a row of max_map; 0 or "0" where there is none.
    """
    one_of(cast_to, tuple(CASTS), "cast_to")
    one_of(map_form, ("DENSE", "SPARSE"), "map_form")
    _map(x, (INT64,))
    if map_form == "SPARSE" and max_map < 0:
        raise RuleError(f"max_map is {max_map}; expected 0 or more")
    return TensorType(CASTS[cast_to], (1, max_map if map_form == "SPARSE" else unknown()))


@_ml("DictVectorizer")
def dict_vectorizer(
    x: Value, *, int64_vocabulary: tuple[int, ...] | None = None, string_vocabulary: tuple[str, ...] | None = None
) -> TensorType:  # fmt: skip
    """The values of a map in the order that its keys have in the vocabulary, as a vector; 0 or "" for those that it has not."""
    words = labels_of(int64_vocabulary, string_vocabulary)
    _, value = _map(x, (STRING,) if string_vocabulary else (INT64,))
    return TensorType(value, (len(words),))


@_ml("ZipMap", T=dtypes("float32"))
def zip_map(x: T, *, classlabels_int64s: tuple[int, ...] | None = None, classlabels_strings: tuple[str, ...] | None = None) -> Type:
    """For each row of x a map from the labels to its numbers; a sequence of them. A vector is one row."""
    labels = labels_of(classlabels_int64s, classlabels_strings)
    if x.rank not in (1, 2) or (isinstance(x.shape[-1], int) and x.shape[-1] != len(labels)):
        raise RuleError(f"x has shape {list(x.shape)}; expected [N, {len(labels)}], a column for each label")
    return SequenceType(MapType(STRING if classlabels_strings else INT64, TensorType(FLOAT32, ())))


def _no_map_gradient(*args: Any, **attributes: Any) -> Any:
    raise GradientError(
        "there is no gradient rule for maps, which no operator could add up; differentiate with respect to tensors before them"
    )


for _op in (cast_map, dict_vectorizer, zip_map):
    _op.gradient(_no_map_gradient)
del _op
declare_none(category_mapper, label_encoder, one_hot_encoder)
