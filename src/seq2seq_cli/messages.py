"""Counts with their nouns for messages, and where warnings go."""

from collections.abc import Callable

Warn = Callable[[str], None]  # takes the text of a warning

_SINGULAR = {"are": "is", "have": "has", "do": "does"}


def ignore_warning(message: str) -> None:
    """Drop a warning: for text that is read a second time, when its warnings were shown before."""


def counted(count: float, noun: str) -> str:
    """A number with what it counts, such as "1 line", "2,000 lines" or "0.5 minutes"."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:,g}"
    return f"{number} {noun}" if count == 1 else f"{number} {noun}s"


def counted_subject(count: float, noun: str, verb: str) -> str:
    """The same before a verb, given in the plural: "1 line has" or "2 lines have"."""
    return f"{counted(count, noun)} {_SINGULAR.get(verb, f'{verb}s') if count == 1 else verb}"
