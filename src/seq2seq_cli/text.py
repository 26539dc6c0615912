"""Lines of text in and out. A line ends at LF and nowhere else, exactly as `wc -l` counts it.

What is defined here, for every command that reads text:

- U+2028, U+0085, form feed and similar characters are text inside a line.
- One CR at the very end of a line belongs to the line end, as in CRLF. Other CRs are text.
- A byte-order mark at the start of a file is not text. After one of UTF-16 or UTF-32, the file is
  in that encoding; `Reading.encoding` names any other.
- Invalid UTF-8 becomes U+FFFD, and one warning counts such lines. If there are more than a few,
  the input is refused, and the message names the likeliest encoding.
- NUL and other control characters are text; the tokenizer treats them as spaces.
- A last line without LF is a line; an empty input has no lines.
- Input that begins with the gzip magic number is decompressed, whatever its name, and from
  standard input too.
"""

import io
import os
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.encodings import (
    CERTAIN,
    FEW,
    LONGEST_MARK,
    UTF8_MARK,
    BrokenLines,
    check_encoding,
    keeps_ascii,
    mark_encoding,
    may_begin_mark,
    too_many,
    transcoded,
    utf8_characters,
)
from seq2seq_cli.errors import InputError, nearby

Warn = Callable[[str], None]

STDIN = Path("-")
GZIP_MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's code for: a gzip header, any window size
READ_BYTES = 1 << 16
AHEAD_BYTES = 1 << 24  # read ahead at most, except for a single longer line
READ_ERRORS = (OSError, EOFError, zlib.error)
DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}

Line = TypeVar("Line", bytes, str)
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


def ignore_warning(message: str) -> None:
    """Drop a warning: for text that is read a second time, when its warnings were shown before."""


def check_is_list(lines: Iterable[str], name: str) -> None:
    """Raise InputError for one string instead of a list: each character would be a line."""
    if isinstance(lines, str | bytes):
        raise InputError(f"{name}: one string was given; give a list of lines, [line] for one line")


def counted(count: float, noun: str) -> str:
    """A number with what it counts, such as "1 line", "2,000 lines" or "0.5 minutes"."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:,g}"
    return f"{number} {noun}" if count == 1 else f"{number} {noun}s"


def counted_subject(count: float, noun: str, verb: str) -> str:
    """The same before a verb, given in the plural: "1 line has" or "2 lines have"."""
    return f"{counted(count, noun)} {_SINGULAR.get(verb, f'{verb}s') if count == 1 else verb}"


_SINGULAR = {"are": "is", "have": "has", "do": "does"}


def check_line_counts(name: str, lines: int, other_name: str, other_lines: int) -> None:
    """Raise InputError unless two texts that belong together have the same number of lines."""
    if lines != other_lines:
        raise InputError(
            f"{name} has {counted(lines, 'line')} but {other_name} has {other_lines:,}; "
            "line k of the one must belong to line k of the other"
        )


class LineDecoder:
    """Turns the raw lines of one input into text, and counts the lines of invalid UTF-8."""

    def __init__(self, name: str, warn: Warn, reading: Reading = UTF8) -> None:
        self.name = name
        self.warn = warn
        self.reading = reading
        self.line_number = 0
        self.broken = BrokenLines()

    def decode(self, raw: bytes) -> str:
        """Decode one line, given without its LF."""
        self.line_number += 1
        if self.line_number == 1:
            raw = raw.removeprefix(UTF8_MARK)
        raw = raw.removesuffix(b"\r")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.broken.add_line(self.line_number, raw)
            return raw.decode("utf-8", errors="replace")

    def decode_all(self, raw_lines: Iterable[bytes]) -> list[str]:
        """Decode lines. Raises InputError if too many lines are broken so far."""
        lines = [self.decode(raw) for raw in raw_lines]
        if self.broken.count and not self.reading.as_text:
            self._check()
        return lines

    def _check(self) -> None:
        if too_many(self.broken.count, self.line_number):
            raise InputError(
                f"{self.name} is not {self._encoding()}: {self.broken.count:,} of the first "
                f"{self.line_number:,} lines are broken ({self.broken.named('line')})."
                f"{self._advice()} --as-text reads it with U+FFFD for broken bytes"
            )

    def end(self) -> None:
        """Warn of the lines that were broken, if there were any."""
        if self.broken.count:
            self.warn(
                f"{self.name}: {counted_subject(self.broken.count, 'line', 'are')} not valid "
                f"{self._encoding()}, broken bytes are replaced by U+FFFD "
                f"({self.broken.named('line')}){self._hint()}"
            )

    def _hint(self) -> str:
        """What several broken lines may be."""
        count = self.broken.count
        are_most = count > 1 and count * 2 > self.line_number
        if self.reading.encoding or not (count > FEW or are_most):
            return ""
        likeliest = self.broken.likeliest_encoding()
        return f"; they may be {likeliest}, which --encoding {likeliest} reads" if likeliest else ""

    def _encoding(self) -> str:
        return self.reading.encoding or "UTF-8"

    def _advice(self) -> str:
        """How to read the input instead."""
        if self.reading.encoding:
            return " Give its own encoding with --encoding, or leave that out for UTF-8;"
        likeliest = self.broken.likeliest_encoding()
        if not likeliest:
            return " It may be binary data; if it is text, name its encoding with --encoding;"
        return f" It is likely {likeliest}: read it with --encoding {likeliest};"

    def failure(self, error: Exception) -> InputError:
        """The error for an input that cannot be read any further."""
        where = f"{self.name}, after line {self.line_number}"
        if isinstance(error, OSError):
            return InputError(f"{where}: cannot be read: {error.strerror or error}")
        return InputError(f"{where}: damaged gzip data: {error}; fetch or compress the file again")


def read_lines(
    path: Path, warn: Warn, name: str = "", reading: Reading = UTF8, check: Check | None = None
) -> Iterator[str]:
    """Yield the lines of a file without their line ends, as this module's rules define them.

    Messages call it by `name`, or else by its path. Raises InputError if the file cannot be read,
    its gzip data is damaged, it is in another encoding, or `check` refuses its first block.
    """
    return lines_of(lambda: open_input(path), warn, name or display_name(path), reading, check)


def lines_of(
    open_stream: Callable[[], BinaryIO],
    warn: Warn,
    name: str,
    reading: Reading = UTF8,
    check: Check | None = None,
) -> Iterator[str]:
    """Yield the lines of a stream, as `read_lines` does those of a file."""
    decoder = LineDecoder(name, warn, reading)
    with open_stream() as stream:
        try:
            for raw_lines in _raw_lines(read_blocks(stream, warn, name, reading, check)):
                yield from decoder.decode_all(raw_lines)
        except READ_ERRORS as error:
            raise decoder.failure(error) from None
    decoder.end()


def arriving_lines(
    stream: BinaryIO,
    name: str,
    limit: int,
    warn: Warn,
    reading: Reading = UTF8,
    check: Check | None = None,
) -> Iterator[list[str]]:
    """Yield the lines of a stream in lists, as soon as they arrive, at most `limit` lines in each.

    So a single line in a pipe is answered at once, and lists fill up if lines arrive faster than
    they are used. A thread reads ahead by at most `limit` lines or AHEAD_BYTES, and one block of
    bytes, so memory stays constant on endless input. The stream comes from `open_input`. Raises
    InputError, after all complete lines, if reading fails, and otherwise as `read_lines` does.
    """
    decoder = LineDecoder(name, warn, reading)
    try:
        blocks = read_blocks(stream, warn, name, reading, check)
        for raw_lines in arriving(_raw_lines(blocks), limit):
            yield decoder.decode_all(raw_lines)
    except READ_ERRORS as error:
        raise decoder.failure(error) from None
    decoder.end()


def arriving(lists: Iterator[list[Line]], limit: int) -> Iterator[list[Line]]:
    """Yield lines as a thread reads them, in lists of at most `limit`: see `arriving_lines`."""
    buffer = _LineBuffer[Line](limit)
    threading.Thread(target=_read_ahead, args=(lists, buffer), daemon=True).start()
    try:
        while lines := buffer.take():
            yield lines
    finally:
        buffer.end()
    if buffer.error:
        raise buffer.error


class _LineBuffer(Generic[Line]):
    """Lines between the thread that reads them and the thread that uses them."""

    def __init__(self, limit: int) -> None:
        self.error: Exception | None = (
            None  # that ended the reading, if it was not the end of the file
        )
        self._limit = limit
        self._lines: list[Line] = []
        self._bytes = 0  # of these lines, or characters
        self._ended = False
        self._changed = threading.Condition()

    def put(self, lines: list[Line]) -> bool:
        """Add lines, waiting while the buffer is full; False if the other thread has ended."""
        start = 0
        with self._changed:
            while start < len(lines):
                self._changed.wait_for(lambda: self._ended or self._has_room())
                if self._ended:
                    return False
                stop = start + self._limit - len(self._lines)
                self._lines += lines[start:stop]
                self._bytes += sum(map(len, lines[start:stop]))
                start = stop
                self._changed.notify()
        return True

    def _has_room(self) -> bool:
        return len(self._lines) < self._limit and self._bytes < AHEAD_BYTES

    def take(self) -> list[Line]:
        """Wait for lines and take all there are, at most `limit`; an empty list means the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._lines)
            lines, self._lines, self._bytes = self._lines, [], 0
            self._changed.notify()
            return lines

    def end(self, error: Exception | None = None) -> None:
        """Signal that no more lines come, or that no more are needed."""
        with self._changed:
            self._ended = True
            self.error = self.error or error
            self._changed.notify()


def _read_ahead(lists: Iterator[list[Line]], buffer: _LineBuffer[Line]) -> None:
    """Move lines to the buffer, until they or their user end."""
    try:
        for lines in lists:
            if not buffer.put(lines):
                return
    except Exception as error:  # any error at all: the other thread would wait forever
        buffer.end(error)
    else:
        buffer.end()


def _raw_lines(blocks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines that each block of bytes completes, without their LF."""
    pending: list[bytes] = []  # the chunks of the line that has not ended yet
    for block in blocks:
        chunks = block.split(b"\n")
        pending.append(chunks[0])
        if len(chunks) > 1:
            yield [b"".join(pending), *chunks[1:-1]]
            pending = [chunks[-1]]
    if last := b"".join(pending):
        yield [last]


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


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by LF, to a file that appears only when it is whole.

    `read_lines` returns the same lines, except for a CR at the end of a line and a U+FEFF at the
    start of the first, which are not text.
    """
    data = "".join(f"{line}\n" for line in lines).encode()
    replace_file(path, data)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file in one step, as `replacing_file` does."""
    with replacing_file(path) as stream:
        stream.write(data)


@contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces another in one step: write a temporary file, fsync, rename.

    If the process is killed, either the old or the new file is there. If writing raises an error,
    the old one stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:  # on a full disk, the temporary file takes up space
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
