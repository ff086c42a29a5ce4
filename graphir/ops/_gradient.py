"""Reverse mode on values: walks nodes backwards and lets each op's gradient rule build the gradients of its inputs.

The driver owns what every rule would have to repeat: un-broadcasting, accumulation, reachability. Rules are only algebra.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import graphir.ops as ops

from ..dtypes import FLOATS
from ..ir import Graph, Node, Value
from ..types import TensorType, Type
from ._op import Op, arguments, decompose


class GradientError(TypeError):
    """Raised where a gradient cannot be built: no rule, no path, a rank that is not known. Names the operator, the node and the path."""


def gradients(of: Mapping[Value, Value], wrt: Sequence[Value]) -> list[Value | None]:
    """The gradients of the sum over `of` (value -> seed) of value * seed, with respect to each of `wrt`; None where no path leads there.

    All values live in one graph, and the new nodes are built at its end. Raises GradientError for an operator on the way that has no rule.
    """
    graph = next(iter(of)).graph
    return _Sweep(graph, _depending_on(graph, wrt)).run(of, wrt)


def is_float(v: Value | None) -> bool:
    """Whether gradients flow through a value: a tensor of floats, or a sequence or optional of them."""
    return v is not None and _has_floats(v.type)


def zeros_like(x: Value) -> Value:
    """Zeros of the type of x."""
    import numpy as np

    return ops.create.constant_of_shape(ops.shape.shape(x), value=np.zeros(1, x.dtype))


def sum_to(dy: Value, x: Value) -> Value:
    """dy summed to the shape of x, over the axes along which x was broadcast. Raises GradientError where a rank is not known."""
    if dy.type.shape is None or x.type.shape is None:
        raise GradientError(
            f"the rank of {dy.name if dy.type.shape is None else x.name} is unknown, so its gradient cannot be summed to its shape"
        )
    if dy.shape == x.shape:
        return dy
    lead = dy.rank - x.rank
    if lead > 0:
        dy = ops.reduce.reduce_sum(dy, list(range(lead)), keepdims=0)
    sure = [i for i, (a, b) in enumerate(zip(dy.shape, x.shape)) if b == 1 and a != 1]
    if sure:
        dy = ops.reduce.reduce_sum(dy, sure, keepdims=1)
    if dy.shape == x.shape:
        return dy
    # A size that only the run tells: sum where x has 1. Five nodes, also right where there is no such axis.
    ones = ops.logic.equal(ops.shape.shape(x), 1)
    axes = ops.shape.reshape(ops.index.non_zero(ones), [-1])
    dy = ops.reduce.reduce_sum(dy, axes, keepdims=1, noop_with_empty_axes=1)
    dy.type = TensorType(dy.dtype, x.shape)  # what the rule cannot know
    return dy


class _Sweep:
    """One walk backwards. needed: the values that depend on what is differentiated for."""

    def __init__(self, graph: Graph, needed: set[Value]):
        self.graph = graph
        self.needed = needed
        self.parts: dict[Value, list[Value]] = {}

    def run(self, of: Mapping[Value, Value], wrt: Sequence[Value]) -> list[Value | None]:
        for v, seed in of.items():
            self.parts.setdefault(v, []).append(seed)
        self.back(list(self.graph.nodes), set(wrt))
        return [self.total(v) for v in wrt]

    def back(self, nodes: list[Node], stop: Iterable[Value] = ()) -> None:
        """Walk these nodes from the last to the first. The parts of values in `stop` stay."""
        for node in reversed(nodes):
            if any(v in self.parts and v in self.needed for v in node.outputs if v is not None):
                self.node(node)

    def total(self, v: Value | None) -> Value | None:
        """The gradient of a value: the sum of what its readers gave, made once."""
        parts = self.parts.get(v) if v is not None else None
        if not parts or v is None:
            return None
        if len(parts) > 1:
            self.parts[v] = parts = [ops.elementwise.sum_(*parts)]
        return parts[0]

    def node(self, node: Node) -> None:
        op = node.op
        if not isinstance(op, Op):
            raise GradientError(
                f"{op} of node {node.label!r} is not declared to graphir, so it cannot be differentiated; {self._way(node)}"
            )
        if op.gradient_rule is None and op.decomposition is None:
            raise GradientError(f"no gradient rule for {op}, which node {node.label!r} applies; {self._way(node)}")
        dys = [self.total(v) for v in node.outputs]
        if op.gradient_rule is None:
            self.decomposed(node, dys)
            return
        inputs, entries = self.asked(node, op.gradient_rule, dys)
        if entries is None:
            return
        if len(entries) != len(inputs):
            raise GradientError(f"the gradient rule of {op} gives {len(entries)} entries for {len(inputs)} inputs of node {node.label!r}")
        for v, dv in zip(inputs, entries):
            if v is not None and dv is not None and v in self.needed and is_float(v):
                self.parts.setdefault(v, []).append(sum_to(dv, v) if isinstance(v.type, TensorType) else dv)

    def asked(
        self, node: Node, rule: Callable[..., Any], dys: list[Value | None]
    ) -> tuple[list[Value | None], Sequence[Value | None] | None]:
        """The inputs of a node, then what its bodies capture, and what its rule gives for each."""
        op = node.op
        assert isinstance(op, Op)
        if rule is none:
            return [], None
        inputs = list(node.inputs)
        if not (op.inputs and op.inputs[-1].variadic):
            inputs += [None] * (len(op.inputs) - len(inputs))
        if op.outputs == "one":
            made = rule(dys[0], node.outputs[0], *inputs, **arguments(node))
        else:
            ask_for_outputs(node)
            dys += [None] * (len(node.outputs) - len(dys))
            made = rule(tuple(dys), tuple(node.outputs), *inputs, **arguments(node))
        if node.op.may_have_bodies and node.bodies:
            inputs += ops.control.captures(*node.bodies.values())
        return inputs, (made,) if isinstance(made, Value) or made is None else made

    def decomposed(self, node: Node, dys: list[Value | None]) -> None:
        """An op without a rule: build its decomposition, and walk that."""
        before = len(self.graph.nodes)
        made = decompose(node)
        built = self.graph.nodes[before:]
        inner = _Sweep(self.graph, _depending_on(self.graph, [v for v in node.inputs if v in self.needed], built))
        for v, dy in zip(made, dys):
            if v is not None and dy is not None:
                inner.parts.setdefault(v, []).append(dy)
        inner.back(built)
        for v in dict.fromkeys(node.inputs):
            if v is not None and v in self.needed and v in inner.parts:
                self.parts.setdefault(v, []).extend(inner.parts[v])

    def _way(self, node: Node) -> str:
        """From the values that are differentiated for to a node, for messages."""
        way, v = [node.label], next((v for v in node.inputs if v in self.needed), None)
        while v is not None and len(way) < 12:
            way.append(v.name)
            v = next((x for x in v.node.inputs if x in self.needed), None) if v.node is not None else None
        return f"it lies on the path {' -> '.join(reversed(way))}"


def none(*args: Any, **attributes: Any) -> None:
    """The rule of an op that has, mathematically, no gradient: `declare_none` puts it in place of one."""


def declare_none(*declared: Op[..., Any]) -> None:
    """State that these ops have no gradient: their outputs are whole numbers, or constant almost everywhere."""
    for op in declared:
        op.gradient_rule = none


def ask_for_outputs(node: Node) -> None:
    """Let a node give the optional outputs that it leaves out: a rule may read them, and `prune` drops them again."""
    op = node.op
    assert isinstance(op, Op)
    missing = [i for i in op.optional_outputs if i >= len(node.outputs) or node.outputs[i] is None]
    if missing:
        types = op.infer(node.inputs, node.attributes, max(missing) + 1)
        for i in missing:
            if i < len(types) and types[i] is not None:
                node.add_output(i, types[i])


def _depending_on(graph: Graph, wrt: Iterable[Value | None], nodes: Sequence[Node] | None = None) -> set[Value]:
    """The float values that depend on `wrt`, in this graph."""
    needed: set[Value] = {v for v in wrt if v is not None}
    for node in graph.nodes if nodes is None else nodes:
        read = list(node.inputs)
        if node.op.may_have_bodies and node.bodies:
            read += ops.control.captures(*node.bodies.values())
        if any(v in needed for v in read):
            needed.update(v for v in node.outputs if v is not None and is_float(v))
    return needed


def _has_floats(t: Type | None) -> bool:
    if isinstance(t, TensorType):
        return t.dtype in FLOATS
    element = getattr(t, "element", None)
    return element is not None and _has_floats(element)
