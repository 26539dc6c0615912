"""A table with tabs between its columns."""

from collections.abc import Iterator

from seq2seq_cli.data.formats.recognition import is_tab_table, sampled_lines
from seq2seq_cli.data.formats.records import RowReport
from seq2seq_cli.data.formats.table import Row, Table
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.messages import Warn


@dataclass(frozen=True)
class Tsv(Table):
    """A table whose cells are what is between tabs. Quotes are text."""

    kind = "Tsv"
    suffixes = (".tsv", ".tab")

    @classmethod
    def recognises(cls, start: bytes) -> bool:
        return is_tab_table(sampled_lines(start))

    def _cells(self, report: RowReport, warn: Warn) -> Iterator[Row]:
        for number, line in enumerate(self.read_lines(warn), start=1):
            yield number, line.split("\t")
