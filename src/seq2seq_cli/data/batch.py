"""A batch of sentence pairs as padded tensors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.symbols import PAD

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Padded ids: source (B, S), mostly ending in EOS, target (B, T + 1) from BOS to EOS."""

    source: "Tensor"
    target: "Tensor"
    alignment: "Tensor | None" = None  # (B, T, S), see `Alignments.matrix`

    def to(self, device: "torch.device") -> "Batch":
        """Copy the batch to a device; from pinned memory, without waiting for the copy."""
        return self._map(lambda x: x.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Copy the batch to pinned memory, which a GPU reads by itself."""
        return self._map(lambda x: x.pin_memory())

    def _map(self, change: "Callable[[Tensor], Tensor]") -> "Batch":
        alignment = change(self.alignment) if self.alignment is not None else None
        return Batch(change(self.source), change(self.target), alignment)

    def first_pair(self) -> "Batch":
        """The first pair alone."""
        return self._map(lambda x: x[:1])

    def target_tokens(self) -> int:
        """Count the tokens that are predicted, with EOS and without PAD."""
        return int((self.target[:, 1:] != PAD).sum())


def pad_alignments(alignments: Sequence[npt.NDArray[np.float32]]) -> "Tensor":
    """Put the alignments (T, S) of the rows of B pairs into one tensor (B, T + 1, S).

    There is room for EOS of the target, and there are zeros wherever a pair is shorter.
    """
    import torch

    longest_target = 1 + max(each.shape[0] for each in alignments)
    longest_source = max(each.shape[1] for each in alignments)
    padded = np.zeros((len(alignments), longest_target, longest_source), dtype=np.float32)
    for row, alignment in enumerate(alignments):
        padded[row, : alignment.shape[0], : alignment.shape[1]] = alignment
    return torch.from_numpy(padded)
