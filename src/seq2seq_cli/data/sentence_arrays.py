"""Token ids of many sentences in flat arrays, in memory or in a mapped file."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain

import numpy as np

from seq2seq_cli.deferred import dataclass
from seq2seq_cli.padding import Ids, Indices


@dataclass(frozen=True)
class SentenceArray:
    """Sentences one after the other: sentence k is ids[offsets[k] : offsets[k + 1]]."""

    offsets: Indices
    ids: Ids

    @classmethod
    def from_sentences(cls, sentences: Iterable[Sequence[int] | Ids]) -> "SentenceArray":
        """Lay sentences one after the other."""
        listed = list(sentences)
        offsets = np.zeros(len(listed) + 1, dtype=np.int64)
        np.cumsum([len(sentence) for sentence in listed], out=offsets[1:])
        return cls(offsets, np.fromiter(chain.from_iterable(listed), np.int32, int(offsets[-1])))

    def __len__(self) -> int:
        return len(self.offsets) - 1


class SentenceHash:
    """A hash of sentences that come array by array, whatever the arrays are."""

    def __init__(self) -> None:
        self._lengths, self._ids = hashlib.sha256(), hashlib.sha256()

    def add(self, array: SentenceArray) -> None:
        """Add the sentences of an array."""
        self._lengths.update(np.diff(array.offsets).astype(np.int32).data)
        self._ids.update(array.ids.astype(np.int32).data)

    def digest(self) -> bytes:
        """The hash of all sentences so far."""
        return self._lengths.digest() + self._ids.digest()


def fingerprint_of(source: bytes, target: bytes) -> str:
    """The fingerprint of pairs whose sides have these digests."""
    return hashlib.sha256(source + target).hexdigest()


class Sentences:
    """Token ids of many sentences in a few flat arrays, which may lie in a mapped file."""

    def __init__(self, sentences: Iterable[Sequence[int] | Ids]) -> None:
        self._set([SentenceArray.from_sentences(sentences)], lambda: None)

    @classmethod
    def from_arrays(
        cls, arrays: Sequence[SentenceArray], release: Callable[[], None] = lambda: None
    ) -> "Sentences":
        """The sentences of several arrays in a row.

        `release` frees the pages that reading a mapped file has brought into memory.
        """
        made = cls.__new__(cls)
        made._set(arrays, release)
        return made

    @classmethod
    def concatenate(cls, sides: Sequence["Sentences"]) -> "Sentences":
        """The sentences of several corpora, one corpus after the other."""

        def release() -> None:
            for side in sides:
                side.release()

        return cls.from_arrays([array for side in sides for array in side.arrays], release)

    def _set(self, arrays: Sequence[SentenceArray], release: Callable[[], None]) -> None:
        self.arrays = arrays
        self.release = release
        self._starts = list(accumulate((len(array) for array in arrays), initial=0))
        lengths = [np.diff(array.offsets).astype(np.int32) for array in self._read()]
        self.lengths: Indices = np.concatenate(lengths) if arrays else np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Ids:
        number = bisect_right(self._starts, index) - 1
        array, row = self.arrays[number], index - self._starts[number]
        return array.ids[array.offsets[row] : array.offsets[row + 1]]

    def token_counts(self, vocabulary_size: int) -> Indices:
        """Count how often each id occurs, for all ids below `vocabulary_size`."""
        total = np.zeros(vocabulary_size, dtype=np.int64)
        for array in self._read():
            total += np.bincount(array.ids, minlength=vocabulary_size)
        return total

    def digest(self) -> bytes:
        """A hash of all ids and sentence ends, whatever arrays the sentences are stored in."""
        found = SentenceHash()
        for array in self._read():
            found.add(array)
        return found.digest()

    def _read(self) -> Iterator[SentenceArray]:
        for array in self.arrays:
            yield array
            self.release()
