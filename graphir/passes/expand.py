"""Replace nodes by what they stand for: ops by their decomposition, calls by the function's body."""

from collections.abc import Callable

from ..calls import UNFOLDED, expect_bounded_calls
from ..ir import Graph, Node, Ref, UnknownRank, Value
from ..model import Function, Model, copy_attribute, copy_node
from ..nodes import Attribute
from ..ops import OPS, Op, RuleError, decompose, lookup
from ..ops.training import follow_names
from .misfit import STUMBLES, misfit, stumbled

GROWTH = 200  # nodes that stand for one, at most, over all of a graph; beyond UNFOLDED


def expand(model: Model, has_kernel: Callable[[Op], bool]) -> None:
    """Inline every function call, and decompose every op that has no kernel, to any depth. Raises TypeError for an op with neither."""
    from .gradient_nodes import replace_gradient_nodes  # which inlines calls

    replace_gradient_nodes(model)
    expect_bounded_calls(model)

    def replace(node: Node) -> tuple[Value | None, ...] | None:
        if isinstance(node.op, Op):
            return None if has_kernel(node.op) else _decomposed(node)
        return inline(node, model)

    replace_nodes(model.graph, replace)


def _decomposed(node: Node) -> tuple[Value | None, ...]:
    """What the decomposition of a node builds. Raises TypeError that names the node where its inputs or attributes do not suit it."""
    if why := misfit(node):
        raise TypeError(f"node {node.label!r}: {why}")
    _ask_rule(node)
    try:
        return decompose(node)
    except UnknownRank as e:
        raise TypeError(
            f"node {node.label!r}: {node.op} is run as other operators, for which {e}; declare the shapes of the model's inputs"
        ) from e
    except STUMBLES as e:
        raise TypeError(f"node {node.label!r}: {e if isinstance(e, RuleError) else stumbled(node, e)}") from e


def _ask_rule(node: Node) -> None:
    """Raises TypeError with what the type rule has against a node, if it has: once the node is decomposed, nobody asks it."""
    assert isinstance(node.op, Op)
    if node.op.is_composite:
        return  # the decomposition is the rule
    try:
        node.op.infer(node.inputs, node.attributes, len(node.outputs))
    except RuleError as e:
        raise TypeError(f"node {node.label!r}: {e}") from None
    except Exception:  # of a file's nodes a rule may raise anything
        return  # the rule stumbles over what the decomposition stumbled over


def inline_calls(model: Model) -> None:
    """Inline every call of a function of the model, which has none afterwards, nor their domains. Foreign nodes stay as they are."""
    expect_bounded_calls(model)
    replace_nodes(model.graph, lambda node: inline(node, model) if node.op.key in model.functions else None)
    used = {node.op.domain for graph in model.graph.walk() for node in graph.nodes}
    for domain in {domain for domain, _, _ in model.functions if domain} - used:
        model.opsets.pop(domain, None)
    model.functions = {}


def replace_nodes(graph: Graph, replace: Callable[[Node], tuple[Value | None, ...] | None]) -> None:
    """Put what `replace` builds in place of each node, bodies included, until it builds nothing. Raises TypeError where that grows without bounds."""
    again, most = True, UNFOLDED + GROWTH * len(graph.nodes)
    while again:
        again = False
        for node in graph.edit():
            outputs = replace(node)
            if outputs is None:
                for body in node.bodies.values():
                    replace_nodes(body, replace)
                continue
            if len(graph.nodes) > most:
                raise TypeError(
                    f"node {node.label!r} ({node.op}): graph {graph.name!r} unfolds to more than {most:,} nodes; it cannot be computed with"
                )
            _take_over(node, outputs)
            graph.drop(node)
            again = True


def inline(node: Node, model: Model | None) -> tuple[Value | None, ...]:
    """Build the body of the function that a node calls where ops now land, and return what stands for its outputs.

    Raises TypeError for a foreign node, and where the node names more outputs than the function has.
    """
    function = model.functions.get(node.op.key) if model is not None else None
    if function is None:
        raise TypeError(f"{node.op} of {node.label}: no such operator is declared, and the model has no function of that name")
    assert node.graph is not None
    count = len(function.graph.outputs)
    if any(v is not None for v in node.outputs[count:]):
        raise RuleError(f"{node.op} makes {count} output{'s' * (count != 1)}; the node names {len(node.outputs)}")
    values: dict[Value, Value] = {}
    missing: set[Value] = set()
    for i, v in enumerate(function.graph.inputs):
        given = node.inputs[i] if i < len(node.inputs) else None
        if given is None:
            missing.add(v)
        else:
            values[v] = given
    return _copy_body(function, node, node.graph, values, missing)


Apart = tuple[
    Graph, list[Value | None]
]  # a graph, and its values that stand for the outputs of a node; None for those that are left out, or not made


def decomposed(node: Node) -> Apart:
    """The decomposition of a node as a graph of its own, whose inputs are those that the node has."""
    return _apart(node, lambda copy: decompose(copy))


def inlined(node: Node, model: Model | None) -> Apart:
    """The function that a node calls as a graph of its own, whose inputs are those that the node has."""
    return _apart(node, lambda copy: inline(copy, model))


def _apart(node: Node, build: Callable[[Node], tuple[Value | None, ...]]) -> Apart:
    """What `build` makes of a copy of `node` whose inputs are a new graph's."""
    graph = Graph(node.label)
    inputs = tuple(None if v is None else graph.input(graph.fresh(v.name), v.type) for v in node.inputs)
    copy = Node(node.op, inputs, dict(node.attributes), graph, node.name)
    copy.outputs = list(node.outputs)
    made = [None if old is None else new for old, new in zip(node.outputs, build(copy))]
    graph.outputs = [v for v in made if v is not None]
    return graph, made


def _copy_body(function: Function, call: Node, graph: Graph, values: dict[Value, Value], missing: set[Value]) -> tuple[Value | None, ...]:
    """Copy a function's nodes to where ops now land: its attributes filled in, names made fresh, what was not given left out."""
    given: dict[str, Attribute] = {k: x for k, x in {**function.attributes, **call.attributes}.items() if x is not None}
    for weight in function.graph.weights.values():
        values[weight] = graph.root.weight(graph.fresh(weight.name), weight.tensor, weight.kind)
    made = []
    for old in function.graph.nodes:
        new = copy_node(old, graph, values, prefix=f"{call.label}/")
        new.op = lookup(*old.op.key)
        fill(new, given)
        if missing:
            new.set_inputs([None if v in missing else v for v in new.inputs])
        made.append(new)
    names = {old.name: new.name for old, new in values.items()}
    for new in made:
        follow_names(new, names)
    return tuple(None if v in missing else values[v] for v in function.graph.outputs)


def fill(node: Node, given: dict[str, Attribute]) -> None:
    """Put the attributes of a call where the nodes of a function refer to them, bodies included; what was not given is left out. Graphs are copied there."""
    attributes: dict[str, Attribute] = {}
    assert node.graph is not None
    for name, x in node.attributes.items():
        if not isinstance(x, Ref):
            attributes[name] = x
        elif x.name in given:
            attributes[name] = copy_attribute(given[x.name], node.graph, {}, prefix="")
    node.attributes = attributes
    for body in node.bodies.values():
        body.owner = node
        for inner in body.nodes:
            fill(inner, given)


def _take_over(node: Node, outputs: tuple[Value | None, ...]) -> None:
    """Let the readers of a node's outputs read these, under the names that they had. What is passed through goes through an Identity, to have a name of its own."""
    assert node.graph is not None
    taken: set[Value | None] = set(node.inputs)
    for old, new in zip(node.outputs, outputs):
        if old is None:
            continue
        if new is None:
            if old.uses:
                raise TypeError(f"{node.op} of {node.label}: {old.name} is read, but the function does not make it")
            continue
        if new in taken or new.node is None:
            with node.graph:
                new = OPS["", "Identity"](new)
        taken.add(new)
        new.declared = old.declared
        node.graph.replace_uses(old, new, keep_name=True)
