"""An operator of another package, as the entry-point group `graphir.ops` would bring it."""

from graphir.ops._op import T, op
from graphir.ops._types import FLOAT
from graphir.types import TensorType


@op("Cube", since=1, domain="com.acme", T=FLOAT)
def cube(x: T, *, scale: float = 1.0) -> TensorType:
    """scale * x ** 3."""
    return x.type


@cube.kernel
def cube_kernel(xp, x, *, scale):
    return xp.asarray(scale, x.dtype) * x**3
