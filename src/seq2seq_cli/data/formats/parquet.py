"""A Parquet file."""

from collections.abc import Iterator, Sequence
from typing import Any

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.records import (
    RowReport,
    names_of,
    no_field_error,
    quoted,
    record_rows,
    unquoted,
)
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import open_input
from seq2seq_cli.messages import Warn

MAGIC = b"PAR1"


@dataclass(frozen=True)
class Parquet(TextFile):
    """A Parquet file, whose fields are its columns."""

    kind = "Parquet"
    suffixes = (".parquet",)

    @classmethod
    def recognises(cls, start: bytes) -> bool:
        return start.startswith(MAGIC)

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        with self._open() as file:
            names = list(file.schema_arrow.names)
            columns = {self._column(field, names) for field in fields}
            report = RowReport(self.name, "row", warn)
            yield from record_rows(self._records(file, sorted(columns)), fields, report)

    def _column(self, field: str, names: list[str]) -> str:
        """The column that a field is in. Raises InputError if there is none, or several."""
        parts = unquoted(field).split(".")
        heads = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        column = next((head for head in heads if head in names), None)
        if column is None:
            raise no_field_error(self.name, field, self.field_names())
        if names.count(column) > 1:
            raise InputError(
                f"{self.name} has {names.count(column)} columns with the name {column}; rename all "
                "but one"
            )
        return column

    def _records(self, file: Any, columns: list[str]) -> Iterator[tuple[int, Any]]:
        """Yield the rows of a file, with these columns, and their numbers."""
        from pyarrow import ArrowException

        number = 0
        try:
            for batch in file.iter_batches(columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        except (ArrowException, OSError) as error:
            if getattr(error, "errno", None):  # Arrow's own errors have none
                raise InputError(f"{self.name}: cannot be read: {error}") from None
            raise InputError(f"{self.name} is damaged after row {number}: {error}") from None

    def field_names(self) -> list[str]:
        """List all columns, nested ones and elements of lists as the first row has them."""
        with self._open() as file:
            names = list(dict.fromkeys(file.schema_arrow.names))
            _, first = next(self._records(file, names), (0, dict[str, Any]()))
        return [
            field for name in names for field in names_of({name: first.get(name)}) or [quoted(name)]
        ]

    def _open(self) -> Any:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        if self.begun is not None:
            raise InputError(
                f"{self.name} is Parquet from a pipe, and Parquet is read from its end; save it to "
                "a file, as in … > FILE.parquet, and read FILE.parquet:COLUMN"
            )
        open_input(
            self.path, self.asked
        ).close()  # raises InputError for a file that cannot be read
        try:
            return ParquetFile(self.path)
        except (ArrowException, OSError) as error:
            raise InputError(f"{self.name} is not a Parquet file: {error}") from None
