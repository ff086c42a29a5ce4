"""Rows of graphir.ops.shape."""

import numpy as np

from . import array, case

END = 2**63 - 1  # how exporters say "to the end"


def ints(*x: int, dtype: str = "int64") -> np.ndarray:
    """A vector of whole numbers."""
    return np.array(x, dtype)


def strings(*x: str) -> np.ndarray:
    """A vector of strings."""
    return np.array(x, object)


CASES = {
    "Shape": [
        case(array(2, 3, 4)),
        case(array(2, 3, 4), start=1),
        case(array(2, 3, 4), start=-2, end=-1),
        case(array(2, 3, 4), start=-9, end=9),
        case(array(2, 3, 4), start=2, end=1),
        case(array()),
        case(array(0, 3)),
        case(strings("a", "b")),
    ],
    "Size": [case(array(2, 3)), case(array()), case(array(0, 3)), case(array(2, dtype="bfloat16"))],
    "Reshape": [
        case(array(2, 3, 4), ints(4, 6)),
        case(array(2, 3, 4), ints(-1)),
        case(array(2, 3, 4), ints(0, -1)),
        case(array(2, 3, 4), ints(-1, 0, 2)),
        case(array(2, 3, 4), ints(2, 0, 4, 1)),
        case(array(1), ints()),
        case(array(), ints(1, 1)),
        case(array(0, 3, 4), ints(3, 0, 4), allowzero=1),
        case(array(0, 3), ints(-1, 6)),
        case(strings("a", "b", "c", "d"), ints(2, 2)),
        case(array(2, 2, dtype="bfloat16"), ints(4)),
        case(array(6, dtype="int64"), ints(2, 3)),
        case(array(1, dtype="int64"), ints()),
    ],
    "Flatten": [
        case(array(2, 3, 4)),
        case(array(2, 3, 4), axis=0),
        case(array(2, 3, 4), axis=3),
        case(array(2, 3, 4), axis=-1),
        case(array(2, 3, 4), axis=-3),
        case(array(), axis=0),
        case(array(3)),
        case(array(2, 0, 4), axis=2, referee="ort"),
    ],
    "Transpose": [
        case(array(2, 3, 4)),
        case(array(2, 3, 4), perm=(1, 2, 0)),
        case(array()),
        case(array(5, dtype="int64")),
        case(array(0, 3)),
        case(array(2, 3, dtype="bool")),
    ],
    "Squeeze": [
        case(array(1, 3, 1), ints(0)),
        case(array(1, 3, 1), ints(0, -1)),
        case(array(1, 3, 1)),
        case(array(1, 1), ints(0, 1)),
        case(array(1, dtype="int64"), ints(0)),
        case(array(2, 1, 0), ints(1)),
    ],
    "Unsqueeze": [
        case(array(3, 4), ints(0)),
        case(array(3, 4), ints(3, 0)),
        case(array(3, 4), ints(-1, -4)),
        case(array(), ints(0)),
        case(array(dtype="int64"), ints(0)),
        case(array(0), ints(1)),
        case(array(2), ints()),
    ],
    "Expand": [
        case(array(3, 1), ints(2, 1, 6)),
        case(array(3, 4), ints(1)),
        case(array(3, 4), ints()),
        case(array(), ints(2, 3)),
        case(array(1, dtype="int64"), ints(4)),
        case(array(1, 3), ints(0, 3)),
        case(array(0, 1), ints(1, 2)),
        case(strings("a"), ints(2, 2)),
    ],
    "Concat": [
        case(array(2, 3), array(2, 1), axis=1),
        case(array(2, 3), array(4, 3), array(1, 3), axis=-2),
        case(array(2, 3), axis=0),
        case(array(2, 0), array(2, 3), axis=1),
        case(array(2, dtype="int64"), array(1, dtype="int64"), array(0, dtype="int64"), axis=0),
        case(strings("a"), strings("b", "c"), axis=0),
        case(array(2, dtype="bfloat16"), array(2, dtype="bfloat16"), axis=0),
    ],
    "Split": [
        case(array(6), ints(2, 4), outputs=2),
        case(array(2, 6), ints(1, 0, 5), axis=1, outputs=3),
        case(array(2, 6), num_outputs=3, axis=-1, outputs=3),
        case(array(7, 2), num_outputs=4, outputs=4),
        case(array(7), num_outputs=2, outputs=2),
        case(array(0, 2), num_outputs=2, outputs=2),
        case(array(4, dtype="int64"), ints(1, 3), outputs=2),
        case(array(6), num_outputs=1, outputs=1),
        case(strings("a", "b", "c"), ints(2, 1), outputs=2),
    ],
    "Slice": [
        case(array(6, 5), ints(1), ints(4)),
        case(array(6, 5), ints(1, 0), ints(4, 3), ints(0, 1), ints(1, 2)),
        case(array(6, 5), ints(1), ints(END), ints(1)),
        case(array(6, 5), ints(-3), ints(-1), ints(-1)),
        case(array(6, 5), ints(-1), ints(-END - 1), ints(0), ints(-1)),
        case(array(6, 5), ints(4), ints(0), ints(0), ints(-3)),
        case(array(6, 5), ints(-100), ints(100), ints(1), ints(2)),
        case(array(6, 5), ints(4), ints(2), ints(0)),
        case(array(6, 5), ints(10), ints(12), ints(0)),
        case(array(6, 5), ints(1, dtype="int32"), ints(2**31 - 1, dtype="int32"), ints(0, dtype="int32"), ints(2, dtype="int32")),
        case(array(0, 5), ints(0), ints(3), ints(0)),
        case(array(5, dtype="int64"), ints(1), ints(4), ints(0), ints(2)),
        case(array(5, dtype="int64"), ints(-1), ints(-END), ints(0), ints(-2)),
        case(strings("a", "b", "c"), ints(1), ints(3)),
        case(array(3, 4), ints(), ints(), ints()),
    ],
}
