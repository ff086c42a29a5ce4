"""The readable way to run a graph: node by node, each kernel bound where it stands. The executor's referee, and what folding and tests use."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphir.budget import Budget, LimitError
from graphir.dims import symbol, symbols
from graphir.ir import Graph, Node, Value
from graphir.model import Model
from graphir.nodes import Weight
from graphir.ops import Op, arguments
from graphir.ops._bodies import discard
from graphir.passes.expand import decomposed, inlined
from graphir.tensors import SparseTensor
from graphir.types import TensorType, Type
from graphir.types import bind as bind_dims

from .kernel import Site, bind, find
from .timed import timed


class Interpreter:
    """Runs graphs with kernels of one namespace. sizes: what the symbols in the types stand for, as far as that is known."""

    def __init__(self, xp: Any, overrides: str | None = None, model: Model | None = None, budget: Budget | None = None):
        self.xp = xp
        self.overrides = overrides
        self.model = model
        self.budget = budget or Budget()
        self._timed = timed(xp, self.budget)
        self.sizes: dict[str, int] = {}

    def run(self, graph: Graph, values: dict[Value, Any]) -> list[Any]:
        """The outputs of a graph. `values` holds its inputs, and for a body what it captures."""
        for weight in graph.weights.values():
            values.setdefault(weight, self.array(weight))
        for node in graph.nodes:
            inputs = [None if v is None else values[v] for v in node.inputs]
            values.update((v, x) for v, x in zip(node.outputs, self.apply(node, inputs, values)) if v is not None)
        return [values[v] for v in graph.outputs]

    def array(self, weight: Weight) -> Any:
        """A weight's data in the namespace."""
        return self.xp.asarray(dense(weight, self.budget))

    def apply(self, node: Node, inputs: list[Any], values: dict[Value, Any]) -> Sequence[Any]:
        """The outputs of one node; `values` holds what its bodies capture."""
        op = node.op
        kernel = find(op, self.overrides) if isinstance(op, Op) else None
        if kernel is None:
            body, made = decomposed(node) if isinstance(op, Op) else inlined(node, self.model)
            arrays = iter(self.run(body, {**values, **dict(zip(body.inputs, (x for x in inputs if x is not None), strict=True))}))
            if node.bodies:  # whose copies read values of the graph around the node
                discard(body)
            return [None if v is None else next(arrays) for v in made]
        assert isinstance(op, Op)
        attributes = arguments(node)
        for name, x in node.graph_attributes.items():
            attributes[name] = tuple([self.body(body, values) for body in x]) if isinstance(x, tuple) else self.body(x, values)
        types: list[Type | None] = [type_of(x) for x in inputs]
        outputs: list[Type | None] = [None if v is None else v.type for v in node.outputs]
        site = Site(self._timed, attributes, types, outputs, inputs, budget=self.budget)
        with self.xp.quiet():
            made = bind(kernel, site, op.ranks).run(*inputs)
        return made if isinstance(made, tuple | list) and op.outputs != "one" else [made]

    def body(self, body: Graph, values: dict[Value, Any]) -> Any:
        """A body as a function of arrays, which returns a list."""

        def call(*inputs: Any) -> list[Any]:
            self.budget.trip()
            return self.run(body, {**values, **dict(zip(body.inputs, inputs, strict=True))})

        call.budget = self.budget  # pyright: ignore[reportFunctionMemberAccess]
        call.outputs = [bind_dims(v.type, self.sizes) for v in body.outputs]  # pyright: ignore[reportFunctionMemberAccess]
        return call


def interpret(
    model: Model, feeds: Mapping[str, Any], xp: Any, overrides: str | None = None, kind: type[Interpreter] = Interpreter
) -> dict[str, Any]:
    """The outputs of a model whose nodes stand in the declared form, by name. kind: of interpreter."""
    values = {v: xp.asarray(feeds[v.name]) if isinstance(v.type, TensorType) else feeds[v.name] for v in model.inputs if v.name in feeds}
    interpreter = kind(xp, overrides, model)
    for v, x in values.items():
        dims = v.type.shape if isinstance(v.type, TensorType) else None
        interpreter.sizes.update((name, n) for d, n in zip(dims or (), xp.shape(x)) for name in symbols(d) if d == symbol(name))
    return {v.name: x for v, x in zip(model.outputs, interpreter.run(model.graph, values), strict=True)}


def dense(weight: Weight, budget: Budget) -> Any:
    """A weight's data as a NumPy array, sparse ones filled in. Raises LimitError where these take too much."""
    tensor = weight.tensor
    if not isinstance(tensor, SparseTensor):
        return tensor.array  # pyright: ignore[reportOptionalMemberAccess]
    try:
        budget.room(math.prod(tensor.shape) * tensor.dtype.itemsize)
    except LimitError as e:
        raise LimitError(f"the sparse weight {weight.name!r}, filled in, {e}") from None
    return budget.hold(tensor.dense())


def type_of(x: Any) -> TensorType | None:
    """The type of an array; None for what is none."""
    return TensorType(x.dtype, x.shape) if hasattr(x, "dtype") else None
