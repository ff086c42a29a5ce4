"""Verbs, options and arguments that are not known, and what may have been meant by them."""

import os
from collections.abc import Mapping

import click

_OTHER_VERBS = {  # what people type for a verb
    "run": "predict infer inference eval evaluate test forward profile bench benchmark compare",
    "info": "show print inspect summary describe view stat stats ls list cat dump",
    "check": "validate verify lint",
    "export": "convert save write to_onnx upgrade downgrade opset copy cp",
    "grad": "gradient gradients backward differentiate autograd jacobian",
    "train": "fit finetune fine-tune learn",
    "runtimes": "runtime devices backends providers",
    "graphir --help": "help usage",
    "graphir --version": "version",
}
_OTHER_OPTIONS = {  # what people type for an option, where the verb has that
    "--dim N=8": "--batch --batch-size --shape --input-shape --input_shape --overwrite-input-shape",
    "--runtime": "--device --gpu --cuda --cpu --provider --providers --backend",
    "--input": "-i --in --random --feed",
    "--debug": "-v --verbose --traceback",
    "--force": "-f --overwrite -y",
    "--learning-rate": "--rate --learning_rate -lr",
    "--epochs": "--iterations --n-epochs -e",
    "--tolerance": "--eps --tol --rtol --atol",
    "--of": "--output --loss --outputs",
    "--wrt": "--input --inputs --weights --parameters --freeze",
    "--output": "-o --out --save",
    "--json": "--format",
}
_DESTINATIONS = ("-o", "--output", "--out", "--to", "--save", "--dest", "--destination")
_FILES = (".onnx", ".gir", ".json", ".pb", ".pt", ".npz")


class Verbs(click.Group):
    """The verbs; one that is not known is told with those that may be meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb. Raises UsageError where there is none of that name."""
        name = args[0]
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        if name.lower().endswith(_FILES) or os.path.exists(name):  # noqa: PTH110  # a name, which may be no path at all
            ctx.fail(f"{name} is a file: say first what to do with it, as in `graphir info {name}`; there are {', '.join(self.commands)}")
        from ..expect import near

        meant = _meant(_OTHER_VERBS, name.lower())
        hint = f"; did you mean {meant}?" if meant else near(name, self.commands)
        return ctx.fail(f"no verb is called {name!r}; there are {', '.join(self.commands)}{hint}")


def usage_message(e: click.UsageError) -> str:
    """What an error of usage says, with what may have been meant."""
    text = e.format_message().rstrip(".")
    if e.ctx is None:
        return text
    arguments = [x for x in e.ctx.command.collect_usage_pieces(e.ctx) if not x.startswith("[")]
    takes = f"{e.ctx.command_path} takes {' '.join(arguments) or 'no argument'}"
    options = {o for p in e.ctx.command.params for o in p.opts}
    if isinstance(e, click.NoSuchOption):
        return _no_option(e, text, options, takes if "DESTINATION" in arguments else "")
    if "extra argument" not in text:
        return text
    arrays = "; arrays go with --inputs FILE.npz, or --input NAME=FILE.npy" if "--inputs" in options else ""
    return f"{text}; {takes}{arrays}"


def _no_option(e: click.NoSuchOption, text: str, options: set[str], takes: str) -> str:
    """takes: what the verb takes, where it writes a file."""
    name, plain = e.option_name, text.partition(". ")[0]
    if isinstance(e.ctx and e.ctx.command, Verbs) and (verb := name.lstrip("-")) in e.ctx.command.commands:  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        return f"{plain}; verbs have no dashes: graphir {verb}"
    if takes and name in _DESTINATIONS:
        return f"{plain}; {takes}"
    meant = _meant({o: names for o, names in _OTHER_OPTIONS.items() if o.split()[0] in options}, name)
    return f"{plain}; did you mean {meant}?" if meant else text


def _meant(table: Mapping[str, str], name: str) -> str | None:
    """The key of the table that has a name among its words."""
    return next((key for key, names in table.items() if name in names.split()), None)
