"""The declared operators, one module a family. `OPS` finds one by (domain, name); `OPSETS` says the opset versions in which they are declared.

Ops of other packages come through the entry-point group `graphir.ops`, whose entries name modules.
"""

import functools
from collections.abc import Iterable
from types import ModuleType

from ..ir import Operator
from ..plugins import installed
from . import (
    activation,
    arrange,
    attention,
    contributed,
    control,
    create,
    elementwise,
    fold,
    image,
    index,
    logic,
    loss,
    math,
    ml,
    ml_linear,
    ml_svm,
    ml_tree,
    nn,
    normalization,
    quantize,
    recurrent,
    reduce,
    resize,
    roi,
    sample,
    sequence,
    shape,
    signal,
    stateful,
    string,
    training,
)
from ._op import Op, RuleError, arguments, decompose, is_random, normalized, op

FAMILIES = (
    elementwise, logic, activation, math, reduce, shape, arrange, index, create, control, sequence, recurrent, nn, normalization, attention,
    resize, quantize, loss, signal, stateful, training, sample, roi, fold,
    string, image, ml, ml_linear, ml_svm, ml_tree,
)  # fmt: skip
OPSETS = {"": 28, "ai.onnx.ml": 5}


def collect(modules: Iterable[ModuleType]) -> dict[tuple[str, str], Op]:
    """The ops in these modules by (domain, name). Raises ValueError where two have one name."""
    found: dict[tuple[str, str], Op] = {}
    for module in modules:
        for x in vars(module).values():
            if isinstance(x, Op) and x.module == module.__name__ and found.setdefault((x.domain, x.name), x) is not x:
                raise ValueError(f"{x.name} is declared twice, in {found[x.domain, x.name].module} and in {module.__name__}")
    return found


OPS = collect(FAMILIES)
CONTRIBUTED = collect((contributed,))  # which are not the standard's


@functools.cache
def others() -> dict[tuple[str, str], Op]:
    """The ops that other installed packages declare, found when a model first names an operator that is not ours."""
    return collect(point.load() for point in installed("graphir.ops").values())


def lookup(domain: str, name: str, overload: str = "") -> Operator:
    """The declared op of that name, else a foreign operator. "ai.onnx" is the default domain."""
    key = "" if domain == "ai.onnx" else domain, name
    found = None if overload else OPS.get(key) or CONTRIBUTED.get(key) or (others().get(key) if key[0] else None)
    return found or Operator(domain, name, overload)


__all__ = [
    "FAMILIES",
    "OPS",
    "OPSETS",
    "Op",
    "RuleError",
    "arguments",
    "collect",
    "decompose",
    "is_random",
    "lookup",
    "normalized",
    "op",
    "others",
]
