"""Pairs that occur more than once, within the training pairs and in the validation pairs too.

Sentences are compared by hashes of 8 bytes, so that a corpus of any size can be. Two different ones
have the same hash with a probability of about 2 ** -64.
"""

import numpy as np
from numpy.typing import NDArray

from seq2seq_cli.data.sentence_arrays import SentenceArray, Sentences
from seq2seq_cli.data.token_pairs import TokenPairs
from seq2seq_cli.deferred import dataclass
from seq2seq_cli.padding import Ids, Indices
from seq2seq_cli.symbols import UNK

Hashes = NDArray[np.uint64]

SIDES = np.uint64(0x9E3779B97F4A7C15)  # makes (a, b) and (b, a) different pairs


@dataclass(frozen=True)
class Repetitions:
    """How many pairs repeat an earlier pair, or the source of one with another target."""

    total: int
    pairs: int
    sources: int
    most: int  # times that the most frequent pair occurs
    row: int  # where it does first

    @classmethod
    def of(cls, hashes: "PairHashes") -> "Repetitions":
        """Count the repetitions among pairs."""
        ordered = np.sort(hashes.pairs)
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        counts = np.diff(starts, append=len(ordered))
        most = int(counts.argmax())
        row = int((hashes.pairs == ordered[starts[most]]).argmax())
        pairs, longest = len(ordered) - len(starts), int(counts[most])
        del ordered, starts, counts
        ordered = np.sort(hashes.sources)
        sources = int((ordered[1:] == ordered[:-1]).sum())
        return cls(len(ordered), pairs, sources - pairs, longest, row)


@dataclass(frozen=True)
class PairHashes:
    """A hash for each pair, and for each source sentence."""

    pairs: Hashes
    sources: Hashes

    @classmethod
    def of(cls, pairs: TokenPairs) -> "PairHashes":
        """Hash pairs. One with an unknown token equals no other, since its text is not known."""
        sources, targets = map(sentence_hashes, (pairs.source, pairs.target))
        targets += sources * SIDES
        return cls(targets, sources)


def sentence_hashes(sentences: Sentences) -> Hashes:
    """A hash for each sentence: the sum over its tokens of random numbers for id and position."""
    numbers = _RandomNumbers(0), _RandomNumbers(1)
    hashes = np.empty(len(sentences), dtype=np.uint64)
    first = 0
    for array in sentences.arrays:
        hashes[first : first + len(array)] = _hashes(array, numbers)
        first += len(array)
        sentences.release()
    return hashes


class _RandomNumbers:
    """Random numbers of 64 bits, the same for the same seed, as many as are asked for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: Hashes = np.zeros(0, dtype=np.uint64)

    def __getitem__(self, index: Ids | Indices) -> Hashes:
        if index.size and int(index.max()) >= len(self._numbers):
            size = 1 << int(index.max() + 1).bit_length()
            bits = np.random.default_rng(self._seed).integers(0, 1 << 63, size, np.uint64)
            self._numbers = (bits << np.uint64(1)) + np.uint64(1)  # odd: a product keeps every bit
        return self._numbers[index]


def _hashes(array: SentenceArray, numbers: tuple[_RandomNumbers, _RandomNumbers]) -> Hashes:
    """Hash the sentences of one array; random numbers are those of ids and those of positions."""
    of_ids, of_positions = numbers
    starts, ends = array.offsets[:-1], array.offsets[1:]
    begin, end = int(array.offsets[0]), int(array.offsets[-1])
    ids = array.ids[begin:end]
    positions = np.arange(begin, end) - np.repeat(starts, ends - starts)
    # Sums of uint64 wrap around, and so do their differences.
    sums = np.zeros(end - begin + 1, dtype=np.uint64)
    np.cumsum(of_ids[ids] * of_positions[positions], out=sums[1:])
    hashes = sums[ends - begin] - sums[starts - begin]
    unknown = np.zeros(end - begin + 1, dtype=np.int64)
    np.cumsum(ids == UNK, out=unknown[1:])
    is_unknown = unknown[ends - begin] > unknown[starts - begin]
    hashes[is_unknown] = np.random.default_rng().integers(
        0, 1 << 63, int(is_unknown.sum()), dtype=np.uint64
    )
    return hashes


@dataclass(frozen=True)
class Overlap:
    """How many validation pairs, and how many of their sources, are in the training text too."""

    total: int
    pairs: int
    sources: int
    row: int  # of the first validation pair that is, if there is one

    @classmethod
    def of(cls, train: PairHashes, valid: PairHashes) -> "Overlap":
        """Compare validation pairs with training pairs."""
        is_pair = _occur(valid.pairs, train.pairs)
        is_source = _occur(valid.sources, train.sources)
        first = int((is_pair if is_pair.any() else is_source).argmax())
        return cls(len(is_pair), int(is_pair.sum()), int(is_source.sum()), first)


def _occur(few: Hashes, many: Hashes) -> NDArray[np.bool_]:
    """Find which of a few hashes are among many: faster than to sort the many."""
    ordered = np.unique(few)
    nearest = np.searchsorted(ordered, many)
    nearest[nearest == len(ordered)] = 0
    return np.isin(few, many[ordered[nearest] == many])
