"""Optimizers: functions that build, for each weight and its gradient, what the weight becomes. What they remember is state of the model."""

import re
from collections.abc import Callable, Collection, Mapping

import numpy as np

from ..dtypes import FLOAT32
from ..ir import Value, Weight
from ..model import Model
from ..ops.elementwise import add, cast, div, mul, pow_, sqrt, sub
from .names import RATE

Optimizer = Callable[[Model, Mapping[Weight, Value]], None]  # adds updates for the weights, of which it is given the gradients


def sgd(learning_rate: float = 0.01, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """w - learning_rate * d, where d is the gradient, and with momentum v * momentum + d, v being what it was before: state `momentum_<weight>`.

    nesterov: d + momentum * v in place of v. weight_decay: w * weight_decay is added to the gradient. As torch.optim.SGD.
    """
    _check(learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay)

    def build(model: Model, gradients: Mapping[Weight, Value]) -> None:
        rate = _Rate(model, learning_rate)
        for w, d in gradients.items():
            d = _decayed(w, d, weight_decay)
            if momentum:
                v = _memory(model, "momentum", w)
                moved = add(mul(v, momentum), d)
                model.update(v, moved)
                d = add(mul(moved, momentum), d) if nesterov else moved
            model.update(w, sub(w, mul(d, rate.of(w))))

    return build


def adam(
    learning_rate: float = 0.001, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Optimizer:  # fmt: skip
    """w - learning_rate * m' / (sqrt(v') + eps), where m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t).

    m and v are running means of the gradient d and of d^2: m * beta1 + d * (1 - beta1), and so v with beta2; t counts the steps from 1.
    State: `adam_m_<weight>`, `adam_v_<weight>`, `adam_step`. weight_decay: w * weight_decay is added to the gradient. As torch.optim.Adam.
    """
    _check(learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)

    def build(model: Model, gradients: Mapping[Weight, Value]) -> None:
        rate = _Rate(model, learning_rate)
        last = _state(model, "adam_step", np.asarray(0, np.int64))
        t = add(last, 1)
        model.update(last, t)
        # Powers near 1 need double precision. The roots of both corrections go to the factor and to eps, so that m and v are read as they are.
        root = sqrt(sub(1.0, pow_(_double(model, "adam_beta2", beta2), t)))
        factor = div(mul(cast(rate.value, to="float64"), root), sub(1.0, pow_(_double(model, "adam_beta1", beta1), t)))
        small = mul(root, eps)
        for w, d in gradients.items():
            d = _decayed(w, d, weight_decay)
            m, v = _memory(model, "adam_m", w), _memory(model, "adam_v", w)
            new_m = add(mul(m, beta1), mul(d, 1 - beta1))
            new_v = add(mul(v, beta2), mul(mul(d, d), 1 - beta2))
            model.update(m, new_m)
            model.update(v, new_v)
            way = div(new_m, add(sqrt(new_v), rate.like(w, small)))
            model.update(w, sub(w, mul(way, rate.like(w, factor))))

    return build


OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "sgd": sgd,
    "momentum": lambda learning_rate: sgd(learning_rate, momentum=0.9),
    "adam": adam,
}


class _Rate:
    """The learning rate as state of the model, which nothing updates: whoever runs the step may set it. Numbers in the dtypes of weights, cast once for each."""

    def __init__(self, model: Model, learning_rate: float):
        self.value = _state(model, RATE, np.asarray(learning_rate, FLOAT32))
        self._casts: dict[tuple[Value, np.dtype], Value] = {}

    def of(self, w: Weight) -> Value:
        """The learning rate in the dtype of a weight."""
        return self.like(w, self.value)

    def like(self, w: Weight, x: Value) -> Value:
        """A number in the dtype of a weight."""
        if x.dtype == w.dtype:
            return x
        key = x, w.dtype
        if key not in self._casts:
            self._casts[key] = cast(x, to=w.dtype.name)
        return self._casts[key]


def _state(model: Model, name: str, data: np.ndarray) -> Weight:
    return model.graph.weight(model.graph.fresh(name), data, "state")


def _memory(model: Model, name: str, w: Weight) -> Weight:
    """State of the shape of a weight, zeros to begin with."""
    return _state(model, f"{name}_{w.name}", np.zeros(w.tensor.shape, w.dtype))


def is_memory(address: str, weights: Collection[str]) -> bool:
    """Whether a state is an optimizer's, by its name: the learning rate, a count of steps, or what is remembered of one of these weights."""
    name = re.sub(r"_\d+$", "", address)  # which `fresh` adds
    return is_rate(address) or name.endswith("_step") or any(x.endswith(f"_{w}") for w in weights for x in (address, name))


def is_rate(address: str) -> bool:
    """Whether a state is the learning rate of an optimizer that named it."""
    return re.sub(r"_\d+$", "", address) == RATE  # which `fresh` adds


def _double(model: Model, name: str, x: float) -> Value:
    return model.graph.weight(model.graph.fresh(name), np.asarray(x, np.float64))


def _decayed(w: Weight, d: Value, weight_decay: float) -> Value:
    return add(d, mul(w, weight_decay)) if weight_decay else d


def _check(**numbers: float) -> None:
    """Raises ValueError for a number that no optimizer can work with."""
    for name, x in numbers.items():
        below_one = name in ("momentum", "beta1", "beta2")
        if not (0 <= x < 1 if below_one else 0 <= x < float("inf")):
            raise ValueError(
                f"{name.replace('_', ' ')} is {x}; expected {'at least 0 and less than 1' if below_one else 'a number from 0 up'}"
            )
