"""`seq2seq inspect`: see what a model looks at, and how it learned."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.pipe import check_output
from seq2seq_cli.cli.terminal_plots import curve_lines, heat_map, shows_colour
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import STDIN, display_name, read_lines, replace_file

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.inspection import AttentionMap

app = typer.Typer(no_args_is_help=True, help="See what a model looks at, and how it learned.")

WHAT, FILES, SEARCH, MACHINE = "What to show", "Files", "Search", "Machine"
MAP_FORMATS = (".png", ".svg", ".html", ".json")
CURVE_FORMATS = (".png", ".svg", ".html")
MOST_LINES = 1000  # in one file: a page holds all weights


@app.callback()
def inspect() -> None:
    """See what a model looks at, and how it learned."""


@app.command()
def attention(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `seq2seq train`.")],
    input_: Annotated[
        Path, typer.Option("--input", "-i", help="Source text.", rich_help_panel=FILES)
    ] = STDIN,
    target: Annotated[
        Path | None,
        typer.Option(
            help="Its translation, line by line, instead of the model's own.",
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
            min=1, help="Of the decoder.", show_default="mean of all", rich_help_panel=WHAT
        ),
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=1, show_default="mean of all", rich_help_panel=WHAT)
    ] = None,
    beam: Annotated[
        int, typer.Option(min=1, help="Hypotheses kept; 1 is greedy.", rich_help_panel=SEARCH)
    ] = 5,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Of CPU work.", show_default="all", rich_help_panel=MACHINE
        ),
    ] = None,
) -> None:
    """Show where a model looks in the source for each token it writes.

    A row is a target token, a column a source token. Pages and JSON hold all layers and heads.

    \b
    echo "A man rides a bicycle." | seq2seq inspect attention runs/en-de
    head -n 20 test.en | seq2seq inspect attention runs/en-de --output attention.html
    seq2seq inspect attention runs/en-de -i test.en --target test.de --layer 2 -o layer-2.png
    """
    _check_output(output, MAP_FORMATS)
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.inspection import attention_maps
    from seq2seq_cli.search import SearchOptions
    from seq2seq_cli.translation import TranslationSettings, Translator

    prepare(threads)
    settings = TranslationSettings(search=SearchOptions(beam=beam), device="cpu")
    translator = Translator.load(run, settings)
    lines = list(islice(read_lines(input_, console.warn), MOST_LINES + 1))
    if len(lines) > MOST_LINES:
        raise InputError(f"{display_name(input_)}: more than {MOST_LINES:,} lines; give fewer")
    targets = list(read_lines(target, console.warn)) if target is not None else None
    if targets is not None and len(targets) != len(lines):
        raise InputError(
            f"{display_name(input_)} has {len(lines):,} lines, {target} has {len(targets):,}: "
            "they belong together line by line"
        )
    maps = attention_maps(translator, lines, targets)
    if output is None:
        _print(maps, layer, head)
        return
    found = list(maps)
    if not found:
        raise InputError(f"{display_name(input_)} is empty: nothing to draw")
    _write(found, output, layer, head, f"Attention of {run.name}")


@app.command()
def curves(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Run folders; those of running ones too.")
    ],
    over: Annotated[
        Literal["updates", "tokens", "minutes"],
        typer.Option(help="What to draw over; tokens are of the target.", rich_help_panel=WHAT),
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
    """Show how training went: loss, perplexity, BLEU, chrF and learning rate of one or more runs.

    \b
    seq2seq inspect curves runs/en-de
    seq2seq inspect curves runs/rnn runs/transformer --over minutes --output curves.png
    """
    _check_output(output, CURVE_FORMATS)
    from seq2seq_cli.evaluation import inspection

    found = [curve for run in runs for curve in inspection.curves(run, over)]
    if output is None:
        for line in curve_lines(found, over):
            print(line)
        return
    from seq2seq_cli.evaluation.plots import figures

    drawing = figures.curve_figure(found, over)
    if output.suffix == ".html":
        title = f"Training of {', '.join(run.name for run in runs)}"
        replace_file(output, figures.as_page(drawing, title).encode())
    else:
        figures.save(drawing, output)
    console.note(f"{output}: {len(runs)} run{'s' if len(runs) > 1 else ''}")


def _check_output(output: Path | None, formats: Sequence[str]) -> None:
    """Raise InputError, before anything is computed, for a file that cannot be written."""
    if output is None:
        return
    if output.suffix not in formats:
        raise InputError(f"{output}: a name that ends in {', '.join(formats)} is wanted")
    check_output(output)


def _print(maps: "Iterable[AttentionMap]", layer: int | None, head: int | None) -> None:
    colour = shows_colour()
    for one in maps:
        rows = one.chosen(layer, head).tolist()
        for line in heat_map(one.source, one.target, rows, colour=colour):
            print(line)
        print(flush=True)


def _write(
    maps: "Sequence[AttentionMap]", path: Path, layer: int | None, head: int | None, title: str
) -> None:
    from seq2seq_cli.evaluation.plots import figures, page

    maps[0].chosen(layer, head)  # refuses what is not there
    if path.suffix == ".html":
        replace_file(path, page.attention_page(maps, title).encode())
    elif path.suffix == ".json":
        text = json.dumps(page.attention_data(maps), ensure_ascii=False)
        replace_file(path, text.encode())
    else:
        figures.save(figures.attention_figure(maps, layer, head), path)
    console.note(f"{path}: {len(maps):,} sentence{'s' if len(maps) > 1 else ''}")
