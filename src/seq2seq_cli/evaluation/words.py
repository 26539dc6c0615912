"""Words of a line with their positions in it, in any script, and how two lines differ in them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from seq2seq_cli.evaluation.writing import HAN, KANA, UNSPACED

TOKEN = re.compile(r"\S+")


@dataclass(frozen=True)
class Word:
    """A word, a punctuation mark, or a character of a script without spaces between words."""

    text: str
    start: int  # characters of the line before it


def words(line: str) -> list[Word]:
    """The words of a line.

    Spaces divide words, punctuation at their edges is divided from them, and each character of
    Chinese, Japanese, Thai and other scripts without spaces is a word with the signs over it.
    """
    return [
        Word(word.text, found.start() + word.start)
        for found in TOKEN.finditer(line)
        for word in _divided(found[0])
    ]


@lru_cache(maxsize=2**16)  # a text has few tokens that differ
def _divided(token: str) -> tuple[Word, ...]:
    return tuple(_words(token))


def _words(token: str) -> Iterator[Word]:
    """The words of what stands between spaces."""
    start = 0  # of the word that is being read
    for index, character in enumerate(token):
        if index == 0 or unicodedata.category(character)[0] == "M":
            continue  # a sign belongs to the character before it
        goes_on = not _stands_alone(character) and (
            not _is_mark(character) or _is_inside_word(token, index)
        )
        if not (goes_on and _can_go_on(token[start])):
            yield Word(token[start:index], start)
            start = index
    yield Word(token[start:], start)


def _stands_alone(character: str) -> bool:
    """Whether a character is a word by itself."""
    return any(script.match(character) for script in (HAN, KANA, UNSPACED))


def _is_mark(character: str) -> bool:
    """Whether a character is punctuation or a symbol."""
    return unicodedata.category(character)[0] in "PS"


def _is_inside_word(token: str, index: int) -> bool:
    """Whether a mark has letters or digits at both sides, as in don't, 3.5 and well-known."""
    before, after = token[index - 1 : index], token[index + 1 : index + 2]
    return all(
        side != ""
        and not _stands_alone(side)
        and (side.isalnum() or unicodedata.category(side)[0] == "M")
        for side in (before, after)
    )


def _can_go_on(first: str) -> bool:
    """Whether the word that begins with this character can have more than one."""
    return not _stands_alone(first) and not _is_mark(first)


def matched(one: Sequence[Word], other: Sequence[Word]) -> list[bool]:
    """For each word of the one line, whether it is in the other in the same order."""
    matcher = SequenceMatcher(
        None, [word.text for word in one], [word.text for word in other], autojunk=False
    )
    found = [False] * len(one)
    for block in matcher.get_matching_blocks():
        found[block.a : block.a + block.size] = [True] * block.size
    return found
