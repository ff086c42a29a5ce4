"""What operators that work number by number share: their type rule, and arithmetic on contents, which are numbers or dims."""

import builtins
import keyword
import math
import re
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from ..dims import Expr, max_, min_, nonnegative
from ..ir import Value
from ..types import TensorType
from ._op import Op, RuleError, T, op
from ._types import broadcast, computed

# ---- rules -----------------------------------------------------------------------------------------------------------------------------


def same_type(x: Value) -> TensorType:
    """The type of `x`, of which only the contents change."""
    t = x.type
    return t if t.known is None else TensorType(t.dtype, t.shape)


def unary(module: str, name: str, since: int, types: frozenset, doc: str, on_number: Callable[[Any], Any] | None = None, input: str = "x") -> Op[[Any], Value]:
    """An op of one input, which is called `input`, whose output has the same type. on_number: what it does to contents."""

    def rule(x: T) -> TensorType:
        t = x.type
        if t.known is None:
            return t
        return TensorType(t.dtype, t.shape, None if on_number is None else computed(x.shape, (x,), on_number))

    rule.__signature__ = Signature([Parameter(input, Parameter.POSITIONAL_OR_KEYWORD, annotation=T)], return_annotation=TensorType)
    return _declared(rule, module, name, since, types, doc)


def binary(
    module: str, name: str, since: int, types: frozenset, doc: str, on_numbers: Callable[[Any, Any], Any] | None = None, result: np.dtype | None = None
) -> Op[[Any, Any], Value]:  # fmt: skip
    """An op of two inputs that broadcast. on_numbers: what it does to contents; result: the output's dtype, by default that of the inputs."""

    def rule(a: T, b: T) -> TensorType:
        t, u = a.type, b.type
        shape = t.shape if t.shape == u.shape else broadcast(a.shape, b.shape)
        if t.known is None and result is None and shape == t.shape:
            return t
        known = computed(a.shape and shape, (a, b), on_numbers, result) if on_numbers and t.known is not None and u.known is not None else None
        return TensorType(t.dtype if result is None else result, shape, known)

    return _declared(rule, module, name, since, types, doc)


def variadic(module: str, name: str, since: int, types: frozenset, doc: str, on_numbers: Callable[[Any, Any], Any] | None = None) -> Op[..., Value]:
    """An op of one or more inputs that broadcast. on_numbers: what it does to the contents of two of them."""

    def rule(*data_0: T) -> TensorType:
        if not data_0:
            raise RuleError("there are no inputs; expected one or more")
        first = data_0[0]
        shape = broadcast(*[x.shape for x in data_0])
        if first.known is None and shape == first.shape:
            return first.type
        return TensorType(first.dtype, shape, None if on_numbers is None else computed(shape, data_0, lambda *row: _folded(on_numbers, row)))

    return _declared(rule, module, name, since, types, doc)


def _folded(function: Callable[[Any, Any], Any], row: tuple) -> Any:
    total, *rest = row
    for k in rest:
        total = function(total, k)
    return total


def _declared(rule: Callable[..., TensorType], module: str, name: str, since: int, types: frozenset, doc: str) -> Any:
    function = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    rule.__name__ = function + "_" if keyword.iskeyword(function) or hasattr(builtins, function) else function
    rule.__doc__, rule.__module__ = doc, module
    return op(name, since=since, T=types)(rule)


# ---- contents: numbers and dims; TypeError where the result hangs on sizes that are not known ---------------------------------------------


def truncated(a: Any, b: Any) -> Any:
    """a / b rounded towards zero, for whole numbers."""
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if nonnegative(a) and nonnegative(b):
        return a // b
    if nonnegative(-a) and nonnegative(b):
        return -(-a // b)
    raise TypeError


def exact_quotient(a: Any, b: Any) -> Any:
    """a / b for floats; of dims, only where nothing is left over."""
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        return a / b
    quotient = a // b
    if quotient * b != a:
        raise TypeError
    return quotient


def remainder(a: Any, b: Any) -> Any:
    """What is left of whole a after division by b, with the sign of b."""
    if isinstance(a, float) or isinstance(b, Expr) and not nonnegative(b):
        raise TypeError
    return a - b * (a // b)


def truncated_remainder(a: Any, b: Any) -> Any:
    """What is left of whole a after division by b, with the sign of a."""
    if isinstance(a, float):
        raise TypeError
    return a - b * truncated(a, b)


def larger(a: Any, b: Any) -> Any:
    """The larger of a and b."""
    return max_(a, b) if isinstance(a, Expr) or isinstance(b, Expr) else _ordered(max, a, b)


def smaller(a: Any, b: Any) -> Any:
    """The smaller of a and b."""
    return min_(a, b) if isinstance(a, Expr) or isinstance(b, Expr) else _ordered(min, a, b)


def _ordered(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    return math.nan if a != a or b != b else function(a, b)


def equals(a: Any, b: Any) -> bool:
    """Whether a is b."""
    if a == b:
        return True
    if isinstance(a, Expr) or isinstance(b, Expr):
        if not less(a, b, surely=False) and not less(b, a, surely=False):
            raise TypeError
    return False


def less(a: Any, b: Any, surely: bool = True) -> bool:
    """Whether a is less than b; with surely=False, False also where that is not known."""
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        return a < b
    if nonnegative(b - a - 1):
        return True
    if surely and not nonnegative(a - b):
        raise TypeError
    return False


def magnitude(a: Any) -> Any:
    """a without its sign."""
    if isinstance(a, Expr):
        return larger(a, -a)
    return abs(a)


def sign(a: Any) -> Any:
    """-1, 0 or 1."""
    return (not equals(a, 0)) * (-1 if less(a, 0) else 1)


def whole(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The rounding `function`, for contents: dims are whole already."""
    return lambda a: a if isinstance(a, Expr | int) else float(function(a))
