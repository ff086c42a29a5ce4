"""Rows of graphir.ops.signal."""

from typing import Any

import numpy as np

from cases import Case, array, case

HALF: Any = {"tolerance": 3e-2}


def _number(n: int, dtype: str = "int64") -> np.ndarray:
    return np.array(n, dtype)


def _transforms(size: int, **how: Any) -> list[Case]:
    """Each way, of complex and of real numbers, as long as they are, longer and shorter."""
    lengths = [None, _number(size + 3), _number(size - 2)]
    rows = [case(array(2, size, 3, c), n, _number(1), inverse=i, **how) for c in (1, 2) for i in (0, 1) for n in lengths]
    rows += [case(array(2, size, 3, 1), n, _number(1), onesided=1, **how) for n in lengths]
    return rows + [case(array(2, size, 3, 2), n, _number(1), onesided=1, inverse=1, **how) for n in (*lengths, _number(2 * size))]


WINDOW = [
    *(case(_number(n), periodic=p) for n in (1, 8, 9) for p in (0, 1) if n > 1 or p),
    case(_number(0)),
    case(_number(10, "int32")),
    case(_number(10), output_datatype="float64", tolerance=1e-12),
    *(case(_number(10), output_datatype=d, **HALF) for d in ("float16", "bfloat16")),
]

CASES = {
    "DFT": [
        case(array(2, 5, 2)),
        case(array(2, 6, 1), onesided=1),
        case(array(2, 4, 2), onesided=1, inverse=1),
        case(array(5, 3, 2), None, _number(0), inverse=1),
        case(array(5, 3, 2), _number(7), _number(-3)),
        case(array(2, 5, 2), _number(7), onesided=1, inverse=1),
        case(array(2, 5, 2), _number(4), onesided=1, inverse=1),
        case(array(3, 2)),
        *_transforms(5),
        *_transforms(6),
        case(array(2, 6, 2), _number(5, "int32")),
        case(array(0, 4, 2), referee=lambda x: np.zeros((0, 4, 2), "float32")),
        case(array(2, 0, 1), referee=lambda x: np.zeros((2, 0, 2), "float32")),
        case(array(2, 1, 2), onesided=1, inverse=1, referee=lambda x: np.zeros((2, 0, 1), "float32")),
        case(array(2, 5, 2, dtype="float64"), tolerance=1e-12),
        *(case(array(2, 5, 2, dtype=d), **HALF) for d in ("float16", "bfloat16")),
    ],
    "STFT": [
        case(array(2, 20, 1), _number(3), array(8)),
        case(array(2, 20, 1), _number(3), array(8), onesided=0),
        case(array(2, 20, 2), _number(3), array(7), onesided=0),
        case(array(2, 20, 2), _number(3), array(7)),
        case(array(2, 20, 1), _number(4), None, _number(5)),
        case(array(2, 20, 1), _number(4), array(6), _number(6)),
        case(array(2, 20, 1), _number(1), array(20)),
        case(array(2, 10, 1), _number(3)),
        case(array(2, 20, 1), _number(9, "int32"), None, _number(5, "int32")),
        case(array(0, 20, 1), _number(3), array(8)),
        case(array(1, 20, 1, dtype="float64"), _number(3), array(8, dtype="float64"), tolerance=1e-12),
        *(case(array(1, 20, 1, dtype=d), _number(3), array(8, dtype=d), tolerance=6e-2) for d in ("float16", "bfloat16")),
    ],
    "HannWindow": WINDOW,
    "HammingWindow": WINDOW,
    "BlackmanWindow": WINDOW,
    "MelWeightMatrix": [
        *(
            case(_number(bands), _number(length), _number(8192), np.array(low, dtype), np.array(high, dtype))
            for bands, length, low, high in ((8, 16, 0.0, 4096.0), (20, 512, 100.0, 3800.0), (5, 7, 0.0, 4096.0), (40, 32, 125.0, 3000.0))
            for dtype in ("float32", "float64")
        ),
        case(_number(8, "int32"), _number(16, "int32"), _number(8192, "int32"), np.array(0, "float16"), np.array(4096, "float16")),
        case(_number(8), _number(16), _number(8192), np.array(0, "float32"), np.array(4096, "float32"), output_datatype="float64"),
        case(_number(0), _number(16), _number(8192), np.array(0, "float32"), np.array(4096, "float32")),
    ],
}
