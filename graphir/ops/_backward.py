"""What the gradient rules of operators with bodies share: a body that runs the forward one again, and behind it the gradients."""

from collections.abc import Iterable, Sequence

import graphir.ops as ops

from ..dims import unknown
from ..ir import Graph, Node, Value
from ..types import OptionalType, TensorType, Type, map_dims
from ._bodies import Told, body_in, paste, tidy, yields
from ._gradient import GradientError, gradients, is_float, sum_up, zeros_like
from ._op import Op


class Backward:
    """The body of a backward node, beside the forward one.

    outside: where the two nodes stand. values: the copy of each value of the forward body. gradients: those that were found.
    told: what numbers were that the forward body drew.
    """

    def __init__(self, node: Node, forward: Graph, told: Told):
        self.node = node
        self.forward = forward
        self.told = told
        self.outside = node.graph or forward.root
        self.body = body_in(self.outside, forward.name)
        self.values: dict[Value, Value] = {}
        self.gradients: dict[Value, Value] = {}

    def input(self, like: Value) -> Value:
        """A new input, of the name and the type of a value."""
        return self.body.input(self.body.fresh(like.name), like.type)

    def gradient_of(self, v: Value, type_: Type | None = None) -> Value:
        """A new input for the gradient of a value, of the value's type unless another is given."""
        return self.body.input(self.body.fresh(f"{self.body.name}_d_{v.name}"), gradient_type(type_ or v.type))

    def sweep(self, dys: Iterable[tuple[Value, Value | None]], wrt: Sequence[Value]) -> None:
        """Run the forward body again and go back from its outputs, with their gradients, to `wrt`: values of this body and outer ones."""
        with self.body:
            try:
                paste(self.forward, self.body, self.values, self.told)
            except ValueError as e:
                raise GradientError(f"{e}, which cannot be drawn again for the gradient of {self.node.op} {self.node.label!r}") from None
            seeds: dict[Value, Value] = {}
            for v, dy in dys:
                if dy is None or not is_float(v):
                    continue
                y = self.values.get(v, v)
                y = y if y.graph is self.body else ops.elementwise.identity(y)
                seeds[y] = sum_up(seeds[y], dy) if y in seeds else dy
            try:
                found = gradients(seeds, wrt) if seeds else ()
            except GradientError as e:
                raise GradientError(f"{e}, in a body of {self.node.op} {self.node.label!r}") from None
        self.gradients = {v: dv for v, dv in zip(wrt, found) if dv is not None}

    def gradient(self, v: Value) -> Value:
        """The gradient of one of `wrt`; zeros where none flows."""
        with self.body:
            return self.gradients[v] if v in self.gradients else zeros_like(v)

    def finish(self, *outputs: Value) -> None:
        """Yield these, and drop what they do not need."""
        yields(self.body, *outputs)
        tidy(self.body)


def typed_as(dv: Value, v: Value) -> Value:
    """dv, the gradient of v, with the type that it must have, where its type rule could not know."""
    dv.type = gradient_type(v.type)  # pyright: ignore[reportAttributeAccessIssue]
    return dv


def gradient_type(t: Type | None) -> Type | None:
    """The type of the gradient of a value of type t: that of an optional value is the gradient of what it holds, or has no elements where it holds nothing."""
    return map_dims(plain(t.element), lambda d: unknown()) if isinstance(t, OptionalType) else plain(t)


def types_of(node: Node) -> list[Type | None]:
    """The types of all outputs that a node can have now."""
    assert isinstance(node.op, Op)
    return node.op.infer(node.inputs, node.attributes)


def plain(t: Type | None) -> Type | None:
    """A type without known contents: a gradient has others."""
    return TensorType(t.dtype, t.shape) if isinstance(t, TensorType) else t
