"""Elementwise operators of one or two inputs: arithmetic, rounding, exponentials, comparisons, logic."""

import math
from collections.abc import Callable
from typing import Any

from ..dtypes import BOOL
from ..types import TensorType
from ._op import Op, RuleError, T, T1, op
from ._types import BOOLEAN, FLOAT, NUMERIC, SIGNED_INTS, broadcast, computed


def _binary(name: str, since: int, types: Any, doc: str, on_numbers: Callable[..., Any]) -> Op:
    def rule(a: T, b: T) -> TensorType:
        if a.type == b.type and a.type.known is None:
            return a.type
        shape = broadcast(a.shape, b.shape)
        return TensorType(a.dtype, shape, computed(shape, (a, b), on_numbers))

    rule.__name__, rule.__doc__ = name.lower(), doc
    return op(name, since=since, T=types)(rule)


def _divide(a: Any, b: Any) -> Any:
    """a / b for sizes, rounded towards zero as ONNX has it for integers."""
    return math.trunc(a / b) if isinstance(a, int) and isinstance(b, int) and (a < 0) != (b < 0) else a // b


add = _binary("Add", 14, NUMERIC, "a + b.", lambda a, b: a + b)
sub = _binary("Sub", 14, NUMERIC, "a - b.", lambda a, b: a - b)
mul = _binary("Mul", 14, NUMERIC, "a * b.", lambda a, b: a * b)
div = _binary("Div", 14, NUMERIC, "a / b, rounded towards zero for integers.", _divide)


def _unary(name: str, since: int, types: Any, doc: str) -> Op:
    def rule(x: T) -> TensorType:
        return x.type

    rule.__name__, rule.__doc__ = name.lower(), doc
    return op(name, since=since, T=types)(rule)


exp = _unary("Exp", 13, FLOAT, "e to the x.")
tanh = _unary("Tanh", 13, FLOAT, "The hyperbolic tangent of x.")
relu = _unary("Relu", 14, FLOAT | SIGNED_INTS, "max(x, 0).")


@op("Where", since=16)
def where(condition: T1, x: T, y: T) -> TensorType:
    """x where the condition holds, y elsewhere."""
    return TensorType(x.dtype, broadcast(condition.shape, x.shape, y.shape))
