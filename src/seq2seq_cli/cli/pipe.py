"""Runs a function over lines as they arrive: as many lines out, in the same order."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Self

from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError, Seq2seqError
from seq2seq_cli.inputs import STDIN, display_name

if TYPE_CHECKING:
    from seq2seq_cli.data.sources import Source
    from seq2seq_cli.evaluation.references import Text

Convert = Callable[[list[str], int], list[str]]  # lines, and the number of the first


def read_text(source: "Source") -> "Text":
    """Read all lines of a text, with the name that messages have for it."""
    from seq2seq_cli.evaluation.references import Text

    return Text(source.name, list(source.lines(console.warn)))


def pipe(source: "Source", target: Path, lines_at_once: int, convert: Convert) -> int:
    """Convert lines as they arrive, at most `lines_at_once` together; returns how many there were.

    On a terminal, prompts for each line. Ctrl-C, SIGTERM and a reader of the output that goes
    away, such as `head`, end the process without a traceback, after a whole line.
    """
    interactive = source.path == STDIN and sys.stdin.isatty() and sys.stdout.isatty()
    with open_output(target) as stream:
        number = 1
        with LineWriter(stream, display_name(target, "standard output")) as writer:
            _prompt(interactive)
            for lines in source.arriving_lines(lines_at_once, console.warn):
                writer.write("".join(f"{line}\n" for line in convert(lines, number)).encode())
                number += len(lines)
                _prompt(interactive)
            if interactive:
                print(file=sys.stderr)  # Ctrl-D leaves the shell its own line
    return number - 1


def _prompt(interactive: bool) -> None:
    if interactive:
        print("> ", end="", file=sys.stderr, flush=True)


@contextmanager
def unwinding() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise SystemExit, so that what is half written is removed.

    A second signal ends the process at once.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for handled in before:
            signal.signal(handled, signal.SIG_DFL)
        raise SystemExit(128 + number)

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class LineWriter:
    """Writes whole lines, and ends the process on Ctrl-C and SIGTERM, after a write in progress.

    A second signal ends the process at once, even if the reader of the output does not read or
    threads are still running.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.stream = stream
        self.name = name  # in messages
        self.writing = False
        self.signal = 0  # a signal that came during a write

    def __enter__(self) -> Self:
        self.before = {
            number: signal.signal(number, self._stop)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) is not signal.SIG_IGN  # as a shell sets it in scripts
        }
        return self

    def __exit__(self, *reason: object) -> None:
        for number, handler in self.before.items():
            if signal.getsignal(number) == self._stop:  # else a signal is ending the process
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.writing and not self.signal:
            self.signal = number
            return
        self._end(number)

    def _end(self, number: int) -> NoReturn:
        for handled in self.before:
            signal.signal(handled, signal.SIG_DFL)
        raise SystemExit(128 + number)

    def write(self, data: bytes) -> None:
        """Write and flush, so that a reader gets the answer to each line at once."""
        self.writing = True
        try:
            self.stream.write(data)
            self.stream.flush()
        except BrokenPipeError:
            self._forget()
            raise SystemExit(128 + signal.SIGPIPE) from None
        except OSError as error:
            self._forget()
            raise Seq2seqError(f"{self.name}: cannot be written: {error.strerror}") from None
        self.writing = False
        if self.signal:
            self._end(self.signal)

    def _forget(self) -> None:
        """Send what Python flushes at its exit to /dev/null."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing bytes; `-` is standard output. Raises InputError if it cannot be."""
    if path == STDIN:
        if sys.stdout is None:
            raise InputError("standard output is closed; give it a file or a pipe")
        yield _standard_output()
        return
    try:
        stream = path.open("wb")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream


def _standard_output() -> BinaryIO:
    """A buffered stream to stdout.

    Python's own has no buffer if PYTHONUNBUFFERED is set, and a signal then cuts a write short.
    """
    try:
        return open(sys.stdout.fileno(), "wb", closefd=False)
    except io.UnsupportedOperation:  # replaced by a stream in memory, as in tests
        return sys.stdout.buffer
