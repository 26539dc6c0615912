"""A command as a pipe: lines in, as many lines out, in order and as soon as they arrive."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Self

from seq2seq_cli import text
from seq2seq_cli.cli import console
from seq2seq_cli.errors import InputError

Convert = Callable[[list[str], int], list[str]]  # lines, and the number of the first


def check_paths(source: Path, target: Path) -> None:
    """Raise InputError, before anything is loaded, if the paths cannot be read and written."""
    if source != text.STDIN:
        text.open_input(source).close()
    if target == text.STDIN:
        return
    if target.exists() and source != text.STDIN and target.samefile(source):
        raise InputError(f"{target} is both input and output; write to another file")
    check_output(target)


def check_output(target: Path) -> None:
    """Raise InputError if a file cannot be written."""
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        reason = "it is a directory" if target.is_dir() else f"{folder} is no writable directory"
        raise InputError(f"{target}: cannot be written: {reason}")


def pipe(source: Path, target: Path, lines_at_once: int, convert: Convert) -> None:
    """Convert lines as they arrive, at most so many at once; on a terminal, prompt for them.

    Ctrl-C, SIGTERM and a reader that goes away, as `head` does, end the process without a
    traceback, with whole lines written.
    """
    interactive = source == text.STDIN and sys.stdin.isatty() and sys.stdout.isatty()
    with text.open_input(source) as reader, _opened_output(target) as stream:
        number = 1
        name = text.display_name(source)
        with _Writer(stream) as writer:
            _prompt(interactive)
            for lines in text.arriving_lines(reader, name, lines_at_once, console.warn):
                writer.write("".join(f"{line}\n" for line in convert(lines, number)).encode())
                number += len(lines)
                _prompt(interactive)
            if interactive:
                print(file=sys.stderr)  # Ctrl-D leaves the shell its own line


def _prompt(interactive: bool) -> None:
    if interactive:
        print("> ", end="", file=sys.stderr, flush=True)


class _Writer:
    """Writes whole lines, and ends the process on Ctrl-C and SIGTERM: at once, or after the write.

    A second signal does not wait for a reader that does not read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.writing = False
        self.signal = 0  # that came while lines were written

    def __enter__(self) -> Self:
        self.before = {n: signal.signal(n, self._stop) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *reason: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.writing and not self.signal:
            self.signal = number
            return
        raise SystemExit(128 + number)

    def write(self, data: bytes) -> None:
        """Write and flush: whoever waits for the answer to one line gets it now."""
        self.writing = True
        try:
            self.stream.write(data)
            self.stream.flush()
        except BrokenPipeError:
            # The interpreter flushes stdout once more at exit; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(128 + signal.SIGPIPE) from None
        self.writing = False
        if self.signal:
            raise SystemExit(128 + self.signal)


@contextmanager
def _opened_output(path: Path) -> Iterator[BinaryIO]:
    if path == text.STDIN:
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
    """A buffered stream to stdout: Python's own has no buffer where PYTHONUNBUFFERED is set, and
    then writes a part only when a signal comes."""
    try:
        return open(sys.stdout.fileno(), "wb", closefd=False)
    except io.UnsupportedOperation:  # no descriptor beneath: a test put text in its place
        return sys.stdout.buffer
