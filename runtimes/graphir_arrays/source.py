"""The program as straight-line Python: a line a node, arrays and kernels bound by number. No string of a model reaches the source but in comments made safe."""

from collections.abc import Sequence
from typing import Any

from graphir.ir import Graph, Node, Value
from graphir.ops import Op
from graphir.types import TensorType, Type, shape_text

from .interpret import type_of
from .kernel import Bound
from .limits import Meter
from .plan import Plan, Step, is_concrete

FILE = "<graphir program>"


class Source:
    """Writes the function `run(feeds...)` of a plan, which returns the pinned values, each an array of its own; None for those that are written in place.

    text: the source. names: what its globals are. lines: line number -> the node that runs there.
    """

    def __init__(self, plan: Plan, arguments: Sequence[Value], pinned: Sequence[Value], meter: Meter | None):
        self.plan = plan
        self.names: dict[str, Any] = {}
        self.lines: dict[int, Node] = {}
        self._variables: dict[Value, str] = {}
        self._text: list[str] = []
        self._meter = meter
        if meter is not None:
            self.names.update(tick=meter.tick, trip=meter.trip)
        for i, v in enumerate(arguments):
            self._variables[v] = f"x{i}"
        inside = [v for v in pinned if v.graph is not plan.model.graph]
        self._kept = {v: f"kept{i}" for i, v in enumerate(inside)}
        self._returned: set[Value] = set()
        self._text.append(f"def run({', '.join(self._variables[v] for v in arguments)}):")
        if inside:
            self._text.append("    " + " = ".join(self._kept.values()) + " = None")
        self._graph(plan.model.graph, "    ")
        self._text.append(f"    return [{', '.join(map(self._result, pinned))}]")
        self.text = "\n".join(self._text) + "\n"

    def function(self) -> Any:
        """The compiled function."""
        scope = dict(self.names)
        exec(compile(self.text, FILE, "exec"), scope)  # the text above: numbers and names of ours alone
        return scope["run"]

    def _result(self, v: Value) -> str:
        if v in self._kept:
            return self._kept[v]
        if v in self.plan.settled:
            return "None"
        owned = v.node is not None and v not in self.plan.copied and v not in self.plan.constants and v not in self._returned
        self._returned.add(v)
        return self._variable(v) if owned else f"{self._name('fresh', self.plan.xp.fresh)}({self._variable(v)})"

    def _graph(self, graph: Graph, indent: str) -> None:
        for node in graph.nodes:
            if node in self.plan.steps:
                self._node(node, self.plan.steps[node], indent)

    def _node(self, node: Node, step: Step, indent: str) -> None:
        bodies = {name: self._body(body, indent) for name, body in node.bodies.items()} if node.attributes else {}
        arguments = ["None" if v is None else self._variable(v) for v in node.inputs]
        if self._meter is not None and step.measured and self.plan.memory_limit is not None and not bodies:
            self._line(node, indent, f"{self._new('guard', _guard(self.plan, node))}({', '.join(arguments)})")
        call = self._new(node.op.function if isinstance(node.op, Op) else "k", _late(self.plan, node) if step.late else step.bound.run)
        arguments += [f"{name}={body}" for name, body in bodies.items()]
        if step.buffers and step.buffers[0] is not None:
            place = step.buffers[0]
            arguments.append(f"out={self._variable(place) if isinstance(place, Value) else self._new('b', place)}")
        made = ["_" if v is None or self.plan.is_known(v) else self._variable(v) for v in node.outputs]
        one = not isinstance(node.op, Op) or node.op.outputs == "one"
        rest = ["*_"] if isinstance(node.op, Op) and node.op.outputs == "tuple" else []  # outputs that the node left out at its end
        targets = made[0] if one else "[" + ", ".join(made + rest) + "]"
        note = " ".join([str(node.op), *(_type_text(v.type) for v in node.outputs if v is not None)])
        self._line(node, indent, f"{targets} = {call}({', '.join(arguments)})  # {_safe(note)}")
        for v in node.outputs:
            if v in self._kept:
                self._text.append(f"{indent}{self._kept[v]} = {self._name('fresh', self.plan.xp.fresh)}({self._variable(v)})")  # pyright: ignore[reportArgumentType]
        if self._meter is not None and self._meter.limits.seconds is not None:
            self._line(node, indent, "tick()")
        dead = [self._variable(v) for v in self.plan.dies[node] if v not in self.plan.buffered and v not in self.plan.constants]
        if dead:
            self._text.append(f"{indent}del {', '.join(dead)}")

    def _body(self, body: Graph, indent: str) -> str:
        """Define a body as a function inside of the program, and return its name."""
        name = f"body{len(self._variables)}_{len(self._text)}"
        parameters = [self._variable(v) for v in body.inputs]
        self._text.append(f"{indent}def {name}({', '.join(parameters)}):")
        inside = indent + "    "
        kept = [self._kept[v] for v in body.values() if v in self._kept]
        if kept:
            self._text.append(f"{inside}nonlocal {', '.join(kept)}")
        if self._meter is not None:
            self._text.append(f"{inside}trip()")
        self._graph(body, inside)
        self._text.append(f"{inside}return [{', '.join(map(self._variable, body.outputs))}]")
        self._text.append(f"{indent}{name}.outputs = {self._new('types', [v.type for v in body.outputs])}")
        return name

    def _line(self, node: Node, indent: str, text: str) -> None:
        self._text.append(indent + text)
        self.lines[len(self._text)] = node

    def _variable(self, v: Value) -> str:
        name = self._variables.get(v)
        if name is None:
            if v in self.plan.constants or (v.node is not None and self.plan.is_known(v)):
                name = self._new("c", self.plan.constants[v])
            else:
                name = f"v{len(self._variables)}"
            self._variables[v] = name
        return name

    def _new(self, prefix: str, x: Any) -> str:
        name = f"{prefix}{len(self.names)}"
        self.names[name] = x
        return name

    def _name(self, name: str, x: Any) -> str:
        self.names.setdefault(name, x)
        return name


def _late(plan: Plan, node: Node) -> Any:
    """A kernel that is bound for the types that arrive, once for each."""
    bounds: dict[Any, Bound] = {}
    outputs: list[Type | None] = [None if v is None else v.type for v in node.outputs]

    def call(*arrays: Any) -> Any:
        key = tuple([None if x is None else x.shape for x in arrays])
        bound = bounds.get(key)
        if bound is None:
            types: list[Type | None] = [type_of(x) for x in arrays]
            made = _measure(plan, node, arrays)
            bound = bounds[key] = plan.bind(node, types, made or outputs)
            if len(bounds) > 64:
                bounds.pop(next(iter(bounds)))
        return bound.run(*arrays)

    return call


def _guard(plan: Plan, node: Node) -> Any:
    """Checks the size of what a node is about to make, from the arrays that arrive."""

    def check(*arrays: Any) -> None:
        plan.check_size(node, _measure(plan, node, arrays))

    return check


def _measure(plan: Plan, node: Node, arrays: Sequence[Any]) -> list[Type | None]:
    """The types that a node makes of these arrays: its rule sees the contents of the small whole-number ones."""
    stand_ins: list[Value | None] = []
    for x in arrays:
        if x is None or not hasattr(x, "shape"):
            stand_ins.append(None if x is None else Value("", None))
            continue
        small = x.ndim <= 1 and x.size <= 64 and x.dtype.kind in "iub"
        known = tuple(plan.xp.to_numpy(x).reshape(-1).tolist()) if small else None
        stand_ins.append(Value("", TensorType(x.dtype, x.shape, known)))
    if any(v is not None and v.type is None for v in stand_ins) or not isinstance(node.op, Op):
        return []
    return node.op.infer(stand_ins, node.attributes, len(node.outputs))


def _type_text(t: Type | None) -> str:
    return shape_text(t.shape) if isinstance(t, TensorType) and is_concrete(t) else str(t)


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
