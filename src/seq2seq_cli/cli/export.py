"""`seq2seq export`: a run in the format of another engine."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `seq2seq train`.")],
    output: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    format_: Annotated[
        Literal["ctranslate2"], typer.Option("--format", help="The engine to export for.")
    ] = "ctranslate2",
    quantization: Annotated[
        str, typer.Option(help="Type of the weights there, such as int8.", show_default="float32")
    ] = "",
) -> None:
    """Write a run in the format of another engine: CTranslate2 serves Transformers.

    \b
    seq2seq export runs/en-de models/en-de --format ctranslate2
    seq2seq export runs/en-de models/en-de-int8 --quantization int8
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists already; name a new folder")
    above = next(folder for folder in output.absolute().parents if folder.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise InputError(f"{output} cannot be made: {above} is no writable directory")
    from seq2seq_cli.exporting import export_ctranslate2

    export_ctranslate2(run, output, quantization)
    console.note(f"{output} is a model for {format_}, with its tokenizers")
