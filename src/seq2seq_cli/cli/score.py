"""`seq2seq score`: BLEU, chrF and TER of a translation."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import STDIN, display_name, read_lines

if TYPE_CHECKING:
    from seq2seq_cli.scoring import Score

FILES = "Files"
METRICS = "Metrics"
OUTPUT = "Output"


def score(
    reference: Annotated[
        list[Path],
        typer.Option(
            "--reference",
            "-r",
            metavar="FILE",
            rich_help_panel=FILES,
            help="What the translation should be. Give it again for further references.",
        ),
    ],
    hypothesis: Annotated[
        Path,
        typer.Option(
            metavar="FILE", rich_help_panel=FILES, help="The translation; - is standard input."
        ),
    ] = STDIN,
    metrics: Annotated[
        str,
        typer.Option(
            metavar="NAME,…", rich_help_panel=METRICS, help="Which of bleu, chrf and ter."
        ),
    ] = "bleu,chrf",
    tokenize: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=METRICS,
            help="BLEU's tokenizer: 13a, intl, char, zh, none, or another one of sacreBLEU's.",
        ),
    ] = "13a",
    lowercase: Annotated[
        bool,
        typer.Option(
            "--lowercase",
            rich_help_panel=METRICS,
            help="Ignore case in BLEU and chrF; TER always does.",
        ),
    ] = False,
    chrf_word_order: Annotated[
        int,
        typer.Option(
            metavar="WORDS", rich_help_panel=METRICS, help="0 is chrF; 2 makes chrF++ of it."
        ),
    ] = 0,
    confidence: Annotated[
        int,
        typer.Option(
            metavar="SAMPLES",
            rich_help_panel=METRICS,
            help="Add the 95 % interval, from this many bootstrap samples; 1000 is usual, 0 none.",
        ),
    ] = 0,
    output_format: Annotated[
        Literal["text", "json"],
        typer.Option("--format", rich_help_panel=OUTPUT, help="Lines to read, or a JSON list."),
    ] = "text",
) -> None:
    """Score a translation, line by line, against one or several references.

    The figures are sacreBLEU's, each with the signature that tells how to get it.

    Give plain text: sacreBLEU tokenizes by itself.

    \b
    seq2seq translate runs/demo < valid.en | seq2seq score --reference valid.de
    seq2seq score -r one.de -r other.de --hypothesis out.de --metrics bleu,ter
    seq2seq score -r one.de --hypothesis out.de --confidence 1000 --format json
    """
    from seq2seq_cli import scoring

    names = [name.strip().lower() for name in metrics.split(",") if name.strip()]
    options = scoring.ScoreOptions(tokenize, lowercase, chrf_word_order, confidence)
    scoring.build_metrics(names, options)  # a wrong name shows before a slow pipe is read
    if [hypothesis, *reference].count(STDIN) > 1:
        raise InputError("standard input can be read once: give all but one of the texts as files")

    references = [list(read_lines(path, console.warn)) for path in reference]
    hypotheses = list(read_lines(hypothesis, console.warn))
    reference_names = [display_name(path) for path in reference]
    scoring.check_lengths(hypotheses, references, display_name(hypothesis), reference_names)
    if "bleu" in names and tokenize != "none" and scoring.looks_tokenized(hypotheses):
        console.warn(
            f"{display_name(hypothesis)}: {scoring.TOKENIZED_LINES} lines or more end in ' .'; "
            "the text looks tokenized, and BLEU is meant for plain text"
        )
    scores = scoring.score(hypotheses, references, names, options)
    print(_as_json(scores) if output_format == "json" else _as_text(scores))


def _as_text(scores: Sequence["Score"]) -> str:
    """One line a score: name and number, the details if there are any, the signature."""
    lines = []
    for one in scores:
        interval = "" if one.confidence is None else f" ± {one.confidence:.2f}"
        columns = [f"{one.metric} {one.value:.2f}{interval}", one.details, one.signature]
        lines.append("  ".join(column for column in columns if column))
    return "\n".join(lines)


def _as_json(scores: Sequence["Score"]) -> str:
    return json.dumps([asdict(one) for one in scores], ensure_ascii=False, indent=2)
