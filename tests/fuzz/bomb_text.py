"""Bombs in ONNX's own text form: lines of nodes, of which the last names what comes out."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import onnx
from onnx import ModelProto, parser

CONSTANT = re.compile(r"\$\[([^\]]*)\]|\$(-?\d+)")  # $[1, 2] and $3 are constants of int64


def bomb(inputs: str, *lines: str, functions: str = "", weights: str = "", outputs: str = "") -> bytes:
    """A file. inputs: with their types; outputs: names with commas between; by default what the last line makes."""
    body = "\n".join(_constants(lines))
    made = outputs or lines[-1].split("=")[0].strip()
    head = '<ir_version: 10, opset_import: ["": 22, "f": 1, "ai.onnx.ml": 5]>'
    text = f"{head}\ng ({inputs}) => ({', '.join(f'float {name.strip()}' for name in made.split(','))}) <{weights}> {{\n{body}\n}}\n{functions}"
    model: ModelProto = parser.parse_model(text)
    for v in model.graph.output:
        v.ClearField("type")
    return model.SerializeToString()


def _constants(lines: tuple[str, ...]) -> list[str]:
    """The lines, with a node before each constant that stands in them."""
    found: list[str] = []

    def named(m: re.Match[str]) -> str:
        name = f"k{len(found)}"
        found.append(f"{name} = Constant<{f'value_ints = [{m[1]}]' if m[1] is not None else f'value_int = {m[2]}'}>()")
        return name

    for line in lines:
        found.append(CONSTANT.sub(named, line))
    return found


Row = Callable[[], bytes]


def row(inputs: str, *lines: str, **more: Any) -> Row:
    """How `bomb` makes a file."""
    return partial(bomb, inputs, *lines, **more)


def chain(count: int, step: str) -> list[str]:
    """A line, or several with ; between, again and again: {0} is what it starts from, {1} what it makes, {i} its number, {j} the next."""
    return [part.strip().format(f"v{i}", f"v{i + 1}", i=i, j=i + 1) for i in range(count) for part in step.split(";")]


def loop(trips: str, state: str, types: str, lines: str, results: str, scans: str = "") -> str:
    """A Loop. state: what it starts with; types: of what the body calls them; lines: with ; between; results: what it hands on."""
    names = [t.split()[-1] for t in types.split(", ")] if types else []
    made = ", ".join(f"float {name.strip()}" for name in f"{results}, {scans}".split(",") if name.strip())
    body = f"b (int64 i, bool go{', ' * bool(names)}{types}) => (bool on{', ' * bool(made)}{made}) {{ on = Identity(go)\n{lines.replace(';', chr(10))} }}"
    outputs = ", ".join(f"l{i}" for i in range(len(made.split(", "))))
    return f"{outputs} = Loop<body = {body}>({trips}, , {state})"


def sparse(count: int, *dims: int) -> bytes:
    """Sparse weights of one element each."""
    model = onnx.load_from_string(bomb("float[1] x", *(f"y{i} = ReduceMax<keepdims = 0>(w{i})" for i in range(count)), outputs="y0"))
    for i in range(count):
        made = model.graph.sparse_initializer.add(dims=dims)
        made.values.CopyFrom(onnx.helper.make_tensor(f"w{i}", onnx.TensorProto.FLOAT, [1], [1.0]))
        made.indices.CopyFrom(onnx.helper.make_tensor("", onnx.TensorProto.INT64, [1], [5]))
    return model.SerializeToString()
