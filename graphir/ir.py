"""The graph. Every edit goes through the methods here, which keep uses, order and names right."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .dtypes import NAMES, holds
from .nodes import Attribute, Node, Operator, Ref, UnknownRank, Value, Weight, captures
from .readers import Scope
from .tensors import SparseTensor, Tensor
from .types import Type

__all__ = ["Attribute", "Graph", "Node", "Operator", "Ref", "UnknownRank", "Value", "Weight", "captures", "home"]


class Graph(Scope):
    """Inputs, outputs, nodes in topological order, weights. A body (of If, Loop, Scan) has a parent, and captures outer values by using them.

    `with body:` puts ops that read only outer values into the body.
    """

    __slots__ = (
        "_counts",
        "_editing",
        "_entered",
        "_names",
        "_numbers",
        "_visited",
        "carried",
        "depth",
        "inputs",
        "name",
        "needs_upgrade",
        "nodes",
        "owner",
        "parent",
        "root",
        "weights",
    )

    def __init__(self, name: str = "graph", parent: "Graph | None" = None):
        super().__init__()
        self.name = name
        self.parent = parent
        self.root: Graph = parent.root if parent else self
        self.depth: int = parent.depth + 1 if parent else 0
        self.owner: Node | None = None
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.weights: dict[str, Weight] = {}
        self.carried: Any = None
        self._visited: Node | None = None
        self._editing = False
        # Of the root alone: names taken, with the next number to try, or 0 for one that `fresh` gave and nothing claimed; constants made for Python
        # numbers; bodies entered; whether nodes are in older forms.
        self._names: dict[str, int] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._numbers: dict[tuple, Weight] = {}
        self._entered: list[Graph] = []
        self.needs_upgrade = False

    # ---- building -------------------------------------------------------------------------------------------------------------------

    def input(self, name: str, type_: Type | None) -> Value:
        """A new input; None where its type is not known. Raises ValueError for a name that an input or a weight of this graph has, TypeError."""
        self._check_name(name, "input")
        if type_ is not None and not isinstance(type_, Type):
            raise TypeError(f"the type of the input {name} is {type_!r}; expected a type, such as TensorType('float32', ('N', 3))")
        return self.add_input(name, type_)

    def add_input(self, name: str, type_: Type | None) -> Value:
        """A new input as a file or another graph has it, whatever its name."""
        value = Value(self.claim(name), type_, self)
        self.inputs.append(value)
        return value

    def weight(self, name: str, data: Any, kind: str = "constant") -> Weight:
        """A new weight holding `data`: a Tensor, an array, or numbers. Raises ValueError for a name that an input or a weight of this graph has, TypeError."""
        self._check_name(name, "weight")
        if data is None:
            raise TypeError(f"the data of the weight {name} is None; expected a Tensor, an array, or numbers")
        return self.add_weight(name, data, kind)

    def add_weight(self, name: str, data: Any, kind: str = "constant") -> Weight:
        """A new weight as a file or another graph has it, whatever its name."""
        name = self.claim(name)
        weight = self.weights[name] = Weight(name, data if isinstance(data, SparseTensor) else Tensor.of(data), self, kind)
        return weight

    def default(self, value: Value, data: Any) -> Weight:
        """Give the input `value` a default: it becomes a weight of kind "default", which is returned in its place."""
        weight = Weight(value.name, data if isinstance(data, SparseTensor) else Tensor.of(data), self, "default")
        weight.declared = value.declared
        if value.uses:
            raise ValueError(f"{value.name} is read already; give the default before it is used")
        self.inputs[self.inputs.index(value)] = self.weights[value.name] = weight
        return weight

    def open(self, weight: Weight) -> None:
        """Make a weight an input as well: its data becomes the default."""
        if weight.kind != "default":
            weight.become("default")
            self.inputs.append(weight)

    def close(self, weight: Weight) -> None:
        """Make an input that has a default a constant weight."""
        if weight.kind == "default":
            weight.become("constant")
            self.inputs.remove(weight)

    def drop_input(self, value: Value) -> None:
        """Remove an input that nobody reads."""
        if value.uses:
            raise ValueError(f"cannot drop {value.name}: it is still read by {next(iter(value.uses))}")
        self.inputs.remove(value)

    def drop_inputs(self, values: Iterable[Value]) -> None:
        """Remove inputs that nobody reads."""
        gone = set(values)
        for v in gone:
            if v.uses:
                raise ValueError(f"cannot drop {v.name}: it is still read by {next(iter(v.uses))}")
        self.inputs = [v for v in self.inputs if v not in gone]

    def output(self, value: Value, name: str | None = None) -> Value:
        """Make `value` an output, under `name` if given. Raises ValueError for a value that this graph cannot give under that name, TypeError for no value."""
        if not isinstance(value, Value):
            raise TypeError(f"the output{'' if name is None else f' {name}'} of graph {self.name!r} is {value!r}; expected a value")
        if not self.sees(value):
            raise ValueError(
                f"{value.name} belongs to graph {value.graph.name!r}, which does not enclose {self.name!r}, so it is no output here"
            )
        if name is not None:
            if name != value._name and self in value.uses:
                raise ValueError(f"{value.name} is an output already; give ops.elementwise.identity({value.name}) the name {name!r}")
            self.rename(value, name)
        self.list_output(value)
        return value

    def sees(self, value: Value) -> bool:
        """Whether a value is made in this graph or around it."""
        graph: Graph | None = self
        while graph is not None and graph is not value.graph:
            graph = graph.parent
        return graph is not None

    def append(
        self, op: Operator, inputs: tuple[Value | None, ...], attributes: dict[str, Attribute], types: Sequence[Type | None], name: str = "",
        names: Sequence[str] | None = None,
    ) -> Node:  # fmt: skip
        """Add a node here. `types` tells its outputs' types; with `names`, one for each output, an empty name leaves the output out. No type rule is asked."""
        node = Node(op, inputs, attributes, self, name)
        for v in inputs:
            if v is not None:
                uses = v.uses
                uses[node] = uses[node] + 1 if node in uses else 1
        if names is not None:
            node.outputs = [Value(self.claim(n), t, self, node) if n else None for n, t in zip(names, types, strict=True)]
        else:
            for t in types:
                node.outputs.append(Value(None, t, self, node))
        if attributes and op.may_have_bodies:
            for body in node.bodies.values():
                body.owner = node
        self.nodes.append(node)
        return node

    def number(self, x: Any, dtype: np.dtype) -> Weight:
        """The constant that stands for a Python number, or for a list of them: one a graph for each number and dtype.

        Raises TypeError for a number that the dtype cannot hold: 0.5 beside int64, True beside float32, 300 beside uint8.
        """
        root = self.root
        whole = False
        if many := x.__class__ is list or x.__class__ is tuple:
            whole = {int}.issuperset(map(type, x))
            key = dtype, tuple(x), int if whole else str(x)
        else:
            key = dtype, x, x.__class__ if x else str(x)  # 1, 1.0 and True are equal, and so are 0.0 and -0.0
        weight = root._numbers.get(key)
        if weight is None or root.weights.get(weight.name) is not weight:
            for number in (min(x), max(x)) if whole and x else x if many else (x,):
                if not holds(dtype, number):
                    raise TypeError(f"{number!r}, which {NAMES[dtype]} cannot hold")
            text = "_".join(map(str, x[:24])) if many else str(x)
            weight = root._numbers[key] = root.weight(self.fresh(f"c_{text}" if len(text) < 24 else "c"), Tensor.of(np.asarray(x, dtype)))
        return weight

    # ---- names ----------------------------------------------------------------------------------------------------------------------

    def fresh(self, base: str) -> str:
        """A name that nothing in the whole graph has: `base`, `base_1`, `base_2`, ..."""
        names = self.root._names
        n = names.get(base)
        if n is None:
            names[base] = 0
            return base
        name = f"{base}_{n or 1}"
        while name in names:
            n += 1
            name = f"{base}_{n}"
        names[base] = (n or 1) + 1
        names[name] = 0
        return name

    def first_free(self, prefix: str, name: str, but: str | None = None) -> str:
        """The first of <prefix>_<name>, <prefix>2_<name>, ... that nothing has, or that is `but`."""
        counts, key = self.root._counts, (prefix, name)
        while (found := f"{prefix}{counts.get(key, '')}_{name}") != but and not self.is_free(found):
            counts[key] = counts.get(key, 1) + 1
        return found

    def claim(self, name: str) -> str:
        """Take a name as it is. Sibling bodies may use one name twice, so whether it is free where it stands is for `verify` to say."""
        names = self.root._names
        names[name] = names.get(name) or 1
        return name

    def _check_name(self, name: str, what: str) -> None:
        """Raises for what cannot be the name of a new input or weight. Whether a node's output has it is for `verify` to say."""
        if not isinstance(name, str) or not name:
            raise (ValueError if name == "" else TypeError)(f"the name of the {what} is {name!r}; expected a text that is not empty")
        if name in self.weights or (self.root._names.get(name) and any(v._name == name for v in self.inputs)):
            raise ValueError(f"cannot name the {what} {name}: graph {self.name!r} has an input or a weight of that name")

    def is_free(self, name: str) -> bool:
        """Whether no value of the whole graph has this name, or had it."""
        return name not in self.root._names

    def rename(self, value: Value, name: str) -> None:
        """Give `value` another name. Raises ValueError if it is taken."""
        if name == value._name:
            return
        if not isinstance(name, str) or not name:
            raise (ValueError if name == "" else TypeError)(f"cannot rename {value.name} to {name!r}; expected a text that is not empty")
        if name in self.root._names:
            raise ValueError(f"cannot rename {value.name} to {name}: the name is taken")
        self._rename(value, self.claim(name))

    def _rename(self, value: Value, name: str | None) -> None:
        old, value._name = value._name, name
        weights = value.graph.weights
        if old is not None and weights.get(old) is value:
            value.graph.weights = {v.name: v for v in weights.values()}

    # ---- editing --------------------------------------------------------------------------------------------------------------------

    def edit(self) -> Iterator[Node]:
        """Walk the nodes; whatever is built meanwhile lands before the node that is visited. `drop` and `keep` act on it at once."""
        old, self.nodes = self.nodes, []
        done, self._editing = 0, True
        try:
            for node in old:
                self._visited = node
                if node.graph is self:
                    yield node
                done += 1
                self.keep(node)
        finally:
            if done < len(old) and self._visited is None:
                done += 1  # the walk broke off at a node that `keep` had placed
            self._visited, self._editing = None, False
            self.nodes += old[done:]
            self.sweep()

    def keep(self, node: Node) -> None:
        """While the graph is edited: put the visited node here, so that what is built next lands after it."""
        if node is self._visited:
            self._visited = None
            self.nodes.append(node)

    @contextmanager
    def before(self, node: Node) -> Iterator[None]:
        """What is built inside lands before `node`. For one-offs: it costs a copy of the list; a pass walks `edit`."""
        with self._at(self.nodes.index(node)):
            yield

    @contextmanager
    def after(self, node: Node | None) -> Iterator[None]:
        """What is built inside lands right after `node`, or before all nodes where that is None. It costs what `before` does."""
        with self._at(0 if node is None else self.nodes.index(node) + 1):
            yield

    @contextmanager
    def _at(self, place: int) -> Iterator[None]:
        tail, self.nodes = self.nodes[place:], self.nodes[:place]
        try:
            yield
        finally:
            self.nodes += tail
            self.sweep()

    def replace_uses(self, old: Value, new: Value, keep_name: bool = False) -> None:
        """Let every reader of `old` read `new`, bodies, outputs and updates included. An output keeps its name, and so does what asks to: the two swap theirs."""
        if old is new:
            return
        if ((old.listed and not new.listed) or keep_name) and new.node is not None:
            old_name, new_name = old._name, new._name
            self._rename(old, new_name)
            self._rename(new, old_name)
        for user, times in list(old.uses.items()):
            if isinstance(user, Node | Graph):
                new.uses[user] = new.uses.get(user, 0) + times
                del old.uses[user]
            if isinstance(user, Node):
                user.replace_input(old, new)
            elif isinstance(user, Graph):
                user.replace_output(old, new)
                old.listed -= times
                new.listed += times
            else:
                user.redirect(old, new)

    def drop(self, *nodes: Node) -> None:
        """Remove nodes whose outputs nobody reads, with their bodies. Raises ValueError if one is read."""
        gone = set(nodes)
        for node in nodes:
            for v in node.outputs:
                if v is not None and (user := next((u for u in v.uses if u not in gone), None)) is not None:
                    raise ValueError(f"cannot drop {node.label}: {v.name} is still read by {user}")
        for node in nodes:
            node.discard()
        if gone and not self._editing:
            self.sweep()

    def sweep(self) -> None:
        """Clear the list of nodes of those that were discarded."""
        self.nodes = [n for n in self.nodes if n.graph is self]

    def drop_weight(self, weight: Weight) -> None:
        """Remove a weight that nobody reads."""
        if weight.uses:
            raise ValueError(f"cannot drop {weight.name}: it is still read by {next(iter(weight.uses))}")
        del self.weights[weight.name]
        if weight.kind == "default" and weight in self.inputs:
            self.inputs.remove(weight)

    # ---- reading --------------------------------------------------------------------------------------------------------------------

    def __enter__(self) -> "Graph":
        self.root._entered.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self.root._entered.pop()

    def values(self) -> Iterator[Value]:
        """The values made here: inputs, weights, outputs of nodes."""
        yield from self.inputs
        given = set(self.inputs)
        yield from (w for w in self.weights.values() if w not in given)
        for node in self.nodes:
            yield from (v for v in node.outputs if v is not None)

    def walk(self) -> Iterator["Graph"]:
        """This graph and the bodies in it, to any depth."""
        yield self
        for node in self.nodes:
            if node.attributes:
                for body in node.bodies.values():
                    yield from body.walk()

    def __str__(self) -> str:
        from .text import graph_text

        return graph_text(self)

    def __repr__(self) -> str:
        return f"<graph {self.name}: {len(self.nodes)} nodes>"


def home(inputs: Iterable[Value | None], bodies: Iterable[Graph] = ()) -> Graph | None:
    """Where a node on these inputs lands: the innermost of their graphs, of the parents of its bodies, and of the body entered by `with`.

    Raises ValueError where two of them lie in sibling bodies.
    """
    places = [v.graph for v in inputs if v is not None] + [b.parent for b in bodies if b.parent is not None]
    if not places:
        return None
    inner = max(places, key=lambda g: g.depth)
    if inner.root._entered and inner.root._entered[-1].depth > inner.depth:
        inner = inner.root._entered[-1]
    above = set()
    g: Graph | None = inner
    while g is not None:
        above.add(g)
        g = g.parent
    stray = next((p for p in places if p not in above), None)
    if stray is not None:
        raise ValueError(f"values of {stray.name!r} and of {inner.name!r} meet in one node, but neither graph encloses the other")
    return inner
