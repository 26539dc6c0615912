"""SentencePiece models made of tokenizer.json, for folders that hold nothing else.

transformers 5 saves the tokenizers of NLLB and mBART-50 in this form alone. Its rules are those of
the model it was made of: a table of characters, words that begin with a space, and pieces with
scores (unigram) or merges in the order of their ids (BPE).
"""

import base64
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.tokenization.protobuf import (
    CONTROL_TYPE,
    NORMALIZER_FIELD,
    PIECE_FIELD,
    TEXT_FIELD,
    TEXT_TYPE,
    TRAINER_FIELD,
    UNKNOWN_TYPE,
    length_delimited,
    number_field,
)

SCORE_FIELD, TYPE_FIELD = 2, 3  # of a piece
NAME_FIELD, TABLE_FIELD = 1, 2  # of the normaliser
TYPES = {"Unigram": 1, "BPE": 2}
MODEL_TYPE_FIELD = 3  # of the trainer's settings
IDS = {"<unk>": 40, "<s>": 41, "</s>": 42, "<pad>": 43}


def sentencepiece_model(tokenizer: Mapping[str, Any], path: Path) -> bytes:
    """The SentencePiece model that a tokenizer.json was made of.

    Raises InputError if it has other rules than SentencePiece.
    """
    try:
        model = tokenizer["model"]
        kind = str(model["type"])
        require(
            kind in TYPES,
            f"{path} has a model of type {kind}; SentencePiece's {' and '.join(TYPES)} can be held",
        )
        if kind == "Unigram":
            scored = [(str(piece), float(score)) for piece, score in model["vocab"]]
        else:
            ids = sorted((number, piece) for piece, number in model["vocab"].items())
            scored = [(piece, -float(number)) for number, piece in ids]
        added = {each["content"] for each in tokenizer.get("added_tokens", ())}
        table = _table(tokenizer.get("normalizer"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} is damaged: it has no vocabulary; copy it again") from None
    pieces = [
        length_delimited(PIECE_FIELD, _piece(piece, score, _type(piece, added)))
        for piece, score in scored
    ]
    names = [piece for piece, _ in scored]
    trainer = number_field(MODEL_TYPE_FIELD, TYPES[kind])
    for name, field in IDS.items():
        trainer += number_field(field, names.index(name) if name in names else (1 << 64) - 1)
    normalizer = length_delimited(NAME_FIELD, b"of tokenizer.json")
    if table:
        normalizer += length_delimited(TABLE_FIELD, table)
    return b"".join(
        [
            *pieces,
            length_delimited(TRAINER_FIELD, trainer),
            length_delimited(NORMALIZER_FIELD, normalizer),
        ]
    )


def _type(piece: str, added: set[str]) -> int:
    if piece == "<unk>":
        return UNKNOWN_TYPE
    return CONTROL_TYPE if piece in added else TEXT_TYPE


def _piece(text: str, score: float, kind: int) -> bytes:
    return (
        length_delimited(TEXT_FIELD, text.encode())
        + bytes([SCORE_FIELD << 3 | 5])
        + struct.pack("<f", score)
        + number_field(TYPE_FIELD, kind)
    )


def _table(normalizer: Any) -> bytes:
    """The table of characters of a normaliser, or b"" if it has none."""
    steps = normalizer.get("normalizers", [normalizer]) if normalizer else []
    for step in steps:
        if step.get("type") == "Precompiled":
            return base64.b64decode(step["precompiled_charsmap"])
    return b""
