"""Options that several verbs have, and the kinds of their values."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..model import Model


class Bytes(click.ParamType):
    """A number of bytes: 1000000, 500k, 4G."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value)
        scale = {"k": 10**3, "m": 10**6, "g": 10**9}.get(text[-1:].lower(), 1)
        digits = text[:-1] if scale > 1 else text
        return int(digits) * scale if digits.isdecimal() else self.fail(f"{text!r} is no number of bytes, such as 4G", param, ctx)


class Dim(click.ParamType):
    """A size for a symbol: N=8."""

    name = "dim"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """The symbol and its size."""
        name, _, size = str(value).rpartition("=")
        return (name, int(size)) if name and size.isdecimal() else self.fail(f"{value!r} is no size, such as N=8", param, ctx)


class Given(click.ParamType):
    """An input: NAME=FILE.npy, NAME=zeros, NAME=random."""

    name = "input"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        return value if "=" in value else self.fail(f"{value!r} is no input, such as x=FILE.npy, x=zeros or x=random", param, ctx)


inputs_option = click.option("--inputs", "file", metavar="FILE.npz", help="Arrays by input name; others in the file are left alone.")
input_option = click.option(
    "--input", "given", type=Given(), metavar="NAME=...", multiple=True, help="One input: FILE.npy, zeros, random, or random:8x64."
)
dim_option = click.option(
    "--dim", "dims", type=Dim(), multiple=True, metavar="N=8", help="A size for a symbol, where zeros or random fill an input."
)
runtime_option = click.option(
    "--runtime", default="numpy", show_default=True, metavar="NAME", help="What runs the model; `graphir runtimes` lists them."
)
of_option = click.option(
    "--of", multiple=True, metavar="NAME", help="What is differentiated: values whose sum it is. [default: the only float output]"
)
wrt_option = click.option(
    "--wrt",
    multiple=True,
    metavar="PATTERN",
    help="Inputs and weights, by address or by a pattern with * and ?. [default: all but single numbers]",
)


def known_symbols(model: "Model", dims: dict[str, int]) -> dict[str, int]:
    """The sizes; a usage error where one is for a symbol that no input has."""
    from ..dims import symbols
    from ..types import TensorType

    shapes = [v.type.shape for v in model.inputs if isinstance(v.type, TensorType) and v.type.shape]
    free = sorted({s for shape in shapes for d in shape for s in symbols(d)})
    for name in dims:
        if name not in free:
            raise click.UsageError(f"--dim {name}: no input has a dim of that name; expected one of {', '.join(free) or 'none'}")
    return dims
