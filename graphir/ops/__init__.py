"""The declared operators. `OPS` finds one by (domain, name); `OPSETS` says the opset versions in which they are declared."""

import importlib
import sys
from types import ModuleType

from ..ir import Operator
from ._op import Op, RuleError, arguments, decompose, normalized, op

FAMILIES = (
    "elementwise",
    "reduce",
    "logic",
    "activation",
    "math",
    "shape",
    "arrange",
    "index",
    "create",
    "control",
    "recurrent",
    "sequence",
    "nn",
    "normalization",
    "attention",
    "quantize",
    "loss",
    "resize",
)
OPSETS = {"": 28}


def collect(modules: list[ModuleType]) -> dict[tuple[str, str], Op]:
    """The ops in these modules by (domain, name). Raises ValueError where two have one name."""
    found: dict[tuple[str, str], Op] = {}
    for module in modules:
        for x in vars(module).values():
            if isinstance(x, Op) and x.module == module.__name__ and found.setdefault((x.domain, x.name), x) is not x:
                raise ValueError(f"{x.name} is declared twice, in {found[x.domain, x.name].module} and in {module.__name__}")
    return found


for _family in FAMILIES:
    importlib.import_module(f"{__name__}.{_family}")
OPS = collect([sys.modules[f"{__name__}.{f}"] for f in FAMILIES])


def lookup(domain: str, name: str, overload: str = "") -> Operator:
    """The declared op of that name, else a foreign operator. "ai.onnx" is the default domain."""
    return (not overload and OPS.get(("" if domain == "ai.onnx" else domain, name))) or Operator(domain, name, overload)


__all__ = ["FAMILIES", "OPS", "OPSETS", "Op", "RuleError", "arguments", "collect", "decompose", "lookup", "normalized", "op"]
