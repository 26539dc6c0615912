"""`seq2seq info`: the size and cost of the model in a run folder."""

from typing import Annotated, Literal

import typer

from seq2seq_cli.cli.options import RunArgument


def info(
    run: RunArgument,
    output_format: Annotated[
        Literal["text", "json"], typer.Option("--format", help="A table to read, or JSON.")
    ] = "text",
    length: Annotated[
        int,
        typer.Option(
            min=1,
            help="Length in tokens, on each side, of the sentences that the cost is computed for.",
        ),
    ] = 20,
) -> None:
    """Show the parameters of a model and the cost of a token.

    \b
    seq2seq info runs/en-de
    seq2seq info runs/en-de --format json
    """
    from seq2seq_cli.evaluation.model_info import ModelInfo

    shown = ModelInfo.of_run(run, length)
    print(shown.as_json() if output_format == "json" else shown.as_text())
