"""Sequences of tensors, and optional values."""

from collections.abc import Sequence

from ..dims import Dim, relabel, unknown
from ..dtypes import BOOL, FLOAT32, INT64
from ..ir import Graph, Value
from ..model import copy_node
from ..types import OptionalType, SequenceType, TensorType, Type, map_dims
from ._op import DType, Index, RuleError, T, op
from ._types import CLASSIC, axis_of, dtypes, join, known_ints
from .control import body_in, loop, yields


def _either(a: Dim, b: Dim) -> Dim:
    return a if a == b else unknown()


def _element(x: Value, name: str) -> Type | None:
    """The type of a sequence's elements."""
    if not isinstance(x.type, SequenceType):
        raise RuleError(f"{name} is {x.type}; expected a sequence")
    return x.type.element


def _taken_out(element: Type | None) -> Type | None:
    """The type of one element: an unknown dim may differ between elements, so it comes out as an unknown of its own."""
    fresh: dict[int, Dim] = {}
    return map_dims(element, lambda d: relabel(d, fresh))


@op("SequenceConstruct", since=11, T=CLASSIC)
def sequence_construct(*inputs: T) -> Type:
    """The sequence of the inputs."""
    if not inputs:
        raise RuleError("no inputs were given; expected one or more")
    element: Type | None = inputs[0].type
    for x in inputs[1:]:
        element = join(element, x.type, _either)
    return SequenceType(element)


@op("SequenceEmpty", since=11)
def sequence_empty(graph: Graph, *, dtype: DType | None = None) -> Type:
    """The sequence of no tensors, float32 ones unless dtype says otherwise."""
    return SequenceType(TensorType(dtype or FLOAT32))


@op("SequenceInsert", since=11, T=CLASSIC)
def sequence_insert(input_sequence: Value, tensor: T, position: Index | None = None) -> Type:
    """The sequence with the tensor before the element at `position`, counted from the end where negative; at the end without it."""
    return SequenceType(join(_element(input_sequence, "input_sequence"), tensor.type, _either))


@op("SequenceErase", since=11)
def sequence_erase(input_sequence: Value, position: Index | None = None) -> Type:
    """The sequence without the element at `position`, counted from the end where negative; without the last one by default."""
    _element(input_sequence, "input_sequence")
    return input_sequence.type


@op("SequenceAt", since=11)
def sequence_at(input_sequence: Value, position: Index) -> Type:
    """The element at `position`, counted from the end where negative."""
    return _taken_out(_element(input_sequence, "input_sequence"))  # pyright: ignore[reportReturnType]  # None: the file does not say of what


@op("SequenceLength", since=11)
def sequence_length(input_sequence: Value) -> TensorType:
    """How many elements there are, as an int64 scalar."""
    _element(input_sequence, "input_sequence")
    return TensorType(INT64, ())


@op("SplitToSequence", since=24, T=CLASSIC | dtypes("bfloat16"))
def split_to_sequence(input: T, split: Index | None = None, *, axis: int = 0, keepdims: int = 1) -> Type:
    """The pieces of the input along an axis: of the sizes in `split`, or all of the one size `split` (the last may be smaller).

    Without split the pieces have size 1, and keepdims=0 drops their axis.
    """
    axis = axis_of(axis, input.rank)
    before, size, after = input.shape[:axis], input.shape[axis], input.shape[axis + 1 :]
    if split is None and not keepdims:
        return SequenceType(TensorType(input.dtype, (*before, *after)))
    sizes = (1,) if split is None else known_ints(split)
    if sizes is not None and split is not None and split.rank == 1 and isinstance(size, int) and sum(sizes) != size:
        raise RuleError(f"split is {list(sizes)}, which adds up to {sum(sizes)}; expected {size}, the size of axis {axis}")
    piece: Dim = unknown()
    if sizes and len(set(sizes)) == 1:
        alike = (
            sizes[0] == 1 or (split is not None and split.rank == 1) or (isinstance(size, int) and sizes[0] > 0 and size % sizes[0] == 0)
        )
        piece = sizes[0] if alike else piece
    return SequenceType(TensorType(input.dtype, (*before, piece, *after)))


@op("ConcatFromSequence", since=11)
def concat_from_sequence(input_sequence: Value, *, axis: int, new_axis: int = 0) -> TensorType:
    """The elements joined along an axis, or, with new_axis, stacked along a new one."""
    element = _taken_out(_element(input_sequence, "input_sequence"))
    if not isinstance(element, TensorType) or element.shape is None:
        return element  # pyright: ignore[reportReturnType]  # of unknown rank
    axis = axis_of(axis, len(element.shape) + bool(new_axis))
    after = element.shape[axis + (not new_axis) :]
    return TensorType(element.dtype, (*element.shape[:axis], unknown(), *after))


@op("SequenceMap", since=17)
def sequence_map(input_sequence: Value, *additional_inputs: Value, body: Graph) -> list[Type]:
    """The body applied to each element of the first sequence; of further inputs, sequences give their element at that place, tensors themselves."""
    _element(input_sequence, "input_sequence")
    if len(body.inputs) != 1 + len(additional_inputs):
        raise RuleError(f"the body takes {len(body.inputs)} inputs; expected {1 + len(additional_inputs)}")
    return [SequenceType(_taken_out(v.type)) for v in body.outputs]


@sequence_map.decompose
def sequence_map_by_loop(input_sequence: Value, *additional_inputs: Value, body: Graph) -> Sequence[Value]:
    """A Loop that inserts what the body makes of each element."""
    trip = body_in(input_sequence, body.name)
    i, cond = trip.input(trip.fresh("i"), TensorType(INT64, ())), trip.input(trip.fresh("cond"), TensorType(BOOL, ()))
    made = [trip.input(trip.fresh("made"), SequenceType(TensorType(v.dtype))) for v in body.outputs]
    with trip:
        given = (input_sequence, *additional_inputs)
        values = {v: sequence_at(x, i) if isinstance(x.type, SequenceType) else x for v, x in zip(body.inputs, given)}
        values.update((w, trip.weight(trip.fresh(w.name), w.tensor, w.kind)) for w in body.weights.values())
        for node in body.nodes:
            copy_node(node, trip, values, prefix="")
        longer = [sequence_insert(s, values.get(v, v)) for s, v in zip(made, body.outputs)]
    yields(trip, cond, *longer)
    empty = [sequence_empty(trip.parent, dtype=v.dtype) for v in body.outputs]  # pyright: ignore[reportArgumentType]
    return loop(sequence_length(input_sequence), None, *empty, body=trip)


# ---- optionals --------------------------------------------------------------------------------------------------------------------------


@op("Optional", since=28)
def optional(graph: Graph, input: Value | None = None, *, type: Type | None = None) -> Type:
    """The input as an optional value; without one, an optional value of `type` that is not there."""
    if input is None and type is None:
        raise RuleError("neither an input nor a type was given; expected one of them")
    return OptionalType(type if input is None else input.type)


@op("OptionalGetElement", since=28)
def optional_get_element(input: Value) -> Type:
    """The value that the optional holds; a tensor or sequence as it is."""
    return input.type.element if isinstance(input.type, OptionalType) else input.type  # pyright: ignore[reportReturnType]


@op("OptionalHasElement", since=28)
def optional_has_element(graph: Graph, input: Value | None = None) -> TensorType:
    """Whether the optional holds a value, as a bool scalar: true for a tensor or a sequence, false without an input."""
    known = None if input is not None and isinstance(input.type, OptionalType) else (input is not None,)
    return TensorType(BOOL, (), known)
