"""Copies unknown text of a source into its translation, to the words that attend to it.

A model invents something in the place of text that it cannot read. Where its attention says which
word that is, the word is replaced by the text of the source (Luong et al. 2015, "Addressing the
Rare Word Problem in Neural Machine Translation").

Dimensions: B sentences, S source tokens with EOS, T target tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq_cli.models import TranslationModel
from seq2seq_cli.padding import pad
from seq2seq_cli.runs.tokenizers import Tokenizers
from seq2seq_cli.search import ForcedPrefix, attention_to_source
from seq2seq_cli.symbols import BOS, BYTE, WORD_START
from seq2seq_cli.tokenization.language_tags import split_tag
from seq2seq_cli.tokenization.tokenizer import Tokenizer
from seq2seq_cli.translation.unknown import UNSPACED, UnknownText, category


@dataclass(frozen=True)
class SearchedText:
    """A line or segment that was searched."""

    text: str  # with the tag of its language
    tokens: Sequence[int]  # without EOS
    prefix: ForcedPrefix  # what its translations had to begin with
    unknown: UnknownText | None


@dataclass(frozen=True)
class Copied:
    """A translation with the spans that were copied into it."""

    text: str
    spans: tuple[str, ...]
    is_source: bool = False  # the text is that of the source, word for word


def copy_unknown(
    models: Sequence[TranslationModel],
    tokenizers: Tokenizers,
    source: Tensor,
    searched: Sequence[SearchedText],
    hypotheses: Sequence[tuple[int, Sequence[int]]],
) -> dict[int, Copied]:
    """Copy what is unknown of the texts into hypotheses; returns the changed ones by their index.

    Hypotheses are given as (row of its text, tokens without EOS); `source` are the ids (B, S) of
    the texts. A text of nothing but unknown characters is copied as a whole. Without attention to
    the source nothing else is copied.
    """
    copied: dict[int, Copied] = {}
    attending: list[int] = []
    attends = all(model.attends_to_source for model in models)
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
    rows = torch.tensor([hypotheses[index][0] for index in attending], device=source.device)
    targets = pad([[BOS, *hypotheses[index][1]] for index in attending]).to(source.device)
    attention = attention_to_source(models, source.index_select(0, rows), targets)
    for index, weights in zip(attending, attention.cpu().numpy(), strict=True):
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
    """Replaces words of a translation by unknown text of its source."""

    tokenizer: Tokenizer  # of the target
    source_pieces: Sequence[str]  # S - 1
    unknown: UnknownText

    def copy(
        self, tokens: Sequence[int], attention: npt.NDArray[np.float32], fixed: int = 0
    ) -> Copied:
        """Replace words of a translation, given as ids, by what they attend to (T, S) most.

        Each span is copied once at most, to the word that attends to it most. The first `fixed`
        tokens stay.
        """
        words = [word for word in self._target_words(tokens) if word.start >= fixed]
        units = self._source_units()
        best: dict[int, tuple[float, range]] = {}  # span -> the attention to it, and the word
        for word in words:
            shares = np.bincount(units, attention[word.start : word.stop].mean(axis=0))
            unit = int(shares.argmax())
            if unit < len(self.unknown.spans) and shares[unit] > best.get(unit, (0.0,))[0]:
                best[unit] = float(shares[unit]), word
        chosen = sorted((word.start, word, span) for span, (_, word) in best.items())
        return Copied(
            self._text(tokens, [(word, self.unknown.spans[span].text) for _, word, span in chosen]),
            tuple(self.unknown.spans[span].text for span in sorted(best)),
        )

    def _source_units(self) -> npt.NDArray[np.int64]:
        """What each source token (S,) belongs to: first the unknown spans, then words, then EOS.

        In scripts without spaces each token is a unit.
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
        return [
            word
            for word in words
            if not {"word", "unspaced"}.isdisjoint(kinds[word.start : word.stop])
        ]

    def _text(self, tokens: Sequence[int], replaced: Sequence[tuple[range, str]]) -> str:
        """The text of a translation in which words were replaced."""
        pieces = self.tokenizer.ids_to_pieces(tokens)
        parts: list[tuple[int, str]] = []  # the first token, and the text from there
        end = 0
        for word, text in replaced:
            parts += [(end, self.tokenizer.decode([tokens[end : word.start]])[0])]
            parts += [(word.start, text)]
            end = word.stop
        parts.append((end, self.tokenizer.decode([tokens[end:]])[0]))
        result = ""
        for start, text in parts:
            begins = start < len(pieces) and pieces[start].startswith(WORD_START)
            result += f" {text}" if result and begins and text else text
        return result


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
