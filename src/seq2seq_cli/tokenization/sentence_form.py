"""How a model reads the tokens of a sentence: with an end or without, and what stands in front.

Everywhere else a source sentence is its tokens, with the tag of a language first if it has one.
What the encoder reads of it is a row. Most rows are the sentence and EOS.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.padding import Ids
from seq2seq_cli.symbols import EOS
from seq2seq_cli.tokenization.tokenizer import Tokenizer, split_pieces


@dataclass(frozen=True)
class SentenceForm:
    """The rows that the encoder reads, by the settings of a run."""

    source_eos: bool = True
    last_tags: frozenset[int] = frozenset()  # ids of tags that stand behind EOS instead of in front
    prefix: tuple[int, ...] = ()  # ids in front of each sentence

    @classmethod
    def of(cls, data: DataConfig, source: Tokenizer) -> "SentenceForm":
        """The form of a run with these settings and this tokenizer of its source.

        Raises InputError for a prefix of other pieces than the tokenizer has.
        """
        tags = source.tags.values() if data.language_tags == "both-source-last" else ()
        try:
            prefix = tuple(source.pieces_to_ids(split_pieces(data.source_prefix)))
        except InputError as error:
            raise InputError(f"data.source_prefix = {data.source_prefix!r}: {error}") from None
        return cls(data.source_eos, frozenset(tags), prefix)

    def row(self, sentence: Sequence[int]) -> list[int]:
        """The row that the encoder reads for a sentence; at least EOS."""
        tokens = list(sentence)
        if not self.source_eos:
            return [*self.prefix, *tokens] if tokens else [EOS]
        if self._has_last_tag(tokens):
            return [*self.prefix, *tokens[1:], EOS, tokens[0]]
        return [*self.prefix, *tokens, EOS]

    def array(self, sentence: Ids) -> Ids:
        """As `row`, for an array."""
        if self.source_eos and not self.last_tags and not self.prefix:
            return np.concatenate((sentence, [EOS]))
        return np.array(self.row(sentence.tolist()), dtype=np.int64)

    def _has_last_tag(self, sentence: Sequence[int] | Ids) -> bool:
        return bool(self.last_tags) and len(sentence) > 0 and int(sentence[0]) in self.last_tags

    def in_order(self, sentence: Sequence[int], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Columns (…, row) of what a model says about a row as those (…, sentence and EOS)."""
        rows = rows[..., self._prefix_of(sentence) :]
        if not self.source_eos and len(sentence):
            return np.concatenate((rows, np.zeros_like(rows[..., :1])), axis=-1)
        return np.roll(rows, 1, axis=-1) if self._has_last_tag(sentence) else rows

    def of_row(self, sentence: Sequence[int] | Ids, columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Columns (…, sentence) as those (…, row), with zeros for EOS and for a prefix."""
        made = columns
        if self.source_eos or not len(sentence):
            made = np.concatenate(
                (columns, np.zeros((*columns.shape[:-1], 1), columns.dtype)), axis=-1
            )
            made = np.roll(made, -1, axis=-1) if self._has_last_tag(sentence) else made
        if not self._prefix_of(sentence):
            return made
        shape = (*columns.shape[:-1], self._prefix_of(sentence))
        return np.concatenate((np.zeros(shape, columns.dtype), made), axis=-1)

    def _prefix_of(self, sentence: Sequence[int] | Ids) -> int:
        """The tokens of the prefix; a row that is only EOS has none."""
        return len(self.prefix) if self.source_eos or len(sentence) else 0
