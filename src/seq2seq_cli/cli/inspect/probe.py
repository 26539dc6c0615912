"""`seq2seq inspect probe`: what each layer knows of syntax and of the senses of words."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.cli.inspect.options import FILES, WHAT, check_drawing
from seq2seq_cli.cli.options import RunArgument, ThreadsOption, warn_of_idle_options
from seq2seq_cli.config.effects import INSPECT_PROBE
from seq2seq_cli.evaluation.plots.files import LENGTH_FORMATS, save_tree
from seq2seq_cli.text import check_input, counted


def probe(
    context: typer.Context,
    run: RunArgument,
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
    threads: ThreadsOption = None,
) -> None:
    """Show what each layer of the encoder knows of syntax and of the senses of words.

    Probes are trained on three quarters of the sentences and measured on the others. Beside them is
    what an untrained model, a random map and the order of words reach.

    \b
    seq2seq data demo demo --trees
    seq2seq inspect probe runs/en-de --trees demo/test.en.conllu
    seq2seq inspect probe runs/en-de --trees demo/train.en.conllu -o tree.png
    """
    check_drawing(output, LENGTH_FORMATS)
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
