"""Sequences of tensors, and optional values."""

from collections.abc import Callable, Sequence

import numpy as np

import graphir.ops as ops

from ..dims import Dim, relabel, unknown
from ..dtypes import BOOL, FLOAT32, INT64, NAMES
from ..ir import Graph, Node, Value, captures, home
from ..tensors import Tensor
from ..types import OptionalType, SequenceType, TensorType, Type, map_dims
from ._backward import Backward, typed_as, types_of
from ._bodies import body_in, paste, yield_more, yields
from ._gradient import GradientError, declare_none, zeros_like
from ._layout import sizes_of, vector
from ._op import DType, Flag, Index, RuleError, Scalar, T, op
from ._types import CLASSIC, INDEX, axis_of, dtypes, join, known_ints
from .control import if_, loop


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


@sequence_construct.gradient
def sequence_construct_gradient(dy, y, *inputs):
    return [typed_as(sequence_at(dy, i), x) for i, x in enumerate(inputs)]


@op("SequenceEmpty", since=11)
def sequence_empty(graph: Graph, *, dtype: DType | None = None) -> Type:
    """The sequence of no tensors, float32 ones unless dtype says otherwise."""
    return SequenceType(TensorType(dtype or FLOAT32), empty=True)


@op("SequenceInsert", since=11, T=CLASSIC, Tind=INDEX)
def sequence_insert(input_sequence: Value, tensor: T, position: Scalar[Index] | None = None) -> Type:
    """The sequence with the tensor before the element at `position`, counted from the end where negative; at the end without it."""
    _element(input_sequence, "input_sequence")
    return join(input_sequence.type, SequenceType(tensor.type), _either)  # pyright: ignore[reportReturnType]


@sequence_insert.gradient
def sequence_insert_gradient(dy, y, input_sequence, tensor, position=None):
    at = _shifted(position, -1)  # from the end the new element lies one place further away
    return sequence_erase(dy, at), typed_as(sequence_at(dy, -1 if at is None else at), tensor), None


@op("SequenceErase", since=11, Tind=INDEX)
def sequence_erase(input_sequence: Value, position: Scalar[Index] | None = None) -> Type:
    """The sequence without the element at `position`, counted from the end where negative; without the last one by default."""
    _element(input_sequence, "input_sequence")
    return input_sequence.type


@sequence_erase.gradient
def sequence_erase_gradient(dy, y, input_sequence, position=None):
    return _with(dy, zeros_like(sequence_at(input_sequence, -1 if position is None else position)), position, input_sequence), None


@op("SequenceAt", since=11, Tind=INDEX)
def sequence_at(input_sequence: Value, position: Scalar[Index]) -> Type:
    """The element at `position`, counted from the end where negative."""
    return _taken_out(_element(input_sequence, "input_sequence"))  # pyright: ignore[reportReturnType]  # None: the file does not say of what


@sequence_at.gradient
def sequence_at_gradient(dy, y, input_sequence, position):
    others = sequence_erase(zeros_like(input_sequence), position)
    return _with(others, dy, position, input_sequence), None


def _with(others: Value, x: Value, position: Value | None, like: Value) -> Value:
    """A sequence with x put back at the position that x has in the sequence `like`, which is longer by one."""
    known = (-1,) if position is None else known_ints(position)
    if known == (-1,):
        return sequence_insert(others, x)
    return sequence_insert(others, x, _shifted(position, 1) if known is not None else _from_start(position, like))


def _shifted(position: Value | None, step: int) -> Value | int | None:
    """A position; one that counts from the end moved by a step."""
    known = known_ints(position)
    if position is None or (known is not None and known[0] >= 0):
        return position
    if known is not None:
        return known[0] + step
    return ops.elementwise.where(ops.logic.less(position, 0), ops.elementwise.add(position, step), position)


def _from_start(position: Value | None, sequence: Value) -> Value:
    """A position that only the run tells, counted from the start."""
    at = ops.elementwise.cast(position, to="int64")
    return ops.elementwise.where(ops.logic.less(at, 0), ops.elementwise.add(at, sequence_length(sequence)), at)


@op("SequenceLength", since=11)
def sequence_length(input_sequence: Value) -> TensorType:
    """How many elements there are, as an int64 scalar."""
    _element(input_sequence, "input_sequence")
    return TensorType(INT64, ())


declare_none(sequence_empty, sequence_length)


@op("SplitToSequence", since=24, T=CLASSIC | dtypes("bfloat16"), Tind=INDEX)
def split_to_sequence(input: T, split: Index | None = None, *, axis: int = 0, keepdims: Flag = 1) -> Type:
    """The pieces of the input along an axis: of the sizes in `split`, or all of the one size `split` (the last may be smaller).

    Without split the pieces have size 1, and keepdims=0 drops their axis. So it does where split is the single number 1, as PyTorch writes an unbind and ONNX
    Runtime reads it, although the standard says that keepdims is ignored where split is given; of all other splits it is.
    """
    if split is not None and split.rank > 1:
        raise RuleError(f"split has shape {list(split.shape)}; expected one number, or one axis of them")
    axis = axis_of(axis, input.rank)
    before, size, after = input.shape[:axis], input.shape[axis], input.shape[axis + 1 :]
    drops = _drops_axis(split, keepdims)
    if drops is not False:
        return SequenceType(TensorType(input.dtype, (*before, *after)) if drops else TensorType(input.dtype))
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


def _drops_axis(split: Value | None, keepdims: int) -> bool | None:
    """Whether the pieces lose the axis along which the input is split; None where that is for the run to say."""
    if keepdims or (split is not None and split.rank):
        return False
    known = (1,) if split is None else known_ints(split)
    return None if known is None else known == (1,)


@split_to_sequence.gradient
def split_to_sequence_gradient(dy, y, input, split=None, *, axis, keepdims):
    axis, drops = axis_of(axis, input.rank), _drops_axis(split, keepdims)
    if drops is not None:
        return typed_as(_joined(dy, input, axis, drops), input), None
    branches = {}
    for name, drops in (("then_branch", True), ("else_branch", False)):
        branches[name] = body = body_in(dy)
        with body:
            yields(body, _joined(dy, input, axis, drops))
    joined = if_(ops.logic.equal(split, 1), **branches)[0]
    return ops.shape.reshape(joined, ops.shape.shape(input), allowzero=1), None  # which tells its rank


def _joined(dy: Value, input: Value, axis: int, stacks: bool) -> Value:
    """The pieces put together again, to the shape of the input."""
    size = input.shape[axis]
    if isinstance(size, int) and size > 0:
        return concat_from_sequence(dy, axis=axis, new_axis=int(stacks))
    # There may be no pieces, and nothing cannot be joined: a piece of zeros stands before them, and goes again.
    around = [*sizes_of(input, 0, axis), *([] if stacks else [1]), *sizes_of(input, axis + 1)]
    first = zeros_like(input, vector(around))
    joined = concat_from_sequence(sequence_insert(dy, first, 0), axis=axis, new_axis=int(stacks))
    return ops.shape.slice_(joined, [1], [np.iinfo(np.int64).max], [axis])


@op("ConcatFromSequence", since=11)
def concat_from_sequence(input_sequence: Value, *, axis: int, new_axis: Flag = 0) -> TensorType:
    """The elements joined along an axis, or, with new_axis, stacked along a new one."""
    element = _taken_out(_element(input_sequence, "input_sequence"))
    if not isinstance(element, TensorType) or element.shape is None:
        return element  # pyright: ignore[reportReturnType]  # of unknown rank
    axis = axis_of(axis, len(element.shape) + bool(new_axis))
    after = element.shape[axis + (not new_axis) :]
    return TensorType(element.dtype, (*element.shape[:axis], unknown(), *after))


@concat_from_sequence.gradient
def concat_from_sequence_gradient(dy, y, input_sequence, *, axis, new_axis):
    if new_axis:
        return split_to_sequence(dy, axis=axis, keepdims=0)
    element = input_sequence.type.element
    if element.shape is not None and isinstance(size := element.shape[axis], int) and size > 0:
        return split_to_sequence(dy, size, axis=axis)
    sizes = each(lambda x: ops.shape.shape(x, start=axis, end=axis + 1 or None), input_sequence)
    return split_to_sequence(dy, concat_from_sequence(sizes, axis=0), axis=axis)


@op("SequenceMap", since=17)
def sequence_map(input_sequence: Value, *additional_inputs: Value, body: Graph) -> list[Type]:
    """The body applied to each element of the first sequence; of further inputs, sequences give their element at that place, tensors themselves."""
    _element(input_sequence, "input_sequence")
    if len(body.inputs) != 1 + len(additional_inputs):
        raise RuleError(f"the body takes {len(body.inputs)} inputs; expected {1 + len(additional_inputs)}")
    return [SequenceType(_taken_out(v.type), input_sequence.type.empty) for v in body.outputs]  # pyright: ignore[reportAttributeAccessIssue]


@sequence_map.gradient
def sequence_map_gradient(dys, ys, input_sequence, *additional_inputs, body, needed):
    """A SequenceMap of the elements and their gradients. What is no sequence gets a gradient from each element: these are summed."""
    node = next(y.node for y in ys if y is not None)
    if any(v in needed and isinstance(v.type, SequenceType) for v in captures(body)) and not any(map(ops.is_random, node.inner())):
        return NotImplemented  # its gradients, sequences themselves, can be summed by a Loop alone
    given = (input_sequence, *additional_inputs)

    def told(v: Value) -> Value:
        yield_more(body, v)
        i = len(body.outputs) - 1
        sources.append(node.add_output(i, types_of(node)[i]))
        return back.input(v)

    back = Backward(node, body, told)
    flowing = [(v, dy) for v, dy in zip(body.outputs, dys) if dy is not None]
    sources = [dy for _, dy in flowing]
    seeds = [(v, back.gradient_of(v)) for v, _ in flowing]
    for v, x in zip(body.inputs, given):
        back.values[v] = back.input(v) if isinstance(x.type, SequenceType) else x
        sources += [x] if isinstance(x.type, SequenceType) else []
    places = {back.values[v]: x for v, x in zip(body.inputs, given) if x in needed}
    wrt = {**places, **{v: v for v in captures(body) if v in needed}}
    back.sweep(seeds, list(wrt))
    found = [v for v in wrt if v in back.gradients]
    back.finish(*(back.gradient(v) for v in found))
    with back.outside:
        made = dict(zip(found, sequence_map(*sources, body=back.body) if found else ()))
        for v in found:
            made[v] = made[v] if v.graph is back.body else _total(made[v], v, node)
    return [made.pop(v, None) for v in (*(back.values[v] for v in body.inputs), *captures(body))]


def _total(parts: Value, x: Value, node: Node) -> Value:
    """The sum of a sequence of gradients of x; zeros stand before them, so that there may be none."""
    if not isinstance(x.type, TensorType):
        raise GradientError(
            f"the body of SequenceMap {node.label!r} reads {x.name}, which is {x.type}, and draws numbers; write it as a Loop"
        )
    stacked = concat_from_sequence(sequence_insert(parts, zeros_like(x), 0), axis=0, new_axis=1)
    return typed_as(ops.reduce.reduce_sum(stacked, [0], keepdims=0), x)


def each(function: Callable[..., Value], *sequences: Value) -> Value:
    """The sequence of what a function makes of the elements at each place. These are taken to have one type."""
    body = body_in(home(sequences) or sequences[0])
    element = _taken_out(_element(sequences[0], "a sequence"))
    elements = [body.input(body.fresh("element"), element) for _ in sequences]
    with body:
        yields(body, function(*elements))
    return sequence_map(*sequences, body=body)[0]


def appended(sequence: Value, more: Value) -> Value:
    """The elements of a sequence, then those of another."""
    return _copied(sequence, more, sequence_length(more), lambda i: i)


def part(sequence: Value, count: Value, start: Value | None = None) -> Value:
    """So many elements of a sequence, from a place on, or the first ones."""
    empty = sequence_empty(home([count, start]), dtype=NAMES[sequence.type.element.dtype])  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    return _copied(empty, sequence, count, lambda i: i if start is None else ops.elementwise.add(start, i))


def _copied(onto: Value, source: Value, count: Value, place: Callable[[Value], Value]) -> Value:
    """The elements of `onto`, then `count` elements of `source`: the one at place(i) for each i."""
    trip = body_in(home([onto, source, count]) or onto)
    i, cond = trip.input(trip.fresh("i"), TensorType(INT64, ())), trip.input(trip.fresh("cond"), TensorType(BOOL, ()))
    made = trip.input(trip.fresh("made"), SequenceType(source.type.element))  # pyright: ignore[reportAttributeAccessIssue]
    with trip:
        yields(trip, cond, sequence_insert(made, sequence_at(source, place(i))))
    return loop(count, None, onto, body=trip)[0]


@sequence_map.decompose
def sequence_map_by_loop(input_sequence: Value, *additional_inputs: Value, body: Graph) -> Sequence[Value]:
    """A Loop that inserts what the body makes of each element."""
    for v in body.outputs:
        if not isinstance(v.type, TensorType):
            raise RuleError(f"the body makes {v.name}, which is {v.type or 'of unknown type'}; expected a tensor")
    trip = body_in(input_sequence, body.name)
    i, cond = trip.input(trip.fresh("i"), TensorType(INT64, ())), trip.input(trip.fresh("cond"), TensorType(BOOL, ()))
    made = [trip.input(trip.fresh("made"), SequenceType(_taken_out(v.type))) for v in body.outputs]
    with trip:
        given = (input_sequence, *additional_inputs)
        values = {v: sequence_at(x, i) if isinstance(x.type, SequenceType) else x for v, x in zip(body.inputs, given)}
        longer = [sequence_insert(s, v) for s, v in zip(made, paste(body, trip, values))]
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


@optional.gradient
def optional_gradient(dy, y, input=None, *, type):
    return None if input is None else typed_as(ops.elementwise.identity(dy), input)


@op("OptionalGetElement", since=28)
def optional_get_element(input: Value) -> Type:
    """The value that the optional holds; a tensor or sequence as it is."""
    return input.type.element if isinstance(input.type, OptionalType) else input.type  # pyright: ignore[reportReturnType]


@optional_get_element.gradient
def optional_get_element_gradient(dy, y, input):
    return dy


def zeros_like_held(x: Value) -> Value:
    """Zeros like what an optional value holds; where it holds nothing, no elements, which nobody reads."""
    held = next(iter(x.node.inputs), None) if x.node is not None and x.node.op is optional else None
    if held is not None:
        return zeros_like(held)
    element = x.type.element  # pyright: ignore[reportAttributeAccessIssue]
    there, absent = body_in(x), body_in(x)
    with there:
        yields(there, zeros_like(optional_get_element(x)))
    with absent:
        if isinstance(element, TensorType) and element.shape is not None:
            dims = x.graph.number([0] * len(element.shape), INT64)
            yields(absent, ops.create.constant_of_shape(dims, value=Tensor.of(np.zeros(1, element.dtype))))
        elif isinstance(element, SequenceType) and isinstance(element.element, TensorType):
            yields(absent, sequence_empty(absent, dtype=NAMES[element.element.dtype]))  # pyright: ignore[reportArgumentType]
        else:
            raise GradientError(
                f"{x.name} is {x.type}; expected one that holds a tensor of known rank, or a sequence of tensors, for its gradient"
            )
    return typed_as(if_(optional_has_element(x.graph, x), then_branch=there, else_branch=absent)[0], x)


@op("OptionalHasElement", since=28)
def optional_has_element(graph: Graph, input: Value | None = None) -> TensorType:
    """Whether the optional holds a value, as a bool scalar: true for a tensor or a sequence, false without an input."""
    known = None if input is not None and isinstance(input.type, OptionalType) else (input is not None,)
    return TensorType(BOOL, (), known)


declare_none(optional_has_element)
