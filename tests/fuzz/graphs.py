"""Random valid graphs: the compiled program, the interpreter and ONNX Runtime make the same of them, in sizes, fetches, clones and threads of all kinds."""

import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import graphir
import graphir_onnx
from graphir import FormatError, Model, TensorType
from graphir.budget import Budget
from graphir.dtypes import FLOATS, STRING
from graphir.ir import Node
from graphir.plugins import LimitError, Limits, Program
from graphir.tensors import Tensor
from graphir_arrays.limits import NodeError
from graphir_arrays.stages import optimize, prepare
from graphir_numpy.namespace import xp
from test_nonsense import UNCOMPARED

from .build import build
from .case import Case, Finding, Outcome
from .errors import stumble, trait
from .values import Patient, Values, bare, coarsest, differing, everything, feeds_of, interpreted, moves, sane, smaller_models, unsteady
from .worker import REFEREE

LIMITS = Limits(memory=64 << 20, trips=1000, seconds=8)
STRICT = (  # refusals of ours that ONNX Runtime does not share
    "PRelu: slope has shape",  # the standard does
    "; in its body node ",  # a node of a Loop does not fit, and there are no trips
    "the type of a scan output is not known",  # as above, where the scan output is made of what does not fit
    "is run as other operators, for which the rank of",  # branches of an If make other ranks; we say what to declare
)
TURNS = (0, 1, 0, 2, 1, 3)  # which of the sizes come one after another


class Graphs:
    """The campaign."""

    name, share, guided = "graphs", 4.0, False

    def first(self, rng: Random) -> Case:
        """A graph of a few steps, or of many."""
        return made_case(lambda: build(rng, rng.choice([1, 2, 4, 8, 8, 16])))

    def further(self, case: Case, rng: Random) -> Case:
        """Another."""
        return self.first(rng)

    def check(self, case: Case, folder: Path, step: Callable[[str], None]) -> Outcome:
        """All ways to the results."""
        model = _read(case, step)
        names, outputs = everything(model), [v.name for v in model.outputs]
        feeds = feeds_of(model, case.data)
        step("interpret")
        wants = [wanted(model, names, [*outputs, *moves(model).values()], f) for f in feeds]
        step("run")
        try:
            program = graphir.compile(model, limits=LIMITS)
        except (ValueError, TypeError) as e:
            program = None
            rejected = _refused(e, model, feeds[0], wants[0], outputs, step)
        else:
            rejected = _turns(program, model, feeds, wants, outputs, step)
        if program is None or rejected is not None:
            return Outcome("rejected", (rejected or "",))
        _fetches(program, model, feeds, wants, names, step)
        _side_by_side(program, feeds, outputs, step)
        _updates(model, feeds[0], outputs, step)
        if all(w is not None for w in wants):
            elsewhere(model, feeds, [w for w in wants if w is not None], outputs, step)
        return Outcome("right", tuple(f"ran {node.op}" for graph in model.graphs() for node in graph.nodes))

    def smaller(self, case: Case) -> Iterator[Case]:
        """The model less one of its parts."""
        return smaller_cases(case)


def smaller_cases(case: Case) -> Iterator[Case]:
    """The model of a case less one of its parts."""
    if case.suffix == ".gir":
        for model in smaller_models(graphir.loads(case.data, "gir")):
            yield Case(".gir", graphir.dumps(model, "gir"))


def made_case(make: Callable[[], Model]) -> Case:
    """The file of a model; where an operator stumbles while it is made, the text of that."""
    try:
        return Case(".gir", graphir.dumps(make(), "gir"))
    except Exception as e:
        return Case(".txt", f"while it was made: {stumble(e) or trait(e)}\n{traceback.format_exc()}".encode())


def _read(case: Case, step: Callable[[str], None]) -> Model:
    """The model, which comes back byte for byte in both formats."""
    if case.suffix == ".txt":
        raise Finding(*case.data.decode().split("\n", 1))
    step("round trip")
    model = graphir.loads(case.data, "gir")
    if graphir.dumps(model, "gir") != case.data:
        raise Finding("another .gir file when read and written")
    plain = bare(model, [v.name for v in model.outputs])
    try:
        data = graphir.dumps(plain, "onnx")
    except FormatError:
        return model
    again = graphir.loads(data, "onnx")
    if graphir.dumps(again, "onnx") != data:
        raise Finding("another .onnx file when read and written")
    if graphir.dumps(graphir.loads(graphir.dumps(again, "gir"), "gir"), "onnx") != data:
        raise Finding("another .onnx file when it went through .gir")
    return model


def wanted(model: Model, names: Sequence[str], outputs: Sequence[str], feeds: Values) -> Values | None:
    """What the interpreter makes of all values, else of the outputs; None where a kernel on the way to these refuses."""
    for some in ([*names, *outputs], outputs):
        with contextlib.suppress(Exception):  # in the kernel's own kinds: the program's error is the one that counts
            return interpreted(model, list(dict.fromkeys(some)), feeds)
    return None


def _turns(
    program: Program, model: Model, feeds: list[Values], wanted: list[Values | None], outputs: list[str], step: Callable[[str], None]
) -> str | None:
    """Sizes that alternate. What the program says where it refuses what the interpreter refuses too."""
    start = dict(program.state)
    for i in TURNS:
        program.state.update(start)
        want = wanted[i]
        try:
            got = program.run(feeds[i])
        except (NodeError, LimitError, ValueError, TypeError) as e:
            return _refused(e, model, feeds[i], want, outputs, step)
        if want is None:
            _without_the_rest(got, model, feeds[i], outputs)
        else:
            _same(got, want, model, feeds[i], outputs, "the interpreter")
    program.state.update(start)
    return None


def _without_the_rest(got: Values, model: Model, feeds: Values, outputs: list[str]) -> None:
    """The interpreter refuses a node, and the program does not: one that it rightly does without, where the interpreter runs what it keeps."""
    kept = model.copy()
    for weight in list(kept.updates):
        kept.stop_updating(weight)
    prepare(kept, None, Budget())
    table = kept.addresses()
    pins = optimize(kept, {name: table[name] for name in outputs}, xp, None, Budget())
    # what is handed out as it came in, a weight or a feed, needs no interpreter
    found = {name: v.name for name, v in pins.values.items() if v.node is not None}
    names = list(dict.fromkeys(found.values()))
    try:
        want = interpreted(kept, names, feeds, kind=Patient)
    except Exception as e:
        raise Finding("the interpreter refuses", "and the program does not") from e
    _same({new: got[name] for name, new in found.items()}, want, kept, feeds, names, "the interpreter")


def _refused(e: Exception, model: Model, feeds: Values, want: Values | None, outputs: list[str], step: Callable[[str], None]) -> str:
    """What the program said; a Finding where that is no answer, or where others have one. The interpreter alone does not count: its kernels take more than the rules allow."""
    if (why := stumble(e)) is not None:
        raise Finding(why) from e
    if want is not None and not isinstance(e, LimitError) and not any(text in str(e) for text in STRICT):
        step(REFEREE)
        if _agrees(_answers(_exported(model, outputs), [feeds], outputs), want):
            raise Finding(f"neither the interpreter nor ONNX Runtime refuses: {trait(e)}") from e
    return trait(e)


def _same(got: Values, want: Values, model: Model, feeds: Values, names: Sequence[str], who: str) -> None:
    if any(node.op.name in ("Loop", "Scan") for graph in model.graphs() for node in graph.nodes):
        got = {n: x for n, x in got.items() if not _are_empty(x, want[n])}  # without trips, dims may show or not
    said = differing(got, want, coarsest(model))
    if said is not None and not unsteady(model, feeds, names):
        raise Finding(f"other than {who}", f"{said}\n{model}")


def _are_empty(x: Any, y: Any) -> bool:
    """Whether both are arrays of one type and as many axes, without elements."""
    arrays = isinstance(x, np.ndarray) and isinstance(y, np.ndarray)
    return arrays and x.dtype == y.dtype and x.ndim == y.ndim and not x.size and not y.size


def _fetches(
    program: Program, model: Model, feeds: list[Values], wanted: list[Values | None], names: list[str], step: Callable[[str], None]
) -> None:
    """Some of the values, in any order."""
    step("fetch")
    rng = Random(len(names))
    for i in (0, 1, 0):
        want = wanted[i]
        some = rng.sample(names, min(len(names), rng.randrange(1, 5)))
        if want is not None and some and all(n in want for n in some):
            try:
                got = program.run(feeds[i], some)
            except (NodeError, LimitError, ValueError, TypeError) as e:
                _refused(e, model, feeds[i], {n: want[n] for n in some}, some, step)
                continue
            _same(
                got,
                {n: want[n] for n in some},
                model,
                feeds[i],
                some,
                "the interpreter, of values that are fetched",
            )


def _side_by_side(program: Program, feeds: list[Values], outputs: list[str], step: Callable[[str], None]) -> None:
    """A clone, and both the program and clones in several threads: to the bit what one thread makes. Nothing is updated, for what is fetched is no run."""
    step("clone")
    first = [program.run(f, outputs) for f in feeds]
    for i, f in enumerate(feeds):
        _equal(program.clone().run(f, outputs), first[i], "a clone")
    step("threads")
    places = [0, 1, 2, 3, 0, 1]
    with ThreadPoolExecutor(3) as pool:
        programs = [program, program, *(program.clone() for _ in places[2:])]
        for i, got in zip(places, pool.map(lambda p, i: p.run(feeds[i], outputs), programs, places)):
            _equal(got, first[i], "a thread")


def _equal(got: Values, want: Values, who: str) -> None:
    for name, x in want.items():
        if _bits(got[name]) != _bits(x):
            raise Finding(f"{who} makes something else", name)


def _bits(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return list(map(_bits, x))
    if isinstance(x, dict):
        return {key: _bits(np.asarray(y)) for key, y in x.items()}
    return (x.dtype, x.shape, x.tolist() if x.dtype.kind in "OUS" else x.tobytes()) if isinstance(x, np.ndarray) else x


def _updates(model: Model, feeds: Values, outputs: list[str], step: Callable[[str], None]) -> None:
    """Runs that update: each starts from what the one before left."""
    if not model.updates:
        return
    step("updates")
    program = graphir.compile(model, limits=LIMITS)
    moved = moves(model)
    state = {a: np.asarray(x) for a, x in program.state.items()}
    for _ in range(3):
        names = list(dict.fromkeys([*outputs, *moved.values()]))
        try:
            want = interpreted(model, names, feeds, state)
        except Exception:  # the state has become one that some kernel refuses
            return
        try:
            got = program.run(feeds)
        except (NodeError, LimitError) as e:
            if (why := stumble(e)) is not None or not any(text in str(e) for text in STRICT):
                raise Finding(why or f"the interpreter runs after updates: {trait(e)}") from e
            return
        state = {a: want[moved[a]] if a in moved else x for a, x in state.items()}
        _same(got, {n: want[n] for n in outputs}, model, feeds, names, "the interpreter, after updates")
        _same({a: program.state[a] for a in state}, state, model, feeds, names, "the interpreter's state")
        state = {a: np.asarray(program.state[a]) for a in state}


def elsewhere(model: Model, feeds: list[Values], wanted: list[Values], outputs: list[str], step: Callable[[str], None]) -> None:
    """The exported model, here and in ONNX Runtime, where it can run it, and where its answer is the standard's."""
    data = _exported(model, outputs)
    if data is None:
        return
    step("run what was exported")
    program = graphir.compile(graphir_onnx.loads(data), limits=LIMITS)
    for i in range(min(2, len(feeds))):
        _same(program.run(feeds[i], outputs), {n: wanted[i][n] for n in outputs}, model, feeds[i], outputs, "what was exported")
    numbers = [*wanted, {a: w.tensor.array for a, w in model.weights.items() if isinstance(w.tensor, Tensor)}]
    if any(_otherwise(node) for graph in model.graphs() for node in graph.nodes) or not all(map(sane, numbers)):
        return
    step(REFEREE)
    for got, f, want in zip(_answers(data, feeds[:2], outputs), feeds, wanted):
        try:
            _same(_typed(got, want), {n: want[n] for n in outputs}, model, f, outputs, "ONNX Runtime")
        except Finding:
            if not _agrees(_second_answer(data, f, outputs), want):
                raise


def _otherwise(node: Node) -> bool:
    """Whether ONNX Runtime's answer need not be the standard's."""
    types = [v.type for v in (*node.inputs, *node.outputs) if v is not None]
    if any(isinstance(t, TensorType) and t.dtype.itemsize == 2 and t.dtype in FLOATS for t in types):
        return True  # of two casts it makes none, and compares what is rounded with what is not
    if node.op.name in ("Cast", "CastLike", "Size"):  # only of text, and of sequences
        return any(
            not isinstance(t, TensorType) or t.dtype == STRING for v in (*node.inputs, *node.outputs) if v is not None for t in [v.type]
        )
    if node.op.name == "MeanVarianceNormalization":
        return True  # of equal numbers it takes the root of a rounding, which may lie below zero
    if node.op.name == "SplitToSequence" and not node.attributes.get("keepdims", 1):
        return True  # it drops any axis of size 1; docs/operators.md says when we do
    return node.op.name in UNCOMPARED - {"Loop", "Scan"}


def _typed(got: Values, want: Values) -> Values:
    """Results of ONNX Runtime's, which hands float8 out as bytes."""
    return {n: x.view(want[n].dtype) if _are_bytes(x) and _are_float8(want[n]) else x for n, x in got.items()}


def _are_bytes(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.uint8


def _are_float8(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype in FLOATS and x.dtype.itemsize == 1


def _exported(model: Model, outputs: list[str]) -> bytes | None:
    try:
        return graphir.dumps(bare(model, outputs), "onnx")
    except FormatError:
        return None


def _answers(data: bytes | None, feeds: list[Values], outputs: list[str]) -> list[Values]:
    """What ONNX Runtime makes of a model; none where it refuses."""
    if data is None:
        return []
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return [dict(zip(outputs, session.run(outputs, f))) for f in feeds]
    except Exception:  # in kinds of its own
        return []


def _second_answer(data: bytes, feeds: Values, outputs: list[str]) -> list[Values]:
    """What ONNX Runtime makes where each Scan hands out all that its body makes: else it may overwrite what the body still reads."""
    from onnx import load_model_from_string
    from onnx.shape_inference import infer_shapes

    try:
        model = infer_shapes(load_model_from_string(data))
    except Exception:  # in kinds of its own
        return []
    for i, node in enumerate(model.graph.node):
        if node.op_type == "Scan":
            body = next(a.g for a in node.attribute if a.name == "body")
            made = [v for v in body.value_info if any(v.name in inner.output for inner in body.node)]
            body.output.extend(made)
            node.output.extend(f"{i} {v.name}" for v in made)
            for a in node.attribute:
                if a.name in ("scan_output_directions", "scan_output_axes"):
                    a.ints.extend([0] * len(made))
            for v in made:
                model.graph.output.add(name=f"{i} {v.name}").type.tensor_type.elem_type = v.type.tensor_type.elem_type
    return _answers(model.SerializeToString(), [feeds], outputs)


def _agrees(answers: list[Values], want: Values) -> bool:
    return bool(answers) and all(differing(_typed(got, want), want) is None for got in answers)


@functools.cache
def _onnxruntime() -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    return onnxruntime
