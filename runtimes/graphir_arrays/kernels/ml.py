"""Kernels of graphir.ops.ml. A map is a dict, with Python numbers or strings as keys and values."""

from collections.abc import Sequence
from typing import Any

from graphir.dtypes import FLOAT32, INT64, STRING
from graphir.ops.ml import CASTS

from ..kernel import Site, prepared
from .string import filled, text, texts


class Lookup:
    """Finds the places of elements among keys; of equal keys the last counts, and NaN is equal to NaN."""

    def __init__(self, xp: Any, keys: Sequence[Any], dtype: Any):
        self.xp = xp
        self.places: dict[Any, int] = {text(k) if dtype == STRING else k: i for i, k in enumerate(keys)}
        if dtype != STRING:
            numbers = sorted(k for k in self.places if k == k)
            self.nan = next((i for i, k in reversed(list(enumerate(keys))) if k != k), -1)
            self.numbers = xp.asarray(numbers, dtype=dtype)
            self.order = xp.asarray([self.places[k] for k in numbers], dtype=INT64)

    def __call__(self, x: Any) -> Any:
        """The place of each element's key; -1 where it has none."""
        xp = self.xp
        if x.dtype == STRING:
            return xp.asarray([self.places.get(s, -1) for s in texts(x)], dtype=INT64).reshape(x.shape)
        if not len(self.numbers):
            found = xp.full(x.shape, -1)
        else:
            at = xp.minimum(xp.searchsorted(self.numbers, x), len(self.numbers) - 1)
            found = xp.where(self.numbers[at] == x, self.order[at], -1)
        return xp.where(xp.isnan(x), self.nan, found) if x.dtype.kind == "f" else found


def _values(xp: Any, values: Sequence[Any], dtype: Any) -> Any:
    """An array of values; the last one is the default, where place -1 leads."""
    return filled(xp, list(map(text, values)), (len(values),)) if dtype == STRING else xp.asarray(values, dtype=dtype)


@prepared
def category_mapper(site: Site):
    a, strings = site.attributes, site.inputs[0].dtype == STRING  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    keys, values = ("cats_strings", "cats_int64s") if strings else ("cats_int64s", "cats_strings")
    find = Lookup(site.xp, a[keys], STRING if strings else INT64)
    default = a["default_int64" if strings else "default_string"]
    made = _values(site.xp, [*a[values], default], INT64 if strings else STRING)
    return lambda x: made[find(x)]


@prepared
def label_encoder(site: Site):
    a, dtype = site.attributes, site.outputs[0].dtype  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    lists = {}
    for name in ("keys", "values"):
        tensor = a[f"{name}_tensor"]
        lists[name] = (
            tensor.array.reshape(-1).tolist() if tensor is not None else a[f"{name}_floats"] or a[f"{name}_int64s"] or a[f"{name}_strings"]
        )
    if a["default_tensor"] is not None:
        default = a["default_tensor"].array.reshape(-1).tolist()[0]
    else:
        default = a["default_string" if dtype == STRING else "default_float" if dtype.kind == "f" else "default_int64"]
    find = Lookup(site.xp, lists["keys"], site.inputs[0].dtype)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    made = _values(site.xp, [*lists["values"], default], dtype)
    return lambda x: made[find(x)]


@prepared
def one_hot_encoder(site: Site):
    xp, a = site.xp, site.attributes
    labels = a["cats_strings"] or a["cats_int64s"]
    find = Lookup(xp, labels, STRING if a["cats_strings"] else INT64)

    def run(x):
        place = find(x if x.dtype == STRING else x.astype(INT64))
        if not a["zeros"] and bool((place < 0).any()):
            raise ValueError(f"{x[place < 0][0]!r} is no category, and zeros is 0")
        return (place[..., None] == xp.arange(len(labels))).astype(FLOAT32)

    return run


def cast_map(xp, x, *, cast_to, map_form, max_map):
    to = {"TO_FLOAT": float, "TO_INT64": _whole, "TO_STRING": _said}[cast_to]
    keys = sorted(x)
    if map_form == "DENSE":
        return _values(xp, [to(x[k]) for k in keys], CASTS[cast_to]).reshape(1, -1)
    if keys and not 0 <= keys[0] <= keys[-1] < max_map:
        raise ValueError(f"the map has the key {keys[0] if keys[0] < 0 else keys[-1]}; expected 0 to {max_map - 1}")
    return _values(xp, [to(x[k]) if k in x else to(0) for k in range(max_map)], CASTS[cast_to]).reshape(1, -1)


def _whole(x: Any) -> int:
    return int(float(text(x))) if isinstance(x, str | bytes) else int(x)


def _said(x: Any) -> str:
    return text(x) if isinstance(x, str | bytes) else f"{x:f}" if isinstance(x, float) else str(x)


@prepared
def dict_vectorizer(site: Site):
    a, dtype = site.attributes, site.outputs[0].dtype  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    words = list(map(text, a["string_vocabulary"])) if a["string_vocabulary"] else a["int64_vocabulary"]
    absent = "" if dtype == STRING else 0
    return lambda x: _values(site.xp, [x.get(word, absent) for word in words], dtype)


def zip_map(xp, x, *, classlabels_int64s, classlabels_strings):
    labels = list(map(text, classlabels_strings)) if classlabels_strings else classlabels_int64s
    rows = xp.to_numpy(x.reshape(-1, len(labels))).tolist()
    return [dict(zip(labels, row)) for row in rows]
