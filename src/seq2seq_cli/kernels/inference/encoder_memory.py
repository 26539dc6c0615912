"""What encoders in kernels read, and the memory that they leave for decoders (layers.h).

Dimensions: D width; B sentences still searched.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.kernels.library import address
from seq2seq_cli.kernels.prototypes import POINTER, fields


class SourceTokens(ctypes.Structure):
    """What an encoder reads, without padding."""

    _fields_ = fields("""
        int32_t sentences;
        const int64_t *tokens;
        const int32_t *lengths;
        const float *embedding, *positions, *rotations;
        void *const *keys_values;
    """)

    @classmethod
    def of(
        cls,
        tokens: Tensor,
        memory: "EncoderMemory",
        embedding: Tensor,
        positions: Tensor | None,
        rotations: Tensor | None = None,
    ) -> "SourceTokens":
        """Point to `tokens` (any,) of one sentence after the other, and to memory to be filled."""
        return cls(
            sentences=len(memory.lengths),
            tokens=tokens.data_ptr(),
            lengths=memory.lengths.data_ptr(),
            embedding=embedding.data_ptr(),
            positions=address(positions),
            rotations=address(rotations),
            keys_values=ctypes.addressof(memory.addresses),
        )


@dataclass(frozen=True)
class EncoderMemory:
    """Keys and values of source tokens: for each layer (tokens of all sentences, 2, D).

    They never move in memory: to reorder sentences is to reorder their numbers.
    """

    layers: tuple[Tensor, ...]
    starts: Tensor  # (sentences,), the first token of each
    lengths: Tensor  # (sentences,), tokens of each
    sentences: Tensor  # (B,), those that are still searched
    addresses: Any  # of the layers, an array for C

    @classmethod
    def empty(
        cls, lengths: Tensor, tokens: int, width: int, dtype: torch.dtype, layers: int
    ) -> "EncoderMemory":
        """Room for sentences with `lengths` (sentences,) int32, of so many tokens in all."""
        room = [torch.empty(tokens, 2, width, dtype=dtype) for _ in range(layers)]
        return cls.of(room, lengths)

    @classmethod
    def of(cls, layers: Sequence[Tensor], lengths: Tensor) -> "EncoderMemory":
        """Keys and values of all sentences, one after the other."""
        addresses = (POINTER * len(layers))(*(layer.data_ptr() for layer in layers))
        starts = lengths.cumsum(dim=0, dtype=torch.int32) - lengths
        sentences = torch.arange(len(lengths), dtype=torch.int32)
        return cls(tuple(layers), starts, lengths, sentences, addresses)

    def select(self, rows: Tensor) -> "EncoderMemory":
        """Gather sentences."""
        return replace(self, sentences=self.sentences.index_select(0, rows))
