"""What elements carry of the file that they came from: one table of what each entry may be, and the check of a model against it.

Models that were read from an ONNX file have it right. But a native file may say anything, and so may those who build graphs.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from onnx import TrainingInfoProto

from graphir.ir import Graph, Node
from graphir.model import Model
from graphir.plugins import FormatError
from graphir.tensors import SparseTensor, Tensor

from .attributes import children
from .elements import quoted
from .origin import parsed


class Kind(NamedTuple):
    """What an entry may be: in words, and as a function that tells."""

    words: str
    holds: Callable[[Any], bool]


_TEXT = Kind("text", lambda x: isinstance(x, str))
_TEXTS = Kind("a list of texts", lambda x: isinstance(x, list | tuple) and all(isinstance(v, str) for v in x))
_PAIRS = Kind("a table of texts", lambda x: isinstance(x, Mapping) and all(isinstance(v, str) for kv in x.items() for v in kv))
_BYTES = Kind("bytes", lambda x: isinstance(x, bytes))
_NUMBER = Kind("an integer of 64 bits", lambda x: type(x) is int and -(2**63) <= x < 2**63)
_FLAG = Kind("true or false", lambda x: isinstance(x, bool))

ENTRIES = {
    "origin": _BYTES, "encoded": _BYTES,  # together; see `origin`
    "doc": _TEXT, "metadata": _PAIRS, "name": _TEXT, "external": _PAIRS, "bare": _FLAG,
    "ir_version": _NUMBER, "needed_ir": _NUMBER, "model_version": _NUMBER,
    "producer_name": _TEXT, "producer_version": _TEXT, "domain": _TEXT,
    "unimported": _TEXTS, "odd": _TEXTS,
}  # fmt: skip


def expect_carried(model: Model) -> None:
    """Raises FormatError, which names the graph, the node and the entry, where something that is carried is not what it should be."""
    _check(model.carried, "")
    for i, said in enumerate(model.training):
        where = f"training[{i}]: "
        if not isinstance(said, dict) or not isinstance(said.get("origin"), bytes):
            raise FormatError(f"{where}it has no origin; expected the bytes of a TrainingInfoProto")
        parsed(TrainingInfoProto, said["origin"], where)
    for f in model.functions.values():
        where = f"function {quoted(f.name)}"
        _check(f.carried, f"{where}: ")
        _check_attributes(f.attributes, where)
    for graph in model.graphs():
        _check_graph(graph, f"graph {quoted(graph.name)}")


def _check_graph(graph: Graph, where: str) -> None:
    _check(graph.carried, f"{where}: ")
    for name, weight in graph.weights.items():
        _check_tensor(weight.tensor, where, "tensor", name)
    for node in graph.nodes:
        if node.carried is not None:
            _check(node.carried, f"{where}, node {quoted(node.label)}: ")
        if node.attributes:
            _check_attributes(node.attributes, where, node)


def _check_attributes(attributes: Mapping[str, Any], where: str, node: Node | None = None) -> None:
    for name, x in attributes.items():
        for child in children(x):
            _check_tensor(child, where if node is None else f"{where}, node {quoted(node.label)}", "attribute", name)


def _check_tensor(x: Any, where: str, what: str, name: str) -> None:
    for t in _tensors(x):
        if t.carried is not None:
            _check(t.carried, f"{where}, {what} {quoted(name)}: ")


def _tensors(x: Any) -> Iterator[Tensor | SparseTensor]:
    if isinstance(x, SparseTensor):
        yield from (x, x.values, x.indices)
    elif isinstance(x, Tensor):
        yield x


def _check(carried: Any, where: str) -> None:
    if carried is None:
        return
    if not isinstance(carried, dict):
        raise FormatError(f"{where}what is carried is {quoted(carried)}; expected a table, or None")
    for name, x in carried.items():
        kind = ENTRIES.get(name)
        if kind is not None and not kind.holds(x):
            raise FormatError(f"{where}{name}, which is carried, is {quoted(x)}; expected {kind.words}")
    if ("origin" in carried) != ("encoded" in carried):
        raise FormatError(f"{where}of origin and encoded, which are carried together, one is missing")
