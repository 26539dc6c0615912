"""The processes that train one model together. Today there is one, so a sum is the value itself.

Several processes would also add up their gradients, and each would read its own share of the
batches; neither is written yet.
"""

from dataclasses import dataclass
from typing import TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class ProcessGroup:
    """Which of the processes this one is, and sums over all of them."""

    rank: int = 0
    world_size: int = 1

    @property
    def may_write(self) -> bool:
        """Whether this process writes to the run folder and reports progress: only rank 0 does."""
        return self.rank == 0

    def sum(self, value: Number) -> Number:
        """The sum of a number over all processes."""
        return value
