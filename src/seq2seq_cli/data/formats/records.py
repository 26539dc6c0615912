"""Text in the fields of records, such as JSON objects. `a.b` is the field b of the field a."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from seq2seq_cli.errors import InputError


def text_of(record: Any, path: Sequence[str], where: str) -> str:
    """Return the text at a path of field names; null is an empty text.

    Raises InputError, which begins with `where`, if there is no such field or it is not text.
    """
    value = record
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise no_field_error(where, ".".join(path), names_of(record))
        value = value[name]
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: {'.'.join(path)} is not text but {json.dumps(value)[:40]}")
    return value or ""


def names_of(record: Any, prefix: str = "") -> list[str]:
    """List the names of all fields of a record, nested ones as a.b."""
    names: list[str] = []
    for name, value in record.items():
        names += names_of(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return names


def no_field_error(name: str, field: str, known: list[str]) -> InputError:
    """The error for a field that a container does not have."""
    close = difflib.get_close_matches(field, known, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return InputError(f"{name} has no field {field}; it has {', '.join(known)}{guess}")
