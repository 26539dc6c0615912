"""`seq2seq average`: the mean of several weights, as a run of its own."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import updates as parse_updates
from seq2seq_cli.cli.pipe import check_new_folder

CHOICE = "Which of the weights that a run put aside"


def average(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders of `seq2seq train`.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder to write.")],
    last: Annotated[
        int | None,
        typer.Option(min=1, help="The last so many.", rich_help_panel=CHOICE, show_default=False),
    ] = None,
    best: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The so many best in validation, by training.stop_metric.",
            rich_help_panel=CHOICE,
            show_default=False,
        ),
    ] = None,
    updates: Annotated[
        str,
        typer.Option(
            metavar="N,…",
            help="Those of these updates.",
            rich_help_panel=CHOICE,
            show_default=False,
        ),
    ] = "",
) -> None:
    """Average weights into a new run folder, to translate with (Vaswani 2017).

    Of one run all the weights that training put aside, or those chosen; they are in
    RUN/training/weights. Of several runs the weights that they translate with, or those chosen of
    each. Only what began alike has a meaningful mean: one training, or runs that went on from one.

    \b
    seq2seq train … --set training.average=none --set training.average_every=200 \\
        --set training.average_count=10
    seq2seq average runs/en-de --output runs/en-de-average
    seq2seq average runs/en-de --last 5 --output runs/en-de-last-5
    """
    chosen = parse_updates(updates)
    check_new_folder(output)
    from seq2seq_cli.training.averaging import Choice, average_runs, began_apart

    files = average_runs(runs, output, Choice(last or 0, best or 0, chosen))
    if apart := began_apart(runs):
        console.warn(
            f"{apart[0]} and {apart[1]} began with other random weights, so that their mean is no "
            "model of either; average one training, or runs that went on from one (--init-from), "
            "and let others vote: seq2seq translate RUN RUN"
        )
    for file in files:
        console.note(f"  {file}")
    console.note(f"{output} is the average of these {len(files)}")
