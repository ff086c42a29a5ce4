"""Rows of graphir.ops.resize."""

from typing import Any

import numpy as np

from cases import Case, array, case


def _scales(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def _by_scale(*scales: float, dtype: str = "float32", **how: Any) -> Case:
    """A picture, resized by scales along its last two axes."""
    return case(array(1, 2, 5, 6, dtype=dtype), None, _scales(1, 1, *scales), **how)


def _to_size(*sizes: int, shape: tuple[int, ...] = (1, 2, 5, 6), **how: Any) -> Case:
    """A picture, resized to sizes."""
    return case(array(*shape), None, None, np.array(sizes), **how)


def _sparser(x: np.ndarray, *_: Any) -> np.ndarray:
    """3 of 5 rows and 4 of 6 columns, the nearest."""
    return x[:, :, [0, 2, 4]][..., [0, 2, 3, 5]]


ROI = np.array([0, 0, 0.1, 0.35, 1, 1, 0.8, 1.2], np.float32)
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")

CASES = {
    "Resize": [
        _by_scale(2, 3),
        _by_scale(0.6, 1.7),
        *(_by_scale(0.8, 1.5, nearest_mode=m) for m in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
        *(_by_scale(0.8, 1.7, mode=m, coordinate_transformation_mode=c) for m in ("linear", "cubic") for c in COORDINATES),
        *(_by_scale(1.7, 2, mode="nearest", coordinate_transformation_mode=c) for c in COORDINATES),
        *(_by_scale(0.6, 0.4, mode=m, antialias=1) for m in ("linear", "cubic")),
        _by_scale(0.6, 1.8, mode="cubic", antialias=1, exclude_outside=1),
        _by_scale(1.7, 2, mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5),
        _by_scale(1, 1),
        _by_scale(2, 2, dtype="float64", mode="linear", tolerance=1e-12),
        *(_by_scale(2, 2, dtype=d, mode="linear", tolerance=2e-2) for d in ("float16", "bfloat16")),
        *(_by_scale(2, 2, dtype=d) for d in ("uint8", "int64")),
        _by_scale(2, 2, dtype="bool", referee=lambda x, *_: x.repeat(2, 2).repeat(2, 3)),
        case(array(1, 1, 4, 4, low=0, high=255, dtype="uint8"), None, _scales(1, 1, 1.5, 1.5), mode="cubic"),
        case(array(5), None, _scales(2.5), mode="linear"),
        case(array(2, 3, 4, 3), None, _scales(1, 1.5, 2, 0.7), mode="linear"),
        _to_size(1, 2, 8, 3),
        _to_size(1, 2, 8, 3, mode="linear"),
        _to_size(1, 2, 1, 1, mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
        _to_size(1, 2, 1, 9, mode="linear", coordinate_transformation_mode="align_corners"),
        _to_size(7, 8, axes=(2, 3), mode="cubic"),
        _to_size(8, 7, axes=(-1, 2), referee="ort"),
        *(_to_size(7, 8, axes=(2, 3), keep_aspect_ratio_policy=p) for p in ("not_larger", "not_smaller", "stretch")),
        case(array(1, 2, 5, 6), None, _scales(2, 0.5), axes=(3, 2), mode="linear"),
        *(
            case(
                array(1, 1, 5, 6),
                ROI,
                None,
                np.array([1, 1, 3, 7]),
                mode=m,
                coordinate_transformation_mode="tf_crop_and_resize",
                extrapolation_value=9.0,
            )
            for m in ("nearest", "linear", "cubic")
        ),
        *(
            case(
                array(1, 1, 5, 6),
                ROI,
                None,
                np.array([1, 1, 3, 7]),
                mode="cubic",
                coordinate_transformation_mode="tf_crop_and_resize",
                keep_aspect_ratio_policy=p,
                extrapolation_value=9.0,
            )
            for p in ("not_smaller", "not_larger")
        ),
        case(array(1, 1, 5, 6), ROI, None, np.array([1, 1, 1, 1]), mode="linear", coordinate_transformation_mode="tf_crop_and_resize"),
        case(array(1, 2, 5, 6), np.zeros(0, np.float32), np.zeros(0, np.float32), np.array([1, 2, 3, 4]), referee=_sparser),
    ],
}
