"""The few fields that are read from a serialized SentencePiece model, a protobuf message."""

from collections.abc import Iterator

TRAINER_FIELD, NORMALIZER_FIELD = 2, 3  # of the model; field 1 holds the pieces
MODEL_TYPE_FIELD = 3  # of the trainer's settings
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


def model_type(model: bytes) -> str:
    """The type of a serialized model, or "unknown" for a number without a name."""
    for field, trainer in message_fields(model):
        if field == TRAINER_FIELD and isinstance(trainer, bytes):
            for inner, value in message_fields(trainer):
                if inner == MODEL_TYPE_FIELD and isinstance(value, int):
                    return MODEL_TYPES.get(value, "unknown")
    return "unigram"  # the default of the field


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
