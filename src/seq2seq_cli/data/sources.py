"""Where text comes from, as `--source` and `--target` name it: files, tables, data sets.

    train.en                      text, one sentence a line
    corpus.tsv:2                  a column of a table by number, or by the name in its first line
    corpus.jsonl:en               a field of each line's JSON object
    corpus.parquet:en             a column
    hf:NAME[:CONFIG]:SPLIT:FIELD  a field of a Hugging Face data set, from a folder or the hub
    de=train.de                   any of these, marked as being in a language

`translation.en` is the field en of the field translation. All but data sets may be compressed with
gzip (parquet compresses itself).
"""

import difflib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seq2seq_cli.config.settings import require
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import STDIN, Warn, display_name, ignore_warning, open_input, read_lines

TABLES = (".tsv", ".jsonl", ".parquet")  # files that hold more than one text
DATA_SET = "hf:"
MARK = re.compile(r"([A-Za-z][\w-]*)=")
SAVED = ("dataset_dict.json", "dataset_info.json")  # of several splits, and of one
LONGEST_NAME = 30  # characters of a column's name in messages
COPIED_BYTES = 1 << 20  # at a time


@dataclass(frozen=True)
class Text:
    """A file of lines, or standard input. It has no fields."""

    name: str  # as the user wrote it
    path: Path

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """The lines, as many times as there are fields."""
        return ((line,) * len(fields) for line in read_lines(self.path, warn, self.name))

    def field_names(self) -> list[str]:
        """The fields that a user can name."""
        return []

    def digest(self) -> str:
        """A hash of the content."""
        open_input(self.path).close()  # with its messages
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def can_be_reread(self) -> bool:
        """Whether it can be read again. What does not exist says so when it is read."""
        return self.path.is_file() or not (self.path == STDIN or self.path.exists())

    def make_rereadable(self, folder: Path) -> "Text":
        """The same text as a file that can be read again: a pipe is copied into the folder."""
        if self.can_be_reread():
            return self
        number = sum(1 for _ in folder.iterdir())
        copy = folder / f"{number}{''.join(self.path.suffixes)}"
        with open_input(self.path) as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, COPIED_BYTES)
        return replace(self, path=copy)


@dataclass(frozen=True)
class Tsv(Text):
    """A table with tabs between its columns and, where they are asked for by name, a first line of
    names. Quotes are text."""

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """The fields of every line."""
        lines = read_lines(self.path, warn, self.name)
        named = not all(field.isdecimal() for field in fields)
        names = next(lines, "").split("\t") if named else []
        columns = [self._column(field, names) for field in fields]
        for number, line in enumerate(lines, start=2 if named else 1):
            cells = line.split("\t")
            if len(cells) <= max(columns):
                raise InputError(
                    f"{self.name}, line {number}: column {max(columns) + 1} is wanted, the line "
                    f"has {len(cells)}"
                )
            yield tuple(cells[column] for column in columns)

    def _column(self, field: str, names: list[str]) -> int:
        if field.isdecimal() and int(field) >= 1:
            return int(field) - 1
        if field in names:
            return names.index(field)
        raise _no_field(self.name, field, self.field_names())

    def field_names(self) -> list[str]:
        """Numbers, then what stands in the first line, unless that is whole sentences."""
        names = next(read_lines(self.path, ignore_warning, self.name), "").split("\t")
        numbers = [str(number + 1) for number in range(len(names))]
        return numbers if max(map(len, names)) > LONGEST_NAME else [*numbers, *names]


@dataclass(frozen=True)
class JsonLines(Text):
    """A JSON object on each line; blank lines are none."""

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """The fields of every object."""
        paths = [field.split(".") for field in fields]
        for number, line in enumerate(read_lines(self.path, warn, self.name), start=1):
            if line.strip():
                where = f"{self.name}, line {number}"
                record = _parsed(line, where)
                yield tuple(_text(record, path, where) for path in paths)

    def field_names(self) -> list[str]:
        """The fields of the first object."""
        for line in read_lines(self.path, ignore_warning, self.name):
            if line.strip():
                return _names(_parsed(line, f"{self.name}, line 1"))
        return []


@dataclass(frozen=True)
class Parquet(Text):
    """A Parquet file."""

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """The fields of every row."""
        from pyarrow import ArrowException

        paths = [field.split(".") for field in fields]
        known = self.field_names()
        for field in fields:
            if field not in known:
                raise _no_field(self.name, field, known)
        with self._opened() as file:
            columns = sorted({path[0] for path in paths})
            number = 0
            try:
                for part in file.iter_batches(columns=columns):
                    for record in part.to_pylist():
                        number += 1
                        where = f"{self.name}, row {number}"
                        yield tuple(_text(record, path, where) for path in paths)
            except (ArrowException, OSError) as error:
                raise InputError(f"{self.name} is damaged after row {number}: {error}") from None

    def field_names(self) -> list[str]:
        """All columns, those within others too."""
        with self._opened() as file:
            return [column.path for column in file.schema]

    def _opened(self) -> Any:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        open_input(self.path).close()  # with its messages about missing files
        try:
            return ParquetFile(self.path)
        except (ArrowException, OSError) as error:
            raise InputError(f"{self.name} is no Parquet file: {error}") from None


@dataclass(frozen=True)
class DataSet:
    """A split of a Hugging Face data set."""

    name: str  # as the user wrote it, without the field
    path: str  # a folder, or a name on the hub
    configuration: str | None
    split: str
    streamed: bool = False  # read from where it lies, and not stored

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """The fields of every row."""
        paths = [field.split(".") for field in fields]
        for number, record in enumerate(self._loaded, start=1):
            where = f"{self.name}, row {number}"
            yield tuple(_text(record, path, where) for path in paths)

    def field_names(self) -> list[str]:
        """The fields of the first row."""
        return _names(next(iter(self._loaded), {}))

    def digest(self) -> str:
        """The hash that `datasets` keeps of the content."""
        return str(self._loaded._fingerprint)

    def size(self) -> int:
        """Bytes on disk."""
        return int(self._loaded.data.nbytes)

    def can_be_reread(self) -> bool:
        """Whether it can be read again: always."""
        return True

    def make_rereadable(self, folder: Path) -> "DataSet":
        """Itself: `datasets` stores what it loads."""
        return self

    @cached_property
    def _loaded(self) -> Any:
        """The split, which `datasets` keeps in files of its own."""
        import datasets

        datasets.disable_progress_bars()
        if any((Path(self.path) / name).is_file() for name in SAVED):
            return self._from_disk(datasets.load_from_disk)
        try:
            return datasets.load_dataset(
                self.path, self.configuration, split=self.split, streaming=self.streamed
            )
        except Exception as error:  # of many libraries: files, network, formats
            where = "" if Path(self.path).is_dir() else f"no folder {self.path} is here, and "
            raise InputError(f"{self.name} cannot be loaded: {where}{_first_line(error)}") from None

    def _from_disk(self, load: Callable[[str], Any]) -> Any:
        """The split of what `save_to_disk` of `datasets` wrote: one, or several by their names."""
        try:
            found = load(self.path)
        except Exception as error:
            raise InputError(f"{self.name} cannot be loaded: {_first_line(error)}") from None
        splits = found if isinstance(found, dict) else {str(found.split or "train"): found}
        require(
            self.split in splits,
            f"{self.name}: there is no split {self.split}; {self.path} has {', '.join(splits)}",
        )
        return splits[self.split]


Container = Text | DataSet


@dataclass(frozen=True)
class Source:
    """One text: a field of a container, which has none where it is a file of lines."""

    container: Container
    field: str = ""
    language: str = ""  # that it is marked with, as in de=train.de

    @property
    def name(self) -> str:
        return f"{self.container.name}:{self.field}" if self.field else self.container.name


def parse(value: str, *, streamed: bool = False) -> Source:
    """Read the name of a text as the user gave it. Raises InputError where a field is missing."""
    language, value = marked(value)
    return replace(_parsed_name(value, streamed), language=language)


def marked(value: str) -> tuple[str, str]:
    """The language that a text is marked with, as in de=train.de, and its name.

    A file with such a name is that file.
    """
    found = MARK.match(value)
    if found is None or Path(value).exists():
        return "", value
    return found[1], value[found.end() :]


def _parsed_name(value: str, streamed: bool) -> Source:
    if value.startswith(DATA_SET):
        return _data_set(value, streamed)
    for name, field in ((value, ""), value.rpartition(":")[::2]):
        kind = _table(name)
        if kind is not None:
            return _of_table(kind(name, Path(name)), field)
    return Source(Text(display_name(Path(value)), Path(value)))


def _table(name: str) -> type[Text] | None:
    """The kind of table that a file name ends like."""
    suffix = Path(name.removesuffix(".gz")).suffix
    return dict(zip(TABLES, (Tsv, JsonLines, Parquet), strict=True)).get(suffix)


def _of_table(table: Text, field: str) -> Source:
    if not field:
        names = table.field_names()
        raise InputError(
            f"{table.name} holds more than one text; say which, as in {table.name}:{names[0]}. "
            f"It has {', '.join(names)}"
            if names
            else f"{table.name} is empty"
        )
    return Source(table, field)


def _data_set(value: str, streamed: bool) -> Source:
    """`hf:NAME[:CONFIG]:SPLIT:FIELD`."""
    parts = value.removeprefix(DATA_SET).split(":")
    if len(parts) == 2 and all(parts):
        data_set = DataSet(value, parts[0], None, parts[1], streamed)
        names = ", ".join(data_set.field_names())
        raise InputError(f"{value}: add the field, as in {value}:FIELD; there are {names}")
    if len(parts) not in (3, 4) or not all(parts):
        raise InputError(
            f"{value}: hf:NAME:SPLIT:FIELD or hf:NAME:CONFIG:SPLIT:FIELD is wanted, as in "
            "hf:wmt14:de-en:train:translation.en"
        )
    configuration = parts[1] if len(parts) == 4 else None
    *_, split, field = parts
    name = value.rpartition(":")[0]
    return Source(DataSet(name, parts[0], configuration, split, streamed), field)


def _no_field(name: str, field: str, known: list[str]) -> InputError:
    close = difflib.get_close_matches(field, known, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return InputError(f"{name} has no field {field}; it has {', '.join(known)}{guess}")


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: no JSON: {error}") from None
    require(isinstance(record, dict), f"{where}: a JSON object with fields is wanted")
    return dict(record)


def _text(record: Any, path: Sequence[str], where: str) -> str:
    """The text at a path of names; null is blank."""
    value = record
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise _no_field(where, ".".join(path), _names(record))
        value = value[name]
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: {'.'.join(path)} is no text but {json.dumps(value)[:40]}")
    return value or ""


def _names(record: Any, before: str = "") -> list[str]:
    """The names of all fields of a record, those within others as a.b."""
    names: list[str] = []
    for name, value in record.items():
        names += _names(value, f"{before}{name}.") if isinstance(value, dict) else [before + name]
    return names


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def joined_names(sources: Iterable[Source]) -> str:
    """Several texts as messages show them."""
    return " + ".join(source.name for source in sources)
