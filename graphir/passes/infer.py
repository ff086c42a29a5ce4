"""Types for every value: each node's rule is asked in turn, with what is known of its inputs."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from ..calls import expect_bounded_calls
from ..collector import collector_paused
from ..dims import Dim, Expr, serial, unknown
from ..ir import Graph, Node, UnknownRank, Value, Weight
from ..model import Model
from ..ops import Op, RuleError
from ..ops.versions import is_current
from ..plugins import LimitError
from ..types import OptionalType, SequenceType, TensorType, Type, bind, map_dims
from .expand import inlined
from .misfit import STUMBLES, missing_input, stumbled
from .ranks import told_by_readers

STEPS = 120_000  # inputs and outputs of nodes that are typed, at most: loops in loops, and functions that call each other, multiply them
STEPS_EACH = 20  # more for each node that the model has
ROUNDS = 2000  # bodies that are typed with all patience
RETOLD = 64  # loops that are typed once more with what the file says of them, at most: each doubles what those in it cost
TOLD = 4  # rounds in which readers tell ranks that inference leaves open, at most


class Problem(NamedTuple):
    """A node whose types do not fit, and why. declared: it is only that the file declares another type than is made."""

    node: Node
    message: str
    declared: bool = False

    def __str__(self) -> str:
        return f"node {self.node.label!r}: {self.message}"


class StepsError(LimitError):
    """Raised where inference takes more steps than it may. problem: what there is to say of the model."""

    def __init__(self, node: Node, steps: int):
        self.problem = Problem(
            node, f"to infer the types of the model takes more than {steps:,} steps; nest fewer loops, branches and calls in each other"
        )
        super().__init__(str(self.problem))


def infer(model: Model) -> list[Problem]:
    """Set the type of every value from the types of the inputs and weights; where a rule cannot tell, the declared type stands. Returns what does not fit.

    Raises StepsError, a LimitError.
    """
    problems: list[Problem] = []
    with collector_paused():
        told: dict[Value, TensorType] = {}
        for _ in range(TOLD):
            problems = Inference(model, told=told).graph(model.graph, model.opsets)
            found = told_by_readers(model.graph, lambda node, inputs: types_on(node, inputs, model.opsets))
            if not found:
                break
            told.update(found)
            for v in (v for v in model.inputs if v in found):
                v.type = found[v]
    return problems


def infer_or_declare(model: Model) -> list[Problem]:
    """As `infer`, but where that takes too many steps, all values have the types that the file declares."""
    try:
        return infer(model)
    except StepsError as e:
        for node in (n for graph in model.graph.walk() for n in graph.nodes):
            for v in (*node.outputs, *(x for body in node.bodies.values() for x in body.inputs)):
                if v is not None:
                    v.type = v.declared  # pyright: ignore[reportAttributeAccessIssue]
        return [e.problem]


def types_on(node: Node, inputs: Sequence[Value | None], opsets: Mapping[str, int]) -> list[Type | None]:
    """The types of the outputs of a node of a declared operator on other inputs. Raises RuleError and what a rule may stumble over."""
    return _typed(node, inputs, _old_opset(node, opsets), opsets)


def _old_opset(node: Node, opsets: Mapping[str, int]) -> int | None:
    """The opset of a node that stands in an old form; None where it stands in the declared one."""
    opset = opsets.get(node.op.domain)
    return None if opset is None or is_current(node.op, opset) else opset


def _typed(node: Node, inputs: Sequence[Value | None], old: int | None, opsets: Mapping[str, int]) -> list[Type | None]:
    """As `types_on`. old: what `_old_opset` gives."""
    if old is not None:
        from .upgrade import types_of_old_form

        return types_of_old_form(node, inputs, old, opsets)
    assert isinstance(node.op, Op)
    return node.op.infer(inputs, node.attributes, len(node.outputs))


class Inference:
    """Infers types over the graphs of one model. trust_declared: let the file's types sharpen what is inferred. told: types of values whose rank it leaves open. Raises StepsError."""

    def __init__(self, model: Model | None = None, trust_declared: bool = True, told: Mapping[Value, TensorType] | None = None):
        self.model = model
        self.told = told or {}
        self.trust_declared = trust_declared
        self.steps, self.most = 0, STEPS
        self.extended = model is None
        self.made: dict[tuple, list[Type | None]] = {}  # what calls make: the function, attributes and the types of the inputs -> types
        self.retold = self.rounds = 0
        self.depth = 0  # of the bodies that are being typed
        self.settled: dict[Graph, list[tuple[Type | None, Type | None]]] = {}  # the inputs of bodies: as given, and what that came to
        self.problems: list[Problem] = []

    def graph(self, graph: Graph, opsets: Mapping[str, int]) -> list[Problem]:
        """Type the values of a graph whose inputs are typed, bodies included."""
        for node in graph.nodes:
            types = self.node(node, opsets)
            if 0 < len(types) < len(node.outputs) and any(v is not None for v in node.outputs[len(types) :]):
                self.problems.append(Problem(node, f"{node.op} makes {len(types)} outputs; the node names {len(node.outputs)}"))
            for i, v in enumerate(node.outputs):
                if v is not None:
                    v.type = self._refined(node, types[i] if i < len(types) else None, self.told.get(v, v.declared))  # pyright: ignore[reportAttributeAccessIssue]
        return self.problems

    def node(self, node: Node, opsets: Mapping[str, int]) -> list[Type | None]:
        """The types of a node's outputs; None where the rule cannot tell."""
        self.steps += 1 + len(node.inputs) + len(node.outputs)
        if self.steps > self.most:
            self._extend(node)
        if any(v is not None and v.type is None for v in node.inputs):
            return []
        try:
            if isinstance(node.op, Op):
                return self._declared(node, opsets)
            if self.model is not None and node.op.key in self.model.functions:
                return self._called(node)
            return self._retired(node, opsets)
        except (RuleError, UnknownRank) as e:
            self.problems.append(Problem(node, str(e)))
        except STUMBLES as e:  # a rule may stumble over what is not as its op declares
            self.problems.append(Problem(node, stumbled(node, e)))
        return []

    def _declared(self, node: Node, opsets: Mapping[str, int]) -> list[Type | None]:
        old = _old_opset(node, opsets)
        if old is None:
            if node.attributes and node.bodies:
                self._bodies(node, opsets)
            if missing := missing_input(node):
                raise RuleError(missing)
        return _typed(node, node.inputs, old, opsets)

    def _retired(self, node: Node, opsets: Mapping[str, int]) -> list[Type | None]:
        """An operator that the newest opset no longer has, as Upsample and Scatter, is typed as what took its place."""
        old = _old_opset(node, opsets)
        return [] if old is None else _typed(node, node.inputs, old, opsets)

    def _bodies(self, node: Node, opsets: Mapping[str, int]) -> None:
        """Type the bodies of a node.

        Where not even a rank comes out for what a loop carries, as where a sequence begins empty and is read before it grows, what the file or the
        builder says of it is taken to hold.
        """
        from ..ops._bodies import body_inputs, is_vague

        types = body_inputs(node)
        said = {name: [v.declared or v.type for v in node.bodies[name].inputs] for name in types}
        found = [(name, i, t) for name, given in said.items() for i, t in enumerate(given[: len(types[name])])]
        for name, i, t in found:
            types[name][i] = types[name][i] or t
        problems = len(self.problems)
        self._settle(node, types, opsets)
        told = [(name, i, t) for name, i, t in found if t is not None and not is_vague(t) and is_vague(node.bodies[name].inputs[i].type)]
        if told and self.retold < RETOLD:
            self.retold += 1
            del self.problems[problems:]
            for name, i, t in told:
                types[name][i] = self._refined(node, types[name][i], t)
            for body in node.bodies.values():
                for graph in body.walk():
                    self.settled.pop(graph, None)
            self._settle(node, types, opsets)

    def _settle(self, node: Node, types: dict[str, list[Type | None]], opsets: Mapping[str, int]) -> None:
        """Type the bodies of a node whose inputs have these types on the first trip. What does not stay the same is widened until it does.

        Where the graph around them is typed once more, with wider types, each body goes on from what it came to: else n bodies in each other took 2^n rounds.
        """
        from ..ops._bodies import is_vague, resumed, widened

        found, first = len(self.problems), types
        self.depth += 1
        while types:
            del self.problems[found:]
            for name, given in types.items():
                body = node.bodies[name]
                self.rounds += 1
                before = self.settled.get(body) if types is first else None
                for i, (v, t) in enumerate(zip(body.inputs, given)):
                    if before is not None and i < len(before):  # what is vague may only have hung on what began empty
                        t = t if is_vague(before[i][1]) and self.rounds < ROUNDS else resumed(t, *before[i])
                    v.type = t  # pyright: ignore[reportAttributeAccessIssue]
                self.graph(body, opsets)
            types = widened(node)
        for name, given in first.items():
            self.settled[node.bodies[name]] = [(t, v.type) for t, v in zip(given, node.bodies[name].inputs)]
        self.depth -= 1
        if not self.depth:
            self.settled.clear()

    def _extend(self, node: Node) -> None:
        """Allow what a model of its size may take. Raises LimitError where that was allowed already."""
        if self.extended:
            raise StepsError(node, self.most)
        assert self.model is not None
        self.most += STEPS_EACH * sum(len(graph.nodes) for graph in self.model.graphs())
        self.extended = True

    def _called(self, node: Node) -> list[Type | None]:
        """A call's types are those of the function's body on its inputs."""
        assert self.model is not None
        if self._refusal is not None:
            raise RuleError(self._refusal)
        key = _call_key(node)
        found = self.made.get(key) if key is not None else None
        if found is None:
            before = serial()
            found = self._inlined(node)
            if key is not None and serial() == before + 1:  # an unknown dim is new in each call
                self.made[key] = found
        return found

    @cached_property
    def _refusal(self) -> str | None:
        """Why the functions of the model are not looked into, if so."""
        assert self.model is not None
        try:
            expect_bounded_calls(self.model)
        except TypeError as e:
            return str(e)
        return None

    def _inlined(self, node: Node) -> list[Type | None]:
        from ..ops._bodies import discard

        assert self.model is not None
        function = self.model.functions[node.op.key]
        body, made = inlined(node, self.model)
        inner = Inference(self.model)
        inner.steps, inner.most, inner.extended, inner.made = self.steps, self.most, self.extended, self.made
        inner._refusal = None
        inner.graph(body, function.opsets)
        self.steps, self.most, self.extended = inner.steps, inner.most, inner.extended
        types: list[Type | None] = [None if v is None else v.type for v in made]
        if node.bodies:  # whose copies read values of the graph around the call
            discard(body)
        return types

    def _refined(self, node: Node, inferred: Type | None, declared: Type | None) -> Type | None:
        """What is inferred, made more precise where the file says more."""
        if inferred is None or declared is None or not self.trust_declared:
            return inferred if inferred is not None else declared
        if isinstance(inferred, TensorType) and _reads_elements(node):
            declared = _sizes_alone(declared)
        if isinstance(inferred, TensorType) and isinstance(declared, TensorType):
            if inferred.dtype != declared.dtype:
                self.problems.append(Problem(node, f"the file declares {declared}, but the operator makes {inferred}", True))
                return inferred
            if inferred.shape is None or declared.shape is None:
                return inferred if inferred.shape is not None else declared
            if len(inferred.shape) != len(declared.shape):
                self.problems.append(Problem(node, f"the file declares {declared}, but the operator makes {inferred}", True))
                return inferred
            if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(inferred.shape, declared.shape)):
                self.problems.append(Problem(node, f"the file declares {declared}, but the operator makes {inferred}", True))
                return inferred
            shape = tuple(_sharper(a, b) for a, b in zip(inferred.shape, declared.shape))
            return inferred if shape == inferred.shape else TensorType(inferred.dtype, shape, inferred.known)
        if isinstance(inferred, OptionalType) and isinstance(declared, OptionalType):
            return OptionalType(self._refined(node, inferred.element, declared.element))
        if isinstance(inferred, SequenceType) and isinstance(declared, SequenceType):
            element = self._refined(node, inferred.element, _sizes_alone(declared.element))
            return SequenceType(element, inferred.empty and element == inferred.element)
        return inferred


def _call_key(node: Node) -> tuple | None:
    """What the types of a call depend on; None where it has bodies, which are not compared."""
    if node.bodies:
        return None
    attributes = tuple((name, type(x), x) for name, x in node.attributes.items())
    return node.op.key, attributes, tuple(v and (v.type, _contents(v.type)) for v in node.inputs), tuple(v is None for v in node.outputs)


def _contents(t: Type | None) -> object:
    """The known contents of a type, or of elements of it, in a form that tells 0.0 from -0.0."""
    if isinstance(t, TensorType):
        return repr(t.known) if t.dtype.kind == "f" else t.known
    return _contents(t.element) if isinstance(t, SequenceType | OptionalType) else None


def _reads_elements(node: Node) -> bool:
    """Whether an operator that is no loop makes something of the elements of a sequence."""
    of_sequence = any(v is not None and isinstance(v.type, SequenceType) for v in node.inputs)
    return of_sequence and isinstance(node.op, Op) and not node.op.may_have_bodies


def _sizes_alone(t: Type | None) -> Type | None:
    """A declared type without its symbols. Elements of one sequence may differ in them, though onnx's own inference gives all of them one."""
    return map_dims(t, lambda d: d if isinstance(d, int) else unknown())


def _sharper(inferred: Dim, declared: Dim) -> Dim:
    return declared if isinstance(inferred, Expr) and inferred.is_unknown else inferred


def bind_sizes(model: Model, sizes: Mapping[str, Dim]) -> list[Problem]:
    """Put sizes in place of symbols, in place, in all that is said of values of the main graph and its bodies. Returns what does not fit since."""
    before = {(p.node, p.declared) for p in infer(model)}
    for graph in model.graph.walk():
        for v in graph.values():
            if not isinstance(v, Weight):
                v.declared = bind(v.declared, sizes)
                v.type = bind(v.type, sizes)  # pyright: ignore[reportAttributeAccessIssue]
    return [p for p in infer(model) if (p.node, p.declared) not in before]


def type_inputs(graph: Graph, types: Mapping[str, Type]) -> None:
    """Give inputs of a graph other types, by name."""
    for v in graph.inputs:
        v.type = types.get(v.name, v.type)  # pyright: ignore[reportAttributeAccessIssue]
