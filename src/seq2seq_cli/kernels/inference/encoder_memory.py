"""What compiled encoders read, and what they leave for decoders (layers.h).

Dimensions: D width; B sentences still searched.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.kernels.library import INT, POINTER, address


class SourceTokens(ctypes.Structure):
    """What an encoder reads."""

    _fields_ = (
        ("sentences", INT),
        ("tokens", POINTER),
        ("lengths", POINTER),
        ("embedding", POINTER),
        ("positions", POINTER),
        ("rotations", POINTER),
        ("keys_values", ctypes.POINTER(POINTER)),
    )

    @classmethod
    def of(
        cls,
        tokens: Tensor,
        sources: "EncoderMemory",
        embedding: Tensor,
        positions: Tensor | None,
        rotations: Tensor | None = None,
    ) -> "SourceTokens":
        """Of tokens (any,) of one sentence after the other; keys and values go to `sources`."""
        return cls(
            len(sources.lengths),
            tokens.data_ptr(),
            sources.lengths.data_ptr(),
            embedding.data_ptr(),
            address(positions),
            address(rotations),
            sources.addresses,
        )


@dataclass(frozen=True)
class EncoderMemory:
    """Keys and values of source tokens: for each layer (all tokens, 2, D). They never move, as what
    a decoder keeps of the target.

    `starts` and `lengths` (sentences,) say which tokens a sentence has; `sentences` (B,) are those
    that are still searched.
    """

    layers: tuple[Tensor, ...]
    starts: Tensor
    lengths: Tensor
    sentences: Tensor
    addresses: Any  # of the layers

    @classmethod
    def empty(
        cls, lengths: Tensor, tokens: int, width: int, kept: torch.dtype, layers: int
    ) -> "EncoderMemory":
        """To be filled, for sentences as long as `lengths` (sentences,) int32."""
        room = [torch.empty(tokens, 2, width, dtype=kept) for _ in range(layers)]
        return cls.of(room, lengths)

    @classmethod
    def of(cls, layers: Sequence[Tensor], lengths: Tensor) -> "EncoderMemory":
        """All sentences, one after the other."""
        addresses = (POINTER * len(layers))(*(layer.data_ptr() for layer in layers))
        starts = lengths.cumsum(dim=0, dtype=torch.int32) - lengths
        sentences = torch.arange(len(lengths), dtype=torch.int32)
        return cls(tuple(layers), starts, lengths, sentences, addresses)

    def select(self, rows: Tensor) -> "EncoderMemory":
        """Gather sentences."""
        sentences = self.sentences.index_select(0, rows)
        return EncoderMemory(self.layers, self.starts, self.lengths, sentences, self.addresses)
