"""Warnings about lines that were translated: of each line, and of all lines of a text."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Literal

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.translation.results import Translation

Copies = Literal["yes", "no", "impossible"]  # whether unknown text is copied

NUMBERS_NAMED = 5  # of lines with the same fault
SPANS_NAMED = 5  # in one line
WHY = {  # unknown text is not copied
    "no": "as asked for",
    "impossible": "since a model without attention does not tell which word stands for it",
    "yes": "since no word of the translation attends most to it",
}
CAPITALS = (
    "in capitals, which the run has hardly seen; train with tokenizer.casing = inline to translate "
    "them like lower case"
)
LONG = "have more tokens than the model reads and were split into segments"
WITHOUT_LANGUAGE = "do not say which of the run's languages to translate into"


def warnings_of(translation: Translation, number: int, copies: Copies) -> list[str]:
    """Warnings about what the run cannot read of a line with this number, and about no result."""
    warnings = []
    if translation.is_in_capitals:
        warnings.append(f"line {number} is {CAPITALS}")
    if translation.unknown:
        warnings.append(
            f"line {number}: the run has no pieces for {translation.unknown_share:.0%} of the "
            f"characters: {_fate(translation, copies)}"
        )
    if translation.is_empty:
        warnings.append(f"line {number} is not blank, but its translation is empty")
    return warnings


def _fate(translation: Translation, copies: Copies) -> str:
    """The unknown spans of a line, with what became of them."""
    left = Counter(translation.unknown) - Counter(translation.copied)
    groups = [
        (list(translation.copied), "copied"),
        (list(left.elements()), f"not copied, {WHY[copies]}"),
    ]
    return "; ".join(f"{_named(spans)} ({what})" for spans, what in groups if spans)


def _named(spans: Sequence[str]) -> str:
    more = f" and {len(spans) - SPANS_NAMED:,} more" if len(spans) > SPANS_NAMED else ""
    return f"{', '.join(spans[:SPANS_NAMED])}{more}"


@dataclass
class LineNumbers:
    """How many lines there are of some kind, and the numbers of the first."""

    first: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, number: int) -> None:
        self.count += 1
        if self.count <= NUMBERS_NAMED:
            self.first.append(number)

    def __str__(self) -> str:
        named = [f"{number:,}" for number in self.first]
        if self.count > len(named):
            named.append(f"{self.count - len(named):,} more")
        *others, last = named
        if not others:
            return f"line {last}"
        return f"lines {', '.join(others)} and {last}"


@dataclass
class Summary:
    """Counts over all lines of a text that was translated."""

    copies: Copies
    without_language: LineNumbers = field(default_factory=LineNumbers)
    long: LineNumbers = field(default_factory=LineNumbers)  # lines that were split for it
    capitals: LineNumbers = field(default_factory=LineNumbers)
    unknown: LineNumbers = field(default_factory=LineNumbers)  # of lines with unknown text
    empty: LineNumbers = field(default_factory=LineNumbers)  # of lines without a translation
    spans: int = 0  # that are unknown
    copied: int = 0
    greatest_share: float = 0.0  # of the characters of a line that is unknown

    def add(self, translations: Sequence[Translation], first_number: int) -> None:
        """Count translations, of which the first has this line number."""
        for number, translation in enumerate(translations, start=first_number):
            if translation.lacks_language:
                self.without_language.add(number)
            if translation.is_too_long:
                self.long.add(number)
            if translation.is_in_capitals:
                self.capitals.add(number)
            if translation.unknown:
                self.unknown.add(number)
                self.spans += len(translation.unknown)
                self.copied += len(translation.copied)
                self.greatest_share = max(self.greatest_share, translation.unknown_share)
            if translation.is_empty:
                self.empty.add(number)

    def warnings(self) -> Iterator[str]:
        """Warnings about the whole text; none if all is well.

        Of lines without a language, and of long ones, the first was warned of by `translate`.
        """
        for lines, fault in ((self.without_language, WITHOUT_LANGUAGE), (self.long, LONG)):
            if lines.count > 1:
                yield f"{lines} {fault}"
        if self.capitals.count:
            yield f"{self.capitals} {'is' if self.capitals.count == 1 else 'are'} {CAPITALS}"
        if self.unknown.count:
            share = f"{self.greatest_share:.0%} of the characters"
            if self.unknown.count > 1:
                share = f"up to {share} of a line"
            yield (
                f"{self.unknown}: the run has no pieces for {share}; {self._fates()}; "
                "--format jsonl tells which"
            )
        if self.empty.count:
            fault = "is not blank, but its translation is empty"
            if self.empty.count > 1:
                fault = "are not blank, but their translations are empty"
            yield f"{self.empty} {fault}"

    def _fates(self) -> str:
        """Say what became of the unknown spans."""
        spans, copied, left = self.spans, self.copied, self.spans - self.copied
        why = WHY[self.copies]
        if copied and left:
            verb = "was" if copied == 1 else "were"
            others = "other one" if left == 1 else f"other {left:,}"
            parts = f"{copied:,} of {spans:,} unknown parts {verb} copied"
            return f"{parts}, but not the {others}, {why}"
        if spans == 1:
            return f"the unknown part was {'copied' if copied else f'not copied, {why}'}"
        if copied:
            return f"{'both' if spans == 2 else f'all {spans:,}'} unknown parts were copied"
        none = "neither unknown part" if spans == 2 else f"none of the {spans:,} unknown parts"
        return f"{none} was copied, {why}"
