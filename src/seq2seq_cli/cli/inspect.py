"""`seq2seq inspect`: shows the attention of a model and the course of its training."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.commands import Command, Group
from seq2seq_cli.cli.options import (
    AsTextOption,
    CommandLineSearch,
    DelimiterOption,
    EncodingOption,
    warn_of_idle_options,
)
from seq2seq_cli.cli.pipe import check_output, check_paths
from seq2seq_cli.cli.terminal_plots import curve_lines, heat_map, shows_colour
from seq2seq_cli.config.effects import INSPECT_ATTENTION
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import (
    CURVE_FORMATS,
    MAP_FORMATS,
    check_format,
    save_attention,
    save_curves,
)
from seq2seq_cli.text import Reading, check_line_counts, counted

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.attention_maps import AttentionMap

app = typer.Typer(
    cls=Group,
    help="Show the attention of a model, or the course of its training.",
    no_args_is_help=True,
)

WHAT, FILES, SEARCH, MACHINE = "What to show", "Files", "Search", "Machine"
MOST_LINES = 1000  # of input: a page holds the weights of all of them


@app.callback()
def inspect() -> None:
    """Show the attention of a model, or the course of its training."""


@app.command(cls=Command)
def attention(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, trained or imported.")],
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="Source text; FILE:COLUMN for a table.",
            rich_help_panel=FILES,
        ),
    ] = "-",
    target: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Translation to use instead of the model's own, line by line.",
            rich_help_panel=FILES,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="FILE.png, .svg, .html or .json, instead of the terminal.",
            rich_help_panel=FILES,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Layer of the decoder, from 1.",
            show_default="mean of all, or those of model.alignment_layer and _head",
            rich_help_panel=WHAT,
        ),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Attention head, from 1.",
            show_default="mean of all, or those of model.alignment_layer and _head",
            rich_help_panel=WHAT,
        ),
    ] = None,
    beam: Annotated[
        int,
        typer.Option(min=1, help="Width of the beam; 1 is greedy search.", rich_help_panel=SEARCH),
    ] = 5,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Threads for CPU work.",
            show_default="all",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Show how much each token of a translation attends to each source token.

    Each row is a target token, each column a source token. HTML and JSON have all layers and heads.

    \b
    echo "A man rides a bicycle." | seq2seq inspect attention runs/en-de
    head -n 20 test.en | seq2seq inspect attention runs/en-de -o attention.html
    seq2seq inspect attention runs/en-de -i test.en --target test.de \\
        --layer 2 --output layer-2.png
    """
    from seq2seq_cli.data.sources import parse_text

    _check_output(output, MAP_FORMATS)
    reading = Reading(encoding, delimiter, as_text)
    source = parse_text(input_, reading)
    given = None if target is None else parse_text(target, reading)
    check_paths([source] if given is None else [source, given], [])
    lines = list(islice(source.lines(console.warn), MOST_LINES + 1))
    if len(lines) > MOST_LINES:
        raise InputError(f"{source.name}: more than {MOST_LINES:,} lines; give fewer")
    targets = None
    if given is not None:
        targets = list(given.lines(console.warn))
        check_line_counts(source.name, len(lines), given.name, len(targets))
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.attention_maps import attention_maps
    from seq2seq_cli.translation import TranslationSettings, Translator

    prepare(threads)
    settings = TranslationSettings(search=CommandLineSearch(beam=beam), device="cpu")
    warn_of_idle_options(context, INSPECT_ATTENTION)
    maps = attention_maps(Translator.load(run, settings), lines, targets)
    if output is None:
        _print_maps(maps, layer, head)
        return
    drawn = list(maps)
    if not drawn:
        raise InputError(f"{source.name} is empty: nothing to draw")
    save_attention(drawn, output, f"Attention of {run.name}", layer, head, warn=console.warn)
    console.note(f"{output}: {counted(len(drawn), 'sentence')}")


@app.command(cls=Command)
def curves(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders, also of trainings in progress."),
    ],
    over: Annotated[
        Literal["updates", "tokens", "minutes"],
        typer.Option(help="The x axis; tokens are target tokens.", rich_help_panel=WHAT),
    ] = "updates",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="FILE.png, .svg or .html, instead of the terminal.",
            rich_help_panel=FILES,
        ),
    ] = None,
) -> None:
    """Show the course of training: loss, perplexity, BLEU, chrF and learning rate of runs.

    \b
    seq2seq inspect curves runs/en-de
    seq2seq inspect curves runs/rnn runs/transformer --over minutes -o curves.png
    """
    _check_output(output, CURVE_FORMATS)
    from seq2seq_cli.evaluation.curves import curves as curves_of_run

    drawn = [curve for run in runs for curve in curves_of_run(run, over)]
    if output is None:
        for line in curve_lines(drawn, over):
            print(line)
        return
    title = f"Training of {', '.join(run.name for run in runs)}"
    save_curves(drawn, over, output, title, warn=console.warn)
    console.note(f"{output}: {counted(len(runs), 'run')}")


def _check_output(output: Path | None, formats: Sequence[str]) -> None:
    """Raise InputError, before anything is computed, for a file that cannot be written."""
    if output is not None:
        check_format(output, formats)
        check_output(output)


def _print_maps(maps: "Iterable[AttentionMap]", layer: int | None, head: int | None) -> None:
    """Print maps as they are computed."""
    colour = shows_colour()
    for drawn in maps:
        rows = drawn.mean(layer, head).tolist()
        for line in heat_map(drawn.source, drawn.target, rows, colour=colour):
            print(line)
        print(flush=True)
