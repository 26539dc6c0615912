"""Token-budget batches of similar length, in an order that only seed and epoch decide."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq_cli.symbols import BOS, EOS, PAD

Indices = npt.NDArray[np.int64]


class Sentences:
    """Token ids of many sentences in one flat array: a fraction of the memory of lists."""

    def __init__(self, sentences: Iterable[Sequence[int] | npt.NDArray[np.int32]]) -> None:
        parts = [np.asarray(sentence, dtype=np.int32) for sentence in sentences]
        self.lengths: Indices = np.array([len(part) for part in parts], dtype=np.int64)
        self.offsets: Indices = np.concatenate(([0], self.lengths.cumsum()))
        self.ids = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> npt.NDArray[np.int32]:
        return self.ids[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class Batch:
    """Padded ids: source (B, S) ending in EOS, target (B, T + 1) from BOS to EOS."""

    source: Tensor
    target: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.source.to(device), self.target.to(device))


class TokenPairs:
    """The tokenised sentence pairs of a corpus."""

    def __init__(self, source: Sentences, target: Sentences) -> None:
        self.source = source
        self.target = target

    def __len__(self) -> int:
        return len(self.source)

    def fingerprint(self) -> str:
        """A hash of all tokens: training resumes only on the data it began with."""
        digest = hashlib.sha256()
        for side in (self.source, self.target):
            digest.update(side.offsets.tobytes())
            digest.update(side.ids.tobytes())
        return digest.hexdigest()

    def batch(self, rows: Sequence[int] | Indices) -> Batch:
        """The pairs of these rows, padded to the longest."""
        return Batch(
            source=pad([[*self.source[row], EOS] for row in rows]),
            target=pad([[BOS, *self.target[row], EOS] for row in rows]),
        )

    def target_tokens(self, rows: Sequence[int] | Indices) -> int:
        """Tokens that are predicted in these rows, EOS included and PAD not."""
        return int(self.target.lengths[rows].sum()) + len(rows)


def pad(sentences: Sequence[Sequence[int]]) -> Tensor:
    """Ids of B sentences as (B, longest), PAD at the end."""
    longest = max(len(sentence) for sentence in sentences)
    padded = np.full((len(sentences), longest), PAD, dtype=np.int64)
    for row, sentence in enumerate(sentences):
        padded[row, : len(sentence)] = sentence
    return torch.from_numpy(padded)


def split_by_tokens(lengths: Indices, batch_tokens: int) -> list[slice]:
    """Cut sentences, in the order given, into batches of at most `batch_tokens` padded tokens.

    A sentence that is longer than that is a batch of its own.
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


def epoch_batches(pairs: TokenPairs, batch_tokens: int, seed: int, epoch: int) -> list[Indices]:
    """The rows of each batch of an epoch: a pure function of its arguments.

    Pairs are shuffled, sorted by length so that little is padded, cut into batches, and the
    batches shuffled. Pairs of equal length meet other neighbours in each epoch.
    """
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    rows = random.permutation(len(pairs))
    source, target = pairs.source.lengths[rows], pairs.target.lengths[rows]
    rows = rows[np.lexsort((source, target))]  # by target, then source; stable
    lengths = np.maximum(pairs.source.lengths[rows], pairs.target.lengths[rows]) + 1
    batches = [rows[part] for part in split_by_tokens(lengths, batch_tokens)]
    return [batches[index] for index in random.permutation(len(batches))]
