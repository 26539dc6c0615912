"""Reads and writes the few fields of SentencePiece's protobuf messages that are needed here."""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from seq2seq_cli.symbols import BOS, EOS, PAD, PIECES, UNK

# Of a model. Other tools ignore the last, in which our tokenizers say what becomes of their text.
PIECE_FIELD, TRAINER_FIELD, NORMALIZER_FIELD, FORMS_FIELD = 1, 2, 3, 1000
MODEL_TYPE_FIELD, UNK_SURFACE_FIELD = 3, 44  # of the trainer's settings
ID_FIELDS = {PAD: 43, UNK: 40, BOS: 41, EOS: 42}  # of the control symbols, in the same settings
NAME_FIELDS = {PAD: 48, UNK: 45, BOS: 46, EOS: 47}
OUR_IDS = {symbol: symbol for symbol in PIECES}
NO_ID = (1 << 64) - 1  # -1, as variable length has it
TEXT_FIELD, SCORE_FIELD, TYPE_FIELD = 1, 2, 3  # of a piece
TEXT_TYPE, UNKNOWN_TYPE, CONTROL_TYPE, USER_TYPE, UNUSED_TYPE = 1, 2, 3, 4, 5
# Begins the name of a piece that a side's vocabulary has but its model does not cut text into.
ABSENT = "\ufdd4"
RULES_FIELD, TABLE_FIELD = 1, 2  # of the normaliser: the name of its rules, and their table
# How short pieces and their fields begin: the tag of a field of bytes, of a score, of a number
SHORT_PIECE, SHORT_TEXT, SCORE, SHORT_TYPE = 0x0A, b"\x0a", b"\x15", b"\x18"
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
PIECES_OF_TEXT_FIELD, BEGIN_FIELD, END_FIELD = 2, 4, 5  # of a text that was encoded, of its pieces


def model_type(model: bytes) -> str:
    """The type of a serialized model, or "unknown" for a number without a name."""
    for field, trainer in fields_beside_pieces(model):
        if field == TRAINER_FIELD and isinstance(trainer, bytes):
            for inner, value in message_fields(trainer):
                if inner == MODEL_TYPE_FIELD and isinstance(value, int):
                    return MODEL_TYPES.get(value, "unknown")
    return "unigram"  # the default of the field


def piece_types(model: bytes) -> list[int]:
    """The types of a model's pieces, as numbers."""
    return [piece.kind for piece in model_pieces(model)]


def forms(model: bytes) -> bytes | None:
    """The forms of text that a model of ours records, or None for another model."""
    found = (value for field, value in fields_beside_pieces(model) if field == FORMS_FIELD)
    value = next(found, None)
    return value if isinstance(value, bytes) else None


def piece_offsets(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Where the pieces of an encoded text begin and end in it, in bytes of UTF-8."""
    for field, piece in message_fields(encoded):
        if field == PIECES_OF_TEXT_FIELD and isinstance(piece, bytes):
            found = dict(message_fields(piece))
            yield int(found.get(BEGIN_FIELD, 0)), int(found.get(END_FIELD, 0))


def with_symbols_in_front(model: bytes, found: Mapping[int, int], unk_surface: str) -> bytes:
    """The same model with PAD, UNK, BOS and EOS as ids 0 to 3, under our names for them.

    `found` has the ids they have so far; a symbol that is missing is added. All other pieces follow
    in their order with their scores and types, so text is cut as before.
    """
    fields = list(raw_fields(model))
    pieces = [raw for number, raw in fields if number == PIECE_FIELD]
    texts = [_text_of(piece) for piece in pieces]
    others = [number for number in range(len(pieces)) if number not in found.values()]
    front = []
    for symbol, name in PIECES.items():
        kind = UNKNOWN_TYPE if symbol == UNK else CONTROL_TYPE
        piece = length_delimited(TEXT_FIELD, name.encode()) + number_field(TYPE_FIELD, kind)
        front.append(length_delimited(PIECE_FIELD, piece))
    # Names are unique: another piece with the name of a symbol makes way for it.
    rest = [pieces[number] for number in others if texts[number] not in PIECES.values()]
    changed = [
        (number, with_symbols(raw, unk_surface) if number == TRAINER_FIELD else raw)
        for number, raw in fields
        if number != PIECE_FIELD
    ]
    return b"".join([*front, *rest, *(raw for _, raw in changed)])


def _text_of(piece: bytes) -> str:
    """The text of a piece, which is given as a field of a model."""
    ((_, content),) = message_fields(piece)
    assert isinstance(content, bytes)
    texts = [value for number, value in message_fields(content) if number == TEXT_FIELD]
    return bytes(texts[-1]).decode() if texts and isinstance(texts[-1], bytes) else ""


class ModelPiece(NamedTuple):
    """A piece of a model."""

    text: str
    kind: int  # its type
    raw: bytes  # the message

    @classmethod
    def of(cls, text: str, kind: int) -> "ModelPiece":
        """A piece whose score does not matter."""
        return cls(
            text, kind, length_delimited(TEXT_FIELD, text.encode()) + number_field(TYPE_FIELD, kind)
        )

    @property
    def is_absent(self) -> bool:
        """Whether `absent_piece` made it."""
        return self.kind == UNUSED_TYPE or self.text.startswith(ABSENT)


def with_score(piece: ModelPiece, score: float) -> ModelPiece:
    """The same piece, which has none, with a score."""
    number = _to_varint(SCORE_FIELD << 3 | 5) + struct.pack("<f", score)
    return piece._replace(raw=piece.raw + number)


def absent_piece(text: str, kind: str) -> ModelPiece:
    """A piece that a model of this type has an id for, but never cuts text into.

    Unigram passes over unused pieces. Merging does not: it goes through them to longer pieces. So
    the other types get a control symbol with a name that is in no text.
    """
    if kind == "unigram":
        return ModelPiece.of(text, UNUSED_TYPE)
    return ModelPiece.of(ABSENT + text, CONTROL_TYPE)


def with_all_pieces(model: bytes) -> bytes:
    """The model with its absent pieces as text: to join pieces, not to cut text."""
    parts = []
    for (field, raw), (_, value) in zip(raw_fields(model), message_fields(model), strict=True):
        if field == PIECE_FIELD and isinstance(value, bytes) and ABSENT.encode() in value:
            text = _text_of(raw).removeprefix(ABSENT)
            raw = length_delimited(PIECE_FIELD, ModelPiece.of(text, UNUSED_TYPE).raw)
        parts.append(raw)
    return b"".join(parts)


def model_pieces(model: bytes) -> Iterator[ModelPiece]:
    """Yield the pieces of a model by id."""
    for raw in _raw_pieces(model):
        if isinstance(raw, bytes):
            yield _parse_piece(raw)


def _parse_piece(raw: bytes) -> ModelPiece:
    """Read the message of a piece; fast if its fields are written as SentencePiece does."""
    end = 2 + raw[1] if len(raw) > 1 else 0  # of a text of up to 127 bytes
    if raw[:1] == SHORT_TEXT and raw[end : end + 1] == SCORE and raw[1] < 0x80:
        rest = raw[end + 5 :]
        if not rest:
            return ModelPiece(raw[2:end].decode(), TEXT_TYPE, raw)
        if len(rest) == 2 and rest[:1] == SHORT_TYPE and rest[1] < 0x80:
            return ModelPiece(raw[2:end].decode(), rest[1], raw)
    found = dict(message_fields(raw))
    text = found.get(TEXT_FIELD, b"")
    assert isinstance(text, bytes)
    return ModelPiece(text.decode(), int(found.get(TYPE_FIELD, TEXT_TYPE)), raw)


def fields_beside_pieces(model: bytes) -> Iterator[tuple[int, int | bytes]]:
    """As `message_fields`, without the pieces of a model, over which it passes quickly."""
    for found in _raw_pieces(model, _behind_short_pieces(model)):
        if not isinstance(found, bytes):
            yield found[:2]


def raw_fields_beside_pieces(model: bytes) -> Iterator[tuple[int, bytes]]:
    """As `raw_fields`, without the pieces of a model, over which it passes quickly."""
    for found in _raw_pieces(model, _behind_short_pieces(model)):
        if not isinstance(found, bytes):
            yield found[0], found[2]


def _behind_short_pieces(model: bytes) -> int:
    """Where the first field begins that is not a short piece; most models begin with thousands."""
    position, last = 0, len(model) - 1
    while position < last and model[position] == SHORT_PIECE and model[position + 1] < 0x80:
        position += 2 + model[position + 1]
    return position


def _raw_pieces(
    model: bytes, position: int = 0
) -> Iterator[bytes | tuple[int, int | bytes, bytes]]:
    """Yield the message of each piece, and number, value and bytes of each other field."""
    while position < len(model):
        if model[position] == SHORT_PIECE and model[position + 1] < 0x80:
            begin = position + 2
            position = begin + model[position + 1]
            yield model[begin:position]
            continue
        begin = position
        number, value, position = _field(model, begin)
        if number == PIECE_FIELD and isinstance(value, bytes):
            yield value
        else:
            yield number, value, model[begin:position]


def with_rules(normalizer: bytes, name: str, table: bytes) -> bytes:
    """The settings of the normaliser, a field of a model, with other rules."""
    ((_, content),) = message_fields(normalizer)
    assert isinstance(content, bytes)
    kept = [raw for number, raw in raw_fields(content) if number not in (RULES_FIELD, TABLE_FIELD)]
    rules = length_delimited(RULES_FIELD, name.encode())
    if table:
        rules += length_delimited(TABLE_FIELD, table)
    return length_delimited(NORMALIZER_FIELD, b"".join([rules, *kept]))


def with_symbols(
    trainer: bytes,
    unk_surface: str,
    ids: Mapping[int, int] = OUR_IDS,
    names: Mapping[int, str] = PIECES,
) -> bytes:
    """The trainer's settings, a field of a model, with these ids and names of the symbols.

    Symbols without an id are left out. The defaults are ours.
    """
    ((_, content),) = message_fields(trainer)
    assert isinstance(content, bytes)
    replaced = {*ID_FIELDS.values(), *NAME_FIELDS.values(), UNK_SURFACE_FIELD}
    parts = [raw for number, raw in raw_fields(content) if number not in replaced]
    for symbol in PIECES:
        parts.append(number_field(ID_FIELDS[symbol], ids.get(symbol, NO_ID)))
        if symbol in ids:
            parts.append(length_delimited(NAME_FIELDS[symbol], names[symbol].encode()))
    parts.append(length_delimited(UNK_SURFACE_FIELD, unk_surface.encode()))
    return length_delimited(TRAINER_FIELD, b"".join(parts))


def number_field(field: int, value: int) -> bytes:
    """A field of a message that holds a whole number, 0 or more."""
    return _to_varint(field << 3) + _to_varint(value)


def length_delimited(field: int, value: bytes) -> bytes:
    """A field of a message that holds bytes: text, or a message itself."""
    return _to_varint(field << 3 | 2) + _to_varint(len(value)) + value


def _to_varint(number: int) -> bytes:
    """Write an integer in variable length."""
    result = bytearray()
    while number >= 0x80:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*result, number])


def message_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message: integers, or bytes for the rest.

    Raises IndexError if the message ends within a number.
    """
    for number, value, _ in _fields(message):
        yield number, value


def raw_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each field of a message; all the bytes together are the message."""
    for number, _, raw in _fields(message):
        yield number, raw


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes, bytes]]:
    """Yield number, value and bytes of each field."""
    position = 0
    while position < len(message):
        begin = position
        number, value, position = _field(message, position)
        yield number, value, message[begin:position]


def _field(message: bytes, position: int) -> tuple[int, int | bytes, int]:
    """Read the field at a position: its number, its value and the position after it."""
    tag, position = _varint(message, position)
    kind = tag & 7
    if kind == 0:
        value, position = _varint(message, position)
        return tag >> 3, value, position
    length = {1: 8, 5: 4}.get(kind, 0)
    if kind == 2:
        length, position = _varint(message, position)
    return tag >> 3, message[position : position + length], position + length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Read an integer of variable length; returns it and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
