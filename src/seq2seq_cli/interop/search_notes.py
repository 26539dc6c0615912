"""What an export tells of searching otherwise than `seq2seq translate` does."""

from collections.abc import Iterator, Mapping
from typing import Any

from seq2seq_cli.config.search import SearchOptions


def penalty_notes(engine: str, search: Mapping[str, Any]) -> Iterator[str]:
    """What there is to say of the length penalty of a run, by its recorded options of search."""
    if search.get("length_penalty", SearchOptions.length_penalty) == "gnmt":
        yield (
            f"{engine} has no length penalty gnmt, the default here: with a beam it divides by "
            "length^alpha; compare with `seq2seq translate --length-penalty power`"
        )
