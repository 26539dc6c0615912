"""A command as a pipe: lines in, as many lines out, in order and as soon as they arrive."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

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
    with _ended_by_signals(), text.open_input(source) as reader, _opened_output(target) as writer:
        number = 1
        _prompt(interactive)
        name = text.display_name(source)
        for lines in text.arriving_lines(reader, name, lines_at_once, console.warn):
            _write(writer, "".join(f"{line}\n" for line in convert(lines, number)).encode())
            number += len(lines)
            _prompt(interactive)


def _prompt(interactive: bool) -> None:
    if interactive:
        print("> ", end="", file=sys.stderr, flush=True)


def _write(writer: BinaryIO, data: bytes) -> None:
    """Write and flush: whoever waits for the answer to one line gets it now."""
    try:
        writer.write(data)
        writer.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


@contextmanager
def _opened_output(path: Path) -> Iterator[BinaryIO]:
    if path == text.STDIN:
        if sys.stdout is None:
            raise InputError("standard output is closed; give it a file or a pipe")
        yield sys.stdout.buffer
        return
    try:
        stream = path.open("wb")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process where it stands: every list of lines is flushed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
