"""Stored tables of positions: which of our sinusoids they are, if any."""

from collections.abc import Iterable
from typing import NamedTuple, get_args, get_type_hints

import numpy as np

from seq2seq_cli.config.models import TransformerConfig
from seq2seq_cli.inference.positions import sinusoids, table_size
from seq2seq_cli.kernels.arrays import Floats

FORMS: tuple[str, ...] = get_args(get_type_hints(TransformerConfig)["sinusoids"])
FIRST_POSITIONS = range(5)  # engines begin with 0, 1 or, after the id of padding, 2
# Tables are the sines of angles of up to 1,000s, which float32 rounds by 1e-4; float16 by 1e-3.
TOLERANCE = 2e-3


class Sinusoids(NamedTuple):
    """The settings of sinusoidal positions."""

    form: str
    first_position: int


def recognised_sinusoids(table: Floats) -> Sinusoids | None:
    """The settings that give a table (positions, D), or None if it is another one.

    All rows are compared, so that a table that was trained further is not mistaken.
    """
    if not len(table) or np.abs(table).max() > 1 + TOLERANCE:
        return None
    for form in FORMS:
        for first in FIRST_POSITIONS:
            if _is_near(table[:2], form, first) and _is_near(table, form, first):
                return Sinusoids(form, first)
    return None


def _is_near(rows: Floats, form: str, first: int) -> bool:
    last = first + len(rows)
    expected = sinusoids(table_size(last), rows.shape[1], form)[first:last]
    return bool(np.abs(rows - expected).max() <= TOLERANCE)


def learned_tables(tables: Iterable[Floats]) -> list[Floats]:
    """Tables (positions, D) as `model.positions = "learned"` has them: of one length.

    All positions beyond such a table have its last vector, so that the last vectors of a table can
    be left out or repeated where they are the same.
    """
    tables = list(tables)
    length = max(map(_own_length, tables))
    return [
        np.concatenate((table[:length], np.repeat(table[-1:], max(0, length - len(table)), axis=0)))
        for table in tables
    ]


def _own_length(table: Floats) -> int:
    """The length of a table without vectors at its end that are the same as the one before."""
    differing = np.flatnonzero((table[1:] != table[:-1]).any(axis=1))
    return int(differing[-1]) + 2 if len(differing) else 1
