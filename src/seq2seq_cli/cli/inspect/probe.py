"""`seq2seq inspect probe`: what each layer knows of syntax and of the senses of words."""

from pathlib import Path
from typing import Annotated

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import FILES, WHAT, FormatOption, check_drawing, output_option
from seq2seq_cli.cli.options import RunArgument, ThreadsOption, warn_of_idle_options
from seq2seq_cli.config.effects.inspect import INSPECT_PROBE
from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.plots.files import LENGTH_FORMATS, save_tree
from seq2seq_cli.inputs import Reading, check_input
from seq2seq_cli.messages import counted


def probe(
    context: typer.Context,
    run: RunArgument,
    trees: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Dependency trees of source sentences, in CoNLL-U; with --source, of their "
            "translations.",
            rich_help_panel=FILES,
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Source text of the trees' sentences: probes the decoder in place of the encoder.",
            rich_help_panel=FILES,
        ),
    ] = None,
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
    output_format: FormatOption = "text",
    output: Annotated[
        Path | None,
        output_option("FILE.png or .svg: also draw a held-out sentence's tree and its states."),
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
    threads: ThreadsOption = None,
) -> None:
    """Show what each layer knows of syntax and of the senses of words.

    Probes are trained on three quarters of the sentences and measured on the others. Beside them is
    what an untrained model, a random map and the order of words reach.

    \b
    seq2seq data demo demo --trees
    seq2seq inspect probe runs/en-de --trees demo/test.en.conllu
    seq2seq inspect probe runs/en-de --trees demo/train.en.conllu -o tree.png
    seq2seq inspect probe runs/en-de \\
        --trees demo/train.de.conllu --source demo/train.en
    """
    check_drawing(output, LENGTH_FORMATS)
    check_input(trees)
    from seq2seq_cli.devices import prepare
    from seq2seq_cli.evaluation.hidden_states import StateReader
    from seq2seq_cli.evaluation.probes.report import chosen_sentence, compare, sample, untrained
    from seq2seq_cli.evaluation.probes.treebank import read_trees

    prepare(threads)
    warn_of_idle_options(context, INSPECT_PROBE)
    read = read_trees(trees, console.warn)
    sources = None if source is None else _source_lines(source, trees, len(read))
    read = read[:sentences]
    reader = StateReader.load(run)
    console.note(
        f"{run}: reading the states of {counted(len(read), 'sentence')}, then training probes of "
        "each layer, and of an untrained model's"
    )
    trained = sample(reader, read, sources)
    shown = chosen_sentence(trained, sentence)
    fresh = sample(untrained(reader, run), read, sources)
    report = compare(trained, fresh, str(run), len(read), rank)
    if report.left_out:
        console.warn(
            f"{trees}: {counted(report.left_out, 'sentence')} left out: of one word, or of tokens "
            "that the tokenizer changes"
        )
    print(report.as_json() if output_format == "json" else report.as_text())
    if output is not None:
        save_tree(shown, report, output, warn=console.warn)
        console.note(f"{output}: {shown.tree.text}")


def _source_lines(source: str, trees: Path, count: int) -> list[str]:
    """The lines with text; raises InputError unless there is one for each tree."""
    from seq2seq_cli.data.sources import parse_text

    text = parse_text(source, Reading())
    lines = [line for line in text.lines(console.warn) if line.strip()]
    if len(lines) != count:
        raise InputError(
            f"{text.name} has {counted(len(lines), 'line')} with text and {trees} "
            f"{counted(count, 'tree')}; give the text whose translations the trees are of"
        )
    return lines
