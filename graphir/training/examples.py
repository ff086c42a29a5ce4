"""Data that suits a training step, in batches."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..dtypes import FLOATS, INTEGERS, NAMES
from ..expect import near
from ..feeds import as_array, in_kind, shape_hint
from ..ir import Value
from ..model import Model
from ..types import TensorType
from .losses import TARGETS, Loss

Arrays = Mapping[str, Any]
BATCH = 32


class Target(NamedTuple):
    """What is to be learned. input: the step's input for it; key: what the data calls it; loss: what the step minimizes."""

    step: Model
    input: str | None
    key: str
    loss: Loss


class Examples:
    """Data that suits a step, by its keys. Raises ValueError where it does not, naming `what` it is. note: is told what was done to make it suit."""

    def __init__(self, target: Target, data: Arrays, what: str, note: Callable[[str], object] | None = None):
        self.what = what
        self.key = target.key
        inputs = {target.key if v.name == target.input else v.name: v for v in target.step.inputs}
        wanted = {key: v for key, v in inputs.items() if v.tensor is None or key in data}
        missing = next((key for key in wanted if key not in data), None)
        if missing is not None:
            raise ValueError(_lacks(what, missing, inputs, data, target))
        tell = note or (lambda _: None)
        self.arrays = {key: _suited(_Given(what, key, v, key == target.key), data[key], tell) for key, v in wanted.items()}
        counts = {name: len(x) for name, x in self.arrays.items()}
        self.count = next(iter(counts.values()), 0)
        if not self.count:
            raise ValueError(f"{what} is empty; expected examples along the first axis")
        other = next((name for name, n in counts.items() if n != self.count), None)
        if other is not None:
            raise ValueError(f"{what} has {self.count} examples in {next(iter(counts))} and {counts[other]} in {other}; expected as many")
        for name, x in self.arrays.items():
            _check_numbers(name, x, what)
        self.fixed = next((d for v in wanted.values() for d in (v.type.shape or ())[:1] if isinstance(d, int)), None)
        _check_labels(target, self.arrays, what)

    def split(self, share: float, rng: np.random.Generator) -> "tuple[Examples, Examples]":
        """The examples without a share drawn at random, and that share. Raises ValueError where nothing is left on one side."""
        count = round(self.count * share) if 0 < share < 1 else 0
        if not 0 < count < self.count:
            raise ValueError(
                f"validation is {share} of {self.count} examples; expected a share between 0 and 1 that leaves some on both sides"
            )
        order = rng.permutation(self.count)
        return self.taken(np.sort(order[count:])), self.taken(np.sort(order[:count]))

    def taken(self, places: np.ndarray) -> "Examples":
        """These examples alone."""
        other = object.__new__(Examples)
        other.__dict__.update(self.__dict__)
        other.arrays = {name: x[places] for name, x in self.arrays.items()}
        other.count = len(places)
        return other

    def batch_size(self, asked: int | None) -> int:
        """The size of batches. Raises ValueError for one that the model does not take."""
        if asked is not None and asked < 1:
            raise ValueError(f"batch size is {asked}; expected 1 or more")
        if self.fixed is None:
            return asked or BATCH
        if asked not in (None, self.fixed):
            raise ValueError(f"batch size is {asked}; the model takes batches of {self.fixed}")
        if self.count < self.fixed:
            raise ValueError(f"{self.what} has {self.count} examples; the model takes batches of {self.fixed}")
        return self.fixed

    def batches(self, size: int, order: np.ndarray | None = None, target: str | None = None) -> "_Batches":
        """The examples in batches, in this order; where the model takes whole batches only, without those that are left over.

        target: the name of the input for what is right, by default the data's own.
        """
        return _Batches(self, size, order, target or self.key)


class _Batches:
    def __init__(self, examples: Examples, size: int, order: np.ndarray | None, target: str):
        self.arrays = {target if key == examples.key else key: x for key, x in examples.arrays.items()}
        self.size = size
        self.order = order
        self.end = examples.count if examples.fixed is None else examples.count // size * size

    def __len__(self) -> int:
        return -(-self.end // self.size)

    def __iter__(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for i in range(0, self.end, self.size):
            places = slice(i, min(i + self.size, self.end))
            rows = places if self.order is None else self.order[places]
            yield places.stop - i, {name: x[rows] for name, x in self.arrays.items()}


# ---- what data may not be -----------------------------------------------------------------------------------------------------------


class _Given(NamedTuple):
    """An array of the data, and the input that it is for. is_target: whether it says what is right."""

    what: str
    key: str
    value: Value
    is_target: bool

    def wrong(self, x: np.ndarray, remedy: str = "") -> ValueError:
        """The error for an array that does not suit."""
        return ValueError(f"{self.what} has {self.key} as {x.dtype}{list(x.shape)}; expected {self.value.type}{remedy}")


def _lacks(what: str, key: str, inputs: Mapping[str, Value], data: Arrays, target: Target) -> str:
    """What is said where the data lacks an array."""
    others = [k for k in data if k not in inputs]
    text = f"{what} lacks {key} ({inputs[key].type}); it holds {', '.join(data) or 'nothing'}"
    if set(others) & {"arr_0", "arr_1"}:
        return f"{text}; numpy.savez('FILE.npz', {', '.join(f'{k}=...' for k in inputs)}) gives arrays their names"
    if key == target.key and others:
        return f"{text}; name with `target` what is to be learned, such as {others[0]}"
    close = near(key, others)
    return f"{text}{f'{close} Keys are the names of the inputs' if close else '; keys are the names of the inputs'}"


def _suited(given: _Given, x: Any, note: Callable[[str], object]) -> np.ndarray:
    """The array in the dtype and the rank of its input. Raises ValueError where it does not suit."""
    x, v = np.asarray(x), given.value
    if not isinstance(v.type, TensorType):
        raise ValueError(f"the input {v.name} is {v.type or 'of unknown type'}; only tensors come in batches")
    reshaped = _reshaped(given, x)
    cast = _cast(given, reshaped)
    if reshaped is not x or (cast.dtype != x.dtype and v.dtype in INTEGERS and x.dtype in FLOATS):
        note(f"{given.what} has {given.key} as {x.dtype}{list(x.shape)}, which is taken as {NAMES[v.dtype]}{list(cast.shape)}")
    return cast


def _reshaped(given: _Given, x: np.ndarray) -> np.ndarray:
    """The array with the axes of its input: one of size 1 may be on one side alone. Raises ValueError where the shape is another one."""
    dims = given.value.type.shape
    if x.ndim and (dims is None or (len(dims) == x.ndim and all(not isinstance(d, int) or d == n for d, n in zip(dims[1:], x.shape[1:])))):
        return x
    inner = () if dims is None else dims[1:]
    if x.ndim and dims and all(isinstance(d, int) for d in inner) and [d for d in inner if d != 1] == [n for n in x.shape[1:] if n != 1]:
        return x.reshape(len(x), *inner)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if given.is_target and given.value.dtype in INTEGERS and dims is not None and x.ndim == len(dims) + 1:
        raise given.wrong(x, f": labels are class numbers, and of one-hot rows those are {given.key}.argmax(axis=1)")
    if given.is_target and given.value.dtype in FLOATS and dims is not None and x.dtype in INTEGERS and x.ndim == len(dims) - 1:
        raise given.wrong(x, ", with the examples along the first axis; for class numbers, take the loss cross_entropy")
    hint = shape_hint(dims, x.shape) if dims is not None else ""
    raise given.wrong(x, f", with the examples along the first axis{hint}")


def _cast(given: _Given, x: np.ndarray) -> np.ndarray:
    """The array in the dtype of its input. Raises ValueError for one of another kind, and for numbers that the dtype cannot hold."""
    dtype = given.value.dtype
    if x.dtype == dtype:
        return x
    labels = given.is_target and x.dtype in FLOATS and dtype in INTEGERS
    if x.dtype.kind in "USO" and given.is_target:
        raise given.wrong(x, f": numpy.unique({given.key}, return_inverse=True)[1] are class numbers")
    if x.dtype not in NAMES or not (labels or in_kind(x.dtype, dtype) or np.can_cast(x.dtype, dtype, "same_kind")):
        raise given.wrong(x)
    odd = np.argwhere(x != np.floor(x)) if labels else np.empty(0)
    if len(odd):
        i = tuple(map(int, odd[0]))
        raise given.wrong(x, f", and {given.key}[{', '.join(map(str, i))}] is {x[i]}, no class number")
    return as_array(x, dtype, f"{given.key} of {given.what}")


def _check_numbers(name: str, x: np.ndarray, what: str) -> None:
    """Raises ValueError for what is no finite number."""
    if x.dtype not in FLOATS:
        return
    bad = ~np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if bad.any():
        i = int(bad.argmax())
        odd = x[i][~np.isfinite(x[i])].reshape(-1)[0] if x.ndim > 1 else x[i]
        raise ValueError(f"{what} has {odd} in {name}[{i}]; expected finite numbers ({int(bad.sum())} of {len(x)} examples are not)")


def _check_labels(target: Target, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Raises ValueError for a label that is no class of the model, and for what is right out of the range that the loss is made for."""
    x = arrays.get(target.key)
    least, most = TARGETS.get(target.loss, (-np.inf, np.inf))
    if x is not None and x.dtype in FLOATS and ((x < least) | (x > most)).any():
        at = tuple(int(i) for i in np.argwhere((x < least) | (x > most))[0])
        raise ValueError(f"{what} has {x[at]} in {target.key}[{', '.join(map(str, at))}]; the loss takes {least:g} to {most:g}")
    for node in target.step.graph.nodes:
        if node.op is not ops.loss.softmax_cross_entropy_loss or len(node.inputs) < 2:
            continue
        scores, labels = node.inputs[:2]
        if x is None or labels is None or labels.name != target.input or scores is None or scores.shape[1].__class__ is not int:
            continue
        classes, ignored = scores.shape[1], node.attributes.get("ignore_index")
        bad = ((x < 0) | (x >= classes)) & (x != ignored) if ignored is not None else (x < 0) | (x >= classes)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{what} has the label {x[at]} in {target.key}[{', '.join(map(str, at))}]; the model has {classes} classes, 0 to {classes - 1}"  # pyright: ignore[reportOptionalMemberAccess, reportOperatorIssue]
                + "; they are counted from 0" * bool(x.min() == 1 and x.max() == classes)
            )
