"""All commands together, and the message and exit code of each error."""

import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from seq2seq_cli import __version__
from seq2seq_cli.cli import console
from seq2seq_cli.cli.commands import Command, Group, LazyCommands, ManyValuesCommand
from seq2seq_cli.errors import Seq2seqError, says_out_of_memory

if TYPE_CHECKING:
    from seq2seq_cli.cli.help import Rows

PIPE, OTHERS = "The pipe", "Other commands"


class Entry(NamedTuple):
    """The name, module and help line of a command, known before its module is loaded."""

    panel: str
    summary: str  # the first paragraph of its help
    kind: type[Command] = Command
    module: str = ""  # and its function, where they cannot have the command's name

    def function_of(self, name: str) -> str:
        """The name of the module, and of the function in it, of the command with this name."""
        return self.module or name


COMMANDS = {
    "train": Entry(
        PIPE,
        "Train a translator from two text files, one sentence a line.",
        ManyValuesCommand,
    ),
    "translate": Entry(
        PIPE, "Translate text line by line, as the lines arrive: N lines in are N lines out."
    ),
    "score": Entry(
        PIPE,
        "Score a translation, line by line, against one or several references.",
        ManyValuesCommand,
    ),
    "compare": Entry(
        OTHERS,
        "Compare several systems: scores with intervals and tests, where they differ, and how.",
    ),
    "likelihood": Entry(
        OTHERS,
        "Compute how likely given translations are: a line for each pair, the total on stderr.",
    ),
    "inspect": Entry(
        OTHERS, "Show attention and hidden states of a model, or the course of its training."
    ),
    "info": Entry(OTHERS, "Show the parameters of a model and the cost of a token."),
    "average": Entry(
        OTHERS, "Average weights into a new run folder, to translate with (Vaswani 2017)."
    ),
    "import": Entry(
        OTHERS,
        "Make a run of a model of another engine: OPUS-MT, Marian, Firefox, NLLB, CTranslate2.",
        module="import_run",
    ),
    "export": Entry(
        OTHERS, "Write a run in the format of CTranslate2, Hugging Face, Marian or Firefox."
    ),
    "push": Entry(OTHERS, "Upload a run to the Hugging Face hub, from where `import` fetches it."),
    "tokenizer": Entry(OTHERS, "Train a tokenizer on text, and turn text into tokens and back."),
    "data": Entry(OTHERS, "Make corpora."),
    "presets": Entry(OTHERS, "List the presets, or print the settings of one, as TOML."),
    "settings": Entry(
        OTHERS,
        "List all settings, or show the type, default, allowed values, meaning and paper of one.",
    ),
}


def load(name: str) -> Any:
    """Import the module of a command; returns the command, or the group of commands."""
    entry = COMMANDS[name]
    function_name = entry.function_of(name)
    module = import_module(f"seq2seq_cli.cli.{function_name}")
    holder = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    holder.callback()(lambda: None)
    if isinstance(below := getattr(module, "app", None), typer.Typer):
        holder.add_typer(below, name=name, rich_help_panel=entry.panel)
    else:
        function = getattr(module, function_name)
        holder.command(name, rich_help_panel=entry.panel, cls=entry.kind)(function)
    command: Any = typer.main.get_command(holder)
    return command.commands[name]


class AllCommands(Group):
    """All commands, whose names and summaries are known without importing their modules."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = LazyCommands([*COMMANDS], load)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        return [*COMMANDS]

    def panels(self, ctx: Any) -> "Mapping[str, Rows]":
        """The commands by panel, each with its summary."""
        found: dict[str, Rows] = {}
        for name, entry in COMMANDS.items():
            found.setdefault(entry.panel, []).append((name, entry.summary, ""))
        return found


app = typer.Typer(
    name="seq2seq",
    cls=AllCommands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"seq2seq {__version__}")
        raise typer.Exit


@app.callback()
def seq2seq(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Turn two text files into a working translator in the shell.

    \b
    seq2seq data demo demo
    seq2seq train --source demo/train.en --target demo/train.de \\
        --valid-source demo/valid.en --valid-target demo/valid.de \\
        --output runs/demo
    echo "The old woman reads a book." | seq2seq translate runs/demo
    """


def _end_without_reader() -> None:
    """Exit as SIGPIPE would have it if the reader of stdout has gone, as in `seq2seq info | head`.

    Click has then wrapped stdout, to keep quiet, or what was printed is still to be written.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
        is_closed = type(sys.stdout).__name__ == "PacifyFlushWrapper"
    except BrokenPipeError:
        is_closed = True
    except (OSError, ValueError):  # as a full disk, of which the exit says what it did before
        return
    if is_closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its exit
        raise SystemExit(128 + signal.SIGPIPE)


def run() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong usage or input.

    128 and the number of a signal is one that ended it; a reader that goes away is SIGPIPE.
    """
    # Threads that spin for long while they wait take cores from other programs, and from each other
    # if two trainings share a machine; threads that sleep at once cost a third of the speed. These
    # spin for about 100 microseconds. OpenMP reads this once, when torch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:  # the user's own choice goes first
        os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    try:
        try:
            app()
        finally:
            _end_without_reader()
    except Seq2seqError as error:
        console.error(str(error))
        sys.exit(error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not says_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0]
        console.error(
            f"memory ran out{f' ({reason})' if reason else ''}; use less of it at a time, as by a "
            "smaller --batch-tokens, --workers or --beam of `translate`, or give the process more"
        )
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        console.error(f"{where}{error.strerror or error}")
        sys.exit(1)
