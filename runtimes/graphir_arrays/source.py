"""The program as straight-line Python: a line a node, arrays and kernels bound by number. No string of a model reaches the source but in comments made safe."""

from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

import numpy as np

from graphir.budget import Budget
from graphir.ir import Graph, Node, Value
from graphir.ops import Op, RuleError
from graphir.types import TensorType, Type, shape_text

from .interpret import type_of
from .kernel import Bound
from .limits import NodeError
from .plan import Plan, Step, bytes_of, is_concrete

FILE = "<graphir program>"


class Source:
    """Writes the function `run(feeds...)` of a plan, which returns the pinned values, each an array of its own; None for those that are written in place.

    text: the source. names: what its globals are. lines: line number -> the node that runs there.
    """

    def __init__(self, plan: Plan, arguments: Sequence[Value], pinned: Sequence[Value], budget: Budget):
        self.plan = plan
        self.names: dict[str, Any] = {}
        self.lines: dict[int, Node] = {}
        self._variables: dict[Value, str] = {}
        self._text: list[str] = []
        self._budget = budget
        if budget.is_bound:
            self.names.update(tick=budget.tick, trip=budget.trip, room=budget.room, hold=budget.hold)
        for i, v in enumerate(arguments):
            self._variables[v] = f"x{i}"
        inside = [v for v in pinned if v.graph is not plan.model.graph and v not in plan.constants and not plan.is_known(v)]
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

    def blame(self, error: Exception) -> NodeError | None:
        """The error with the name of the node in whose line it arose, and what the node's rule says of the arrays that came there, if it says anything."""
        node, frame = self._where(error)
        if node is None or frame is None:
            node = self.lines.get(getattr(error, "program_line", 0))  # of a check that was put off
            return None if node is None else NodeError(node, error)
        seen, why = {**self.names, **frame.f_locals}, error
        try:
            _measure(self.plan, node, [None if v is None else seen.get(self._variables.get(v, "")) for v in node.inputs])
        except RuleError as e:
            why = e
        except Exception:  # arrays that no kernel took may be anything to a rule, too
            pass  # the rule stumbles over what the kernel stumbled over
        named = NodeError(node, why)
        named.__cause__ = why
        return named

    def node_of(self, error: Exception) -> Node | None:
        """The node in whose line an error arose."""
        return self._where(error)[0]

    def _where(self, error: Exception) -> tuple[Node | None, FrameType | None]:
        node, frame, trace = None, None, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == FILE and trace.tb_lineno in self.lines:
                node, frame = self.lines[trace.tb_lineno], trace.tb_frame
            trace = trace.tb_next
        return node, frame

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
        bodies = {name: self._bodies(x, indent) for name, x in node.graph_attributes.items()}
        arguments = ["None" if v is None else self._variable(v) for v in node.inputs]
        counts = self._budget.limits.memory is not None and bool(self._new_arrays(node))
        if counts and not bodies and not step.bound.view:
            guard = f"{self._new('guard', _guard(self.plan, node))}({', '.join(arguments)})" if step.measured else f"room({_size(node)})"
            self._line(node, indent, guard)
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
        self._keep(node.outputs, indent)
        if counts:
            self._line(node, indent, f"hold(({', '.join([*self._new_arrays(node), ''])}))")
        if self._budget.limits.seconds is not None:
            self._line(node, indent, "tick()")
        dead = [self._variable(v) for v in self.plan.dies[node] if v not in self.plan.buffered and v not in self.plan.constants]
        if dead:
            self._text.append(f"{indent}del {', '.join(dead)}")

    def _new_arrays(self, node: Node) -> list[str]:
        """The outputs for which a run makes arrays. Elements of sequences that a node reads were there before."""
        plan = self.plan
        reads_tensors = all(v is None or isinstance(v.type, TensorType) for v in node.inputs)
        return [
            self._variable(v)
            for v in node.outputs
            if v is not None and not (v in plan.buffered or plan.is_known(v) or v in plan.settled)
            if reads_tensors or isinstance(v.type, TensorType)
        ]

    def _keep(self, made: Iterable[Value | None], indent: str) -> None:
        """Keep those of the values that are asked for from outside of the body in which they are."""
        for v in made:
            if v is not None and v in self._kept:
                self._text.append(f"{indent}{self._kept[v]} = {self._name('fresh', self.plan.xp.fresh)}({self._variable(v)})")

    def _bodies(self, x: Any, indent: str) -> str:
        """Define the bodies that an attribute holds, and return what it is in a call."""
        if isinstance(x, tuple):
            return f"({' '.join([f'{self._body(body, indent)},' for body in x])})"
        return self._body(x, indent)

    def _body(self, body: Graph, indent: str) -> str:
        """Define a body as a function inside of the program, and return its name."""
        name = f"body{len(self._variables)}_{len(self._text)}"
        parameters = [self._variable(v) for v in body.inputs]
        self._text.append(f"{indent}def {name}({', '.join(parameters)}):")
        inside = indent + "    "
        kept = [self._kept[v] for v in body.values() if v in self._kept]
        if kept:
            self._text.append(f"{inside}nonlocal {', '.join(kept)}")
        self._keep(body.inputs, inside)
        if self._budget.is_bound:
            self._text.append(f"{inside}trip()")
        self._graph(body, inside)
        self._text.append(f"{inside}return [{', '.join(map(self._variable, body.outputs))}]")
        self._text.append(f"{indent}{name}.outputs = {self._new('types', [v.type for v in body.outputs])}")
        self._text.append(f"{indent}{name}.budget = {self._name('budget', self._budget)}")
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
        key = tuple([getattr(x, "shape", None) for x in arrays])
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
    """The types that a node makes of these arrays: its rule sees the contents of the small ones, where they lie on the host, as it does of weights."""
    stand_ins: list[Value | None] = []
    for x in arrays:
        if x is None or not hasattr(x, "shape"):
            stand_ins.append(None if x is None else Value("", None))
            continue
        small = (
            isinstance(x, np.ndarray | np.generic) and x.ndim <= 1 and x.size <= {"i": 64, "u": 64, "b": 64, "f": 8}.get(x.dtype.kind, 0)
        )
        known = tuple(x.reshape(-1).tolist()) if small else None
        stand_ins.append(Value("", TensorType(x.dtype, x.shape, known)))
    if any(v is not None and v.type is None for v in stand_ins) or not isinstance(node.op, Op):
        return []
    return node.op.infer(stand_ins, node.attributes, len(node.outputs))


def _size(node: Node) -> int:
    """The bytes of what a node makes, where its types are concrete."""
    return sum(bytes_of(v.type) for v in node.outputs if v is not None and is_concrete(v.type))


def _type_text(t: Type | None) -> str:
    return shape_text(t.shape) if isinstance(t, TensorType) and is_concrete(t) else str(t)


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
