"""What runs a model that a test made, of any opset."""

from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator

import graphir_onnx
from graphir.ops import Op
from graphir.passes.upgrade import upgrade
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp


def run(proto: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """What ONNX Runtime makes of a model, else graphir, else the reference: none of them knows every version."""
    found = run_with_onnxruntime(proto, feeds)
    if found is not None:
        return found
    model = upgrade(graphir_onnx.from_proto(proto))
    if all(isinstance(node.op, Op) for node in model.graph.nodes):
        return list(interpret(model, feeds, xp).values())
    return run_reference(proto, feeds)


def run_reference(proto: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    return list(ReferenceEvaluator(proto).run(None, feeds))


def run_with_onnxruntime(proto: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any] | None:
    """None where it does not know an operator's version."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, NotImplemented

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return list(onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds))
    except (Fail, NotImplemented):
        return None
