"""A JSON object or list on each line."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.recognition import is_json_lines
from seq2seq_cli.data.formats.records import RowReport, names_of, record_rows
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, ignore_warning

# Numbers stay as they are written: 1.0 and 007 are not the same text as 1 and 7.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


@dataclass(frozen=True)
class JsonLines(TextFile):
    """A file with a JSON object on each line; blank lines are skipped."""

    kind = "JsonLines"
    suffixes = (".jsonl", ".ndjson")

    @classmethod
    def recognises(cls, start: bytes) -> bool:
        return is_json_lines(start)

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        return record_rows(self._records(warn), fields, RowReport(self.name, "line", warn))

    def _records(self, warn: Warn) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(self.read_lines(warn), start=1):
            if line.strip():
                yield number, parse_record(line, f"{self.name}, line {number}")

    def field_names(self) -> list[str]:
        """List the fields of the first object."""
        return next((names_of(record) for _, record in self._records(ignore_warning)), [])


def parse_record(text: str, where: str) -> Any:
    """Read an object or list, in which numbers are text. Raises InputError for anything else."""
    try:
        record = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from None
    check_record(record, where)
    return whole_characters(record) if "\\u" in text else record


def check_record(record: Any, where: str) -> None:
    """Raise InputError for JSON that has no fields."""
    require(isinstance(record, dict | list), f"{where}: not a JSON object with fields")


def whole_characters(value: Any) -> Any:
    """Replace halves of surrogate pairs, which JSON can escape and UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(each) for key, each in value.items()}
    return [whole_characters(each) for each in value] if isinstance(value, list) else value
