"""`seq2seq inspect agreement`: what two models have learned alike of a text without trees."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import FormatOption, InputOption
from seq2seq_cli.cli.inspect.pairs import Pairs
from seq2seq_cli.cli.options import (
    AsTextOption,
    DelimiterOption,
    EncodingOption,
    RunArgument,
    ThreadsOption,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import counted


def agreement(
    run: RunArgument,
    other: Annotated[
        Path,
        typer.Argument(
            metavar="OTHER", help="Run folder to compare it with, also of another architecture."
        ),
    ],
    input_: InputOption = "-",
    output_format: FormatOption = "text",
    threads: ThreadsOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Show which layers of two models have the same words of a sentence near each other.

    For text without trees. Words are near by the distance of their states; of each sentence, the
    tree of the shortest distances is compared. Beside it is what two untrained models share.

    \b
    head -n 500 valid.en | seq2seq inspect agreement runs/seed-1 runs/seed-2
    seq2seq inspect agreement runs/conv runs/transformer -i valid.en --format json
    """
    texts = Pairs.parse(input_, None, Reading(encoding, delimiter, as_text))
    check_paths(texts.texts(), [])
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.probes.agreement import LEAST_WORDS
    from seq2seq_cli.evaluation.probes.agreement import agreement as agreement_of

    prepare(threads)
    lines = [line for line, _ in texts]
    console.note(
        f"comparing the states of {counted(len(lines), 'line')} in two models, then in two "
        "untrained ones"
    )
    report = agreement_of((run, other), lines)
    if report.left_out:
        left_out = counted(report.left_out, "line")
        console.warn(f"{texts.source.name}: {left_out} of fewer than {LEAST_WORDS} words left out")
    print(report.as_json() if output_format == "json" else report.as_text())
