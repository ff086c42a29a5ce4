"""A literal tensor: dtype, shape, and bytes that are read when they are wanted."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .dtypes import STRING, as_dtype
from .mapped import MappedFile, mapped_file
from .types import KNOWN_LIMIT, TensorType, expect_size

SMALL = 4096  # bytes; smaller data is copied out of the file that it lies in


class Tensor:
    """Data that stands in a model: a weight's, or an attribute's.

    storage: how the file that it came from keeps it ("raw", "typed", "external", "sparse"); a hint for writers, "raw" for data made here.
    carried: what a format needs to write it back as it was, and that means nothing to graphir.
    Data may lie in a file that is mapped: then each look at it is a look whether the file is still what it was.
    Raises ShapeError for a shape that no array has.
    """

    __slots__ = ("_array", "_file", "_hash", "_read", "carried", "dtype", "shape", "storage")

    def __init__(self, dtype: np.dtype, shape: Sequence[int], read: Callable[[], np.ndarray], storage: str = "raw", carried: Any = None):
        self.dtype = dtype
        self.shape = tuple(shape)
        expect_size(self.shape, dtype.itemsize)
        self._read: Callable[[], np.ndarray] | None = read
        self._array: np.ndarray | None = None
        self._file: MappedFile | None = None  # of the array, once it was read
        self._hash: int | None = None
        self.storage = storage
        self.carried = carried

    @classmethod
    def of(cls, x: Any, dtype: np.dtype | str | None = None) -> "Tensor":
        """A tensor of the numbers in `x`, which is copied unless it is a read-only array; Python floats become float32, as everywhere in ONNX."""
        if isinstance(x, Tensor):
            return x
        array = np.asarray(x)
        if dtype is None and array.dtype == np.float64 and not isinstance(x, np.ndarray | np.generic):
            dtype = "float32"
        wanted = as_dtype(array.dtype if dtype is None else dtype)
        array = array.astype(wanted, copy=array.flags.writeable or array.dtype != wanted)
        array.flags.writeable = False
        tensor = cls(wanted, array.shape, lambda: array)
        tensor._array = array
        if array.base is not None:
            tensor._file = mapped_file(array)
        return tensor

    @property
    def array(self) -> np.ndarray:
        """The data, as a read-only array of `shape` and `dtype`. Raises what reading it raises, FileChangedError where its file was changed."""
        array, file = self._array, self._file
        if file is not None:
            file.check()
        return self._first_read() if array is None else array

    def _first_read(self) -> np.ndarray:
        read = self._read
        if read is None:  # another thread was here
            assert self._array is not None
            return self._array
        array = read()
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(f"a tensor declared {self.dtype}{list(self.shape)} was read as {array.dtype}{list(array.shape)}")
        file = mapped_file(array)
        if file is not None and array.nbytes <= SMALL:
            array = array.copy()
            file.check()
            file = None
        array.flags.writeable = False
        self._file = file
        self._array = array
        self._read = None
        return array

    @property
    def file(self) -> MappedFile | None:
        """The file that the array lies in, once it was read; None where it is in memory of its own."""
        return self._file

    @property
    def elements(self) -> int:
        """How many numbers there are."""
        count = 1
        for d in self.shape:
            count *= d
        return count

    @property
    def nbytes(self) -> int:
        """The bytes of the array in memory."""
        return self.elements * self.dtype.itemsize

    @property
    def type(self) -> TensorType:
        """Its type, with the contents as `known` where they are few whole numbers, or booleans, or one float."""
        known = None
        if (
            self.elements <= KNOWN_LIMIT
            and len(self.shape) <= 1
            and (self.dtype.kind in "iub" or (self.dtype.kind == "f" and self.elements <= 8))
        ):
            known = tuple(self.array.reshape(-1).tolist())
        return TensorType(self.dtype, self.shape, known)

    def __eq__(self, other: object) -> bool:
        """Equal data, to the bit: NaNs with the same payload are equal, 0.0 and -0.0 are not."""
        if self is other:
            return True
        if not isinstance(other, Tensor) or self.dtype != other.dtype or self.shape != other.shape:
            return False
        if self.dtype == STRING:
            return self.array.tolist() == other.array.tolist()
        return self.array.tobytes() == other.array.tobytes()

    def __hash__(self) -> int:
        """Of the data, too: many tensors of one shape are told apart in passing."""
        found = self._hash
        if found is None:
            data = tuple(self.array.reshape(-1).tolist()) if self.dtype == STRING else self.array.tobytes()
            found = self._hash = hash((self.dtype, self.shape, data))
        return found

    def __repr__(self) -> str:
        return f"Tensor({self.type})"


class SparseTensor:
    """Data given by its nonzero values and where they are: `indices` is (NNZ,) into the flat tensor or (NNZ, rank). Raises ShapeError as Tensor does."""

    __slots__ = ("carried", "indices", "shape", "values")

    def __init__(self, values: Tensor, indices: Tensor, shape: Sequence[int], carried: Any = None):
        self.values = values
        self.indices = indices
        self.shape = tuple(shape)
        expect_size(self.shape, values.dtype.itemsize)
        self.carried = carried

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self.values.dtype

    def dense(self) -> np.ndarray:
        """The whole tensor. Raises ValueError where an index lies outside of it."""
        indices = self.indices.array
        if indices.ndim == 2:
            if indices.size and ((indices < 0).any() or (indices >= np.asarray(self.shape)).any()):
                raise ValueError(f"a sparse tensor of shape {list(self.shape)} has an index outside of it")
            indices = np.ravel_multi_index(tuple(indices.T), self.shape) if indices.size else indices.reshape(-1)
        out = np.zeros(self.shape, self.dtype)
        if indices.size and (indices.min() < 0 or indices.max() >= out.size):
            raise ValueError(f"a sparse tensor of shape {list(self.shape)} has an index outside of it")
        out.reshape(-1)[indices] = self.values.array
        return out


def round_to_float32(x: float) -> float:
    """The float32 nearest to x, as a Python float: what a float attribute holds."""
    try:
        return struct.unpack("f", struct.pack("f", x))[0]
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")
