"""Text in the fields of records, such as JSON objects. `a.b` is the field b of the field a."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from seq2seq_cli.encodings import Numbers
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn

MISSING = object()
LONGEST_NAME = 60  # characters of a name that messages list; a longer one is hardly a name
MOST_ELEMENTS = 3  # of a list that messages name
LINE_BREAK = re.compile(r"\s*\r?\n\s*")


class RowReport:
    """Counts the rows of a container that need a remark, for one warning at its end."""

    def __init__(self, name: str, noun: str, warn: Warn) -> None:
        """`noun` is what numbers of rows count, such as "line"."""
        self.name = name
        self.noun = noun
        self._warn = warn
        self._found: dict[str, Numbers] = {}

    def add(self, remark: str, number: int) -> None:
        """Count a row for a remark, which stands after their numbers."""
        self._found.setdefault(remark, Numbers()).add(number)

    def one_line(self, text: str, number: int) -> str:
        """The text with spaces for its line breaks: a row is one line for all that follows."""
        if "\n" not in text:
            return text
        self.add("line breaks within a cell, read as spaces", number)
        return LINE_BREAK.sub(" ", text).strip()

    def end(self) -> None:
        """Warn of what was counted."""
        for remark, rows in self._found.items():
            has = "has" if rows.count == 1 else "have"
            count = f"{rows.count:,} {self.noun}{'' if rows.count == 1 else 's'}"
            self._warn(f"{self.name}: {count} {has} {remark} ({rows.named(self.noun)})")


def record_rows(
    records: Iterable[tuple[int, Any]], fields: Sequence[str], report: RowReport
) -> Iterator[tuple[str, ...]]:
    """Yield the texts of these fields for each numbered record.

    Raises InputError if the first record lacks a field, or has no text there.
    """
    is_first = True
    for number, record in records:
        texts = []
        for field in fields:
            value = find(record, field)
            text = as_text(value)
            if text is None:
                if is_first:
                    raise _field_error(f"{report.name}, {report.noun} {number}", field, record)
                what = (
                    f"no {field}" if value is MISSING else f"something other than text in {field}"
                )
                report.add(f"{what}, read as blank", number)
            texts.append(report.one_line(text or "", number))
        is_first = False
        yield tuple(texts)
    report.end()


def find(value: Any, name: str) -> Any:
    """Return what a record holds under a name, or MISSING.

    A field of the whole name goes before one of its parts: `a.b` is first the field "a.b", then
    the field b of a. The elements of a list are 0, 1 and so on.
    """
    if isinstance(value, dict):
        name = unquoted(name)
        if name in value:
            return value[name]
        parts = name.split(".")
        for count in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:count])
            if head in value:
                found = find(value[head], ".".join(parts[count:]))
                if found is not MISSING:
                    return found
        return MISSING
    if isinstance(value, list):
        head, _, rest = name.partition(".")
        if not head.isdecimal() or int(head) >= len(value):
            return MISSING
        return find(value[int(head)], rest) if rest else value[int(head)]
    return None if value is None else MISSING


def as_text(value: Any) -> str | None:
    """A value as text, as it is written: a number in its digits, null blank; None for others."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal | timedelta):
        return str(value)
    if isinstance(value, date | time):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return None


def names_of(record: Any, prefix: str = "") -> list[str]:
    """List the names of all fields: nested ones as a.b, the first elements of lists as a.0."""
    if isinstance(record, dict):
        fields = list(record.items())
    elif isinstance(record, list):
        fields = [(str(index), value) for index, value in enumerate(record[:MOST_ELEMENTS])]
    else:
        return []
    names: list[str] = []
    for name, value in fields:
        below = names_of(value, f"{prefix}{name}.")
        if below or as_text(value) is not None:
            names += below or [prefix + (name if prefix else quoted(name))]
    return names


def quoted(name: str) -> str:
    """A name as the user has to write it after the colon."""
    return f'"{name}"' if ":" in name or name.isdecimal() or name[:1] == '"' else name


def unquoted(field: str) -> str:
    """The name that a user wrote, in quotes or without."""
    is_quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if is_quoted else field


def _field_error(where: str, field: str, record: Any) -> InputError:
    value = find(record, field)
    if value is MISSING:
        return no_field_error(where, field, names_of(record))
    if isinstance(value, bytes):
        return InputError(f"{where}: {field} is not text but bytes that are not UTF-8")
    inner = names_of(value, f"{field}.")
    hint = f"; say which part: {', '.join(inner)}" if inner else ""
    kind = {"dict": "an object with fields", "list": "a list"}.get(type(value).__name__)
    return InputError(f"{where}: {field} is not text but {kind or type(value).__name__}{hint}")


def no_field_error(name: str, field: str, known: Sequence[str]) -> InputError:
    """The error for a field that a container does not have."""
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(field.lower(), lower, n=1)
    guess = f"; did you mean {lower[close[0]]}?" if close else ""
    return InputError(f"{name} has no field {field}; it has {', '.join(known)}{guess}")
