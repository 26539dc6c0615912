"""Whether states tell the senses of a word apart (Coenen et al. 2019, section 4).

The sense of a word is what it is translated as: Gloss in the MISC of its tree. An occurrence in a
held-out sentence gets the sense whose centroid, the mean of the training half's states, is nearest.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.evaluation.probes.treebank import Tree
from seq2seq_cli.kernels.arrays import Floats

LEAST_OCCURRENCES = 10  # of a sense in the training half
LEAST_HELD_OUT = 3

Occurrence = tuple[int, int]  # sentence and node


@dataclass(frozen=True)
class Word:
    """A word with several senses, and where each of them occurs in both halves."""

    form: str
    train: dict[str, list[Occurrence]]
    test: dict[str, list[Occurrence]]

    @property
    def held_out(self) -> int:
        """The number of occurrences in held-out sentences."""
        return sum(map(len, self.test.values()))

    @property
    def most_frequent(self) -> float:
        """The accuracy of always naming the sense that is most frequent in the training half."""
        sense = max(self.train, key=lambda name: len(self.train[name]))
        return len(self.test[sense]) / self.held_out


@dataclass(frozen=True)
class SenseScore:
    """Accuracies on held-out occurrences, each word counted alike."""

    accuracy: float
    by_word: dict[str, float]


def ambiguous_words(train: Sequence[Tree], test: Sequence[Tree]) -> list[Word]:
    """The words with at least two senses that are frequent in both halves."""
    found = [_occurrences(trees) for trees in (train, test)]
    words: list[Word] = []
    for form, senses in sorted(found[0].items()):
        unseen = found[1].get(form, {})
        frequent = [
            sense
            for sense, occurrences in senses.items()
            if len(occurrences) >= LEAST_OCCURRENCES
            and len(unseen.get(sense, ())) >= LEAST_HELD_OUT
        ]
        if len(frequent) >= 2:
            halves = ({sense: half[sense] for sense in frequent} for half in (senses, unseen))
            words.append(Word(form, *halves))
    return words


def _occurrences(trees: Sequence[Tree]) -> dict[str, dict[str, list[Occurrence]]]:
    found: dict[str, dict[str, list[Occurrence]]] = defaultdict(lambda: defaultdict(list))
    for number, tree in enumerate(trees):
        for node, (form, gloss) in enumerate(zip(tree.forms, tree.glosses, strict=True)):
            if gloss:
                found[form.lower()][gloss].append((number, node))
    return found


def score(words: Sequence[Word], train: Sequence[Floats], test: Sequence[Floats]) -> SenseScore:
    """Accuracy by word, from states (T, D) of the sentences of both halves."""
    by_word = {word.form: _accuracy(word, train, test) for word in words}
    mean = float(np.mean(list(by_word.values()))) if by_word else float("nan")
    return SenseScore(mean, by_word)


def _accuracy(word: Word, train: Sequence[Floats], test: Sequence[Floats]) -> float:
    senses = list(word.train)
    centroids = np.stack(
        [np.mean([train[number][node] for number, node in word.train[s]], axis=0) for s in senses]
    )
    right: Counter[bool] = Counter()
    for index, sense in enumerate(senses):
        for number, node in word.test[sense]:
            distances = np.square(centroids - test[number][node]).sum(axis=1)
            right[int(np.argmin(distances)) == index] += 1
    return right[True] / word.held_out


def most_frequent(words: Sequence[Word]) -> float:
    """The mean accuracy of naming the most frequent sense of each word."""
    return float(np.mean([word.most_frequent for word in words])) if words else float("nan")
