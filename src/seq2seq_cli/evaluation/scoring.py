"""BLEU, chrF and TER as sacreBLEU computes them, each score with its signature.

Figures are those of the sacrebleu command, except where these depend on the order of references or
reward what is missing (see `references` and `metrics`): the signature and `notes` then say so.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sacrebleu.metrics.base import Metric

from seq2seq_cli.evaluation.metrics import OrderFreeCHRF, ScoreOptions, build_metrics
from seq2seq_cli.evaluation.references import References, check_lengths, given_references
from seq2seq_cli.evaluation.writing import Writing, length_in_characters, length_in_words
from seq2seq_cli.messages import counted

Unit = Literal["words", "characters"]


@dataclass(frozen=True)
class Score:
    """One score of a whole text, with the signature that is needed to compute it again."""

    metric: str  # as sacreBLEU writes it: BLEU, chrF2, chrF2++, TER
    value: float  # 0 to 100; TER may exceed that, and lower is better
    signature: str
    details: str  # the rest of sacreBLEU's line: BLEU's precisions and lengths, otherwise empty
    mean: float | None = None  # over the bootstrap samples
    confidence: float | None = None  # half the width of the 95 % interval around the mean
    notes: tuple[str, ...] = ()  # why this differs from the sacrebleu command


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
) -> list[Score]:
    """Score one hypothesis a line against one or several references, each of as many lines.

    A blank line in a reference means that none is given, if another reference has one. Returns one
    score for each of the metrics (names from METRICS), in their order. Raises InputError for
    unknown names, unequal line counts, no lines, a line without any reference, or a tokenizer that
    is not installed.
    """
    check_lengths(hypotheses, references)
    options = options or ScoreOptions()
    built = build_metrics(metrics, options)
    given = given_references([hypotheses], references, as_sacrebleu=options.as_sacrebleu)
    return [_corpus_score(metric, hypotheses, given, options.bootstrap_samples) for metric in built]


def _corpus_score(
    metric: Metric, hypotheses: Sequence[str], references: References, samples: int
) -> Score:
    result = metric.corpus_score(hypotheses, sacrebleu_lines(references), n_bootstrap=samples or 1)
    signature = signed(metric, references)
    report = json.loads(result.format(width=10, signature=signature, is_json=True))
    return Score(
        metric=result.name,
        value=float(result.score),
        signature=signature,
        details=report.get("verbose_score", ""),
        # sacreBLEU leaves both out if every sample scores 0.
        mean=report.get("confidence_mean", 0.0) if samples else None,
        confidence=report.get("confidence_var", 0.0) if samples else None,
        notes=difference_notes(metric, references),
    )


def sacrebleu_lines(references: References) -> Any:
    """References for sacreBLEU, whose annotations lack the None that its documentation allows."""
    return references.lines


def signed(metric: Metric, references: References, **changes: object) -> str:
    """The signature of a metric that has scored, with `blank:none` if blank lines were left out."""
    signature = metric.get_signature()
    for key, value in changes.items():
        signature.update(key, value)
    if references.blanks:
        signature.update("blank", "none")
    return str(signature)


def difference_notes(metric: Metric, references: References) -> tuple[str, ...]:
    """Why the score of a metric differs from the sacrebleu command; empty if it does not."""
    notes = []
    if references.blanks:
        notes.append(
            f"{counted(references.blanks, 'line')} of the references blank, taken as not given, "
            "where the sacrebleu command compares with an empty reference"
        )
    if isinstance(metric, OrderFreeCHRF) and metric.tied_lines:
        notes.append(
            f"for {counted(metric.tied_lines, 'line')} several references are equally good, "
            "of which the sacrebleu command's chrF takes the first given, here the mean"
        )
    return tuple(notes)


@dataclass(frozen=True)
class LineScores:
    """The scores of single lines by one metric."""

    metric: str
    signature: str
    values: list[float | None]  # None for a line that is blank in all texts


def score_lines(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
) -> list[LineScores]:
    """Score each line by itself; BLEU counts n-grams only as long as the line.

    Raises InputError as `score` does.
    """
    check_lengths(hypotheses, references)
    options = options or ScoreOptions()
    built = build_metrics(metrics, options, single_lines=True)
    given = given_references([hypotheses], references, as_sacrebleu=options.as_sacrebleu)
    return [_line_scores(metric, hypotheses, given) for metric in built]


def _line_scores(metric: Metric, hypotheses: Sequence[str], references: References) -> LineScores:
    counts = metric._extract_corpus_statistics(hypotheses, sacrebleu_lines(references))
    results = [metric._compute_score_from_stats(each) for each in counts]
    is_blank = [
        not any(line and line.strip() for line in lines)
        for lines in zip(hypotheses, *references.lines, strict=True)
    ]
    values = [
        None if blank else float(result.score)
        for result, blank in zip(results, is_blank, strict=True)
    ]
    return LineScores(results[0].name, signed(metric, references), values)


@dataclass(frozen=True)
class Bucket:
    """The scores of lines of similar length."""

    least: int  # words or characters; lines with `most` of them are included
    most: int
    lines: int
    scores: list[Score]
    unit: Unit = "words"


def length_unit(texts: Sequence[str]) -> Unit:
    """The unit of lengths of a text: characters if spaces do not divide its words."""
    return "words" if Writing.of(texts).is_spaced else "characters"


def score_by_length(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    texts: Sequence[str],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
    width: int = 10,
) -> list[Bucket]:
    """Score lines in buckets by the length of the same line of `texts`: 1 to `width` and so on.

    Lengths are words, or characters if spaces do not divide the words of `texts`. Buckets without
    lines are left out; a blank line is in the first. Raises InputError as `score` does.
    """
    check_lengths(hypotheses, [*references, texts])
    unit = length_unit(texts)
    length = length_in_words if unit == "words" else length_in_characters
    rows: dict[int, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(max(0, length(text) - 1) // width, []).append(row)
    return [
        Bucket(
            least=number * width + 1,
            most=(number + 1) * width,
            lines=len(chosen),
            scores=score(
                [hypotheses[row] for row in chosen],
                [[reference[row] for row in chosen] for reference in references],
                metrics,
                options and options.of_rows(chosen),
            ),
            unit=unit,
        )
        for number, chosen in sorted(rows.items())
    ]
