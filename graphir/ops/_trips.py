"""The way back through the trips of a Loop or a Scan: what the forward body took on each is kept, and a body that runs it again goes back over that."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import graphir.ops as ops

from ..dims import Shape, atoms, unknown
from ..dtypes import NAMES
from ..ir import Node, Value, captures
from ..types import SequenceType, TensorType, Type
from ._backward import Backward, types_of
from ._bodies import discard, known_outside, yield_more
from ._gradient import GradientError, is_float, sum_up, zeros_like
from ._reach import reached, reaching
from ._types import join


class Scanned(NamedTuple):
    """What a Scan takes apart or stacks: a value outside of the body, the axis, and 1 for what begins at the end."""

    value: Value
    axis: int = 0
    direction: int = 0

    def reversed(self, value: Value | None = None) -> "Scanned":
        """The same, or another value, from the other end."""
        return Scanned(self.value if value is None else value, self.axis, 1 - self.direction)


class Trips:
    """A Loop or a Scan, and the way back: a Scan over what the forward body took on each trip, from the last trip to the first.

    Its state are the gradients of the state, and the sums of those of the captured values. What the body took the forward node tells: as more
    scan outputs, or, where these would differ in shape, in a sequence that it carries. elements: what a Scan takes apart. count: how many states
    the node has by now. stacked: axis and direction of each scan output.
    """

    def __init__(self, node: Node, initial: Sequence[Value], elements: Sequence[Scanned], stacked: Sequence[tuple[int, int]]):
        self.node = node
        self.body = node.bodies["body"]
        self.initial, self.stacked = initial, list(stacked)
        self.count = count = len(initial)
        inputs, outputs = self.body.inputs, self.body.outputs
        first = len(inputs) - count - len(elements)  # a Loop's body takes the trip's number and the condition, and makes the next condition
        self.first_output = 1 if first else 0
        self.taken = inputs[first : first + count]
        self.elements = dict(zip(inputs[first + count :], elements))
        self._place_of_state = {v: k for k, v in enumerate(self.taken)}
        self.made = outputs[self.first_output : self.first_output + count]
        self.scanned = outputs[self.first_output + count :]
        self.way = Backward(node, self.body, self._told)
        self._types: list[Type | None] = []  # of the outputs that the node had when it was asked for one
        self.inputs: list[
            tuple[Value, Scanned | Value]
        ] = []  # of the new body: what is scanned, or of what in the old one it is to be a tape

    def back(self, dys: Sequence[Value | None], needed: set[Value]) -> dict[Value, Value]:
        """Build the way back. Returns the gradients that were found: under the inputs of the forward body, and under captured values."""
        way, count = self.way, len(self.initial)
        dys = [*dys, *[None] * (count + len(self.scanned) - len(dys))]
        outer = [v for v in captures(self.body) if v in needed]
        wanted = [v for v, x in self.elements.items() if x.value in needed]
        states = self._states(dys, needed, [*outer, *wanted])
        ends = [(self.made[k], way.gradient_of(self.made[k], self._steady(k))) for k in states]
        sums = {v: way.gradient_of(v) for v in outer}
        for v, dy, (axis, direction) in zip(self.scanned, dys[count:], self.stacked):
            if dy is not None:
                ends.append((v, way.gradient_of(v)))
                self.inputs.append((ends[-1][1], Scanned(dy, axis, direction).reversed()))
        for v in self.body.inputs:
            way.values[v] = way.input(v)
            self.inputs.append((way.values[v], self.elements[v].reversed() if v in self.elements else v))
        begun = {self.taken[k]: way.values[self.taken[k]] for k in states}
        parts = {v: way.values[v] for v in wanted}
        way.sweep(ends, [*begun.values(), *parts.values(), *outer])
        with way.body:
            totals = {v: sum_up(s, way.gradients[v]) for v, s in sums.items() if v in way.gradients}
        parts = {v: way.gradients[x] for v, x in parts.items() if x in way.gradients}
        way.finish(*map(way.gradient, begun.values()), *totals.values(), *parts.values())
        way.body.drop_inputs(s for v, s in sums.items() if v not in totals)
        scanned = self._scanned()
        with way.outside:
            starts = [dys[k] or zeros_like(self._output(k)) for k in states] + [zeros_like(v) for v in totals]
            made = self._run(states, starts, scanned, [self.elements[v].reversed() for v in parts])
        return dict(zip((*begun, *totals, *parts), made))

    def _run(self, states: list[int], starts: list[Value], scanned: list[Scanned], stacked: list[Scanned]) -> Sequence[Value]:
        """The Scan, or a Loop that does the same: where the state does not keep its shape, and where there may be no trips, for ONNX Runtime runs no Scan of none."""
        if not starts and not stacked:
            discard(self.way.body)
            return []
        trips = scanned[0].value.type.shape and scanned[0].value.type.shape[scanned[0].axis]
        some = not self.first_output or (isinstance(trips, int) and trips > 0)
        same = all(self.taken[k].type.shape == self.made[k].type.shape for k in states if isinstance(self.taken[k].type, TensorType))
        steady = same and all(isinstance(v.type, TensorType) and v.type.shape is not None for v in starts)
        options = {
            "scan_input_axes": [x.axis for x in scanned], "scan_input_directions": [x.direction for x in scanned],
            "scan_output_axes": [x.axis for x in stacked], "scan_output_directions": [x.direction for x in stacked],
        }  # fmt: skip
        chosen: dict[str, Any] = {name: tuple(x) if any(x) else None for name, x in options.items()}
        operands = (*starts, *(x.value for x in scanned))
        if some and steady:
            return ops.control.scan(*operands, body=self.way.body, num_scan_inputs=len(scanned), **chosen)
        made = ops.control.scan_by_loop(*operands, body=self.way.body, num_scan_inputs=len(scanned), **chosen)
        discard(self.way.body)
        return made

    def _states(self, dys: Sequence[Value | None], needed: set[Value], wanted: list[Value]) -> list[int]:
        """The places of the states whose gradients are carried: they depend on what is needed, and what flows in depends on them.

        wanted: the captured values and elements that are needed.
        """
        places = [k for k, v in enumerate(self.taken) if is_float(v)]
        begun = [self.taken[k] for k in places if self.initial[k] in needed]
        depend = reached(self.body.nodes, [*wanted, *begun], [(self.made[k], self.taken[k]) for k in places])
        depending = {k for k in places if self.taken[k] in depend}
        ends = [v for v, dy in zip(self.scanned, dys[len(self.initial) :]) if dy is not None and is_float(v)]
        ends += [self.made[k] for k in depending if dys[k] is not None]
        flow = reaching(self.body.nodes, ends, [(self.taken[k], self.made[k]) for k in places])
        return sorted(k for k in depending if dys[k] is not None or self.taken[k] in flow)

    def _steady(self, k: int) -> Type | None:
        """The type of a state's gradient: what does not change from trip to trip. Raises GradientError for what has none."""
        taken, made = self.taken[k].type, self.made[k].type
        if not isinstance(taken, TensorType | SequenceType):
            raise GradientError(
                f"{self.node.op} {self.node.label!r} carries {self.taken[k].name}, which is {taken or 'of unknown type'}; "
                "only gradients of tensors and sequences can be carried"
            )
        return join(taken, made, lambda a, b: a if a == b else unknown())

    # ---- tapes ----------------------------------------------------------------------------------------------------------------------

    def _told(self, v: Value) -> Value:
        """An input of the new body that stands for a value of the forward one, as it was on that trip."""
        self.inputs.append((self.way.input(v), v))
        return self.inputs[-1][0]

    def _scanned(self) -> list[Scanned]:
        """What the new body is to be given of each trip; an input that it does not read is dropped."""
        self._tell_dims()
        if self.first_output:  # what a Scan carries cannot change its shape
            steady = self._steady_dims()
            for v, source in list(self.inputs):
                if isinstance(source, Value) and v.uses and not _stays(source, steady):
                    self._keep(v, source)
        self.way.body.drop_inputs(v for v, _ in self.inputs if not v.uses)
        sources = [source for v, source in self.inputs if v.uses]
        if not sources:  # nothing but how many trips there were
            first = next(iter(self.elements), self.body.inputs[0])
            self.way.input(first)
            sources = [self.elements[first].reversed() if self.elements else first]
        return self._taped(sources)

    def _tell_dims(self) -> None:
        """Where of a value that would be made again only the dims are read, let an outer value that has them tell them, or else the forward body.

        What that one tells may differ from trip to trip.
        """
        body = self.way.body
        outer: dict[Shape, Value] = {}
        for v in (*self.initial, *captures(self.body)):
            if isinstance(v.type, TensorType) and v.type.shape is not None:
                outer.setdefault(v.type.shape, v)
        for v, copy in reversed(self.way.values.items()):
            if copy.graph is not body or v in self.elements or not copy.uses:
                continue
            readers = [n for n in copy.uses if isinstance(n, Node) and n.op is ops.shape.shape]
            if len(readers) == len(copy.uses):
                like = outer.get(v.type.shape) if isinstance(v.type, TensorType) and v.type.shape is not None else None
                for reader in readers:
                    if like is not None:
                        reader.set_inputs((like,))
                    else:
                        self.inputs.append(self._dims(v, reader))
                if copy.node is not None and not any(y is not None and y.uses for y in copy.node.outputs):
                    copy.node.discard()
        body.sweep()

    def _dims(self, v: Value, reader: Node) -> tuple[Value, Value]:
        """An input that stands for a node that reads the shape of v, and what it is to be a tape of."""
        readers = [n for n in v.uses if isinstance(n, Node) and n.op is ops.shape.shape and n.graph is self.body]
        same = next((n for n in readers if n.attributes == reader.attributes), None)
        with self.body:
            dims = same.outputs[0] if same is not None else ops.shape.shape(v, **reader.attributes)  # pyright: ignore[reportArgumentType]
        old = reader.outputs[0]
        assert dims is not None and old is not None and reader.graph is not None
        told = self.way.input(dims)
        self.way.body.replace_uses(old, told)
        reader.discard()
        return told, dims

    def _taped(self, sources: Sequence["Scanned | Value"]) -> list[Scanned]:
        """What is scanned; in place of a value of the forward body what it was on each trip: a scan output that the node has, or is given now."""
        tapes: dict[Value, int] = {}
        for i, (y, where) in enumerate(zip(self.body.outputs[self.first_output + self.count :], self.stacked), self.count):
            if where == (0, 0):
                tapes.setdefault(y, i)
                if y.node is not None and y.node.op is ops.elementwise.identity:
                    tapes.setdefault(y.node.inputs[0], i)  # pyright: ignore[reportArgumentType]
        added = 0
        for v in sources:
            if isinstance(v, Value) and v not in tapes:
                self._expect_tensor(v.type, v)
                yield_more(self.body, v)
                self.stacked.append((0, 0))
                tapes[v] = self.count + len(self.stacked) - 1
                added += 1
        for name in ("scan_output_axes", "scan_output_directions"):
            if name in self.node.attributes:
                self.node.attributes[name] = (*self.node.attributes[name], *[0] * added)  # pyright: ignore[reportGeneralTypeIssues]
        return [Scanned(self._output(tapes[v])).reversed() if isinstance(v, Value) else v for v in sources]

    def _output(self, i: int) -> Value:
        """An output of the forward node, which it is asked for where it leaves it out."""
        node = self.node
        found = node.outputs[i] if i < len(node.outputs) else None
        if found is None:
            if len(self._types) != self.count + len(self.stacked):
                self._types = types_of(node)
            found = node.add_output(i, self._types[i])
        return found

    def _expect_tensor(self, t: Type | None, v: Value) -> TensorType:
        """The type, for what can be kept. Raises GradientError for another one."""
        if not isinstance(t, TensorType):
            raise GradientError(
                f"the gradient of {self.node.op} {self.node.label!r} needs {v.name} as it was on each trip, but it is {v.type}, and only tensors "
                "and sequences of tensors can be kept; carry one of these in its place"
            )
        return t

    def _steady_dims(self) -> set[tuple]:
        """The symbols and unknowns that are the same on all trips: those that stand outside, and those of states that stay as they are, by key."""
        found = known_outside(self.node.inputs, self.body)
        for taken, made in zip(self.taken, self.made):
            if isinstance(taken.type, TensorType) and taken.type == made.type:
                found.update(a.key for d in taken.type.shape or () for a in atoms(d))
        return found

    def _keep(self, v: Value, source: Value) -> None:
        """Let the forward node carry a sequence of what a value was, and the new body take it from there in place of its input v."""
        rebuilt = self._part_of_kept if isinstance(source.type, SequenceType) else self._element_of_kept
        made = rebuilt(source)
        made.type = v.type
        self.way.body.replace_uses(v, made)

    def _element_of_kept(self, v: Value) -> Value:
        """A tensor as it was: the element of the trip's number."""
        kept = self._kept(v)
        if kept is None:
            _, kept = self._carry(self._expect_tensor(v.type, v), lambda tape: ops.sequence.sequence_insert(tape, v))
        with self.way.body, self.way.body.after(None):
            return ops.sequence.sequence_at(kept, self.way.values[self.body.inputs[0]])

    def _part_of_kept(self, v: Value) -> Value:
        """A sequence as it was: so many elements from where they began; the first ones of what it became, where each trip only adds one to its end."""
        self._expect_tensor(v.type.element, v)  # pyright: ignore[reportAttributeAccessIssue]
        sequence, start = ops.sequence, None
        k = self._place_of_state.get(v)
        if k is not None and _added(v, self.made[k]) is not None:
            kept = self._output(k)
        else:
            taken, kept = self._carry(v.type.element, lambda tape: sequence.appended(tape, v))  # pyright: ignore[reportAttributeAccessIssue]
            with self.body:
                start = self._told(sequence.sequence_length(taken))
        with self.body:
            count = self._told(sequence.sequence_length(v))
        with self.way.body, self.way.body.after(None):
            return sequence.part(kept, count, start)

    def _kept(self, v: Value) -> Value | None:
        """The sequence of what a tensor was, where the forward node carries it already."""
        for k, taken in enumerate(self.body.inputs[2:]):
            start = self.node.inputs[2 + k]
            begins_empty = start is not None and isinstance(start.type, SequenceType) and start.type.empty
            if begins_empty and _added(taken, self.body.outputs[1 + k]) is v:
                return self._output(k)
        return None

    def _carry(self, element: TensorType, grown: Callable[[Value], Value]) -> tuple[Value, Value]:
        """Give a Loop one state more: a sequence, empty at first. Returns it as the body takes it, and as the node gives it in the end."""
        node, body = self.node, self.body
        assert node.graph is not None
        with node.graph.before(node):
            start = ops.sequence.sequence_empty(node.graph, dtype=NAMES[element.dtype])
        taken = body.input(body.fresh("tape"), SequenceType(element))
        place = self.first_output + self.count
        with body:
            body.outputs = (*body.outputs[:place], grown(taken), *body.outputs[place:])
        node.set_inputs((*node.inputs, *[None] * (2 + self.count - len(node.inputs)), start))
        kept = node.insert_output(self.count)
        kept.type = types_of(node)[self.count]  # pyright: ignore[reportAttributeAccessIssue]
        self.count += 1
        return taken, kept


def _added(taken: Value, made: Value) -> Value | None:
    """What a trip adds to the end of a sequence that it takes; None where it makes something else of it."""
    node = made.node
    adds = node is not None and node.op is ops.sequence.sequence_insert and node.inputs[0] is taken and len(node.inputs) == 2
    return node.inputs[1] if node is not None and adds else None


def _stays(v: Value, steady: set[tuple]) -> bool:
    """Whether a value is a tensor of one shape on all trips, as far as types tell."""
    dims = v.type.shape if isinstance(v.type, TensorType) else None
    return dims is not None and all(a.key in steady for d in dims for a in atoms(d))
