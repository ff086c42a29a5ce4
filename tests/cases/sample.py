"""Rows of graphir.ops.sample."""

from typing import Any

import numpy as np
from scipy import ndimage

from cases import Case, array, case

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")


def _grid(*shape: int, dtype: str = "float32") -> Any:
    """Places, some of them outside of the image."""
    return array(*shape, low=-1.6, high=1.6, dtype=dtype)


def _flat(x: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Linear weights along the one axis of images, with the border outside: np.interp."""
    at = ((grid[..., 0] + 1) * x.shape[2] - 1) / 2
    return np.stack([[np.interp(a, np.arange(x.shape[2]), c) for c in n] for n, a in zip(x, at)]).astype(x.dtype)


def _moved(mask: bool = True, shape: tuple[int, ...] = (2, 4, 5, 6), made: int = 6, group: int = 1, offset_group: int = 1,
           places: tuple[int, ...] = (4, 5), dtype: str = "float32", b: Any = None, **how: Any) -> Case:  # fmt: skip
    """A deformed convolution of images with kernels of two taps along each axis."""
    taps = 2 ** (len(shape) - 2) * offset_group
    w = array(made, shape[1] // group, *(2 for _ in places), dtype=dtype)
    offset = array(shape[0], taps * len(places), *places, low=-1.3, high=1.3, dtype=dtype)
    masked = array(shape[0], taps, *places, low=0, high=1, dtype=dtype) if mask else None
    attributes = {"group": group, "offset_group": offset_group}
    return case(array(*shape, dtype=dtype), w, offset, b, masked, **{k: x for k, x in attributes.items() if x != 1}, **how)


def _by_taps(x: np.ndarray, w: np.ndarray, offset: np.ndarray, b: Any, mask: np.ndarray) -> np.ndarray:
    """A deformed convolution along any number of axes, tap by tap, with SciPy's linear interpolation."""
    rank = x.ndim - 2
    y = np.zeros((x.shape[0], w.shape[0], *offset.shape[2:]))
    for tap, k in enumerate(np.ndindex(*w.shape[2:])):
        at = offset[:, rank * tap : rank * (tap + 1)] + np.indices(offset.shape[2:]) + np.reshape(k, (rank, *[1] * rank))
        for n, c in np.ndindex(*x.shape[:2]):
            read = ndimage.map_coordinates(x[n, c].astype(float), at[n], order=1, mode="grid-constant")
            y[n] += w[(slice(None), c, *k)].reshape(-1, *[1] * rank) * mask[n, tap] * read
    return y.astype(x.dtype)


def _affine(theta: np.ndarray) -> np.ndarray:
    """Where theta sends the places of 4 rows of 5."""
    y, x = np.meshgrid((np.arange(4) * 2 + 1) / 4 - 1, (np.arange(5) * 2 + 1) / 5 - 1, indexing="ij")
    return np.einsum("nij,hwj->nhwi", theta.astype(float), np.stack([x, y, np.ones_like(x)], -1)).astype(theta.dtype)


HALF: dict[str, Any] = {"tolerance": 2e-2}

CASES: dict[str, list[Case]] = {
    "GridSample": [
        *(case(array(2, 3, 4, 5), _grid(2, 3, 4, 2), mode=m) for m in MODES),
        *(case(array(2, 3, 4, 5), _grid(2, 3, 4, 2), mode=m, align_corners=1) for m in MODES),
        case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), padding_mode="border"),
        case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), padding_mode="reflection"),
        case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), mode="cubic", padding_mode="reflection"),
        # The reference moves places outside to the border before it weighs; ONNX Runtime and PyTorch do not.
        *(case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), mode="cubic", padding_mode="border", align_corners=a, referee="ort") for a in (0, 1)),
        *(case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), mode="nearest", padding_mode=p) for p in PADDINGS[1:]),
        *(case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), mode=m, padding_mode="reflection", align_corners=1) for m in MODES),
        case(array(1, 2, 4, 5), _grid(1, 3, 4, 2), padding_mode="border", align_corners=1),
        *(case(array(1, 2, 3, 4, 2), _grid(1, 2, 3, 2, 3), mode=m) for m in MODES),
        *(case(array(2, 2, 3, 4, 2), _grid(2, 2, 3, 2, 3), padding_mode=p, align_corners=1) for p in PADDINGS[1:]),
        case(array(1, 2, 3, 4, 3), _grid(1, 2, 3, 2, 3), mode="cubic", padding_mode="reflection"),
        case(array(2, 3, 5), _grid(2, 4, 1)),
        case(array(2, 3, 5), _grid(2, 4, 1), padding_mode="border", referee=_flat),
        case(array(1, 1, 5, 1), _grid(1, 3, 4, 2), padding_mode="border"),
        # As PyTorch has it; nothing far away is read in ONNX Runtime.
        case(np.array([[[1, 2, 4]]], "float32"), np.array([[[-1e9], [np.inf], [np.nan]]], "float32"), padding_mode="border",
             referee=lambda *_: np.array([[[1, 4, 1]]], "float32")),
        case(array(1, 2, 4, 5), _grid(1, 3, 0, 2), referee=lambda x, grid: np.zeros((1, 2, 3, 0), x.dtype)),
        case(array(0, 2, 4, 5), _grid(0, 3, 4, 2), referee=lambda x, grid: np.zeros((0, 2, 3, 4), x.dtype)),
        case(array(1, 2, 4, 5, dtype="float64"), _grid(1, 3, 4, 2)),
        *(case(array(1, 2, 4, 5, dtype=d), _grid(1, 3, 4, 2), **HALF) for d in ("float16", "bfloat16")),
        case(array(1, 2, 4, 5), _grid(1, 3, 4, 2, dtype="float16"), **HALF),
        *(case(array(1, 2, 4, 5, dtype=d), _grid(1, 3, 4, 2), mode="nearest") for d in ("int32", "uint8", "bool")),
        case(np.array([[[0, 5, 7]]], "int64"), np.array([[[-0.5], [0.25], [0.5]]], "float32"), referee=lambda *_: np.array([[[1, 5, 6]]])),
    ],
    "AffineGrid": [
        *(case(array(2, 2, 3), np.array([2, 3, 4, 5]), align_corners=a) for a in (0, 1)),
        *(case(array(2, 3, 4), np.array([2, 3, 4, 2, 5]), align_corners=a) for a in (0, 1)),
        case(array(1, 2, 3), np.array([1, 1, 1, 3])),
        *(case(array(2, 2, 3), np.array([2, 1, *d]), align_corners=1) for d in ((1, 3), (2, 1))),
        case(array(2, 2, 3), np.array([2, 3, 0, 5]), referee=lambda *_: np.zeros((2, 0, 5, 2), "float32")),
        case(array(2, 2, 3, dtype="float64"), np.array([2, 3, 4, 5])),
        *(case(array(2, 2, 3, dtype=d), np.array([2, 3, 4, 5]), referee=lambda theta, _: _affine(theta), **HALF)
          for d in ("float16", "bfloat16")),
    ],
    "DeformConv": [
        _moved(mask=False),
        _moved(),
        _moved(b=array(6)),
        _moved(group=2, b=array(6)),
        _moved(offset_group=2),
        _moved(group=2, offset_group=4, made=4),
        _moved(strides=(2, 1), pads=(1, 0, 0, 2), places=(3, 7)),
        _moved(dilations=(2, 3), places=(3, 3), kernel_shape=(2, 2)),
        _moved(shape=(1, 2, 3, 4, 3), places=(2, 3, 2), made=2,
               referee=_by_taps),
        _moved(shape=(1, 2, 6), places=(5,), made=3, referee=_by_taps),
        _moved(shape=(0, 4, 5, 6), referee=lambda x, w, *_: np.zeros((0, 6, 4, 5), "float32")),
        _moved(dtype="float64"),
        *(_moved(dtype=d, tolerance=1e-1) for d in ("float16", "bfloat16")),
    ],
}  # fmt: skip
