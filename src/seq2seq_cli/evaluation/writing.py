"""How a text is written: in which script, and whether spaces divide its words."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

LINES_READ = 2000  # of a text; a script shows in far fewer
CHARACTERS_READ = 200  # of a line

HAN = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)
KANA = re.compile("[\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7af]")
# Thai, Lao, Tibetan, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Balinese, Yi, Javanese,
# Myanmar again, Tai Viet.
UNSPACED = re.compile(
    "[\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\u1950-\u19df\u1a20-\u1aad\u1b05-\u1b4b"
    "\ua000-\ua48c\ua984-\ua9c0\ua9e0-\ua9fe\uaa60-\uaadf]"
)
MOST = 0.5  # share of the letters that makes a text one of a script
JAPANESE = 0.05  # share of kana in Han and kana: Japanese has about a half, Chinese nearly none
# Letters between spaces, on average. Text in Thai that was cut into words has about 4, and plain
# text more than 15; Burmese has spaces between phrases of about 20.
SEGMENTED = 8.0

Kind = Literal["chinese", "japanese", "korean", "unspaced", "spaced"]


@dataclass(frozen=True)
class Writing:
    """How a text is written."""

    kind: Kind

    @property
    def is_spaced(self) -> bool:
        """Whether spaces divide words, as in most scripts."""
        return self.kind in ("korean", "spaced")

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Writing":
        """Recognise how lines are written, from the letters of the first ones."""
        text = "\n".join(line[:CHARACTERS_READ] for line in islice(lines, LINES_READ))
        letters = sum(map(str.isalpha, text))
        han, kana, hangul = (len(script.findall(text)) for script in (HAN, KANA, HANGUL))
        # Vowel signs are marks, not letters, but belong to the script.
        other = [character for character in UNSPACED.findall(text) if character.isalpha()]
        if letters == 0:
            return cls("spaced")
        if han + kana >= MOST * letters:
            return cls("japanese" if kana >= JAPANESE * (han + kana) else "chinese")
        if hangul >= MOST * letters:
            return cls("korean")
        if len(other) >= MOST * letters and letters / len(text.split()) > SEGMENTED:
            return cls("unspaced")
        return cls("spaced")


def is_right_to_left(pieces: Iterable[str]) -> bool:
    """Whether most letters of a text in pieces are written from right to left."""
    kinds = [unicodedata.bidirectional(letter) for piece in pieces for letter in piece]
    return kinds.count("R") + kinds.count("AL") > kinds.count("L")


def length_in_characters(line: str) -> int:
    """Characters of a line as a reader counts them: without spaces, vowel signs and accents."""
    return sum(
        not (character.isspace() or unicodedata.category(character)[0] in "MC")
        for character in line
    )


def length_in_words(line: str) -> int:
    """Words of a line, divided by spaces."""
    return len(line.split())


def share_of_short_lines(lines: Sequence[str], words: int) -> float:
    """The share of the lines that are not blank that have fewer words than this."""
    lengths = [length for length in map(length_in_words, lines) if length]
    return sum(length < words for length in lengths) / max(1, len(lengths))
