"""What `seq2seq score` reports of a translation: scores, a comparison, scores by length."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from seq2seq_cli.evaluation.scoring import (
    TOKENIZED_LINES,
    Bucket,
    Comparison,
    Score,
    ScoreOptions,
    check_lengths,
    compare,
    looks_tokenized,
    score,
    score_by_length,
)
from seq2seq_cli.text import Warn, ignore_warning


@dataclass(frozen=True)
class Text:
    """Lines, and the name that messages and tables have for them."""

    name: str
    lines: Sequence[str]


@dataclass(frozen=True)
class ScoredTexts:
    """A translation and the texts that it is scored with, all of as many lines."""

    hypothesis: Text
    references: Sequence[Text]
    other: Text | None = None  # another translation, to compare with
    source: Text | None = None  # whose words are counted for scores by length


@dataclass
class ScoreReport:
    """Scores of a translation, with a comparison and scores by length if they were asked for."""

    scores: list[Score]
    comparisons: list[Comparison] = field(default_factory=list)
    by_length: dict[str, list[Bucket]] = field(default_factory=dict)  # of each translation

    def as_text(self) -> str:
        """A line for each score and each comparison, then a table for each translation."""
        lines = list(_score_lines(self.scores))
        for comparison in self.comparisons:
            difference = comparison.other - comparison.value
            lines.append(
                f"{comparison.metric} {comparison.value:.2f}, the other {comparison.other:.2f} "
                f"({difference:+.2f}), p = {comparison.p_value:.4f}  {comparison.signature}"
            )
        for name, buckets in self.by_length.items():
            lines += ["", f"{name}, by length in words:", *_bucket_lines(buckets)]
        return "\n".join(lines)

    def as_json(self) -> str:
        """A list of scores; with a comparison or buckets, an object that holds all of them."""
        scores = [asdict(figure) for figure in self.scores]
        record: object = scores
        if self.comparisons or self.by_length:
            record = {
                "scores": scores,
                "comparisons": [asdict(comparison) for comparison in self.comparisons],
                "by_length": {
                    name: [asdict(bucket) for bucket in buckets]
                    for name, buckets in self.by_length.items()
                },
            }
        return json.dumps(record, ensure_ascii=False, indent=2)


def score_report(
    texts: ScoredTexts,
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
    bucket_width: int | None = None,
    warn: Warn = ignore_warning,
) -> ScoreReport:
    """Score a translation, and compare it with another one if there is one.

    With `bucket_width`, a number of words, also score lines of similar length by themselves, by
    the words of the source or else of the first reference. Warns of a translation that looks
    tokenized. Raises InputError as `score` does.
    """
    options = options or ScoreOptions()
    hypothesis, references = texts.hypothesis, [text.lines for text in texts.references]
    rest = [text for text in (*texts.references, texts.other, texts.source) if text is not None]
    check_lengths(
        hypothesis.lines,
        [text.lines for text in rest],
        hypothesis.name,
        [text.name for text in rest],
    )
    if "bleu" in metrics and options.tokenize != "none" and looks_tokenized(hypothesis.lines):
        warn(
            f"{hypothesis.name}: {TOKENIZED_LINES} lines or more end in ' .'; the text looks "
            "tokenized, and BLEU is meant for plain text"
        )
    report = ScoreReport(score(hypothesis.lines, references, metrics, options))
    if texts.other is not None:
        other = texts.other.lines
        report.comparisons = compare(hypothesis.lines, other, references, metrics, options)
    if bucket_width is not None:
        counted = texts.source or texts.references[0]
        report.by_length = {
            text.name: score_by_length(
                text.lines, references, counted.lines, metrics, options, bucket_width
            )
            for text in (hypothesis, texts.other)
            if text is not None
        }
    return report


def _score_lines(scores: Sequence[Score]) -> Iterator[str]:
    """Name and value, the details if there are any, the signature."""
    for figure in scores:
        columns = [f"{figure.metric} {_figure(figure)}", figure.details, figure.signature]
        yield "  ".join(column for column in columns if column)


def _figure(score: Score) -> str:
    interval = "" if score.confidence is None else f" ± {score.confidence:.2f}"
    return f"{score.value:.2f}{interval}"


def _bucket_lines(buckets: Sequence[Bucket]) -> Iterator[str]:
    """A table: words, lines, and a column for each metric."""
    rows = [["words", "lines", *(figure.metric for figure in buckets[0].scores)]]
    for bucket in buckets:
        figures = [_figure(figure) for figure in bucket.scores]
        rows.append([f"{bucket.least}-{bucket.most}", f"{bucket.lines:,}", *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
