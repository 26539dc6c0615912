"""How well words are translated by how frequent they are (Neubig et al. 2019).

For each group of words the F-measure of finding them: a word of a translation is right as often as
it is in the reference of its line.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seq2seq_cli.evaluation.words import words

BOUNDS = (0, 1, 2, 10, 100, 1000)  # the least frequency of each group


@dataclass(frozen=True)
class FrequencyGroup:
    """Words of similar frequency, and how well each system translates them."""

    name: str  # frequencies
    words: int  # in the reference
    f_measures: Sequence[float]  # of each system, 0 to 100


def word_counts(lines: Iterable[str]) -> Counter[str]:
    """How often each word is in a text, without regard to case."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(_folded(line))
    return counts


def _folded(line: str) -> list[str]:
    return [word.text.casefold() for word in words(line)]


def accuracy_by_frequency(
    systems: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    counts: Counter[str],
) -> list[FrequencyGroup]:
    """The F-measure of the words of each system, in groups by their frequency.

    `counts` are frequencies in a text. With several references the one that shares most words with
    the translation of a line counts.
    """
    reference_words = [[Counter(_folded(line)) for line in text] for text in references]
    in_reference = [0] * len(BOUNDS)
    for word, count in _sum(reference_words[0]).items():
        in_reference[_group(counts[word])] += count
    measures = [_f_measures(system, reference_words, counts) for system in systems]
    return [
        FrequencyGroup(_name(index), in_reference[index], [each[index] for each in measures])
        for index in range(len(BOUNDS))
        if in_reference[index]
    ]


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _f_measures(
    system: Sequence[str], references: Sequence[Sequence[Counter[str]]], counts: Counter[str]
) -> list[float]:
    """The F-measure of each group of words, 0 to 100."""
    right, written, wanted = ([0] * len(BOUNDS) for _ in range(3))
    for row, line in enumerate(system):
        found = Counter(_folded(line))
        best = max((text[row] for text in references), key=lambda each: (found & each).total())
        for sums, counter in ((right, found & best), (written, found), (wanted, best)):
            for word, count in counter.items():
                sums[_group(counts[word])] += count
    return [
        200 * hits / total if (total := each + other) else 0.0
        for hits, each, other in zip(right, written, wanted, strict=True)
    ]


def _group(frequency: int) -> int:
    return sum(frequency >= bound for bound in BOUNDS) - 1


def _name(group: int) -> str:
    least = BOUNDS[group]
    if group + 1 == len(BOUNDS):
        return f"{least:,}+"
    most = BOUNDS[group + 1] - 1
    return str(least) if least == most else f"{least}-{most}"
