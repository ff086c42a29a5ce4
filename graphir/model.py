"""A model: a graph and what travels with it. Copies."""

from collections.abc import Iterator
from typing import Any

from .addresses import addressed, addresses_of_values
from .expect import expect, near
from .ir import Graph, Node, Value, Weight
from .readers import release, use

_SHOWN = 8  # names in an error
_ELSEWHERE = {  # what people look for on a model, and where it is
    "program = graphir.compile(model); program.run({'x': ...}) runs it": "run predict forward infer compile eval",
    "graphir.save(model, path) writes it": "save export write to_onnx SerializeToString",
    "graphir.training.fit(model, data) trains it": "fit train",
    "graphir.gradient(model) differentiates it": "grad gradient backward",
    "model.graph.nodes has them": "nodes node layers",
    "model.weights has them": "parameters state_dict initializer initializers",
}


class Function:
    """A function of the model: a graph that calls with its name stand for. attributes: name -> default, None where one must be given."""

    def __init__(self, domain: str, name: str, graph: Graph, *, overload: str = "", attributes: dict[str, Any] | None = None,
                 opsets: dict[str, int] | None = None, carried: Any = None):  # fmt: skip
        self.domain = domain
        self.name = name
        self.overload = overload
        self.graph = graph
        self.attributes = attributes or {}
        self.opsets = opsets or {}
        self.carried = carried

    @property
    def key(self) -> tuple[str, str, str]:
        """What calls find it by."""
        return self.domain, self.name, self.overload


class Model:
    """A graph with its functions, opset versions and metadata.

    opsets: domain -> version in which the nodes stand; "" is ai.onnx. A domain that is not there stands in the version that graphir declares.
    target_opsets: the versions to write where that can be said: those of the file that was read, kept when `upgrade` raises the nodes. Empty: as low as possible.
    updates: weight -> the value that it takes after a run, all at once.
    gradients: (of, wrt) -> the name of the output that holds the gradient.
    training: what a file said of its training, in the file's own form.
    """

    def __init__(self, graph: Graph, *, functions: dict[tuple[str, str, str], Function] | None = None, opsets: dict[str, int] | None = None,
                 target_opsets: dict[str, int] | None = None, metadata: dict[str, str] | None = None, carried: Any = None):  # fmt: skip
        expect(graph, Graph, "the graph of the model", "a Graph; graphir.load(path) reads a model from a file")
        self.graph = graph
        self.functions = functions or {}
        self.opsets = opsets or {}
        self.target_opsets = target_opsets or {}
        self.metadata = metadata or {}
        self.updates: dict[Weight, Value] = {}
        self._taken: dict[Value, dict[Weight, None]] = {}  # who takes a value
        self.gradients: dict[tuple[str, str], str] = {}
        self.training: list[Any] = []
        self.carried = carried

    # ---- what callers ask -----------------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[Value]:
        """The graph's inputs."""
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The graph's outputs."""
        return self.graph.outputs

    @property
    def weights(self) -> dict[str, Weight]:
        """The weights of the whole model by address, those of bodies included."""
        return {a: v for a, v in self.addresses().items() if isinstance(v, Weight)}

    def graphs(self) -> Iterator[Graph]:
        """The main graph, the functions' and all bodies in them."""
        yield from self.graph.walk()
        for function in self.functions.values():
            yield from function.graph.walk()

    def addresses(self) -> dict[str, Value]:
        """All values of the main graph and its bodies, by address: see `graphir.addresses`."""
        return addresses_of_values(self.graph)

    def find(self, address: str) -> Value:
        """The value at an address; `node/value` serves for `node/then_branch/value` where only one branch has it. Raises KeyError with near misses."""
        return self.locate(address)[1]

    def locate(self, address: str) -> tuple[str, Value]:
        """The address in full, and the value. See `find`."""
        table = self.addresses()
        if address in table:
            return address, table[address]
        meant = {v for prefix, g in addressed(self.graph, branches=False) for v in g.values() if prefix + v.name == address}
        short = [a for a, v in table.items() if v in meant]
        if len(short) == 1:
            return short[0], table[short[0]]
        close = f"; did you mean {', '.join(short[:_SHOWN])}?" if short else near(address, table) or self._there_is(table)
        raise KeyError(f"no value {address!r} in the model{close}")

    def _there_is(self, table: dict[str, Value]) -> str:
        """What an error adds where nothing is like a name: inputs, outputs and weights, the first few."""
        names = [*dict.fromkeys([v.name for v in (*self.inputs, *self.outputs)] + [a for a, v in table.items() if isinstance(v, Weight)])]
        return f"; there are {', '.join(names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)}" if names else ""

    # ---- updates --------------------------------------------------------------------------------------------------------------------

    def update(self, weight: Weight, value: Value) -> None:
        """After a run, `weight` takes `value`. The weight becomes state."""
        self._release(weight)
        weight.become("state")
        self.updates[weight] = value
        self._taken.setdefault(value, {})[weight] = None
        use(value, self)

    def stop_updating(self, weight: Weight) -> None:
        """After a run, `weight` stays as it was. It remains state."""
        self._release(weight)
        self.updates.pop(weight, None)

    def redirect(self, old: Value, new: Value) -> None:
        """Let the updates that read `old` read `new`."""
        for weight in list(self._taken.get(old, ())):
            self.update(weight, new)

    def _release(self, weight: Weight) -> None:
        if (value := self.updates.get(weight)) is not None:
            del self._taken[value][weight]
            release(value, self)

    # ---- copies ---------------------------------------------------------------------------------------------------------------------

    def copy(self) -> "Model":
        """A copy that shares only tensors with this model."""
        mapping: dict[Value, Value] = {}
        model = Model(
            copy_graph(self.graph, mapping=mapping), opsets=dict(self.opsets), target_opsets=dict(self.target_opsets),
            metadata=dict(self.metadata), carried=self.carried,
        )  # fmt: skip
        for key, f in self.functions.items():
            model.functions[key] = Function(
                f.domain,
                f.name,
                copy_graph(f.graph),
                overload=f.overload,
                attributes=dict(f.attributes),
                opsets=dict(f.opsets),
                carried=f.carried,
            )
        for weight, value in self.updates.items():
            model.update(mapping[weight], mapping[value])  # pyright: ignore[reportArgumentType]  # a weight's copy is a weight
        model.gradients = dict(self.gradients)
        model.training = list(self.training)
        return model

    def __getattr__(self, name: str) -> Any:
        """Only what is not there comes here. Raises AttributeError, which says where it is."""
        call = next((call for call, names in _ELSEWHERE.items() if name in names.split()), None)
        raise AttributeError(f"a Model has no {name!r}" + (f"; {call}" if call else ""), name=name, obj=self)

    def __str__(self) -> str:
        from .text import model_text

        return model_text(self)


def copy_graph(graph: Graph, parent: Graph | None = None, mapping: dict[Value, Value] | None = None, prefix: str | None = None) -> Graph:
    """A copy of a graph. `mapping` tells what stands for the values from outside, and receives the copy of each value. With a prefix, names are made fresh."""
    mapping = {} if mapping is None else mapping
    new = Graph(graph.name, parent)

    def named(v: Value) -> str:
        return v.name if prefix is None else new.fresh(prefix + v.name)

    new.carried, new.needs_upgrade = graph.carried, graph.needs_upgrade
    for v in graph.weights.values():
        copied = new.add_weight(named(v), v.tensor, v.kind)
        copied.type, copied.declared = v.type, v.declared
        mapping[v] = copied
    for v in graph.inputs:
        if v in mapping:
            new.inputs.append(mapping[v])
        else:
            mapping[v] = new.add_input(named(v), v.type)
            mapping[v].declared = v.declared
    for node in graph.nodes:
        copy_node(node, new, mapping, prefix)
    new.outputs = [mapping.get(v, v) for v in graph.outputs]
    return new


def copy_node(node: Node, graph: Graph, mapping: dict[Value, Value], prefix: str | None = None) -> Node:
    """A copy of `node` at the end of `graph`, its inputs and outputs looked up and entered in `mapping`. With a prefix, names are made fresh."""
    attributes = {k: copy_attribute(x, graph, mapping, prefix) for k, x in node.attributes.items()}
    names = ["" if v is None else v.name if prefix is None else graph.fresh(prefix + v.name) for v in node.outputs]
    types = [v.type if v is not None else None for v in node.outputs]
    name = prefix + node.name if prefix and node.name else node.name
    new = graph.append(node.op, tuple([v and mapping.get(v, v) for v in node.inputs]), attributes, types, name, names)
    new.carried = node.carried
    for old, copied in zip(node.outputs, new.outputs, strict=True):
        if old is not None and copied is not None:
            copied.declared = old.declared
            mapping[old] = copied
    return new


def copy_attribute(x: Any, graph: Graph, mapping: dict[Value, Value], prefix: str | None = None) -> Any:
    """An attribute for a node of `graph`: graphs are copied as `copy_graph` does, all else is shared."""
    if isinstance(x, Graph):
        return copy_graph(x, graph, mapping, prefix)
    if isinstance(x, tuple) and x and isinstance(x[0], Graph):
        return tuple(copy_graph(g, graph, mapping, prefix) for g in x)
    return x
