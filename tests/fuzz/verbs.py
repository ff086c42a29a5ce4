"""The verbs of the command line on one file, in this process, as a user has them: with default limits."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import graphir
from graphir import cli
from graphir.dims import symbols
from graphir.dtypes import FLOATS
from graphir.model import Model
from graphir.types import TensorType, bind

from .case import Finding
from .errors import raw, stumble, trait
from .worker import SAID

VERBS = ("info", "check", "run", "grad", "export", "train")
SIZE = 2  # of a dim that is not known, where an input is drawn
EXAMPLES = 4
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e]")
LONGEST = 4500  # characters of an answer that is one line


def call(verb: str, arguments: list[str], said: Path) -> str:
    """Run a verb, whose words go to the file `said`. What came of it: "0" or "1" for the exit status, or what kind of error. Raises Finding where it stumbles."""
    try:
        with (
            said.open("w", buffering=1, errors="backslashreplace") as out,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            status = cli.graphir.main([verb, *arguments], prog_name="graphir", standalone_mode=False)
    except Exception as e:
        why = stumble(e)
        if why is not None:
            raise Finding(why) from e
        _expect_line(e, said)
        return trait(e)
    text = said.read_text(errors="replace")
    if verb == "check" and (words := raw(text)) is not None:
        raise Finding(f"a problem that says {words!r}", text)
    return str(status or 0)


def _expect_line(e: Exception, said: Path) -> None:
    """What the command line makes of an error is one line, and no longer than a terminal bears."""
    with said.open("w", errors="surrogateescape") as out, contextlib.redirect_stderr(out):
        cli._fail(cli._message(e), 1)
    text = said.read_text(errors="replace")
    if not text.endswith("\n") or CONTROL.search(text[:-1]) or len(text) > LONGEST:
        raise Finding(f"an error that is no line of up to {LONGEST} characters: {trait(e)[:60]}", str(e)) from e


def model_in(file: Path) -> Model | None:
    """The model in a file; None where it is refused."""
    try:
        return graphir.load(file)
    except Exception as e:
        if (why := stumble(e)) is not None:
            raise Finding(why) from e
        return None


def arguments(verb: str, file: Path, model: Model, folder: Path) -> list[list[str]]:
    """The command lines of a verb for a file."""
    name = str(file)
    match verb:
        case "run":
            free = {s for v in model.inputs if isinstance(v.type, TensorType) for d in v.type.shape or () for s in symbols(d)}
            given = [f"--input={v.name}=random" for v in model.inputs if v.tensor is None]
            return [[name, *given, *(f"--dim={s}={SIZE}" for s in free)]]
        case "grad":
            return [[name, str(folder / "gradient.onnx")]]
        case "export":
            return [[name, str(folder / f"out{suffix}")] for suffix in (".onnx", ".gir", ".json", ".txt")]
        case "train":
            return [
                [name, _data(model, folder), str(folder / "trained.gir"), "--epochs=1", f"--loss={loss}"]
                for loss in ("cross_entropy", "mean_squared_error")
            ]
    return [[name]]


def _data(model: Model, folder: Path) -> str:
    """Examples to train on, as far as there can be: in the inputs' types, and a label for each."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"y": np.zeros(EXAMPLES, np.int64)}
    for v in model.inputs:
        t = bind(v.type, {})
        if isinstance(t, TensorType) and t.shape and all(isinstance(d, int) for d in t.shape[1:]):
            shape = (EXAMPLES, *(d for d in t.shape[1:] if isinstance(d, int)))
            if np.prod(shape, dtype=float) < 1e6 > max(shape) and v.name and "\0" not in v.name and len(v.name) < 1000:
                arrays[v.name] = rng.random(shape).astype(
                    t.dtype if t.dtype in FLOATS and t.dtype.kind == "f" else "int64" if t.dtype.kind in "iu" else "f4"
                )
    path = folder / "data.npz"
    try:
        np.savez(path, allow_pickle=False, **arrays)
    except (ValueError, OSError, UnicodeError, TypeError):  # names that a zip archive cannot hold
        np.savez(path, y=arrays["y"])
    return str(path)


def check(file: Path, folder: Path, step: Callable[[str], None]) -> tuple[str, ...]:
    """What comes of each verb. Raises Finding."""
    found = []
    step("load")
    model = model_in(file)
    for verb in VERBS if model is not None else VERBS[:3]:
        for line in arguments(verb, file, model, folder) if model is not None else [[str(file)]]:
            step(verb)
            found.append(f"{verb}: {call(verb, line, folder / SAID)}")
    return tuple(found)
