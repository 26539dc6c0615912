"""`seq2seq score`: BLEU, chrF and TER of a translation."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import STDIN, display_name, read_lines

if TYPE_CHECKING:
    from seq2seq_cli.evaluation.scoring import Bucket, Comparison, Score

FILES = "Files"
METRICS = "Metrics"
LENGTH = "By length"
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
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=FILES,
            help="Another translation; tells whether the difference can be chance.",
        ),
    ] = None,
    by_length: Annotated[
        bool,
        typer.Option(
            "--by-length",
            rich_help_panel=LENGTH,
            help="Also score lines of similar length by themselves.",
        ),
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=LENGTH,
            help="Source text, whose words count.",
            show_default="the first reference's count",
        ),
    ] = None,
    bucket: Annotated[
        int, typer.Option(min=1, metavar="WORDS", rich_help_panel=LENGTH, help="Width of a bucket.")
    ] = 10,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=LENGTH, help="Draw it too, as FILE.png or FILE.svg."
        ),
    ] = None,
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
    seq2seq score -r one.de --hypothesis out.de --compare other.de
    seq2seq score -r one.de --hypothesis out.de --by-length --source one.en --plot lengths.png
    """
    from seq2seq_cli.evaluation import scoring

    names = [name.strip().lower() for name in metrics.split(",") if name.strip()]
    options = scoring.ScoreOptions(tokenize, lowercase, chrf_word_order, confidence)
    scoring.build_metrics(names, options)  # a wrong name shows before a slow pipe is read
    files = [hypothesis, *reference, *(path for path in (compare, source) if path is not None)]
    if files.count(STDIN) > 1:
        raise InputError("standard input can be read once: give all but one of the texts as files")
    if (source is not None or plot is not None) and not by_length:
        raise InputError("--source and --plot belong to --by-length; give that too")
    if plot is not None and plot.suffix not in (".png", ".svg"):
        raise InputError(f"{plot}: a name that ends in .png or .svg is wanted")

    texts = {path: list(read_lines(path, console.warn)) for path in files}
    hypotheses, references = texts[hypothesis], [texts[path] for path in reference]
    names_given = [display_name(path) for path in files[1:]]
    others = [texts[path] for path in files[1:]]
    scoring.check_lengths(hypotheses, others, display_name(hypothesis), names_given)
    if "bleu" in names and tokenize != "none" and scoring.looks_tokenized(hypotheses):
        console.warn(
            f"{display_name(hypothesis)}: {scoring.TOKENIZED_LINES} lines or more end in ' .'; "
            "the text looks tokenized, and BLEU is meant for plain text"
        )
    report = _Report(scoring.score(hypotheses, references, names, options))
    if compare is not None:
        report.comparisons = scoring.compare(hypotheses, texts[compare], references, names, options)
    if by_length:
        counted = texts[source] if source is not None else references[0]
        systems = [hypothesis] if compare is None else [hypothesis, compare]
        report.by_length = {
            display_name(path): scoring.score_by_length(
                texts[path], references, counted, names, options, bucket
            )
            for path in systems
        }
    print(report.as_json() if output_format == "json" else report.as_text())
    if plot is not None:
        from seq2seq_cli.evaluation.plots import figures

        figures.save(figures.length_figure(report.by_length), plot)
        console.note(f"{plot}: {report.scores[0].metric} by length")


@dataclass
class _Report:
    """All that was asked for."""

    scores: "list[Score]"
    comparisons: "list[Comparison]" = field(default_factory=list)
    by_length: "dict[str, list[Bucket]]" = field(default_factory=dict)

    def as_text(self) -> str:
        """One line a score, a comparison, and a bucket."""
        lines = list(_score_lines(self.scores))
        for one in self.comparisons:
            lines.append(
                f"{one.metric} {one.value:.2f}, the other {one.other:.2f} "
                f"({one.other - one.value:+.2f}), p = {one.p_value:.4f}  {one.signature}"
            )
        for name, buckets in self.by_length.items():
            lines += ["", f"{name}, by length in words:", *_bucket_lines(buckets)]
        return "\n".join(lines)

    def as_json(self) -> str:
        """A list of scores; with comparisons or buckets an object that holds all of them."""
        scores = [asdict(one) for one in self.scores]
        record: object = scores
        if self.comparisons or self.by_length:
            record = {
                "scores": scores,
                "comparisons": [asdict(one) for one in self.comparisons],
                "by_length": {
                    name: [asdict(bucket) for bucket in buckets]
                    for name, buckets in self.by_length.items()
                },
            }
        return json.dumps(record, ensure_ascii=False, indent=2)


def _score_lines(scores: "Sequence[Score]") -> Iterator[str]:
    """Name and number, the details if there are any, the signature."""
    for one in scores:
        columns = [f"{one.metric} {_figure(one)}", one.details, one.signature]
        yield "  ".join(column for column in columns if column)


def _figure(one: "Score") -> str:
    interval = "" if one.confidence is None else f" ± {one.confidence:.2f}"
    return f"{one.value:.2f}{interval}"


def _bucket_lines(buckets: "Sequence[Bucket]") -> Iterator[str]:
    """A table: words, lines, and a column for each metric."""
    rows = [["words", "lines", *(one.metric for one in buckets[0].scores)]]
    for bucket in buckets:
        figures = [_figure(one) for one in bucket.scores]
        rows.append([f"{bucket.least}-{bucket.most}", f"{bucket.lines:,}", *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
