"""What compiled encoders and decoders have read (layers.h): sources, and target tokens before.

Dimensions: N rows of hypotheses, D width, T target tokens; B sentences still searched.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seq2seq_cli.native import INT, POINTER, address


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
        sources: "Sources",
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


class Surroundings(ctypes.Structure):
    """What a step of a decoder reads beside its rows."""

    _fields_ = (
        ("rows", INT),
        ("rows_each", INT),
        ("read", INT),
        ("tokens", POINTER),
        ("embedding", POINTER),
        ("position", POINTER),
        ("paths", POINTER),
        ("paths_after", POINTER),
        ("past", ctypes.POINTER(POINTER)),
        ("past_rows", ctypes.POINTER(INT)),
        ("sources", ctypes.POINTER(POINTER)),
        ("starts", POINTER),
        ("lengths", POINTER),
        ("sentences", POINTER),
        ("rotations", POINTER),
    )

    @classmethod
    def of(
        cls,
        tokens: Tensor,
        embedding: Tensor,
        position: Tensor | None,
        rotations: Tensor | None,
        past: "Past",
        after: "Past",
        sources: "Sources",
    ) -> "Surroundings":
        """Of tokens (N,) to be read after `past`; with their own step that is `after`."""
        rows, read = tokens.size(0), len(past.steps)
        return cls(
            rows,
            rows // sources.sentences.size(0),
            read,
            tokens.data_ptr(),
            embedding.data_ptr(),
            address(position),
            past.paths.data_ptr(),
            after.paths.data_ptr(),
            (POINTER * len(after.written))(*after.written),
            (INT * read)(*past.rows),
            sources.addresses,
            sources.starts.data_ptr(),
            sources.lengths.data_ptr(),
            sources.sentences.data_ptr(),
            address(rotations),
        )


@dataclass(frozen=True)
class Past:
    """What layers keep of the target tokens read so far. It never moves: rows remember their way.

    Each of `steps` is (layers, rows at that step, any); `paths` (N, T) says in which row of each
    step a row's token was.
    """

    steps: tuple[Tensor, ...]
    paths: Tensor
    addresses: tuple[int, ...] = ()  # of the steps
    rows: tuple[int, ...] = ()  # at each step
    written: tuple[int, ...] = ()  # addresses of the steps before and of the last one

    @classmethod
    def empty(cls, rows: int) -> "Past":
        """Before the first token."""
        return cls((), torch.empty(rows, 0, dtype=torch.int32))

    def grown(self, step: Tensor, rows: int, most: int | None = None) -> "Past":
        """With a step for so many rows, whose paths are yet to be written; of `most` at most."""
        written = (*self.addresses, step.data_ptr())
        first = 0 if most is None else max(0, len(self.steps) + 1 - most)
        steps = (*self.steps, step)[first:]
        paths = self.paths.new_empty(rows, len(steps))
        return Past(steps, paths, written[first:], (*self.rows, rows)[first:], written)

    def select(self, rows: Tensor) -> "Past":
        """Gather rows."""
        return Past(self.steps, self.paths.index_select(0, rows), self.addresses, self.rows)


@dataclass(frozen=True)
class Sources:
    """Keys and values of source tokens: for each layer (all tokens, 2, D). They never move either.

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
    ) -> "Sources":
        """To be filled, for sentences as long as `lengths` (sentences,) int32."""
        room = [torch.empty(tokens, 2, width, dtype=kept) for _ in range(layers)]
        return cls.of(room, lengths)

    @classmethod
    def of(cls, layers: Sequence[Tensor], lengths: Tensor) -> "Sources":
        """All sentences, one after the other."""
        addresses = (POINTER * len(layers))(*(layer.data_ptr() for layer in layers))
        starts = lengths.cumsum(dim=0, dtype=torch.int32) - lengths
        sentences = torch.arange(len(lengths), dtype=torch.int32)
        return cls(tuple(layers), starts, lengths, sentences, addresses)

    def select(self, rows: Tensor) -> "Sources":
        """Gather sentences."""
        sentences = self.sentences.index_select(0, rows)
        return Sources(self.layers, self.starts, self.lengths, sentences, self.addresses)
