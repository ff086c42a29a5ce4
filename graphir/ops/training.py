"""Operators of ai.onnx.preview.training: one step of an optimizer, and gradients of values named in the same graph.

What an optimizer moves comes as lists one behind the other: all tensors, all their gradients, all that is remembered of each.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from ..dtypes import FLOAT64
from ..ir import Node, Value
from ..types import TensorType, Type
from ._gradient import GradientError, is_float
from ._op import T1, T2, RuleError, op
from ._types import dtypes
from .elementwise import add, cast_to, div, max_, mul, pow_, sqrt, sub, where
from .logic import greater
from .shape import reshape

DOMAIN = "ai.onnx.preview.training"
_training = partial(op, since=1, domain=DOMAIN)
RATE, COUNT = dtypes("float32 float64"), dtypes("int64")


@_training("Adagrad", T1=RATE, T2=COUNT)
def adagrad(
    r: T1, t: T2, *inputs: Value, decay_factor: float = 0.0, epsilon: float = 1e-6, norm_coefficient: float = 0.0
) -> tuple[Value, ...]:  # fmt: skip
    """x - r / (1 + t * decay_factor) * d / (sqrt(h') + epsilon), where d = g + norm_coefficient * x and h' = h + d * d.

    The inputs are all x, all g, all h; the outputs all new x, then all h'.
    """
    rate = _scalar(r)
    if decay_factor:
        rate = div(rate, add(mul(cast_to(_scalar(t), r.dtype), decay_factor), 1.0))
    moved, sums = [], []
    for x, g, h in _by_tensor(inputs, "its gradient and its sum of squares", 3):
        d = _regularized(x, g, norm_coefficient)
        sums.append(add(h, mul(d, d)))
        moved.append(sub(x, div(mul(cast_to(rate, x.dtype), d), add(sqrt(sums[-1]), epsilon))))
    return *moved, *sums


@_training("Adam", T1=RATE, T2=COUNT)
def adam(
    r: T1, t: T2, *inputs: Value, alpha: float = 0.9, beta: float = 0.999, epsilon: float = 1e-6, norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Value, ...]:  # fmt: skip
    """(1 - norm_coefficient_post) * (x - r' * v' / (sqrt(h') + epsilon)), where v' and h' are running means of d = g + norm_coefficient * x and of d * d.

    v' = alpha * v + (1 - alpha) * d, h' = beta * h + (1 - beta) * d * d; r' = r * sqrt(1 - beta^t) / (1 - alpha^t), and r where t is 0.
    The inputs are all x, all g, all v, all h; the outputs all new x, then all v', then all h'.
    """
    rate = _corrected(_scalar(r), _scalar(t), alpha, beta)
    moved, means, squares = [], [], []
    for x, g, v, h in _by_tensor(inputs, "its gradient and two running means", 4):
        d = _regularized(x, g, norm_coefficient)
        means.append(add(mul(v, alpha), mul(d, 1 - alpha)))
        squares.append(add(mul(h, beta), mul(mul(d, d), 1 - beta)))
        new = sub(x, div(mul(cast_to(rate, x.dtype), means[-1]), add(sqrt(squares[-1]), epsilon)))
        moved.append(mul(new, 1 - norm_coefficient_post) if norm_coefficient_post else new)
    return *moved, *means, *squares


def _corrected(rate: Value, t: Value, alpha: float, beta: float) -> Value:
    """The rate of Adam, in double precision: powers of what is near 1 need it."""
    rate = cast_to(rate, FLOAT64)
    after = max_(t, 1)  # where it is 0 the correction is not read, but must be a number all the same
    alpha_t, beta_t = (pow_(t.graph.number(x, FLOAT64), after) for x in (alpha, beta))
    return where(greater(t, 0), mul(rate, div(sqrt(sub(1.0, beta_t)), sub(1.0, alpha_t))), rate)


@_training("Momentum", T1=RATE, T2=COUNT)
def momentum(r: T1, t: T2, *inputs: Value, alpha: float, beta: float, mode: str, norm_coefficient: float) -> tuple[Value, ...]:
    """x - r * v', where v' = alpha * v + beta * d and d = g + norm_coefficient * x; beta counts as 1 where t is 0. Nesterov's: x - r * (d + alpha * v').

    mode: "standard" or "nesterov". The inputs are all x, all g, all v; the outputs all new x, then all v'.
    """
    if mode not in ("standard", "nesterov"):
        raise RuleError(f"mode is {mode!r}; expected standard or nesterov")
    first = greater(_scalar(t), 0)
    scale = where(first, t.graph.number(beta, r.dtype), t.graph.number(1.0, r.dtype))
    moved, momenta = [], []
    for x, g, v in _by_tensor(inputs, "its gradient and its momentum", 3):
        d = _regularized(x, g, norm_coefficient)
        momenta.append(add(mul(v, alpha), mul(cast_to(scale, x.dtype), d)))
        way = add(d, mul(momenta[-1], alpha)) if mode == "nesterov" else momenta[-1]
        moved.append(sub(x, mul(cast_to(_scalar(r), x.dtype), way)))
    return *moved, *momenta


def _by_tensor(inputs: Sequence[Value], what: str, each: int) -> list[tuple[Value, ...]]:
    """The inputs of each tensor that is moved."""
    if not inputs or len(inputs) % each:
        raise RuleError(f"it takes {each} inputs for each tensor, the tensor, {what}; {len(inputs)} were found")
    count = len(inputs) // each
    return [tuple(inputs[i::count]) for i in range(count)]


def _regularized(x: Value, g: Value, norm_coefficient: float) -> Value:
    return add(mul(x, norm_coefficient), g) if norm_coefficient else g


def _scalar(x: Value) -> Value:
    """A single number, without the axes of length 1 that some give it."""
    return x if x.type.shape == () else reshape(x, [])


@_training("Gradient")
def gradient(*inputs: Value, xs: tuple[str, ...], y: str, zs: tuple[str, ...] | None = None) -> list[Type]:
    """The gradients of the sum of y with respect to each of xs, where xs and then zs have the values that are given as inputs.

    xs, zs and y name values that the node can see. zs is held. `graphir.passes.gradient_nodes` replaces the node by what computes it.
    """
    count = len(xs) + len(zs or ())
    if len(inputs) != count or not xs:
        raise RuleError(
            f"it names {len(xs)} xs and {count - len(xs)} zs and has {len(inputs)} inputs; expected one for each, and at least one of xs"
        )
    for name, v in zip(xs, inputs):
        if not is_float(v) or not isinstance(v.type, TensorType):
            raise RuleError(f"{name} of xs is {v and v.type}; gradients are with respect to tensors of floats")
    return [TensorType(v.dtype, v.type.shape) for v, _ in zip(inputs, xs)]


@gradient.gradient
def refuse_gradient(dys, ys, *inputs, **attributes):
    raise GradientError(f"Gradient of {attributes['y']} reads more than its inputs; let graphir.passes.gradient_nodes replace it first")


def follow_names(node: Node, names: Mapping[str, str]) -> None:
    """Let a copied node, and those in its bodies, name what it named by the names that these have now."""
    if node.op is gradient:
        node.attributes["y"] = names.get(str(node.attributes["y"]), node.attributes["y"])
        for which in ("xs", "zs"):
            if which in node.attributes:
                node.attributes[which] = tuple(names.get(name, name) for name in node.attributes[which])  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    for body in node.bodies.values():
        for inner in body.nodes:
            follow_names(inner, names)
