"""Rows of graphir.ops.math."""

from cases import array, case

CASES = {
    "Gemm": [
        case(array(3, 4), array(4, 5)),
        case(array(4, 3), array(4, 5), array(5), transA=1, alpha=0.5),
    ],
}
