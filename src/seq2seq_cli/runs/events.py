"""Event files of TensorBoard, with the figures of metrics.jsonl.

A file is a row of records: length, its checksum, a protobuf message, its checksum. Messages have a
handful of fields, so that neither TensorBoard nor protobuf is needed to write them.
"""

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seq2seq_cli.tokenization.protobuf import length_delimited, number_field
from seq2seq_cli.whole_files import replace_file

POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), with the lowest bit first
MASK_DELTA = 0xA282EAD8
# Fields of an event, of its summary, and of a value in that
WALL_TIME, STEP, FILE_VERSION, SUMMARY = 1, 2, 3, 5
VALUE, TAG, SIMPLE_VALUE = 1, 1, 2
VERSION = b"brain.Event:2"
NO_FIGURES = ("update", "seconds")  # of a record: the axes

Record = Mapping[str, Any]


def figures(record: Record) -> dict[str, float]:
    """The numbers of a record of metrics.jsonl, by kind and name, as in `validation/bleu`."""
    return {
        f"{record['kind']}/{name}": float(value)
        for name, value in record.items()
        if name not in NO_FIGURES and isinstance(value, int | float) and not isinstance(value, bool)
    }


class EventFile:
    """The event file of one run, which always has the records of metrics.jsonl and no others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = time.time()  # of training; all its sessions count as one without a break
        self.seconds = 0.0  # of training, at the last record that says it

    def restart(self, records: Sequence[Record]) -> None:
        """Write the file from its beginning, with these records."""
        self.begun = time.time() - max([0.0, *(each.get("seconds", 0.0) for each in records)])
        self.seconds = 0.0
        self.path.parent.mkdir(exist_ok=True)
        head = _event(self.begun, length_delimited(FILE_VERSION, VERSION))
        replace_file(self.path, framed(head) + b"".join(map(self._event_of, records)))

    def append(self, record: Record) -> None:
        """Add a record, in one write: a kill cuts at most the last one."""
        with self.path.open("ab", buffering=0) as stream:
            stream.write(self._event_of(record))

    def close(self) -> None:
        """Do nothing: what was written is in the file."""

    def _event_of(self, record: Record) -> bytes:
        self.seconds = record.get("seconds", self.seconds)
        values = (
            length_delimited(
                VALUE,
                length_delimited(TAG, tag.encode())
                + bytes([SIMPLE_VALUE << 3 | 5])
                + struct.pack("<f", _float32(figure)),
            )
            for tag, figure in figures(record).items()
        )
        summary = length_delimited(SUMMARY, b"".join(values))
        step = number_field(STEP, record["update"])
        return framed(_event(self.begun + self.seconds, step + summary))


def _float32(figure: float) -> float:
    """A figure that fits 32 bits; beyond them it is infinite."""
    try:
        struct.pack("<f", figure)
    except OverflowError:
        return float("inf") if figure > 0 else float("-inf")
    return figure


def _event(wall_time: float, fields: bytes) -> bytes:
    return bytes([WALL_TIME << 3 | 1]) + struct.pack("<d", wall_time) + fields


def framed(message: bytes) -> bytes:
    """A record of a file: the message between its length and checksums."""
    length = struct.pack("<Q", len(message))
    return b"".join(
        (length, struct.pack("<I", masked(length)), message, struct.pack("<I", masked(message)))
    )


def masked(data: bytes) -> int:
    """The checksum as files have it: turned, so that it is not one of data with checksums."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The checksum CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _table() -> Iterator[int]:
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        yield byte


TABLE = tuple(_table())
