"""Where text comes from, as `--source` and `--target` name it: files, tables, data sets.

    train.en                      text, one sentence a line
    corpus.tsv:2                  a column of a table by number, or by the name in its first line
    corpus.csv:en                 the same, with quotes around cells by the rules of CSV
    corpus.jsonl:en               a field of each JSON object, on a line each or in one array
    memory.tmx:en                 the segments in a language
    corpus.parquet:en             a column
    hf:NAME[:CONFIG]:SPLIT:FIELD  a field of a Hugging Face data set, from a folder or the hub
    de=train.de                   any of these, marked with its language

`translation.en` is the field en of the field translation, `texts.0` the first element of a list,
and `"any: name"` a name in quotes. What a file with fields holds is recognised whatever its
name is. All but data sets may be compressed with gzip (parquet compresses itself).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from seq2seq_cli.config.tokenizer import LANGUAGE
from seq2seq_cli.data.formats import format_of, recognised_format
from seq2seq_cli.data.formats.base import BegunInput, Container, TextFile
from seq2seq_cli.data.formats.csv_table import Csv
from seq2seq_cli.data.formats.hugging_face import DataSet
from seq2seq_cli.data.formats.lines import Lines
from seq2seq_cli.data.formats.table import Table, looks_like_name
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import STDIN, UTF8, Reading, display_name, open_input
from seq2seq_cli.messages import Warn
from seq2seq_cli.read_ahead import arriving
from seq2seq_cli.text import arriving_lines

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

    @property
    def path(self) -> Path | None:
        """The file that it is read from; None for a data set."""
        return self.container.path if isinstance(self.container, TextFile) else None

    def lines(self, warn: Warn) -> Iterator[str]:
        """Yield the sentences of the text."""
        return (line for (line,) in self.container.rows((self.field,), warn))

    def arriving_lines(self, limit: int, warn: Warn) -> Iterator[list[str]]:
        """Yield the sentences as they arrive, in lists, as `text.arriving_lines` does."""
        file = self.container
        if not isinstance(file, Lines):
            yield from arriving(([line] for line in self.lines(warn)), limit)
            return
        with file.open() as stream:
            yield from arriving_lines(stream, file.name, limit, warn, file.reading, file.check)


def display_names(sources: Iterable[Source]) -> str:
    """Several texts as messages name them."""
    return " + ".join(source.name for source in sources)


def parse_source(
    value: str,
    reading: Reading = UTF8,
    *,
    streamed: bool = False,
    begun: dict[Path, BegunInput] | None = None,
) -> Source:
    """Read the name of a text as the user gave it. Raises InputError if a field is missing.

    A data set that is `streamed` is read where it is, without a copy on disk. `begun` collects the
    pipes whose first block had to be read, so that several fields of one pipe are read together.
    """
    language, name = split_language_mark(value)
    source = _parse_name(name, reading, streamed, {} if begun is None else begun)
    return replace(source, language=language)


def parse_text(value: str, reading: Reading = UTF8) -> Source:
    """Read the name of a text without a language mark, as commands other than `train` take it."""
    return _parse_name(value, reading, streamed=False, begun={})


def plain_lines(path: Path) -> Source:
    """A file of lines, whatever they look like; `-` is standard input."""
    return Source(Lines(display_name(path), path, Reading(as_text=True)))


def split_language_mark(value: str) -> tuple[str, str]:
    """Split de=train.de into language and name; the language is "" if there is no mark.

    If there is a file of the whole name, the name is that file's.
    """
    found = MARK.match(value)
    if found is None or _exists(value):
        return "", value
    return found[1], value[found.end() :]


def _parse_name(
    value: str, reading: Reading, streamed: bool, begun: dict[Path, BegunInput]
) -> Source:
    if value.startswith(DATA_SET):
        return _parse_data_set(value, streamed)
    name, field = split_field(value)
    path = Path(name)
    if field:
        return Source(_file_with_fields(name, path, reading, begun, field), field)
    kind = None if reading.as_text else format_of(name)
    if kind is None:
        return Source(Lines(display_name(path), path, reading))
    file = _file_with_fields(name, path, reading, begun)
    names = file.field_names()
    if not names:
        raise InputError(f"{file.name} is empty")
    example = next(filter(looks_like_name, names), names[0])
    raise InputError(
        f"{file.name} holds more than one text; say which, as in {file.name}:{example}. "
        f"It has {', '.join(names)}"
    )


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a name, or with NUL
        return False


def split_field(value: str) -> tuple[str, str]:
    """Split FILE:FIELD; the field is "" if the value is the name of a file.

    A field in quotes may contain colons; so may one without, if the file exists.
    """
    if value == str(STDIN) or _exists(value):
        return value, ""
    colons = [found.start() for found in re.finditer(":", value)]
    if value.endswith('"'):
        colons = [colon for colon in colons if value[colon + 1] == '"'][:1]
    splits = [(value[:colon], value[colon + 1 :]) for colon in reversed(colons)]
    for name, field in splits:
        if field and (name == str(STDIN) or _exists(name)):
            return name, field
    return next(((name, field) for name, field in splits if format_of(name)), (value, ""))


def _file_with_fields(
    name: str, path: Path, reading: Reading, begun: dict[Path, BegunInput], field: str = ""
) -> TextFile:
    """A file in the format that its content or, where that is unclear, its name says."""
    opened = None
    if path == STDIN or (path.exists() and not path.is_file() and not path.is_dir()):
        if path not in begun:
            begun[path] = BegunInput(open_input(path))
        opened = begun[path]
    file = Csv(display_name(path), path, reading, opened, field)
    by_name = format_of(name)
    kind: type[TextFile] = by_name or Csv
    # Cells of a table may look like anything, so its name counts first.
    if not (by_name and issubclass(by_name, Table)) and (path == STDIN or path.exists()):
        kind = recognised_format(file.start()) or kind
    if reading.delimiter and issubclass(kind, Table):
        return file
    return kind(display_name(path), path, reading, opened, field)


def _parse_data_set(value: str, streamed: bool) -> Source:
    """Read `hf:NAME[:CONFIG]:SPLIT:FIELD`."""
    head, quote, field = value.removeprefix(DATA_SET).partition(':"')
    parts = [*head.split(":"), *([f'"{field}'] if quote else [])]
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
    name = DATA_SET + ":".join(parts[:-1])
    return Source(DataSet(name, parts[0], configuration, split, streamed), field)
