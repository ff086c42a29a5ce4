"""Is a model valid: its structure, its types, and each node as the version of its operator declares it."""

from collections.abc import Iterator, Mapping, Set
from typing import Any, NamedTuple

from ..expect import expect_model
from ..ir import Graph, Node, Ref
from ..model import Model
from ..ops import OPSETS, Op, training
from ..ops._gradient import GradientError
from ..ops.versions import is_current, steps, version_at
from ..verify import verify
from .gradient_nodes import seen
from .infer import infer_or_declare
from .misfit import misfit


class Checked(NamedTuple):
    """What a check found. problems: sentences; unknown: operators of other domains, of which nothing is known here."""

    problems: list[str]
    unknown: list[str]


def check(model: Model) -> Checked:
    """What is wrong with a model. Types are inferred anew."""
    expect_model(model)
    problems = [*_said(model.carried), *verify(model)]
    unknown: dict[str, None] = {}
    functions = {f.graph for f in model.functions.values()}
    for graph, opsets in ((model.graph, model.opsets), *((f.graph, f.opsets) for f in model.functions.values())):
        problems += _check_opsets(opsets)
        for node in (n for g in graph.walk() for n in g.nodes):
            if node.op.key in model.functions:
                continue
            found = _check_node(node, opsets, functions)
            if found is not None:
                problems.append(f"node {node.label!r}: {found}")
            elif not isinstance(node.op, Op) and node.op.domain not in OPSETS:
                unknown[str(node.op)] = None
    problems += map(str, infer_or_declare(model))
    return Checked(list(dict.fromkeys(problems)), list(unknown))


def _said(carried: Any) -> list[str]:
    """What the format said of the file when it was read."""
    return list(carried.get("odd", ())) if isinstance(carried, dict) else []


def _check_opsets(opsets: Mapping[str, int]) -> Iterator[str]:
    for domain, version in opsets.items():
        newest = OPSETS.get(domain)
        if version < 1 or (newest is not None and version > newest):
            known = "1 or more" if newest is None else f"1 to {newest}"
            yield f"opset {version} of {domain or 'ai.onnx'} is not known; expected {known}"


def _check_node(node: Node, opsets: Mapping[str, int], functions: Set[Graph]) -> str | None:
    """What is wrong with a node, whatever the types of its inputs. functions: the graphs of those, where attributes may be of the function."""
    op, opset = node.op, opsets.get(node.op.domain)
    if op.domain in OPSETS and not isinstance(op, Op) and not steps(op):
        return f"{op.domain or 'ai.onnx'} has no operator {op.name}"
    if steps(op) and opset is not None and 1 <= opset <= OPSETS[op.domain]:
        first, last = steps(op)[0].version, steps(op)[-1].version
        if version_at(op, opset) is None:
            return f"{op} came with opset {first}; the model stands in {opset}"
        if not isinstance(op, Op) and opset >= last:  # its last step is the one to what took its place
            return f"{op} was retired with opset {last}; the model stands in {opset}"
    if op is training.gradient:
        return _check_names(node)
    inside = node.graph is not None and node.graph.root in functions
    if (inside and any(isinstance(x, Ref) for x in node.attributes.values())) or not (opset is None or is_current(op, opset)):
        return None
    return misfit(node)


def _check_names(node: Node) -> str | None:
    """What of the values that a Gradient node names is not there."""
    graph = node.graph
    xs, zs, y = (node.attributes.get(name, ()) for name in ("xs", "zs", "y"))
    if (found := misfit(node)) is not None or not isinstance(graph, Graph) or not isinstance(xs, tuple) or not isinstance(zs, tuple):
        return found
    try:
        for name in (*xs, *zs, y):
            seen(node, graph, str(name))
    except GradientError as e:
        return str(e)
    return None
