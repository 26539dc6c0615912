"""Reads and writes the few fields of SentencePiece's protobuf messages that are needed here."""

from collections.abc import Iterator

# Of a model. Other tools ignore the last, in which our tokenizers say what becomes of their text.
PIECE_FIELD, TRAINER_FIELD, NORMALIZER_FIELD, FORMS_FIELD = 1, 2, 3, 1000
MODEL_TYPE_FIELD = 3  # of the trainer's settings
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
PIECES_OF_TEXT_FIELD, BEGIN_FIELD, END_FIELD = 2, 4, 5  # of a text that was encoded, of its pieces


def model_type(model: bytes) -> str:
    """The type of a serialized model, or "unknown" for a number without a name."""
    for field, trainer in message_fields(model):
        if field == TRAINER_FIELD and isinstance(trainer, bytes):
            for inner, value in message_fields(trainer):
                if inner == MODEL_TYPE_FIELD and isinstance(value, int):
                    return MODEL_TYPES.get(value, "unknown")
    return "unigram"  # the default of the field


def forms(model: bytes) -> bytes | None:
    """What a model of ours says about its text, or None for another model."""
    found = [value for field, value in message_fields(model) if field == FORMS_FIELD]
    return found[-1] if found and isinstance(found[-1], bytes) else None


def piece_offsets(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Where the pieces of an encoded text begin and end in it, in bytes of UTF-8."""
    for field, piece in message_fields(encoded):
        if field == PIECES_OF_TEXT_FIELD and isinstance(piece, bytes):
            found = dict(message_fields(piece))
            yield int(found.get(BEGIN_FIELD, 0)), int(found.get(END_FIELD, 0))


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
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, position = _varint(message, position)
        yield tag >> 3, message[position : position + length]
        position += length


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
