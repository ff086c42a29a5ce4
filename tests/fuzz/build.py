"""Makes valid graphs: operators from the rows of tests/cases, with values of the graph in the places of the rows' own arrays."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

import graphir.ops as ops
from cases import Case
from graphir import Graph, Model, TensorType, Value
from graphir.dims import symbol
from graphir.dtypes import FLOATS, NAMES, STRING
from graphir.ir import Operator
from graphir.model import Function
from graphir.ops import OPS, Op, lookup
from graphir.ops.control import body_in, if_, loop, scan, yields
from graphir.types import SequenceType
from test_ops import ROWS

LARGEST = 600  # elements of a value that is used further
WORDS = ("", "a", "bc", "é")


def plain(row: Case) -> bool:
    """Whether all that a row needs can stand in a graph."""
    return not any(map(callable, row.attributes.values())) and all(isinstance(x, np.ndarray) or x is None for x in row.arrays())


class Kinds:
    """The rows that graphs are made of, each with its operator. elementwise: those of operators that take any shape, by operator."""

    def __init__(self, wanted: Callable[[Op, Case], bool] = lambda op, row: True):
        self.rows = [(op, row) for op in OPS.values() if not op.random for row in ROWS[op.name] if plain(row) and wanted(op, row)]
        self.elementwise: dict[Op, list[Case]] = {}
        for op, row in self.rows:
            if op.module.endswith(("elementwise", "activation", "logic")):
                self.elementwise.setdefault(op, []).append(row)


KNOWN = Kinds()


class Builder:
    """Adds nodes to a graph, at random. pool: the values that they may read; kinds: the operators that are used."""

    def __init__(self, rng: Random, graph: Graph, pool: Sequence[Value] = (), kinds: Kinds = KNOWN):
        self.rng = rng
        self.graph = graph
        self.pool = list(pool)
        self.kinds = kinds

    def step(self, depth: int = 0) -> None:
        """One operator more, mostly."""
        moves: list[Callable[[], Any]] = [*[self.direct] * 4, *[self.elementwise] * 4, *[self.adapted_row] * 6, self.again]
        if depth < 2:
            moves += [lambda: self.branches(depth), lambda: self.trips(depth), lambda: self.scanned(depth)]
        with self.graph:
            try:
                made = self.rng.choice(moves)()
            except (TypeError, ValueError):  # it does not fit
                return
        self.keep(made if isinstance(made, tuple | list) else (made,))

    def keep(self, made: Sequence[Value | None]) -> None:
        """Let what is not too large be read by others."""
        self.pool += [v for v in made if v is not None and _small(v)]

    def pick(self, wanted: Callable[[Value], bool] = lambda v: True) -> Value:
        """A value of the pool, mostly a late one. Raises ValueError where there is none."""
        found = [v for v in self.pool if wanted(v)]
        if not found:
            raise ValueError("there is no such value")
        return found[-1 - int(len(found) * self.rng.random() ** 2)]

    # ---- steps ----------------------------------------------------------------------------------------------------------------------

    def direct(self) -> Any:
        """An operator on values as they are, with the attributes of a row and its other inputs."""
        op, row = self.rng.choice(self.kinds.rows)
        return self._called(
            op, row, lambda i, x: self._fitting(op, i) if x is not None and (i == 0 or self.rng.random() < 0.2) else self.own(x)
        )

    def elementwise(self) -> Any:
        """An operator that takes any shape, on values as they are."""
        op = self.rng.choice(list(self.kinds.elementwise))
        row = self.rng.choice(self.kinds.elementwise[op])
        return self._called(op, row, lambda i, x: self._fitting(op, i))

    def adapted_row(self) -> Any:
        """An operator on inputs like those of a row, some of which are made of values of the pool."""
        op, row = self.rng.choice(self.kinds.rows)
        return self._called(
            op,
            row,
            lambda i, x: self._like(x) if x is not None and x.size and x.dtype in FLOATS and self.rng.random() < 0.6 else self.own(x),
        )

    def again(self) -> Any:
        """A node once more, for who merges equal ones."""
        v = self.pick(lambda v: v.node is not None and v.graph is self.graph and isinstance(v.node.op, Op) and not v.node.bodies)
        assert v.node is not None and isinstance(v.node.op, Op)
        attributes = {**v.node.attributes, **({"outputs": len(v.node.outputs)} if v.node.op.counts_outputs else {})}
        return v.node.op(*([self.graph] if v.node.op.takes_graph else []), *v.node.inputs, **attributes)

    def branches(self, depth: int) -> Any:
        """An If."""
        v = self.pick(lambda v: v.type.__class__ is TensorType and v.dtype in FLOATS)
        made = [self._body([], depth, lambda inner: [ops.elementwise.identity(inner.floating(v))]) for _ in range(2)]
        return if_(self.scalar("bool"), then_branch=made[0], else_branch=made[1])

    def trips(self, depth: int) -> Any:
        """A Loop with one state, and one more output."""
        v = self.pick(lambda v: v.type.__class__ is TensorType and v.dtype in FLOATS)
        types = [TensorType("int64", ()), TensorType("bool", ()), v.type]

        def results(inner: "Builder") -> list[Value]:
            go, state = inner.graph.inputs[1:3]
            total = ops.reduce.reduce_mean(inner.floating(v), keepdims=0)
            return [go, ops.elementwise.add(ops.activation.tanh(state), total), total]

        count: Any = self.rng.choice([0, 1, 2, 3]) if self.rng.random() < 0.6 else ops.elementwise.mod(self.scalar("int64"), 4)
        return loop(count, None, v, body=self._body(types, depth, results))

    def scanned(self, depth: int) -> Any:
        """A Scan over the rows of a value."""
        v = self.pick(lambda v: v.type.__class__ is TensorType and bool(v.type.shape) and v.dtype in FLOATS)
        body = self._body(
            [TensorType(v.dtype, v.shape[1:])], depth, lambda inner: [ops.activation.tanh(inner.graph.inputs[0]), inner.floating(v)]
        )
        return scan(v, body=body, num_scan_inputs=1)

    def called(self, model: Model) -> None:
        """A function of the model, called twice."""
        inside = Graph("f")
        x = inside.input("x", None)
        v: Any = x
        for name in self.rng.sample(["Neg", "Tanh", "Sigmoid", "Abs", "Identity"], self.rng.randrange(1, 4)):
            v = inside.append(lookup("", name), (v,), {}, (None,)).outputs[0]
        inside.output(inside.append(lookup("", "Add"), (v, x), {}, (None,)).outputs[0])  # pyright: ignore[reportArgumentType]
        model.functions["local", "f", ""] = Function("local", "f", inside, opsets={"": model.opsets.get("", 28)})
        for _ in range(2):
            v = self.pick(lambda v: v.type.__class__ is TensorType and str(v.dtype) == "float32")
            made = self.graph.append(Operator("local", "f"), (v,), {}, (v.type,)).outputs[0]
            self.keep([made])

    # ---- inputs ---------------------------------------------------------------------------------------------------------------------

    def own(self, x: np.ndarray | None) -> Value | None:
        """A row's array: as a weight, or as the default of an input."""
        if x is None:
            return None
        root = self.graph.root
        if self.graph is root and self.rng.random() < 0.2:
            return root.default(root.input(root.fresh("d"), TensorType(STRING if x.dtype.kind in "OUS" else x.dtype, x.shape)), x)
        return root.weight(root.fresh("w"), x)

    def floating(self, like: Value) -> Value:
        """A value made of the pool, of the dtype of another."""
        v = self.pick(lambda v: v.type.__class__ is TensorType and v.dtype in FLOATS)
        return v if v.dtype == like.dtype else ops.elementwise.cast(ops.activation.tanh(v), to=NAMES[like.dtype])

    def scalar(self, dtype: str) -> Value:
        """A number made of some value."""
        v = self.pick(lambda v: v.type.__class__ is TensorType and v.dtype in FLOATS)
        total = ops.reduce.reduce_sum(ops.elementwise.abs_(ops.activation.tanh(v)), keepdims=0)
        return ops.logic.greater(total, 0.7) if dtype == "bool" else ops.elementwise.cast(total, to=dtype)

    def _fitting(self, op: Op, i: int) -> Value:
        formal = op.inputs[min(i, len(op.inputs) - 1)]
        allowed = op.types.get(formal.var) if formal.var is not None else None
        return self.pick(lambda v: allowed is None or (v.type.__class__ is TensorType and v.dtype in allowed))

    def _like(self, x: np.ndarray) -> Value:
        """A value of the dtype, the shape and about the range of an array: numbers of some value, squeezed, and again from the start where they don't suffice."""
        v = self.pick(lambda v: v.type.__class__ is TensorType and v.dtype in FLOATS)
        flat = ops.shape.reshape(ops.elementwise.cast(v, to="float32"), [-1])
        places = ops.elementwise.mod(self.graph.root.weight(self.graph.root.fresh("places"), np.arange(x.size)), ops.shape.size(flat))
        numbers = x.astype("float32")
        low, high = (float(f(numbers[np.isfinite(numbers)])) for f in (np.min, np.max))  # raises ValueError where there is none
        between = ops.elementwise.add(ops.elementwise.mul(ops.activation.sigmoid(ops.index.gather(flat, places)), high - low), low)
        return ops.elementwise.cast(ops.shape.reshape(between, list(x.shape)), to=NAMES[x.dtype])

    def _called(self, op: Op, row: Case, given: Callable[[int, Any], Value | None]) -> Any:
        inputs = [given(i, x) for i, x in enumerate(row.arrays())]
        attributes = {**row.attributes, **({"outputs": row.outputs} if op.counts_outputs and row.outputs is not None else {})}
        return op(*([self.graph] if op.takes_graph else []), *inputs, **attributes)

    def _body(self, types: Sequence[Any], depth: int, results: Callable[["Builder"], Sequence[Value]]) -> Graph:
        body = body_in(self.graph)
        inputs = [body.input(body.fresh("in"), t) for t in types]
        inner = Builder(self.rng, body, [*self.pool, *inputs], self.kinds)
        for _ in range(self.rng.randrange(4)):
            inner.step(depth + 1)
        with body:
            yields(body, *results(inner))
        return body


def _small(v: Value) -> bool:
    t = v.type
    if isinstance(t, SequenceType):
        return True
    if not isinstance(t, TensorType) or t.shape is None:
        return isinstance(t, TensorType)
    sizes = [d if isinstance(d, int) else 3 for d in t.shape]
    return len(sizes) < 7 and int(np.prod(sizes, dtype=float)) <= LARGEST


def build(rng: Random, steps: int, kinds: Kinds = KNOWN, dtypes: Sequence[str] = ("float32", "float32", "float64", "int64", "bool", "string"), state: bool = True) -> Model:  # fmt: skip
    """A model of so many steps, more or less."""
    graph = Graph("made")
    model = Model(graph)
    sizes = [symbol("N"), symbol("M"), 1, 2, 3]
    for i in range(rng.randrange(1, 4)):
        dtype = rng.choice(dtypes) if i else dtypes[0]
        graph.input(f"x{i}", TensorType(dtype, tuple(rng.choice(sizes) for _ in range(rng.randrange(4)))))
    numbers = np.random.default_rng(rng.randrange(2**32))
    builder = Builder(rng, graph, [*graph.inputs, graph.weight("w", numbers.standard_normal(3).astype(dtypes[0]))], kinds)
    states = [
        graph.weight(f"state{i}", numbers.standard_normal((2, 3)).astype("float32"))
        for i in range(rng.choice([0, 0, 1, 2]) if state else 0)
    ]
    builder.pool += states
    for _ in range(steps):
        builder.step()
    if rng.random() < 0.15 and dtypes[0] == "float32":
        builder.called(model)
    with graph:
        for s in states:
            model.update(s, builder._like(s.tensor.array))  # pyright: ignore[reportAttributeAccessIssue]
    made = [v for v in builder.pool if v.node is not None and v.graph is graph]
    for v in dict.fromkeys([*made[-2:], *rng.sample(made, min(len(made), 2))]) if made else graph.inputs[:1]:
        graph.output(v)
    return model
