"""Notes of an export on search that differs from that of `seq2seq translate`."""

from collections.abc import Iterator, Mapping
from typing import Any

from seq2seq_cli.config.search import SearchOptions


def penalty_notes(engine: str, search: Mapping[str, Any]) -> Iterator[str]:
    """Notes on the length penalty of a run, by its recorded options of search."""
    if search.get("length_penalty", SearchOptions.length_penalty) == "gnmt":
        yield (
            f"{engine} has no length penalty gnmt, the default here: with a beam it divides by "
            "length^alpha; compare with `seq2seq translate --length-penalty power`"
        )
