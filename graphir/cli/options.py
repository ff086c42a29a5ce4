"""Options that several verbs have, and the kinds of their values."""

import functools
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..passes.marks import How

_BYTES = re.compile("(\\d{1,18})(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)


class Bytes(click.ParamType):
    """A number of bytes: 1000000, 500k, 4G, 4GB, 4GiB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        parts = _BYTES.fullmatch(str(value))
        if parts is None:
            return self.fail(f"{str(value)!r} is no number of bytes, such as 4G", param, ctx)
        digits, unit, binary = parts.groups()
        return int(digits) * (1024 if binary else 1000) ** " kmgt".index((unit or " ").lower())


class Whole(click.IntRange):
    """A whole number."""

    name = "whole number"


class Given(click.ParamType):
    """An input: NAME=FILE.npy, NAME=zeros, NAME=random, NAME=random:8x64."""

    name = "input"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        name, _, what = value.rpartition("=")
        if not name or not what:
            archive = f"; an .npz goes with --inputs {value}" if value.endswith(".npz") else ""
            self.fail(f"{value!r} is no input, such as x=FILE.npy, x=zeros or x=random{archive}", param, ctx)
        kind, colon, shape = what.partition(":")
        if colon and kind in DRAWN and parse_shape(shape) is None:
            self.fail(f"{value!r}: {shape!r} is no shape; expected sizes with x between them, such as 8x64", param, ctx)
        return value


class Number(click.FloatRange):
    """A number that is finite."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is no finite number", param, ctx)

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()  # else click tells of x<=None


DRAWN = ("zeros", "random")  # what --input fills an input with


def parse_shape(text: str) -> tuple[int, ...] | None:
    """The sizes in 8x64, or 8,64; none in empty text. None where it is no shape."""
    parts = text.replace(",", "x").split("x") if text else []
    return tuple(map(int, parts)) if all(map(is_whole, parts)) else None


def is_whole(text: str) -> bool:
    """Whether a text is a whole number from 0 up, of 64 bits."""
    return text.isdecimal() and len(text) < 19


inputs_option = click.option("--inputs", "file", metavar="FILE.npz", help="Arrays by input name; others in the file are left alone.")
input_option = click.option(
    "--input", "given", type=Given(), metavar="NAME=...", multiple=True, help="One input: FILE.npy, zeros, random, or random:8x64."
)
seed_option = functools.partial(click.option, "--seed", type=Whole(0, 2**63 - 1), default=0, show_default=True, metavar="N")
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


class Factor(click.ParamType):
    """A pattern and a number: layer1.*=0.1."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The pattern and the number."""
        pattern, _, number = str(value).rpartition("=")
        if not pattern:
            self.fail(f"{value!r} names nothing, such as layer1.*=0.1", param, ctx)
        try:
            return pattern, Number().convert(number, param, ctx)
        except click.BadParameter:
            return self.fail(f"{value!r} ends in no finite number, such as layer1.*=0.1", param, ctx)


NO_MARKS: "How" = {"stop": (), "scale": {}, "straight_through": (), "ties": "pytorch"}
_HOW = (
    click.option("--stop", multiple=True, metavar="PATTERN", help="Values that no gradient passes."),
    click.option("--scale", type=Factor(), multiple=True, metavar="PATTERN=X", help="Values where gradients are multiplied by X."),
    click.option("--straight-through", multiple=True, metavar="PATTERN", help="Values whose gradient passes the node that makes them unchanged."),
    click.option(
        "--ties", type=click.Choice(["pytorch", "even"]), default="pytorch", show_default=True, help="Who gets the gradient of the largest of several."
    ),
)  # fmt: skip


def how_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """How gradients pass values: the verb is given `how`, as `gradient` takes it."""

    @functools.wraps(verb)
    def marking(*args: Any, stop: Any, scale: Any, straight_through: Any, ties: str, **rest: Any) -> Any:
        return verb(*args, how={"stop": stop, "scale": dict(scale), "straight_through": straight_through, "ties": ties}, **rest)

    for option in reversed(_HOW):
        option(marking)
    return marking
