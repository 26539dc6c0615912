"""How a model reads the tokens of a sentence: with an end or without, and where tags stand.

Everywhere else a source sentence is its tokens, with the tag of a language first if it has one.
What the encoder reads of it is a row. Most rows are the sentence and EOS.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq_cli.config.data import DataConfig
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.padding import Ids
from seq2seq_cli.symbols import EOS
from seq2seq_cli.tokenization.tokenizer import Tokenizer


@dataclass(frozen=True)
class SentenceForm:
    """The rows that the encoder reads, by the settings of a run."""

    source_eos: bool = True
    last_tags: frozenset[int] = frozenset()  # ids of tags that stand behind EOS instead of in front

    @classmethod
    def of(cls, data: DataConfig, source: Tokenizer) -> "SentenceForm":
        """The form of a run with these settings and this tokenizer of its source."""
        tags = source.tags.values() if data.language_tags == "both-source-last" else ()
        return cls(data.source_eos, frozenset(tags))

    def row(self, sentence: Sequence[int]) -> list[int]:
        """What the encoder reads of a sentence; at least EOS."""
        tokens = list(sentence)
        if not self.source_eos:
            return tokens or [EOS]
        if self._has_last_tag(tokens):
            return [*tokens[1:], EOS, tokens[0]]
        return [*tokens, EOS]

    def array(self, sentence: Ids) -> Ids:
        """As `row`, for an array."""
        if self.source_eos and not self.last_tags:
            return np.concatenate((sentence, [EOS]))
        return np.array(self.row(sentence.tolist()), dtype=np.int64)

    def _has_last_tag(self, sentence: Sequence[int] | Ids) -> bool:
        return bool(self.last_tags) and len(sentence) > 0 and int(sentence[0]) in self.last_tags

    def in_order(self, sentence: Sequence[int], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Columns (…, row) of what a model says about a row as those (…, sentence and EOS)."""
        if not self.source_eos and len(sentence):
            return np.concatenate((rows, np.zeros_like(rows[..., :1])), axis=-1)
        return np.roll(rows, 1, axis=-1) if self._has_last_tag(sentence) else rows

    def of_row(self, sentence: Sequence[int] | Ids, columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Columns (…, sentence) as those (…, row), with zeros for EOS."""
        if not self.source_eos and len(sentence):
            return columns
        ended = np.concatenate((columns, np.zeros_like(columns[..., :1])), axis=-1)
        return np.roll(ended, -1, axis=-1) if self._has_last_tag(sentence) else ended
