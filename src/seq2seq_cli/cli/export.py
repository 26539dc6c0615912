"""`seq2seq export`: writes a run in the format of another engine."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.options import RunArgument
from seq2seq_cli.cli.paths import check_new_folder
from seq2seq_cli.cli.pipe import unwinding
from seq2seq_cli.runs.layout import check_run_folder


def export(
    run: RunArgument,
    output: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    format_: Annotated[
        Literal["ctranslate2", "huggingface", "marian", "firefox"],
        typer.Option("--format", help="The engine to export for."),
    ] = "ctranslate2",
    quantization: Annotated[
        str,
        typer.Option(
            help="Type of the exported weights, such as int8.", show_default="that of the format"
        ),
    ] = "",
) -> None:
    """Write a run in the format of CTranslate2, Hugging Face, Marian or Firefox.

    What `seq2seq import` reads of a format, this writes, where the format can hold it; a setting
    that it cannot hold is named. CTranslate2 holds most runs; one for all formats is trained with
    the settings that docs/import.md names.

    \b
    seq2seq export runs/en-de models/en-de --format ctranslate2
    seq2seq export runs/en-de models/en-de-int8 --quantization int8
    seq2seq export runs/en-de models/en-de-hf --format huggingface
    """
    check_new_folder(output)
    check_run_folder(run)
    from seq2seq_cli.interop.formats import export_run

    with unwinding():
        notes = export_run(run, output, format_, quantization)
    for sentence in notes:
        console.note(sentence)
    console.note(f"{output}: a model for {format_}, with its tokenizers")
