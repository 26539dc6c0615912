"""A JSON object on each line."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.records import names_of, text_of
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, ignore_warning, read_lines


@dataclass(frozen=True)
class JsonLines(TextFile):
    """A file with a JSON object on each line; blank lines are skipped."""

    kind = "JsonLines"
    suffixes = (".jsonl",)

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        paths = [field.split(".") for field in fields]
        for number, line in enumerate(read_lines(self.path, warn, self.name), start=1):
            if line.strip():
                where = f"{self.name}, line {number}"
                record = _parse_object(line, where)
                yield tuple(text_of(record, path, where) for path in paths)

    def field_names(self) -> list[str]:
        """List the fields of the first object."""
        for line in read_lines(self.path, ignore_warning, self.name):
            if line.strip():
                return names_of(_parse_object(line, f"{self.name}, line 1"))
        return []


def _parse_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from None
    require(isinstance(record, dict), f"{where}: not a JSON object with fields")
    return dict(record)
