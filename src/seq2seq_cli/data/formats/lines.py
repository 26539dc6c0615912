"""A file of lines, one sentence a line."""

from collections.abc import Iterator, Sequence

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.recognition import check_is_lines
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.messages import Warn


@dataclass(frozen=True)
class Lines(TextFile):
    """A file of lines, or standard input. It holds one text and has no fields."""

    kind = "Text"

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """Yield each line, as many times as there are fields."""
        return ((line,) * len(fields) for line in self.read_lines(warn))

    def check(self, start: bytes) -> None:
        """Raise InputError if it begins like an archive, a document, a table, JSON or markup."""
        super().check(start)
        check_is_lines(start, self.name)

    def field_names(self) -> list[str]:
        return []
