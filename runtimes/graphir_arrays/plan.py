"""What each value of a graph will live in: concrete types, constants, buffers that values share one after another."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from graphir.budget import Budget
from graphir.dims import Expr
from graphir.ir import Graph, Node, Value
from graphir.model import Model
from graphir.ops import Op, arguments, is_random
from graphir.passes.infer import Inference
from graphir.turns import ReentryError
from graphir.types import TensorType, Type

from .kernel import Bound, Prepared, Site, bind, find
from .limits import LimitError, NodeError, of_node
from .place import Held, Places
from .timed import timed

ALIGN = 64


class Step(NamedTuple):
    """How a node runs. bound: what is called; late: the kernel waits for arrays, since a type is not concrete; buffers: for each output, or None."""

    node: Node
    bound: Bound
    late: bool
    buffers: list[Any]  # an array, or the state weight whose memory it is
    measured: bool  # the sizes of its outputs show at run time only


class Plan:
    """Decides, for one set of input types, how a graph runs.

    constants: the arrays of values that are known before the run. steps: by node. dies: for each node, the values nobody reads after it.
    copied: values that may look into memory of others; buffered: values that live in a buffer.
    heirs: values that become the state of a weight, which nobody else is handed; those in `settled` are written into its memory.
    """

    def __init__(
        self, model: Model, types: Mapping[str, Type], pinned: Iterable[Value], xp: Any, overrides: str | None, budget: Budget,
        draws: Callable[[Node, Any], Any], heirs: Mapping[Value, Value], places: Places, held: Held,
    ):  # fmt: skip
        self.model = model
        self.xp = xp
        self.places = places
        self.overrides = overrides
        self.budget = budget
        self._timed = {on_host: timed(self.home(on_host), budget) for on_host in (False, True)}
        self.draws = draws
        self.pinned = set(pinned)
        self.heirs = heirs
        self.settled: set[Value] = set()
        self.constants: dict[Value, Any] = {}
        self.steps: dict[Node, Step] = {}
        self.dies: dict[Node, list[Value]] = {}
        self.copied: set[Value] = set()
        self.buffered: set[Value] = set()
        self._set_types(types)
        for weight in (w for g in model.graph.walk() for w in g.weights.values()):
            if weight.kind == "constant" and weight.uses:
                self.constants[weight] = held(weight, weight in places.values)
        _Storage(self).graph(model.graph)

    def _set_types(self, types: Mapping[str, Type]) -> None:
        for v in self.model.graph.inputs:
            v.type = types.get(v.name, v.type)  # pyright: ignore[reportAttributeAccessIssue]
        problems = Inference(self.model, trust_declared=False).graph(self.model.graph, self.model.opsets)
        sure = next((p for p in problems if p.node.graph is self.model.graph), None)  # a body may never run
        if sure is not None:
            inside = set(sure.node.inner())
            cause = next((f"; in its body {p}" for p in problems if p.node in inside), "")
            raise ValueError(f"{sure}{cause}")

    def is_known(self, v: Value) -> bool:
        """Whether the contents of a node's output follow from the input types alone: then the node need not run."""
        t = v.type
        if v in self.constants:
            return True
        if not isinstance(t, TensorType) or t.known is None or t.dtype.kind not in "ib" or not is_concrete(t):
            return False
        if any(isinstance(k, Expr) for k in t.known):
            return False
        contents = np.asarray(t.known, t.dtype).reshape(t.shape)  # pyright: ignore[reportArgumentType, reportCallIssue]
        self.constants[v] = self.home(v in self.places.values).asarray(contents)
        return True

    def home(self, on_host: bool) -> Any:
        """The namespace of the host or of the device."""
        return self.xp.host if on_host else self.xp

    def check_size(self, node: Node, types: Iterable[Type | None]) -> None:
        """Raises LimitError where there is no room for outputs of these types."""
        if self.budget.limits.memory is not None:
            self.check_bytes(node, sum(bytes_of(t) for t in types if is_concrete(t)))

    def check_bytes(self, node: Node, size: int) -> None:
        """Raises LimitError where there is no room for so many bytes more."""
        try:
            self.budget.room(size)
        except LimitError as e:
            raise of_node(node, e) from None

    def bind(self, node: Node, types: list[Type | None], outputs: list[Type | None]) -> Bound:
        """The kernel of a node for inputs of these types. Raises NodeError where it cannot be had."""
        bodies = node.graph_attributes
        attributes = {k: x for k, x in arguments(node).items() if k not in bodies}
        constants = [None if v is None else self.constants.get(v) for v in node.inputs]
        xp = self._timed[node in self.places.nodes]
        draw = self.draws(node, xp) if is_random(node) else None
        site = Site(xp, attributes, types, outputs, constants, draw, self.budget)
        kernel = self.kernel(node)
        try:
            return bind(kernel, site, node.op.ranks if isinstance(node.op, Op) else ())
        except ReentryError:
            raise
        except (LimitError, MemoryError) as e:
            raise of_node(node, e) from None
        except Exception as e:  # of whatever kind a kernel raises: the error names the node
            raise NodeError(node, e) from e

    def kernel(self, node: Node) -> Any:
        """The kernel of a node. Raises TypeError where there is none."""
        kernel = find(node.op, None if node in self.places.nodes else self.overrides) if isinstance(node.op, Op) else None
        if kernel is None:
            raise TypeError(f"{node.op} of {node.label}: there is no kernel for it")
        return kernel


class _Storage:
    """Walks a graph in order and shares buffers: a value's buffer is free again after the last read of every value that may look into it.

    free: buffers, the smaller ones first. looks: what may look into the memory of what: an output into that of its node, which stands for what the node
    reads. looked_into: the other way round. held: by how many that are still read.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.free: list[Any] = []
        self.buffer: dict[Value, Any] = {}
        self.looks: dict[Value | Node, Sequence[Value | Node]] = {}
        self.looked_into: dict[Value | Node, list[Value | Node]] = {}
        self.held: dict[Value | Node, int] = {}

    def graph(self, graph: Graph, top: bool = True) -> None:
        """Plan the steps of a graph; only the top one has buffers, for a body may run again while its results are in use."""
        plan = self.plan
        order = [n for n in graph.nodes if not all(v is None or plan.is_known(v) for v in n.outputs)]
        last = self._last_reads(order)
        for i, node in enumerate(order):
            plan.budget.tick()
            for body in node.bodies.values():
                _Storage(plan).graph(body, top=False)
            step = self._step(node, top, last, i)
            plan.steps[node] = step
            plan.dies[node] = [
                v for v in node.reads() if last.get(v) == i and v.graph is graph and v.node is not None and v not in plan.pinned
            ]
            plan.dies[node] += [
                v for v in node.outputs if v is not None and v not in last and v not in plan.pinned and v not in graph.outputs
            ]
            for v in plan.dies[node]:
                self._release(v, i, last)

    def _last_reads(self, order: list[Node]) -> dict[Value, int]:
        """For each value, the place of its last reader, nodes in bodies counted as the node that holds them."""
        last: dict[Value, int] = {}
        for i, node in enumerate(order):
            for v in node.reads():
                last[v] = i
        for v in [*self.plan.pinned, *(order[0].graph.outputs if order and order[0].graph else ())]:
            last[v] = len(order)
        return last

    def _step(self, node: Node, top: bool, last: dict[Value, int], i: int) -> Step:
        plan = self.plan
        types: list[Type | None] = [None if v is None else v.type for v in node.inputs]
        outputs: list[Type | None] = [None if v is None else v.type for v in node.outputs]
        concrete = all(v is None or is_concrete(v.type) for v in [*node.inputs, *node.outputs])
        plan.check_size(node, outputs)
        if not concrete and isinstance(plan.kernel(node), Prepared):
            return self._late_step(node)
        try:
            bound = plan.bind(node, types, outputs)
        except NodeError:
            if top:
                raise
            return self._late_step(node)  # which says so if it runs
        self._alias(node, bound)
        buffers: list[Any] = [None] * len(outputs)
        if top and bound.out and node not in plan.places.nodes and len(outputs) == 1 and concrete and (v := node.outputs[0]) is not None:
            buffers = [self._place(node, bound, last, i) if v not in plan.pinned else self._inherited(node, bound, last, i)]
        return Step(node, bound, False, buffers, not all(t is None or is_concrete(t) for t in outputs))

    def _late_step(self, node: Node) -> Step:
        """A step whose kernel is bound when arrays arrive."""
        self._alias(node, Bound(print, view=True))
        return Step(node, Bound(print), True, [None] * len(node.outputs), True)

    def _alias(self, node: Node, bound: Bound) -> None:
        """Note whose memory the outputs may share: views look into inputs; so may what bodies and sequences hand on."""
        read = node.reads()
        if bound.view or node.bodies or any(v is not None and not isinstance(v.type, TensorType) for v in [*read, *node.outputs]):
            made = [v for v in node.outputs if v is not None] if read else []
            if made:
                self._look(node, read)
            for v in made:
                self._look(v, (node,))
                self.plan.copied.add(v)

    def _look(self, x: Value | Node, into: Sequence[Value | Node]) -> None:
        self.looks[x] = into
        for y in into:
            self.looked_into.setdefault(y, []).append(x)
            self.held[y] = self.held.get(y, 0) + 1

    def _place(self, node: Node, bound: Bound, last: dict[Value, int], i: int) -> Any:
        """An array for the one output: the input's own where it dies here and the kernel may write onto it, else a free buffer, else a new one."""
        v = node.outputs[0]
        assert v is not None
        if bound.inplace:
            one_pass = isinstance(bound.run, self.plan.xp.ufunc)  # what takes several may still read its other inputs
            for x in node.inputs if one_pass else node.inputs[:1]:
                if x in self.buffer and last.get(x) == i and x.type == v.type and not self._still_seen(x, i, last):  # pyright: ignore[reportArgumentType, reportOptionalMemberAccess]
                    self.buffer[v] = self.buffer.pop(x)  # pyright: ignore[reportArgumentType]
                    return self._shaped(v)
        size = max(-(-bytes_of(v.type) // ALIGN) * ALIGN, ALIGN)
        best = bisect_left(self.free, size, key=_nbytes)
        if best < len(self.free) and self.free[best].nbytes <= 4 * size:
            self.buffer[v] = self.free.pop(best)
        else:
            self.plan.check_bytes(node, size)
            self.buffer[v] = self.plan.budget.hold(self.plan.xp.empty(size, "uint8"))
        return self._shaped(v)

    def _inherited(self, node: Node, bound: Bound, last: dict[Value, int], i: int) -> Value | None:
        """The state weight that takes the value of the one output, where it may be written at once: nobody looks at the old state any more."""
        v = node.outputs[0]
        assert v is not None
        weight = self.plan.heirs.get(v)
        if weight is None or weight.type != v.type or self._still_seen(weight, i - 1, last):
            return None
        if last.get(weight, -1) > i or (last.get(weight) == i and not bound.inplace):
            return None
        self.plan.settled.add(v)
        return weight

    def _shaped(self, v: Value) -> Any:
        self.plan.buffered.add(v)
        t = v.type
        raw = self.buffer[v][: bytes_of(t)]
        return raw.view(t.dtype).reshape(t.shape)

    def _still_seen(self, root: Value, i: int, last: dict[Value, int]) -> bool:
        """Whether another value that may look into `root` is read after step i."""
        waiting = list(self.looked_into.get(root, ()))
        while waiting:
            x = waiting.pop()
            if last.get(x, -1) > i:  # pyright: ignore[reportArgumentType, reportCallIssue]
                return True
            waiting += self.looked_into.get(x, ())
        return False

    def _release(self, v: Value, i: int, last: dict[Value, int]) -> None:
        """After the last read of a value: free its buffer if nothing looks into it, and what it alone has looked into."""
        waiting: list[Any] = [v]
        while waiting:
            x = waiting.pop()
            if self.held.get(x) or last.get(x, -1) > i:
                continue
            if x in self.buffer:
                insort(self.free, self.buffer.pop(x), key=_nbytes)
            for y in self.looks.pop(x, ()):
                self.held[y] -= 1
                waiting.append(y)


def _nbytes(buffer: Any) -> int:
    return buffer.nbytes


def is_concrete(t: Type | None) -> bool:
    """Whether a type is a tensor's with every dim a number."""
    return isinstance(t, TensorType) and t.shape is not None and all(d.__class__ is int for d in t.shape)


def bytes_of(t: Any) -> int:
    """The bytes of an array of a concrete type."""
    size = t.dtype.itemsize
    for d in t.shape:
        size *= d
    return size
