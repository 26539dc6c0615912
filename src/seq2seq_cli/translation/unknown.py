"""Text that the source's vocabulary lacks, which a model reads as <unk> or spelled in bytes."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from seq2seq_cli.deferred import dataclass, pattern
from seq2seq_cli.symbols import BYTE, UNK, WORD_START
from seq2seq_cli.tokenization.tokenizer import Tokenizer

# Scripts without spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, Han, kana, Yi
UNSPACED = pattern(
    "[\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\u2e80-\u2fdf\u3005-\u3007\u3041-\u3096"
    "\u309d-\u309f\u30a1-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U000323af]"
)
# Of the pieces of several letters, the share of a script that a model was trained to read; foreign
# words in the training text bring few such pieces with them.
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class UnknownSpan:
    """A part of a line that is unknown; if letters of a word are, the whole word."""

    text: str
    tokens: range  # of the line
    follows_space: bool = False

    @property
    def is_word(self) -> bool:
        """Whether it has letters or digits; otherwise it consists of symbols, such as emojis."""
        return any(category(character) in "LN" for character in self.text)


@dataclass(frozen=True)
class UnknownText:
    """All that is unknown of a line, or of a segment of one."""

    spans: tuple[UnknownSpan, ...]
    characters: int  # that are unknown
    is_all: bool  # there are no other letters or digits

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(span.text for span in self.spans)


@dataclass(frozen=True)
class UnknownFinder:
    """Finds what the vocabulary of a source tokenizer lacks."""

    tokenizer: Tokenizer

    def find(self, line: str, tokens: Sequence[int]) -> UnknownText | None:
        """Find what is unknown of a line, whose ids are `tokens`; None if nothing is.

        Characters spelled in bytes are unknown if their script has no pieces: a model learns to
        read rare characters of a script that it was trained on.
        """
        if self._ids.isdisjoint(tokens):
            return None
        token_spans = self.tokenizer.spans(line)
        unknown = [
            index
            for number, (start, end) in zip(tokens, token_spans, strict=True)
            for index in range(start, end)
            if number in self._ids and self._is_unknown(number, line[index])
        ]
        if not unknown:
            return None
        begin = token_spans[0][1] if tokens[0] in self.tokenizer.tags.values() else 0
        pieces = self.tokenizer.ids_to_pieces(tokens)
        spans = tuple(
            UnknownSpan(
                line[start:end],
                _tokens_of(start, end, token_spans, pieces),
                follows_space=line[:start][-1:].isspace(),
            )
            for start, end in _whole_words(line, unknown)
        )
        covered = {index for span in spans for index in span.tokens}
        others = (each for index, each in enumerate(token_spans) if index not in covered)
        return UnknownText(
            spans,
            characters=len(unknown),
            is_all=not any(
                category(character) in "LN"
                for start, end in others
                for character in line[max(start, begin) : end]
            ),
        )

    def _is_unknown(self, number: int, character: str) -> bool:
        if character.isspace():
            return False
        if number == UNK or category(character) not in "LM":
            return True
        return _script(character) not in self._scripts

    @cached_property
    def _ids(self) -> frozenset[int]:
        """UNK, and the pieces that spell bytes."""
        pieces = enumerate(self.tokenizer.vocabulary)
        alike = [(number, piece) for number, piece in pieces if piece.startswith("<0x")]
        return frozenset([UNK, *(number for number, piece in alike if BYTE.fullmatch(piece))])

    @cached_property
    def _scripts(self) -> frozenset[str]:
        """The scripts that the vocabulary has pieces of several letters in, but for foreign words.

        If no piece has several letters, as in a vocabulary of characters, all scripts it has.
        """
        words = [
            piece.lstrip(WORD_START)
            for number, piece in enumerate(self.tokenizer.vocabulary)
            if number not in self._ids
        ]
        letters = [[letter for letter in word if letter.isalpha()] for word in words]
        counts = Counter(_script(each[0]) for each in letters if len(each) > 1)
        if not counts:
            counts = Counter(_script(each[0]) for each in letters if each)
        least = LEAST_SHARE * counts.total()
        return frozenset(script for script, count in counts.items() if count >= least)


def _whole_words(line: str, unknown: Sequence[int]) -> list[tuple[int, int]]:
    """The parts of a line that hold unknown characters, in order; words of letters as wholes."""
    parts: list[tuple[int, int]] = []
    for start in unknown:
        end = start + 1
        if _joins(line[start]):
            while start > 0 and _joins(line[start - 1]):
                start -= 1
            while end < len(line) and _joins(line[end]):
                end += 1
        before = parts[-1][1] if parts else 0
        if start < before or (start == before > 0 and not _joins(line[start - 1 : start + 1])):
            start = parts.pop()[0]
        parts.append((start, end))
    return parts


def _joins(text: str) -> bool:
    """Whether a character of a text belongs to words that spaces divide."""
    return any(
        category(each) in "LMN" and not UNSPACED.match(each) and not is_variation_selector(each)
        for each in text
    )


def is_variation_selector(character: str) -> bool:
    """Whether a character only tells how the emoji before it looks."""
    return "\ufe00" <= character <= "\ufe0f"


def category(character: str) -> str:
    return unicodedata.category(character)[0]


def _script(character: str) -> str:
    """The script of a letter as its Unicode name begins, such as LATIN or CJK."""
    return unicodedata.name(character, "").partition(" ")[0]


def _tokens_of(
    start: int, end: int, spans: Sequence[tuple[int, int]], pieces: Sequence[str]
) -> range:
    """The tokens of a part of a line, and the piece before them if it is only a space.

    Pieces that spell the first bytes of a character have an empty span before it.
    """
    inside = [
        index
        for index, (first, last) in enumerate(spans)
        if (first < end and start < last) or (first == last and start <= first < end)
    ]
    first, last = inside[0], inside[-1]
    return range(first - (first > 0 and pieces[first - 1] == WORD_START), last + 1)
