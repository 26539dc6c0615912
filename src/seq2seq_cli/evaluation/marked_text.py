"""Translations of a line with marks on the words in which they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from seq2seq_cli.evaluation.words import Word, matched, words


@dataclass(frozen=True)
class MarkedText:
    """A part of a line: "same" in all systems, or else "right" or "wrong" by the reference."""

    text: str
    mark: str


def mark_differences(
    lines: Sequence[str], references: Sequence[str], baseline: int = 0
) -> list[list[MarkedText]]:
    """Mark the words in which translations of a line differ, by whether a reference has them.

    Words of the baseline are "same" if every other system has them, words of another system if the
    baseline has them; order counts.
    """
    divided = [words(line) for line in lines]
    wanted = [words(reference) for reference in references]
    marked = []
    for index, (line, own) in enumerate(zip(lines, divided, strict=True)):
        against = (
            [each for other, each in enumerate(divided) if other != baseline]
            if index == baseline
            else [divided[baseline]]
        )
        same = [all(each) for each in zip(*(matched(own, other) for other in against), strict=True)]
        right = [any(each) for each in zip(*(matched(own, text) for text in wanted), strict=True)]
        marks = [
            "same" if is_same else "right" if is_right else "wrong"
            for is_same, is_right in zip(same, right, strict=True)
        ]
        marked.append(_joined(line, own, marks))
    return marked


def _joined(line: str, own: Sequence[Word], marks: Sequence[str]) -> list[MarkedText]:
    """A line in parts with marks; what is between two words of one mark belongs to them."""
    parts: list[MarkedText] = []

    def add(text: str, mark: str) -> None:
        if parts and parts[-1].mark == mark:
            parts[-1] = MarkedText(parts[-1].text + text, mark)
        elif text:
            parts.append(MarkedText(text, mark))

    end = 0  # of the word before
    for word, mark in zip(own, marks, strict=True):
        between = line[end : word.start]
        end = word.start + len(word.text)
        goes_on = parts and parts[-1].mark == mark
        add(between, mark if goes_on else "same")
        add(word.text, mark)
    return parts
