"""Other cuts of words into pieces of a vocabulary, drawn at random: subword regularisation.

SentencePiece samples too, but what it draws differs from process to process, whatever the seed.
"""

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Mapping
from functools import lru_cache

KNOWN_WORDS = 1 << 16  # whose cuts are remembered

Cut = list[int] | None  # the ids of a word's pieces; None where pieces do not make it up


class WordSampler(ABC):
    """Cuts words, which carry their mark of a beginning, into pieces."""

    @abstractmethod
    def draw(self, word: str, generator: random.Random) -> Cut:
        """A cut of the word at random."""


class UnigramSampler(WordSampler):
    """Cuts by the probabilities of their pieces, raised to the power alpha (Kudo 2018).

    Forward filtering, backward sampling over all cuts of a word.
    """

    def __init__(self, ids: Mapping[str, int], scores: Mapping[str, float], alpha: float) -> None:
        """Scores are the logarithms of the pieces' probabilities."""
        self._ids = ids
        self._weights = {piece: alpha * score for piece, score in scores.items()}
        self._longest = max(map(len, ids))
        self._ends = lru_cache(KNOWN_WORDS)(self._find_ends)

    def draw(self, word: str, generator: random.Random) -> Cut:
        ends = self._ends(word)
        if ends is None:
            return None
        drawn = []
        place = len(word)
        while place:
            cumulated, edges = ends[place]
            chosen = 0
            if len(edges) > 1:
                chosen = bisect(cumulated, generator.random() * cumulated[-1], 0, len(edges) - 1)
            place, number = edges[chosen]
            drawn.append(number)
        return drawn[::-1]

    def _find_ends(self, word: str) -> list[tuple[list[float], list[tuple[int, int]]]] | None:
        """For each place in a word the pieces that may end there: their cumulated probabilities,
        and where each begins with its id."""
        total = [0.0] + [-math.inf] * len(word)  # log-probability of the word up to each place
        ends: list[tuple[list[float], list[tuple[int, int]]]] = [([], [])]
        for stop in range(1, len(word) + 1):
            edges, logs = [], []
            for start in range(max(0, stop - self._longest), stop):
                piece = word[start:stop]
                if piece in self._ids and total[start] > -math.inf:
                    edges.append((start, self._ids[piece]))
                    logs.append(total[start] + self._weights[piece])
            cumulated: list[float] = []
            if logs:
                highest = max(logs)
                for each in logs:
                    before = cumulated[-1] if cumulated else 0.0
                    cumulated.append(before + math.exp(each - highest))
                total[stop] = highest + math.log(cumulated[-1])
            ends.append((cumulated, edges))
        return ends if total[-1] > -math.inf else None


class MergeSampler(WordSampler):
    """Byte-pair encoding that leaves out each possible merge, each time, with some probability.

    BPE-dropout (Provilkov et al. 2020), algorithm 1.
    """

    def __init__(self, ids: Mapping[str, int], scores: Mapping[str, float], dropout: float) -> None:
        """The score of a piece is the higher, the earlier it is merged."""
        self._ids = ids
        self._scores = scores
        self._dropout = dropout

    def draw(self, word: str, generator: random.Random) -> Cut:
        parts = list(word)
        if any(part not in self._ids for part in parts):
            return None
        while True:
            merges = [
                (self._scores[merged], -place)
                for place in range(len(parts) - 1)
                if (merged := parts[place] + parts[place + 1]) in self._scores
                and generator.random() >= self._dropout
            ]
            if not merges:
                return [self._ids[part] for part in parts]
            place = -max(merges)[1]
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
