"""`seq2seq data`: make corpora."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.commands import Command, Group
from seq2seq_cli.messages import counted

app = typer.Typer(cls=Group, help="Make corpora.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Make corpora."""


@app.command(cls=Command)
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory to write to; made if it is missing.")
    ],
    pairs: Annotated[int, typer.Option(min=1, help="Sentence pairs to train on.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed draws other sentences.")] = 1,
    min_words: Annotated[int, typer.Option(min=0, help="Fewest words of an English sentence.")] = 0,
    max_words: Annotated[
        int | None,
        typer.Option(min=1, help="Most words of an English sentence.", show_default="no limit"),
    ] = None,
    trees: Annotated[
        bool,
        typer.Option(
            "--trees",
            help="Also write dependency trees (.en.conllu, .de.conllu) and word alignments "
            "(.align).",
        ),
    ] = False,
) -> None:
    """Write train, valid and test .en/.de from an English-German grammar.

    Valid and test contain only sentences that train does not; part of test combines words and
    constructions that train never shows together.

    \b
    seq2seq data demo demo --pairs 20000 --seed 1
    seq2seq data demo long --min-words 20 --max-words 60
    seq2seq data demo parsed --trees
    """
    from seq2seq_cli.demo import write_corpus

    written = write_corpus(
        directory,
        pairs=pairs,
        seed=seed,
        min_words=min_words,
        max_words=max_words,
        with_trees=trees,
    )
    names = ".en, .de, .en.conllu, .de.conllu, .align" if trees else ".en, .de"
    for name, count in written.items():
        console.note(f"{directory / name}{names}: {counted(count, 'pair')}")
