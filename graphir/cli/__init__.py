"""The command line: parses, calls, prints. The verbs import what they need when they run, so that --help answers at once."""

import sys
import traceback
from collections.abc import Sequence

import click

from .. import __version__
from .check import check
from .export import export
from .grad import grad
from .gradcheck import gradcheck
from .info import info
from .process import TERMINATED, Terminated, give_up, take_streams, terminable
from .run import run
from .runtimes import runtimes
from .terminal import clean, in_options, say_error
from .train import train
from .verbs import Verbs, usage_message


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    invoke_without_command=True,
    epilog="MODEL is an .onnx or .gir file, or - for a pipe. Each verb takes --debug, which shows where an error arose.",
)
@click.version_option(__version__, message="graphir %(version)s")
@click.pass_context
def graphir(context: click.Context) -> None:
    """Take any ONNX model: see it, run it, differentiate it, and hand it on."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)


for _verb in (run, export, info, check, grad, gradcheck, train, runtimes):
    _verb.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, help="Show a traceback where there is an error."))
    graphir.add_command(_verb)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done, 1 it failed or did not hold, 2 wrong usage, 143 ended by SIGTERM."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    take_streams()
    try:
        with terminable():
            status = graphir.main(arguments, prog_name="graphir", standalone_mode=False) or 0
            sys.stdout.flush()
            return status
    except click.UsageError as e:
        where = f" (see `{e.ctx.command_path} --help`)" if e.ctx else ""
        return _fail(f"{usage_message(e)}{where}", 2)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 1)
    except Terminated as e:
        return _fail(str(e) or "terminated", TERMINATED)
    except Exception as e:  # the last door: one line for the user, a traceback for who asks
        give_up(sys.stdout)
        if isinstance(e, OSError) and e.filename is None and _printed(e):
            e.filename = "stdout"
        if isinstance(e, BrokenPipeError) and e.filename == "stdout":
            return 1  # the reader went away: say nothing
        if "--debug" in arguments:
            say_error(traceback.format_exc().rstrip())
        verb = next((graphir.commands[a] for a in arguments if a in graphir.commands), None)
        return _fail(in_options(_message(e), verb), 1)


def _fail(message: str, status: int) -> int:
    say_error(clean("error: " + " ".join(message.split())))
    return status


def _printed(e: Exception) -> bool:
    """Whether an error arose where click prints."""
    at = e.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_globals.get("__name__") == click.utils.__name__


def _message(e: Exception) -> str:
    """What an error says. Expected ones speak for themselves; of others the kind is named too."""
    if isinstance(e, OSError) and e.strerror:
        return f"{e.filename}: {e.strerror}" if e.filename is not None else e.strerror
    text = str(e.args[0]) if isinstance(e, KeyError) and e.args else str(e)  # the text of a KeyError is quoted
    if isinstance(e, click.ClickException | ValueError | TypeError | LookupError | ImportError | RuntimeError) and text:
        return text
    return f"{type(e).__name__}: {text}" if text else f"{type(e).__name__}; --debug shows where"
