"""What operators that sample, pool and fold images refuse: by their types, and where only the run tells."""

from typing import Any

import numpy as np
import pytest

import graphir
from graphir import Graph, Model, TensorType
from graphir.ops import RuleError
from graphir_arrays.limits import NodeError
from test_ops import BY_NAME


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _region(*numbers: float) -> np.ndarray:
    return np.array([numbers], np.float32)


SCALED: dict[str, Any] = {"kernel_shape": (2, 2), "strides": (2, 2)}
PIXELS = np.arange(4).reshape(1, 1, 2, 2)
# op, inputs, attributes, what the error says
REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("GridSample", [_ones(2, 3), _ones(2, 3)], {}, "x has rank 2 and grid 2; expected one rank, 3 or more"),
    ("GridSample", [_ones(1, 2, 3, 4), _ones(1, 2, 2, 3)], {}, r"grid \[1, 2, 2, 3\]; expected grid to be \(1, ..., 2\)"),
    ("GridSample", [_ones(1, 2, 3, 4), _ones(2, 2, 2, 2)], {}, r"grid \[2, 2, 2, 2\]; expected grid to be \(1, ..., 2\)"),
    ("GridSample", [_ones(1, 2, 0, 4), _ones(1, 2, 2, 2)], {}, r"x has shape \[1, 2, 0, 4\]; expected elements"),
    ("GridSample", [_ones(1, 2, 3, 4), _ones(1, 2, 2, 2)], {"mode": "bilinear"}, "mode is 'bilinear'"),
    ("AffineGrid", [_ones(1, 2, 3), np.array([2, 1, 3, 3])], {}, "size begins with 2; theta has 1 matrices"),
    ("AffineGrid", [_ones(1, 2, 3), np.array([1, 1, -3, 3])], {}, r"size is \[1, 1, -3, 3\]; expected no negative number"),
    ("AffineGrid", [_ones(1, 3, 4), np.array([1, 1, 3, 3])], {}, r"theta has shape \[1, 3, 4\] and size \[4\]"),
    ("DeformConv", [_ones(1, 2, 5, 5), _ones(2, 2, 2, 2), _ones(1, 6, 4, 4)], {}, r"offset has shape \[1, 6, 4, 4\]; expected \[1, 8, 4, 4\]"),
    ("DeformConv", [_ones(1, 2, 5, 5), _ones(2, 2, 2, 2), _ones(1, 8, 4, 4), None, _ones(1, 3, 4, 4)], {}, r"mask has shape .* expected \[1, 4, 4, 4\]"),
    ("DeformConv", [_ones(1, 2, 5, 5), _ones(2, 2, 2, 2), _ones(1, 24, 4, 4)], {"offset_group": 3}, "offset_group is 3; expected a divisor"),
    ("RoiAlign", [_ones(2, 2, 5), _ones(1, 4), np.array([0])], {}, "x has rank 3; expected 4"),
    ("RoiAlign", [_ones(2, 2, 5, 5), _ones(1, 5), np.array([0])], {}, r"rois has shape \[1, 5\]; expected \(R, 4\)"),
    ("RoiAlign", [_ones(2, 2, 5, 5), _ones(2, 4), np.array([0])], {}, r"batch_indices has shape \[1\]; expected \[2\]"),
    ("RoiAlign", [_ones(2, 2, 5, 5), _ones(1, 4), np.array([2])], {}, "batch_indices holds 2; x has 2 images"),
    ("RoiAlign", [_ones(2, 2, 5, 5), _ones(1, 4), np.array([-1])], {}, "batch_indices holds -1; x has 2 images"),
    ("RoiAlign", [_ones(2, 2, 5, 5), _ones(1, 4), np.array([0])], {"output_height": 0}, "are to become 0 x 1"),
    ("RoiAlign", [_ones(2, 2, 5, 5), _ones(1, 4), np.array([0])], {"mode": "min"}, "mode is 'min'"),
    ("MaxRoiPool", [_ones(2, 2, 5, 5), _ones(1, 4)], {"pooled_shape": (2, 2)}, r"expected \(R, 5\)"),
    ("MaxRoiPool", [_ones(2, 2, 5, 5), _ones(1, 5)], {"pooled_shape": (2,)}, r"pooled_shape is \[2\]; expected 2 numbers"),
    ("MaxUnpool", [_ones(1, 1, 2, 2), PIXELS[..., :1]], SCALED, r"i has shape \[1, 1, 2, 1\]; expected \[1, 1, 2, 2\]"),
    ("MaxUnpool", [_ones(1, 1, 2, 2), PIXELS, np.array([1, 1, 3, 3])], SCALED, r"output_shape is \[1, 1, 3, 3\]; expected no less than \[1, 1, 4, 4\]"),
    ("Col2Im", [_ones(1, 5, 4), np.array([3, 3]), np.array([2, 2])], {}, "columns of 5 numbers; expected a multiple of 4"),
    ("Col2Im", [_ones(1, 4, 5), np.array([3, 3]), np.array([2, 2])], {}, "input has 5 columns; the block has 4 places in the image: 2 x 2"),
    ("Col2Im", [_ones(1, 4, 5), np.array([3, 3, 3]), np.array([2, 2])], {}, "image_shape has 3 numbers and block_shape 2"),
    ("Col2Im", [_ones(1, 4, 5), np.array([3, 3]), np.array([0, 2])], {}, r"block_shape is \[0, 2\]; expected positive numbers"),
]  # fmt: skip
REFUSED_BY_THE_RUN: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("MaxUnpool", [_ones(1, 1, 2, 2), PIXELS + 13], SCALED, r"i holds the index 16; expected 0 to 15, for a tensor of shape \[1, 1, 4, 4\]"),
    ("MaxUnpool", [_ones(1, 1, 2, 2), PIXELS - 1], SCALED, "i holds the index -1; expected 0 to 15"),
    ("RoiAlign", [_ones(1, 2, 5, 5), _region(0, 0, np.nan, 1), np.array([0])], {}, "rois holds NaN or an infinity"),
    ("RoiAlign", [_ones(1, 2, 5, 5), _region(0, 0, 1e12, 1e12), np.array([0])], {}, "places in each bin; give sampling_ratio, or smaller rois"),
    ("MaxRoiPool", [_ones(1, 2, 5, 5), _region(1, 0, 0, 1, 1)], {"pooled_shape": (2, 2)}, "a region is of image 1; x has 1 images"),
    ("MaxRoiPool", [_ones(1, 2, 5, 5), _region(np.nan, 0, 0, 1, 1)], {"pooled_shape": (2, 2)}, "rois holds NaN or an infinity"),
]  # fmt: skip


def _model(name: str, arrays: list[Any], attributes: dict[str, Any], known: bool) -> tuple[Model, dict[str, Any]]:
    """The op alone; what is known are vectors of whole numbers, as weights, or nothing but ranks."""
    graph, inputs, feeds = Graph("refused"), [], {}
    for i, x in enumerate(arrays):
        if x is None:
            inputs.append(None)
        elif known and x.dtype.kind == "i" and x.ndim == 1:
            inputs.append(graph.weight(f"x{i}", x))
        else:
            inputs.append(graph.input(f"x{i}", TensorType(x.dtype, x.shape if known else [f"d{i}_{j}" for j in range(x.ndim)])))
            feeds[f"x{i}"] = x
    graph.output(BY_NAME[name](*inputs, **attributes), "y")
    return Model(graph), feeds


@pytest.mark.parametrize(("name", "arrays", "attributes", "message"), REFUSED, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED)])
def test_what_cannot_be_is_refused(name: str, arrays: list[Any], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=f"{name}: .*{message}"):
        _model(name, arrays, attributes, known=True)
    with pytest.raises((ValueError, RuleError, NodeError), match=message):
        model, feeds = _model(name, arrays, attributes, known=False)
        graphir.compile(model).run(feeds)


@pytest.mark.parametrize(
    ("name", "arrays", "attributes", "message"), REFUSED_BY_THE_RUN, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED_BY_THE_RUN)]
)
def test_what_only_the_run_tells_is_refused(name: str, arrays: list[Any], attributes: dict[str, Any], message: str) -> None:
    model, feeds = _model(name, arrays, attributes, known=True)
    with pytest.raises(NodeError, match=rf"node 'y' \({name}\): .*{message}"):
        graphir.compile(model).run(feeds)
