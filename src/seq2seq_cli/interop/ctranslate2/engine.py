"""Translates with CTranslate2 itself, to compare an imported run with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor

from seq2seq_cli.config.search import SearchOptions
from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2.model_file import read_model_file
from seq2seq_cli.interop.ctranslate2.vocabulary import (
    MODEL_FILE,
    PADDING,
    Symbols,
    language_tags,
    read_config,
    read_sentencepiece,
    read_symbols,
    read_vocabularies,
    reads_eos,
)
from seq2seq_cli.tokenization.language_tags import language_of, split_languages


def translate_with_original(path: Path, lines: Sequence[str], beam: int) -> list[str]:
    """Translate lines in float32, with the SentencePiece models beside the model.

    Tags as <2de> become the model's pieces; a second one names the line's own language. Raises
    InputError if the package is not installed, or lacks a language.
    """
    try:
        import ctranslate2  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            "the package ctranslate2 is not installed; pip install 'seq2seq-cli[bench]' installs it"
        ) from None
    folder = path if path.is_dir() else path.parent
    file = read_model_file(folder / MODEL_FILE)
    symbols = read_symbols(file, read_config(folder))
    cut, join = (_load(model) for _, model in read_sentencepiece((folder, folder.parent)))
    pieces = read_vocabularies(folder, symbols.unk)[1]
    languages = _languages(pieces, symbols)
    is_of_both = bool(language_tags(pieces, symbols))
    end = [symbols.eos] if reads_eos(file, symbols) and not symbols.adds_eos else []
    # Search here writes neither padding nor the start.
    never = ({*PADDING, symbols.start or ""} - {symbols.eos}) & set(pieces)
    engine = ctranslate2.Translator(str(folder), compute_type="float32")
    usual, translations = SearchOptions(), []
    for line in lines:  # one by one, since each has a limit of its own
        into, own, text = split_languages(line)
        tokens = cut.Encode(text, out_type=str)
        if not tokens:
            translations.append("")
            continue
        tag = [_tag(languages, own if is_of_both else into)] if into else []
        prefix = [_tag(languages, into)] if is_of_both else []
        tokens = [*tag, *tokens, *end]
        length = len(tokens) + symbols.adds_eos
        [result] = engine.translate_batch(
            [tokens],
            target_prefix=[prefix] if prefix else None,
            beam_size=beam,
            min_decoding_length=0,
            # without EOS, which counts in ours
            max_decoding_length=int(usual.max_ratio * length) + usual.max_extra - 1,
            disable_unk=True,
            suppress_sequences=[[each] for each in sorted(never)],
        )
        translations.append(join.DecodePieces(result.hypotheses[0][len(prefix) :]))
    return translations


def _load(model: bytes) -> Any:
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor


def _languages(pieces: list[str], symbols: Symbols) -> dict[str, str]:
    """The piece that stands for each language."""
    found = {language_of(piece): piece for piece in pieces if language_of(piece)}
    numbers = language_tags(pieces, symbols)
    return found | {language: pieces[number] for number, language in numbers.items()}


def _tag(languages: Mapping[str, str], language: str) -> str:
    if language not in languages:
        raise InputError(
            f"the model has no tag of the language {language!r}; give one of "
            f"{', '.join(sorted(languages)[:9])} as in <2xx> before each line"
        )
    return languages[language]
