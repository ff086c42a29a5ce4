"""What a rule's signature says: the schema of its op. Inputs are positional, attributes keyword-only; annotations and defaults tell the rest."""

import inspect
import typing
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union

import numpy as np

from ..dtypes import BOOL, DTYPES, FLOAT32, FLOATS, INT32, INT64, NAMES, as_dtype
from ..ir import Graph, Value
from ..tensors import SparseTensor, Tensor, round_to_float32
from ..types import TensorType, Type

# What an input's annotation says. T and its kin: a type variable, allowed dtypes given to `@op`; a Python number takes the dtype of its neighbours.
# To a type checker they are Any: callers may give numbers, and rules always see Values.
T = Annotated[Any, "T"]
T1 = Annotated[Any, "T1"]
T2 = Annotated[Any, "T2"]
T3 = Annotated[Any, "T3"]
Ints = Annotated[Any, INT64]
Index = Annotated[Any, "Tind", INT64]  # where int32 will do, too
Floats = Annotated[Any, FLOAT32]
Bool = Annotated[Any, BOOL]
# Scalar[Ints], Vector[T]: of an input, the rank that it must have. Files mix them up where there is one element, and
# are read so.
Operand = TypeVar("Operand")
Scalar = Annotated[Operand, 0]
Vector = Annotated[Operand, 1]
MayOmit = Annotated[TensorType, "optional"]  # of an output: a node may leave it out, and `prune` lets it where nobody reads it
Flag = Annotated[int, "int", "flag"]  # of an attribute: 0 or 1
DType = Annotated[str, "dtype"]  # of an attribute: an element type, by name
OPERANDS = {INT64: frozenset((INT32, INT64)), FLOAT32: FLOATS, BOOL: frozenset((BOOL,))}  # what such inputs may be


class Input(NamedTuple):
    """A formal input.

    var: its type variable; number: the dtype of Python numbers in its place, None for that of the neighbours; rank: that
    it must have, None for any.
    """

    name: str
    optional: bool
    variadic: bool
    var: str | None
    number: np.dtype | None
    rank: int | None


class AttributeSpec(NamedTuple):
    """A formal attribute.

    kind: int, float, str, dtype, ints, floats, strs, tensor, sparse, graph or type. is_flag: an int of which 0 and 1
    alone mean something.
    """

    name: str
    kind: str
    required: bool
    default: Any
    exact: type | None  # values of this class need no conversion
    is_flag: bool


class Signature(NamedTuple):
    """The schema of an op.

    outputs: "one", "tuple", or "list" where the rule counts them. most_outputs: how many there can be; None where the inputs tell. optional_outputs: the places of those that a node may leave out. takes_graph: the first argument is the graph, for an op without inputs.
    counts_outputs: the caller says how many outputs there are. is_composite: the body returns values, and is the decomposition.
    """

    inputs: list[Input]
    attributes: dict[str, AttributeSpec]
    outputs: str
    most_outputs: int | None
    optional_outputs: list[int]
    takes_graph: bool
    counts_outputs: bool
    is_composite: bool

    @classmethod
    def of(cls, rule: Callable[..., Any]) -> "Signature":
        """Read the signature of a rule. Raises KeyError for an annotation that says nothing here."""
        inputs: list[Input] = []
        attributes: dict[str, AttributeSpec] = {}
        takes_graph = counts_outputs = False
        signature = inspect.signature(rule)
        for p in signature.parameters.values():
            if p.kind is p.KEYWORD_ONLY and p.name == "outputs":
                counts_outputs = True
            elif p.kind is p.KEYWORD_ONLY:
                kind, required = _attribute_kind(p.annotation), p.default is p.empty
                exact = {"int": int, "str": str}.get(kind)
                default = None if required else round_to_float32(p.default) if isinstance(p.default, float) else p.default
                attributes[p.name] = AttributeSpec(p.name, kind, required, default, exact, p.annotation is Flag)
            elif p.annotation is Graph:
                takes_graph = True
            else:
                inputs.append(Input(p.name, p.default is None, p.kind is p.VAR_POSITIONAL, *_mark(p.annotation)))
        returns = signature.return_annotation
        origin = typing.get_origin(returns)
        is_composite = returns is Value or (origin is tuple and typing.get_args(returns)[0] is Value)
        parts = typing.get_args(returns)
        optional = [i for i, a in enumerate(parts) if a is MayOmit or MayOmit in typing.get_args(a)]
        outputs = {tuple: "tuple", list: "list"}.get(origin, "one")
        most = 1 if outputs == "one" else len(parts) if outputs == "tuple" and ... not in parts else None
        return cls(inputs, attributes, outputs, most, optional, takes_graph, counts_outputs, is_composite)


def _mark(annotation: Any) -> tuple[str | None, np.dtype | None, int | None]:
    """The type variable, the dtype of numbers and the rank that an input's annotation names."""
    if typing.get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    marks = annotation.__metadata__ if typing.get_origin(annotation) is Annotated else ()
    var = next((m for m in marks if isinstance(m, str)), None)
    number = next((m for m in marks if isinstance(m, np.dtype)), None)
    return var, number, next((m for m in marks if isinstance(m, int)), None)


def _attribute_kind(annotation: Any) -> str:
    if typing.get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    if typing.get_origin(annotation) is Annotated:
        return annotation.__metadata__[0]
    if typing.get_origin(annotation) is tuple:
        return {int: "ints", float: "floats", str: "strs", Graph: "graphs"}[typing.get_args(annotation)[0]]
    return {int: "int", float: "float", str: "str", Tensor: "tensor", SparseTensor: "sparse", Graph: "graph", Type: "type"}[annotation]


def _to_int(x: Any) -> int:
    if isinstance(x, float) or int(x) != x:
        raise TypeError
    return int(x)


def _to_str(x: Any) -> str | bytes:
    if not isinstance(x, str | bytes):
        raise TypeError
    return x


def _to_ints(x: Any) -> tuple[int, ...]:
    return x if x.__class__ is tuple and {int}.issuperset(map(type, x)) else tuple([_to_int(i) for i in x])


def _to_strs(x: Any) -> tuple[str | bytes, ...]:
    return x if x.__class__ is tuple and {str, bytes}.issuperset(map(type, x)) else tuple([_to_str(i) for i in x])


def _to_floats(x: Any) -> tuple[float, ...]:
    x = tuple(x)
    if len(x) < 64:
        return tuple([round_to_float32(float(i)) for i in x])
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return tuple(np.asarray(x, np.float64).astype(np.float32).tolist())


def _to_dtype(x: Any) -> str:
    return x if x.__class__ is str and x in DTYPES else NAMES[as_dtype(x)]


def _is(kind: type) -> Callable[[Any], Any]:
    def check(x: Any) -> Any:
        if not isinstance(x, kind):
            raise TypeError
        return x

    return check


# kind -> what makes of a given value what nodes hold; raises TypeError, ValueError or KeyError where it cannot
NORMALIZE: dict[str, Callable[[Any], Any]] = {
    "int": _to_int,
    "float": lambda x: round_to_float32(float(x)),
    "str": _to_str,
    "dtype": _to_dtype,
    "ints": _to_ints,
    "floats": _to_floats,
    "strs": _to_strs,
    "tensor": Tensor.of,
    "sparse": _is(SparseTensor),
    "graph": _is(Graph),
    "graphs": tuple,
    "type": _is(Type),
}
