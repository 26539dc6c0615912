"""A run as a folder of transformers holds it, which `writer` writes."""

from collections.abc import Mapping
from dataclasses import dataclass

from seq2seq_cli.config.settings import Table
from seq2seq_cli.interop.foreign_model import StoredWeight
from seq2seq_cli.interop.huggingface.card import Classes


@dataclass(frozen=True)
class Symbols:
    """The ids of symbols there."""

    start: int  # what the decoder reads first
    pad: int
    eos: int
    unk: int

    @property
    def never_written(self) -> list[int]:
        """The ids that are in no translation, each once."""
        return list(dict.fromkeys((self.unk, self.pad, self.start)))

    def settings(self) -> dict[str, int]:
        """Their names in config.json and generation_config.json."""
        return {
            "pad_token_id": self.pad,
            "decoder_start_token_id": self.start,
            "eos_token_id": self.eos,
            "forced_eos_token_id": self.eos,
        }


@dataclass(frozen=True)
class Exported:
    """All that a folder holds, apart from its search and its model card.

    `weights` have the names of transformers. `config` and `tokenizer` are the contents of
    config.json and tokenizer_config.json, without symbols and the type of weights; `files` are
    those of vocabularies.
    """

    classes: Classes
    config: Table
    tokenizer: Table
    files: Mapping[str, bytes]
    weights: Mapping[str, StoredWeight]
    symbols: Symbols
    notes: tuple[str, ...]
