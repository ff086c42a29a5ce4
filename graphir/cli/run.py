"""`graphir run`: run a model on arrays and print what comes out."""

import fnmatch
from typing import TYPE_CHECKING, Any

import click

from .dims import drawn_dim_option, known_sizes
from .limits import VerbBudget, limit_options
from .model_file import PIPE, expect_file, model_argument, read
from .options import Number, input_option, inputs_option, runtime_option, seed_option
from .process import expect_stdout
from .terminal import progress, say, say_columns, say_note

if TYPE_CHECKING:
    from ..model import Model
    from ..passes.compare import Comparison
    from ..plugins import Program


@click.command(short_help="Run a model on arrays.")
@model_argument
@inputs_option
@input_option
@click.option("--output", metavar="FILE.npz", help="Save the results, by name.")
@click.option(
    "--fetch",
    multiple=True,
    metavar="ADDRESS|all",
    help="Values to compute, outputs or not, by address or by a pattern with * and ?. [default: the outputs]",
)
@runtime_option
@click.option(
    "--against", metavar="RUNTIME", help="Run there too and compare; exit status 1 where they disagree, and where they part is said."
)
@click.option(
    "--rtol",
    type=Number(0),
    metavar="X",
    help="What may differ, relative to a value's largest number. [default: by dtype, 1e-4 for float32]",
)
@click.option("--atol", type=Number(0), metavar="X", help="What may differ, absolute; the larger of the two holds. [default: as --rtol]")
@seed_option(help="Seed of random inputs and of random operators.")
@drawn_dim_option
@limit_options
def run(
    model_file: str, file: str | None, given: tuple[str, ...], output: str | None, fetch: tuple[str, ...], runtime: str, against: str | None,
    rtol: float | None, atol: float | None, seed: int, dims: tuple[tuple[str, int], ...], budget: VerbBudget,
) -> int:  # fmt: skip
    """Run MODEL and print each output: its type, and its values where they are few, else their range and mean.

    With --against, print how far the outputs of two runtimes differ, and where one differs too much, the first value that does: its node, and what went in.
    """
    from .feeds import feeds

    if against is None and (rtol, atol) != (None, None):
        raise click.UsageError("--rtol and --atol are for comparing: give --against too")
    if output == PIPE:
        raise click.UsageError("--output is for a file: give its name")
    if output is not None:
        expect_file(output, ".npz")  # before the work is done
    expect_stdout()
    model = read(model_file, budget)
    arrays, others = feeds(model, file, given, known_sizes(model, dims), seed, budget=budget)
    if others:
        say_note(f"{file} also holds {', '.join(others)}, which the model does not take")
    addresses = _addresses(model, fetch)
    program = _compiled(model, runtime, budget, seed)
    with progress(f"running on {runtime}"):
        found = program.run(arrays, addresses or [v.name for v in model.outputs])
    if output is not None:
        _save(output, found)
    say_columns(_rows(found))
    if against is None:
        return 0
    other = _compiled(model, against, budget, seed)
    with progress(f"comparing {runtime} with {against}"):
        from ..passes.compare import compare

        programs = {runtime: program, against if against != runtime else f"{against} again": other}
        compared = compare(model, arrays, programs, fetch=addresses or None, rtol=rtol, atol=atol)
    return _say_compared(compared, runtime, against)


def _addresses(model: "Model", fetch: tuple[str, ...]) -> list[str]:
    """The values to fetch; none where the outputs are meant. A pattern with * or ? is those of the main graph that nodes make and whose names it fits."""
    made = [v.name for node in model.graph.nodes for v in node.outputs if v is not None]
    if "all" in fetch:
        return made
    known = model.addresses() if any(c in pattern for pattern in fetch for c in "*?") else {}
    found = [a for pattern in fetch for a in (fnmatch.filter(made, pattern) if pattern not in known else ()) or (pattern,)]
    return list(dict.fromkeys(found))


def _compiled(model: "Model", runtime: str, budget: VerbBudget, seed: int) -> "Program":
    import graphir

    with progress(f"compiling for {runtime}"):
        return graphir.compile(model, runtime, limits=budget, seed=seed)


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    from ..results import summary

    rows = []
    for name, x in found.items():
        facts = summary(x)
        rows.append((name, facts.pop("type"), "  ".join(f"{k} {_text(v)}" for k, v in facts.items())))
    return rows


def _text(x: Any, digits: int = 4) -> str:
    """Ranges and means in four digits, values in six; elements of sequences by their facts."""
    if isinstance(x, float):
        return f"{x:.{digits}g}"
    if isinstance(x, list):
        return f"[{', '.join(_text(e, 6) for e in x)}]"
    return " ".join(map(_text, x.values())) if isinstance(x, dict) else str(x)


def _save(file: str, found: dict[str, Any]) -> None:
    from pathlib import Path

    from ..results import save_arrays

    with progress(f"writing {file}"):
        save_arrays(Path(file), found)


def _say_compared(compared: "Comparison", runtime: str, against: str) -> int:
    """Print how far the outputs differ, and where the runtimes part. 1 where they do."""
    text = f"largest difference between {runtime} and {against}:"
    say_columns(
        (gap.name, f"{text} {gap.largest:.3g}" + ("" if gap.ok else f"; expected at most {gap.allowed:.3g}")) for gap in compared.outputs
    )
    for line in compared.lines():
        say(line)
    return 0 if compared.ok else 1
