"""What all containers of text have in common, and files in particular."""

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from seq2seq_cli.text import STDIN, Warn, open_input

COPIED_BYTES = 1 << 20  # at a time


class Container(ABC):
    """Something that holds one text, or several texts in fields of the same rows.

    Containers are values: two that would give the same rows are equal and have the same hash.
    """

    kind: ClassVar[str]  # part of cache keys, so it stays as it is when a class is renamed
    name: str  # as the user wrote it

    @abstractmethod
    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """Yield the texts of these fields, row by row. Raises InputError for an unknown field."""

    @abstractmethod
    def field_names(self) -> list[str]:
        """List the fields that a user can name; a container of one text has none."""

    @abstractmethod
    def digest(self) -> str:
        """A hash of the content."""

    @abstractmethod
    def size(self) -> int:
        """The size on disk in bytes."""

    @abstractmethod
    def can_be_reread(self) -> bool:
        """Whether it can be read more than once; a pipe cannot."""

    @abstractmethod
    def make_rereadable(self, folder: Path) -> Self:
        """Return the same text in a form that can be read more than once.

        A pipe is copied into the folder.
        """


@dataclass(frozen=True)
class TextFile(Container):
    """A file, a pipe or standard input. Subclasses are formats, and define its rows and fields."""

    suffixes: ClassVar[tuple[str, ...]] = ()  # of the file names that have this format

    name: str
    path: Path

    def digest(self) -> str:
        open_input(self.path).close()  # raises InputError for a file that cannot be read
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def can_be_reread(self) -> bool:
        # A file that does not exist counts as a file: reading it raises the error that says so.
        return self.path.is_file() or not (self.path == STDIN or self.path.exists())

    def make_rereadable(self, folder: Path) -> Self:
        if self.can_be_reread():
            return self
        number = sum(1 for _ in folder.iterdir())
        copy = folder / f"{number}{''.join(self.path.suffixes)}"
        with open_input(self.path) as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, COPIED_BYTES)
        return replace(self, path=copy)
