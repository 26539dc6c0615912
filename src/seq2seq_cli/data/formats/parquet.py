"""A Parquet file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seq2seq_cli.data.formats.base import TextFile
from seq2seq_cli.data.formats.records import no_field_error, text_of
from seq2seq_cli.errors import InputError
from seq2seq_cli.text import Warn, open_input


@dataclass(frozen=True)
class Parquet(TextFile):
    """A Parquet file, whose fields are its columns."""

    kind = "Parquet"
    suffixes = (".parquet",)

    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        from pyarrow import ArrowException

        paths = [field.split(".") for field in fields]
        known = self.field_names()
        for field in fields:
            if field not in known:
                raise no_field_error(self.name, field, known)
        with self._open() as file:
            columns = sorted({path[0] for path in paths})
            number = 0
            try:
                for batch in file.iter_batches(columns=columns):
                    for record in batch.to_pylist():
                        number += 1
                        where = f"{self.name}, row {number}"
                        yield tuple(text_of(record, path, where) for path in paths)
            except (ArrowException, OSError) as error:
                raise InputError(f"{self.name} is damaged after row {number}: {error}") from None

    def field_names(self) -> list[str]:
        """List all columns, nested ones as a.b."""
        with self._open() as file:
            return [column.path for column in file.schema]

    def _open(self) -> Any:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        open_input(self.path).close()  # raises InputError for a file that cannot be read
        try:
            return ParquetFile(self.path)
        except (ArrowException, OSError) as error:
            raise InputError(f"{self.name} is not a Parquet file: {error}") from None
