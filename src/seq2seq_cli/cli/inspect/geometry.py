"""`seq2seq inspect geometry`: a page on which words move from layer to layer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import (
    FILES,
    BeamOption,
    InputOption,
    TargetOption,
    translation_settings,
)
from seq2seq_cli.cli.inspect.pairs import Pairs
from seq2seq_cli.cli.options import (
    AsTextOption,
    DelimiterOption,
    EncodingOption,
    RunArgument,
    SourceLanguageOption,
    TargetLanguageOption,
    ThreadsOption,
    warn_of_idle_options,
)
from seq2seq_cli.cli.paths import check_paths
from seq2seq_cli.config.effects.inspect import INSPECT_GEOMETRY
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import check_format
from seq2seq_cli.inputs import Reading
from seq2seq_cli.messages import counted


def trees_option(help: str) -> Any:
    """Make an option for a file of trees."""
    return typer.Option(metavar="FILE.conllu", help=help, rich_help_panel=FILES)


def geometry(
    context: typer.Context,
    run: RunArgument,
    page: Annotated[
        Path,
        typer.Option(metavar="FILE.html", help="The page to write.", rich_help_panel=FILES),
    ],
    input_: InputOption = "-",
    target: TargetOption = None,
    trees: Annotated[
        Path | None,
        trees_option(
            "Dependency trees of the source: the first is that of its first line with text."
        ),
    ] = None,
    target_trees: Annotated[
        Path | None,
        trees_option("The same of the translation that --target gives."),
    ] = None,
    beam: BeamOption = 5,
    target_language: TargetLanguageOption = "",
    source_language: SourceLanguageOption = "",
    threads: ThreadsOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Write a page on which words move from layer to layer, with their neighbours and trees.

    Words are drawn in the plane of the two principal components of each layer's hidden states; a
    word is the mean of its pieces. The page shows the nearest words by cosine, and loads nothing.

    \b
    head -n 50 test.en | seq2seq inspect geometry runs/en-de --page geometry.html
    seq2seq data demo demo --trees
    head -n 50 demo/test.en | seq2seq inspect geometry runs/demo \\
        --trees demo/test.en.conllu --page geometry.html
    """
    from seq2seq_cli.data.sources import parse_text

    check_format(page, (".html", ".htm"))
    if target_trees is not None and target is None:
        raise InputError("--target-trees is for a translation that is given; add --target FILE")
    texts = Pairs.parse(input_, target, Reading(encoding, delimiter, as_text))
    files = [parse_text(str(path), Reading(as_text=True)) for path in (trees, target_trees) if path]
    check_paths([*texts.texts(), *files], [page])
    pairs = texts.read()
    if not pairs:
        raise InputError(f"{texts.source.name} is empty: there is nothing to show")
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.conllu import trees_of_lines
    from seq2seq_cli.evaluation.geometry import geometry as geometry_of
    from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states
    from seq2seq_cli.evaluation.plots.files import save_geometry

    drawn = trees_of_lines(trees, [line for line, _ in pairs], texts.source.name)
    target_name = texts.target.name if texts.target else ""
    target_drawn = trees_of_lines(target_trees, [line or "" for _, line in pairs], target_name)
    prepare(threads)
    warn_of_idle_options(context, INSPECT_GEOMETRY)
    settings = translation_settings(beam, target_language, source_language)
    states = hidden_states(StateReader.load(run, settings), pairs)
    sides = geometry_of(states, drawn, target_drawn)
    save_geometry(sides, page, f"Geometry of {run.name}")
    words = sum(len(side.words) for side in sides)
    console.note(f"{page}: {counted(len(pairs), 'line')}, {counted(words, 'word')}")
