"""The front door: which commands there are, and how whatever goes wrong in them is told in one line."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from kakusan.commands.compare import compare
from kakusan.commands.data import caption, check, prepare
from kakusan.commands.demo import demo
from kakusan.commands.evaluate import evaluate
from kakusan.commands.exchange import export, import_
from kakusan.commands.fields import FieldsCommand, near_fields
from kakusan.commands.finetune import finetune
from kakusan.commands.generate import generate
from kakusan.commands.info import info
from kakusan.commands.lora import info as lora_info
from kakusan.commands.lora import merge
from kakusan.commands.output import Interrupted
from kakusan.commands.plan import plan
from kakusan.commands.report import report
from kakusan.commands.sample import sample
from kakusan.commands.study import study
from kakusan.commands.train import train
from kakusan.commands.weights import weights
from kakusan.config.wording import either
from kakusan.errors import KakusanError, unknown

_SIGNALLED = 128  # and the number of the signal, as shells have it
_INTERRUPTED = _SIGNALLED + int(signal.SIGINT)
_NOUNS = {"int_parsing": "a whole number", "float_parsing": "a number"}
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer exports the name of this one only


class Commands(TyperGroup):
    """The group of all commands, which answers an unknown one with the nearest."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is None and not ctx.resilient_parsing:
            raise unknown("command", cmd_name, self.list_commands(ctx))
        return command


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command()(demo)
# Its help depends on its arguments, so it answers --help itself.
app.command(cls=FieldsCommand, add_help_option=False)(train)
app.command(cls=FieldsCommand)(plan)
app.command()(sample)
app.command()(generate)
app.command(cls=FieldsCommand, add_help_option=False)(finetune)
app.command()(evaluate)
app.command()(report)
app.command()(compare)
app.command()(info)
app.command()(weights)
app.command(cls=FieldsCommand)(study)
app.command()(export)
app.command("import")(import_)
data = typer.Typer(cls=Commands, rich_markup_mode=None, invoke_without_command=True)
data.command()(check)
data.command()(prepare)
data.command()(caption)
app.add_typer(data, name="data")
lora = typer.Typer(cls=Commands, rich_markup_mode=None, invoke_without_command=True)
lora.command()(merge)
lora.command("info")(lora_info)
app.add_typer(lora, name="lora")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # slow to import, and not needed for help

        typer.echo(f"kakusan {version('kakusan')}")
        raise typer.Exit


@app.callback()
def front(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Trains, samples and measures diffusion models.

    Begin with "kakusan demo", or with "kakusan train digits". Every command explains itself with --help, and shows
    the traceback of an error with --debug.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@data.callback()
def images(context: typer.Context) -> None:
    """Checks images, captions them, and prepares them as one file."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@lora.callback()
def adapters(context: typer.Context) -> None:
    """Merges LoRAs, and says what they are."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status: 0, 2 for a mistake of the user, 1 for one of ours, 130 for Ctrl-C
    and 143 for a polite kill.

    Args:
        arguments: What follows the program's name; by default what was typed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (as in a process that was started without)
    signals: list[int] = []
    try:
        with _tidy_ends(signals):
            status = typer.main.get_command(app).main(given, prog_name="kakusan", standalone_mode=False)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # leaving flushes once more
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in given:
            traceback.print_exc()
        sentence, status = _verdict(error)
        if status == 1 and signals:  # an import that Ctrl-C ends half-way may raise anything
            sentence, status = "interrupted", _INTERRUPTED
        if status == _INTERRUPTED and signals:
            status = _SIGNALLED + signals[-1]
        if sentence:
            print(f"kakusan: {' '.join(sentence.split())}", file=sys.stderr)
        return status
    if status == _INTERRUPTED:
        print("kakusan: interrupted", file=sys.stderr)
    return status if isinstance(status, int) else 0


@contextmanager
def _tidy_ends(signals: list[int]) -> Iterator[None]:
    """Lets a polite kill do inside what Ctrl-C does: whatever was begun is tidied up; either is noted."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may take signals
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _verdict(error: BaseException) -> tuple[str, int]:
    """Returns what to say of an error, and the exit status."""
    match error:
        case KakusanError():
            return str(error), 2
        case Interrupted():
            return str(error), _INTERRUPTED
        case KeyboardInterrupt() | typer.Abort():
            return "interrupted", _INTERRUPTED
        case OSError():
            # What is written into files names them.
            return f"{error.filename or 'standard output cannot be written'}: {error.strerror or error}", 2
    if isinstance(error, _UsageError):
        return _usage(error), 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "there is not enough memory (train with a smaller training.microbatch, or draw with a smaller batch)", 2
    return (
        f"this is a bug of kakusan, not a mistake of yours: {type(error).__name__}: {error} "
        "(--debug shows the traceback, which we would like to see)"
    ), 1


def _usage(error: Any) -> str:
    """Returns what is wrong with the options, and where they are explained."""
    where = "" if error.ctx is None else f" (see {error.ctx.command_path} --help)"
    if hasattr(error, "possibilities"):
        return _unknown_option(error.option_name, error.ctx, where)
    details = error.__cause__.errors()[0] if isinstance(error.__cause__, ValidationError) else {"type": ""}
    if details["type"] in _NOUNS:
        return f"{error.param.opts[0]} must be {_NOUNS[details['type']]}, not {details['input']!r}{where}"
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    return f"{message[:1].lower()}{message[1:]}{where}"


def _unknown_option(option: str, context: Any, where: str) -> str:
    command = context.command
    names = [name for parameter in command.get_params(context) for name in parameter.opts if name.startswith("--")]
    near = near_fields(option, names) if isinstance(command, FieldsCommand) else []
    if near:
        return f"unknown option {option!r}: did you mean {either(near)}?{where}"
    return str(unknown("option", option, names))
