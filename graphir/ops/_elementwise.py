"""What operators that work number by number share: their type rule, and arithmetic on contents, which are numbers or dims."""

import builtins
import keyword
import math
import re
from collections.abc import Callable
from functools import partial, reduce
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from ..dims import Expr, max_, min_, nonnegative
from ..dtypes import BOOL, INTEGERS
from ..ir import Value
from ..types import TensorType
from ._op import Op, RuleError, T, op
from ._types import broadcast, computed

Rule = Callable[..., Any]  # a gradient rule

# ---- rules -----------------------------------------------------------------------------------------------------------------------------


def same_type(x: Value) -> TensorType:
    """The type of `x`, of which only the contents change."""
    t = x.type
    return t if t.known is None else TensorType(t.dtype, t.shape)


def unary(
    module: str, name: str, since: int, types: frozenset, doc: str, on_number: Callable[[Any], Any] | None = None, input: str = "x", gradient: Rule | None = None
) -> Op[[Any], Value]:  # fmt: skip
    """An op of one input, which is called `input`, whose output has the same type. on_number: what it does to contents; gradient: its rule."""

    def rule(x: T) -> TensorType:
        t = x.type
        if t.known is None:
            return t
        return TensorType(t.dtype, t.shape, None if on_number is None else computed(x.shape, (x,), on_number))

    rule.__signature__ = Signature([Parameter(input, Parameter.POSITIONAL_OR_KEYWORD, annotation=T)], return_annotation=TensorType)
    return declared(rule, module, name, since, types, doc, gradient)


def met(a: Value, b: Value, on_numbers: Callable[[Any, Any], Any] | None = None, result: np.dtype | None = None) -> TensorType:
    """The type of what a and b make by broadcasting. on_numbers: what is done to contents; result: its dtype, by default that of a."""
    t, u = a.type, b.type
    shape, other = t.shape, u.shape
    if shape is None or other is None or (shape != other and shape[len(shape) - len(other) :] != other):
        shape = broadcast(a.shape, b.shape)
    if t.known is None and result is None and shape == t.shape:
        return t
    known = None if on_numbers is None or shape is None else computed(shape, (a, b), on_numbers, result)
    return TensorType(t.dtype if result is None else result, shape, known)


def binary(
    module: str, name: str, since: int, types: frozenset, doc: str, on_numbers: Callable[[Any, Any], Any] | None = None, result: np.dtype | None = None,
    gradient: Rule | None = None,
) -> Op[[Any, Any], Value]:  # fmt: skip
    """An op of two inputs that broadcast, as `met` types it. gradient: its rule."""

    def rule(a: T, b: T) -> TensorType:
        return met(a, b, on_numbers, result)

    return declared(rule, module, name, since, types, doc, gradient)


def variadic(
    module: str, name: str, since: int, types: frozenset, doc: str, on_numbers: Callable[[Any, Any], Any] | None = None, gradient: Rule | None = None
) -> Op[..., Value]:  # fmt: skip
    """An op of one or more inputs that broadcast. on_numbers: what it does to the contents of two of them; gradient: its rule."""

    def rule(*data_0: T) -> TensorType:
        if not data_0:
            raise RuleError("there are no inputs; expected one or more")
        first = data_0[0]
        shape = broadcast(*[x.shape for x in data_0])
        if first.known is None and shape == first.shape:
            return first.type
        known = None if on_numbers is None else computed(shape, data_0, partial(_folded, on_numbers))
        return TensorType(first.dtype, shape, known)

    return declared(rule, module, name, since, types, doc, gradient)


def _folded(function: Callable[[Any, Any], Any], *row: Any) -> Any:
    return reduce(function, row)


def declared(
    rule: Callable[..., TensorType], module: str, name: str, since: int, types: frozenset, doc: str, gradient: Rule | None = None
) -> Any:
    """The op of that name which `module` declares by `rule`, whose function is called as the op, in snake case."""
    function = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    rule.__name__ = function + "_" if keyword.iskeyword(function) or hasattr(builtins, function) else function
    rule.__doc__, rule.__module__ = doc, module
    made: Any = op(name, since=since, T=types)(rule)
    made.gradient_rule = gradient
    return made


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
    if isinstance(a, float) or (isinstance(b, Expr) and not nonnegative(b)):
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
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        return a == b
    if a != b and not nonnegative(a - b - 1) and not nonnegative(b - a - 1):
        raise TypeError
    return a == b


def is_less(a: Any, b: Any) -> bool:
    """Whether a is less than b."""
    if not isinstance(a, Expr) and not isinstance(b, Expr):
        return a < b
    if not nonnegative(b - a - 1) and not nonnegative(a - b):
        raise TypeError
    return nonnegative(b - a - 1)


def at_most(a: Any, b: Any) -> bool:
    """Whether a is less than b or b."""
    return not is_less(b, a) if isinstance(a, Expr) or isinstance(b, Expr) else a <= b


def magnitude(a: Any) -> Any:
    """a without its sign."""
    return larger(a, -a)


def sign_of(a: Any) -> Any:
    """-1, 0 or 1."""
    return (not equals(a, 0)) * (-1 if is_less(a, 0) else 1)


def cast_to(dtype: np.dtype) -> Callable[[Any], Any]:
    """What Cast to `dtype` does to contents."""
    if dtype == BOOL:
        return lambda a: not equals(a, 0)
    return lambda a: a if isinstance(a, Expr) else int(a) if dtype in INTEGERS else a


def whole(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The rounding `function`, for contents: dims are whole already."""
    return lambda a: a if isinstance(a, Expr | int) else float(function(a))
