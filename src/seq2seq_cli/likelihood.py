"""How likely models find given translations."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.batching import pad, split_by_tokens
from seq2seq_cli.devices import autocast
from seq2seq_cli.symbols import BOS, EOS
from seq2seq_cli.translator import Translator

WINDOW_PAIRS = 1024  # sorted by length among each other


@dataclass(frozen=True)
class Likelihood:
    """Of one pair; logarithms are natural."""

    pieces: tuple[str, ...]  # of the target, EOS the last
    token_scores: tuple[float, ...]  # the log-probability of each

    @property
    def log_probability(self) -> float:
        return sum(self.token_scores)


def likelihoods(
    translator: Translator, sources: Sequence[str], targets: Sequence[str]
) -> Iterator[Likelihood]:
    """The likelihood of each target given the source beside it, in their order."""
    for start in range(0, len(sources), WINDOW_PAIRS):
        part = slice(start, start + WINDOW_PAIRS)
        yield from _window(translator, sources[part], targets[part])


def _window(
    translator: Translator, sources: Sequence[str], targets: Sequence[str]
) -> list[Likelihood]:
    predictor, tokenizers = translator.predictor, translator.tokenizers
    source = [[*ids, EOS] for ids in tokenizers.source.encode(sources)]
    target = [[*ids, EOS] for ids in tokenizers.target.encode(targets)]
    lengths = np.array([max(len(s), len(t)) for s, t in zip(source, target, strict=True)])
    order = np.argsort(-lengths, kind="stable")
    found: dict[int, Likelihood] = {}
    for part in split_by_tokens(lengths[order], translator.batch_tokens):
        rows = order[part].tolist()
        given = pad([source[row] for row in rows]).to(predictor.device)
        wanted = pad([[BOS, *target[row]] for row in rows]).to(predictor.device)
        with autocast(predictor.device, translator.precision):
            scores = predictor.token_scores(given, wanted).tolist()
        for row, each in zip(rows, scores, strict=True):
            pieces = tuple(tokenizers.target.named(target[row]))
            found[row] = Likelihood(pieces, tuple(each[: len(pieces)]))
    return [found[row] for row in range(len(sources))]


def perplexity(log_probability: float, tokens: int) -> float:
    """e to the mean negative log-probability; infinite where that is too great a number."""
    try:
        return math.exp(-log_probability / tokens)
    except OverflowError:
        return math.inf
