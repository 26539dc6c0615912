"""The base of tables with delimited cells: columns, and rows that do not fit."""

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.records import (
    LONGEST_NAME,
    RowReport,
    no_field_error,
    quoted,
    unquoted,
)
from seq2seq_cli.deferred import dataclass, pattern
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn, ignore_warning

ROWS_EXAMINED = 20  # for quotes around all cells
QUOTED = pattern(r'".*"')
# What a line of column names says of a text, and a sentence hardly does on its own.
USUAL_NAMES = pattern(
    r"[a-z]{2}|[a-z]{2,3}[-_][a-z]{2,4}|eng|deu|ger|fra|fre|spa|por|ita|rus|ara|zho|chi|jpn|kor|"
    r"id|index|key|score|source|target|src|tgt|trg|ref|reference|text|sentences?|translation|lang|"
    r"language|original|english|german|french|spanish|chinese|"
    r"(source|target|src|tgt|text|sentence)[ _.-]?\w{1,12}|\w{1,12}[ _.-](text|sentence|lang)",
    re.IGNORECASE,
)
Row = tuple[int, list[str]]  # the number of its line, and its cells


@dataclass(frozen=True)
class Table(TextFile):
    """A table whose fields are columns, by number from 1 or by the name in the first line.

    If a column is asked for by name, the first line is a line of names, else it is a row. The first
    line says how many cells a row has. A row without the column counts as blank; one with more
    cells is read. Blank lines before the first row and after the last are nothing.
    """

    has_csv_rules: ClassVar[bool] = False  # or else quotes are text, and a line is a row

    @abstractmethod
    def _cells(self, report: RowReport, warn: Warn) -> Iterator[Row]:
        """Yield the cells of each line; blank lines have one blank cell, or none."""

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        report = RowReport(self.name, "line", warn)
        rows = self._cells(report, warn)
        number, first = first_row(rows)
        if not first:
            return
        columns = [self._column(field, first) for field in fields]
        if all(field.isdecimal() for field in fields):
            self._remark_names(first, columns, warn)
            rows = chain([(number, first)], rows)
        if not self.has_csv_rules:
            rows = chain(self._remark_quotes(islice(rows, ROWS_EXAMINED), columns, warn), rows)
        width, blank = len(first), list[int]()  # blank: lines that nothing follows so far
        for number, cells in rows:
            if len(cells) != width or width == 1:
                if is_blank_line(cells):
                    blank.append(number)
                    continue
                self._remark_width(cells, width, columns, number, report)
                cells += [""] * (max(columns) + 1 - len(cells))
            if blank:
                yield from self._blank_rows(blank, columns, width, report)
                blank = []
            texts = tuple([cells[column] for column in columns])
            if self.has_csv_rules:
                texts = tuple([report.one_line(text, number) for text in texts])
            yield texts
        report.end()

    def _blank_rows(
        self, numbers: Iterable[int], columns: Sequence[int], width: int, report: RowReport
    ) -> Iterator[tuple[str, ...]]:
        """Yield blank lines between others, each as a row."""
        for number in numbers:
            self._remark_width([""], width, columns, number, report)
            yield ("",) * len(columns)

    def _remark_width(
        self,
        cells: Sequence[str],
        width: int,
        columns: Sequence[int],
        number: int,
        report: RowReport,
    ) -> None:
        """Count a row that does not fit the first."""
        if len(cells) <= max(columns):
            report.add(f"no column {max(columns) + 1}, read as blank", number)
        elif len(cells) > width:
            report.add(f"more than the {width} cells of the first line", number)

    def _remark_quotes(
        self, rows: Iterable[Row], columns: Sequence[int], warn: Warn
    ) -> Iterator[Row]:
        """Yield rows, and warn after the last if in all of them these cells were in quotes."""
        are_quoted = []
        for number, cells in rows:
            are_quoted.append(
                all(QUOTED.fullmatch(cells[column]) for column in columns if column < len(cells))
            )
            yield number, cells
        if any(are_quoted) and all(are_quoted):
            warn(
                f"{self.name}: the cells are in quotes, which are read as part of the text; "
                "--delimiter tab reads them without, by the rules of CSV"
            )

    def _remark_names(self, first: Sequence[str], columns: Sequence[int], warn: Warn) -> None:
        """Warn if the first line looks like names of columns but is read as a row."""
        asked = [first[column] for column in columns]
        alike = sum(map(looks_like_name, first))
        if len(set(first)) == len(first) and alike > 1 and all(map(looks_like_name, asked)):
            names = " and ".join(f"{self.name}:{quoted(name)}" for name in dict.fromkeys(asked))
            warn(
                f'{self.name}: the first line looks like names of columns ("{asked[0]}") but is '
                f"read as text, since columns are given by number; write {names} to leave it out"
            )

    def _column(self, field: str, first: Sequence[str]) -> int:
        """The index of a column, from 0, by the cells of the first line."""
        is_column = field == "1" or unquoted(field).strip() == first[0].strip()
        if len(first) == 1 and not is_column and not self._is_named_as_table():
            raise InputError(f"{self.name} holds lines of text, not a table: leave out :{field}")
        if field.isdecimal() and int(field) >= 1:
            if int(field) > len(first):
                raise InputError(
                    f"{self.name}, line 1: there is no column {field}, the line has {len(first)}"
                )
            return int(field) - 1
        names = [name.strip() for name in first]
        name = field if field in names else unquoted(field).strip()
        found = [index for index, each in enumerate(names) if each == name]
        if not found:
            raise no_field_error(self.name, field, column_names(first))
        if len(found) > 1:
            numbers = ", ".join(str(index + 1) for index in found)
            raise InputError(
                f"{self.name} has {len(found)} columns with the name {name}; give one by its "
                f"number: {numbers}"
            )
        return found[0]

    def _is_named_as_table(self) -> bool:
        return Path(self.name.removesuffix(".gz")).suffix.lower() in self.suffixes

    def field_names(self) -> list[str]:
        rows = self._cells(RowReport(self.name, "line", ignore_warning), ignore_warning)
        return column_names(first_row(rows)[1])


def first_row(rows: Iterator[Row]) -> Row:
    """The first row that is not blank, or one without cells."""
    return next((row for row in rows if not is_blank_line(row[1])), (0, []))


def column_names(first: Sequence[str]) -> list[str]:
    """The numbers of columns, and the names in their first line that are not too long for names."""
    numbers = [str(number + 1) for number in range(len(first))]
    names = (name.strip() for name in first)
    return numbers + [quoted(name) for name in names if 0 < len(name) <= LONGEST_NAME]


def looks_like_name(cell: str) -> bool:
    """Whether a cell is hardly a sentence but the name of a column, such as "en" or "source"."""
    return USUAL_NAMES.fullmatch(cell) is not None


def is_blank_line(cells: Sequence[str]) -> bool:
    """Whether the cells are those of a line without text and delimiters."""
    return len(cells) < 2 and not any(cells)
