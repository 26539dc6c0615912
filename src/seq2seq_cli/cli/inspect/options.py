"""Options that commands of `seq2seq inspect` share, and checks of their values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from seq2seq_cli.cli.options import CommandLineSearch
from seq2seq_cli.cli.paths import check_output
from seq2seq_cli.evaluation.plots.files import check_format
from seq2seq_cli.translation.settings import TranslationSettings

WHAT, FILES, SEARCH = "What to show", "Files", "Search"

InputOption = Annotated[
    str,
    typer.Option(
        "--input",
        "-i",
        metavar="FILE",
        help="Source text; FILE:COLUMN for a table.",
        rich_help_panel=FILES,
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Translation to use instead of the model's own, line by line.",
        rich_help_panel=FILES,
    ),
]
FormatOption = Annotated[
    Literal["text", "json"],
    typer.Option("--format", help="A table to read, or JSON.", rich_help_panel=WHAT),
]
BeamOption = Annotated[
    int,
    typer.Option(min=1, help="Width of the beam; 1 is greedy search.", rich_help_panel=SEARCH),
]


def output_option(help: str) -> Any:
    """Make the option --output of a command, whose help names the kinds of files it writes."""
    return typer.Option("--output", "-o", help=help, rich_help_panel=FILES)


def translation_settings(
    beam: int, target_language: str = "", source_language: str = ""
) -> TranslationSettings:
    """How translations are searched that are not given."""
    return TranslationSettings(
        search=CommandLineSearch(beam=beam),
        device="cpu",
        target_language=target_language,
        source_language=source_language,
    )


def check_drawing(output: Path | None, formats: Sequence[str]) -> None:
    """Raise InputError, before anything is computed, for a file that cannot be written."""
    if output is not None:
        check_format(output, formats)
        check_output(output)
