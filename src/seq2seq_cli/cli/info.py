"""`seq2seq info`: what a run folder holds."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def info(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `seq2seq train`.")],
    output_format: Annotated[
        Literal["text", "json"], typer.Option("--format", help="A table to read, or JSON.")
    ] = "text",
    length: Annotated[
        int, typer.Option(min=1, help="Tokens a side of the sentences that cost is counted for.")
    ] = 20,
) -> None:
    """Show a model's parameters, its size, and what a token costs.

    \b
    seq2seq info runs/en-de
    seq2seq info runs/en-de --format json
    """
    from seq2seq_cli.evaluation.model_info import ModelInfo

    shown = ModelInfo.of_run(run, length)
    print(shown.as_json() if output_format == "json" else shown.as_text())
