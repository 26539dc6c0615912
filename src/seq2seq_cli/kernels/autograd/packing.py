"""Sentences one after the other, without the padding between them, which costs time and memory.

Dimensions: B sentences, T tokens of the longest, N tokens of all.
"""

import torch
from torch import Tensor

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.autograd.dispatch import engine
from seq2seq_cli.symbols import PAD


@dataclass(frozen=True)
class Layout:
    """Where tokens are: packed, sentence b has those from starts[b] to starts[b + 1]."""

    shape: tuple[int, int]  # (B, T) when they are padded
    flat: Tensor  # (N,) indices into B x T
    starts: Tensor  # (B + 1,) int32

    @classmethod
    def of(cls, ids: Tensor) -> "Layout":
        """The layout of ids (B, T); PAD is left out, wherever it is."""
        real = ids != PAD
        starts = torch.zeros(len(ids) + 1, dtype=torch.int32)
        torch.cumsum(real.sum(dim=1), 0, dtype=torch.int32, out=starts[1:])
        rows, length = ids.shape
        return cls((rows, length), real.flatten().nonzero()[:, 0], starts)

    @property
    def positions(self) -> Tensor:
        """(N,) positions of the tokens in their sentences."""
        return self.flat % self.shape[1]

    def real(self) -> Tensor:
        """(B, T): True where there is a token, False where there is padding."""
        rows, length = self.shape
        mask = self.flat.new_zeros(rows * length, dtype=torch.bool)
        return mask.index_fill(0, self.flat, True).view(rows, length)

    def packed(self, x: Tensor) -> Tensor:
        """(B, T, …) -> (1, N, …)."""
        return x.flatten(0, 1).index_select(0, self.flat)[None]

    def padded(self, x: Tensor) -> Tensor:
        """(1, N, …) -> (B, T, …), with zeros for padding."""
        rows, length = self.shape
        zeros = x.new_zeros(rows * length, *x.shape[2:])
        return zeros.index_copy(0, self.flat, x[0]).view(rows, length, *x.shape[2:])


@dataclass(frozen=True)
class Pairs:
    """Packed sentences that attend to others, one to one; stands for a mask of attention."""

    queries: Layout
    keys: Layout


def layouts(like: Tensor, *ids: Tensor) -> tuple[Layout, ...] | None:
    """The layouts of batches of ids (B, T); None where `attention` only takes padded sentences.

    `like` is a tensor with the dtype and device of queries. Only training packs sentences.
    """
    if not torch.is_grad_enabled() or engine(like) != "kernel":
        return None
    return tuple(Layout.of(each) for each in ids)
