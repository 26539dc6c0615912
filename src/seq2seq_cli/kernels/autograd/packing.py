"""Sentences one after the other, without the padding between them, in which nothing is computed.

Dimensions: B sentences, T tokens of the longest, N tokens of all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq_cli.symbols import PAD


@dataclass(frozen=True)
class Layout:
    """Where tokens stand: packed, sentence b has those from starts[b] to starts[b + 1]."""

    shape: tuple[int, int]  # (B, T) where they are padded
    flat: Tensor  # (N,) places in B x T
    starts: Tensor  # (B + 1,) int32

    @classmethod
    def of(cls, ids: Tensor) -> "Layout":
        """The layout of ids (B, T); PAD is left out, wherever it stands."""
        real = ids != PAD
        starts = torch.zeros(len(ids) + 1, dtype=torch.int32)
        torch.cumsum(real.sum(dim=1), 0, dtype=torch.int32, out=starts[1:])
        rows, length = ids.shape
        return cls((rows, length), real.flatten().nonzero()[:, 0], starts)

    @property
    def places(self) -> Tensor:
        """(N,) places of the tokens in their sentences."""
        return self.flat % self.shape[1]

    def real(self) -> Tensor:
        """(B, T): True where a token stands, False where padding."""
        rows, length = self.shape
        room = self.flat.new_zeros(rows * length, dtype=torch.bool)
        return room.index_fill(0, self.flat, True).view(rows, length)

    def packed(self, x: Tensor) -> Tensor:
        """(B, T, …) -> (1, N, …)."""
        return x.flatten(0, 1).index_select(0, self.flat)[None]

    def padded(self, x: Tensor) -> Tensor:
        """(1, N, …) -> (B, T, …), with zeros in the place of padding."""
        rows, length = self.shape
        room = x.new_zeros(rows * length, *x.shape[2:])
        return room.index_copy(0, self.flat, x[0]).view(rows, length, *x.shape[2:])


@dataclass(frozen=True)
class Pairs:
    """Of which packed sentences the tokens look at those of which others, one to one."""

    queries: Layout
    keys: Layout
