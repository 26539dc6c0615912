"""Draws the three splits of the demo corpus, which share no sentence."""

import re
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from . import english, german
from .draw import Draw
from .sentences import brief, joined, sentence, statement
from .structure import Sentence

Pair = tuple[str, str]
Vocabulary = Set[str]

SHORTEST, LONGEST = 3, 200
_EVALUATION_PAIRS = 500
_PATIENCE = 10_000  # draws in a row without a new pair
_REPEATS = 500  # known sentences, minus three for each new one, at which the grammar is exhausted
_COVERED_FROM = 20_000  # training pairs; from here on train has all word forms of valid and test
_BRIEF_BELOW = 7  # English words: an upper bound below this has room for one clause only
_PLAIN_BELOW = 9  # English words: an upper bound below this makes sentences plainer
_JOINED_FROM = 12  # English words: a lower bound from here on makes sentences of joined clauses
_SHORT_CLAUSE = 4  # English words of a clause that is easy to find, with its connector
_TRIES = 10  # clauses drawn for each addition to a long sentence
_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True)
class DemoSplits:
    """Pairs of an English and a German sentence; no sentence of either language comes twice.

    `sentences` has the abstract sentence of each English one, if `generate` was asked to keep them.
    """

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]
    sentences: dict[str, Sentence] = field(default_factory=dict, repr=False)


def generate(
    pairs: int,
    seed: int,
    *,
    min_words: int = 0,
    max_words: int | None = None,
    keep_sentences: bool = False,
) -> DemoSplits:
    """Draw `pairs` training pairs, and up to 500 each for validation and test.

    `min_words` and `max_words` bound the words of the English side. `keep_sentences` keeps the
    abstract sentences too, which takes a few kilobytes of memory for each pair. The same arguments
    give the same pairs everywhere. No sentence of valid or test, in either language, is in train.

    The last quarter of test has combinations that are not in train and valid, though their parts
    are: an adjective before a noun, a verb with an object, or a verb in the future, in a question
    or in a relative clause (see `holdout`). The rest of test has none of them.

    Raises ValueError if the length range is empty or the grammar has too few sentences in it.
    """
    _check(pairs, min_words, max_words)
    sentences: dict[str, Sentence] = {}
    source = _Source(Draw(seed), min_words, max_words, sentences if keep_sentences else None)
    size = max(10, min(_EVALUATION_PAIRS, pairs // 20))
    held_out = size // 4
    train = source.take(pairs)
    vocabulary = set().union(*map(_words, train)) if pairs >= _COVERED_FROM else None
    valid = source.take(size, vocabulary)
    test = source.take(size - held_out, vocabulary)
    test += source.take_held_out(held_out, vocabulary)
    return DemoSplits(train, valid, test, sentences)


def _check(pairs: int, min_words: int, max_words: int | None) -> None:
    if pairs < 1:
        raise ValueError(f"pairs is {pairs}; it must be at least 1")
    if not 0 <= min_words <= LONGEST:
        raise ValueError(f"min_words is {min_words}; allowed are 0 to {LONGEST}")
    if max_words is not None and max_words < max(min_words, SHORTEST):
        least = max(min_words, SHORTEST)
        raise ValueError(
            f"max_words is {max_words}; with min_words {min_words} it must be at least {least}"
        )


def _words(pair: Pair) -> set[str]:
    """The word forms of a pair, with a mark on those of the German side."""
    english_side, german_side = pair
    return {*_WORD.findall(english_side), *(f"de:{word}" for word in _WORD.findall(german_side))}


class _Source:
    """Draws new pairs within bounds of length; those with held-out combinations are set aside."""

    def __init__(
        self,
        draw: Draw,
        min_words: int,
        max_words: int | None,
        sentences: dict[str, Sentence] | None,
    ) -> None:
        self._draw = draw
        self._sentences = sentences
        self._min_words = min_words
        self._max_words = max_words
        self._seen: set[str] = set()
        self._held_out: list[Pair] = []
        self._repeats = 0

    def take(self, count: int, vocabulary: Vocabulary | None = None) -> list[Pair]:
        """Draw new pairs without held-out combinations, within the vocabulary."""
        return self._take(count, self._new_usual, vocabulary)

    def take_held_out(self, count: int, vocabulary: Vocabulary | None = None) -> list[Pair]:
        """Draw new pairs with held-out combinations, within the vocabulary."""
        return self._take(count, self._new_held_out, vocabulary)

    def _take(
        self, count: int, new_pair: Callable[[], Pair | None], vocabulary: Vocabulary | None
    ) -> list[Pair]:
        taken: list[Pair] = []
        failures = 0
        while len(taken) < count:
            pair = new_pair()
            if pair and (vocabulary is None or _words(pair) <= vocabulary):
                taken.append(pair)
                failures = 0
                continue
            failures += 1
            if failures == _PATIENCE or self._repeats >= _REPEATS:
                raise ValueError(self._exhaustion())
        return taken

    def _new_usual(self) -> Pair | None:
        pair = self._new_pair()
        if pair and self._draw.held_out:
            self._held_out.append(pair)
            return None
        if pair:
            self._draw.accept()
        return pair

    def _new_held_out(self) -> Pair | None:
        if self._held_out:
            return self._held_out.pop()
        pair = self._new_pair()
        return pair if self._draw.held_out else None

    def _new_pair(self) -> Pair | None:
        drawn = self._sentence()
        english_side = english.render(drawn)
        if not self._min_words <= _length(english_side) <= (self._max_words or LONGEST):
            return None
        pair = english_side, german.render(drawn)
        if not self._seen.isdisjoint(pair):
            self._repeats += 1
            return None
        self._repeats = max(0, self._repeats - 3)
        self._seen.update(pair)
        if self._sentences is not None:
            self._sentences[english_side] = drawn
        return pair

    def _sentence(self) -> Sentence:
        """Draw a sentence of about the right length; long ones join several main clauses."""
        draw, low, high = self._draw, self._min_words, self._max_words or LONGEST
        draw.start(0.2 if high < _PLAIN_BELOW else 1.0)
        if high < _BRIEF_BELOW:
            return brief(draw)
        if low < _JOINED_FROM:
            return sentence(draw)
        target = draw.number(low, min(high, 2 * low))
        drawn = draw.until(lambda: statement(draw), lambda first: self._fits(first, target), _TRIES)
        while _length(english.render(drawn)) < target:
            drawn = self._extended(drawn, target)
        return drawn

    def _extended(self, drawn: Sentence, target: int) -> Sentence:
        """Join one more clause.

        It may not be the first with a held-out combination: hardly any long sentence would be left
        without one.
        """
        draw, had_held_out = self._draw, self._draw.held_out
        return draw.until(
            lambda: joined(draw, drawn),
            lambda longer: draw.held_out == had_held_out and self._fits(longer, target),
            _TRIES,
        )

    def _fits(self, drawn: Sentence, target: int) -> bool:
        """Whether the sentence is long enough, or leaves room for another clause."""
        length = _length(english.render(drawn))
        return target <= length <= (self._max_words or LONGEST) or length <= target - _SHORT_CLAUSE

    def _exhaustion(self) -> str:
        bounds = f"{self._min_words} to {self._max_words or LONGEST} English words"
        return (
            f"the demo grammar ran out after {len(self._seen) // 2} different sentences of "
            f"{bounds}; ask for fewer pairs or for a wider range of lengths"
        )


def _length(text: str) -> int:
    return text.count(" ") + 1
