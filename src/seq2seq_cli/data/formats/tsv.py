"""A table with tabs between its columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.records import no_field_error
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, ignore_warning, read_lines

LONGEST_NAME = 30  # characters; a first line with longer cells holds sentences, not column names


@dataclass(frozen=True)
class Tsv(TextFile):
    """A table whose fields are columns, by number from 1 or by the name in the first line.

    If a column is asked for by name, the first line is a line of names, else it is a row. Quotes
    are text.
    """

    kind = "Tsv"
    suffixes = (".tsv",)

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        lines = read_lines(self.path, warn, self.name)
        has_names = not all(field.isdecimal() for field in fields)
        names = next(lines, "").split("\t") if has_names else []
        columns = [self._column(field, names) for field in fields]
        for number, line in enumerate(lines, start=2 if has_names else 1):
            cells = line.split("\t")
            if len(cells) <= max(columns):
                raise InputError(
                    f"{self.name}, line {number}: there is no column {max(columns) + 1}, the line "
                    f"has {len(cells)}"
                )
            yield tuple(cells[column] for column in columns)

    def _column(self, field: str, names: list[str]) -> int:
        """The index of a column, from 0."""
        if field.isdecimal() and int(field) >= 1:
            return int(field) - 1
        if field in names:
            return names.index(field)
        raise no_field_error(self.name, field, self.field_names())

    def field_names(self) -> list[str]:
        names = next(read_lines(self.path, ignore_warning, self.name), "").split("\t")
        numbers = [str(number + 1) for number in range(len(names))]
        return numbers if max(map(len, names)) > LONGEST_NAME else [*numbers, *names]
