"""What models are fed, what they should make of it, and whether what they make is that."""

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

import graphir
from graphir.dims import symbols
from graphir.dtypes import FLOATS, STRING
from graphir.ir import Graph, Node, Value, Weight
from graphir.model import Model
from graphir.ops import Op
from graphir.ops.elementwise import cast_like
from graphir.passes.prune import prune
from graphir.results import TOLERANCES, difference, tolerance, worst
from graphir.tensors import Tensor
from graphir.types import TensorType, bind
from graphir_arrays.interpret import Interpreter, interpret
from graphir_numpy.namespace import xp

from .build import WORDS

SIZES = (2, 3, 1, 5)
INEXACT = {"activation", "attention", "loss", "math", "nn", "normalization", "recurrent", "reduce", "resize", "roi", "signal"}  # families
ROUNDINGS = 4
Values = dict[str, Any]


def feeds_of(model: Model, data: bytes) -> list[Values]:
    """For each of SIZES, an array for each input; defaults are left to the model. The same file is fed the same."""
    rng = np.random.default_rng(zlib.crc32(data))
    names = sorted({s for v in model.inputs if isinstance(v.type, TensorType) for d in v.type.shape or () for s in symbols(d)})
    found = []
    for n in SIZES:
        sizes = {s: n + i for i, s in enumerate(names)}
        found.append({v.name: drawn(v, sizes, rng) for v in model.inputs if v.tensor is None})
    return found


def drawn(v: Value, sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    """An array for an input. Raises ValueError where its type does not tell enough."""
    t = bind(v.type, sizes)
    if not isinstance(t, TensorType) or t.shape is None or not all(isinstance(d, int) for d in t.shape):
        raise ValueError(f"{v.name} is {v.type}")
    shape = tuple(d for d in t.shape if isinstance(d, int))
    if t.dtype == STRING:
        return np.array([WORDS[i] for i in rng.integers(0, len(WORDS), int(np.prod(shape)))], object).reshape(shape)
    if t.dtype in FLOATS or t.dtype.kind == "c":
        return np.asarray(rng.uniform(-2, 2, shape)).astype(t.dtype)
    return rng.random(shape) < 0.5 if t.dtype.kind == "b" else rng.integers(0, 4, shape).astype(t.dtype)


def bare(model: Model, names: Sequence[str]) -> Model:
    """A copy whose outputs are these values of its main graph, that has no other nodes, and that updates nothing."""
    made = model.copy()
    for weight in list(made.updates):
        made.stop_updating(weight)
    table = made.addresses()
    made.graph.outputs = [table[name] for name in names]
    prune(made)
    return made


def everything(model: Model) -> list[str]:
    """The addresses of all that the nodes of the main graph make."""
    table = {v: a for a, v in model.addresses().items()}
    return [table[v] for node in model.graph.nodes for v in node.outputs if v is not None and v in table]


def moves(model: Model) -> dict[str, str]:
    """The addresses of the weights that are updated, and of what they become."""
    table = {v: a for a, v in model.addresses().items()}
    return {table[w]: table[v] for w, v in model.updates.items()}


class Shaken(Interpreter):
    """An interpreter that moves what sums and functions make by about a rounding of the largest number: what they cancel to zero is not always zero."""

    def apply(self, node: Node, inputs: list[Any], values: dict[Value, Any]) -> Sequence[Any]:
        """The outputs of a node, moved."""
        made = super().apply(node, inputs, values)
        if not isinstance(node.op, Op) or node.op.module.rpartition(".")[2] not in INEXACT:
            return made
        rng = np.random.default_rng(len(values))
        return [_shaken(x, rng) for x in made]


class Refused(NamedTuple):
    """What a node would have made whose kernel raised an error."""

    error: Exception


class Patient(Interpreter):
    """An interpreter that raises an error of a kernel no sooner than somebody reads the numbers: of what CastLike casts to, only the dtype counts."""

    def apply(self, node: Node, inputs: list[Any], values: dict[Value, Any]) -> Sequence[Any]:
        """The outputs of a node."""
        like = node.inputs[1] if node.op is cast_like else None
        if like is not None and isinstance(inputs[1], Refused):
            inputs = [inputs[0], np.zeros(0, like.dtype)]
        refused = next((x for x in inputs if isinstance(x, Refused)), None)
        if refused is not None:
            return [refused] * len(node.outputs)
        try:
            return super().apply(node, inputs, values)
        except Exception as e:  # in the kernel's own kinds
            return [Refused(e)] * len(node.outputs)

    def run(self, graph: Graph, values: dict[Value, Any]) -> list[Any]:
        """The outputs of a graph. Raises the error of what is not there."""
        made = super().run(graph, values)
        refused = next((x for x in made if isinstance(x, Refused)), None)
        if refused is not None:
            raise refused.error
        return made


class Watching(Interpreter):
    """An interpreter that raises FloatingPointError where a number is made that is none, or huge, in bodies too."""

    def apply(self, node: Node, inputs: list[Any], values: dict[Value, Any]) -> Sequence[Any]:
        """The outputs of a node."""
        made = super().apply(node, inputs, values)
        if not all(map(_sane, made)):
            raise FloatingPointError(node.label)
        return made


def stays_sane(model: Model, names: Sequence[str], feeds: Values) -> bool:
    """Whether all numbers that are made on the way to these values are finite, and none is huge."""
    try:
        interpreted(model, names, feeds, kind=Watching)
    except FloatingPointError:
        return False
    return True


def _shaken(x: Any, rng: np.random.Generator) -> Any:
    if not isinstance(x, np.ndarray | np.generic) or x.dtype not in FLOATS or not np.size(x):
        return x
    wide = x.astype(np.float64)
    size = ROUNDINGS * float(ml_dtypes.finfo(x.dtype).eps) * np.abs(wide, where=np.isfinite(wide), out=np.zeros_like(wide)).max()
    return (wide + size * rng.standard_normal(x.shape)).astype(x.dtype)


def interpreted(
    model: Model,
    names: Sequence[str],
    feeds: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
    kind: type[Interpreter] = Interpreter,
) -> Values:
    """What the interpreter makes of a model, by address. kind: of interpreter."""
    made = bare(model, names)
    for address, x in (state or {}).items():
        if address in made.weights:
            made.weights[address].tensor = Tensor.of(x)
    with np.errstate(all="ignore"):
        return dict(zip(names, interpret(made, feeds, xp, kind=kind).values(), strict=True))


def coarsest(model: Model) -> float:
    """What may differ, by the narrowest floats of a model: they may lie on the way to any value."""
    types = [v.type for graph in model.graphs() for node in graph.nodes for v in (*node.inputs, *node.outputs) if v is not None]
    return max((TOLERANCES.get(t.dtype, 0.0) for t in types if isinstance(t, TensorType)), default=0.0)


def differing(got: Mapping[str, Any], want: Mapping[str, Any], least: float = 0.0) -> str | None:
    """The first value that differs by more than rounding, and where. least: what floats may differ by, relative to their largest."""
    for name, x in got.items():
        y = want[name]
        allowed = max(tolerance(x, least=least), tolerance(y, least=least))
        if type_name(x) != type_name(y) or not difference(x, y) <= allowed:
            place = worst(x, y)
            return f"{name}: {place.place}{place.first}, not {place.second}"
    return None


def type_name(x: Any) -> str:
    """What kind of thing a result is."""
    if isinstance(x, list | tuple):
        return f"list of {len(x)}"
    return f"{np.asarray(x).dtype}{list(np.shape(x))}" if not isinstance(x, dict) and x is not None else type(x).__name__


def unsteady(model: Model, feeds: Values, names: Sequence[str]) -> bool:
    """Whether results hang on the last digits of what is given, or of what is made on the way: then no two ways to compute them need agree."""
    want = interpreted(model, names, feeds)
    if differing(interpreted(model, names, feeds, kind=Shaken), want, coarsest(model)):
        return True
    rng = np.random.default_rng(0)
    for size in (1e-7, 1e-6, 1e-5):
        moved = model.copy()
        for weight in moved.weights.values():
            if isinstance(weight.tensor, Tensor) and weight.tensor.dtype in FLOATS:
                weight.tensor = Tensor.of(_moved(weight.tensor.array, size, rng))
        if differing(interpreted(moved, names, {name: _moved(x, size, rng) for name, x in feeds.items()}), want, coarsest(model)):
            return True
    return False


def _moved(x: Any, size: float, rng: np.random.Generator) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype not in FLOATS:
        return x
    return (x.astype(np.float64) * (1 + size * rng.standard_normal(x.shape))).astype(x.dtype)


def sane(values: Mapping[str, Any]) -> bool:
    """Whether all numbers are finite, and none is huge: what becomes of others each runtime decides."""
    return all(_sane(x) for x in values.values())


def _sane(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return all(map(_sane, x))
    if not isinstance(x, np.ndarray | np.generic) or x.dtype.kind in "OUSbc":
        return True
    with np.errstate(all="ignore"):
        return bool((np.abs(x.astype("float64")) < 1e6).all())


def smaller_models(model: Model) -> Iterator[Model]:
    """The model less one of its outputs or updates, or with an input in the place of what a node makes, or a weight's dims of one size."""
    for i in range(len(model.graph.outputs)):
        if len(model.graph.outputs) > 1:
            made = model.copy()
            made.graph.outputs = [v for j, v in enumerate(made.graph.outputs) if j != i]
            yield from _cut(made)
    for i in range(len(model.updates)):
        made = model.copy()
        made.stop_updating(list(made.updates)[i])
        yield from _cut(made)
    for i, node in enumerate(model.graph.nodes):
        for k, v in enumerate(node.outputs):
            if v is not None and isinstance(v.type, TensorType):
                made = model.copy()
                old = made.graph.nodes[i].outputs[k]
                assert old is not None
                new = made.graph.input(made.graph.fresh("in"), old.type)
                made.graph.replace_uses(old, new)
                yield from _cut(made)


def _cut(model: Model) -> Iterator[Model]:
    """The model less what nobody reads, as a file gives it back; nothing where it is none any more."""
    prune(model, keep=set(model.updates))
    for v in [v for v in model.graph.inputs if not v.uses]:
        model.graph.drop_weight(v) if isinstance(v, Weight) else model.graph.drop_input(v)
    with contextlib.suppress(ValueError, TypeError):
        yield graphir.loads(graphir.dumps(model, "gir"), "gir")
