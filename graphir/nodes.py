"""The parts of a graph: operators by name, values, weights, nodes. Graphs themselves are in `ir`."""

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from .dims import Shape
from .readers import Scope, latest, release, use
from .tensors import SparseTensor, Tensor
from .types import Known, TensorType, Type

if TYPE_CHECKING:
    from .ir import Graph
    from .model import Model

_NAMING = threading.RLock()  # threads that read one model, as to compile it, may be the first to ask for a name

Attribute = Union[int, float, str, bytes, tuple, Tensor, SparseTensor, Type, "Graph", "Ref"]


class Operator:
    """What a node applies, by name. A bare Operator is foreign: not declared to graphir, or a call of one of the model's functions."""

    __slots__ = ("base", "domain", "may_have_bodies", "name", "overload")

    def __init__(self, domain: str, name: str, overload: str = ""):
        self.domain = domain
        self.name = name
        self.overload = overload
        self.base = name.lower()  # what names of its outputs begin with
        self.may_have_bodies = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What functions are found by."""
        return self.domain, self.name, self.overload

    def attribute_order(self, name: str) -> tuple[int, str]:
        """By what attributes are sorted where their order means something: that of the signature, and by name where there is none."""
        return 0, str(name)  # of a file, a name may be bytes

    def __str__(self) -> str:
        return ".".join(filter(None, (self.domain, self.name))) + (f":{self.overload}" if self.overload else "")

    __repr__ = __str__


class Ref:
    """An attribute inside a function that takes its value from the function's attribute `name`; `kind` is the attribute's kind in the file."""

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: str):
        self.name = name
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and (self.name, self.kind) == (other.name, other.kind)

    def __hash__(self) -> int:
        return hash((self.name, self.kind))


class Value:
    """One edge of a graph. `type` is what is known of it (inferred, else declared), `declared` what the file says; `uses` counts its readers.

    Values are compared by identity. `node` is None for inputs and weights. A value that was built without a name takes one when it is first asked for.
    """

    __slots__ = ("_name", "declared", "graph", "listed", "node", "type", "uses")

    def __init__(self, name: str | None, type_: Type | None = None, graph: "Graph | None" = None, node: "Node | None" = None):
        self._name = name
        self.type: TensorType = type_  # pyright: ignore[reportAttributeAccessIssue]  # most are tensors, and rules read them as such
        self.graph: Graph = graph  # pyright: ignore[reportAttributeAccessIssue]  # None only for stand-ins, that type rules see
        self.node = node
        self.declared: Type | None = None
        self.uses: dict[Node | Graph | Model, int] = {}
        self.listed = 0  # how often graphs list it among their outputs

    @property
    def name(self) -> str:
        """The name. Edit it by `named` or `Graph.rename`."""
        name = self._name
        if name is None:
            with _NAMING:
                name = self._name
                if name is None:
                    assert self.node is not None
                    name = self._name = self.graph.fresh(self.node.op.base)
        return name

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        """The dims. Raises UnknownRank where not even their number is known."""
        shape = self.type.shape
        if shape is None:
            raise UnknownRank(self.name)
        return shape

    @property
    def rank(self) -> int:
        """The number of dims. Raises UnknownRank."""
        shape = self.type.shape
        if shape is None:
            raise UnknownRank(self.name)
        return len(shape)

    @property
    def known(self) -> Known | None:
        """The contents, flat, where they are few and known."""
        return self.type.known

    @property
    def tensor(self) -> Tensor | SparseTensor | None:
        """The data, where this is a weight."""
        return None

    @property
    def is_output(self) -> bool:
        """Whether a graph gives this as an output."""
        return self.listed > 0

    def named(self, name: str) -> "Value":
        """This value, renamed. Raises ValueError if the name is taken."""
        self.graph.rename(self, name)
        return self

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{self.name}: {self.type or '?'}>"


KINDS = ("constant", "state", "default")  # of weights


class Weight(Value):
    """A named tensor of a graph. kind: "constant" (may be folded and packed), "state" (trained or updated), or "default" (of an input of the same name)."""

    __slots__ = ("_kind", "_tensor")

    def __init__(self, name: str, tensor: Tensor | SparseTensor, graph: "Graph", kind: str = "constant"):
        type_ = tensor.type if isinstance(tensor, Tensor) and kind == "constant" else TensorType(tensor.dtype, tensor.shape)
        super().__init__(name, type_, graph)
        self._tensor = tensor
        self.kind = kind

    @property
    def tensor(self) -> Tensor | SparseTensor:
        """The data."""
        return self._tensor

    @tensor.setter
    def tensor(self, tensor: Tensor | SparseTensor) -> None:
        self._tensor = tensor
        self.type = tensor.type if isinstance(tensor, Tensor) and self.kind == "constant" else TensorType(tensor.dtype, tensor.shape)

    @property
    def kind(self) -> str:
        """Constant, state or default. Raises ValueError where another is set."""
        return self._kind

    @kind.setter
    def kind(self, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"the kind of the weight {self.name} is {kind!r}; expected {', '.join(KINDS[:-1])} or {KINDS[-1]}")
        self._kind = kind

    def become(self, kind: str) -> None:
        """Take another kind. The type of a constant alone tells its contents; types that were inferred from them stay until they are inferred again."""
        self.kind = kind
        self.tensor = self._tensor


class Node:
    """One application of an operator. `attributes` holds those that were given; a None among inputs or outputs is left out.

    carried: what a format needs to write it back as it was (documentation, metadata, unknown fields).
    """

    __slots__ = ("_replaced", "attributes", "carried", "graph", "inputs", "name", "op", "outputs")

    def __init__(self, op: Operator, inputs: tuple[Value | None, ...], attributes: dict[str, Attribute], graph: "Graph", name: str = ""):
        self.op = op
        self.inputs = inputs
        self.attributes = attributes
        self.graph: Graph | None = graph
        self.name = name
        self.outputs: list[Value | None] = []
        self.carried: Any = None

    @property
    def graph_attributes(self) -> dict[str, Any]:
        """The attributes that are a graph or a tuple of graphs, in the order of the operator's signature.

        The order in which a file gives attributes means nothing: whoever speaks of bodies, or of what they capture, does so in this one.
        """
        if not self.attributes or not self.op.may_have_bodies:
            return {}
        found = {k: x for k, x in self.attributes.items() if isinstance(x[0] if isinstance(x, tuple) and x else x, Scope)}
        return found if len(found) < 2 else {k: found[k] for k in sorted(found, key=self.op.attribute_order)}

    @property
    def bodies(self) -> dict[str, "Graph"]:
        """The graphs among the attributes, in the same order; those of a tuple as `name[0]`, `name[1]`, ..."""
        graphs = self.graph_attributes
        if not graphs:  # as most nodes: this is asked often
            return graphs
        found: dict[str, Any] = {}
        for name, x in graphs.items():
            if not isinstance(x, tuple):
                found[name] = x
                continue
            while any(f"{name}[{i}]" in self.attributes for i in range(len(x))):  # a file may call another attribute so
                name += "'"
            found.update((f"{name}[{i}]", g) for i, g in enumerate(x))
        return found

    def reads(self) -> list[Value]:
        """The values that it reads, each once: its inputs, then what its bodies capture."""
        found = dict.fromkeys(v for v in self.inputs if v is not None)
        if self.attributes:
            found.update(dict.fromkeys(captures(*self.bodies.values())))
        return list(found)

    def inner(self) -> Iterator["Node"]:
        """The nodes of its bodies, to any depth."""
        for body in self.bodies.values():
            for graph in body.walk():
                yield from graph.nodes

    @property
    def label(self) -> str:
        """The name, or the first output's where there is none."""
        return self.name or next((v.name for v in self.outputs if v is not None), self.op.name)

    def add_output(self, index: int, type_: Type | None) -> Value:
        """The output at `index`, made where the node did not give it. Nothing else changes."""
        while len(self.outputs) <= index:
            self.outputs.append(None)
        value = self.outputs[index]
        if value is None:
            assert self.graph is not None
            value = self.outputs[index] = Value(None, type_, self.graph, self)
        return value

    def insert_output(self, index: int) -> Value:
        """A new output, not typed yet, before the one at `index`."""
        assert self.graph is not None
        value = Value(None, None, self.graph, self)
        self.outputs += [None] * (index - len(self.outputs))
        self.outputs.insert(index, value)
        return value

    def discard(self) -> None:
        """Stop reading, and leave the graph with its bodies. The graph's list is cleared by `Graph.sweep`."""
        self.set_inputs(())
        self.graph = None
        for body in self.bodies.values() if self.attributes else ():
            body.outputs = ()
            for node in body.nodes:
                node.discard()

    def set_inputs(self, inputs: Sequence[Value | None]) -> None:
        """Read these values instead."""
        for v in self.inputs:
            release(v, self)
        self.inputs = tuple(inputs)
        for v in self.inputs:
            use(v, self)

    def replace_input(self, old: Value, new: Value) -> None:
        """Read `new` in place of `old`. The readers of both are counted elsewhere, see `Graph.replace_uses`."""
        if len(self.inputs) <= FEW:
            self.inputs = tuple([new if v is old else v for v in self.inputs])
        else:
            self._replaced = {old: new}
            self.__class__ = Outdated  # pyright: ignore[reportAttributeAccessIssue]

    def __repr__(self) -> str:
        return f"<{self.op} {self.label}>"


class Outdated(Node):
    """A node of many inputs some of which were replaced, until it is asked for them: else each replacement would cost a walk over all of them."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[Value | None, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inputs, brought up to date."""
        current = latest(_given_inputs(self), self._replaced)
        self.inputs = current
        return current

    @inputs.setter
    def inputs(self, inputs: tuple[Value | None, ...]) -> None:
        self.__class__ = Node  # pyright: ignore[reportAttributeAccessIssue]
        self.inputs = inputs

    def replace_input(self, old: Value, new: Value) -> None:
        """As that of Node; it is noted alone."""
        if new in self._replaced:  # which was read here once, and is now again
            assert self.inputs
            self.replace_input(old, new)
        else:
            self._replaced[old] = new


_given_inputs = Node.__dict__["inputs"].__get__
FEW = 8  # inputs that are walked over for each replacement


def captures(*bodies: "Graph") -> list[Value]:
    """The values from outside that bodies read, in order of first use."""
    found: dict[Value, None] = {}
    for body in bodies:
        inside = set(body.walk())
        for graph in body.walk():
            read = [*(v for node in graph.nodes for v in node.inputs if v is not None), *graph.outputs]
            found.update((v, None) for v in read if v.graph not in inside)
    return list(found)


class UnknownRank(TypeError):
    """Raised when a shape is asked for whose rank is unknown."""

    def __init__(self, name: str):
        super().__init__(f"the rank of {name} is unknown")
