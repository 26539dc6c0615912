"""`seq2seq export`: writes a run in the format of another engine."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.pipe import check_new_folder


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `seq2seq train`.")],
    output: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    format_: Annotated[
        Literal["ctranslate2"], typer.Option("--format", help="The engine to export for.")
    ] = "ctranslate2",
    quantization: Annotated[
        str,
        typer.Option(help="Type of the exported weights, such as int8.", show_default="float32"),
    ] = "",
) -> None:
    """Write a run in the format of another engine: CTranslate2, for Transformers.

    \b
    seq2seq export runs/en-de models/en-de --format ctranslate2
    seq2seq export runs/en-de models/en-de-int8 --quantization int8
    """
    check_new_folder(output)
    from seq2seq_cli.interop.ctranslate2 import export_ctranslate2

    export_ctranslate2(run, output, quantization)
    console.note(f"{output}: a model for {format_}, with its tokenizers")
