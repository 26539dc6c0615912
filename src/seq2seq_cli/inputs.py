"""Files, pipes and standard input as blocks of UTF-8.

`text` makes lines of them, by its rules.
"""

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.encodings import (
    CERTAIN,
    LONGEST_MARK,
    UTF8_MARK,
    check_encoding,
    keeps_ascii,
    mark_encoding,
    may_begin_mark,
    transcoded,
    utf8_characters,
)
from seq2seq_cli.errors import InputError, nearby
from seq2seq_cli.messages import Warn

STDIN = Path("-")
GZIP_MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's code for: a gzip header, any window size
READ_BYTES = 1 << 16
READ_ERRORS = (OSError, EOFError, zlib.error)
DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}

Check = Callable[[bytes], None]  # raises InputError for a first block that is not plain text


@dataclass(frozen=True)
class Reading:
    """How the user says that text is to be read, where it does not say so itself."""

    encoding: str = ""  # of text that is not UTF-8; "" for text that must be
    delimiter: str = ""  # between the cells of a table; "" to find out
    as_text: bool = False  # read lines, whatever they look like

    def __post_init__(self) -> None:
        """Raises InputError for an unknown encoding, or a delimiter that cannot be one."""
        if self.encoding:
            try:
                check_encoding(self.encoding)
            except LookupError:
                raise InputError(
                    f"--encoding {self.encoding}: no such encoding; names are those of Python, "
                    "such as cp1252, latin-1, utf-16-le, gb18030, shift_jis"
                ) from None
        character = DELIMITERS.get(self.delimiter, self.delimiter)
        if self.delimiter and (len(character) != 1 or character in '"\r\n'):
            raise InputError(
                f"--delimiter {self.delimiter}: give one character, or one of "
                f"{', '.join(DELIMITERS)}"
            )

    @property
    def delimiter_character(self) -> str:
        """The delimiter itself, for one that has a name; "" if none is given."""
        return DELIMITERS.get(self.delimiter, self.delimiter)


UTF8 = Reading()


def open_input(path: Path, field: str = "") -> BinaryIO:
    """Open a file for reading its bytes, as they are and unbuffered; `-` is standard input.

    `read_lines` and `arriving_lines` decompress and decode them. Raises InputError if the file does
    not exist, is a directory or may not be read; the name that it proposes is given the field.
    """
    if path == STDIN:
        return _standard_input()
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{nearby(path, field)}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; name a text file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def check_input(path: Path, field: str = "") -> None:
    """Raise InputError, as `open_input` does, for a file that cannot be read.

    A pipe is not opened: closing it again would break it for the process that writes to it.
    """
    if path != STDIN and not path.is_fifo():
        open_input(path, field).close()


def _standard_input() -> BinaryIO:
    """Standard input, unbuffered; closing it leaves the process's own descriptor open."""
    if sys.stdin is None:
        raise InputError("standard input is closed; redirect a file or a pipe to it")
    try:
        # A thread that waits in sys.stdin.buffer holds its lock, and the interpreter aborts if it
        # cannot take that lock at exit. An unbuffered stream has no lock.
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except io.UnsupportedOperation:  # it has no descriptor: a test replaced it
        return sys.stdin.buffer


def display_name(path: Path, standard: str = "standard input") -> str:
    """The name of an input or output as messages show it."""
    return standard if path == STDIN else str(path)


def read_blocks(
    stream: BinaryIO, warn: Warn, name: str, reading: Reading = UTF8, check: Check | None = None
) -> Iterator[bytes]:
    """Yield the bytes of a stream as they arrive, decompressed and in UTF-8.

    Raises InputError if `check` refuses the first block, and one of READ_ERRORS if reading fails.
    """
    blocks = decompressed_blocks(stream)
    first = next(blocks, b"")
    while len(first) < LONGEST_MARK and may_begin_mark(first) and (more := next(blocks, b"")):
        first += more
    blocks = chain([first], blocks)
    if (encoding := mark_encoding(first)) != "utf-8" and (encoding or reading.encoding):
        if encoding:
            blocks = transcoded(blocks, encoding)
        else:
            blocks = _in_given_encoding(blocks, warn, name, reading.encoding)
        first = next(blocks, b"")
        blocks = chain([first], blocks)
    if first and check is not None and not reading.as_text:
        check(first.removeprefix(UTF8_MARK))
    return blocks


def _in_given_encoding(
    blocks: Iterator[bytes], warn: Warn, name: str, encoding: str
) -> Iterator[bytes]:
    """Yield blocks of the encoding that the user gives in UTF-8, unless they surely are UTF-8.

    The first block that is not ASCII tells, so that each of two texts can be in its own encoding.
    """
    skip_ascii = keeps_ascii(encoding)
    for block in blocks:
        if skip_ascii and block.isascii():
            yield block
            continue
        blocks = chain([block], blocks)
        found = utf8_characters(block)
        if found >= CERTAIN:
            warn(f"{name} is UTF-8, and is read as such in spite of --encoding {encoding}")
            yield from blocks
            return
        if found:
            warn(f"{name} may be UTF-8; it is read as {encoding}, as --encoding says")
        yield from transcoded(blocks, encoding)
        return


def decompressed_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a stream as they arrive, decompressed if they begin like gzip data."""
    start = _next_block(stream)
    while start == GZIP_MAGIC[:1] and (more := _next_block(stream)):
        start += more
    if start.startswith(GZIP_MAGIC):
        yield from _decompressed(start, stream)
        return
    while start:
        yield start
        start = _next_block(stream)


def _next_block(stream: BinaryIO) -> bytes:
    """Wait for bytes and return those that are there, at most READ_BYTES; b"" at the end."""
    # On a buffered stream, read would wait for a full buffer; on an unbuffered one it does not.
    read: Callable[[int], bytes | None] = getattr(stream, "read1", stream.read)
    block = read(READ_BYTES)
    if block is None:
        raise OSError("it is in non-blocking mode; put `cat |` before the command")
    return block


def _decompressed(block: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the decompressed bytes of gzip data that begins with `block` and goes on in a stream.

    No block is empty, since an empty one means the end. Raises zlib.error if the data is damaged,
    EOFError if it ends too early.
    """
    member = zlib.decompressobj(GZIP_FORMAT)
    while block:
        if member.eof:  # `cat a.gz b.gz` makes two members; zeros may pad the last block
            block = block.lstrip(b"\0")
            if block:
                member = zlib.decompressobj(GZIP_FORMAT)
        if block:
            if data := member.decompress(block, READ_BYTES):
                yield data
            block = member.unused_data if member.eof else member.unconsumed_tail
        block = block or _next_block(stream)
    if not member.eof:
        raise EOFError("it ends too early")
