"""Whether the difference between two translations can be chance (Koehn 2004, Holm 1979)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest, Result

from seq2seq_cli.evaluation.metrics import ScoreOptions, build_metrics
from seq2seq_cli.evaluation.references import References, check_lengths, given_references
from seq2seq_cli.evaluation.scoring import difference_notes, sacrebleu_lines, signed
from seq2seq_cli.messages import counted

FEW_LINES = 30  # of a text or a group, below which its scores say little
COMPARISON_SAMPLES = 1000  # of the paired bootstrap, unless another number is asked for
EQUAL = 1e-9  # difference of two scores that are the same up to rounding

TIES_NOTE = (
    "the sacrebleu command counts only samples that differ by more than was seen, so that outputs "
    "of equal score pass for different; here those that differ as much count too"
)


@dataclass(frozen=True)
class Comparison:
    """Two translations of one text, compared by one metric."""

    metric: str
    value: float
    other: float
    p_value: float  # probability of a difference this large by chance
    signature: str
    same_lines: int  # lines in which both translations are the same
    lines: int
    notes: tuple[str, ...] = ()  # why this differs from the sacrebleu command

    @property
    def are_identical(self) -> bool:
        """Whether both translations are the same text."""
        return self.same_lines == self.lines


def compare(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
) -> list[Comparison]:
    """Compare two translations by paired bootstrap resampling (Koehn 2004).

    Raises InputError as `score` does.
    """
    check_lengths(hypotheses, [*references, others])
    options = options or ScoreOptions()
    built = build_metrics(metrics, options)
    given = given_references([hypotheses, others], references, as_sacrebleu=options.as_sacrebleu)
    samples = options.bootstrap_samples or COMPARISON_SAMPLES
    same = sum(one == other for one, other in zip(hypotheses, others, strict=True))
    if options.as_sacrebleu:
        return _sacrebleu_comparisons(hypotheses, others, given, built, samples, same)
    rows = sampled_rows(len(hypotheses), samples, seed())
    return [_comparison(metric, hypotheses, others, given, rows, same) for metric in built]


def seed() -> int | None:
    """The seed of sacreBLEU's samples."""
    given = os.environ.get("SACREBLEU_SEED", "12345")
    return None if given.lower() == "none" else int(given) or None


def sampled_rows(lines: int, samples: int, seed: int | None) -> npt.NDArray[np.int64]:
    """The lines (samples, lines) of each sample, the same that the sacrebleu command draws."""
    return np.random.default_rng(seed).choice(lines, size=(samples, lines), replace=True)


@dataclass(frozen=True)
class SampledScores:
    """The score of a text, and those of its bootstrap samples (samples,)."""

    metric: str
    value: float
    samples: npt.NDArray[np.float64]

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval, by percentiles of the samples."""
        low, high = np.percentile(self.samples, [2.5, 97.5])
        return float(low), float(high)


def sample_scores(
    metric: Metric,
    hypotheses: Sequence[str],
    references: References,
    rows: npt.NDArray[np.int64],
) -> SampledScores:
    """Score a text, and the samples of its lines."""
    extracted = metric._extract_corpus_statistics(hypotheses, sacrebleu_lines(references))
    counts = np.array(extracted, dtype=np.float64)
    whole = metric._compute_score_from_stats(counts.sum(0).tolist())
    samples = [
        float(metric._compute_score_from_stats(counts[sample].sum(0).tolist()).score)
        for sample in rows
    ]
    return SampledScores(whole.name, float(whole.score), np.array(samples))


@dataclass(frozen=True)
class Chance:
    """The probability of a difference as large as the one that was seen, if there is none."""

    p_value: float
    ties: bool  # samples that differ exactly as much were counted


def sacrebleu_chance(one: SampledScores, other: SampledScores) -> Chance:
    """Compare by the same samples of both, as sacreBLEU does; ties count too.

    It centres differences without a sign, which is a test of one side: of two systems that are
    equally good, it finds one in ten pairs different at p < 0.05.
    """
    differences = np.abs(one.samples - other.samples)
    centred = differences - differences.mean()
    observed = abs(one.value - other.value)
    as_large = int((centred >= observed - EQUAL).sum())
    larger = int((centred > observed + EQUAL).sum())
    return Chance((as_large + 1) / (len(differences) + 1), as_large != larger)


def two_sided_chance(one: SampledScores, other: SampledScores) -> float:
    """The probability of a difference as large, to either side, if systems are equally good.

    The differences of the same samples of both, centred, are those that chance makes.
    """
    differences = one.samples - other.samples
    centred = np.abs(differences - differences.mean())
    as_large = int((centred >= abs(one.value - other.value) - EQUAL).sum())
    return (as_large + 1) / (len(differences) + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of them (Holm 1979), however they depend on each other.

    Comparisons whose corrected value is below 0.05 hold all together with 95 % confidence.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def few_lines_note(lines: int) -> str:
    """What to say of a text that resampling its lines says little about; else nothing."""
    if lines >= FEW_LINES:
        return ""
    return f"{counted(lines, 'line')}: too few for intervals and p, which hardly vary then"


def _comparison(
    metric: Metric,
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: References,
    rows: npt.NDArray[np.int64],
    same_lines: int,
) -> Comparison:
    """Compare by one metric."""
    mine, other = (sample_scores(metric, text, references, rows) for text in (hypotheses, others))
    found = sacrebleu_chance(mine, other)
    changes = sample_changes(len(rows), seed()) | ({"p": "ties"} if found.ties else {})
    return Comparison(
        metric=mine.metric,
        value=mine.value,
        other=other.value,
        p_value=found.p_value,
        signature=signed(metric, references, **changes),
        same_lines=same_lines,
        lines=len(hypotheses),
        notes=difference_notes(metric, references) + ((TIES_NOTE,) if found.ties else ()),
    )


def sample_changes(samples: int, seed: int | None) -> dict[str, object]:
    """The entries of a signature about bootstrap samples."""
    return {"seed": str(seed).lower(), "bs": samples}


def _sacrebleu_comparisons(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: References,
    metrics: Sequence[Metric],
    samples: int,
    same_lines: int,
) -> list[Comparison]:
    """Compare as `sacrebleu --paired-bs` does."""
    test = PairedTest(
        [("hypothesis", hypotheses), ("other", others)],
        {str(number): metric for number, metric in enumerate(metrics)},
        sacrebleu_lines(references),
        test_type="bs",
        n_samples=samples,
    )
    signatures, results = test()
    del results["System"]  # names, not scores
    pairs = cast(dict[str, list[Result]], results)
    return [
        Comparison(
            metric=name,
            value=float(mine.score),
            other=float(other.score),
            p_value=float(other.p_value or 0),
            signature=str(signatures[name]),
            same_lines=same_lines,
            lines=len(hypotheses),
        )
        for name, (mine, other) in pairs.items()
    ]
