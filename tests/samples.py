"""Models built by hand that hold everything a model can hold, and a picture of a model by which two can be compared."""

import hashlib
import io
import json
import math
import struct
from typing import Any

import numpy as np

from graphir.dims import Dim, atoms, max_, relabel, symbol, unknown
from graphir.dtypes import DTYPES, STRING
from graphir.file import data
from graphir.file.container import Stored, write
from graphir.file.message import encode
from graphir.ir import Graph, Node, Operator, Ref, Value, Weight
from graphir.model import Function, Model
from graphir.ops import lookup
from graphir.ops.elementwise import add
from graphir.tensors import SparseTensor, Tensor
from graphir.types import MapType, OpaqueType, OptionalType, SequenceType, SparseTensorType, TensorType, Type, map_dims

NAN = struct.unpack(">d", bytes.fromhex("7ff8000000000123"))[0]
BYTES = bytes(range(256))


ARRAY = np.array([1.5, -2.0, 0.25], np.float32)  # what the weights of `small` hold


def array_of(name: str) -> np.ndarray:
    """Seven numbers of a dtype, the first ones that its bits can say; for strings, texts that need care."""
    dtype = DTYPES[name]
    if dtype == STRING:
        return np.array(["", "a", "é\u202e", "\x00\n", b"\xff\xfe", "\udc80", '"'], object)
    return np.arange(1, 8).astype(np.int8 if dtype.kind in "iub" else np.float32).astype(dtype)


def everything() -> Model:
    """A model with something in each field."""
    graph = Graph("every 'thing'")
    graph.carried = {
        "doc": "a\nb",
        "origin": BYTES,
        "list": [1, 1.0, None, True, NAN, -math.inf, {"bytes": "not bytes", "x": 1}, {"bytes": "x"}],
    }
    graph.needs_upgrade = True
    size, other = unknown(), unknown()
    x = graph.input("x", TensorType("float32", (symbol("N"), symbol('odd name, with [brackets] (and "quotes")'), 3)))
    y = graph.input("y", TensorType("float32", (size * 2 + 1, max_(other, size), None)))
    y.declared = TensorType("float32", (other, None, size))
    untyped = graph.input("an input\u2028", None)
    default = graph.default(graph.input("with default", TensorType("int64", (2,))), np.array([1, 2]))
    state = graph.weight("state", np.zeros(3, np.float32), "state")
    state.declared = TensorType("float32", (None,))
    for name in DTYPES:
        graph.weight(f"weight {name}", array_of(name)).tensor.storage = "typed"  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    graph.weight("empty", np.zeros((0, 3), np.float16))
    graph.weight("empty text", np.zeros(0, object))
    graph.weight("scalar", np.array(-0.0, np.float32))
    graph.weight("text", np.array("t", object))
    graph.weight("twice", array_of("float32")).tensor.carried = {"doc": "as float32", "segment": [0, 7]}  # pyright: ignore[reportOptionalMemberAccess]
    graph.weight("sparse", sparse())
    graph.weight("__metadata__", np.ones(2, np.int8))
    graph.weight("graphir.model", np.full(2, 2, np.int8))
    a, b = typed_nodes(graph, x, y, untyped)
    c = with_bodies(graph, a, default)
    graph.append(Operator("", "Relu"), (c,), {}, (None,), "not ours", ("shadow",))
    called = graph.append(Operator("local", "f", "two"), (a,), {"alpha": 2.5}, (None,), "", ("called",)).outputs[0]
    for v in (a, c, called, x, a, state):
        assert v is not None
        graph.output(v)
    model = Model(
        graph, opsets={"": 17, "local": 1}, target_opsets={"": 17}, metadata={"k": "v", "": "é"}, carried={"ir_version": 8, "origin": b""}
    )
    model.functions = {f.key: f for f in functions()}
    assert isinstance(b, Value)
    model.update(state, b)
    model.gradients = {("loss", "w/x"): "d_w"}
    model.training = [{"algorithm": b"\x00", "bindings": {"a": "b"}}]
    return model


def sparse() -> SparseTensor:
    """A sparse tensor of shape (3, 4)."""
    return SparseTensor(Tensor.of(np.array([1.5, 2.5], np.float32)), Tensor.of(np.array([[0, 1], [2, 3]])), (3, 4), {"name": "sparse"})


def typed_nodes(graph: Graph, x: Value, y: Value, untyped: Value) -> tuple[Value, Value]:
    """Nodes with attributes of all kinds, inputs and outputs that are left out, declared types of all kinds."""
    attributes = {
        "int": -(2**63), "float": 0.1, "nan": NAN, "inf": math.inf, "minus": -math.inf, "zero": -0.0, "whole": 2.0, "str": "é\x00\u2029", "binary": BYTES,
        "ints": (1, 2), "floats": (1.0, math.nan, 2.5), "strs": ("a", b"\xff", ""), "none": (), "one": (1,),
        "tensor": Tensor.of(array_of("float32")), "tensors": (Tensor.of(1.0), Tensor.of([1, 2])), "sparse": sparse(), "sparses": (sparse(),),
        "type": SequenceType(TensorType("float32", ("N", None))), "types": (OptionalType(None), MapType("int64", None)),
    }  # fmt: skip
    types: list[Type | None] = [
        TensorType("float32", ("N", 3)), None, None, TensorType("string"), SparseTensorType("float64", (3, "N // 2")),
        SequenceType(OptionalType(TensorType("bool", ()))), MapType("string", SequenceType(MapType("int64", TensorType("float8_e5m2")))),
        OpaqueType("ai.x", "odd, name"), OpaqueType("", "y:z"), SequenceType(None),
    ]  # fmt: skip
    names = ["a", "", "b", "c", "d", "e", "f", "g", "h", "i"]
    node = graph.append(Operator("com.example", "Foreign"), (x, None, y, None), attributes, types, "node/1", names)
    node.carried = {"doc": "node", "metadata": {"bytes": "x"}}
    for v in node.outputs:
        if v is not None:
            v.declared = v.type
    graph.append(lookup("", "Add"), (untyped, untyped), {}, (None, None), "", ("unnamed", ""))
    first, third = node.outputs[0], node.outputs[2]
    assert first is not None and third is not None
    return first, third


def with_bodies(graph: Graph, a: Value, default: Weight) -> Value:
    """A node with two bodies that capture values, use one name twice, and hold weights and a body of their own."""
    bodies = []
    for name in ("then", "else"):
        body = Graph(name, graph)
        weight = body.weight("w", np.array([1.5, 2.5], np.float32))
        inner = Graph("inner", body)
        deep = inner.append(Operator("", "Identity"), (weight,), {}, (None,), "id", ("deep",))
        inner.append(Operator("x", "Take"), (a, deep.outputs[0], default), {}, (None,), "take", ("w",))
        assert inner.nodes[-1].outputs[0] is not None
        inner.output(inner.nodes[-1].outputs[0])
        made = body.append(
            Operator("x", "Loop"), (), {"body": inner, "graphs": (), "value": Tensor.of(array_of("float32"))}, (None,), "", ("out",)
        )
        assert made.outputs[0] is not None
        body.output(made.outputs[0])
        body.output(a)
        bodies.append(body)
    more = tuple(Graph(f"more{i}", graph) for i in range(2))
    node = graph.append(
        Operator("x", "If"), (default,), {"then_branch": bodies[0], "else_branch": bodies[1], "more": more}, (None,), "if", ("c",)
    )
    assert node.outputs[0] is not None
    return node.outputs[0]


def functions() -> list[Function]:
    """Two overloads of one function, with attributes that must be given and attributes with defaults."""
    found = []
    for overload, more in (("one", {}), ("two", {"tensor": Tensor.of(array_of("float32")), "text": "t", "many": (1.0,)})):
        graph = Graph("f")
        x = graph.input("x", None)
        attributes = {"alpha": Ref("alpha", "float"), "value": Tensor.of(np.array([7, 8, 9], np.int32))}
        made = graph.append(lookup("", "LeakyRelu"), (x,), attributes, (None,), "leaky", ("y",)).outputs[0]
        assert made is not None
        graph.output(made)
        attributes = {"alpha": None, **more}
        found.append(Function("local", "f", graph, overload=overload, attributes=attributes, opsets={"": 17}, carried={"doc": overload}))
    return found


class Picture:
    """A model as nested tuples in which values and unknown dims are numbers in the order of their making, bits stand for floats, bytes for data."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.unknowns: dict[int, Dim] = {}

    def number(self, v: Value | None) -> int | None:
        """The number of a value."""
        return None if v is None else self.numbers.setdefault(v, len(self.numbers))

    def model(self, m: Model) -> tuple:
        """All of a model."""
        graph = self.graph(m.graph)
        functions = [
            (key, f.key, self.value(f.attributes), list(f.opsets.items()), self.graph(f.graph), self.value(f.carried))
            for key, f in m.functions.items()
        ]
        updates = [(self.number(w), self.number(v)) for w, v in m.updates.items()]
        versions = [list(d.items()) for d in (m.opsets, m.target_opsets, m.metadata, m.gradients)]
        return graph, functions, updates, versions, self.value(m.training), self.value(m.carried)

    def graph(self, g: Graph) -> tuple:
        """A graph and its bodies."""
        weights = [(name, self.typed(w), w.kind, self.value(w.tensor)) for name, w in g.weights.items()]
        inputs = [self.typed(v) for v in g.inputs]
        nodes = [self.node(n) for n in g.nodes]
        return g.name, g.needs_upgrade, g.depth, weights, inputs, nodes, [self.number(v) for v in g.outputs], self.value(g.carried)

    def typed(self, v: Value) -> tuple:
        """A value with what is declared of it."""
        type_ = self.type(v.type) if v.node is None and v.graph.parent is None else None
        return v.name, self.number(v), self.type(v.declared), type_, sum(v.uses.values())

    def node(self, n: Node) -> tuple:
        """A node."""
        inputs = [self.number(v) for v in n.inputs]
        attributes = self.value(n.attributes)
        outputs = [None if v is None else self.typed(v) for v in n.outputs]
        return type(n.op).__name__, n.op.key, n.name, inputs, attributes, outputs, self.value(n.carried)

    def type(self, t: Type | None) -> str:
        """The text of a type, with unknown dims numbered anew."""

        def numbered(d: Dim) -> Dim:
            for a in atoms(d):
                if isinstance(a.name, int) and a.name not in self.unknowns:
                    self.unknowns[a.name] = symbol(f"unknown {len(self.unknowns)}")
            return relabel(d, self.unknowns)

        return str(map_dims(t, numbered))

    def value(self, x: Any) -> Any:
        """An attribute, or what is carried."""
        match x:
            case Tensor():
                data = x.array.tolist() if x.dtype == STRING else x.array.tobytes()
                return "tensor", str(x.dtype), x.shape, data, x.storage, self.value(x.carried)
            case SparseTensor():
                return "sparse", x.shape, self.value(x.values), self.value(x.indices), self.value(x.carried)
            case Graph():
                return self.graph(x)
            case Type():
                return self.type(x)
            case Ref():
                return "ref", x.name, x.kind
            case float():
                return "float", struct.pack(">d", x)
            case dict():
                return "dict", [(k, self.value(v)) for k, v in x.items()]
            case list() | tuple():
                return type(x).__name__, [self.value(v) for v in x]
        return type(x).__name__, x


def picture(model: Model) -> tuple:
    """All that a model holds, fit to be compared."""
    return Picture().model(model)


# ---- files made by hand -------------------------------------------------------------------------------------------------------------


def small() -> Model:
    """y = x + w + v, where w and v hold the same."""
    graph = Graph("small")
    x = graph.input("x", TensorType("float32", ("N", 3)))
    w, v = (graph.weight(name, ARRAY) for name in "wv")
    graph.output(add(add(x, w).named("s"), v), "y")
    return Model(graph, opsets={"": 28})


def signed(tree: dict, **tensors: np.ndarray | Stored) -> bytes:
    """A file with this message and these tensors, whose checksums are right."""
    return container(*parts_of(tree, **tensors))


def parts_of(tree: dict, **tensors: np.ndarray | Stored) -> tuple[dict[str, Stored], dict[str, str]]:
    """What is written for this message and these tensors: the parts, and the texts of the header."""
    message = json.dumps(tree).encode()
    parts = {
        k: x if isinstance(x, Stored) else Stored(data.code_of(x.dtype), list(x.shape), x.nbytes, x.itemsize, lambda x=x: [x.tobytes()])
        for k, x in tensors.items()
    }
    parts["graphir.model"] = Stored("U8", [len(message)], len(message), 1, lambda: [message])
    return parts, {"graphir.version": "1", "graphir.model_sha256": hashlib.sha256(message).hexdigest()}


def data_of(holder: Any) -> Any:
    """The array of a weight, or of the attribute `a` of a graph's first node."""
    tensor: Any = holder.nodes[0].attributes["a"] if isinstance(holder, Graph) else holder.tensor
    return tensor.array


def container(stored: dict[str, Stored], metadata: dict[str, str]) -> bytes:
    """A safetensors file with a checksum of its header."""
    file = io.BytesIO()
    write(file, stored, metadata, "graphir.header_sha256")
    return file.getvalue()


def tree_of(model: Model) -> dict:
    """The message of a model, as JSON has it."""
    return json.loads(encode(model)[0])


def nested(x: Any, depth: int = 300) -> Any:
    """`x` in lists in lists."""
    for _ in range(depth):
        x = [x]
    return x
