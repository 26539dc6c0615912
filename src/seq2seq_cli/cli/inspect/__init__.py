"""`seq2seq inspect`: attention and hidden states of a model, and the course of its training."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
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
from seq2seq_cli.cli.pipe import check_output, check_paths, unwinding
from seq2seq_cli.cli.terminal_plots import curve_lines, heat_map, shows_colour
from seq2seq_cli.config.effects import (
    INSPECT_ATTENTION,
    INSPECT_GEOMETRY,
    INSPECT_PROBE,
    INSPECT_STATES,
)
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import (
    CURVE_FORMATS,
    LENGTH_FORMATS,
    MAP_FORMATS,
    STATES_FORMATS,
    check_format,
    save_attention,
    save_curves,
    save_tree,
)
from seq2seq_cli.text import Reading, check_input, check_line_counts, counted

if TYPE_CHECKING:
    from seq2seq_cli.data.sources import Source
    from seq2seq_cli.evaluation.attention_maps import AttentionMap

app = typer.Typer(
    cls=Group,
    help="Show attention and hidden states of a model, or the course of its training.",
    no_args_is_help=True,
)

WHAT, FILES, SEARCH, MACHINE = "What to show", "Files", "Search", "Machine"
MOST_LINES = 1000  # of input: a page holds the weights of all of them

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
BeamOption = Annotated[
    int,
    typer.Option(min=1, help="Width of the beam; 1 is greedy search.", rich_help_panel=SEARCH),
]
TargetLanguageOption = Annotated[
    str,
    typer.Option(
        help="Language of the target, for runs with several, as for `seq2seq translate`.",
        show_default=False,
        rich_help_panel=SEARCH,
    ),
]
SourceLanguageOption = Annotated[
    str,
    typer.Option(
        metavar="CODE",
        help="Language of the source, for runs in which each side has a tag of its own.",
        show_default=False,
        rich_help_panel=SEARCH,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="Threads for CPU work.",
        show_default="all",
        rich_help_panel=MACHINE,
    ),
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run folder, trained or imported.")
]


@app.callback()
def inspect() -> None:
    """Show attention and hidden states of a model, or the course of its training."""


@app.command(cls=Command)
def attention(
    context: typer.Context,
    run: RunArgument,
    input_: InputOption = "-",
    target: TargetOption = None,
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
    beam: BeamOption = 5,
    threads: ThreadsOption = None,
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
def states(
    context: typer.Context,
    run: RunArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="FILE.npz, .parquet or .safetensors.",
            rich_help_panel=FILES,
        ),
    ],
    input_: InputOption = "-",
    target: TargetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A layer or an attention to write, as source/layer-1 or cross/attention; again "
            "for others.",
            show_default="all",
            rich_help_panel=WHAT,
        ),
    ] = None,
    beam: BeamOption = 5,
    target_language: TargetLanguageOption = "",
    source_language: SourceLanguageOption = "",
    threads: ThreadsOption = None,
    encoding: EncodingOption = "",
    delimiter: DelimiterOption = "",
    as_text: AsTextOption = False,
) -> None:
    """Write the hidden states of every layer and the attention of every head, of both sides.

    The file has arrays by name, and pieces, words and line numbers; docs/architectures.md says
    which. Translations are searched unless they are given.

    \b
    seq2seq inspect states runs/en-de -o states.npz < test.en
    seq2seq inspect states runs/en-de -i test.en --target test.de \\
        --only source/layer-2 --only cross/attention -o states.safetensors
    """
    from seq2seq_cli.data.sources import parse_text

    check_format(output, STATES_FORMATS)
    reading = Reading(encoding, delimiter, as_text)
    source = parse_text(input_, reading)
    given = None if target is None else parse_text(target, reading)
    check_paths([source] if given is None else [source, given], [output])
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states
    from seq2seq_cli.evaluation.states_file import check_names, save_states
    from seq2seq_cli.translation import TranslationSettings

    prepare(threads)
    settings = TranslationSettings(
        search=CommandLineSearch(beam=beam),
        device="cpu",
        target_language=target_language,
        source_language=source_language,
    )
    warn_of_idle_options(context, INSPECT_STATES)
    reader = StateReader.load(run, settings)
    check_names(only or (), reader.names())
    pairs = _pairs(source, given)
    first = next(pairs, None)
    if first is None:
        raise InputError(f"{source.name} is empty: there are no states to write")
    with unwinding():
        lines, size = save_states(hidden_states(reader, chain([first], pairs)), output, only or ())
    console.note(f"{output}: {counted(lines, 'line')}, {size / 1e6:,.1f} MB")


@app.command(cls=Command)
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
        typer.Option(
            metavar="FILE.conllu",
            help="Dependency trees of the source: the first is that of its first line with text.",
            rich_help_panel=FILES,
        ),
    ] = None,
    target_trees: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.conllu",
            help="The same of the translation that --target gives.",
            rich_help_panel=FILES,
        ),
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
    reading = Reading(encoding, delimiter, as_text)
    source = parse_text(input_, reading)
    given = None if target is None else parse_text(target, reading)
    files = [parse_text(str(path), Reading(as_text=True)) for path in (trees, target_trees) if path]
    check_paths([source, *([given] if given else []), *files], [page])
    pairs = list(islice(_pairs(source, given), MOST_LINES + 1))
    if len(pairs) > MOST_LINES:
        raise InputError(f"{source.name}: more than {MOST_LINES:,} lines; give fewer")
    if not pairs:
        raise InputError(f"{source.name} is empty: there is nothing to show")
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.conllu import trees_of_lines
    from seq2seq_cli.evaluation.geometry import geometry as geometry_of
    from seq2seq_cli.evaluation.hidden_states import StateReader, hidden_states
    from seq2seq_cli.evaluation.plots.files import save_geometry
    from seq2seq_cli.translation import TranslationSettings

    drawn = trees_of_lines(trees, [line for line, _ in pairs], source.name)
    target_name = given.name if given else ""
    target_drawn = trees_of_lines(target_trees, [line or "" for _, line in pairs], target_name)
    prepare(threads)
    settings = TranslationSettings(
        search=CommandLineSearch(beam=beam),
        device="cpu",
        target_language=target_language,
        source_language=source_language,
    )
    warn_of_idle_options(context, INSPECT_GEOMETRY)
    states = hidden_states(StateReader.load(run, settings), pairs)
    sides = geometry_of(states, drawn, target_drawn)
    save_geometry(sides, page, f"Geometry of {run.name}")
    words = sum(len(side.words) for side in sides)
    console.note(f"{page}: {counted(len(pairs), 'line')}, {counted(words, 'word')}")


def _pairs(source: "Source", given: "Source | None") -> Iterator[tuple[str, str | None]]:
    """Yield lines with the translations given for them, as they are read.

    Raises InputError when one text ends before the other.
    """
    if given is None:
        for line in source.lines(console.warn):
            yield line, None
        return
    lines, targets = source.lines(console.warn), given.lines(console.warn)
    for number, (line, target) in enumerate(zip_longest(lines, targets)):
        if line is None or target is None:
            more = 1 + sum(1 for _ in chain(lines, targets))
            counts = (number, number + more) if line is None else (number + more, number)
            check_line_counts(source.name, counts[0], given.name, counts[1])
        yield line, target


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


@app.command(cls=Command)
def probe(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, trained or imported.")],
    trees: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Dependency trees of source sentences, in CoNLL-U.",
            rich_help_panel=FILES,
        ),
    ],
    sentences: Annotated[
        int,
        typer.Option(min=1, help="Sentences used, from the first on.", rich_help_panel=WHAT),
    ] = 2000,
    rank: Annotated[
        int,
        typer.Option(
            min=1,
            max=4096,
            help="Dimensions of the space in which trees are sought.",
            rich_help_panel=WHAT,
        ),
    ] = 32,
    output_format: Annotated[
        Literal["text", "json"],
        typer.Option("--format", help="A table to read, or JSON.", rich_help_panel=WHAT),
    ] = "text",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="FILE.png or .svg: also draw a held-out sentence's tree and its states.",
            rich_help_panel=FILES,
        ),
    ] = None,
    sentence: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Which held-out sentence --output draws.",
            show_default="the first of 6 to 12 words",
            rich_help_panel=WHAT,
        ),
    ] = None,
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
) -> None:
    """Show what each layer of the encoder knows of syntax and of the senses of words.

    Probes are trained on three quarters of the sentences and measured on the others. Beside them is
    what an untrained model, a random map and the order of words reach.

    \b
    seq2seq data demo demo --trees
    seq2seq inspect probe runs/en-de --trees demo/test.en.conllu
    seq2seq inspect probe runs/en-de --trees demo/train.en.conllu -o tree.png
    """
    _check_output(output, LENGTH_FORMATS)
    check_input(trees)
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.hidden_states import StateReader
    from seq2seq_cli.evaluation.probes.report import chosen_sentence, compare, sample, untrained
    from seq2seq_cli.evaluation.probes.treebank import read_trees

    prepare(threads)
    warn_of_idle_options(context, INSPECT_PROBE)
    read = read_trees(trees, console.warn)[:sentences]
    reader = StateReader.load(run)
    trained = sample(reader, read)
    shown = chosen_sentence(trained, sentence)
    report = compare(trained, sample(untrained(reader, run), read), str(run), len(read), rank)
    if report.left_out:
        console.warn(
            f"{trees}: {counted(report.left_out, 'sentence')} left out: of one word, or of tokens "
            "that the tokenizer changes"
        )
    print(report.as_json() if output_format == "json" else report.as_text())
    if output is not None:
        save_tree(shown, report, output, warn=console.warn)
        console.note(f"{output}: {shown.tree.text}")


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
