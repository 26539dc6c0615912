"""Decoders that read a token of each row at a time (decoding.h).

Dimensions: N rows of hypotheses, D width, H heads, T target tokens; B sentences still searched.
"""

import ctypes
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq_cli.kernels.inference.encoder_memory import EncoderMemory
from seq2seq_cli.kernels.library import INT, POINTER, address, declaring


class _StepInput(ctypes.Structure):
    _fields_ = (
        ("rows", INT),
        ("rows_each", INT),
        ("read", INT),
        ("tokens", POINTER),
        ("embedding", POINTER),
        ("position", POINTER),
        ("rotations", POINTER),
        ("paths", POINTER),
        ("paths_after", POINTER),
        ("past", ctypes.POINTER(POINTER)),
        ("past_rows", ctypes.POINTER(INT)),
        ("sources", ctypes.POINTER(POINTER)),
        ("starts", POINTER),
        ("lengths", POINTER),
        ("sentences", POINTER),
    )


class _Sizes(ctypes.Structure):
    _fields_ = (("width", INT), ("most", INT), ("kept", ctypes.c_int64))


_compiled = declaring(
    {
        "decoder_sizes": (None, POINTER, POINTER),
        "decoder_step": (None, POINTER, POINTER, POINTER),
        "decoder_free": (None, POINTER),
    }
)


class PositionTables(NamedTuple):
    """What stands for the target's places 0, 1, …, where a model has it."""

    positions: Tensor | None = None  # (count, D), added to embeddings
    rotations: Tensor | None = None  # (count, 2, D / H / 2), cosines and sines


class TargetEmbedding:
    """How target tokens are read: `weight` (V, D), and what stands for so many places."""

    def __init__(self, weight: Tensor, places: Callable[[int], PositionTables]) -> None:
        self.weight = weight
        self._make = places
        self._made = 0, PositionTables()

    def places(self, count: int) -> PositionTables:
        """Of so many places or more; made again only when there are not enough."""
        made, places = self._made
        if made < count:
            made = max(64, 2 * count)
            places = self._make(made)
            self._made = made, places
        return places


@dataclass(frozen=True)
class KVCache:
    """What a decoder keeps of the target tokens read so far, as many as `count`.

    It never moves: rows remember their way. Each of `steps` is of the rows of that step; `paths`
    (N, T) says in which row of each step a row's token was.
    """

    count: int
    steps: tuple[Tensor, ...]
    paths: Tensor
    addresses: tuple[int, ...] = ()  # of the steps
    rows: tuple[int, ...] = ()  # at each step

    @classmethod
    def empty(cls, rows: int) -> "KVCache":
        """Before the first token."""
        return cls(0, (), torch.empty(rows, 0, dtype=torch.int32))

    @classmethod
    def of(cls, kept: Tensor, rows: int) -> "KVCache":
        """Before the first token, where a decoder needs something even then."""
        paths = torch.arange(rows, dtype=torch.int32)[:, None]
        return cls(0, (kept,), paths, (kept.data_ptr(),), (rows,))

    def select(self, rows: Tensor) -> "KVCache":
        """Gather rows."""
        paths = self.paths.index_select(0, rows)
        return KVCache(self.count, self.steps, paths, self.addresses, self.rows)


class Decoder:
    """Reads one token of each row at a time.

    `parts` are what the compiled side points into.
    """

    def __init__(self, handle: int, embedding: TargetEmbedding, *parts: object) -> None:
        self.handle, self.embedding, self.parts = handle, embedding, parts
        weakref.finalize(self, _compiled().decoder_free, handle)
        self.sizes = _Sizes()
        _compiled().decoder_sizes(handle, ctypes.byref(self.sizes))

    def step(self, tokens: Tensor, past: KVCache, sources: EncoderMemory) -> tuple[Tensor, KVCache]:
        """Read tokens (N,); return hidden states (N, D), and the past with these tokens.

        Rows of one sentence stand together.
        """
        rows, read, most = tokens.size(0), len(past.steps), self.sizes.most
        hidden = torch.empty(rows, self.sizes.width)
        own = torch.empty(rows * self.sizes.kept, dtype=torch.uint8)
        addresses = *past.addresses, own.data_ptr()
        first = max(0, read + 1 - most)
        paths = past.paths.new_empty(rows, read + 1 - first)
        places = self.embedding.places(past.count + 1)
        position, rotations = (each if each is None else each[past.count] for each in places)
        around = _StepInput(
            rows,
            rows // sources.sentences.size(0),
            read,
            tokens.data_ptr(),
            self.embedding.weight.data_ptr(),
            address(position),
            address(rotations),
            past.paths.data_ptr(),
            paths.data_ptr(),
            (POINTER * (read + 1))(*addresses),
            (INT * read)(*past.rows),
            sources.addresses,
            sources.starts.data_ptr(),
            sources.lengths.data_ptr(),
            sources.sentences.data_ptr(),
        )
        _compiled().decoder_step(self.handle, ctypes.byref(around), hidden.data_ptr())
        return hidden, KVCache(
            past.count + 1,
            (*past.steps, own)[first:],
            paths,
            addresses[first:],
            (*past.rows, rows)[first:],
        )
