"""Version steps of Scan, and of Loop."""

from ...ir import Graph, Node, Value
from ...model import copy_graph
from ...types import TensorType
from .rewriting import CannotSay, down, input_of, ints, make, required, take, up


@up(9, "Scan")
def scan_of_each_sample(node: Node) -> tuple[Value, ...]:
    """Until 9 a Scan went over a batch: a Scan over the samples, whose body scans one. A sequence shorter than the longest is padded with zeros."""
    lengths, values = input_of(node, 0), node.inputs[1:]
    count = required(node, "num_scan_inputs")
    directions = take(node, "directions")
    old = node.attributes["body"]
    graph = node.graph
    assert graph is not None and isinstance(old, Graph)
    outer = Graph(f"{old.name}_of_a_sample", graph)
    samples = [outer.input(outer.fresh(v.name), _without_batch(v)) for v in values if v is not None]
    length = None if lengths is None else outer.input(outer.fresh(lengths.name), _without_batch(lengths))
    states, sequences = samples[: len(samples) - count], samples[len(samples) - count :]
    with outer:
        first = ints(outer, [0])
        end = None if length is None else make("Unsqueeze", length, first)
        whole = make("Shape", sequences[0], start=0, end=1)
        if end is not None:
            sequences = [make("Slice", s, first, end, first) for s in sequences]
        attributes = {"scan_input_directions": directions} if directions is not None else {}
        body = copy_graph(old, outer)
        made = make("Scan", *states, *sequences, body=body, num_scan_inputs=count, outputs=len(node.outputs), **attributes)
        made = list(made) if isinstance(made, tuple) else [made]
        if end is not None:
            pads = make("Concat", first, make("Sub", whole, end), axis=0)
            made[len(states) :] = [make("Pad", v, pads, None, first) for v in made[len(states) :]]
    for v in made:
        outer.output(v)
    scanned = [*(v for v in values if v is not None), *([lengths] if lengths is not None else [])]
    result = make("Scan", *scanned, body=outer, num_scan_inputs=len(scanned), outputs=len(node.outputs))
    return result if isinstance(result, tuple) else (result,)


def _without_batch(v: Value) -> TensorType | None:
    if not isinstance(v.type, TensorType):
        return None
    return TensorType(v.type.dtype, v.type.shape and v.type.shape[1:])


@down(11, "Loop")
def carries_something(node: Node) -> None:
    """It carries at least one value."""
    if len(node.inputs) < 3:
        raise CannotSay("it carries no value, which is new")
