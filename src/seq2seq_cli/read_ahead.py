"""Lines that one thread reads and another uses as soon as they are there."""

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

AHEAD_BYTES = 1 << 24  # read ahead at most, except for a single longer line

Line = TypeVar("Line", bytes, str)


def arriving(lists: Iterator[list[Line]], limit: int) -> Iterator[list[Line]]:
    """Yield lines as a thread reads them, in lists of at most `limit` lines.

    The thread reads ahead by at most `limit` lines or AHEAD_BYTES, and one list, so memory stays
    constant on endless input. Raises what reading raised, after the lines before it.
    """
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
        self.error: Exception | None = None  # what ended the reading, unless it was the end
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
