"""SIGINT and SIGTERM during training: the checkpoint is saved first."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class InterruptedTrainingError(Exception):
    """A signal asked training to stop, and the checkpoint is saved. Holds the signal's number."""


class StopSignals:
    """Remembers the first SIGINT or SIGTERM, so that training can end between two updates."""

    def __init__(self) -> None:
        self.received: int | None = None

    @contextmanager
    def handled(self, can_stop_at_once: Callable[[], bool]) -> Iterator[None]:
        """Handle both signals in this block.

        The first one is remembered, and raises InterruptedTrainingError if training can stop at
        once, as within a validation. The second raises KeyboardInterrupt: the user means now.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            if self.received is not None:
                raise KeyboardInterrupt
            self.received = number
            if can_stop_at_once():
                raise InterruptedTrainingError(number)

        before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def flags(self) -> list[float]:
        """For SIGINT and SIGTERM, 1 if it was received here; to be summed over processes."""
        return [float(self.received == number) for number in (signal.SIGINT, signal.SIGTERM)]

    def agree(self, sums: Sequence[float]) -> None:
        """Take a signal that any of the processes has received for one's own."""
        for number, count in zip((signal.SIGINT, signal.SIGTERM), sums, strict=True):
            if count > 0 and self.received is None:
                self.received = number

    def raise_if_received(self) -> None:
        """Raise InterruptedTrainingError if a signal has come."""
        if self.received is not None:
            raise InterruptedTrainingError(self.received)


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in this block, whatever it does otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
