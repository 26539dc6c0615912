"""A table in CSV (RFC 4180): quoted cells may contain delimiters and line breaks."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from seq2seq_cli.data.formats.recognition import sampled_lines
from seq2seq_cli.data.formats.records import RowReport
from seq2seq_cli.data.formats.table import Row, Table
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.messages import Warn

DELIMITERS = ",;\t|"  # of those that divide rows equally well the first is chosen

SAYS_DELIMITER = re.compile("sep=(.)")  # a first line that Excel writes and hides


@dataclass(frozen=True)
class Csv(Table):
    """A table with quotes around cells where they are needed.

    The delimiter is given, or the one that divides the first lines most evenly.
    """

    kind = "Csv"
    suffixes = (".csv",)
    has_csv_rules = True

    def _cells(self, report: RowReport, warn: Warn) -> Iterator[Row]:
        sample = sampled_lines(self.start())
        lines = (f"{line}\n" for line in self.read_lines(warn))
        says = SAYS_DELIMITER.fullmatch(sample[0])
        if says:
            next(lines, None)
        delimiter = self.reading.delimiter_character or (
            says[1] if says else sniffed_delimiter(sample)
        )
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            number = reader.line_num + (2 if says else 1)
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if "limit" in str(error) or "end of data" in str(error):
                    raise self._never_closed(number) from None
                report.add("quotes against the rules of CSV, read as blank", number)
                cells = []
            if cells is None:
                return
            yield number, cells

    def _never_closed(self, number: int) -> InputError:
        return InputError(
            f"{self.name}, line {number}: a quote opens a cell and none closes it; write a quote "
            'within a quoted cell twice (""), or, if quotes are plain text, divide cells by tabs '
            "and name the file FILE.tsv"
        )


def sniffed_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that divides the most lines into the same number of cells, above one."""
    evenness = {}
    for delimiter in DELIMITERS:
        try:
            rows = [*csv.reader([f"{line}\n" for line in lines], delimiter=delimiter)]
        except csv.Error:
            continue
        widths = Counter(len(row) for row in rows if row)
        width, count = widths.most_common(1)[0] if widths else (0, 0)
        evenness[delimiter] = count / widths.total() if width > 1 else 0
    return max(evenness, key=lambda each: evenness[each], default=",")
