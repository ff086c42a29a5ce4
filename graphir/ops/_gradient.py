"""Reverse mode on values: walks nodes backwards and lets each op's gradient rule build the gradients of its inputs.

The driver owns what every rule would have to repeat: un-broadcasting, accumulation, reachability. Rules are only algebra.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

import graphir.ops as ops

from ..dims import Expr
from ..dtypes import BFLOAT16, BITS, BOOL, FLOAT16, FLOATS, INT64, NAMES
from ..ir import Graph, Node, UnknownRank, Value
from ..tensors import Tensor
from ..types import OptionalType, SequenceType, TensorType, Type
from ._cause import cause
from ._op import Op, arguments, decompose

TIES = ("pytorch", "even")  # who gets the gradient of the largest of several: as PyTorch has it, or equal shares everywhere
TIED: ContextVar[str] = ContextVar("TIED", default="pytorch")  # what is asked for, while gradients are built

CARRYING: set[Any] = set()  # ops that make whole numbers which gradients pass all the same: quantization
CONVERTING: set[Any] = set()  # ops whose gradient rules see to dtypes themselves; others are given codes of numbers as the numbers
CODES = frozenset(d for d, bits in BITS.items() if bits <= 16) - {FLOAT16, BFLOAT16, BOOL}  # what numbers are quantized to


class GradientError(TypeError):
    """Raised where a gradient cannot be built: no rule, no path, a rank that is not known. Names the operator, the node and the path.

    node: the node of the graph that is differentiated, where it is one that cannot be.
    """

    node: Node | None = None


def gradients(
    of: Mapping[Value, Value], wrt: Sequence[Value], nodes: Sequence[Node] | None = None, named: bool = True
) -> list[Value | None]:
    """The gradients of the sum over `of` (value -> seed) of value * seed, with respect to each of `wrt`; None where no path leads there.

    nodes: those through which paths may lead, in order; by default all of the graph. named: whether what is made is called d_<value>.
    All values live in one graph, and the new nodes are built at its end. Raises GradientError for an operator on the way that has no rule.
    """
    graph = next(iter(of)).graph
    kept = {v for node in graph.nodes for v in node.outputs if v is not None}
    nodes = list(graph.nodes) if nodes is None else nodes
    return _Sweep(graph, depending_on(nodes, wrt), kept, named).run(of, wrt, nodes)


def is_float(v: Value | None) -> bool:
    """Whether gradients may flow through a value: a tensor of floats, a sequence or optional of them, or something whose type is not known."""
    return v is not None and (v.type is None or _has_floats(v.type))


def zeros_like(x: Value, dims: Value | list[int] | None = None, fill: float = 0, dtype: np.dtype | None = None) -> Value:
    """Zeros of the type of x, or in another shape, of another dtype, another number. Of a sequence: zeros like each element; of an optional value: like what it holds."""
    if isinstance(x.type, SequenceType):
        return ops.sequence.each(zeros_like, x)
    if isinstance(x.type, OptionalType):
        return ops.sequence.zeros_like_held(x)
    if not isinstance(x.type, TensorType):
        raise GradientError(
            f"{x.name} is {x.type}; only of tensors, and sequences and optional values of them, zeros can stand for a gradient"
        )
    dims = shape_of(x) if dims is None else dims
    return ops.create.constant_of_shape(
        x.graph.number(dims, INT64) if isinstance(dims, list) else dims, value=Tensor.of(np.full(1, fill, dtype or x.dtype))
    )


def sum_up(*parts: Value) -> Value:
    """The sum of values of one type; of sequences, the sequence of the sums."""
    return ops.sequence.each(sum_up, *parts) if isinstance(parts[0].type, SequenceType) else ops.elementwise.sum_(*parts)


def non_default(op: Op[..., Any], **attributes: Any) -> dict[str, Any]:
    """Those of the attributes that are not the op's defaults: what a rule hands on need not stand in each node."""
    return {name: x for name, x in attributes.items() if x != op.defaults[name]}


def expand_to(dy: Value, x: Value) -> Value:
    """dy repeated to the shape of x, to which it broadcasts."""
    old, new = dy.type.shape, x.type.shape
    if old is not None and old == new:
        return dy
    if old is not None and new is not None:
        there = (*[None] * (len(new) - len(old)), *old)
        dims = [1 if a == b else b for a, b in zip(there, new)]  # where dy has the size, 1 asks for no more
        if not any(isinstance(d, Expr) for d in dims):
            return shaped_as(ops.shape.expand(dy, dims), x)
    return shaped_as(ops.shape.expand(dy, shape_of(x)), x)


def shape_of(x: Value) -> Value | list[int]:
    """The dims of x: numbers where all of them are known, else the vector that the run makes."""
    dims = x.type.shape
    return ops.shape.shape(x) if dims is None or any(isinstance(d, Expr) for d in dims) else list(dims)  # pyright: ignore[reportReturnType]


def shaped_as(v: Value, x: Value) -> Value:
    """v, of which it is sure that it has the shape of x, where its type rule could not know."""
    v.type = TensorType(v.dtype, x.type.shape)
    return v


def sum_to(dy: Value, x: Value) -> Value:
    """dy summed to the shape of x, over the axes along which x was broadcast."""
    if dy.type.shape is None or x.type.shape is None:
        return _sum_in_any_rank(dy, x)
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
    return shaped_as(dy, x)


def _sum_in_any_rank(dy: Value, x: Value) -> Value:
    """dy summed to the shape of x, where only the run tells how many axes they have: along those that x has not, or where it has size 1."""
    if x.type.shape == ():
        return ops.reduce.reduce_sum(dy, keepdims=0)
    there, wanted = ops.shape.shape(dy), ops.shape.shape(x)
    lead = ops.elementwise.sub(ops.shape.shape(there), ops.shape.shape(wanted))
    sizes = ops.shape.concat(ops.create.constant_of_shape(lead, value=Tensor.of(np.ones(1, INT64))), wanted, axis=0)
    axes = ops.shape.reshape(ops.index.non_zero(ops.logic.equal(sizes, 1)), [-1])
    summed = ops.reduce.reduce_sum(dy, axes, keepdims=1, noop_with_empty_axes=1)
    return shaped_as(ops.shape.reshape(summed, wanted, allowzero=1), x)


class _Sweep:
    """One walk backwards.

    needed: the values that depend on what is differentiated for. kept: those that keep their names, to which the total gradients are added.
    """

    def __init__(self, graph: Graph, needed: set[Value], kept: set[Value], named: bool = True):
        self.graph = graph
        self.needed = needed
        self.kept = kept
        self.named = named
        self.parts: dict[Value, list[Value]] = {}

    def run(self, of: Mapping[Value, Value], wrt: Sequence[Value], nodes: Sequence[Node]) -> list[Value | None]:
        for v, seed in of.items():
            self.parts.setdefault(v, []).append(seed)
        self.back(nodes)
        return [self.total(v) for v in wrt]

    def back(self, nodes: Sequence[Node]) -> None:
        """Walk these nodes from the last to the first."""
        for node in reversed(nodes):
            if any(v in self.parts and v in self.needed for v in node.outputs if v is not None):
                try:
                    self.node(node)
                except GradientError as e:
                    e.node = node  # of those that one was built of, or that stand in bodies, the outermost
                    raise

    def total(self, v: Value | None) -> Value | None:
        """The gradient of a value: the sum of what its readers gave, made once, and named after it."""
        parts = self.parts.get(v) if v is not None else None
        if not parts or v is None:
            return None
        if len(parts) > 1:
            self.parts[v] = parts = [sum_up(*parts)]
        dv = parts[0]
        if self.named and dv.node is not None and dv.graph is self.graph and dv not in self.kept:
            where = f"{self.graph.name}_" if self.graph.parent is not None else ""  # so that d_<name> is left to the main graph
            self.kept.add(dv.named(self.graph.first_free(f"{where}d", v.name)))
        return dv

    def node(self, node: Node) -> None:
        op = self.differentiable(node)
        if op.gradient_rule is none:
            return
        dys = [self.total(v) for v in node.outputs]
        try:
            found = self.asked(node, op.gradient_rule, dys) if op.gradient_rule is not None else None
            if found is None or found[1] is NotImplemented:  # no rule, or one that does not hold here
                self.decomposed(node, dys)
                return
        except UnknownRank as e:
            raise GradientError(
                f"{e}, which the gradient rule of {op} must know for node {node.label!r}; give sizes to the open dims of the inputs (--dim), "
                f"or declare its type in the file; {self._way(node)}"
            ) from None
        except GradientError:
            raise
        except (TypeError, ValueError, OverflowError) as e:  # such as a size that int64 cannot hold
            raise GradientError(f"the gradient of {op} of node {node.label!r} cannot be built: {e}; {self._way(node)}") from e
        inputs, entries = found
        if len(entries) != len(inputs):
            raise GradientError(f"the gradient rule of {op} gives {len(entries)} entries for {len(inputs)} inputs of node {node.label!r}")
        for v, dv in zip(inputs, entries):
            if v is not None and dv is not None and v in self.needed:
                self.parts.setdefault(v, []).append(sum_to(dv, v) if isinstance(v.type, TensorType) else dv)

    def asked(self, node: Node, rule: Callable[..., Any], dys: list[Value | None]) -> tuple[list[Value | None], Sequence[Value | None]]:
        """The inputs of a node, then what its bodies capture, and what its rule gives for each."""
        op = node.op
        assert isinstance(op, Op)
        inputs = list(node.inputs)
        if not (op.inputs and op.inputs[-1].variadic):
            inputs += [None] * (len(op.inputs) - len(inputs))
        attributes = arguments(node)
        if op.may_have_bodies:
            attributes["needed"] = self.needed  # so that no gradient is carried from trip to trip that nobody asked for
        if op.outputs != "one":
            ask_for_outputs(node)
            dys += [None] * (len(node.outputs) - len(dys))
        coded = [] if op in CONVERTING else self._coded(node)
        given, ys = inputs, node.outputs
        if coded and op not in CARRYING:
            given, ys = (_as_numbers(values, {v.dtype for v in coded}, dys) for values in (inputs, node.outputs))
        made = rule(dys[0], ys[0], *given, **attributes) if op.outputs == "one" else rule(tuple(dys), tuple(ys), *given, **attributes)
        if node.op.may_have_bodies and node.bodies:
            inputs += ops.control.captures(*node.bodies.values())
        return inputs, (made,) if isinstance(made, Value) or made is None else made  # pyright: ignore[reportReturnType]

    def _coded(self, node: Node) -> list[Value]:
        """The codes that a node reads, to which gradients flow."""
        coded = [v for v in read_by(node) if v in self.needed and v is not None and is_coded(v)]
        if coded and node.op.may_have_bodies:
            raise GradientError(
                f"{coded[0].name} is {coded[0].type} and enters a body of {node.op} {node.label!r}; dequantize it first; {self._way(node)}"
            )
        return coded

    def decomposed(self, node: Node, dys: list[Value | None]) -> None:
        """An op without a rule, or whose rule gives NotImplemented: build its decomposition, and walk that."""
        before = len(self.graph.nodes)
        made = decompose(node)
        built = self.graph.nodes[before:]
        self.kept.update(v for n in built for v in n.outputs if v is not None)
        inner = _Sweep(self.graph, depending_on(built, [v for v in read_by(node) if v in self.needed]), self.kept)
        for v, dy in zip(made, dys):
            if v is not None and dy is not None:
                inner.parts.setdefault(v, []).append(dy)
        inner.back(built)
        for v in dict.fromkeys(read_by(node)):
            if v is not None and v in self.needed and v in inner.parts:
                self.parts.setdefault(v, []).extend(inner.parts[v])

    def differentiable(self, node: Node) -> Op[..., Any]:
        """The op of a node. Raises GradientError where it has no gradient that could be built."""
        op = node.op
        untyped = next((v for v in (*node.inputs, *node.outputs) if v is not None and v.type is None), None)
        if isinstance(op, Op) and untyped is not None and untyped.node is not None and untyped in self.needed:
            node, op = untyped.node, untyped.node.op  # the type is not known because nothing is known of its maker
        if not isinstance(op, Op):
            raise GradientError(
                f"{op} of node {node.label!r} is not declared to graphir, so it cannot be differentiated; {self._way(node)}"
            )
        if op.gradient_rule is None and op.decomposition is None:
            raise GradientError(f"no gradient rule for {op}, which node {node.label!r} applies; {self._way(node)}")
        if untyped is not None and op.gradient_rule is not none:
            raise GradientError(
                f"{op} of node {node.label!r} cannot be differentiated, for the type of {untyped.name} is not known, {cause(untyped)}"
            )
        return op

    def _way(self, node: Node) -> str:
        """From the values that are differentiated for to a node, for messages."""
        way, at = [node.label], node
        while len(way) < 12 and (v := next((v for v in read_by(at) if v in self.needed), None)) is not None:
            way.append(v.name)
            if v.node is None:
                break
            at = v.node
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


def depending_on(nodes: Iterable[Node], wrt: Iterable[Value]) -> set[Value]:
    """Those of `wrt`, and the float values that these nodes make of them."""
    needed = set(wrt)
    for node in nodes:
        if any(v in needed for v in read_by(node)):
            needed.update(v for v in node.outputs if v is not None and (is_float(v) or _carries(node, v, needed)))
    return needed


def _carries(node: Node, v: Value, needed: set[Value]) -> bool:
    """Whether a node makes quantized numbers that depend on what is needed: of numbers, or by moving about such."""
    return any(x in needed and passes_codes(node, x, v) for x in node.inputs if x is not None)


def passes_codes(node: Node, x: Value, y: Value) -> bool:
    """Whether a node that makes codes y of x does so that gradients pass."""
    if not isinstance(y.type, TensorType) or not isinstance(node.op, Op) or node.op.gradient_rule is none:
        return False
    return node.op in CARRYING or (isinstance(x.type, TensorType) and x.dtype == y.dtype)


def leading_to(nodes: Sequence[Node], of: Iterable[Value]) -> set[Value]:
    """Those of `of`, and the float values from which these nodes make them."""
    found = set(of)
    for node in reversed(nodes):
        if any(v in found for v in node.outputs):
            found.update(v for v in read_by(node) if v is not None and (is_float(v) or is_coded(v)))
    return found


def read_by(node: Node) -> list[Value | None]:
    """The inputs of a node, and what its bodies capture."""
    return [*node.inputs, *(ops.control.captures(*node.bodies.values()) if node.op.may_have_bodies and node.bodies else ())]


def _as_numbers(values: Sequence[Value | None], dtypes: set[np.dtype], dys: Sequence[Value | None]) -> list[Value | None]:
    """The values, those of the dtypes of codes as numbers of the dtype of the gradients."""
    dy = next((dy for dy in dys if dy is not None and isinstance(dy.type, TensorType) and not is_coded(dy)), None)
    if dy is None:
        return list(values)
    to = NAMES[dy.dtype]
    return [ops.elementwise.cast(v, to=to) if v is not None and isinstance(v.type, TensorType) and v.dtype in dtypes else v for v in values]


def is_coded(v: Value) -> bool:
    """Whether a value is a tensor of what numbers are quantized to."""
    return isinstance(v.type, TensorType) and v.dtype in CODES


def _has_floats(t: Type | None) -> bool:
    if isinstance(t, TensorType):
        return t.dtype in FLOATS
    element = getattr(t, "element", None)
    return element is not None and _has_floats(element)
