"""Sentences of different lengths in one rectangular array, and the array types of token ids."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seq2seq_cli.symbols import PAD

if TYPE_CHECKING:
    from torch import Tensor

Ids = npt.NDArray[np.integer[Any]]  # token ids
Indices = npt.NDArray[np.integer[Any]]  # row numbers, lengths and counts


def pad_array(sentences: Sequence[Sequence[int] | Ids]) -> npt.NDArray[np.int64]:
    """Put the ids of B sentences into an array (B, longest), with PAD after the end of each."""
    longest = max(len(sentence) for sentence in sentences)
    padded = np.full((len(sentences), longest), PAD, dtype=np.int64)
    for row, sentence in enumerate(sentences):
        padded[row, : len(sentence)] = sentence
    return padded


def pad(sentences: Sequence[Sequence[int] | Ids]) -> "Tensor":
    """As `pad_array`, for models in PyTorch."""
    import torch

    return torch.from_numpy(pad_array(sentences))


def split_by_tokens(lengths: Indices, batch_tokens: int) -> list[slice]:
    """Split sentences, in the order given, into batches of at most `batch_tokens` padded tokens.

    A sentence that is longer than that becomes a batch of its own.
    """
    batches = []
    start = longest = 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > start and longest * (index - start + 1) > batch_tokens:
            batches.append(slice(start, index))
            start, longest = index, length
    batches.append(slice(start, len(lengths)))
    return batches
