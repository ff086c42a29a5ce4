"""graphir as an onnx.backend: the face by which the standard's own test suite runs it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from onnx.backend.base import Backend as _Backend
from onnx.backend.base import BackendRep

import graphir
from graphir import Weight
from graphir.plugins import Program, Runtime

from . import from_proto


class Prepared(BackendRep):
    """A compiled model that takes its inputs in order."""

    def __init__(self, model: graphir.Model, program: Program):
        self.names = [v.name for v in model.inputs]
        self.needed = [v.name for v in model.inputs if not isinstance(v, Weight)]
        self.outputs = [v.name for v in model.outputs]
        self.program = program

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in order. inputs: arrays in order, one for each input, or one for each that has no default; or a dict by name; or one array."""
        if isinstance(inputs, dict):
            feeds = inputs
        elif isinstance(inputs, list | tuple):
            feeds = dict(zip(self.needed if len(inputs) == len(self.needed) else self.names, inputs))
        else:
            feeds = {self.names[0]: inputs}
        found = self.program.run(feeds)
        return tuple(found[name] for name in self.outputs)


class Backend(_Backend):
    """Runs models on NumPy. A subclass runs them on another runtime: its name, or itself."""

    runtime: str | Runtime = "numpy"

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models run on a device: "CPU" alone."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Compile a model. kwargs: options of the runtime."""
        if not cls.supports_device(device):
            raise ValueError(f"there is no device {device!r} here; expected CPU")
        read = from_proto(model)
        return Prepared(read, graphir.compile(read, runtime=cls.runtime, **kwargs))

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Compile a model, and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU", outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Run one node on arrays, in the newest opset or in `opset_version`."""
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        arrays = [np.asarray(x) for x in inputs]
        names = [n for n in node.input if n]
        infos = [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in dict(zip(names, arrays)).items()
        ]
        outputs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
        graph = onnx.helper.make_graph([node], "node", infos, outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, version)])
        return cls.prepare(model, device, **kwargs).run(dict(zip(names, arrays)))


supports_device, prepare, run_model, run_node = Backend.supports_device, Backend.prepare, Backend.run_model, Backend.run_node
