"""Prefixes: what translations have to begin with, line by line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.symbols import UNK
from seq2seq_cli.text import check_line_counts

if TYPE_CHECKING:
    from seq2seq_cli.tokenization.tokenizer import Tokenizer

CHARACTERS_NAMED = 10  # of a prefix, that cannot be written


def encode_prefixes(
    lines: Sequence[str],
    target: "Tokenizer",
    max_length: int,
    *,
    name: str = "prefixes",
    first_number: int = 1,
) -> list[list[int]]:
    """Tokenise prefixes. Raises InputError, with the line, for one that no translation can have.

    Such a prefix has characters that the run cannot write, or more than `max_length` tokens.
    """
    encoded = target.encode(lines)
    for number, ids in enumerate(encoded, start=first_number):
        if UNK in ids:
            line = lines[number - first_number]
            spans = zip(ids, target.spans(line), strict=True)
            found = "".join(line[slice(*span)] for token, span in spans if token == UNK)
            unknown = list(dict.fromkeys(found.replace(" ", "")))
            raise InputError(
                f"{name}, line {number}: the run has no pieces for some of its characters "
                f"({_named(unknown)}); only what it learned to write can be a prefix"
            )
        require(
            len(ids) <= max_length,
            f"{name}, line {number} has {len(ids):,} tokens; up to {max_length:,} are allowed, as "
            "many as the run learned to write",
        )
    return encoded


def _named(characters: Sequence[str]) -> str:
    more = len(characters) - CHARACTERS_NAMED
    first = ", ".join(characters[:CHARACTERS_NAMED])
    return f"{first} and {more:,} more" if more > 0 else first


@dataclass(frozen=True)
class Prefixes:
    """A prefix for each line of a text that is translated window by window.

    The translation of a line with a blank prefix is free.
    """

    lines: Sequence[str]
    name: str  # of their file, in messages

    def check(self, target: "Tokenizer", max_length: int) -> None:
        """Raise InputError, as `encode_prefixes` does, before anything is translated."""
        encode_prefixes(self.lines, target, max_length, name=self.name)

    def check_count(self, lines: int, source: str) -> None:
        """Raise InputError unless the text, called `source` in messages, has as many lines."""
        check_line_counts(self.name, len(self.lines), source, lines)

    def window(self, first_number: int, lines: int, source: str) -> Sequence[str]:
        """The prefixes of `lines` lines of the source, the first of them line `first_number`.

        Raises InputError, as `check_count` does, if there are not as many.
        """
        end = first_number - 1 + lines
        if end > len(self.lines):
            self.check_count(end, source)
        return self.lines[first_number - 1 : end]
