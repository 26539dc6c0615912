"""Settings of the tokenizer: the section [tokenizer]."""

import re
from typing import ClassVar, Literal

from seq2seq_cli import symbols
from seq2seq_cli.config.settings import Section, require, setting
from seq2seq_cli.deferred import dataclass

UNLIMITED = 1 << 24  # pieces; more than there are characters
Normalization = Literal["auto", "identity", "nfc", "nfkc", "nmt_nfkc"]
ModelType = Literal["unigram", "bpe", "char", "word"]
RESERVED = "\u2581\u2585\u21e7\u21ea"  # ▁ ▅ ⇧ ⇪, which mean something inside of pieces
LANGUAGE = r"[A-Za-z][\w-]*"  # the name of a language


def check_languages(setting_name: str, languages: tuple[str, ...]) -> None:
    """Raise InputError unless a setting names languages, each once."""
    for language in languages:
        require(
            re.fullmatch(LANGUAGE, language) is not None,
            f'{setting_name} has "{language}": letters, digits, - and _ are allowed, '
            "the first a letter, as in de or pt-BR",
        )
    require(
        len(set(languages)) == len(languages),
        f"{setting_name} = {', '.join(languages)}: each is named once",
    )


@dataclass(frozen=True)
class TokenizerSettings(Section):
    """How a tokenizer is learned. Sizes are in pieces and count the four control symbols."""

    SECTION: ClassVar[str] = "tokenizer"

    vocabulary_size: int | Literal["auto"] = setting(
        "auto", at_least=len(symbols.PIECES) + 1, at_most=UNLIMITED
    )
    """Number of pieces, control symbols included.

    auto goes by the number of sentences: 2,000 pieces for 5,000 sentences, 8,000 for a million,
    32,000 for 4.5 million.

    Paper: Sennrich and Zhang 2019, Revisiting Low-Resource Neural Machine Translation; Gowda and
    May 2020, Finding the Optimal Vocabulary Size for Neural Machine Translation.
    """

    model_type: ModelType = "unigram"
    """How text is segmented into pieces.

    Paper: Kudo 2018, Subword Regularization (unigram); Sennrich et al. 2016, Neural Machine
    Translation of Rare Words with Subword Units (bpe).
    """

    character_coverage: float | Literal["auto"] = setting("auto", at_least=0.98, at_most=1)
    """Share of the text's characters that have a piece; 0.9995 suits Chinese and Japanese.

    auto is 0.9995 with byte fallback, so that a model learns to read and write the rarest
    characters in bytes, and otherwise 1.
    """

    byte_fallback: Literal["auto", "on", "off"] = "auto"
    """Spell characters that have no piece in bytes, instead of reading them as unknown.

    This takes 256 pieces. auto is on for unigram and bpe tokenizers with at least 8,000 pieces
    besides, 3% of which the bytes are; in a smaller vocabulary they would cost more.
    """

    user_symbols: tuple[str, ...] = ()
    """Strings that are always one piece by themselves, such as <sep> or a placeholder.

    Neither normalisation nor case folding changes them.
    """

    split_digits: bool = False
    """Make each digit a piece by itself, so that numbers are copied digit by digit."""

    casing: Literal["keep", "inline"] = "keep"
    """How capitals are read and written.

    inline lowers them and puts a piece ⇧ after a capitalised word and ⇪ after one in capitals, so
    that every word has the same pieces in any case; words in mixed case stay as they are. What is
    written has its capitals again.
    """

    source_normalization: Normalization = "auto"
    """What becomes of the characters of source text before it is cut into pieces.

    identity leaves them; nfc composes letters and their marks; nfkc, which is auto, also replaces
    full-width forms, ligatures, no-break spaces, superscripts and other variants by the plain
    characters; nmt_nfkc also replaces invisible ones, which Persian needs, by spaces.
    """

    target_normalization: Normalization = "auto"
    """What becomes of the characters of target text before it is cut into pieces.

    With identity, which is auto, the model can write all that it was trained on. With others, see
    tokenizer.source_normalization, it never writes the characters that they replace.
    """

    lowercase: bool | Literal["source", "target"] = False
    """Fold text to lower case on both sides, or on one; the target is written in lower case then.

    This is full case folding: STRASSE and Straße are strasse.
    """

    seed: int = 1
    """Seed of the choice of lines to learn from, where there are too many to use all."""

    languages: tuple[str, ...] = ()
    """Languages to translate into, each of which gets a symbol such as <2de>.

    `train` fills them in from the marks of data.target. A name has letters, digits, - and _.

    Paper: Johnson et al. 2017, Google's Multilingual Neural Machine Translation System.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_languages("tokenizer.languages", self.languages)
        self._check_user_symbols()
        require(
            self.byte_fallback != "on" or self.model_type != "word",
            'tokenizer.byte_fallback = "on" spells unknown characters, and with '
            'tokenizer.model_type = "word" whole words are unknown; choose another type, or "off"',
        )
        require(
            self.casing == "keep" or self.lowercase is False,
            'tokenizer.casing = "inline" keeps capitals and tokenizer.lowercase removes them; '
            "choose one",
        )

    def _check_user_symbols(self) -> None:
        """Raise InputError unless the symbols are different strings without white space."""
        names = symbols.PIECES.values()
        for symbol in self.user_symbols:
            require(
                symbol.split() == [symbol]
                and symbol.isprintable()
                and not (symbol in names or set(symbol) & set(RESERVED)),
                f'tokenizer.user_symbols has "{symbol}": a symbol (--symbol) consists of visible '
                f"characters without spaces, is none of {', '.join(names)}, and has no "
                f"{' or '.join(RESERVED)} in it",
            )
        require(
            len(set(self.user_symbols)) == len(self.user_symbols),
            f"tokenizer.user_symbols = {', '.join(self.user_symbols)}: each is named once",
        )
