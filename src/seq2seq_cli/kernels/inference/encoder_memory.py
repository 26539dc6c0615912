"""What encoders in kernels read, and the memory that they leave for decoders (layers.h).

Dimensions: D width; B sentences still searched.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Array, Counts, Floats, Tokens, address
from seq2seq_cli.kernels.prototypes import POINTER, fields

# The numbers of embeddings (V, D), which kernels widen row by row; numpy has no bfloat16, and its
# bits are uint16 there. In the order of EmbeddingType in boundary.h.
EMBEDDING_TYPES: tuple[type[np.generic], ...] = (np.float32, np.float16, np.uint16)
Embedding: TypeAlias = Array


def embedding_type(embedding: Embedding) -> int:
    """The number of an embedding's type in C++."""
    return EMBEDDING_TYPES.index(embedding.dtype.type)


class SourceTokens(ctypes.Structure):
    """What an encoder reads, without padding."""

    _fields_ = fields("""
        int32_t sentences, embedding_type;
        const int64_t *tokens;
        const int32_t *lengths;
        const void *embedding;
        const float *positions, *rotations, *biases;
        int64_t reach;
        void *const *keys_values;
    """)

    @classmethod
    def of(
        cls,
        tokens: Tokens,
        memory: "EncoderMemory",
        embedding: Embedding,
        positions: Floats | None,
        rotations: Floats | None = None,
        biases: Floats | None = None,
    ) -> "SourceTokens":
        """Point to `tokens` (any,) of one sentence after the other, and to memory to be filled."""
        return cls(
            sentences=len(memory.lengths),
            embedding_type=embedding_type(embedding),
            tokens=address(tokens),
            lengths=address(memory.lengths),
            embedding=address(embedding),
            positions=address(positions),
            rotations=address(rotations),
            biases=address(biases),
            reach=0 if biases is None else (biases.shape[1] + 1) // 2,
            keys_values=address(memory.addresses),
        )


@dataclass(frozen=True)
class EncoderMemory:
    """Keys and values of source tokens: for each layer (tokens of all sentences, 2, D).

    They never move in memory: to reorder sentences is to reorder their numbers.
    """

    layers: tuple[Array, ...]
    starts: Counts  # (sentences,), the first token of each
    lengths: Counts  # (sentences,), tokens of each
    sentences: Counts  # (B,), those that are still searched
    addresses: Any  # of the layers, an array for C

    @classmethod
    def empty(
        cls, lengths: Counts, tokens: int, width: int, dtype: type, layers: int
    ) -> "EncoderMemory":
        """Room for sentences with `lengths` (sentences,) int32, of so many tokens in all."""
        room: list[Array] = [np.empty((tokens, 2, width), dtype=dtype) for _ in range(layers)]
        return cls.of(room, lengths)

    @classmethod
    def of(cls, layers: Sequence[Array], lengths: Counts) -> "EncoderMemory":
        """Keys and values of all sentences, one after the other."""
        addresses = (POINTER * len(layers))(*(address(layer) for layer in layers))
        starts = lengths.cumsum(dtype=np.int32) - lengths
        sentences = np.arange(len(lengths), dtype=np.int32)
        return cls(tuple(layers), starts, lengths, sentences, addresses)
