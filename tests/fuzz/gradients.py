"""Gradients of random valid graphs: along random directions they are what differences say, and ONNX Runtime makes the same of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np

import graphir
from graphir import TensorType
from graphir.dtypes import FLOATS
from graphir.ir import Node, Weight
from graphir.model import Model
from graphir.passes.check_gradient import check_gradient
from graphir.passes.gradient import Differentiated, differentiate
from graphir.plugins import LimitError
from graphir.tensors import Tensor
from test_gradients import SETTINGS, STRAIGHT_THROUGH

from .build import Kinds, build
from .case import Case, Finding, Outcome
from .errors import stumble, trait
from .graphs import LIMITS, elsewhere, made_case, smaller_cases, wanted
from .values import Values, everything, feeds_of, sane, stays_sane, unsteady

ROUGH = {"Cast", "CastLike", "BitCast", *STRAIGHT_THROUGH}  # a difference sees steps and bits, through which no gradient flows
SMOOTH = Kinds(lambda op, row: op.name not in ROUGH and all(x is None or x.dtype.kind in "fiub" for x in row.arrays()))
SHARE = 1e-3  # what the gradient and the difference may lie apart: of wrong rules they lie far apart
SINGLE = 0.03  # where operators of ai.onnx.ml make float32 of whatever they are given


class Gradients:
    """The campaign."""

    name, share, guided = "gradients", 3.0, False

    def first(self, rng: Random) -> Case:
        """A graph of doubles with one output that is differentiated."""
        return made_case(lambda: build(rng, rng.choice([1, 2, 3, 5, 8]), SMOOTH, ("float64", "float64", "float32", "int64"), state=False))

    def further(self, case: Case, rng: Random) -> Case:
        """Another."""
        return self.first(rng)

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        """Against differences, and elsewhere."""
        if case.suffix == ".txt":
            raise Finding(*case.data.decode().split("\n", 1))
        model = graphir.loads(case.data, "gir")
        if any(_sets(node) for graph in model.graphs() for node in graph.nodes):
            return Outcome("rejected", ("a setting is computed: it has a difference, and counts as a constant",))
        feeds = feeds_of(model, case.data)[0]
        of = [v.name for v in model.outputs if isinstance(v.type, TensorType) and v.dtype in FLOATS]
        single = any(node.op.domain == "ai.onnx.ml" for graph in model.graphs() for node in graph.nodes)
        step("differences")
        try:
            report = check_gradient(model, of, None, feeds, tolerance=SINGLE if single else SHARE, limits=LIMITS)
            found = differentiate(model, of)
        except (ValueError, TypeError, LimitError) as e:
            if (why := stumble(e)) is not None:
                raise Finding(why) from e
            return Outcome("rejected", (trait(e),))
        wrong = [row for row in report.rows if not row.ok and np.isfinite(row.difference)]
        step("interpret")
        names, outputs = everything(found.model), list(found.gradients.values())
        feeds |= _seeds(found, feeds)
        want = wanted(found.model, names, outputs, feeds)
        nan = not all(np.isfinite(row.gradient) for row in wrong)
        if (
            wrong
            and (want is None or not _steep(model, {**feeds, **want}, nan))
            and stays_sane(model, of, feeds)
            and not unsteady(model, feeds, of)
        ):
            raise Finding("a gradient other than the difference", f"{report}\n{model}")
        if want is not None:
            elsewhere(found.model, [feeds], [want], outputs, step)
        return Outcome("right")

    def smaller(self, case: Case) -> Iterator[Case]:
        """The model less one of its parts."""
        return smaller_cases(case)


def _sets(node: Node) -> bool:
    """Whether a node makes something else an operator's setting."""
    settings = (node.inputs[i] for i in SETTINGS.get(node.op.name, ()) if i < len(node.inputs))
    return any(v is not None and not isinstance(v, Weight) for v in settings)


def _steep(model: Model, values: Values, nan: bool) -> bool:
    """Whether no difference tells what a gradient is: something is huge or no number, be it a slope, or a value. nan: whether a gradient is no number,
    as that of Pow to its exponent is where its base is negative.
    """
    addresses = model.addresses()
    forward = {a: x for a, x in values.items() if a in addresses}
    forward |= {a: w.tensor.array for a, w in model.weights.items() if isinstance(w.tensor, Tensor)}
    at = {v: forward.get(a) for a, v in addresses.items()}
    bases = [node.inputs[0] for graph in model.graphs() for node in graph.nodes if node.op.name == "Pow"]
    if nan and any((x := at.get(v) if v is not None else None) is None or (x <= 0).any() for v in bases):
        return True
    infinite = any(np.isinf(x).any() for x in values.values() if isinstance(x, np.ndarray) and x.dtype.kind == "f")
    return not sane(forward) or (nan and infinite)


def _seeds(found: Differentiated, feeds: Values) -> Values:
    """What outputs of several elements are multiplied with."""
    inputs = {v.name for v in found.model.inputs}
    of = {name: seed.name for name, seed in found.seeds.items() if seed.name in inputs}
    made = wanted(found.model, [], list(of), feeds) if of else {}
    shapes = {name: np.shape(x) for name, x in (made or {}).items()}  # none where a kernel refuses what it is fed
    rng = np.random.default_rng(0)
    return {of[name]: np.asarray(rng.standard_normal(shape)).astype(found.seeds[name].dtype) for name, shape in shapes.items()}
