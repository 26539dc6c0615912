"""The report of `seq2seq score` on a translation: scores, a comparison, scores by length."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from seq2seq_cli.evaluation.advice import advice
from seq2seq_cli.evaluation.comparison import Comparison, compare, few_lines_note
from seq2seq_cli.evaluation.metrics import ScoreOptions
from seq2seq_cli.evaluation.references import Text, check_lengths, first_given
from seq2seq_cli.evaluation.scoring import (
    Bucket,
    LineScores,
    Score,
    score,
    score_by_length,
    score_lines,
)
from seq2seq_cli.messages import Warn, counted, ignore_warning


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
    sentences: dict[str, list[LineScores]] = field(default_factory=dict)  # of each translation

    def as_text(self) -> str:
        """A line for each score and each comparison, then a table for each translation."""
        lines = list(_score_lines(self.scores))
        lines += map(_comparison_line, self.comparisons)
        for name, buckets in self.by_length.items():
            lines += ["", f"{name}, by length in {buckets[0].unit}:", *_bucket_lines(buckets)]
        return "\n".join(lines)

    def as_sentences(self) -> str:
        """A line for each line: its scores by each metric, divided by tabs, then the other's.

        `nan` stands for the score of a line that is blank in all texts.
        """
        columns = [each.values for scores in self.sentences.values() for each in scores]
        return "\n".join(
            "\t".join("nan" if value is None else f"{value:.2f}" for value in row)
            for row in zip(*columns, strict=True)
        )

    def as_json(self) -> str:
        """A list of scores; with a comparison or buckets, an object that holds all of them."""
        scores = [asdict(figure) for figure in self.scores]
        record: object = scores
        if self.comparisons or self.by_length or self.sentences:
            record = {
                "scores": scores,
                "comparisons": [asdict(comparison) for comparison in self.comparisons],
                "by_length": {
                    name: [asdict(bucket) for bucket in buckets]
                    for name, buckets in self.by_length.items()
                },
                "sentences": {
                    name: [asdict(each) for each in scores]
                    for name, scores in self.sentences.items()
                },
            }
        return json.dumps(record, ensure_ascii=False, indent=2)


def score_report(
    texts: ScoredTexts,
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
    bucket_width: int | None = None,
    warn: Warn = ignore_warning,
    *,
    sentences: bool = False,
) -> ScoreReport:
    """Score a translation, and compare it with another one if there is one.

    With `bucket_width`, a number of words or characters, also score lines of similar length by
    themselves, by the length of the source or else of the first reference; with `sentences`, each
    line. Warns of figures that say little, and says where they differ from the sacrebleu command.
    Raises InputError as `score` does.
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
    systems = [text for text in (hypothesis, texts.other) if text is not None]
    report = ScoreReport(score(hypothesis.lines, references, metrics, options))
    if texts.other is not None:
        other = texts.other.lines
        report.comparisons = compare(hypothesis.lines, other, references, metrics, options)
    if bucket_width is not None:
        measured = texts.source.lines if texts.source else first_given(references)
        report.by_length = {
            text.name: score_by_length(
                text.lines, references, measured, metrics, options, bucket_width
            )
            for text in systems
        }
    if sentences:
        report.sentences = {
            text.name: score_lines(text.lines, references, metrics, options) for text in systems
        }
    for each in advice([hypothesis], texts.references, metrics, options):
        warn(each)
    if report.comparisons and (few := few_lines_note(len(hypothesis.lines))):
        warn(few)
    for difference in _differences(report):
        warn(difference)
    return report


def _differences(report: ScoreReport) -> Iterator[str]:
    """Why figures differ from the sacrebleu command: each reason once, with its figures."""
    figures: dict[str, list[str]] = {}
    found = [(each.metric, each.notes) for each in report.scores]
    found += [(f"p of {each.metric}", each.notes) for each in report.comparisons]
    for name, notes in found:
        for note in notes:
            figures.setdefault(note, []).append(name)
    for note, names in figures.items():
        yield f"{', '.join(dict.fromkeys(names))}: {note} (its figure: --as-sacrebleu)"


def _comparison_line(comparison: Comparison) -> str:
    """Both figures, the probability of their difference, what is the same, the signature."""
    difference = comparison.other - comparison.value
    if comparison.are_identical:
        same = ", the outputs are identical"
    elif comparison.same_lines:
        same = f", {comparison.same_lines:,} of {counted(comparison.lines, 'line')} are the same"
    else:
        same = ""
    return (
        f"{comparison.metric} {comparison.value:.2f}, the other {comparison.other:.2f} "
        f"({difference:+.2f}), p = {comparison.p_value:.4f}{same}  {comparison.signature}"
    )


def _score_lines(scores: Sequence[Score]) -> Iterator[str]:
    """Name and value, the details if there are any, the signature."""
    for figure in scores:
        columns = [f"{figure.metric} {_figure(figure)}", figure.details, figure.signature]
        yield "  ".join(column for column in columns if column)


def _figure(score: Score) -> str:
    interval = "" if score.confidence is None else f" ± {score.confidence:.2f}"
    return f"{score.value:.2f}{interval}"


def _bucket_lines(buckets: Sequence[Bucket]) -> Iterator[str]:
    """A table: lengths, lines, and a column for each metric."""
    rows = [[buckets[0].unit, "lines", *(figure.metric for figure in buckets[0].scores)]]
    for bucket in buckets:
        figures = [_figure(figure) for figure in bucket.scores]
        rows.append([f"{bucket.least}-{bucket.most}", f"{bucket.lines:,}", *figures])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
