"""The metrics of sacreBLEU, built from options; chrF does not depend on the order of references.

Papineni et al. 2002 (BLEU), Popović 2015 and 2017 (chrF, chrF++), Snover et al. 2006 (TER),
Post 2018 (signatures).
"""

import difflib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric, Signature
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
from sacrebleu.utils import SACREBLEU_DIR

from seq2seq_cli.errors import InputError
from seq2seq_cli.evaluation.comet import Comet, CometMetric
from seq2seq_cli.evaluation.writing import Kind, Writing

COMET_METRICS = ("comet", "comet-kiwi")  # by models, which also read the source
METRICS = ("bleu", "spbleu", "chrf", "chrf++", "ter", *COMET_METRICS)
TOKENIZERS = tuple(BLEU.TOKENIZERS)
USUAL_TOKENIZER = "13a"
WORD_TOKENIZERS = (USUAL_TOKENIZER, "intl", "none")  # they divide words by spaces
AUTO = "auto"  # a tokenizer by the script of the text: see tokenizer_for
SPBLEU_TOKENIZER = "flores200"  # subwords of 200 languages (NLLB team 2022)
CHRF_PLUS_WORD_ORDER = 2  # Popović 2017
BLEU_ORDER = 4  # words in the longest n-gram that BLEU counts

# The tokenizer of BLEU for each kind of text; the first one that is installed is taken.
TOKENIZERS_BY_KIND: dict[Kind, tuple[str, ...]] = {
    "chinese": ("zh",),
    "japanese": ("ja-mecab", "char"),
    "korean": ("ko-mecab", "13a"),
    "unspaced": ("char",),
    "spaced": ("13a",),
}

LOWER_IS_BETTER = ("TER",)  # of the names that scores have
MECAB_EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}  # extras of sacreBLEU's package

# sacreBLEU warns if this many lines end in " ."; in plain text not a single line does.
TOKENIZED_LINES = 100


@dataclass(frozen=True)
class ScoreOptions:
    """How to score; the defaults are sacreBLEU's own."""

    tokenize: str = USUAL_TOKENIZER  # BLEU's tokenizer, one of TOKENIZERS
    lowercase: bool = False  # BLEU and chrF ignore case; TER does unless ter_case_sensitive
    chrf_word_order: int = 0  # longest n-gram of words; 2 is chrF++
    bootstrap_samples: int = 0  # for the confidence interval; 0: no interval
    ter_normalized: bool = False  # TER splits punctuation from words
    ter_no_punct: bool = False  # TER ignores punctuation
    ter_asian: bool = False  # the two above for Chinese and Japanese characters too
    ter_case_sensitive: bool = False
    as_sacrebleu: bool = False  # the figures of the sacrebleu command also where they mislead
    models: Mapping[str, Comet] = field(default_factory=dict)  # for each of COMET_METRICS asked for
    source: Sequence[str] = ()  # what these models read beside the translation

    def of_rows(self, rows: Sequence[int]) -> "ScoreOptions":
        """The same for some of the lines."""
        return replace(self, source=[self.source[row] for row in rows]) if self.source else self


def tokenizer_for(lines: Iterable[str]) -> str:
    """The tokenizer of BLEU that suits the script of a text, of those that are installed."""
    *names, last = TOKENIZERS_BY_KIND[Writing.of(lines).kind]
    return next((name for name in names if _is_installed(name)), last)


def _is_installed(tokenizer: str) -> bool:
    try:
        _build_bleu(ScoreOptions(tokenize=tokenizer))
    except InputError:
        return False
    return True


def looks_tokenized(hypotheses: Sequence[str]) -> bool:
    """Whether many lines end in ` .`: the text was not detokenized, which BLEU expects."""
    return sum(line.endswith(" .") for line in hypotheses) >= TOKENIZED_LINES


def build_metrics(
    names: Sequence[str], options: ScoreOptions, *, single_lines: bool = False
) -> list[Metric]:
    """The metrics of these names, each once, ready to score a text, or its lines one by one.

    Raises InputError for unknown names, options out of range, or a missing tokenizer.
    """
    _check_options(options)
    if not names:
        raise InputError(f"no metric given; allowed are {', '.join(METRICS)}")
    return [_build_metric(name, options, single_lines) for name in dict.fromkeys(names)]


def check_metrics(names: Sequence[str], options: ScoreOptions) -> None:
    """Raise InputError for what `build_metrics` refuses, but for models that are not loaded yet."""
    others = [name for name in names if name not in COMET_METRICS]
    if others or not names:
        build_metrics(others, options)


def _build_metric(name: str, options: ScoreOptions, single_lines: bool) -> Metric:
    if name == "bleu":
        return _build_bleu(options, single_lines)
    if name == "spbleu":
        return _build_bleu(replace(options, tokenize=SPBLEU_TOKENIZER), single_lines, _SpBLEU)
    if name in ("chrf", "chrf++"):
        order = CHRF_PLUS_WORD_ORDER if name == "chrf++" else options.chrf_word_order
        chrf = _CHRF if options.as_sacrebleu else OrderFreeCHRF
        return chrf(word_order=order, lowercase=options.lowercase)
    if name == "ter":
        return _TER(
            normalized=options.ter_normalized,
            no_punct=options.ter_no_punct,
            asian_support=options.ter_asian,
            case_sensitive=options.ter_case_sensitive,
        )
    if name in COMET_METRICS:
        if name not in options.models:
            raise InputError(f"{name} needs a model: give --{name} with the folder of a checkpoint")
        return CometMetric(options.models[name], options.source)
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

    if options.ter_asian and not (options.ter_normalized or options.ter_no_punct):
        raise InputError(
            "--ter-asian alone changes nothing: with --ter-normalized TER counts Chinese "
            "characters as words, with --ter-no-punct it ignores Asian punctuation; give one too"
        )


def _unknown(kind: str, given: str, allowed: Collection[str]) -> str:
    """The message for an unknown name."""
    close = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"unknown {kind} {given!r}; {guess}allowed are {', '.join(allowed)}"


def _build_bleu(
    options: ScoreOptions, single_lines: bool = False, kind: type[BLEU] = BLEU
) -> Metric:
    try:
        with _silent_sacrebleu():
            return kind(
                tokenize=options.tokenize,
                lowercase=options.lowercase,
                # A line of three words has no 4-gram, and would always have 0.
                effective_order=single_lines,
                force=True,  # only turns off a warning about tokenized text: see looks_tokenized
            )
    except (ImportError, RuntimeError, OSError, SystemExit) as error:
        # RuntimeError: MeCab is missing. SystemExit: the download ended in a failed handshake.
        raise InputError(_not_available(options.tokenize, error)) from None


def _not_available(tokenizer: str, error: BaseException) -> str:
    """The message for a tokenizer whose package or model is missing."""
    reason = " ".join(str(error).split())
    if tokenizer in MECAB_EXTRAS:
        return (
            f"the tokenizer {tokenizer} needs an extra package: "
            f"pip install 'sacrebleu[{MECAB_EXTRAS[tokenizer]}]' ({reason})"
        )
    if tokenizer not in SPM_MODELS:
        return f"the tokenizer {tokenizer} is not available: {reason}"
    url = SPM_MODELS[tokenizer]["url"]
    path = Path(SACREBLEU_DIR, "models", url.rpartition("/")[2])
    if path.is_file():
        return (
            f"the tokenizer {tokenizer} cannot read its model {path}, as after a download that "
            f"broke off ({reason}); remove the file, and sacreBLEU downloads it again from {url}"
        )
    return (
        f"the tokenizer {tokenizer} needs a model that could not be downloaded ({reason}); on a "
        f"machine with a connection sacreBLEU does so once, or put the file {url} at {path}"
    )


@contextmanager
def _silent_sacrebleu() -> Iterator[None]:
    """Silence sacreBLEU's own lines about downloads and names, which messages here replace."""
    logger = logging.getLogger("sacrebleu")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class _SpBLEU(BLEU):  # type: ignore[misc, unused-ignore]
    """BLEU of subwords (Goyal et al. 2022), under a name of its own."""

    def _compute_score_from_stats(self, stats: Any) -> Any:
        result = super()._compute_score_from_stats(stats)
        result.name = "spBLEU"
        return result


class _OneTypeOfScore:
    """Scores of bootstrap samples all of one type.

    sacreBLEU mixes Python's float with float32 where a sample scores 0, and fails to average them.
    """

    def _compute_score_from_stats(self, stats: Any) -> Any:
        result = super()._compute_score_from_stats(stats)  # type: ignore[misc]
        if isinstance(stats, np.ndarray):
            result.score = stats.dtype.type(result.score)
        return result


class _TER(_OneTypeOfScore, TER):
    pass


class _CHRF(_OneTypeOfScore, CHRF):
    pass


class OrderFreeCHRF(_CHRF):
    """chrF that does not depend on the order in which several references are given.

    sacreBLEU adds up the counts of each line's best reference, and takes the first of equally good
    ones: where a line matches nothing, all of them are. Here equally good references count by the
    mean of their counts, and the signature then has `ties:mean`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tied_lines = 0  # of all texts scored so far

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[Any]:
        references = ref_kwargs["ref_ngrams"]
        if len(references) == 1:
            return super()._compute_segment_statistics(hypothesis, ref_kwargs)
        counts = [
            super(OrderFreeCHRF, self)._compute_segment_statistics(
                hypothesis, {"ref_ngrams": [one]}
            )
            for one in references
        ]
        scores = [self._compute_f_score(each) for each in counts]
        best = [each for each, figure in zip(counts, scores, strict=True) if figure == max(scores)]
        if all(each == best[0] for each in best):
            return best[0]
        self.tied_lines += 1
        return [sum(column) / len(best) for column in zip(*best, strict=True)]

    def get_signature(self) -> Signature:
        """The signature, with `ties:mean` if that made a difference."""
        signature: Signature = super().get_signature()
        if self.tied_lines:
            signature.update("ties", "mean")
        return signature
