"""All commands together, and the message and exit code of each error."""

import os
import signal
import sys
from typing import Annotated

import typer

from seq2seq_cli import __version__
from seq2seq_cli.cli import (
    average,
    console,
    data,
    export,
    info,
    inspect,
    likelihood,
    presets,
    score,
    settings,
    tokenizer,
    train,
    translate,
)
from seq2seq_cli.cli.options import ManyValuesCommand
from seq2seq_cli.errors import Seq2seqError, says_out_of_memory

PIPE, OTHERS = "The pipe", "Other commands"

app = typer.Typer(
    name="seq2seq",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel=PIPE, cls=ManyValuesCommand)(train.train)
app.command(rich_help_panel=PIPE)(translate.translate)
app.command(rich_help_panel=PIPE, cls=ManyValuesCommand)(score.score)
app.command(rich_help_panel=OTHERS)(likelihood.likelihood)
app.add_typer(inspect.app, name="inspect", rich_help_panel=OTHERS)
app.command(rich_help_panel=OTHERS)(info.info)
app.command(rich_help_panel=OTHERS)(average.average)
app.command(rich_help_panel=OTHERS)(export.export)
app.add_typer(tokenizer.app, name="tokenizer", rich_help_panel=OTHERS)
app.add_typer(data.app, name="data", rich_help_panel=OTHERS)
app.command(rich_help_panel=OTHERS)(presets.presets)
app.command(rich_help_panel=OTHERS)(settings.settings)


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
    echo "the old woman reads a book ." | seq2seq translate runs/demo
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
