"""Groups of lines that a system may be good or weak at: by length, and by the kind of sentence."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from seq2seq_cli.evaluation.writing import Writing, length_in_characters, length_in_words

FEWEST_GREEK = 0.5  # share of the letters by which a semicolon is a question mark

# Parts of the names of characters in Unicode that end sentences.
QUESTION, EXCLAMATION = "QUESTION MARK", "EXCLAMATION MARK"
STOPS = ("FULL STOP", "DANDA", "ELLIPSIS", "MYANMAR SIGN SECTION", "KHMER SIGN KHAN", "MARK SHAD")


@dataclass(frozen=True)
class LineGroup:
    """Lines that have something in common."""

    title: str  # by what all groups of a kind are divided
    name: str
    rows: Sequence[int]


def groups_by_length(texts: Sequence[str], whose: str, width: int = 10) -> list[LineGroup]:
    """Lines by their length in words, or in characters where spaces do not divide words."""
    spaced = Writing.of(texts).is_spaced
    length = length_in_words if spaced else length_in_characters
    rows: dict[int, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(max(0, length(text) - 1) // width, []).append(row)
    title = f"{'words' if spaced else 'characters'} in the {whose}"
    return [
        LineGroup(title, f"{number * width + 1}-{(number + 1) * width}", chosen)
        for number, chosen in sorted(rows.items())
    ]


def groups_by_kind(texts: Sequence[str], whose: str) -> list[LineGroup]:
    """Lines by how they end, and by whether they have digits: both can be told in any script."""
    ends: dict[str, list[int]] = {
        name: [] for name in ("question", "exclamation", "statement", "without an end mark")
    }
    digits: dict[str, list[int]] = {"with digits": [], "without digits": []}
    for row, text in enumerate(texts):
        ends[kind_of_sentence(text)].append(row)
        digits["with digits" if any(map(_is_digit, text)) else "without digits"].append(row)
    return [
        LineGroup(f"{by} of the {whose}", name, rows)
        for by, groups in (("end", ends), ("digits", digits))
        for name, rows in groups.items()
        if rows
    ]


def _is_digit(character: str) -> bool:
    return unicodedata.category(character) == "Nd"


def kind_of_sentence(line: str) -> str:
    """The kind of a sentence by the last mark of its line, before quotes and brackets."""
    end = line.rstrip()
    while end and _closes(end[-1]):
        end = end[:-1].rstrip()
    last = unicodedata.name(end[-1:], "") if end else ""
    if QUESTION in last or _has_armenian(line, QUESTION) or _is_greek_question(end):
        return "question"
    if EXCLAMATION in last or _has_armenian(line, EXCLAMATION):
        return "exclamation"
    return "statement" if any(stop in last for stop in STOPS) else "without an end mark"


def _closes(character: str) -> bool:
    """Whether a character is a quotation mark or a closing bracket."""
    name = unicodedata.name(character, "")
    closes = unicodedata.category(character) in ("Pe", "Pf")
    return closes or character == "'" or "QUOTATION MARK" in name


def _has_armenian(line: str, mark: str) -> bool:
    """Whether a line has an Armenian mark, which stands over the word that is asked for."""
    character = unicodedata.lookup(f"ARMENIAN {mark}")
    return character in line


def _is_greek_question(end: str) -> bool:
    """Whether a line in Greek letters ends in a semicolon, which asks there."""
    if not end.endswith(";"):
        return False
    letters = [each for each in end if each.isalpha()]
    greek = sum("GREEK" in unicodedata.name(each, "") for each in letters)
    return greek > FEWEST_GREEK * len(letters)
