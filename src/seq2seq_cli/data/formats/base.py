"""The base of all containers of text, and of files in particular."""

import hashlib
import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import BinaryIO, ClassVar, Self, cast

from seq2seq_cli.data.formats.recognition import check_is_text
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.encodings import UTF8_MARK
from seq2seq_cli.inputs import (
    READ_BYTES,
    READ_ERRORS,
    STDIN,
    UTF8,
    Reading,
    open_input,
    read_blocks,
)
from seq2seq_cli.messages import Warn, ignore_warning
from seq2seq_cli.text import lines_of

COPIED_BYTES = 1 << 20  # at a time


class Container(ABC):
    """Something that holds one text, or several texts in fields of the same rows.

    Containers are values: two that would give the same rows are equal and have the same hash.
    """

    kind: ClassVar[str]  # part of cache keys, so it stays as it is when a class is renamed
    name: str  # as the user wrote it

    @abstractmethod
    def rows(self, fields: Sequence[str], warn: Warn) -> Iterator[tuple[str, ...]]:
        """Yield the texts of these fields, row by row: each is one line.

        Rows that lack a field are blank there, and one warning counts them. Raises InputError for a
        field that the first row does not have.
        """

    @abstractmethod
    def field_names(self) -> list[str]:
        """List the fields that a user can name; a container of one text has none."""

    @abstractmethod
    def digest(self) -> str:
        """A hash of the content, and of how it is read."""

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
    reading: Reading = UTF8
    begun: "BegunInput | None" = field(default=None, compare=False)  # a pipe that was looked into
    asked: str = field(default="", compare=False)  # a field of it, for messages

    @classmethod
    def recognises(cls, start: bytes) -> bool:
        """Whether the first block of a file has this format, whatever the file's name is."""
        return False

    def open(self) -> BinaryIO:
        """Open the file for reading. Raises InputError if it cannot be read."""
        return (
            open_input(self.path, self.asked) if self.begun is None else cast(BinaryIO, self.begun)
        )

    def read_lines(self, warn: Warn) -> Iterator[str]:
        """Yield its lines. Raises InputError if they are not text."""
        return lines_of(self.open, warn, self.name, self.reading, self.check)

    def check(self, start: bytes) -> None:
        """Raise InputError if this is how another kind of file begins."""
        check_is_text(start, self.name)

    def read_blocks(self, warn: Warn) -> Iterator[bytes]:
        """Yield its bytes, decompressed and in UTF-8, for formats that do not consist of lines."""
        with self.open() as stream:
            yield from read_blocks(stream, warn, self.name, self.reading, self.check)

    def start(self) -> bytes:
        """The first block of the file, decompressed and in UTF-8, before it is read."""
        begun = BegunInput(self.open()) if self.begun is None else self.begun
        with io.BytesIO(begun.start) as stream:
            try:
                block = next(read_blocks(stream, ignore_warning, self.name, self.reading), b"")
            except READ_ERRORS:
                block = b""  # reading it says what is wrong
        if self.begun is None:
            begun.close()
        return block.removeprefix(UTF8_MARK)

    def digest(self) -> str:
        open_input(
            self.path, self.asked
        ).close()  # raises InputError for a file that cannot be read
        with self.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        if self.reading == UTF8:
            return content
        return f"{content} {self.reading.encoding} {self.reading.delimiter_character}"

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
        with self.open() as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, COPIED_BYTES)
        return replace(self, path=copy, begun=None)


class BegunInput(io.RawIOBase):
    """A pipe whose first block was read to see what it holds; it is read from its start."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.start = stream.read(READ_BYTES) or b""
        self._rest = self.start

    def read(self, size: int = -1, /) -> bytes:
        """Return bytes as they arrive, at most this many; b"" at the end."""
        if self._rest:
            size = len(self._rest) if size < 0 else size
            block, self._rest = self._rest[:size], self._rest[size:]
            return block
        return self._stream.read(size)

    def close(self) -> None:
        super().close()
        self._stream.close()
