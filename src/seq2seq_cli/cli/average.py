"""`seq2seq average`: the mean of weights, as a new run folder."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import parse_updates
from seq2seq_cli.cli.paths import check_new_folder
from seq2seq_cli.messages import counted

SELECTION = "Which of the saved weights of a run"


def average(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders of `seq2seq train`.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to write.")],
    last: Annotated[
        int | None,
        typer.Option(min=1, help="The last N.", rich_help_panel=SELECTION, show_default=False),
    ] = None,
    best: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The N best in validation, by training.stop_metric.",
            rich_help_panel=SELECTION,
            show_default=False,
        ),
    ] = None,
    updates: Annotated[
        str,
        typer.Option(
            metavar="N,…",
            help="Those of these updates, separated by commas.",
            rich_help_panel=SELECTION,
            show_default=False,
        ),
    ] = "",
) -> None:
    """Average weights into a new run folder, to translate with (Vaswani 2017).

    Given one run, averages the weights that training saved in RUN/training/weights: all, or those
    selected. Given several runs, averages the weights they translate with, or those selected of
    each. Average only what began from the same weights: one training, or runs that continued it.

    \b
    seq2seq train … --set training.average=none \\
        --set training.average_every=200 --set training.average_count=10
    seq2seq average runs/en-de --output runs/en-de-average
    seq2seq average runs/en-de --last 5 --output runs/en-de-last-5
    """
    selected = parse_updates(updates)
    check_new_folder(output)
    from seq2seq_cli.training.averaging import Selection, average_runs, began_apart

    files = average_runs(runs, output, Selection(last or 0, best or 0, selected))
    if apart := began_apart(runs):
        console.warn(
            f"{apart[0]} and {apart[1]} began with other random weights, so that their mean is not "
            "a useful model; average one training, or runs that continue one (--init-from), and "
            "use others as an ensemble: seq2seq translate RUN RUN"
        )
    for file in files:
        console.note(f"  {file}")
    console.note(f"{output} is the average of {counted(len(files), 'set')} of weights")
