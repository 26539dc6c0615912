"""Where text comes from, as `--source` and `--target` name it: files, tables, data sets.

    train.en                      text, one sentence a line
    corpus.tsv:2                  a column of a table by number, or by the name in its first line
    corpus.jsonl:en               a field of each line's JSON object
    corpus.parquet:en             a column
    hf:NAME[:CONFIG]:SPLIT:FIELD  a field of a Hugging Face data set, from a folder or the hub
    de=train.de                   any of these, marked with its language

`translation.en` is the field en of the field translation. All but data sets may be compressed with
gzip (parquet compresses itself).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from seq2seq_cli.config.tokenizer import LANGUAGE
from seq2seq_cli.data.formats import format_of
from seq2seq_cli.data.formats.base import Container, TextFile
from seq2seq_cli.data.formats.hugging_face import DataSet
from seq2seq_cli.data.formats.lines import Lines
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, display_name

DATA_SET = "hf:"
MARK = re.compile(rf"({LANGUAGE})=")


@dataclass(frozen=True)
class Source:
    """One text: a field of a container, or all of a container without fields."""

    container: Container
    field: str = ""
    language: str = ""  # that it is marked with, as in de=train.de

    @property
    def name(self) -> str:
        """The text as messages name it."""
        return f"{self.container.name}:{self.field}" if self.field else self.container.name

    def lines(self, warn: Warn) -> Iterator[str]:
        """Yield the sentences of the text."""
        return (line for (line,) in self.container.rows((self.field,), warn))


def display_names(sources: Iterable[Source]) -> str:
    """Several texts as messages name them."""
    return " + ".join(source.name for source in sources)


def parse_source(value: str, *, streamed: bool = False) -> Source:
    """Read the name of a text as the user gave it. Raises InputError if a field is missing.

    A data set that is `streamed` is read where it is, without a copy on disk.
    """
    language, name = split_language_mark(value)
    return replace(_parse_name(name, streamed), language=language)


def split_language_mark(value: str) -> tuple[str, str]:
    """Split de=train.de into language and name; the language is "" if there is no mark.

    If there is a file of the whole name, the name is that file's.
    """
    found = MARK.match(value)
    if found is None or Path(value).exists():
        return "", value
    return found[1], value[found.end() :]


def _parse_name(value: str, streamed: bool) -> Source:
    if value.startswith(DATA_SET):
        return _parse_data_set(value, streamed)
    for name, field in ((value, ""), value.rpartition(":")[::2]):
        kind = format_of(name)
        if kind is not None:
            return _field_of_file(kind(name, Path(name)), field)
    return Source(Lines(display_name(Path(value)), Path(value)))


def _field_of_file(file: TextFile, field: str) -> Source:
    if not field:
        names = file.field_names()
        raise InputError(
            f"{file.name} holds more than one text; say which, as in {file.name}:{names[0]}. "
            f"It has {', '.join(names)}"
            if names
            else f"{file.name} is empty"
        )
    return Source(file, field)


def _parse_data_set(value: str, streamed: bool) -> Source:
    """Read `hf:NAME[:CONFIG]:SPLIT:FIELD`."""
    parts = value.removeprefix(DATA_SET).split(":")
    if len(parts) == 2 and all(parts):
        data_set = DataSet(value, parts[0], None, parts[1], streamed)
        names = ", ".join(data_set.field_names())
        raise InputError(f"{value}: add the field, as in {value}:FIELD; there are {names}")
    if len(parts) not in (3, 4) or not all(parts):
        raise InputError(
            f"{value}: write hf:NAME:SPLIT:FIELD or hf:NAME:CONFIG:SPLIT:FIELD, as in "
            "hf:wmt14:de-en:train:translation.en"
        )
    configuration = parts[1] if len(parts) == 4 else None
    *_, split, field = parts
    name = value.rpartition(":")[0]
    return Source(DataSet(name, parts[0], configuration, split, streamed), field)
