"""Writes docs/operators.md from the declarations. `make docs` runs it; a test compares."""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from graphir.ops import CONTRIBUTED, FAMILIES, OPS, OPSETS, Op, contributed
from graphir.ops._gradient import CONVERTING, none
from graphir.ops.versions import STEPS, Step, steps
from graphir_arrays.kernel import find
from graphir_arrays.place import ON_HOST
from graphir_cupy.namespace import holds

PAGE = Path(__file__).parent / "operators.md"
OVERRIDES = {"graphir_cupy": "CuPy"}  # packages with kernels of their own, and the runtime's name
REPLACED = "replaced first"
REFUSING = {"CannotSay", "constant", "to_attribute"}  # what functions call that may refuse to lower a node
INTRODUCTION = """# Operators

<!-- Written by docs/make_tables.py: `make docs` writes it anew. -->

graphir declares {count} operators: {domains}.
A model may hold them in any version: `graphir.passes.upgrade` raises every node to the newest before it is run or differentiated, and exporting writes
the opset that is asked for, where that can say the model.

```sh
graphir export models/digits_cnn.onnx older.onnx --opset 9
```

What an operator takes and gives is said in its block, in the file that is named above each table: the signature is the schema, the body the type rule.

- **versions**: those in which files may hold it. The newest is the form in which graphir holds it.
- **back to**: the oldest opset in which it can be written. *in parts*: older ones, too, as the operators that it is made of.
  A star: not everything that the newest form says; [the list below](#what-older-opsets-cannot-say) tells what.
- **kernel**: *shared* runs on NumPy and CuPy alike, from one text; *CuPy*: there it has one of its own; *in parts* is run as the operators that it is made of;
  *replaced first*, by a pass. *host*: with CuPy it runs on the host, always or with the attribute named; others do where what they take is there
  ([where values live](cupy.md#what-runs-where)). ONNX Runtime runs whole models with its own.
- **gradient**: *rule*, its own; *in parts*, that of the operators that it is made of; *none*, it has none mathematically; *straight through*, it passes
  rounding as if it were not there; *refused*, an error says what to do.
"""
LATER = """
## What older opsets cannot say

Below the opset on the left, a node of these operators is written only as the right column tells. For others an error names the node, and the oldest opset
that says the model. Inputs that became attributes on the way down must be constant.

| below | operators | it is written |
| --: | --- | --- |
"""
RETIRED = """
## Operators that are gone

| operator | versions | there |
| --- | --- | --- |
"""

CONTRIBUTIONS = """
## Operators that are not the standard's

Files put these into the default domain all the same, and ONNX Runtime runs them: some of its own, and experiments that the standard gave up in opset 10.
All are run and differentiated as the operators that they are made of. `graphir.passes.upgrade` puts those in place of the experiments.
[graphir/ops/contributed.py](../graphir/ops/contributed.py)

| operator | domain | opsets | |
| --- | --- | --- | --- |
"""
DEPARTURES = """
## Where files decide

Where exporters write, and ONNX Runtime reads, other than the text of the standard says, graphir sides with the files:

- **SplitToSequence** with the single number 1 as `split` and `keepdims=0` drops the axis along which it splits: so PyTorch writes `unbind`. The standard ignores `keepdims`
  wherever `split` is given; of all other splits graphir does, too, where ONNX Runtime refuses to run.
"""


def page() -> str:
    """The text of the page."""
    domains: dict[str, int] = {}
    for op in OPS.values():
        domains[op.domain] = domains.get(op.domain, 0) + 1
    told = ", ".join(
        f"{n} of {domain or 'ai.onnx'}{f' up to opset {OPSETS[domain]}' if domain in OPSETS else ''}" for domain, n in domains.items()
    )
    parts = [INTRODUCTION.format(count=len(OPS), domains=told), *(_family(module) for module in FAMILIES)]
    parts += [LATER, *(f"{row}\n" for row in _conditions()), RETIRED, *(f"{row}\n" for row in _retired())]
    parts += [CONTRIBUTIONS, *(f"{row}\n" for row in _contributed()), DEPARTURES]
    return "".join(parts)


def _contributed() -> Iterator[str]:
    for op in sorted(CONTRIBUTED.values(), key=str):
        opsets = "to 9" if op in contributed.RETIRED else "all"
        yield f"| {' | '.join((op.name, op.domain or 'ai.onnx', opsets, _meaning(op)))} |"


def _family(module: ModuleType) -> str:
    name = module.__name__.rpartition(".")[2]
    declared = sorted((op for op in OPS.values() if op.module == module.__name__), key=lambda op: op.name)
    rows = "\n".join(
        f"| {' | '.join((op.name, _versions(op), _back_to(op), _kernel(op), _gradient(op), _meaning(op)))} |" for op in declared
    )
    return f"""
## {name}

{_first_line(module)} [graphir/ops/{name}.py](../graphir/ops/{name}.py)

| operator | versions | back to | kernel | gradient | |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


def _versions(op: Op) -> str:
    return " ".join(str(step.version) for step in steps(op)) or str(op.since)


def _back_to(op: Op) -> str:
    row = steps(op)
    if not row:
        return str(op.since)
    oldest, starred = row[0].version, False
    for step in reversed(row):
        if step is row[0]:
            break
        if step.kind == "rewritten" and step.down is None:
            oldest = step.version
            break
        starred |= bool(_condition(step, op.name))
    in_parts = oldest > 1 and oldest == row[0].version and (op.decomposition is not None or row[0].down is not None)
    return str(oldest) + "*" * starred + ", in parts" * in_parts


def _kernel(op: Op) -> str:
    shared = find(op)
    own = [name for package, name in OVERRIDES.items() if find(op, f"{package}.kernels") is not shared]
    kinds = ["shared"] if shared is not None else ["in parts"] if op.decomposition is not None else [REPLACED]
    return ", ".join([*kinds, *own, *_host(op)])


def _host(op: Op) -> list[str]:
    """When a node of this op runs on the host where the rest runs on a device: because ON_HOST says so, or because it takes only what no device holds."""
    foreign = any(not i.optional and i.var in op.types and not any(map(holds, op.types[i.var])) for i in op.inputs)
    if op.name in ON_HOST or foreign:
        return ["host"]
    return [f"host with {key[1]} {key[2]}" for key in ON_HOST if isinstance(key, tuple) and key[0] == op.name]


def _gradient(op: Op) -> str:
    rule = op.gradient_rule
    if rule is None:
        return "in parts" if op.decomposition is not None else "missing"
    if rule is none:
        return "none"
    if "refuse" in rule.__name__:
        return "refused" if find(op) is not None else REPLACED
    return "straight through" if op in CONVERTING and op.name.endswith("QuantizeLinear") else "rule"


def _meaning(op: Op) -> str:
    return _first_line(op).replace("|", "\\|")


def _first_line(x: object) -> str:
    """The first sentence or two of a documentation, as far as they stand on one line."""
    return inspect.cleandoc(x.__doc__ or "").partition("\n")[0]


def _conditions() -> Iterator[str]:
    """A row for each step below which not everything can be said, operators together that have one condition."""
    found: dict[tuple[int, str], list[str]] = {}
    for op in sorted(OPS.values(), key=lambda op: op.name):
        for step in steps(op)[1:]:
            if condition := _condition(step, op.name):
                found.setdefault((step.version, condition), []).append(op.name)
    for (version, condition), names in sorted(found.items(), key=lambda row: (-row[0][0], row[1])):
        yield f"| {version} | {', '.join(names)} | {condition} |"


def _condition(step: Step, name: str) -> str:
    """Under which condition a step can be lowered over; empty where it always can."""
    if step.kind == "rewritten" and step.down is None:
        return "It cannot be written."
    code = step.down.__code__ if step.down is not None else None  # pyright: ignore[reportFunctionMemberAccess]
    seen_to = code.co_consts if code is not None else ()  # the attributes and inputs that the function takes care of
    new = [f"`{x}`" for x in step.added if x not in seen_to] if name != "Constant" else []  # whose functions take care of all
    told = [_first_line(step.down)] if code is not None and REFUSING & set(code.co_names) else []
    if code is None:
        new += [f"input {i}" for i in step.added_inputs] + [f"output {i}" for i in step.added_outputs]
        told += [f"Input {i} is given." for i in step.optional_inputs]
    return " ".join([*told, *([f"Without {_listed(new)}."] if new else [])])


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _retired() -> Iterator[str]:
    """Operators of older opsets that the newest does not have, and what they are raised to."""
    declared = {str(op) for op in OPS.values()}
    for name, row in STEPS.items():
        if name not in declared:
            yield f"| {name} | {' '.join(str(step.version) for step in row)} | {_first_line(row[-1].up)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
