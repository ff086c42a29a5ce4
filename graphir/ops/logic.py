"""Comparisons, and logic on booleans and on bits."""

import operator
from functools import partial

from ..dtypes import BOOL
from ..types import TensorType
from ._elementwise import at_most, binary, equals, is_less, met, unary
from ._gradient import declare_none
from ._op import RuleError, T, op
from ._types import BOOLEAN, INTS, NUMERIC, STRINGS

_unary = partial(unary, __name__)
_binary = partial(binary, __name__)
_comparison = partial(binary, __name__, result=BOOL)

equal = _comparison("Equal", 19, NUMERIC | BOOLEAN | STRINGS, "Whether a is b.", equals)
greater = _comparison("Greater", 13, NUMERIC, "Whether a is more than b.", lambda a, b: is_less(b, a))
greater_or_equal = _comparison("GreaterOrEqual", 16, NUMERIC, "Whether a is b or more.", lambda a, b: at_most(b, a))
less = _comparison("Less", 13, NUMERIC, "Whether a is less than b.", is_less)
less_or_equal = _comparison("LessOrEqual", 16, NUMERIC, "Whether a is b or less.", at_most)

and_ = _binary("And", 7, BOOLEAN, "Whether both a and b hold.", operator.and_)
or_ = _binary("Or", 7, BOOLEAN, "Whether a or b holds.", operator.or_)
xor = _binary("Xor", 7, BOOLEAN, "Whether one of a and b holds.", operator.xor)
not_ = _unary("Not", 1, BOOLEAN, "Whether x does not hold.", operator.not_)

bitwise_and = _binary("BitwiseAnd", 18, INTS, "The bits that both a and b have.", operator.and_)
bitwise_or = _binary("BitwiseOr", 18, INTS, "The bits that a or b has.", operator.or_)
bitwise_xor = _binary("BitwiseXor", 18, INTS, "The bits that one of a and b has.", operator.xor)
bitwise_not = _unary("BitwiseNot", 18, INTS, "The bits that x does not have.")


@op("BitShift", since=28, T=INTS)
def bit_shift(x: T, y: T, *, direction: str) -> TensorType:
    """The bits of x moved by y places, to the LEFT or to the RIGHT; on the right the sign fills up.

    A y that is negative, or no less than the bits that x has, moves all of them out.
    """
    if direction not in ("LEFT", "RIGHT"):
        raise RuleError(f"direction is {direction!r}; expected LEFT or RIGHT")
    return met(x, y)


declare_none(equal, greater, greater_or_equal, less, less_or_equal, and_, or_, xor, not_)
declare_none(bitwise_and, bitwise_or, bitwise_xor, bitwise_not, bit_shift)
