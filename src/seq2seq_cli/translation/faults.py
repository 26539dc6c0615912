"""Loops and copies: what a model that has not learned, or is damaged, writes."""

import re
from collections.abc import Sequence

from seq2seq_cli.deferred import dataclass

# The same four characters or more three times in a row, or one character six times.
LOOP = re.compile(r"(.{4,60}?)\1{2,}|([^\s])\2{5,}")


@dataclass(frozen=True)
class TranslationStatistics:
    """Faults in the translations of a text, as shares of its lines."""

    repeated: float  # lines that repeat themselves in a loop
    copied: float  # lines made of the words of their source


def translation_statistics(
    sources: Sequence[str], translations: Sequence[str]
) -> TranslationStatistics:
    """Count loops and copies in translations, line by line."""
    count = max(1, len(translations))
    pairs = zip(sources, translations, strict=True)
    return TranslationStatistics(
        repeated=sum(map(has_loop, translations)) / count,
        copied=sum(is_copied(source, line) for source, line in pairs) / count,
    )


def has_loop(translation: str) -> bool:
    """Whether a translation says the same again and again."""
    # a loop of words ends with a space, a line does not
    return bool(LOOP.search(f"{translation} "))


def is_copied(source: str, translation: str) -> bool:
    """Whether a translation of three or more words has four of five words from its source."""
    words, known = translation.lower().split(), set(source.lower().split())
    return len(words) >= 3 and sum(word in known for word in words) >= 0.8 * len(words)
