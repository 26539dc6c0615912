"""The micro-batches of an update that one process computes, each with its own random numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq_cli.data.batch import Batch
from seq2seq_cli.training.distributed import divide
from seq2seq_cli.training.memory import split_in_two


@dataclass(frozen=True)
class MicroBatch:
    """A batch that is computed at once, and where it comes from.

    `path` is its index in the update, followed by 0 or 1 for each time that it was split in two.
    """

    batch: Batch
    path: tuple[int, ...]
    counts: bool = True  # or it is computed only because other processes compute one of theirs

    @property
    def size(self) -> int:
        """Padded tokens of both sides, which take the time."""
        return self.batch.source.numel() + self.batch.target.numel()

    def halves(self) -> list["MicroBatch"]:
        """Split it in two."""
        halves = split_in_two(self.batch)
        return [MicroBatch(half, (*self.path, index)) for index, half in enumerate(halves)]

    def random_seed(self, seed: int, update: int) -> int:
        """The seed of the random numbers of its pass, in an update of a training with this seed."""
        # The length tells (0,) from (0, 0), which a sequence of seeds would take for the same.
        sequence = np.random.SeedSequence([seed, update, len(self.path), *self.path])
        return int(sequence.generate_state(1, np.uint64)[0])


def share_of_batches(batches: Sequence[Batch], rank: int, world_size: int) -> list[MicroBatch]:
    """The micro-batches of an update that a process computes, the largest first.

    They are divided by their size. Only an update with fewer pairs than processes leaves one
    without any.
    """
    pieces = enough_pieces(batches, world_size)
    if world_size == 1:
        return pieces
    share = divide([piece.size for piece in pieces], world_size)[rank]
    # The last one is computed while gradients are exchanged, when memory must not run out.
    return sorted((pieces[index] for index in share), key=lambda piece: -piece.size)


def enough_pieces(batches: Sequence[Batch], world_size: int) -> list[MicroBatch]:
    """The micro-batches of an update; while there are fewer than processes the largest are split.

    A single pair is not split.
    """
    pieces = [MicroBatch(batch, (index,)) for index, batch in enumerate(batches)]
    while len(pieces) < world_size:
        sizes = [piece.size if len(piece.batch.source) > 1 else 0 for piece in pieces]
        if max(sizes) == 0:
            break
        index = sizes.index(max(sizes))
        pieces[index : index + 1] = pieces[index].halves()
    return pieces
