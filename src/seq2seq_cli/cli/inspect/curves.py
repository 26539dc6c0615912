"""`seq2seq inspect curves`: the course of trainings."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import WHAT, check_drawing, output_option
from seq2seq_cli.cli.terminal_plots import curve_lines
from seq2seq_cli.evaluation.plots.files import CURVE_FORMATS, save_curves
from seq2seq_cli.messages import counted


def curves(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders, also of trainings in progress."),
    ],
    over: Annotated[
        Literal["updates", "tokens", "minutes"],
        typer.Option(help="The x axis; tokens are target tokens.", rich_help_panel=WHAT),
    ] = "updates",
    output: Annotated[
        Path | None,
        output_option("FILE.png, .svg or .html, instead of the terminal."),
    ] = None,
) -> None:
    """Show the course of training: loss, perplexity, BLEU, chrF and learning rate of runs.

    \b
    seq2seq inspect curves runs/en-de
    seq2seq inspect curves runs/rnn runs/transformer --over minutes -o curves.png
    """
    check_drawing(output, CURVE_FORMATS)
    from seq2seq_cli.evaluation.curves import curves as curves_of_run

    drawn = [curve for run in runs for curve in curves_of_run(run, over)]
    if output is None:
        for line in curve_lines(drawn, over):
            print(line)
        return
    title = f"Training of {', '.join(run.name for run in runs)}"
    save_curves(drawn, over, output, title, warn=console.warn)
    console.note(f"{output}: {counted(len(runs), 'run')}")
