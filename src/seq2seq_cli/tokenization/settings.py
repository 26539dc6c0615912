"""How a tokenizer is trained: the settings of the table [tokenizer]."""

import re
from dataclasses import dataclass
from typing import Literal

from seq2seq_cli import symbols
from seq2seq_cli.config.settings import require
from seq2seq_cli.tokenization.language_tags import LANGUAGE

UNLIMITED = 1 << 24  # pieces; more than there are characters


@dataclass(frozen=True)
class TokenizerSettings:
    """How a tokenizer is learned. Sizes are in pieces and count the four control symbols."""

    vocabulary_size: int | Literal["auto"] = "auto"  # auto goes by the number of sentences
    model_type: Literal["unigram", "bpe", "char", "word"] = "unigram"
    character_coverage: float = 1.0  # the share of the text's characters that have a piece
    lowercase: bool = False  # text is folded to lower case, and decoded as such
    seed: int = 1  # chooses the lines, where there are more than are learned from
    languages: tuple[str, ...] = ()  # to translate into, each of which gets a symbol such as <2de>

    def __post_init__(self) -> None:
        smallest = len(symbols.PIECES) + 1
        require(
            self.vocabulary_size == "auto" or smallest <= self.vocabulary_size <= UNLIMITED,
            f"tokenizer.vocabulary_size = {self.vocabulary_size}: "
            f'"auto" or {smallest} to {UNLIMITED} is allowed',
        )
        require(
            0.98 <= self.character_coverage <= 1,
            f"tokenizer.character_coverage = {self.character_coverage}: 0.98 to 1 is allowed",
        )
        for language in self.languages:
            require(
                re.fullmatch(LANGUAGE, language) is not None,
                f'tokenizer.languages has "{language}": letters, digits, - and _ are allowed, '
                "the first a letter, as in de or pt-BR",
            )
        require(
            len(set(self.languages)) == len(self.languages),
            f"tokenizer.languages = {', '.join(self.languages)}: each is named once",
        )
