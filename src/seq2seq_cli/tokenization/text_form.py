"""How a tokenizer reads the text of a side before SentencePiece cuts it, and writes it again after.

SentencePiece models of ours leave characters as they are. What each side does to its text stands
beside the pieces in the model file, so that one joint vocabulary serves a source that is normalised
and a target whose every character can be written. Other SentencePiece tools ignore it.

Every step is a function of the line alone, and the same in training and in translation:

1. Characters that are not text become a space: control characters (NUL, TAB, CR, U+0085, form feed,
   ...), U+2028, U+2029, lone surrogates and the noncharacters that step 3 uses.
2. Unicode normalisation, and case folding. Symbols of the user's are left out of both.
3. Characters that SentencePiece or step 4 use themselves are replaced by noncharacters, which
   `restore` turns back.
4. With inline casing, words with capitals are lowered and marked, which `restore` undoes too.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from functools import cache
from typing import Any, Literal, cast

from sentencepiece import SentencePieceNormalizer

from seq2seq_cli.config.tokenizer import Normalization, TokenizerSettings
from seq2seq_cli.deferred import dataclass, pattern
from seq2seq_cli.messages import counted
from seq2seq_cli.symbols import WORD_START

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")

# What "auto" means. For the source, recipes/bench/LOG.md has the measurement. The target's text is
# left as it is, so that the model can write whatever it was trained on.
AUTOMATIC: dict[Side, Normalization] = {"source": "nfkc", "target": "identity"}

SHOWN = 20  # characters before and after the first that is changed

TITLE, UPPER = "\u21e7", "\u21ea"  # ⇧ and ⇪, after a word that has capitals
# By SentencePiece and for casing -> as models read them if text contains them
RESERVED = {"\u2581": "\ufdd0", "\u2585": "\ufdd1", TITLE: "\ufdd2", UPPER: "\ufdd3"}
TO_PIECES = str.maketrans(RESERVED)
TO_TEXT = str.maketrans({piece: text for text, piece in RESERVED.items()})
CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
CONTROL = pattern(f"[{CONTROLS}]")
NON_TEXT = pattern(f"[{CONTROLS}\ufdd0-\ufdd3]")
NON_TEXT_OF_OTHERS = pattern(f"[{CONTROLS}{WORD_START}]")
SURROGATE = pattern("[\ud800-\udfff]")  # no text that can be written has them
WORD = pattern(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # of letters; an apostrophe may be inside
MARKED = pattern(f"({WORD.pattern})([{TITLE}{UPPER}])|[{TITLE}{UPPER}]")
SPACES = pattern(" +")
DOTTED_I = "i\u0307"  # case folding makes it of İ; an i has its dot already


@dataclass(frozen=True)
class TextForm:
    """The normalisation of one side's text before it is cut into pieces."""

    normalization: Normalization = "identity"
    lowercase: bool = False
    inline_casing: bool = False
    symbols: tuple[str, ...] = ()  # that stay as they are

    @classmethod
    def of(cls, settings: TokenizerSettings, side: Side) -> "TextForm":
        """The form of a side by these settings."""
        normalization = {
            "source": settings.source_normalization,
            "target": settings.target_normalization,
        }[side]
        return cls(
            normalization=AUTOMATIC[side] if normalization == "auto" else normalization,
            lowercase=settings.lowercase is True or settings.lowercase == side,
            inline_casing=settings.casing == "inline",
            symbols=settings.user_symbols,
        )

    @property
    def is_faithful(self) -> bool:
        """Whether every line is written as it was read, apart from what `plain` removes."""
        return self.normalization == "identity" and not self.lowercase

    def settings(self, side: Side) -> str:
        """The settings that change the text of this side."""
        return " and ".join(
            [f"tokenizer.{side}_normalization = {self.normalization}"]
            * (self.normalization != "identity")
            + ["tokenizer.lowercase"] * self.lowercase
        )

    def read(self, line: str) -> str:
        """The line as SentencePiece gets it."""
        if line.isascii() and line.isprintable() and not (self.lowercase or self.inline_casing):
            return line  # most lines of many languages, and nothing below would change them
        text = self._normalize(NON_TEXT.sub(" ", line)).translate(TO_PIECES)
        if self.inline_casing and text != text.lower():
            text = "".join(part for part, _ in self._marked(text))
        return text

    def _normalize(self, text: str) -> str:
        if not self.symbols:
            return self._normalize_all(text)
        parts = _divider(self.symbols).split(text)  # symbols are every second part
        parts[::2] = map(self._normalize_all, parts[::2])
        return "".join(parts)

    def _normalize_all(self, text: str) -> str:
        normalize = _normalizer(self.normalization)
        text = normalize(text)
        if self.lowercase:
            text = normalize(text.casefold().replace(DOTTED_I, "i"))
        return text

    def restore(self, line: str) -> str:
        """The text of a line that SentencePiece put together from pieces."""
        if self.inline_casing:
            line = MARKED.sub(_with_capitals, line)
        return line.translate(TO_TEXT)

    def written(self, line: str) -> str:
        """The line as it is after being read and written, if all its characters are known.

        Equal to `plain(line)` unless the settings change the text.
        """
        return plain(self.restore(self.read(line)))

    def _marked(self, text: str) -> Iterator[tuple[str, Iterable[int]]]:
        """Yield a text in parts, with the index of each character: marked words, and the rest."""
        end = 0
        kept = {
            index
            for found in (_divider(self.symbols).finditer(text) if self.symbols else ())
            for index in range(*found.span())
        }
        for found in WORD.finditer(text):
            word = found[0]
            lowered = word.lower()
            mark = TITLE if word[1:] == lowered[1:] else UPPER
            if word == lowered or _in_capitals(lowered, mark) != word:
                continue
            if kept and not kept.isdisjoint(range(*found.span())):
                continue
            yield text[end : found.start()], range(end, found.start())
            end = found.end()
            yield lowered, range(found.start(), end)
            yield mark, [end - 1]
        yield text[end:], range(end, len(text))

    def as_python(self, name: str) -> list[str]:
        """Expressions that one after the other do the same with a line in this variable.

        For users of other engines; they use the modules unicodedata and sentencepiece.
        """
        normalize = {
            "nfc": [f'unicodedata.normalize("NFC", {name})'],
            "nfkc": [f'unicodedata.normalize("NFKC", {name})'],
            "nmt_nfkc": [
                'sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc", '
                f"add_dummy_prefix=False, escape_whitespaces=False).normalize({name})"
            ],
        }.get(self.normalization, [])
        if not self.lowercase:
            return normalize
        return [*normalize, f'{name}.casefold().replace("i\\u0307", "i")', *normalize]

    def read_with_origins(self, line: str) -> tuple[str, list[int]]:
        """The line as SentencePiece gets it, and the index in `line` each character comes from."""
        if self.inline_casing:
            text, origins = replace(self, inline_casing=False).read_with_origins(line)
            marked = list(self._marked(text))
            return "".join(part for part, _ in marked), [
                origins[index] for _, indices in marked for index in indices
            ]
        read = self.read(line)
        if line.isascii():
            return read, list(range(len(line)))
        for split in (_clusters, _words):
            parts = split(line, self._normalize)
            if "".join(map(self.read, parts)) == read:
                break
        else:
            parts = [line]
        origins = []
        start = 0
        for part in parts:
            origins += [start] * len(self.read(part))
            start += len(part)
        return read, origins


def _in_capitals(word: str, mark: str) -> str:
    """A word in lower case with its capitals: the first letter, or all."""
    return word[0].title() + word[1:] if mark == TITLE else word.upper()


def _with_capitals(marked: re.Match[str]) -> str:
    return _in_capitals(marked[1], marked[2]) if marked[1] else ""


@cache
def _divider(symbols: tuple[str, ...]) -> re.Pattern[str]:
    """Splits text into what is between these symbols and the symbols themselves."""
    longest_first = sorted(symbols, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})")


class ForeignForm(TextForm):
    """The form of a model that normalises text by rules of its own."""

    def read(self, line: str) -> str:
        return NON_TEXT_OF_OTHERS.sub(" ", line)

    def restore(self, line: str) -> str:
        return line

    def as_python(self, name: str) -> list[str]:
        return []

    def read_with_origins(self, line: str) -> tuple[str, list[int]]:
        return self.read(line), list(range(len(line)))


class VerbatimForm(ForeignForm):
    """The form of an imported model: its SentencePiece model gets lines as they are."""

    def read(self, line: str) -> str:
        return SURROGATE.sub("\ufffd", line)


def plain(line: str) -> str:
    """The line without what no tokenizer keeps: spaces at its ends and all but one in a row.

    Characters that are not text count as spaces.
    """
    return SPACES.sub(" ", NON_TEXT.sub(" ", line)).strip(" ")


class ChangedLines:
    """Counts the lines of a target that a tokenizer cannot write as they were, with an example."""

    def __init__(self) -> None:
        self.count = 0
        self._example = ("", "")

    def compare(self, before: str, after: str) -> None:
        """Compare a line with what is written of it."""
        if before == after:
            return
        self.count += 1
        if self.count == 1:
            alike = zip(before, after, strict=False)
            shorter = min(len(before), len(after))
            start = next((i for i, (a, b) in enumerate(alike) if a != b), shorter)
            begin = max(before.rfind(" ", 0, start) + 1, start - SHOWN)
            self._example = before[begin : start + SHOWN], after[begin : start + SHOWN]

    def notes(self, why: str) -> Iterator[str]:
        """Say how many lines there are, if any, and what changes them."""
        if self.count:
            before, after = self._example
            yield (
                f"{counted(self.count, 'line')} of the target cannot be written as they are: "
                f'"{before}" becomes "{after}" ({why})'
            )


@cache
def _normalizer(name: Normalization) -> Callable[[str], str]:
    """The function that normalises text in this form."""
    if name == "identity":
        return str
    if name == "nmt_nfkc":
        rules = SentencePieceNormalizer(
            rule_name=name,
            add_dummy_prefix=False,
            escape_whitespaces=False,
            remove_extra_whitespaces=False,
        )
        return cast(Callable[[str], str], rules.normalize)
    form = cast(Literal["NFC", "NFKC"], name.upper())
    return lambda text: unicodedata.normalize(form, text)


def _clusters(line: str, normalize: Callable[[str], str]) -> list[str]:
    """Divide a line into the shortest parts that are normalised independently of each other."""
    parts: list[str] = []
    for character in line:
        if parts and (
            unicodedata.combining(character)
            or normalize(parts[-1] + character) != normalize(parts[-1]) + normalize(character)
        ):
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _words(line: str, normalize: Callable[[str], str]) -> list[str]:
    """Divide a line before each of its spaces."""
    return re.split("(?= )", line)


# In the model file

VERBATIM = {"verbatim": True}  # what a model file says of `VerbatimForm`


def forms_to_json(settings: TokenizerSettings) -> bytes:
    """The forms of both sides, as a model file records them."""
    return json.dumps({side: asdict(TextForm.of(settings, side)) for side in SIDES}).encode()


def form_from_json(data: bytes, side: Side) -> TextForm:
    """Read what a model file says about the text of a side.

    Raises ValueError if it is damaged or of a later version.
    """
    table: dict[str, Any] = json.loads(data)[side]
    if table == VERBATIM:
        return VerbatimForm()
    names = {each.name for each in fields(TextForm)}
    if not names >= table.keys():
        raise ValueError(f"unknown: {', '.join(table.keys() - names)}")
    return TextForm(**table | {"symbols": tuple(table.get("symbols", ()))})
