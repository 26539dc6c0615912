"""BLEU, chrF and TER as sacreBLEU computes them, each score with its signature.

Papineni et al. 2002 (BLEU), Popović 2015 and 2017 (chrF, chrF++), Snover et al. 2006 (TER),
Post 2018 (signatures), Koehn 2004 (bootstrap).
"""

import difflib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from seq2seq_cli.errors import InputError

METRICS = ("bleu", "chrf", "ter")
TOKENIZERS = tuple(BLEU.TOKENIZERS)

# sacreBLEU warns if this many lines end in " ."; in plain text not a single line does.
TOKENIZED_LINES = 100

COMPARISON_SAMPLES = 1000  # of the paired bootstrap, unless another number is asked for


@dataclass(frozen=True)
class ScoreOptions:
    """How to score; the defaults are sacreBLEU's own."""

    tokenize: str = "13a"  # BLEU's tokenizer, one of TOKENIZERS
    lowercase: bool = False  # BLEU and chrF ignore case; TER always does
    chrf_word_order: int = 0  # longest n-gram of words; 2 is chrF++
    bootstrap_samples: int = 0  # for the confidence interval; 0: no interval


@dataclass(frozen=True)
class Score:
    """One score of a whole text, with the signature that is needed to compute it again."""

    metric: str  # as sacreBLEU writes it: BLEU, chrF2, chrF2++, TER
    value: float  # 0 to 100; TER may exceed that, and lower is better
    signature: str
    details: str  # the rest of sacreBLEU's line: BLEU's precisions and lengths, otherwise empty
    mean: float | None = None  # over the bootstrap samples
    confidence: float | None = None  # half the width of the 95 % interval around the mean


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
) -> list[Score]:
    """Score one hypothesis a line against one or several references, each of as many lines.

    Returns one score for each of the metrics (names from METRICS), in their order. Raises
    InputError for unknown names, unequal line counts, no lines, or a tokenizer that is not
    installed.
    """
    check_lengths(hypotheses, references)
    options = options or ScoreOptions()
    return [
        _corpus_score(metric, hypotheses, references, options.bootstrap_samples)
        for metric in build_metrics(metrics, options)
    ]


@dataclass(frozen=True)
class Bucket:
    """The scores of lines of similar length."""

    least: int  # words; lines with `most` words are included
    most: int
    lines: int
    scores: list[Score]


def score_by_length(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    texts: Sequence[str],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions | None = None,
    width: int = 10,
) -> list[Bucket]:
    """Score lines in buckets by the words of the same line of `texts`: 1 to `width` and so on.

    Buckets without lines are left out; a line without words is in the first. Raises InputError as
    `score` does.
    """
    check_lengths(hypotheses, [*references, texts])
    rows: dict[int, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(max(0, len(text.split()) - 1) // width, []).append(row)
    return [
        Bucket(
            least=number * width + 1,
            most=(number + 1) * width,
            lines=len(chosen),
            scores=score(
                [hypotheses[row] for row in chosen],
                [[reference[row] for row in chosen] for reference in references],
                metrics,
                options,
            ),
        )
        for number, chosen in sorted(rows.items())
    ]


@dataclass(frozen=True)
class Comparison:
    """Two translations of one text, compared by one metric."""

    metric: str
    value: float
    other: float
    p_value: float  # probability of a difference this large by chance
    signature: str


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
    built = {str(number): m for number, m in enumerate(build_metrics(metrics, options))}
    test = PairedTest(
        [("hypothesis", hypotheses), ("other", others)],
        built,
        references,
        test_type="bs",
        n_samples=options.bootstrap_samples or COMPARISON_SAMPLES,
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
        )
        for name, (mine, other) in pairs.items()
    ]


def check_lengths(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    hypotheses_name: str = "hypotheses",
    reference_names: Sequence[str] = (),
) -> None:
    """Raise InputError, with the names, unless all texts have the same number of lines above 0."""
    if not references:
        raise InputError("no references given; scoring needs at least one")
    if not hypotheses:
        raise InputError(f"{hypotheses_name}: no lines; there is nothing to score")
    names = reference_names or [f"reference {number + 1}" for number in range(len(references))]
    for name, reference in zip(names, references, strict=True):
        if len(reference) != len(hypotheses):
            raise InputError(
                f"{hypotheses_name} has {_lines(len(hypotheses))}, {name} has "
                f"{_lines(len(reference))}; line n of one must translate line n of the other"
            )


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def looks_tokenized(hypotheses: Sequence[str]) -> bool:
    """Whether many lines end in ` .`: the text was not detokenized, which BLEU expects."""
    return sum(line.endswith(" .") for line in hypotheses) >= TOKENIZED_LINES


def build_metrics(names: Sequence[str], options: ScoreOptions) -> list[Metric]:
    """The metrics of these names, each once, ready to score any number of texts.

    Raises InputError for unknown names, options out of range, or a missing tokenizer.
    """
    _check_options(options)
    if not names:
        raise InputError(f"no metric given; allowed are {', '.join(METRICS)}")
    return [_build_metric(name, options) for name in dict.fromkeys(names)]


def _build_metric(name: str, options: ScoreOptions) -> Metric:
    if name == "bleu":
        return _build_bleu(options)
    if name == "chrf":
        return CHRF(word_order=options.chrf_word_order, lowercase=options.lowercase)
    if name == "ter":
        return TER()
    raise InputError(_unknown("metric", name, METRICS))


def _check_options(options: ScoreOptions) -> None:
    if options.tokenize not in TOKENIZERS:
        raise InputError(_unknown("tokenizer", options.tokenize, TOKENIZERS))
    if options.chrf_word_order < 0:
        raise InputError(
            f"chrF word order {options.chrf_word_order} is below 0; 0 is chrF, 2 is chrF++"
        )
    if options.bootstrap_samples < 0 or options.bootstrap_samples == 1:
        raise InputError(
            f"{options.bootstrap_samples} bootstrap samples do not make an interval; "
            "give 1000, or 0 for no interval"
        )


def _unknown(kind: str, given: str, allowed: Collection[str]) -> str:
    """The message for an unknown name."""
    close = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"unknown {kind} {given!r}; {guess}allowed are {', '.join(allowed)}"


def _build_bleu(options: ScoreOptions) -> Metric:
    try:
        # `force` only turns off a warning about tokenized text: see looks_tokenized.
        return BLEU(tokenize=options.tokenize, lowercase=options.lowercase, force=True)
    except (ImportError, RuntimeError, OSError, SystemExit) as error:
        # RuntimeError: MeCab is missing. SystemExit: the download ended in a failed handshake.
        raise InputError(
            f"the tokenizer {options.tokenize} is not available: {' '.join(str(error).split())} "
            "(ja-mecab and ko-mecab need extra packages; spm, flores and spBLEU need a model, "
            "which sacreBLEU downloads once into ~/.sacrebleu/models)"
        ) from None


def _corpus_score(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]], samples: int
) -> Score:
    result = metric.corpus_score(hypotheses, references, n_bootstrap=samples or 1)
    signature = str(metric.get_signature())
    report = json.loads(result.format(width=10, signature=signature, is_json=True))
    return Score(
        metric=result.name,
        value=float(result.score),
        signature=signature,
        details=report.get("verbose_score", ""),
        # sacreBLEU leaves both out if every sample scores 0.
        mean=report.get("confidence_mean", 0.0) if samples else None,
        confidence=report.get("confidence_var", 0.0) if samples else None,
    )
