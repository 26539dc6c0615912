"""Vocabularies of other engines' models, brought into the order of ours.

Every vocabulary of ours begins with PAD, UNK, BOS and EOS, and its SentencePiece model has the same
ids as the model's matrices. Other engines order their pieces in other ways, look the pieces of a
SentencePiece model up in a list of their own, or have one list and a segmentation for each side.
So the SentencePiece model of each side is written again with its pieces in our order. It cuts and
joins text as before:

- The pieces of the list that a side's SentencePiece model lacks have ids, but no text is cut into
  them (`absent_piece`).
- The pieces of a side's SentencePiece model that the list lacks are read as UNK. They follow behind
  the vocabulary, and `Tokenizer` has no ids for them.
- Normalisation is that of the SentencePiece model, without steps of ours. A model that this program
  exported carries its form of text along, which is used again.

`Rows` says of which row of the foreign matrices each row of ours is made, and the other way round.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from sentencepiece import SentencePieceProcessor

from seq2seq_cli import symbols
from seq2seq_cli.config.settings import require
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.symbols import BOS, EOS, NEVER, PAD, UNK
from seq2seq_cli.tokenization.language_tags import foreign_language, language_tag
from seq2seq_cli.tokenization.protobuf import (
    CONTROL_TYPE,
    FORMS_FIELD,
    NORMALIZER_FIELD,
    OUR_IDS,
    PIECE_FIELD,
    TRAINER_FIELD,
    UNKNOWN_TYPE,
    ModelPiece,
    absent_piece,
    fields_beside_pieces,
    forms,
    length_delimited,
    model_pieces,
    model_type,
    raw_fields_beside_pieces,
    with_rules,
    with_symbols,
)
from seq2seq_cli.tokenization.text_form import SIDES, VERBATIM, Side
from seq2seq_cli.tokenization.tokenizer import UNKNOWN, VOCABULARY_SIZE, Tokenizer

ZEROS = -1  # instead of a row's number


@dataclass(frozen=True)
class Rows:
    """For each row of a reordered matrix, the row of the first one that it is made of."""

    numbers: "np.ndarray[Any, np.dtype[np.int64]]"  # (V,); ZEROS for a row of zeros
    never: "np.ndarray[Any, np.dtype[np.bool_]]"  # (V,); rows that the first matrix lacks

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, matrix: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """The reordered rows of a matrix (V', ...), in its type; bfloat16 may come as uint16."""
        made: np.ndarray[Any, Any] = matrix[np.maximum(self.numbers, 0)]
        made[self.numbers == ZEROS] = 0
        return made

    @property
    def need_bias(self) -> bool:
        """Whether some rows must never be written, for which the output needs a bias."""
        return bool(self.never.any())

    def bias(self, bias: "np.ndarray[Any, Any] | None" = None) -> "np.ndarray[Any, Any]":
        """The output bias (V,) in float32, of a bias (V',) or none; NEVER for the added rows."""
        if bias is None:
            made = np.zeros(len(self), dtype=np.float32)
        else:
            made = self.of(bias.reshape(-1)).astype(np.float32)
        made[self.never] = NEVER
        return made


@dataclass(frozen=True)
class ForeignVocabulary:
    """The vocabulary of one side of a foreign model, and how it cuts text."""

    pieces: Sequence[str | None]  # by id, the row of the matrices; None: a row without a piece
    model: bytes  # the SentencePiece model that cuts the text of this side
    eos: int
    unk: int | None
    pad: int | None = None
    bos: int | None = None
    # Id -> language of tags such as `__fr__`. Those like `>>fra<<` are found by their form.
    tags: Mapping[int, str] = field(default_factory=dict)
    controls: frozenset[int] = frozenset()  # ids of other pieces that are not text
    name: str = "the tokenizer"  # in messages

    @classmethod
    def of_model(cls, model: bytes, name: str = "the tokenizer") -> "ForeignVocabulary":
        """The vocabulary of an engine that takes pieces and ids from a SentencePiece model.

        Raises InputError if the model is damaged or has no end of sentence.
        """
        loaded = _load(model, name)
        ids = (loaded.eos_id(), loaded.unk_id(), loaded.pad_id(), loaded.bos_id())
        eos, unk, pad, bos = (each if each >= 0 else None for each in ids)
        if eos is None:
            raise InputError(f"{name} has no piece for the end of a sentence")
        return cls(piece_names(model), model, eos, unk, pad, bos, name=name)

    def is_same_list(self, other: "ForeignVocabulary") -> bool:
        """Whether both vocabularies have the same pieces with the same ids."""
        return self._key() == other._key()

    def _key(self) -> object:
        return list(self.pieces), self.eos, self.unk, self.pad, self.bos, dict(self.tags)


@dataclass(frozen=True)
class ImportedVocabulary:
    """The tokenizers made of foreign vocabularies, and the rows of the model's matrices."""

    source: Tokenizer
    target: Tokenizer
    joint: bool  # one list of pieces and one matrix
    source_rows: Rows
    target_rows: Rows


def piece_names(model: bytes) -> list[str]:
    """The pieces of a SentencePiece model by id."""
    return [piece.text for piece in model_pieces(model)]


def import_vocabularies(
    source: ForeignVocabulary, target: ForeignVocabulary, *, start: int | None, joint: bool
) -> ImportedVocabulary:
    """Bring the vocabularies of a foreign model into our order.

    `start` is the id whose embedding the decoder reads first, None if it reads zeros: the row of
    our BOS. `joint` says that both sides have one matrix, and then one list of pieces. A symbol of
    the foreign model that ours lacks, such as a `<s>` that is not what the decoder starts from,
    stays as a piece without text. Raises InputError if a vocabulary or a SentencePiece model is
    damaged or does not fit the other side's.
    """
    if not joint:
        source_pieces = _OurPieces.of(source, source.bos)
        target_pieces = _OurPieces.of(target, start)
        return ImportedVocabulary(
            _tokenizer(source, source_pieces, "source"),
            _tokenizer(target, target_pieces, "target"),
            False,
            source_pieces.rows,
            target_pieces.rows,
        )
    require(
        source.is_same_list(target),
        f"{source.name} and {target.name} have different pieces, but the model has one matrix for "
        "both sides; take both from the same model",
    )
    pieces = _OurPieces.of(source, start)
    made = _tokenizer(source, pieces, "source")
    other = made if source.model == target.model else _tokenizer(target, pieces, "target")
    return ImportedVocabulary(made, other, True, pieces.rows, pieces.rows)


@dataclass(frozen=True)
class _OurPieces:
    """The pieces of a foreign list in our order, behind the control symbols."""

    names: list[str]  # as our vocabulary calls them
    foreign: list[str]  # as the SentencePiece models of the foreign model call them
    controls: set[str]  # names of those that are not text, whatever a SentencePiece model says
    rows: Rows

    @classmethod
    def of(cls, vocabulary: ForeignVocabulary, start: int | None) -> "_OurPieces":
        size = len(vocabulary.pieces)
        given = (vocabulary.pad, vocabulary.unk, vocabulary.bos, vocabulary.eos, start)
        for number in (*given, *vocabulary.tags):
            require(
                number is None or 0 <= number < size,
                f"{vocabulary.name} has {size:,} pieces, and a symbol of the model has the id "
                f"{number}; the files belong to different models",
            )
        front = {PAD: vocabulary.pad, UNK: vocabulary.unk, BOS: start, EOS: vocabulary.eos}
        own = {vocabulary.pad, vocabulary.unk, vocabulary.eos}
        if start == vocabulary.bos:
            own.add(start)
        never = [front[symbol] is None for symbol in sorted(front)]
        never[BOS] = start is None or start != vocabulary.bos
        numbers = [ZEROS if front[each] is None else front[each] for each in sorted(front)]
        taken = set(symbols.PIECES.values())
        names, foreign, controls = [], [], set()
        for number, piece in enumerate(vocabulary.pieces):
            if piece is None or number in own:
                continue
            name = _name_of(piece, vocabulary.tags.get(number, ""))
            if name != piece or number in vocabulary.controls:
                controls.add(name)
            while not name or name in taken:
                name = f"<{number}:{name.strip('<>')}>"
                controls.add(name)
            taken.add(name)
            names.append(name)
            foreign.append(piece)
            numbers.append(number)
        never += [False] * len(names)
        return cls(names, foreign, controls, Rows(np.array(numbers), np.array(never)))


def _name_of(piece: str, language: str) -> str:
    """The name of a piece in our vocabulary: tags of languages have one form."""
    language = language or foreign_language(piece)
    return language_tag(language) if language else piece


def _tokenizer(vocabulary: ForeignVocabulary, ours: _OurPieces, side: Side) -> Tokenizer:
    """The tokenizer of a side, from its SentencePiece model with the pieces in our order."""
    loaded = _load(vocabulary.model, vocabulary.name)
    own = {loaded.pad_id(), loaded.unk_id(), loaded.bos_id(), loaded.eos_id()}
    found = {
        piece.text: piece
        for number, piece in enumerate(model_pieces(vocabulary.model))
        if number not in own and piece.text not in symbols.PIECES.values()
    }
    kind = model_type(vocabulary.model)
    made = []
    for symbol, name in symbols.PIECES.items():
        made.append(ModelPiece.of(name, UNKNOWN_TYPE if symbol == UNK else CONTROL_TYPE))
    for name, foreign in zip(ours.names, ours.foreign, strict=True):
        piece = found.pop(foreign, None)
        if name in ours.controls:
            made.append(ModelPiece.of(name, CONTROL_TYPE))
        else:
            made.append(piece or absent_piece(name, kind))
    form, rules = carried_form(vocabulary.model), None
    if form is None:
        form = dict.fromkeys(SIDES, VERBATIM)
    else:
        rules = ("identity", b"")
    form[VOCABULARY_SIZE] = len(made)
    rest = [piece for text, piece in found.items() if text not in ours.controls]
    model = rewritten_model(vocabulary.model, [*made, *rest], OUR_IDS, form, rules)
    return Tokenizer(model, vocabulary.name).for_side(side)


def carried_form(model: bytes) -> dict[str, Any] | None:
    """The forms of text that a model exported by this program carries; None for another model."""
    data = forms(model)
    if data is None:
        return None
    form: dict[str, Any] = json.loads(data)
    return form


def _load(model: bytes, name: str) -> SentencePieceProcessor:
    """Load a SentencePiece model. Raises InputError if it is damaged."""
    loaded = SentencePieceProcessor()
    try:
        loaded.LoadFromSerializedProto(model)
        fields = {number for number, _ in fields_beside_pieces(model)}
    except (RuntimeError, ValueError, LookupError, TypeError):
        fields = set()
    require(
        {TRAINER_FIELD, NORMALIZER_FIELD} <= fields,
        f"{name} is not a SentencePiece model, or it is damaged",
    )
    return loaded


def rewritten_model(
    model: bytes,
    pieces: Sequence[ModelPiece],
    ids: Mapping[int, int],
    form: Mapping[str, Any] | None,
    rules: tuple[str, bytes] | None,
) -> bytes:
    """A SentencePiece model with other pieces, ids of control symbols, form and rules."""
    parts = []
    if form is not None:
        parts.append(length_delimited(FORMS_FIELD, json.dumps(form).encode()))
    parts += [length_delimited(PIECE_FIELD, piece.raw) for piece in pieces]
    for number, raw in raw_fields_beside_pieces(model):
        if number == TRAINER_FIELD:
            names = {symbol: pieces[index].text for symbol, index in ids.items()}
            parts.append(with_symbols(raw, UNKNOWN, ids, names))
        elif number == NORMALIZER_FIELD:
            parts.append(raw if rules is None else with_rules(raw, *rules))
        elif number != FORMS_FIELD:
            parts.append(raw)
    return b"".join(parts)
