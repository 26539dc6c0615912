"""SentencePiece models made of tokenizer.json, for folders that hold nothing else, and back.

transformers 5 saves the tokenizers of NLLB and mBART-50 in this form alone. Its rules are those of
the model it was made of: a table of characters, words that begin with a space, and pieces with
scores (unigram) or merges in the order of their ids (BPE).
"""

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.symbols import WORD_START
from seq2seq_cli.tokenization.protobuf import (
    CONTROL_TYPE,
    NORMALIZER_FIELD,
    PIECE_FIELD,
    TEXT_FIELD,
    TEXT_TYPE,
    TRAINER_FIELD,
    UNKNOWN_TYPE,
    USER_TYPE,
    length_delimited,
    message_fields,
    model_pieces,
    number_field,
)

SCORE_FIELD, TYPE_FIELD = 2, 3  # of a piece
NAME_FIELD, TABLE_FIELD = 1, 2  # of the normaliser
TYPES = {"Unigram": 1, "BPE": 2}
MODEL_TYPE_FIELD = 3  # of the trainer's settings
BYTE_TYPE = 6
CUT_TYPES = (TEXT_TYPE, USER_TYPE)  # of pieces that text is cut into
LOWEST = -1e4  # a score that no cut of other pieces has
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
        pieces = [
            length_delimited(PIECE_FIELD, _piece(piece, score, _type(piece, added)))
            for piece, score in scored
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise InputError(f"{path} is damaged: it has no vocabulary; copy it again") from None
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


def tokenizer_json(model: bytes) -> bytes:
    """The tokenizer.json of a unigram model whose sentences end in </s>, as T5's do.

    Pieces that text is not cut into get so low a score that no cut has them.
    """
    pieces = list(model_pieces(model))
    scores = [_score(piece.raw) if piece.kind in CUT_TYPES else LOWEST for piece in pieces]
    table = b""
    for field, rules in message_fields(model):
        if field == NORMALIZER_FIELD and isinstance(rules, bytes):
            found = dict(message_fields(rules)).get(TABLE_FIELD, b"")
            table = found if isinstance(found, bytes) else b""
    normalizer = {
        "type": "Precompiled",
        "precompiled_charsmap": base64.b64encode(table).decode(),
    }
    names = [piece.text for piece in pieces]
    spaces = {"type": "Metaspace", "replacement": WORD_START, "prepend_scheme": "always"}
    bytes_ = any(piece.kind == BYTE_TYPE for piece in pieces)
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    text, other = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    made = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": piece.text,
                **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
                "special": True,
            }
            for number, piece in enumerate(pieces)
            if piece.kind in (CONTROL_TYPE, UNKNOWN_TYPE)
        ],
        "normalizer": normalizer if table else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {**spaces, "split": True}],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [text, end],
            "pair": [text, end, other, end],
            "special_tokens": {
                "</s>": {"id": "</s>", "ids": [names.index("</s>")], "tokens": ["</s>"]}
            },
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [*[{"type": "ByteFallback"}] * bytes_, {**spaces, "split": True}],
        },
        "model": {
            "type": "Unigram",
            "unk_id": names.index("<unk>"),
            "vocab": list(zip(names, scores, strict=True)),
            "byte_fallback": bytes_,
        },
    }
    return json.dumps(made, ensure_ascii=False).encode()


def _score(raw: bytes) -> float:
    """The score of a piece, given as its message."""
    value = dict(message_fields(raw)).get(SCORE_FIELD, 0)
    return float(struct.unpack("<f", value)[0]) if isinstance(value, bytes) else 0.0
