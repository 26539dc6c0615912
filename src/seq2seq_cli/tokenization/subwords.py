"""Subword regularisation: random segmentations of words into pieces of a vocabulary.

SentencePiece samples too, but its draws differ from process to process, whatever the seed.
"""

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Mapping
from functools import lru_cache

CACHED_WORDS = 1 << 16  # words whose segmentations are remembered

Segmentation = list[int] | None  # the ids of a word's pieces; None if no pieces make up the word


class WordSampler(ABC):
    """Segments words, each given with its mark of a word's start, at random."""

    @abstractmethod
    def sample(self, word: str, generator: random.Random) -> Segmentation:
        """Draw a segmentation of the word."""


class UnigramSampler(WordSampler):
    """Draws segmentations by the probabilities of their pieces to the power alpha (Kudo 2018).

    Forward filtering, backward sampling over all segmentations of a word.
    """

    def __init__(self, ids: Mapping[str, int], scores: Mapping[str, float], alpha: float) -> None:
        """Scores are the logarithms of the pieces' probabilities."""
        self._ids = ids
        self._weights = {piece: alpha * score for piece, score in scores.items()}
        self._longest = max(map(len, ids))
        self._last_pieces = lru_cache(CACHED_WORDS)(self._find_last_pieces)

    def sample(self, word: str, generator: random.Random) -> Segmentation:
        last_pieces = self._last_pieces(word)
        if last_pieces is None:
            return None
        drawn = []
        position = len(word)
        while position:
            cumulated, pieces = last_pieces[position]
            chosen = 0
            if len(pieces) > 1:
                draw = generator.random() * cumulated[-1]
                chosen = bisect(cumulated, draw, 0, len(pieces) - 1)
            position, number = pieces[chosen]
            drawn.append(number)
        return drawn[::-1]

    def _find_last_pieces(
        self, word: str
    ) -> list[tuple[list[float], list[tuple[int, int]]]] | None:
        """Find, for each position in a word, the pieces that may end there.

        For each position: the cumulated probabilities of these pieces, and the start and the id of
        each piece.
        """
        total = [0.0] + [-math.inf] * len(word)  # log-probability of the word up to each position
        ends: list[tuple[list[float], list[tuple[int, int]]]] = [([], [])]
        for stop in range(1, len(word) + 1):
            pieces, logs = [], []
            for start in range(max(0, stop - self._longest), stop):
                piece = word[start:stop]
                if piece in self._ids and total[start] > -math.inf:
                    pieces.append((start, self._ids[piece]))
                    logs.append(total[start] + self._weights[piece])
            cumulated: list[float] = []
            if logs:
                highest = max(logs)
                for each in logs:
                    before = cumulated[-1] if cumulated else 0.0
                    cumulated.append(before + math.exp(each - highest))
                total[stop] = highest + math.log(cumulated[-1])
            ends.append((cumulated, pieces))
        return ends if total[-1] > -math.inf else None


class MergeSampler(WordSampler):
    """BPE-dropout: byte-pair encoding that skips each possible merge with some probability.

    Provilkov et al. 2020, algorithm 1.
    """

    def __init__(self, ids: Mapping[str, int], scores: Mapping[str, float], dropout: float) -> None:
        """The higher the score of a piece, the earlier it is merged."""
        self._ids = ids
        self._scores = scores
        self._dropout = dropout

    def sample(self, word: str, generator: random.Random) -> Segmentation:
        pieces = list(word)
        if any(piece not in self._ids for piece in pieces):
            return None
        while True:
            merges = [
                (self._scores[merged], -position)
                for position in range(len(pieces) - 1)
                if (merged := pieces[position] + pieces[position + 1]) in self._scores
                and generator.random() >= self._dropout
            ]
            if not merges:
                return [self._ids[piece] for piece in pieces]
            position = -max(merges)[1]
            pieces[position : position + 2] = [pieces[position] + pieces[position + 1]]
