"""Products: matrices, tensors, sums along letters."""

from ..types import TensorType
from ._op import RuleError, T, op
from ._types import FLOAT, WIDE_INTS, broadcast


@op("Gemm", since=13, T=FLOAT | WIDE_INTS)
def gemm(a: T, b: T, c: T | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0) -> TensorType:
    """alpha * a' @ b' + beta * c, where ' transposes if transA or transB is set; a' is (M, K), b' (K, N), c broadcasts to (M, N)."""
    if a.rank != 2 or b.rank != 2:
        raise RuleError("a and b must be matrices")
    m, k = a.shape[::-1] if transA else a.shape
    l, n = b.shape[::-1] if transB else b.shape
    if k != l and isinstance(k, int) and isinstance(l, int):
        raise RuleError(f"a' is {m} x {k} but b' is {l} x {n}; their inner sizes differ")
    if c is not None and broadcast(c.shape, (m, n)) != (m, n):
        raise RuleError(f"c does not broadcast to {[m, n]}")
    return TensorType(a.dtype, (m, n))
