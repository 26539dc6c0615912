"""Copies unknown text of a source into its translation, to the words that attend to it.

A model invents something instead of text that it cannot read. Where its attention says which
word that is, the word is replaced by the text of the source (Luong et al. 2015, "Addressing the
Rare Word Problem in Neural Machine Translation"). Symbols such as emojis do not stand for a word:
they are inserted.

Dimensions: B sentences, S source tokens with EOS, T target tokens.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search.predictor import Predictor
from seq2seq_cli.search.prefix import ForcedPrefix
from seq2seq_cli.symbols import BYTE, WORD_START
from seq2seq_cli.tokenization.language_tags import split_tag
from seq2seq_cli.tokenization.sentence_form import SentenceForm
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation.attention import attention_of
from seq2seq_cli.translation.unknown import UNSPACED, UnknownSpan, UnknownText, category

ROWS_WITH_EOS = SentenceForm()
WORDS = frozenset({"word", "unspaced"})  # kinds of pieces


@dataclass(frozen=True)
class SearchedText:
    """A line or segment that was searched."""

    text: str  # with the tag of its language
    tokens: Sequence[int]  # without EOS
    prefix: ForcedPrefix  # what its translations had to begin with
    unknown: UnknownText | None
    forced: Sequence[int] = ()  # the tag that its translation was forced to begin with


@dataclass(frozen=True)
class Copied:
    """A translation with the spans that were copied into it."""

    text: str
    spans: tuple[str, ...]
    is_source: bool = False  # the text is that of the source, word for word
    new_words: tuple[int, ...] = ()  # indices of words that were inserted, ascending


def copy_unknown(
    predictor: Predictor,
    tokenizers: Tokenizers,
    searched: Sequence[SearchedText],
    hypotheses: Sequence[tuple[int, Sequence[int]]],
    form: SentenceForm = ROWS_WITH_EOS,
) -> dict[int, Copied]:
    """Copy what is unknown of the texts into hypotheses; returns the changed ones by their index.

    Hypotheses are given as (row of its text, tokens without EOS and a forced tag). A text of
    nothing but unknown characters is copied as a whole. Without attention to the source nothing
    else is copied.
    """
    copied: dict[int, Copied] = {}
    attending: list[int] = []
    attends = predictor.attends_to_source
    for index, (row, _) in enumerate(hypotheses):
        unknown = searched[row].unknown
        if unknown is not None and unknown.is_all and not searched[row].prefix:
            text = (
                split_tag(searched[row].text)[1] if tokenizers.source.tags else searched[row].text
            )
            copied[index] = Copied(" ".join(text.split()), unknown.texts, is_source=True)
        elif unknown is not None and attends:
            attending.append(index)
    if not attending:
        return copied
    texts = [searched[hypotheses[index][0]] for index in attending]
    attention = attention_of(
        predictor,
        form,
        [text.tokens for text in texts],
        [hypotheses[index][1] for index in attending],
        [text.forced for text in texts],
    )
    for index, weights in zip(attending, attention, strict=True):
        row, tokens = hypotheses[index]
        unknown = searched[row].unknown
        assert unknown is not None
        pieces = tokenizers.source.ids_to_pieces(searched[row].tokens)
        copier = Copier(tokenizers.target, pieces, unknown)
        weights = weights[: len(tokens), : len(pieces) + 1]
        copied[index] = copier.copy(tokens, weights, searched[row].prefix.length_in(tokens))
    return copied


@dataclass(frozen=True)
class Copier:
    """Puts unknown text of a source into its translation."""

    tokenizer: Tokenizer  # of the target
    source_pieces: Sequence[str]  # S - 1
    unknown: UnknownText

    def copy(
        self, tokens: Sequence[int], attention: npt.NDArray[np.float32], fixed: int = 0
    ) -> Copied:
        """Put unknown spans into a translation, given as ids, by its attention (T, S).

        Each span is copied once at most. One with letters or digits replaces the word that attends
        to it most. One of symbols follows the word that attends most to what is before it in the
        source, or stands at the same end of the line. If no word does, it follows that of something
        further before, as long as what comes after it is translated later. The first `fixed` tokens
        stay.
        """
        spans, units = self.unknown.spans, self._source_units()
        symbols = [index for index, span in enumerate(spans) if not span.is_word]
        best: dict[int, tuple[float, range]] = {}  # unit -> the attention to it, and the word
        for word in self._target_words(tokens):
            shares = np.bincount(units, attention[word.start : word.stop].mean(axis=0))
            shares[symbols] = 0
            unit = int(shares.argmax())
            if word.start >= fixed and shares[unit] > best.get(unit, (0.0,))[0]:
                best[unit] = float(shares[unit]), word
        edits: dict[int, _Edit] = {}
        for index, span in enumerate(spans):
            replaced = best[index][1] if index in best else None
            if not span.is_word:
                replaced = self._position_of_symbols(span, units, best, len(tokens), fixed)
            if replaced is not None:
                edits[index] = _Edit(replaced, span)
        text, new_words = self._text(tokens, sorted(edits.values(), key=lambda edit: edit.key))
        copied = tuple(spans[index].text for index in sorted(edits))
        return Copied(text, copied, new_words=new_words)

    def _position_of_symbols(
        self,
        span: UnknownSpan,
        units: npt.NDArray[np.int64],
        best: Mapping[int, tuple[float, range]],
        length: int,
        fixed: int,
    ) -> range | None:
        """Where symbols are inserted into a translation, as an empty range; None: nowhere."""
        kinds = [_kind(piece) for piece in self.source_pieces]
        if WORDS.isdisjoint(kinds[span.tokens.stop :]):
            return range(length, length)
        if WORDS.isdisjoint(kinds[: span.tokens.start]):
            return None if fixed else range(0)
        before = int(units[span.tokens.start - 1])
        word = best[before][1] if before in best else self._last_before(span, units, best)
        return None if word is None else range(word.stop, word.stop)

    def _last_before(
        self,
        span: UnknownSpan,
        units: npt.NDArray[np.int64],
        best: Mapping[int, tuple[float, range]],
    ) -> range | None:
        """The word of the nearest source unit before a span that has one.

        None if the nearest unit after the span has one further left: in another order nothing tells
        where the span belongs.
        """
        before = self._nearest(units[: span.tokens.start][::-1], best)
        after = self._nearest(units[span.tokens.stop :], best)
        if before is None or (after is not None and after.start < before.stop):
            return None
        return before

    @staticmethod
    def _nearest(
        units: npt.NDArray[np.int64], best: Mapping[int, tuple[float, range]]
    ) -> range | None:
        """The word that attends most to the first of these source units that has one."""
        return next((best[unit][1] for unit in units.tolist() if unit in best), None)

    def _source_units(self) -> npt.NDArray[np.int64]:
        """The unit that each source token (S,) belongs to: an unknown span, a word or EOS.

        Spans are numbered first. In scripts without spaces each token is a unit.
        """
        units = np.full(len(self.source_pieces) + 1, -1)
        for number, span in enumerate(self.unknown.spans):
            units[span.tokens.start : span.tokens.stop] = number
        unit = len(self.unknown.spans)
        for index, piece in enumerate([*self.source_pieces, WORD_START]):
            unit += piece.startswith(WORD_START) or bool(UNSPACED.search(piece))
            units[index] = unit if units[index] < 0 else units[index]
        return units

    def _target_words(self, tokens: Sequence[int]) -> list[range]:
        """The words of a translation, without punctuation; in unspaced scripts each piece is one.

        A piece that is only a space belongs to the word after it.
        """
        pieces = self.tokenizer.ids_to_pieces(tokens)
        kinds = [_kind(piece) for piece in pieces]
        starts = [
            index
            for index, piece in enumerate(pieces)
            if index == 0
            or piece.startswith(WORD_START)
            or (kinds[index - 1] != "space" and kinds[index] != kinds[index - 1])
            or (kinds[index - 1] != "space" and kinds[index] == "unspaced")
        ]
        words = [range(start, stop) for start, stop in pairwise([*starts, len(tokens)])]
        return [word for word in words if not WORDS.isdisjoint(kinds[word.start : word.stop])]

    def _text(self, tokens: Sequence[int], edits: Sequence["_Edit"]) -> tuple[str, tuple[int, ...]]:
        """The text of a translation with edits, given in its order, and its new words' indices."""
        pieces = self.tokenizer.ids_to_pieces(tokens)
        result, end = "", 0
        new_words = []

        def add(text: str, spaced: bool) -> None:
            nonlocal result
            result += f" {text}" if result and spaced and text else text

        def begins_word(index: int) -> bool:
            return index < len(pieces) and pieces[index].startswith(WORD_START)

        for edit in edits:
            replaced, span = edit.replaced, edit.span
            add(self.tokenizer.decode([tokens[end : replaced.start]])[0], begins_word(end))
            is_new = not replaced and (span.follows_space or not result)
            new_words += [len(result.split())] if is_new else []
            add(span.text, begins_word(replaced.start) if replaced else is_new)
            end = replaced.stop
        add(self.tokenizer.decode([tokens[end:]])[0], begins_word(end))
        return result, tuple(new_words)


@dataclass(frozen=True)
class _Edit:
    """A span, and the tokens of a translation that it replaces, which may be none."""

    replaced: range  # of tokens
    span: UnknownSpan

    @property
    def key(self) -> tuple[int, int, int]:
        return self.replaced.start, self.replaced.stop, self.span.tokens.start


def _kind(piece: str) -> str:
    """Whether a piece is a space, a part of a word, of text without spaces, or punctuation."""
    text = piece.lstrip(WORD_START)
    if not text:
        return "space"
    if UNSPACED.search(text):
        return "unspaced"
    if BYTE.fullmatch(piece) or any(category(character) in "LMN" for character in text):
        return "word"
    return "punctuation"
