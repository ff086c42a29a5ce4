"""graphir takes any ONNX model; shows it, runs it, differentiates it, trains it, and hands it on as plain ONNX."""

from . import ops
from .ir import Graph, Node, Value, Weight
from .model import Function, Model
from .tensors import Tensor
from .types import MapType, OptionalType, SequenceType, SparseTensorType, TensorType

__version__ = "0.1.0"
