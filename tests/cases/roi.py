"""Rows of graphir.ops.roi."""

from typing import Any

import numpy as np
from onnx import helper

from cases import Case, array, case
from referees import run_with_onnxruntime


def _numbers(*rows: tuple[float, ...], dtype: str = "float32") -> np.ndarray:
    return np.array(rows, dtype)


REGIONS = _numbers((0.3, 0.6, 3.1, 4.2), (1.2, 0.1, 6.4, 2.9), (-1.5, 2.2, 2.5, 7.7), (4.1, 3.3, 4.4, 3.5))
INVERTED = _numbers((3.0, 2.0, 1.0, 1.0), (0.4, 0.7, 2.1, 2.2), (2.0, 1.0, 2.0, 3.0))
IMAGES = np.array([0, 1, 1, 0])


def _aligned(mode: str = "avg", dtype: str = "float32", rois: np.ndarray = REGIONS, images: np.ndarray = IMAGES, **how: Any) -> Case:
    """Regions of two images of 5 x 6, as maps of 2 x 3."""
    attributes: dict[str, Any] = {} if mode == "avg" else {"mode": mode}
    return case(array(2, 3, 5, 6, dtype=dtype), rois.astype(dtype), images, output_height=2, output_width=3, **attributes, **how)


def _pooled(x: Any, rois: np.ndarray, *shape: int, scale: float = 1.0, tolerance: float = 1e-5) -> Case:
    """Regions of images, by ONNX Runtime, which knows no newer version than the first, in float32."""

    def first_version(x: np.ndarray, rois: np.ndarray) -> np.ndarray:
        arrays = {"x": x.astype("float32"), "rois": rois.astype("float32")}
        infos = [helper.make_tensor_value_info(k, 1, v.shape) for k, v in arrays.items()]
        node = helper.make_node("MaxRoiPool", ["x", "rois"], ["y"], pooled_shape=shape, spatial_scale=scale)
        graph = helper.make_graph([node], "row", infos, [helper.make_tensor_value_info("y", 1, None)])
        found = run_with_onnxruntime(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), arrays)
        assert found is not None
        return found[0].astype(x.dtype)

    attributes: dict[str, Any] = {"spatial_scale": scale} if scale != 1 else {}
    return case(x, rois, pooled_shape=shape, referee=first_version, tolerance=tolerance, **attributes)


OLD: dict[str, Any] = {"coordinate_transformation_mode": "output_half_pixel"}
CASES: dict[str, list[Case]] = {
    "RoiAlign": [
        _aligned(),
        _aligned(sampling_ratio=2),
        _aligned(mode="max"),
        _aligned(mode="max", sampling_ratio=2),
        _aligned(**OLD),
        _aligned(sampling_ratio=3, spatial_scale=0.5, **OLD),
        _aligned(rois=INVERTED, images=IMAGES[:3]),
        _aligned(mode="max", rois=INVERTED, images=IMAGES[:3]),
        _aligned(mode="max", spatial_scale=0.5, **OLD),
        _aligned(sampling_ratio=1),
        _aligned(rois=REGIONS * 30, spatial_scale=0.1),
        case(array(1, 2, 4, 4), REGIONS[:1], np.array([0])),
        case(array(1, 2, 1, 1), REGIONS[:1], np.array([0]), output_height=2, output_width=2, sampling_ratio=2),
        case(array(1, 2, 4, 4), REGIONS[:0], IMAGES[:0], output_height=2, referee=lambda *_: np.zeros((0, 2, 2, 1), "float32")),
        _aligned(dtype="float64", tolerance=1e-9),
        *(_aligned(dtype=d, sampling_ratio=2, tolerance=5e-2) for d in ("float16", "bfloat16")),
    ],
    "MaxRoiPool": [
        _pooled(array(1, 2, 6, 7), _numbers((0, 1, 0, 5, 4)), 2, 2),
        _pooled(array(2, 3, 6, 7), _numbers((0, 0, 0, 6, 5), (1, 2, 1, 3, 5), (1, 4, 4, 9, 9), (0, 3, 3, 1, 1)), 3, 2),
        _pooled(array(2, 3, 6, 7), _numbers((0, 1, 1, 11, 9), (1, -7, 5, 4, 11)), 2, 3, scale=0.5),
        _pooled(array(1, 2, 6, 7), _numbers((0, 20, 20, 30, 30)), 2, 2),
        _pooled(array(1, 2, 6, 7), _numbers((0, 2, 3, 2, 3)), 3, 3),
        _pooled(array(1, 2, 6, 7), np.zeros((0, 5), "float32"), 2, 2),
        _pooled(array(1, 2, 6, 7, dtype="float64"), _numbers((0, 1, 0, 5, 4), dtype="float64"), 2, 2),
        *(_pooled(array(1, 2, 6, 7, dtype=d), _numbers((0, 1, 0, 5, 4), dtype=d), 2, 2) for d in ("float16", "bfloat16")),
    ],
}
