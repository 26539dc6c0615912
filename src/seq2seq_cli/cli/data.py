"""`seq2seq data`: corpora to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import write_lines

app = typer.Typer(help="Make corpora.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Make corpora."""


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory to write; made if missing.")
    ],
    pairs: Annotated[int, typer.Option(min=1, help="Sentence pairs to train on.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed draws other sentences.")] = 1,
    min_words: Annotated[int, typer.Option(min=0, help="Of an English sentence.")] = 0,
    max_words: Annotated[
        int | None, typer.Option(min=1, help="Of an English sentence.", show_default="no limit")
    ] = None,
) -> None:
    """Write train, valid and test .en/.de from an English-German grammar.

    Valid and test hold only sentences that train does not; part of test combines words and
    constructions that train never shows together.

    \b
    seq2seq data demo demo --pairs 20000 --seed 1
    seq2seq data demo long --min-words 20 --max-words 60
    """
    from seq2seq_cli.demo import generate

    try:
        splits = generate(pairs, seed, min_words=min_words, max_words=max_words)
    except ValueError as error:
        raise InputError(str(error)) from None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("train", "valid", "test"):
            chosen = getattr(splits, name)
            write_lines(directory / f"{name}.en", [english for english, _ in chosen])
            write_lines(directory / f"{name}.de", [german for _, german in chosen])
            console.note(f"{directory / name}.en, .de: {len(chosen):,} pairs")
    except OSError as error:
        raise InputError(f"{directory}: cannot be written: {error.strerror}") from None
