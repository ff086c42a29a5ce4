"""A graph as text, stable and complete enough that tests compare texts; also the `.txt` format, which is only written.

    graph mlp (x: float32[N, 64]) -> (y)
      weight w: float32[64, 10] = #5f3a9c21
      h: float32[N, 10] = Gemm(x, w, transB=1)
      y: float32[N, 10] = Relu(h)

Small weights are printed whole, larger ones as a digest of their data. Unknown dims are numbered in the order of their appearance.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from .dims import Dim, Expr, Symbol, atoms, relabel
from .dtypes import NAMES, STRING
from .ir import Graph, Node, Ref, Value
from .model import Model
from .plugins import FormatError, write_atomically
from .tensors import SparseTensor, Tensor
from .types import Type, map_dims

suffixes = (".txt",)
textual = True
_WHOLE = 8  # tensors of at most so many elements are printed whole


def model_text(model: Model) -> str:
    """A whole model: versions, metadata, the graph, the functions, updates."""
    printer = _Printer()
    lines = ["model " + ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in model.opsets.items())]
    lines += [f"metadata {_quoted(k)} = {_quoted(v)}" for k, v in model.metadata.items()]
    lines += printer.graph(model.graph, "")
    lines += [f"  update {w.name} = {v.name}" for w, v in model.updates.items()]
    for f in model.functions.values():
        lines += [f"function {'.'.join(filter(None, f.key))}({', '.join(f.attributes)})"]
        lines += printer.graph(f.graph, "  ")
    return "\n".join(lines) + "\n"


def graph_text(graph: Graph) -> str:
    """One graph with its bodies."""
    return "\n".join(_Printer().graph(graph, "")) + "\n"


def dumps(model: Model) -> bytes:
    """The text of a model, as UTF-8."""
    return model_text(model).encode("utf-8", "backslashreplace")  # names may hold halves of surrogate pairs


def save(model: Model, path: Path) -> None:
    """Write the text of a model."""
    write_atomically(path, lambda file: file.write(dumps(model)))


def load(path: Path) -> Model:
    """Refused: the text leaves weights out."""
    raise FormatError(f"{path}: a .txt file is for reading by people and cannot be loaded; save as .gir or .onnx")


def loads(data: bytes) -> Model:
    """Refused: the text leaves weights out."""
    raise FormatError("text is for reading by people and cannot be loaded; save as .gir or .onnx")


class _Printer:
    def __init__(self) -> None:
        self.unknowns: dict[int, Dim] = {}

    def graph(self, graph: Graph, indent: str) -> list[str]:
        inputs = ", ".join(self.typed(v) for v in graph.inputs)
        lines = [f"{indent}graph {_name(graph.name)} ({inputs}) -> ({', '.join(_name(v.name) for v in graph.outputs)})"]
        for w in graph.weights.values():
            kind = "weight" if w.kind == "constant" else w.kind
            lines.append(f"{indent}  {kind} {self.typed(w)} = {contents(w.tensor)}")
        for node in graph.nodes:
            lines += self.node(node, indent + "  ")
        return lines

    def node(self, node: Node, indent: str) -> list[str]:
        bodies = node.bodies
        plain = {
            k: x
            for k, x in node.attributes.items()
            if not (isinstance(x, Graph) or (isinstance(x, tuple) and x and isinstance(x[0], Graph)))
        }
        arguments = ["-" if v is None else _name(v.name) for v in node.inputs] + [f"{k}={self.attribute(x)}" for k, x in plain.items()]
        made = ", ".join("-" if v is None else self.typed(v) for v in node.outputs)
        label = f"  # {_name(node.name)}" if node.name else ""
        lines = [f"{indent}{made or '()'} = {node.op}({', '.join(arguments)}){label}"]
        for name, body in bodies.items():
            lines += [f"{indent}  {name}:", *self.graph(body, indent + "    ")]
        return lines

    def typed(self, v: Value) -> str:
        return f"{_name(v.name)}: {self.type(v.type)}" if v.type is not None else _name(v.name)

    def type(self, t: Type | None) -> str:
        return str(map_dims(t, self.dim)) if t is not None else "?"

    def dim(self, d: Dim) -> Dim:
        if isinstance(d, Expr):
            for a in atoms(d):
                if isinstance(a.name, int) and a.name not in self.unknowns:
                    self.unknowns[a.name] = Expr((((Symbol(len(self.unknowns)),), 1),))
        return relabel(d, self.unknowns)

    def attribute(self, x: Any) -> str:
        if isinstance(x, tuple):
            return f"[{', '.join(map(self.attribute, x))}]"
        if isinstance(x, Tensor | SparseTensor):
            return f"{NAMES[x.dtype]}{list(x.shape)} {contents(x)}"
        if isinstance(x, Ref):
            return f"@{x.name}"
        if isinstance(x, Type):
            return self.type(x)
        return _quoted(x) if isinstance(x, str) else repr(x)


def contents(tensor: Tensor | SparseTensor) -> str:
    """The data of a tensor: whole where it is small, else a digest."""
    if isinstance(tensor, SparseTensor):
        return f"sparse {contents(tensor.values)} at {contents(tensor.indices)}"
    if tensor.elements <= _WHOLE:
        return "{" + ", ".join(_quoted(x) if isinstance(x, str) else repr(x) for x in tensor.array.reshape(-1).tolist()) + "}"
    array = tensor.array
    data = (
        json.dumps([str(x) for x in array.reshape(-1).tolist()]).encode()
        if array.dtype == STRING
        else np.ascontiguousarray(array).tobytes()
    )
    return "#" + hashlib.sha256(data).hexdigest()[:8]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)


def _name(name: str) -> str:
    """A name as it is, quoted where it holds what would break the line."""
    return name if name and name.isprintable() and not any(c in ' ,"()=' for c in name) else _quoted(name)
