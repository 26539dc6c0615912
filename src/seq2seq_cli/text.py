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

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from seq2seq_cli.encodings import FEW, UTF8_MARK, BrokenLines, too_many
from seq2seq_cli.errors import InputError
from seq2seq_cli.inputs import (
    READ_ERRORS,
    UTF8,
    Check,
    Reading,
    display_name,
    open_input,
    read_blocks,
)
from seq2seq_cli.messages import Warn, counted, counted_subject
from seq2seq_cli.read_ahead import arriving
from seq2seq_cli.whole_files import replace_file


def check_is_list(lines: Iterable[str], name: str) -> None:
    """Raise InputError for one string instead of a list: each character would be a line."""
    if isinstance(lines, str | bytes):
        raise InputError(f"{name}: one string was given; give a list of lines, [line] for one line")


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
        """The likeliest encoding of several broken lines, as the end of a message."""
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


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines as UTF-8, each ended by LF, to a file that appears only when it is whole.

    `read_lines` returns the same lines, except for a CR at the end of a line and a U+FEFF at the
    start of the first, which are not text.
    """
    data = "".join(f"{line}\n" for line in lines).encode()
    replace_file(path, data)
