"""Rows of graphir.ops.arrange."""

import numpy as np

from . import array, case
from .shape import ints, strings

FIVE = np.array(5, "float32")

CASES = {
    "Tile": [
        case(array(2, 3), ints(2, 1)),
        case(array(2, 3), ints(0, 2)),
        case(array(), ints()),
        case(array(2, dtype="int64"), ints(3)),
        case(array(0, 2), ints(2, 2)),
        case(strings("a", "b"), ints(2)),
        case(array(2, 1, 3, dtype="bfloat16"), ints(1, 4, 2)),
        case(array(2, 3, 2), ints(1, 2, 1)),
        case(array(2, 3), ints(1, 1)),
    ],
    "Pad": [
        case(array(2, 3), ints(0, 2, 1, 0)),
        case(array(2, 3), ints(1, 1, 1, 1), FIVE),
        case(array(2, 3), ints(1, 2), None, ints(-1)),
        case(array(2, 3), ints(1, 2), FIVE, ints(0, dtype="int32")),
        case(array(2, 3), ints(1, 0, 2, 3), None, ints(1, 0)),
        case(array(4, 5), ints(-1, 1, 0, -2), referee="ort"),
        case(array(4, 5), ints(1, 2, 2, 3), mode="reflect"),
        case(array(3), ints(5, 4), mode="reflect"),
        case(array(3), ints(0, 0), mode="reflect"),
        case(array(1), ints(2, 2), mode="edge"),
        case(array(4, 5), ints(1, 0, 0, 2), mode="edge"),
        case(array(4, 5), ints(1, 7, 6, 2), mode="wrap"),
        case(array(4, 5), ints(-1, 2, 2, -1), mode="edge", referee="ort"),
        case(array(6), ints(-2, 2), mode="reflect", referee="ort"),
        case(array(0, 2), ints(1, 0, 1, 0)),
        case(array(2, dtype="bool"), ints(1, 1), np.array(True)),
        case(array(2, dtype="int32"), ints(1, 1)),
        case(array(2, 2, dtype="bfloat16"), ints(0, 1, 0, 1)),
    ],
    "CenterCropPad": [
        case(array(10, 7, 3), ints(8, 9, 3)),
        case(array(10, 7, 3), ints(7, 4, 6)),
        case(array(10, 7), ints(3), axes=(-1,)),
        case(array(10, 7), ints(12, 9, dtype="int32"), axes=(1, 0)),
        case(array(0, 3), ints(2, 3)),
    ],
    "DepthToSpace": [
        case(array(2, 8, 2, 3), blocksize=2),
        case(array(2, 8, 2, 3), blocksize=2, mode="CRD"),
        case(array(1, 3, 2, 2), blocksize=1),
        case(array(0, 4, 2, 2), blocksize=2),
    ],
    "SpaceToDepth": [
        case(array(2, 2, 4, 6), blocksize=2),
        case(array(2, 2, 4, 6), blocksize=2, mode="CRD"),
        case(array(1, 1, 3, 3, dtype="int32"), blocksize=3),
    ],
    "Trilu": [
        case(array(3, 4)),
        case(array(3, 4), upper=0),
        case(array(2, 3, 4), np.array(1)),
        case(array(2, 4, 3), np.array(-2)),
        case(array(4, 3), np.array(1), upper=0),
        case(array(3, 3), np.array(-9), upper=0),
        case(array(0, 3)),
        case(array(3, 3, dtype="int64"), np.array(2)),
        case(array(3, 3, dtype="bool"), upper=0),
    ],
    "ReverseSequence": [
        case(array(4, 3), ints(4, 0, 2)),
        case(array(3, 4), ints(1, 4, 3), batch_axis=0, time_axis=1),
        case(array(4, 3, 2), ints(1, 2, 3)),
        case(array(3, 4, 2, dtype="int32"), ints(1, 2, 3), batch_axis=0, time_axis=1),
        case(array(4, 0), ints()),
    ],
}
