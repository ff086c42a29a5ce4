"""Where the values of a graph live: on the device, or on the host, with a node for each transfer.

The host holds what kernels read from Python (shapes, axes, conditions), what the device has no arrays for, and what follows from such values alone.
"""

import math
from typing import Any, NamedTuple

from graphir.budget import Budget
from graphir.ir import Graph, Node, Value, Weight
from graphir.model import Model
from graphir.ops import Op
from graphir.ops._op import op
from graphir.types import MapType, OptionalType, SequenceType, TensorType, Type

from .interpret import dense

STANDARD = ("", "ai.onnx.ml")  # the domains that the tables speak of
FEW = 1024  # elements up to which what follows from host values alone is computed on the host

# The inputs that a kernel reads from Python: op -> their names.
READ: dict[str, tuple[str, ...]] = {
    "AffineGrid": ("size",),
    "CenterCropPad": ("shape",),
    "Col2Im": ("image_shape", "block_shape"),
    "Compress": ("condition",),
    "ConstantOfShape": ("input",),
    "CumProd": ("axis",),
    "CumSum": ("axis",),
    "DFT": ("dft_length", "axis"),
    "Dropout": ("ratio", "training_mode"),
    "Expand": ("shape",),
    "GRU": ("sequence_lens",),
    "If": ("cond",),
    "LSTM": ("sequence_lens",),
    "Loop": ("m", "cond"),
    "MelWeightMatrix": ("num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"),
    "MaxUnpool": ("output_shape",),
    "OneHot": ("depth",),
    "Pad": ("pads", "axes"),
    "RNN": ("sequence_lens",),
    "Range": ("start", "limit", "delta"),
    "Reshape": ("shape",),
    "Resize": ("roi", "scales", "sizes"),
    "STFT": ("frame_step", "frame_length"),
    "SequenceAt": ("position",),
    "SequenceErase": ("position",),
    "SequenceInsert": ("position",),
    "Slice": ("starts", "ends", "axes", "steps"),
    "Split": ("split",),
    "SplitToSequence": ("split",),
    "Squeeze": ("axes",),
    "Tile": ("repeats",),
    "TopK": ("k",),
    "Trilu": ("k",),
    "Unsqueeze": ("axes",),
}
READ_BY_EVERY = {"Reduce": ("axes",)}  # the same for all ops whose names begin so

# The inputs of which a kernel asks only dtype, shape or length: they may lie anywhere.
UNREAD: dict[str, tuple[str, ...]] = {
    "CastLike": ("target_type",),
    "EyeLike": ("input",),
    "OptionalHasElement": ("input",),
    "RandomNormalLike": ("input",),
    "RandomUniformLike": ("input",),
    "SequenceLength": ("input_sequence",),
    "Shape": ("data",),
    "Size": ("data",),
}

# Ops that run on the host wherever their inputs lie: why. A key with an attribute's value holds for nodes that have it.
ON_HOST: dict[str | tuple[str, str, Any], str] = {
    "CastMap": "takes a dictionary of Python's",
    "DictVectorizer": "as CastMap",
    "ImageDecoder": "a file's bytes, which Pillow reads",
    "NonMaxSuppression": "a walk over boxes, each step of which hangs on the one before",
    "OptionalHasElement": "a bool that If reads",
    "SequenceLength": "a number that Loop reads",
    "Shape": "numbers that Reshape, Slice and others read",
    "SVMClassifier": "votes are counted for each pair of classes, of which there may be many",
    "Size": "a number that others read",
    "TfIdfVectorizer": "n-grams are looked up in lists",
    "TreeEnsemble": "a walk from node to node, each step of which hangs on the one before",
    "TreeEnsembleClassifier": "as TreeEnsemble",
    "TreeEnsembleRegressor": "as TreeEnsemble",
    "Unique": "sorting slices by rank is many small steps, and the shape of the result must be read anyway",
    "ZipMap": "makes dictionaries of Python's",
    ("ScatterElements", "reduction", "mul"): "no atomic product exists",
    ("ScatterND", "reduction", "mul"): "no atomic product exists",
}


class Places(NamedTuple):
    """What lives on the host: the nodes that compute there, and the values. All else is the device's."""

    nodes: set[Node]
    values: set[Value]


class Held:
    """The data of weights, brought to where they live once."""

    def __init__(self, xp: Any, budget: Budget):
        self.xp = xp
        self.budget = budget
        self._arrays: dict[tuple[int, bool], tuple[Any, Any]] = {}

    def for_clone(self, budget: Budget) -> "Held":
        """The same arrays for a clone of the program, which notes in its own table, and its own budget, what it brings itself."""
        other = Held(self.xp, budget)
        other._arrays.update(self._arrays)
        return other

    def __call__(self, weight: Weight, on_host: bool) -> Any:
        """The array of a weight."""
        key = id(weight.tensor), on_host
        found = self._arrays.get(key)
        if found is None:
            data = dense(weight, self.budget)
            found = self._arrays[key] = weight.tensor, data if on_host else self.xp.asarray(data)  # the tensor stays, so that its id does
        return found[1]


@op("ToHost", since=1, domain="graphir.arrays")
def to_host(x: Value) -> Type:
    """The same on the host. Waits until the device has made it."""
    return x.type


@op("ToDevice", since=1, domain="graphir.arrays")
def to_device(x: Value) -> Type:
    """The same on the device."""
    return x.type


@to_host.kernel
def _to_host(xp: Any, x: Any) -> Any:
    return [_to_host(xp, y) for y in x] if isinstance(x, list) else None if x is None else xp.to_numpy(x)


@to_device.kernel
def _to_device(xp: Any, x: Any) -> Any:
    return [_to_device(xp, y) for y in x] if isinstance(x, list) else None if x is None else xp.asarray(x)


def place(model: Model, xp: Any) -> Places:
    """Say where all lives, and add a node for each transfer, in place: one for each value, before the first node that reads it.

    Where the namespace is the host's own, that is nothing.
    """
    if xp.host is xp:
        return Places(set(), set())
    placing = _Placing(xp)
    graph = model.graph
    placing.places.values.update(v for v in graph.inputs if placing.is_foreign(v.type) or _only_read(v))
    placing.weights(graph)
    placing.graph(graph, on_host=False)
    return placing.places


class _Placing:
    """One walk over a model. places: what was decided so far."""

    def __init__(self, xp: Any):
        self.xp = xp
        self.places = Places(set(), set())
        self._copies: dict[tuple[Value, bool], Value] = {}

    def is_foreign(self, t: Type | None) -> bool:
        """Whether the device has no arrays of this type."""
        if isinstance(t, SequenceType | OptionalType):
            return self.is_foreign(t.element)
        return isinstance(t, MapType) or (isinstance(t, TensorType) and not self.xp.holds(t.dtype))

    def weights(self, graph: Graph) -> None:
        """Weights that the device cannot hold."""
        for g in graph.walk():
            self.places.values.update(w for w in g.weights.values() if self.is_foreign(w.type))

    def graph(self, graph: Graph, on_host: bool) -> None:
        """Place the nodes of a graph. on_host: all of them on the host."""
        for node in graph.edit():
            host = on_host or self._is_for_host(node)
            for name, body in node.bodies.items():
                self._body(body, node, name, host)
            node.set_inputs([None if v is None else self._wanted(node, i, v, host) for i, v in enumerate(node.inputs)])
            if host:
                self.places.nodes.add(node)
            self.places.values.update(v for v in node.outputs if v is not None and (host or self.is_foreign(v.type)))

    def _body(self, body: Graph, node: Node, name: str, on_host: bool) -> None:
        """A body takes and gives all on the device, but for the trip's number and the condition of a Loop."""
        loop = node.op.name == "Loop"
        self.places.values.update(v for i, v in enumerate(body.inputs) if on_host or (loop and i < 2) or self.is_foreign(v.type))
        self.graph(body, on_host)
        body.outputs = [self._at(v, on_host or (loop and i == 0) or self.is_foreign(v.type)) for i, v in enumerate(body.outputs)]

    def _is_for_host(self, node: Node) -> bool:
        if not isinstance(node.op, Op):
            return False
        if node.op.domain in STANDARD and (
            node.op.name in ON_HOST or any((node.op.name, k, x) in ON_HOST for k, x in node.attributes.items() if x.__class__ is str)
        ):
            return True
        if any(v is not None and self.is_foreign(v.type) for v in (*node.inputs, *node.outputs)):
            return True
        given = [v for v in node.inputs if v is not None]
        settled = [v for v in given if not _is_constant(v)]
        few = all(v is None or _is_small(v.type) for v in node.outputs)
        return bool(settled) and few and not node.op.random and all(v in self.places.values for v in settled)

    def _wanted(self, node: Node, i: int, v: Value, host: bool) -> Value:
        """The input `v` of a node where the node wants it."""
        return v if _is_among(UNREAD, node, i) else self._at(v, host or _is_among(READ, node, i))

    def _at(self, v: Value, host: bool) -> Value:
        """A value's copy on the host or on the device, or itself where it is there already."""
        if (v in self.places.values) == host or (not host and self.is_foreign(v.type)):
            return v
        copy = self._copies.get((v, host))
        if copy is None:
            if _is_constant(v):
                copy = v.graph.weight(v.graph.fresh(v.name), v.tensor)
            else:
                copy = (to_host if host else to_device)(v)
            self._copies[v, host] = copy
            if host:
                self.places.values.add(copy)
        return copy


def _is_among(table: dict[str, tuple[str, ...]], node: Node, i: int) -> bool:
    """Whether a table names the input at a place of a node."""
    if not isinstance(node.op, Op) or node.op.domain not in STANDARD:
        return False
    names = table.get(node.op.name, ())
    if table is READ:
        names = *names, *(n for start, more in READ_BY_EVERY.items() if node.op.name.startswith(start) for n in more)
    return node.op.inputs[min(i, len(node.op.inputs) - 1)].name in names


def _only_read(v: Value) -> bool:
    """Whether all that comes of an input is read from Python in the end, few numbers being made of it on the way."""
    pending, seen = [v], {v}
    while pending:
        v = pending.pop()
        readers = [(node, i) for node in v.uses if isinstance(node, Node) for i, x in enumerate(node.inputs) if x is v]
        if len(readers) != sum(v.uses.values()) or not readers:
            return False
        for node, i in readers:
            if (node.op.name in ON_HOST and node.op.domain in STANDARD) or _is_among(READ, node, i):
                continue
            if (
                not isinstance(node.op, Op)
                or node.op.random
                or node.bodies
                or not all(x is None or _is_small(x.type) for x in node.outputs)
            ):
                return False
            made = [x for x in node.outputs if x is not None and x not in seen]
            pending += made
            seen.update(made)
    return True


def _is_constant(v: Value) -> bool:
    return isinstance(v, Weight) and v.kind == "constant"


def _is_small(t: Type | None) -> bool:
    """Whether a tensor has few elements, or is a list of numbers: a shape, a number of places."""
    if not isinstance(t, TensorType) or t.shape is None:
        return False
    sizes = [d for d in t.shape if isinstance(d, int)]
    return len(t.shape) <= 1 or (len(sizes) == len(t.shape) and math.prod(sizes) <= FEW)
