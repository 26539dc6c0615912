"""The vocabularies of a CTranslate2 model, and the SentencePiece models beside it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq_cli.errors import InputError
from seq2seq_cli.interop.ctranslate2.model_file import ModelFile
from seq2seq_cli.runs.layout import JOINT_TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER

MODEL_FILE, CONFIG = "model.bin", "config.json"
# What an exported run says of itself in config.json, beside what the engine asks for: settings that
# the format cannot hold, by their sections.
OWN_FACTS = "seq2seq_cli"
OWN_SETTINGS = {
    "model": ("alignment_layer", "alignment_head"),
    "data": ("max_length", "source_language", "source_eos", "language_tags"),
}
# Logit that an exported run adds to control symbols: they are never written, since exp(-10,000) is
# 0 in every type, and float16 still has the number.
FORBIDDEN = -1e4
MOST_BYTES = 1 << 28  # of a list, a configuration or a SentencePiece model

# SentencePiece models by the names that people give them: of both sides, or of each.
JOINT_MODELS = (
    JOINT_TOKENIZER,
    *("sentencepiece.model", "sentencepiece.bpe.model", "spm.model", "vocab.spm", "spiece.model"),
    *("flores200_sacrebleu_tokenizer_spm.model", "spm.128k.model"),
)
PAIRS_OF_MODELS = (
    (SOURCE_TOKENIZER, TARGET_TOKENIZER),
    ("source.spm", "target.spm"),
    ("src.spm", "tgt.spm"),
    ("source_spm.model", "target_spm.model"),
    ("src.model", "tgt.model"),
)
# Tags of languages: __fr__ of M2M-100, fra_Latn of NLLB, fr_XX of mBART-50.
LANGUAGE_PIECE = re.compile("__([a-z]{2,3})__|([a-z]{3}_[A-Z][a-z]{3}|[a-z]{2}_[A-Z]{2})")
PADDING = ("<pad>", "<blank>")
TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
TOKENS["decoder_start_token"] = TOKENS["bos_token"]


@dataclass(frozen=True)
class Symbols:
    """The tokens with a meaning, and which of them the engine adds to a source."""

    unk: str
    bos: str
    eos: str
    start: str | None  # of the decoder; None: whoever translates gives it
    adds_bos: bool
    adds_eos: bool


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json, which old models lack. Raises InputError if it is damaged."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(f"{path} is damaged: it is not a table")
    return config


def read_own_facts(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings that an exported run left in config.json; nothing for other models."""
    own = config.get(OWN_FACTS)
    facts: dict[str, dict[str, Any]] = {}
    for section, names in OWN_SETTINGS.items():
        table = own.get(section) if isinstance(own, dict) else None
        given = table if isinstance(table, dict) else {}
        facts[section] = {name: given[name] for name in names if name in given}
    return facts


def read_symbols(file: ModelFile, config: Mapping[str, Any]) -> Symbols:
    """Read the tokens with a meaning: in config.json, before version 6 in the model itself.

    Raises InputError for a token that is not text.
    """
    if file.version < 6:
        start_is_given = _flag(file, "user_decoder_start_tokens", False)
        bos, eos = _text(file, "bos_token", "<s>"), _text(file, "eos_token", "</s>")
        start = bos if _flag(file, "with_target_bos", True) else eos
        return Symbols(
            unk=_text(file, "unk_token", "<unk>"),
            bos=bos,
            eos=eos,
            start=None if start_is_given else start,
            adds_bos=_flag(file, "with_source_bos", False),
            adds_eos=_flag(file, "with_source_eos", False),
        )
    if not config:
        raise InputError(f"{file.path.with_name(CONFIG)} is missing, which says what tokens mean")
    found = {name: config.get(name, token) for name, token in TOKENS.items()}
    for name, value in found.items():
        if not isinstance(value, str) and not (name == "decoder_start_token" and value is None):
            raise InputError(f"{file.path.with_name(CONFIG)}: {name} = {value!r} is not a token")
    return Symbols(
        unk=found["unk_token"],
        bos=found["bos_token"],
        eos=found["eos_token"],
        start=found["decoder_start_token"],
        adds_bos=bool(config.get("add_source_bos", False)),
        adds_eos=bool(config.get("add_source_eos", False)),
    )


def starts_from_zeros(file: ModelFile) -> bool:
    """Whether the decoder starts from zeros, whatever the start's row of the embedding is."""
    return _flag(file, "decoder/start_from_zero_embedding", False)


def reads_eos(file: ModelFile, symbols: Symbols) -> bool:
    """Whether sources end in EOS: the engine adds it, or the tokenizer of the model's origin.

    Models of Marian start from zeros, those of fairseq from EOS, and both read EOS, which the
    tokenizers of Hugging Face write. Those of OpenNMT-py start from `<s>` and read none.
    """
    return symbols.adds_eos or starts_from_zeros(file) or symbols.start == symbols.eos


def language_tags(pieces: list[str], symbols: Symbols) -> dict[int, str]:
    """The languages of M2M-100, NLLB and mBART-50, whose sides begin with their tags, by id.

    Their decoders start from EOS, and no other model has two pieces of these forms.
    """
    if symbols.start != symbols.eos:
        return {}
    found = {number: LANGUAGE_PIECE.fullmatch(piece) for number, piece in enumerate(pieces)}
    tags = {number: match[1] or match[2] for number, match in found.items() if match}
    return tags if len(tags) > 1 else {}


def _flag(file: ModelFile, name: str, default: bool) -> bool:
    return bool(file.variables[name].scalar()) if name in file.variables else default


def _text(file: ModelFile, name: str, default: str) -> str:
    if name not in file.variables:
        return default
    return file.variables[name].numbers().tobytes().decode("utf-8", "replace")


def read_vocabularies(folder: Path, unk: str) -> tuple[list[str], list[str]]:
    """Read the pieces of source and target by id; one list may be shared.

    The engine adds the unknown token at the end of a list that lacks it. Raises InputError if a
    list is missing or damaged.
    """
    shared = _read_list(folder, "shared_vocabulary", unk)
    if shared is not None:
        return shared, shared
    if _read_list(folder, "source_1_vocabulary", unk) is not None:
        raise InputError(
            f"{folder}: its source has several features of a word (source_1_vocabulary), which "
            "cannot be imported"
        )
    lists = []
    for side in ("source", "target"):
        found = _read_list(folder, f"{side}_vocabulary", unk)
        if found is None:
            raise InputError(
                f"{folder} lacks {side}_vocabulary.json or .txt, or a shared_vocabulary for both "
                "sides"
            )
        lists.append(found)
    return lists[0], lists[1]


def _read_list(folder: Path, name: str, unk: str) -> list[str] | None:
    path = folder / f"{name}.json"
    if path.is_file():
        pieces = read_json(path)
        if not isinstance(pieces, list) or not all(isinstance(each, str) for each in pieces):
            raise InputError(f"{path} is damaged: it is not a list of pieces")
    else:
        path = folder / f"{name}.txt"
        if not path.is_file():
            return None
        pieces = _lines(_read(path))
    if not pieces:
        raise InputError(f"{path} is empty")
    return pieces if unk in pieces else [*pieces, unk]


def _lines(content: bytes) -> list[str]:
    """Lines as pieces. A carriage return at the end of all of them belongs to the line end."""
    lines = content.decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()
    if lines and all(line.endswith("\r") for line in lines):
        return [line[:-1] for line in lines]
    return lines


def read_json(path: Path) -> Any:
    """Read a file of JSON. Raises InputError if it is missing or damaged."""
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{path} has {size:,} bytes, more than any vocabulary")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def read_sentencepiece(folders: tuple[Path, ...]) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """Find the SentencePiece models of source and target beside a model: names and contents.

    A file that nothing else is like counts, whatever its name. Raises InputError, with what was
    looked for, if there is none or it is not clear which belongs to which side.
    """
    for folder in folders:
        for pair in PAIRS_OF_MODELS:
            if all((folder / name).is_file() for name in pair):
                source, target = (folder / name for name in pair)
                return (str(source), _read(source)), (str(target), _read(target))
        others = {
            path
            for pattern in ("*.model", "*.spm")
            for path in folder.glob(pattern)
            if path.is_file()
        }
        named = next((folder / name for name in JOINT_MODELS if folder / name in others), None)
        if named is None and len(others) > 1:
            raise InputError(
                f"{folder}: which of {', '.join(sorted(path.name for path in others))} cuts the "
                "source is not clear; name them source.spm and target.spm, or keep the one of both"
            )
        named = named or next(iter(others), None)
        if named is not None:
            found = str(named), _read(named)
            return found, found
    shown = " or ".join(map(str, folders))
    raise InputError(
        f"{shown} has lists of pieces but no SentencePiece model, which cuts text into them; put "
        f"{JOINT_MODELS[1]}, or source.spm and target.spm, of the same model beside model.bin"
    )
