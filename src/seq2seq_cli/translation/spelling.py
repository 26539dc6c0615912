"""The ways in which pieces of a vocabulary spell what a translation has to begin with.

A prefix that ends with a space consists of whole words, and of the pieces that the tokenizer makes
of them; then comes a piece that begins a word or is no part of one, or the end. Otherwise its last
word may go on: all pieces are allowed that agree with its characters, so that `Laura hof` can
become `Laura hofft` with a piece for the whole verb.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.search.prefix import ForcedPrefix, complete_moves
from seq2seq_cli.symbols import BYTE, EOS, WORD_START
from seq2seq_cli.tokenization.text_form import TITLE, UPPER
from seq2seq_cli.translation.unknown import UNSPACED, category

if TYPE_CHECKING:
    from seq2seq_cli.tokenization.tokenizer import Tokenizer

LONGEST_WORD = 48  # bytes at the end of a prefix that other pieces may spell, in unspaced scripts


@dataclass(frozen=True)
class Speller:
    """Finds all ways in which pieces of a vocabulary can spell a text that may go on."""

    tokenizer: "Tokenizer"

    def prefix(self, line: str, tokens: Sequence[int]) -> ForcedPrefix:
        """The ways to begin a translation with a line, whose ids are `tokens`."""
        pieces = self.tokenizer.ids_to_pieces(tokens)
        if not tokens or line[-1].isspace():
            return ForcedPrefix.of_tokens(tokens, self._followers if tokens else ())
        spelled = [piece_bytes(piece) for piece in pieces]
        first = len(tokens) - 1  # of the last word
        length = len(spelled[first])
        while first > 0 and not pieces[first].startswith(WORD_START) and length < LONGEST_WORD:
            first -= 1
            length += len(spelled[first])
        text = b"".join(spelled[first:])
        words = [[(token, state)] for state, token in enumerate(tokens[:first], start=1)]
        moves = words + [
            [
                (token, first + min(offset + size, len(text)))
                for token, size in self._next(text[offset:])
            ]
            for offset in range(len(text))
        ]
        return ForcedPrefix(complete_moves(moves), tuple(tokens))

    def _next(self, rest: bytes) -> list[tuple[int, int]]:
        """The pieces that a text begins with or that begin with it, and their sizes in bytes."""
        pieces, ids = self._sorted
        found = {
            number: size
            for size in range(1, len(rest))
            for number in self._ids.get(rest[:size], ())
        }
        index = bisect_left(pieces, rest)
        while index < len(pieces) and pieces[index].startswith(rest):
            found[ids[index]] = len(pieces[index])
            index += 1
        return sorted(found.items())

    @cached_property
    def _followers(self) -> list[int]:
        """The pieces that can follow a whole word: none that continues it, or might, as bytes."""
        found = [EOS]
        for number in self._sorted[1]:
            name = self.tokenizer.vocabulary[number]
            begins_word = name.startswith(WORD_START) or UNSPACED.match(name)
            goes_on = category(name[0]) in "LMN" or name[0] in (TITLE, UPPER)
            if begins_word or not (goes_on or BYTE.fullmatch(name)):
                found.append(number)
        return found

    @cached_property
    def _sorted(self) -> tuple[list[bytes], list[int]]:
        """The bytes of all pieces of text, ascending, and their ids."""
        tags = set(self.tokenizer.tags.values())
        pairs = sorted(
            (piece_bytes(piece), number)
            for number, piece in enumerate(self.tokenizer.vocabulary)
            if number > EOS and number not in tags
        )
        return [piece for piece, _ in pairs], [number for _, number in pairs]

    @cached_property
    def _ids(self) -> dict[bytes, list[int]]:
        """The ids of the pieces with these bytes: a character, and a byte that spells it."""
        ids: dict[bytes, list[int]] = {}
        for piece, number in zip(*self._sorted, strict=True):
            ids.setdefault(piece, []).append(number)
        return ids


def piece_bytes(piece: str) -> bytes:
    """The bytes that a piece stands for in UTF-8, with the mark of a word's start."""
    found = BYTE.fullmatch(piece)
    return bytes([int(found[1], 16)]) if found else piece.encode()
