"""Whether the difference between two translations can be chance (Koehn 2004)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Metric
from sacrebleu.significance import PairedTest, Result

from seq2seq_cli.evaluation.metrics import ScoreOptions, build_metrics
from seq2seq_cli.evaluation.references import References, check_lengths, given_references
from seq2seq_cli.evaluation.scoring import difference_notes, sacrebleu_lines, signed

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
    rows = _sampled_rows(len(hypotheses), samples)
    return [_comparison(metric, hypotheses, others, given, rows, same) for metric in built]


def _seed() -> int | None:
    """The seed of sacreBLEU's samples."""
    seed = os.environ.get("SACREBLEU_SEED", "12345")
    return None if seed.lower() == "none" else int(seed) or None


def _sampled_rows(lines: int, samples: int) -> npt.NDArray[np.int64]:
    """The lines (samples, lines) of each sample, the same that the sacrebleu command draws."""
    return np.random.default_rng(_seed()).choice(lines, size=(samples, lines), replace=True)


def _comparison(
    metric: Metric,
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: References,
    rows: npt.NDArray[np.int64],
    same_lines: int,
) -> Comparison:
    """Compare by one metric; samples that differ as much as the whole text count as chance."""
    lines = sacrebleu_lines(references)
    counts = [
        np.array(metric._extract_corpus_statistics(text, lines), dtype=np.float64)
        for text in (hypotheses, others)
    ]
    mine, other = (metric._compute_score_from_stats(each.sum(0).tolist()) for each in counts)
    differences = np.array([_difference(metric, counts, sample) for sample in rows])
    centred = differences - differences.mean()
    observed = abs(mine.score - other.score)
    as_large = int((centred >= observed - EQUAL).sum())
    larger = int((centred > observed + EQUAL).sum())
    ties = as_large != larger
    changes = {"seed": str(_seed()).lower(), "bs": len(rows)} | ({"p": "ties"} if ties else {})
    return Comparison(
        mine.name,
        float(mine.score),
        float(other.score),
        (as_large + 1) / (len(rows) + 1),
        signed(metric, references, **changes),
        same_lines,
        len(hypotheses),
        difference_notes(metric, references) + ((TIES_NOTE,) if ties else ()),
    )


def _difference(
    metric: Metric, counts: Sequence[npt.NDArray[Any]], sample: npt.NDArray[np.int64]
) -> float:
    """How far the scores of two translations are apart on the lines of a sample."""
    mine, other = (
        metric._compute_score_from_stats(each[sample].sum(0).tolist()).score for each in counts
    )
    return abs(float(mine) - float(other))


def _sacrebleu_comparisons(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: References,
    metrics: Sequence[Metric],
    samples: int,
    same_lines: int,
) -> list[Comparison]:
    """What `sacrebleu --paired-bs` reports."""
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
            name,
            float(mine.score),
            float(other.score),
            float(other.p_value or 0),
            str(signatures[name]),
            same_lines,
            len(hypotheses),
        )
        for name, (mine, other) in pairs.items()
    ]
