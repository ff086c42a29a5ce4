"""Rows of values made by operators with bodies, and the check of their derivatives: each order against central differences of the one below."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

import graphir
from graphir import Graph, Model, TensorType, Value
from graphir.ops.control import body_in, loop, scan, yields
from graphir.ops.elementwise import mul, sin, sum_
from graphir.ops.reduce import reduce_sum
from graphir.passes.expand import expand
from graphir.passes.gradient import gradient
from graphir.types import Type
from graphir.verify import verify
from graphir_arrays.interpret import interpret
from graphir_numpy.namespace import xp

COUNT, FLAG = TensorType("int64", ()), TensorType("bool", ())


def tensor(*dims: Any) -> TensorType:
    return TensorType("float64", dims)


def body(parent: Value | Graph, types: list[Type], build: Callable[..., Any]) -> Graph:
    """A body with inputs of these types, whose outputs `build` makes of them."""
    made = body_in(parent)
    inputs = [made.input(made.fresh("in"), t) for t in types]
    with made:
        outputs = build(*inputs)
    yields(made, *(outputs if isinstance(outputs, tuple) else (outputs,)))
    return made


def branches(parent: Value, then: Callable[[], Any], other: Callable[[], Any]) -> dict[str, Graph]:
    return {"then_branch": body(parent, [], then), "else_branch": body(parent, [], other)}


def turns(m: Value | int | None, cond: Any, *initial: Value, build: Callable[..., Any]) -> tuple[Value, ...]:
    """A Loop whose body is `build`: (i, *state) to (*state, *scan outputs), with the next condition first where there is a condition."""

    def step(i: Value, go: Value, *state: Value) -> Any:
        made = build(i, *state)
        made = made if isinstance(made, tuple) else (made,)
        return made if cond is not None else (go, *made)

    return loop(m, cond, *initial, body=body(initial[0] if initial else m, [COUNT, FLAG, *(v.type for v in initial)], step))  # pyright: ignore[reportArgumentType]


def total(v: Value) -> Value:
    return reduce_sum(v, keepdims=0)


class Row(NamedTuple):
    """orders: how many derivatives are checked. feeds: what m and flag are.

    refused: what ONNX Runtime says instead of running it. elsewhere: with how many of the feeds it runs there.
    """

    build: Callable[..., tuple[Value, ...]]
    orders: int = 2
    feeds: tuple[dict[str, Any], ...] = ({"m": 2}, {"m": 1}, {"m": 0})
    refused: str = ""
    elsewhere: int | None = None


EITHER = ({"flag": True}, {"flag": False})


def problem(row: Row) -> tuple[Model, list[dict[str, np.ndarray]]]:
    """The model of a row, whose one output is a number, with inputs for directions; and what it is fed."""
    rng = np.random.default_rng(0)
    graph = Graph("problem")
    x, w = graph.input("x", tensor("N")), graph.input("w", tensor("N", "N"))
    values = row.build(x, w, graph.input("m", COUNT), graph.input("flag", FLAG))
    graph.output(sum_(*(total(sin(v)) for v in values)), "order0")
    for v in (x, w):
        graph.input(f"direction_{v.name}", v.type)
    feeds = {v.name: rng.uniform(-1, 1, [3] * v.rank) for v in graph.inputs if v.dtype == np.float64}
    given = [feeds | {"m": np.asarray(0), "flag": np.asarray(True)} | {k: np.asarray(v) for k, v in some.items()} for some in row.feeds]
    return Model(graph), given


def check_derivatives(row: Row) -> None:
    """Each order of the derivative of a row agrees with differences of the one below, interpreted, compiled and in ONNX Runtime."""
    model, given = problem(row)
    for order in range(1, row.orders + 1):
        model = along(model, order)
        assert verify(model) == []
        program = graphir.compile(model)
        for some in given:
            check(model, program, order, some)
        run_elsewhere(model, program, f"order{order}", given[: row.elsewhere], row.refused)
        loops = model.copy()
        expand(loops, lambda op: op is not scan)
        run_elsewhere(loops, program, f"order{order}", given[: row.elsewhere], row.refused)


def along(model: Model, order: int) -> Model:
    """The model with one output more: the derivative of the last one along the directions."""
    below = f"order{order - 1}"
    model = gradient(model, of=below, wrt="[xw]")
    made = {wrt: model.find(name) for (of, wrt), name in model.gradients.items() if of == below}
    model.graph.output(sum_(*(total(mul(dv, model.find(f"direction_{name}"))) for name, dv in made.items())), f"order{order}")
    return model


def check(model: Model, program: Any, order: int, feeds: dict[str, Any]) -> None:
    """The derivative agrees with differences of the one below it, interpreted and compiled."""

    def below(step: float) -> float:
        moved = feeds | {name: feeds[name] + step * feeds[f"direction_{name}"] for name in "xw"}
        return float(program.run(moved, [f"order{order - 1}"])[f"order{order - 1}"])

    h = 1e-4
    wanted = (below(-2 * h) - 8 * below(-h) + 8 * below(h) - below(2 * h)) / (12 * h)
    name = f"order{order}"
    for got in (program.run(feeds, [name])[name], interpret(model, feeds, xp)[name]):
        assert abs(got - wanted) <= 1e-7 * max(1, abs(wanted)), f"order {order}: {float(got)}, but differences give {wanted}"


def run_elsewhere(model: Model, program: Any, name: str, feeds: list[dict[str, Any]], refused: str) -> None:
    """ONNX Runtime makes the same of the exported model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(graphir.dumps(model, "onnx"), options)
        made = [session.run([name], some)[0] for some in feeds]
    except Exception as e:
        assert refused and refused in str(e), str(e)
        return
    assert not refused
    for got, some in zip(np.asarray(made), feeds):
        np.testing.assert_allclose(got, program.run(some, [name])[name], rtol=1e-9)
