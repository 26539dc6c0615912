"""SIGINT and SIGTERM during training: the checkpoint is saved first."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

# Launchers, and the end of a launcher, may send several processes more than one signal to stop
# them once. After so many seconds another one is another wish.
SECONDS_OF_ONE_STOP = 2.0


class InterruptedTrainingError(Exception):
    """A signal asked training to stop, and the checkpoint is saved. Holds the signal's number."""


class StopSignals:
    """Remembers the first SIGINT or SIGTERM, so that training can end between two updates.

    Several processes end after the same update: a signal to one of them ends none before all have
    heard of it from `agree`.
    """

    def __init__(self, *, is_alone: bool = True) -> None:
        self.is_alone = is_alone  # whether no other process takes part in the training
        self.received: int | None = None  # by this process
        self._received_at = 0.0
        self._agreed: int | None = None  # by all processes

    @contextmanager
    def handled(self, can_stop_at_once: Callable[[], bool]) -> Iterator[None]:
        """Handle both signals in this block.

        The first one is remembered, and raises InterruptedTrainingError if training can stop at
        once, as within a validation, and no other process waits for this one. The second raises
        KeyboardInterrupt: the user means now.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            if self.received is not None:
                if self.is_alone or time.monotonic() > self._received_at + SECONDS_OF_ONE_STOP:
                    raise KeyboardInterrupt
                return
            self.received, self._received_at = number, time.monotonic()
            if self.is_alone and can_stop_at_once():
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
        """Let a signal end training that any of the processes has received."""
        for number, count in zip((signal.SIGINT, signal.SIGTERM), sums, strict=True):
            if count > 0 and self._agreed is None:
                self._agreed = number

    def raise_if_received(self) -> None:
        """Raise InterruptedTrainingError if a signal has come that all processes know of."""
        number = self.received if self.is_alone else self._agreed
        if number is not None:
            raise InterruptedTrainingError(number)


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
