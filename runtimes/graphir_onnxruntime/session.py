"""From a model to a session of ONNX Runtime: states as inputs, what it lacks decomposed, cut down to what is asked for, weights by reference."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

import graphir
from graphir.addresses import addresses_of_nodes
from graphir.dtypes import BITS, STRING
from graphir.ir import Node, Value, Weight
from graphir.model import Model
from graphir.ops import Op, decompose, index, math, nn, quantize, recurrent, training
from graphir.passes.expand import inline_calls
from graphir.passes.gradient_nodes import replace_gradient_nodes
from graphir.passes.infer import infer
from graphir.passes.lift import lift_states
from graphir.passes.prune import prune
from graphir.passes.settle_ranks import has_odd_ranks, settle_ranks
from graphir.passes.upgrade import replace_node, upgrade
from graphir.tensors import Tensor

from .values import can_hold, to_ort

DOMAINS = ("", "ai.onnx.ml", "com.microsoft")  # whose operators ONNX Runtime has
SMALL = 1024  # bytes; smaller weights travel in the model, where shapes are inferred from them

_SEEDING = threading.Lock()  # ONNX Runtime has one seed for all sessions, which they read as they are made


class Refusal(TypeError):
    """A model that ONNX Runtime does not take. lacks: the operator that it does not have for these element types."""

    def __init__(self, message: str, lacks: str | None = None):
        super().__init__(message)
        self.lacks = lacks


def states_to_inputs(model: Model) -> tuple[dict[str, Value], dict[str, Value], dict[str, Weight]]:
    """Make the states of a model inputs, and its updates values like others, in place. Returns by the state's address: the inputs, what they become, the states."""
    states = lift_states(model, model.addresses())
    addresses = {w: a for a, w in states.items()}
    inputs: dict[str, Value] = {}
    for address, w in states.items():
        inputs[address] = model.graph.input(model.graph.fresh(w.name), w.type)
        model.graph.replace_uses(w, inputs[address])
    updates = {addresses[w]: v for w, v in model.updates.items()}
    for w in list(model.updates):
        model.stop_updating(w)
    for w in states.values():
        model.graph.drop_weight(w)
    return inputs, updates, states


def say_otherwise(model: Model) -> None:
    """Put, in place, what ONNX Runtime takes for what it does not: for Gradient nodes what computes them, for operands of one element those of the rank that it wants."""
    if has_odd_ranks(model) or any(node.op is training.gradient for graph in model.graphs() for node in graph.nodes):
        upgrade(model)
        inline_calls(model)
        infer(model)
        settle_ranks(model)
        replace_gradient_nodes(model)


def expand(model: Model, lacking: Callable[[Op], bool]) -> bool:
    """Put decompositions in place of the ops that are `lacking` and have one, in place, to any depth. Returns whether there were any."""
    if not any(_to_expand(node.op, lacking) for graph in model.graphs() for node in graph.nodes):
        return False
    upgrade(model)
    inline_calls(model)
    infer(model)
    again = True
    while again:
        again = False
        for graph in list(model.graph.walk()):
            with graph:
                for node in graph.edit():
                    if _to_expand(node.op, lacking):
                        replace_node(node, decompose(node))
                        again = True
    infer(model)
    return True


def _to_expand(op: Any, lacking: Callable[[Op], bool]) -> bool:
    return isinstance(op, Op) and op.decomposition is not None and lacking(op)


def cut(model: Model, names: Sequence[str]) -> Model:
    """A copy of a model that makes the values of these names in its main graph and nothing else. Its nodes are called by their addresses, for errors to tell: no two alike."""
    model = model.copy()
    values = {v.name: v for v in model.graph.values()}
    model.graph.outputs = [values[name] for name in names]
    prune(model)
    for v in [v for v in model.inputs if not v.uses]:
        if isinstance(v, Weight):
            model.graph.drop_weight(v)
        else:
            model.graph.drop_input(v)
    for address, node in addresses_of_nodes(model.graph).items():
        node.name = address
    for function in model.functions.values():
        for address, node in addresses_of_nodes(function.graph).items():
            node.name = address
    return model


def options(threads: int | None) -> onnxruntime.SessionOptions:
    """Those of every session: what goes wrong is raised, not logged."""
    found = onnxruntime.SessionOptions()
    found.log_severity_level = 4
    if threads is not None:
        found.intra_op_num_threads = threads
    return found


def open_session(
    model: Model, given: onnxruntime.SessionOptions, held: dict[str, onnxruntime.OrtValue], seed: int | None = None
) -> onnxruntime.InferenceSession:  # fmt: skip
    """A session that runs a model. held: the weights by name, which more sessions may share; those that are wanted and not there are entered.

    seed: of the operators that draw numbers, where there are any. Raises Refusal.
    """
    if any(map(_is_fused_wrongly, (w for graph in model.graphs() for w in graph.weights.values()))):
        given.add_session_config_entry("session.disable_quant_qdq", "1")
    big = {name: w for name, w in model.graph.weights.items() if _goes_apart(w)}
    for name, w in big.items():
        held.setdefault(name, to_ort(dense(w)))
        w.tensor = Tensor.of(dense(w))  # an object of its own: what else has this data is written with it
        if _stays_as_it_is(w):
            given.add_initializer(name, held[name])
    if big:
        given.add_external_initializers(list(big), [held[name] for name in big])
    data = graphir.dumps(model, format="onnx", without=list(big), sort=True)
    try:
        if seed is None:
            return onnxruntime.InferenceSession(data, given, providers=["CPUExecutionProvider"])
        with _SEEDING:
            onnxruntime.set_seed(seed)
            return onnxruntime.InferenceSession(data, given, providers=["CPUExecutionProvider"])
    except Exception as e:  # ONNX Runtime raises kinds of its own, which have no common base
        lacks = re.search(r"Could not find an implementation for (\w+)\(|:(\w+)\(-?\d+\) is not a registered function/op", str(e))
        text = f"ONNX Runtime {onnxruntime.__version__} refuses the model: {explained(model, e)}"
        raise Refusal(text, lacks[lacks.lastindex or 0] if lacks else None) from e


# The operands that ONNX Runtime reads as they are: their operators, and which. Others it may transpose where they stand,
# to move a Transpose over their node, and then a value given by `add_initializer` would take the place of the transposed
# one. Given by `add_external_initializers` alone, they are copied once, and right.
_AS_THEY_ARE = {
    **dict.fromkeys((math.matmul, math.gemm, nn.conv, nn.conv_transpose, math.matmul_integer, quantize.conv_integer), (1,)),
    **dict.fromkeys((recurrent.lstm, recurrent.gru, recurrent.rnn), (1, 2)),
    index.gather: (0,),
}  # fmt: skip


def _stays_as_it_is(w: Weight) -> bool:
    return all(
        isinstance(user, Node) and all(i in _AS_THEY_ARE.get(user.op, ()) for i, v in enumerate(user.inputs) if v is w) for user in w.uses
    )


def _is_fused_wrongly(w: Weight) -> bool:
    """Whether ONNX Runtime 1.32 must not join a DequantizeLinear of this weight with the MatMul behind it.

    It multiplies by weights of 2 bits wrongly where the columns are no multiple of four, and refuses those of 4 bits where a body reads them from outside.
    """
    bits = BITS.get(w.dtype, 8) if w.type is not None else 8
    return bits == 2 or (bits == 4 and any(isinstance(user, Node) and user.graph is not w.graph for user in w.uses))


def _goes_apart(w: Weight) -> bool:
    t = w.tensor
    return w.kind == "constant" and isinstance(t, Tensor) and t.dtype != STRING and t.nbytes >= SMALL and can_hold(t.dtype)


def dense(w: Weight) -> np.ndarray:
    """A weight's data, sparse ones filled in."""
    t = w.tensor
    return t.array if isinstance(t, Tensor) else t.dense()


_NODE = re.compile(
    r"""Node, \("(.*?)", |node with name '(.*?)'|in node \((.*?)\)|Name:'(.*?)'|Node:? ?\((.*?)\) (?:Op|has)|node (?:name )?'(.*?)'"""
)

_OPERATOR = re.compile(r"([\w.]+):(\w+)\(-?\d+\)")


def explained(model: Model, error: Exception) -> str:
    """What ONNX Runtime says, after the node that it speaks of, where it names one."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error)).strip()
    names = {name for match in _NODE.finditer(text) for name in match.groups() if name}
    operators = set(_OPERATOR.findall(text)) if not names else set()
    nodes = (node for graph in model.graphs() for node in graph.nodes)
    node = next((n for n in nodes if n.name in names or (n.op.domain, n.op.name) in operators), None)
    return f"node {node.label!r} ({node.op}): {text}" if node is not None else text


def is_plain(kinds: Mapping[str, str]) -> bool:
    """Whether values of these types, as ONNX Runtime calls them, are tensors that OrtValues hold: not strings, sequences, optionals or maps."""
    return all(kind.startswith("tensor(") and kind != "tensor(string)" for kind in kinds.values())
