"""Decoders that read a token of each row at a time (decoding.h).

Dimensions: N rows of hypotheses, D width, H heads, T target tokens; B sentences still searched.
"""

import ctypes
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.kernels.arrays import Array, Counts, Floats, Tokens, address
from seq2seq_cli.kernels.inference.encoder_memory import Embedding, EncoderMemory, embedding_type
from seq2seq_cli.kernels.library import Functions
from seq2seq_cli.kernels.prototypes import INT, POINTER, fields


class _StepInput(ctypes.Structure):
    _fields_ = fields("""
        int32_t rows, rows_per_sentence, past_length, tokens_read, embedding_type;
        const int64_t *tokens;
        const void *embedding;
        const float *position, *rotations, *biases;
        int64_t bias_stride;
        const int32_t *paths;
        int32_t *paths_after;
        void *const *past;
        const int32_t *past_rows;
        const void *const *memory;
        const int32_t *starts, *lengths, *sentences;
        float *attention;
        int64_t attention_stride;
    """)


class _DecoderSizes(ctypes.Structure):
    _fields_ = fields("""
        int32_t width, max_cached_tokens;
        int64_t token_bytes;
        int32_t attention_layers, attention_heads;
    """)


_kernels = Functions("""
    void decoder_sizes(const void *decoder, DecoderSizes *sizes);
    void decoder_step(const void *decoder, const StepInput *input, float *hidden);
    void decoder_free(void *decoder);
""")


def _biases_of(biases: Floats, position: int) -> int:
    """The address of the first head's biases of a token: heads lie one after the other."""
    offset: int = biases.itemsize * (biases.shape[1] - 1 - position)
    return address(biases) + offset


class PositionTables(NamedTuple):
    """Vectors for the positions 0, 1, … of one side, as far as a model has them.

    `biases` are of unscaled scores: (H, count) by offsets 1 - count to 0 for the target, which only
    looks back, and (H, 2 count - 1) by offsets 1 - count to count - 1 for the source.
    """

    positions: Floats | None = None  # (count, D), added to embeddings
    rotations: Floats | None = None  # (count, 2, head width / 2), cosines and sines
    biases: Floats | None = None


class TargetEmbedding:
    """What decoders read for target tokens: `weight` (V, D), and vectors for positions."""

    def __init__(self, weight: Embedding, make_tables: Callable[[int], PositionTables]) -> None:
        """`make_tables` computes tables for so many positions."""
        self.weight = weight
        self._make_tables = make_tables
        self._computed = 0, PositionTables()  # positions, and their tables

    def tables(self, count: int) -> PositionTables:
        """Tables for at least so many positions, computed only when there are too few.

        Workers search side by side with one model: size and tables change together, or one would
        take the tables from before another has computed them.
        """
        size, tables = self._computed
        if size < count:
            size = max(64, 2 * count)
            tables = self._make_tables(size)
            self._computed = size, tables
        return tables


@dataclass(frozen=True)
class KVCache:
    """What a decoder keeps of the target tokens read so far, mostly keys and values.

    It never moves in memory: to reorder rows is to reorder their paths.
    """

    length: int  # tokens read
    steps: tuple[Array, ...]  # T, the last ones: what is kept of the rows of each
    paths: Counts  # (N, T): the row that each step's token has in that step
    addresses: tuple[int, ...] = ()  # of `steps`
    step_rows: tuple[int, ...] = ()  # T, rows of each step

    @classmethod
    def empty(cls, rows: int) -> "KVCache":
        """Before the first token, for a decoder that keeps nothing then."""
        return cls(0, (), np.empty((rows, 0), dtype=np.int32))

    @classmethod
    def of(cls, initial: Array, rows: int) -> "KVCache":
        """Before the first token, for a decoder that has an initial state even then."""
        paths = np.arange(rows, dtype=np.int32)[:, None]
        return cls(0, (initial,), paths, (address(initial),), (rows,))

    def select(self, rows: Tokens) -> "KVCache":
        """Gather rows."""
        return replace(self, paths=self.paths[rows])


class Decoder:
    """A decoder in kernels that reads one token of each row at a time."""

    def __init__(self, handle: int, embedding: TargetEmbedding, *owners: object) -> None:
        """Take a decoder made in C++, and what owns the weights that it points into."""
        self.handle, self.embedding, self.owners = handle, embedding, owners
        weakref.finalize(self, _kernels().decoder_free, handle)
        self.sizes = _DecoderSizes()
        _kernels().decoder_sizes(handle, ctypes.byref(self.sizes))

    def step(self, tokens: Tokens, cache: KVCache, memory: EncoderMemory) -> tuple[Floats, KVCache]:
        """Read tokens (N,); return hidden states (N, D), and the cache with these tokens.

        Rows of one sentence stand together.
        """
        rows, past_length = len(tokens), len(cache.steps)
        hidden = np.empty((rows, self.sizes.width), dtype=np.float32)
        own = np.empty(rows * self.sizes.token_bytes, dtype=np.uint8)
        addresses = *cache.addresses, address(own)
        first = max(0, past_length + 1 - self.sizes.max_cached_tokens)
        paths = np.empty((rows, past_length + 1 - first), dtype=np.int32)
        positions, rotations, biases = self.embedding.tables(cache.length + 1)
        past = (POINTER * (past_length + 1))(*addresses)
        past_rows = (INT * past_length)(*cache.step_rows)
        step_input = _StepInput(
            rows=rows,
            rows_per_sentence=rows // len(memory.sentences),
            past_length=past_length,
            tokens_read=cache.length,
            embedding_type=embedding_type(self.embedding.weight),
            tokens=address(tokens),
            embedding=address(self.embedding.weight),
            position=None if positions is None else address(positions[cache.length]),
            rotations=None if rotations is None else address(rotations[cache.length]),
            biases=None if biases is None else _biases_of(biases, cache.length),
            bias_stride=0 if biases is None else biases.shape[1],
            paths=address(cache.paths),
            paths_after=address(paths),
            past=address(past),
            past_rows=address(past_rows),
            memory=address(memory.addresses),
            starts=address(memory.starts),
            lengths=address(memory.lengths),
            sentences=address(memory.sentences),
        )
        _kernels().decoder_step(self.handle, ctypes.byref(step_input), address(hidden))
        return hidden, KVCache(
            cache.length + 1,
            (*cache.steps, own)[first:],
            paths,
            addresses[first:],
            (*cache.step_rows, rows)[first:],
        )
