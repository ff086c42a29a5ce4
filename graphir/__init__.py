"""graphir takes any ONNX model; shows it, runs it, differentiates it, trains it, and hands it on as plain ONNX.

The names below load when they are first used, so that `import graphir` and `graphir --help` cost next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import ops, training
    from .ir import Graph, Node, Value, Weight
    from .model import Function, Model
    from .passes.check_gradient import check_gradient
    from .passes.compare import compare
    from .passes.gradient import GradientError, gradient
    from .passes.jvp import jvp
    from .plugins import FormatError, compile, dumps, load, loads, save
    from .tensors import Tensor
    from .types import MapType, OptionalType, SequenceType, SparseTensorType, TensorType

__version__ = "0.1.0"
__all__ = [
    "load", "loads", "save", "dumps", "compile", "FormatError",
    "gradient", "jvp", "check_gradient", "GradientError", "compare",
    "Model", "Graph", "Node", "Value", "Weight", "Function", "Tensor", "ops", "training",
    "TensorType", "SequenceType", "OptionalType", "MapType", "SparseTensorType",
]  # fmt: skip

_HOMES = {  # module -> the names that it gives
    "ir": "Graph Node Value Weight",
    "model": "Function Model",
    "passes.check_gradient": "check_gradient",
    "passes.compare": "compare",
    "passes.gradient": "GradientError gradient",
    "passes.jvp": "jvp",
    "plugins": "FormatError compile dumps load loads save",
    "tensors": "Tensor",
    "types": "MapType OptionalType SequenceType SparseTensorType TensorType",
}
_ROOMS = ("ops", "training")
_ELSEWHERE = {  # what people look for here, and where it is
    "graphir.training.fit(model, data)": "fit train finetune",
    "graphir.compile(model).run({...})": "run infer predict InferenceSession Session",
    "graphir.load(path)": "read open load_model from_file import_onnx from_onnx",
    "graphir.save(model, path)": "export write convert save_model to_onnx",
    "graphir.gradient(model)": "grad backward differentiate autograd",
    "graphir.training.adam": "adam sgd optimizers",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        near = import_module(f"{__name__}.expect").near
        meant = next((home for home, names in _ELSEWHERE.items() if name in names.split()), None)
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{f'; did you mean {meant}?' if meant else near(name, __all__)}", name=name
        )
    globals()[name] = found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
