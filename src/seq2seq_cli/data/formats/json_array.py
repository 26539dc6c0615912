"""A JSON array of objects, as one value over the whole file."""

import codecs
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.json_lines import DECODER, check_record, whole_characters
from seq2seq_cli.data.formats.recognition import is_json_array
from seq2seq_cli.data.formats.records import RowReport, names_of, record_rows
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, ignore_warning

SPACE = " \t\r\n"
LONGEST = 1 << 24  # characters of one element


@dataclass(frozen=True)
class JsonArray(TextFile):
    """A file with an array of JSON objects, which is read object by object."""

    kind = "JsonArray"
    suffixes = (".json",)

    @classmethod
    def recognises(cls, start: bytes) -> bool:
        return is_json_array(start)

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        return record_rows(self._records(warn), fields, RowReport(self.name, "element", warn))

    def field_names(self) -> list[str]:
        """List the fields of the first object."""
        return next((names_of(record) for _, record in self._records(ignore_warning)), [])

    def _records(self, warn: Warn) -> Iterator[tuple[int, Any]]:
        """Yield the elements of the array with their numbers, from 1."""
        blocks = self._text(warn)
        text, number, separator = "", 0, "["
        while True:
            text = text.lstrip(SPACE)
            while not text and (block := next(blocks, "")):
                text = block.lstrip(SPACE)
            if number and text[:1] == "]":
                break
            if text[:1] != separator:
                what = f"there is no {separator} after it"
                raise self._error(number, what if text else "the file is cut off after it")
            text, separator = text[1:], ","
            while not text.lstrip(SPACE) and (block := next(blocks, "")):
                text = block
            text = text.lstrip(SPACE)
            if not number and text[:1] == "]":
                break
            number += 1
            record, text = self._element(text, blocks, number)
            yield number, record
        if any(rest.strip(SPACE) for rest in chain([text[1:]], blocks)):
            raise self._error(number, "the array ends after it, and the file goes on")

    def _element(self, text: str, blocks: Iterator[str], number: int) -> tuple[Any, str]:
        """Return the element that a text begins with, read on as far as needed, and the rest."""
        while True:
            try:
                record, end = DECODER.raw_decode(text)
            except (ValueError, RecursionError) as error:
                block = next(blocks, "") if len(text) < LONGEST else ""
                if not block:
                    reason = getattr(error, "msg", error)
                    after = f"after element {number - 1:,}" if number > 1 else "at its start"
                    what = f"not JSON ({reason}): the file is cut off or invalid {after}"
                    raise self._error(number, what) from None
                text += block
                continue
            check_record(record, f"{self.name}, element {number}")
            return whole_characters(record) if "\\u" in text[:end] else record, text[end:]

    def _text(self, warn: Warn) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        mark = "\ufeff"  # at the start of the file; further on it is text
        for block in self.read_blocks(warn):
            if text := decoder.decode(block):
                yield text.removeprefix(mark)
                mark = ""

    def _error(self, number: int, what: str) -> InputError:
        return InputError(
            f"{self.name}, element {number}: {what}; a file of JSON is an array of objects, or an "
            "object on each line"
        )
